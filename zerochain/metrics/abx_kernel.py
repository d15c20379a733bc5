"""The inner loops of ABX, compiled: frame distances, DTW in both directions, triples.

Ties decide scores: two paths of equal cost can have different lengths, and d(X, A) = d(X, B) scores
½. So frame distances are float32 and are summed in float64, where the sums of that many float32
values are exact: no tie depends on the order of summing, and no score on how the work was divided.
DTW is that of the ZeroSpeech challenges, with their tie rule (see `dtw`). All kernels release
Python's lock, so threads run in parallel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from zerochain.kernels import compiled

ANGULAR, EUCLIDEAN, KL, KL_SYMMETRIC, TABLE, IDENTICAL, LEVENSHTEIN = range(7)
"""Kinds of distance: between vectors, and from TABLE on between units."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

# arcsin(√g)/√g on 0 … ½, accurate to 1e-8: a polynomial compiles to SIMD, a call of arcsin doesn't.
_ARCSIN = tuple(
    np.float32(c)
    for c in Chebyshev.interpolate(
        lambda g: np.arcsin(np.sqrt(g)) / np.sqrt(g), 9, domain=[1e-12, 0.5]
    )
    .convert(kind=Polynomial)
    .coef
)
_A0, _A1, _A2, _A3, _A4, _A5, _A6, _A7, _A8, _A9 = _ARCSIN
_HALF_PI = np.float32(math.pi / 2)
_PER_PI = np.float32(2 / math.pi)

_compiled = compiled(error_model="numpy", fastmath={"contract"})


@_compiled
def _to_angles(row: Floats, n: int) -> None:
    """Squared chords of unit vectors to angles / π, in place: 2·arcsin(chord / 2) / π.

    The chord is precise where the cosine is not, for nearly equal frames. Equal frames are at
    exactly 0; chords longer than a diameter (all-zero frames, see `unit_vectors`) are at 1.
    """
    for j in range(n):
        h = min(row[j] * np.float32(0.25), np.float32(1))
        g = min(h, np.float32(1) - h)
        p = _A9
        p = p * g + _A8
        p = p * g + _A7
        p = p * g + _A6
        p = p * g + _A5
        p = p * g + _A4
        p = p * g + _A3
        p = p * g + _A2
        p = p * g + _A1
        p = p * g + _A0
        angle = p * np.sqrt(g)
        row[j] = (angle if h <= np.float32(0.5) else _HALF_PI - angle) * _PER_PI


@_compiled
def frame_distances(kind: int, x: Floats, first: int, n: int, y: Floats, out: Floats) -> None:
    """Distances of x's frames `first` … `first + n` to all of y's; x (R, S), y (R, T), out (n, T).

    R = D rows of unit vectors (ANGULAR) or vectors (EUCLIDEAN), and rows of zeros up to a
    multiple of four; or D probabilities and under them their D logarithms (KL, KL_SYMMETRIC).
    """
    width = y.shape[1]
    spare = np.empty(width, np.float32)
    for i in range(
        0, n, 2
    ):  # two at a time, since y can be larger than the cache: read half as often
        second = min(i + 1, n - 1)
        one, two = out[i, :width], out[i + 1, :width] if i + 1 < n else spare
        if kind in (KL, KL_SYMMETRIC):
            _divergences(x[:, first + i], y, one)
            _divergences(x[:, first + second], y, two)
        else:
            _squares(x[:, first + i], x[:, first + second], y, one, two)
            if kind == ANGULAR:
                _to_angles(one, width)
                _to_angles(two, width)
            else:
                one[:] = np.sqrt(one)
                two[:] = np.sqrt(two)


@_compiled
def _squares(x_one: Floats, x_two: Floats, y: Floats, one: Floats, two: Floats) -> None:
    """Squared distances of two frames (R,) to all of y (R, T)."""
    one[:] = 0
    two[:] = 0
    for d in range(0, len(y), 2):
        a0, a1, b0, b1 = x_one[d], x_one[d + 1], x_two[d], x_two[d + 1]
        y0, y1 = y[d], y[d + 1]
        for j in range(len(one)):
            p, q = a0 - y0[j], a1 - y1[j]
            one[j] += p * p + q * q
            p, q = b0 - y0[j], b1 - y1[j]
            two[j] += p * p + q * q


@_compiled
def _divergences(x: Floats, y: Floats, row: Floats) -> None:
    """The mean of both KL divergences between a frame (2 D,) and all of y (2 D, T)."""
    row[:] = 0
    half = len(y) // 2
    for d in range(half):
        p, log_p = x[d], x[half + d]
        y_p, y_log_p = y[d], y[half + d]
        for j in range(len(row)):
            row[j] += (p - y_p[j]) * (log_p - y_log_p[j])
    for j in range(len(row)):
        row[j] *= np.float32(0.5)


@_compiled
def _unit_distances(x: Floats, first: int, n: int, y: Floats, table: Floats, out: Floats) -> None:
    """As `frame_distances`, for units: x (1, S) and y (1, T) hold whole numbers."""
    for i in range(n):
        line = table[int(x[0, first + i])]
        for j in range(y.shape[1]):
            out[i, j] = line[int(y[0, j])]


