"""Distances between many pairs of unit strings at once, one pair per SIMD lane.

Units are the same or not, so costs are whole numbers, and a cell of DTW fits into a single integer:

    cost · 4P + rank · P + length        (P a power of two above all path lengths)

The smallest of the three predecessors has the lowest cost and, among equal costs, the lowest rank:
the direction that the tie rule of `abx_kernel.dtw` prefers. It carries the length of its own path,
so min() is the whole recursion and no path has to be traced back. After the minimum the rank bits
are cleared, since ranks are only for choosing among three. Without branches and look-ups, the
innermost loop over lanes compiles to SIMD minimum and addition of 16-bit integers wherever strings
have at most 62 units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.kernels import compiled
from zerochain.metrics.abx_kernel import LEVENSHTEIN, Doubles, Ints

Cell = np.signedinteger[Any]
Cells = NDArray[Cell]
LANES = 64
_compiled = compiled(error_model="numpy", fastmath={"contract"})
_LAYOUTS = ((62, np.int16, 7), (8190, np.int32, 14), (1 << 29, np.int64, 30))
"""Longest string → the integer type of a cell, and the bits of its path length.

A path through two strings of up to 62 units has up to 123 cells, which takes 7 bits; with 2 bits
for the rank, 6 of the 15 remain for the cost. The cost is at most the length of the longer string,
the number of cells on a diagonal path, so 62 fits and 63 is left for "never".
"""
_BUCKETS = 128
"""Length classes for grouping pairs of similar lengths: all lanes run as long as the longest."""


def string_distances(
    kind: int, units: Cells, lengths: Ints, item_bounds: Ints, pairs: Ints, pair_bounds: Ints
) -> Doubles:
    """All item distances of pairs of groups, both directions: (2, N).

    Args:
        kind: IDENTICAL, units the same or not under DTW, or LEVENSHTEIN.
        units: of all items, one after the other (T,), below 2³¹.
        lengths, item_bounds, pairs, pair_bounds: as in `abx_kernel.group_distances`.
    """
    longest = int(lengths.max())
    _, dtype, bits = next(layout for layout in _LAYOUTS if longest <= layout[0])
    if int(units.max()) > np.iinfo(dtype).max:
        _, dtype, bits = _LAYOUTS[1]
    both = np.empty((2, pair_bounds[-1]))
    _string_distances(
        kind == LEVENSHTEIN,
        units.astype(dtype),
        bits,
        np.iinfo(dtype).max >> (bits + 2) << (bits + 2),  # "never": the highest cost
        np.concatenate([[0], np.cumsum(lengths)]),
        item_bounds,
        pairs,
        pair_bounds,
        both[0],
        both[1],
        np.empty((2, longest + 1, 2, LANES), dtype),
    )
    return both


@_compiled
def _string_distances(
    edits: bool,
    units: Cells,
    bits: int,
    never: int,
    starts: Ints,
    item_bounds: Ints,
    pairs: Ints,
    pair_bounds: Ints,
    forward: Doubles,
    backward: Doubles,
    rows: Cells,
) -> None:
    xs, ys, places, mirrors = _item_pairs(item_bounds, pairs, pair_bounds)
    order = _by_length(starts, xs, ys, len(rows[0]) - 1)
    x_lanes = np.zeros((len(rows[0]), LANES), rows.dtype)
    y_lanes = np.zeros((len(rows[0]), LANES), rows.dtype)
    for begin in range(0, len(order), LANES):
        lanes = order[begin : begin + LANES]
        shortest, n_max = _fill(x_lanes, units, starts, xs, lanes)
        _, m_max = _fill(y_lanes, units, starts, ys, lanes)
        _begin(rows, edits, never)
        for i in range(n_max):
            if edits:
                _edit_row(rows, i, m_max, x_lanes[i], y_lanes)
            else:
                _dtw_row(rows, i, m_max, x_lanes[i], y_lanes, bits, never)
            if i + 1 < shortest:
                continue
            done = rows[1 - (i & 1)]
            for lane, pair in enumerate(lanes):
                if starts[xs[pair] + 1] - starts[xs[pair]] == i + 1:
                    m = starts[ys[pair] + 1] - starts[ys[pair]]
                    there = _distance(done[m, 0, lane], edits, bits)
                    back = _distance(done[m, 0 if edits else 1, lane], edits, bits)
                    forward[mirrors[pair]], backward[mirrors[pair]] = back, there
                    forward[places[pair]], backward[places[pair]] = there, back


@_compiled
def _item_pairs(item_bounds: Ints, pairs: Ints, pair_bounds: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Both items of every pair, and the positions of its distance and of its mirror image.

    Within a group, a pair is computed once and stored twice; between groups both positions are
    the same.
    """
    n = 0
    for p in range(len(pairs)):
        g, h = pairs[p, 0], pairs[p, 1]
        size = item_bounds[g + 1] - item_bounds[g]
        n += size * (size + 1) // 2 if g == h else size * (item_bounds[h + 1] - item_bounds[h])
    found = np.empty((4, n), np.int64)
    n = 0
    for p in range(len(pairs)):
        g, h = pairs[p, 0], pairs[p, 1]
        size = item_bounds[h + 1] - item_bounds[h]
        for a in range(item_bounds[g + 1] - item_bounds[g]):
            for b in range(a if g == h else 0, size):
                place = pair_bounds[p] + a * size + b
                found[0, n], found[1, n] = item_bounds[g] + a, item_bounds[h] + b
                found[2, n] = place
                found[3, n] = pair_bounds[p] + b * size + a if g == h else place
                n += 1
    return found[0], found[1], found[2], found[3]


