"""Connectionist temporal classification (Graves et al. 2006): decoding and alignment.

CTC gives each step a distribution over the symbols and the blank; a path of one per step spells a
sequence once its repeats are merged and its blanks dropped. `best_path` is the likeliest path,
`beams` the likeliest sequences, summed over their paths, and `forced` the likeliest path of a
sequence that is known. CTC's symbols are spikes, a step or two long, with blanks between them:
`durations` cuts the time between the spikes in the middle.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerochain.kernels import compiled

Logs = NDArray[np.float32]
"""Log-probabilities (T, K + 1) of each step, the blank last."""
Ints = NDArray[np.int64]
_EDGE_STEPS = 2  # before the first spike and after the last one; the rest is silence
_FLOOR = math.log(1e-3)  # less likely symbols don't extend a beam
_compiled = compiled()


class Fusion(NamedTuple):
    """A language model in beam search: what it adds to a sequence's score (shallow fusion)."""

    logs: NDArray[np.float32]
    """(S, K + 1) log-probabilities of the next symbol in each state, the end last."""
    after: NDArray[np.int32]
    """(S, K), the state after each symbol; state 0 is before the first."""
    weight: float


class Path(NamedTuple):
    """A sequence and where CTC's path has its symbols."""

    symbols: Ints
    """(U,)"""
    steps: Ints
    """(U,), the step at which each symbol is likeliest."""
    score: float
    """The mean log-probability of the symbols at those steps; -inf where there is no path."""


def best_path(logs: Logs) -> Path:
    """The symbols of the likeliest path."""
    path, blank = logs.argmax(axis=1), logs.shape[1] - 1
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    ends = np.append(starts[1:], len(path))
    kept = path[starts] != blank
    steps = np.array(
        [
            a + int(logs[a:b, path[a]].argmax())
            for a, b in zip(starts[kept], ends[kept], strict=True)
        ],
        np.int64,
    )
    symbols = path[steps].astype(np.int64)
    return Path(symbols, steps, _mean(logs, symbols, steps))


def forced(logs: Logs, symbols: Ints) -> Path:
    """The likeliest path of a sequence (U,); its score is -inf if there are too few steps."""
    if len(symbols) == 0:
        return Path(symbols, symbols, 0.0)
    steps = np.zeros(len(symbols), np.int64)
    if not _align(np.ascontiguousarray(logs, np.float32), symbols.astype(np.int64), steps):
        return Path(symbols, steps, -math.inf)
    return Path(symbols, steps, _mean(logs, symbols, steps))


def beams(logs: Logs, width: int, fusion: Fusion | None = None) -> list[tuple[Ints, float]]:
    """Prefix beam search: the likeliest sequences and their log-probabilities, best first.

    Args:
        fusion: a language model, by which sequences are chosen and ordered as well. It is no part
            of their log-probabilities.
    """
    if fusion is None:
        n = logs.shape[1] - 1
        fusion = Fusion(np.zeros((1, n + 1), np.float32), np.zeros((1, n), np.int32), 0.0)
    parents, labels, nodes, scores = _prefix_beams(
        np.ascontiguousarray(logs, np.float32), width, np.float32(_FLOOR), *fusion
    )
    found = []
    for leaf, score in zip(nodes, scores, strict=True):
        symbols, node = [], leaf
        while node > 0:
            symbols.append(labels[node])
            node = parents[node]
        found.append((np.array(symbols[::-1], np.int64), float(score)))
    return found


def durations(steps: Ints, n_steps: int) -> Ints:
    """Steps that silence, each symbol, and silence last, (U + 2,), together `n_steps`.

    Args:
        steps: (U,), ascending, where each symbol is.
    """
    if len(steps) == 0:
        return np.array([n_steps, 0], np.int64)
    cuts = (steps[:-1] + steps[1:] + 1) // 2
    first = max(int(steps[0]) - _EDGE_STEPS, 0)
    last = min(int(steps[-1]) + _EDGE_STEPS + 1, n_steps)
    return np.diff(np.concatenate([[0, first], cuts, [last, n_steps]])).astype(np.int64)


def steps_needed(symbols: Ints) -> int:
    """The fewest steps that spell a sequence: equal neighbours need a blank between them."""
    return len(symbols) + int((np.diff(symbols) == 0).sum())


def _mean(logs: Logs, symbols: Ints, steps: Ints) -> float:
    return float(logs[steps, symbols].mean()) if len(symbols) else 0.0