@_compiled
def dtw(local: Floats, first: int, m: int, n: int, cost: Doubles) -> tuple[float, float]:
    """DTW(rows, columns) and DTW(columns, rows) of the frame distances local[:n, first : first+m].

    The distance is the accumulated cost divided by the number of cells on the backtracked path.
    Going back, the path takes the diagonal if it costs no more than both others, else "left" (the
    previous frame of the second sequence) if it costs no more than "up" (that of the first), else
    up. Swapping the sequences swaps left and up: one cost, but two path lengths, and both are
    needed, for pairs are computed once and used as (X, A) and as (A, X).
    """
    cost[0, 0] = local[0, first]
    for j in range(1, m):
        cost[0, j] = cost[0, j - 1] + local[0, first + j]
    for i in range(1, n):
        left = cost[i - 1, 0] + local[i, first]
        cost[i, 0] = left
        for j in range(1, m):
            left = min(cost[i - 1, j], cost[i - 1, j - 1], left) + local[i, first + j]
            cost[i, j] = left
    total = cost[n - 1, m - 1]
    return total / _path(cost, n, m, False), total / _path(cost, n, m, True)


@_compiled
def _path(cost: Doubles, n: int, m: int, up_first: bool) -> int:
    """Number of cells on the backtracked path; of left and up at equal cost, `up_first` goes up."""
    i, j, length = n - 1, m - 1, 1
    while i > 0 and j > 0:
        up, left, diagonal = cost[i - 1, j], cost[i, j - 1], cost[i - 1, j - 1]
        if diagonal <= left and diagonal <= up:
            i -= 1
            j -= 1
        elif left < up or (left == up and not up_first):
            j -= 1
        else:
            i -= 1
        length += 1
    return length + i + j


@_compiled
def pack(frames: Floats, group_frames: Ints, packed: Floats) -> None:
    """Copy frames (T, R) into `packed`, each group as a contiguous array (R, its frames)."""
    n_rows = frames.shape[1]
    start = 0
    for width in group_frames:
        for d in range(n_rows):
            for t in range(width):
                packed[start * n_rows + d * width + t] = frames[start + t, d]
        start += width


@_compiled
def group_distances(
    kind: int,
    packed: Floats,
    n_rows: int,
    table: Floats,
    lengths: Ints,
    item_bounds: Ints,
    pairs: Ints,
    pair_bounds: Ints,
    forward: Doubles,
    backward: Doubles,
) -> None:
    """All item distances of pairs of groups, both directions.

    Args:
        packed: the frames, from `pack`; n_rows is its R.
        lengths: frames of each item, group after group (I,).
        item_bounds: the items of group g are item_bounds[g] … item_bounds[g + 1]; (G + 1,).
        pairs: groups g ≤ h (P, 2).
        pair_bounds: where the distances of each pair start in the outputs (P + 1,).
        forward: DTW(item x of g, item y of h) at pair_bounds[p] + x · size(h) + y.
        backward: DTW(item y of h, item x of g) at the same place.
    """
    starts = np.zeros(len(lengths) + 1, np.int64)
    longest = 0
    for i in range(len(lengths)):
        starts[i + 1] = starts[i] + lengths[i]
        longest = max(longest, lengths[i])
    widest = 0
    for g in range(len(item_bounds) - 1):
        widest = max(widest, starts[item_bounds[g + 1]] - starts[item_bounds[g]])
    local = np.empty((longest, widest), np.float32)
    cost = np.empty((longest, longest), np.float64)
    for p in range(len(pairs)):
        g, h = pairs[p, 0], pairs[p, 1]
        g0, h0, size = item_bounds[g], item_bounds[h], item_bounds[h + 1] - item_bounds[h]
        g_start, h_start = starts[g0], starts[h0]
        g_width, h_width = starts[item_bounds[g + 1]] - g_start, starts[h0 + size] - h_start
        x = packed[g_start * n_rows : (g_start + g_width) * n_rows].reshape((n_rows, g_width))
        y = packed[h_start * n_rows : (h_start + h_width) * n_rows].reshape((n_rows, h_width))
        for a in range(item_bounds[g + 1] - g0):
            n, first = lengths[g0 + a], starts[g0 + a] - g_start
            if kind == TABLE:
                _unit_distances(x, first, n, y, table, local)
            else:
                frame_distances(kind, x, first, n, y, local)
            for b in range(a if g == h else 0, size):
                column, m = starts[h0 + b] - h_start, lengths[h0 + b]
                there, back = dtw(local, column, m, n, cost)
                at = pair_bounds[p] + a * size + b
                forward[at], backward[at] = there, back
                if g == h:
                    at = pair_bounds[p] + b * size + a
                    forward[at], backward[at] = back, there


@_compiled
def score_cells(
    xa: Ints, xb: Ints, same: NDArray[np.bool_], distances: Doubles, scores: Doubles
) -> None:
    """Mean score of each cell's triples: 1 where d(X, A) < d(X, B), ½ where equal, else 0.

    Args:
        xa, xb: the positions of a cell's distances: start, step along X, step along A (or B),
            number of X, number of A (or B); (C, 5) each.
        same: whether A and X are one group: a token is not compared with itself (C,).
        distances: the array that the positions refer to.
    """
    for c in range(len(xa)):
        a_start, a_row, a_step, n_x, n_a = xa[c, 0], xa[c, 1], xa[c, 2], xa[c, 3], xa[c, 4]
        b_start, b_row, b_step, n_b = xb[c, 0], xb[c, 1], xb[c, 2], xb[c, 4]
        doubled, triples = 0, 0
        for x in range(n_x):
            for a in range(n_a):
                if same[c] and a == x:
                    continue
                to_a = distances[a_start + x * a_row + a * a_step]
                for b in range(n_b):
                    to_b = distances[b_start + x * b_row + b * b_step]
                    doubled += int(to_a < to_b) + int(to_a <= to_b)
                triples += n_b
        scores[c] = doubled / (2 * triples)
