"""Slow, obviously right oracles of what the package computes fast."""

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def dtw(local: np.ndarray) -> float:
    """DTW cost over path length: rows are the first sequence's frames, columns the second's."""
    n, m = local.shape
    cost = np.full((n, m), math.inf)
    for i, j in itertools.product(range(n), range(m)):
        before = [cost[i - 1, j]] * (i > 0) + [cost[i, j - 1]] * (j > 0)
        before += [cost[i - 1, j - 1]] * (i > 0 and j > 0)
        cost[i, j] = local[i, j] + min(before, default=0)
    i, j = n - 1, m - 1
    path = [(i, j)]
    while (i, j) != (0, 0):
        if i == 0:
            j -= 1
        elif j == 0:
            i -= 1
        else:
            diagonal, left, up = cost[i - 1, j - 1], cost[i, j - 1], cost[i - 1, j]
            if diagonal <= left and diagonal <= up:
                i, j = i - 1, j - 1
            elif left <= up:
                j -= 1
            else:
                i -= 1
        path.append((i, j))
    return float(cost[-1, -1] / len(path))


def edit_distance(a: Sequence, b: Sequence) -> int:
    if not a or not b:
        return len(a) + len(b)
    return min(
        edit_distance(a[:-1], b) + 1,
        edit_distance(a, b[:-1]) + 1,
        edit_distance(a[:-1], b[:-1]) + (a[-1] != b[-1]),
    )


def abx_error(
    tokens: Sequence[tuple[str, str, tuple[str, str], np.ndarray]],
    distance: Callable[[np.ndarray, np.ndarray], float],
    mode: str,
) -> tuple[float, int]:
    """ABX error and number of triples of (phone, speaker, context, frames) tokens."""
    cells = defaultdict(list)
    for (i, x), (j, a), b in itertools.product(enumerate(tokens), enumerate(tokens), tokens):
        same_speaker = x[1] == a[1]
        if not (x[0] == a[0] != b[0] and a[1] == b[1] and x[2] == a[2] == b[2]):
            continue
        if i == j or same_speaker != (mode == "within"):
            continue
        to_a, to_b = distance(x[3], a[3]), distance(x[3], b[3])
        score = 1 if to_a < to_b else 0.5 if to_a == to_b else 0
        cells[a[0], b[0], a[1], x[1], a[2]].append(score)
    rows = [
        dict(zip(("phone_a", "phone_b", "speaker", "speaker_x", "context"), key, strict=True))
        | {"score": float(np.mean(scores))}
        for key, scores in cells.items()
    ]
    levels = [("context", "speaker_x"), ("speaker",), ("phone_a", "phone_b")]
    return 100 * (1 - collapse(rows, levels, {})), sum(map(len, cells.values()))


def abx_2019(items, frames_by_file: Mapping[str, np.ndarray], distance: str) -> float:
    """ZeroSpeech 2019's ABX error of (file, onset, offset, phone, context, speaker) items.

    Line i of n stands at i / n; DTW(A, X); contexts, then pairs of speakers, then of phones.
    """

    def frames(item):
        whole = frames_by_file[item[0]]
        times = [i / len(whole) for i in range(len(whole))]
        return [f for f, t in zip(whole, times, strict=True) if item[1] <= t <= item[2]]

    def local(x, y):
        if distance == "kl":
            p, q = (v / v.sum() + np.finfo(float).eps for v in (x, y))
            p, q = p / p.sum(), q / q.sum()
            return 0.5 * ((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum())
        if not x.any() or not y.any():
            return float(x.any() != y.any())
        return math.acos(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1, 1)) / math.pi

    def between(a, x):
        if distance == "levenshtein":
            return edit_distance([tuple(f) for f in a], [tuple(f) for f in x])
        return dtw(np.array([[local(f, g) for g in x] for f in a]))

    cells = defaultdict(list)
    for a, b, x in itertools.product(items, repeat=3):
        if a[3] == x[3] != b[3] and a[5] == b[5] != x[5] and a[4] == b[4] == x[4]:
            to_a, to_b = between(frames(a), frames(x)), between(frames(b), frames(x))
            score = 1 if to_a < to_b else 0.5 if to_a == to_b else 0
            cells[a[3], b[3], a[5], x[5], a[4]].append(score)
    names = ("phone_a", "phone_b", "speaker", "speaker_x", "context")
    rows = [
        dict(zip(names, key, strict=True)) | {"score": float(np.mean(scores))}
        for key, scores in cells.items()
    ]
    levels = [("context",), ("speaker", "speaker_x"), ("phone_a", "phone_b")]
    return 100 * (1 - collapse(rows, levels, {}))


def collapse(
    rows: list[dict], levels: Sequence[Sequence[str]], weights: Mapping[str, Mapping]
) -> float:
    """Average rows' "score" level by level; a row weighs the product of its columns' weights."""
    for level in levels:
        groups = defaultdict(list)
        for row in rows:
            kept = {k: v for k, v in row.items() if k not in level and k != "score"}
            weight = math.prod(weights[k][row[k]] for k in level if k in weights and k in row)
            groups[tuple(kept.items())].append((weight, row["score"]))
        rows = [
            dict(key) | {"score": sum(w * s for w, s in group) / sum(w for w, _ in group)}
            for key, group in groups.items()
            if sum(w for w, _ in group) > 0
        ]
    return float(rows[0]["score"]) if rows else math.nan


def cheapest_path(costs: np.ndarray, price: float) -> float:
    """The least cost of one unit per step (T, K), each change of unit and the start at a price."""
    n_steps, n_units = costs.shape
    return min(
        sum(costs[range(n_steps), path])
        + price * (1 + sum(a != b for a, b in itertools.pairwise(path)))
        for path in map(list, itertools.product(range(n_units), repeat=n_steps))
    )