@_compiled
def _align(logs: Logs, symbols: Ints, steps: Ints) -> bool:
    """Viterbi over blank, symbol, blank, …; each symbol's likeliest step in place."""
    n_steps, blank = logs.shape[0], logs.shape[1] - 1
    n_states = 2 * len(symbols) + 1
    scores = np.full(n_states, -np.inf, np.float32)
    back = np.zeros((n_steps, n_states), np.int8)
    scores[0] = logs[0, blank]
    scores[1] = logs[0, symbols[0]]
    for t in range(1, n_steps):
        for s in range(n_states - 1, -1, -1):
            best, jump = scores[s], 0
            if s > 0 and scores[s - 1] > best:
                best, jump = scores[s - 1], 1
            apart = s % 2 == 1 and s > 2 and symbols[s // 2] != symbols[s // 2 - 1]
            if apart and scores[s - 2] > best:
                best, jump = scores[s - 2], 2
            label = symbols[s // 2] if s % 2 == 1 else blank
            scores[s] = best + logs[t, label]
            back[t, s] = jump
    s = n_states - 1 if scores[n_states - 1] > scores[n_states - 2] else n_states - 2
    if scores[s] == -np.inf:
        return False
    highest = np.full(len(symbols), -np.inf, np.float32)
    for t in range(n_steps - 1, -1, -1):
        u = s // 2
        if s % 2 == 1 and logs[t, symbols[u]] >= highest[u]:
            highest[u] = logs[t, symbols[u]]
            steps[u] = t
        s -= back[t, s]
    return True


@_compiled
def _sum(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    if b == -np.inf:
        return a
    both: float = a + np.log1p(np.exp(b - a))
    return both


@_compiled
def _child(parents: Ints, labels: Ints, node: int, label: int) -> int:
    """The node of a prefix and one more symbol; -1 where there is none."""
    for m in range(1, len(parents)):
        if parents[m] == node and labels[m] == label:
            return m
    return -1


@_compiled
def _place(nodes: Ints, node: int) -> int:
    """Which of the beams' nodes this is; -1 for none of them."""
    for j in range(len(nodes)):
        if nodes[j] == node and node >= 0:
            return j
    return -1


@_compiled
def _prefix_beams(
    logs: Logs,
    width: int,
    floor: np.float32,
    lm_logs: NDArray[np.float32],
    lm_after: NDArray[np.int32],
    weight: float,
) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """Prefixes as a tree of nodes (parents, labels), and the nodes and scores of the beams.

    Each beam has two scores: of its paths that end in the blank, and of those that end in its last
    symbol, which alone can't be followed by the same symbol. What a language model adds depends on
    the prefix alone: it is kept by node, with the model's state.
    """
    n_steps, blank = logs.shape[0], logs.shape[1] - 1
    parents = np.full(n_steps * width + 1, -1, np.int64)
    labels = np.full(n_steps * width + 1, -1, np.int64)
    states = np.zeros(n_steps * width + 1, np.int64)
    added = np.zeros(n_steps * width + 1)
    n_nodes, n_beams = 1, 1
    nodes = np.zeros(width, np.int64)
    in_blank = np.full(width, -np.inf)
    in_symbol = np.full(width, -np.inf)
    in_blank[0] = 0.0
    most = width * (1 + blank)  # candidates: each beam as it is, and each symbol after it
    from_beam, label, node = np.zeros((3, most), np.int64)
    new_blank, new_symbol, new_added, total = np.zeros((4, most))
    for t in range(n_steps):
        n = n_beams
        for i in range(n_beams):
            node[i], new_added[i] = nodes[i], added[nodes[i]]
            new_blank[i] = _sum(in_blank[i], in_symbol[i]) + logs[t, blank]
            last = labels[nodes[i]]
            new_symbol[i] = in_symbol[i] + logs[t, last] if last >= 0 else -np.inf
        for i in range(n_beams):
            whole = _sum(in_blank[i], in_symbol[i])
            for v in range(blank):
                if logs[t, v] < floor:
                    continue
                score = logs[t, v] + (in_blank[i] if v == labels[nodes[i]] else whole)
                if score == -np.inf:
                    continue
                child = _child(parents[:n_nodes], labels, nodes[i], v)
                place = _place(nodes[:n_beams], child)
                if place >= 0:
                    new_symbol[place] = _sum(new_symbol[place], score)
                else:
                    from_beam[n], label[n], node[n] = nodes[i], v, child
                    new_blank[n], new_symbol[n] = -np.inf, score
                    new_added[n] = added[nodes[i]] + weight * lm_logs[states[nodes[i]], v]
                    n += 1
        for i in range(n):
            total[i] = _sum(new_blank[i], new_symbol[i]) + new_added[i]
        order = np.argsort(-total[:n])
        n_beams = min(width, n)
        for k in range(n_beams):
            i = order[k]
            if node[i] < 0:
                parents[n_nodes], labels[n_nodes] = from_beam[i], label[i]
                states[n_nodes] = lm_after[states[from_beam[i]], label[i]]
                added[n_nodes] = new_added[i]
                node[i] = n_nodes
                n_nodes += 1
            nodes[k], in_blank[k], in_symbol[k] = node[i], new_blank[i], new_symbol[i]
    scores = np.zeros(n_beams)
    for k in range(n_beams):
        scores[k] = _sum(in_blank[k], in_symbol[k])
    return parents, labels, nodes[:n_beams].copy(), scores