@_compiled
def _by_length(starts: Ints, xs: Ints, ys: Ints, longest: int) -> Ints:
    """The pairs ordered by their lengths, so that lanes finish together: a counting sort."""
    bucket = 1 + longest // _BUCKETS
    keys = np.empty(len(xs), np.int64)
    counts = np.zeros((_BUCKETS + 1) ** 2 + 1, np.int64)
    for i in range(len(xs)):
        n, m = starts[xs[i] + 1] - starts[xs[i]], starts[ys[i] + 1] - starts[ys[i]]
        keys[i] = (n // bucket) * (_BUCKETS + 1) + m // bucket
        counts[keys[i] + 1] += 1
    ends = np.cumsum(counts)
    order = np.empty(len(xs), np.int64)
    for i in range(len(xs)):
        order[ends[keys[i]]] = i
        ends[keys[i]] += 1
    return order


@_compiled
def _fill(into: Cells, units: Cells, starts: Ints, items: Ints, lanes: Ints) -> tuple[int, int]:
    """Write each lane's item into a column; returns the lengths of the shortest and longest."""
    shortest, longest = len(into), 0
    for lane in range(len(lanes)):
        item = items[lanes[lane]]
        string = units[starts[item] : starts[item + 1]]
        n = len(string)
        for t in range(n):
            into[t, lane] = string[t]
        shortest, longest = min(shortest, n), max(longest, n)
    return shortest, longest


@_compiled
def _begin(rows: Cells, edits: bool, never: int) -> None:
    """The row above the first: only the first cell may start from there."""
    if edits:
        for j in range(len(rows[0])):
            rows[0, j] = j
    else:
        rows[0] = never
        rows[0, 0] = 0


@_compiled
def _dtw_row(rows: Cells, i: int, m: int, x: Cells, y_lanes: Cells, bits: int, never: int) -> None:
    """One unit of all x against all y; index 0 of a cell is DTW(x, y), 1 is DTW(y, x).

    Diagonal is preferred to left, and left to up; for DTW(y, x), up to left.
    """
    whole = rows.dtype.type
    old, new = rows[i & 1], rows[1 - (i & 1)]
    new[0] = never
    second, third = whole(1 << bits), whole(2 << bits)
    keep, same, differs = whole(~(3 << bits)), whole(1), whole((4 << bits) + 1)
    for j in range(m):
        y = y_lanes[j]
        for way in range(2):
            left, up = (second, third) if way == 0 else (third, second)
            _dtw_cell(
                old[j + 1, way], new[j, way], old[j, way], new[j + 1, way], x, y,
                left, up, keep, same, differs,
            )  # fmt: skip


@_compiled
def _dtw_cell(
    up: Cells, left: Cells, diagonal: Cells, out: Cells, x: Cells, y: Cells,
    left_rank: Cell, up_rank: Cell, keep: Cell, same: Cell, differs: Cell,
) -> None:  # fmt: skip
    for k in range(LANES):
        best = min(diagonal[k], left[k] | left_rank, up[k] | up_rank) & keep
        out[k] = best + (differs if x[k] != y[k] else same)


@_compiled
def _edit_row(rows: Cells, i: int, m: int, x: Cells, y_lanes: Cells) -> None:
    one, none = rows.dtype.type(1), rows.dtype.type(0)
    old, new = rows[i & 1], rows[1 - (i & 1)]
    new[0] = i + 1
    for j in range(m):
        _edit_cell(old[j + 1, 0], new[j, 0], old[j, 0], new[j + 1, 0], x, y_lanes[j], one, none)


@_compiled
def _edit_cell(
    up: Cells, left: Cells, diagonal: Cells, out: Cells, x: Cells, y: Cells, one: Cell, none: Cell
) -> None:
    for k in range(LANES):
        out[k] = min(diagonal[k] + (one if x[k] != y[k] else none), min(left[k], up[k]) + one)


@_compiled
def _distance(cell: int, edits: bool, bits: int) -> float:
    if edits:
        return float(cell)
    return (cell >> (bits + 2)) / (cell & ((1 << bits) - 1))