def cheapest_segments(costs: np.ndarray, price: float, shortest: int, longest: int) -> float:
    """Kamper and van Niekerk's least Σ of min_k Σ_t c(t, k) + price · (1 - duration)."""
    n_steps = len(costs)
    totals = []
    for n_cuts in range(n_steps):
        for cuts in itertools.combinations(range(1, n_steps), n_cuts):
            edges = list(itertools.pairwise((0, *cuts, n_steps)))
            if all(shortest <= end - start <= longest for start, end in edges):
                totals.append(
                    sum(costs[a:b].sum(axis=0).min() + price * (1 - (b - a)) for a, b in edges)
                )
    return float(min(totals))


def eer_by_thresholds(targets: Sequence[float], nontargets: Sequence[float]) -> float:
    """Where the line through the operating points of all thresholds has misses = false alarms."""
    points = []
    for threshold in [-math.inf, *sorted({*targets, *nontargets}), math.inf]:
        misses = sum(score < threshold for score in targets) / len(targets)
        alarms = sum(score >= threshold for score in nontargets) / len(nontargets)
        points.append((misses, alarms))
    for (m0, a0), (m1, a1) in itertools.pairwise(points):
        if m0 <= a0 and m1 >= a1:
            gap = (a0 - m0) + (m1 - a1)
            return a0 + (a1 - a0) * ((a0 - m0) / gap if gap else 0)
    raise AssertionError("the points run from (0, 1) to (1, 0)")


def phase_by_heap(magnitude, phase, n_known, *, gamma, hop, n_fft):
    """Phase-gradient heap integration as in its paper's algorithm 1, in plain Python.

    magnitude (T, K), its largest 1; bins 120 dB below that keep their phase, as known frames do.
    """
    n_frames, n_bins = magnitude.shape
    log = np.log(np.maximum(magnitude, 1e-6))

    def along_time(t, k):  # d phase / d frame
        slope = 0.0 if k in {0, n_bins - 1} else (log[t, k + 1] - log[t, k - 1]) / 2
        return hop * n_fft / gamma * slope + 2 * np.pi * hop * k / n_fft

    def along_frequency(t, k):  # d phase / d bin
        slope = (log[min(t + 1, n_frames - 1), k] - log[max(t - 1, 0), k]) / 2
        return -gamma / (hop * n_fft) * slope

    phase = phase.astype(np.float64)
    todo = {place for place in np.ndindex(magnitude.shape) if magnitude[place] > 1e-6}
    todo -= {(t, k) for t in range(n_known) for k in range(n_bins)}
    heap = [(-magnitude[t, k], t, k) for t in range(n_known) for k in range(n_bins)]
    heap = [entry for entry in heap if -entry[0] > 1e-6]
    heapq.heapify(heap)
    while todo or heap:
        if not heap:
            first = max(todo, key=lambda place: magnitude[place])
            phase[first] = 0.0
            todo.remove(first)
            heap.append((-magnitude[first], *first))
        _, t, k = heapq.heappop(heap)
        for place, slope in (
            ((t + 1, k), along_time),
            ((t - 1, k), along_time),
            ((t, k + 1), along_frequency),
            ((t, k - 1), along_frequency),
        ):
            if place in todo:
                sign = 1 if place > (t, k) else -1
                phase[place] = phase[t, k] + sign * (slope(t, k) + slope(*place)) / 2
                todo.remove(place)
                heapq.heappush(heap, (-magnitude[place], *place))
    return phase


def freqt(cepstrum: np.ndarray, order: int, alpha: float) -> np.ndarray:
    """SPTK's frequency transform, coefficient by coefficient."""
    warped = np.zeros(order + 1)
    for c in cepstrum[::-1]:
        before = warped.copy()
        warped[0] = c + alpha * before[0]
        warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for j in range(2, order + 1):
            warped[j] = before[j - 1] + alpha * (before[j] - warped[j - 1])
    return warped


def mean_on_path(local: np.ndarray) -> float:
    """Mean of the frame distances on the cheapest path; of equal ones, the shortest."""
    n, m = local.shape
    best = {}
    for i, j in itertools.product(range(n), range(m)):
        before = [best[b] for b in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if b in best]
        cost, length = min(before, default=(0.0, 0))
        best[i, j] = cost + local[i, j], length + 1
    cost, length = best[n - 1, m - 1]
    return cost / length


def most_matches(found: Sequence[float], gold: Sequence[float], tolerance: float) -> int:
    """The most pairs of one found and one gold time at most `tolerance` apart, by trying all."""
    if not found:
        return 0
    first, rest = found[0], found[1:]
    best = most_matches(rest, gold, tolerance)
    for i, other in enumerate(gold):
        if abs(first - other) <= tolerance:
            best = max(best, 1 + most_matches(rest, [*gold[:i], *gold[i + 1 :]], tolerance))
    return best


def purities(pairs: Sequence[tuple[str, int]]) -> tuple[float, float]:
    """Phone purity and cluster purity of (phone, unit) frames, as HuBERT's paper words them."""
    phone_hits = cluster_hits = 0
    for unit in {u for _, u in pairs}:
        phones = [p for p, u in pairs if u == unit]
        phone_hits += max(phones.count(p) for p in phones)
    for phone in {p for p, _ in pairs}:
        units = [u for p, u in pairs if p == phone]
        cluster_hits += max(units.count(u) for u in units)
    return phone_hits / len(pairs), cluster_hits / len(pairs)
