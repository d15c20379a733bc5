"""Subsequence DTW: where in a long recording something like a short query is said, and how alike.

A path leads through all frames of the query, and begins and ends anywhere in the recording. In one
step it advances by one frame of both, by one of the query and two of the recording, or by two of
the query and one of the recording, so that speech may be half or twice as fast as the query. Every
step is weighted by the query's frames that it covers (Rabiner and Juang 1993, section 4.7, the
asymmetric weighting): all paths have the same total weight, so dividing by the query's length is
an exact path normalisation, and no greedy one (Hazen, Shen and White 2009).

No step stays in a frame of the recording, so three frames' costs are all that is kept: memory does
not grow with the recording.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerochain.kernels import compiled

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
LONGEST_PATH = 2
"""Frames of the recording per frame of the query, at most."""
FAR = np.float32(1e30)
"""The cost of an end that no path leads to."""

_compiled = compiled(error_model="numpy")


@_compiled
def best_paths(local: Floats, ends: Floats, starts: Ints) -> None:
    """The cheapest path to each frame of a recording, and where it starts.

    Args:
        local: distance of each frame of the recording to each of the query's (T, n).
        ends: output (T,): cost of the cheapest path that ends there, divided by n; FAR if there
            is none.
        starts: output (T,): the frame of the recording where that path starts.
    """
    n_frames, n = local.shape
    # The accumulated costs of three frames, each behind two cells that no path can come from.
    cost = np.full((3, n + 2), FAR, np.float32)
    start = np.zeros((3, n + 2), np.int32)
    half = np.float32(0.5)
    for t in range(n_frames):
        here, last, before = t % 3, (t + 2) % 3, (t + 1) % 3
        now, one, two = cost[here], cost[last], cost[before]
        now_from, one_from, two_from = start[here], start[last], start[before]
        row, previous = local[t], local[max(t - 1, 0)]
        now[2], now_from[2] = row[0], t
        for i in range(1, n):
            both = one[i + 1] + row[i]
            slow = two[i + 1] + half * (previous[i] + row[i])
            fast = one[i] + (row[i - 1] + row[i])
            origin, best = two_from[i + 1], slow
            if fast < best:
                origin, best = one_from[i], fast
            if both <= best:
                origin, best = one_from[i + 1], both
            now[i + 2], now_from[i + 2] = best, origin
        total = now[n + 1] / np.float32(n)
        ends[t] = total if total < FAR / np.float32(2 * n) else FAR
        starts[t] = now_from[n + 1]


@_compiled
def best_paths_in_pieces(local: Floats, bounds: Ints, ends: Floats, starts: Ints) -> None:
    """`best_paths` of several recordings that lie end to end: no path leads across a bound.

    Args:
        local: (T, n); ends, starts: outputs (T,), starts counted from each recording's own first.
        bounds: (R + 1,), from 0 to T.
    """
    for r in range(len(bounds) - 1):
        piece = slice(bounds[r], bounds[r + 1])
        best_paths(local[piece], ends[piece], starts[piece])


@_compiled
def table_costs(table: Floats, units: Ints, local: Floats) -> None:
    """Distances of units (T,) to the query's n, out of their table (K, n), into `local` (T, n)."""
    for t in range(len(units)):
        for i in range(table.shape[1]):
            local[t, i] = table[units[t], i]


@_compiled
def local_minima(ends: Floats, radius: int, most: np.float32, found: Ints) -> int:
    """The frames whose cost is below `most` and the least within `radius` frames on both sides.

    Of equal ones the first counts. Their numbers go to `found` (T,); returns how many there are.
    """
    n, count = len(ends), 0
    for t in range(n):
        value = ends[t]
        if value >= most:
            continue
        is_least = True
        for s in range(max(t - radius, 0), min(t + radius + 1, n)):
            if ends[s] < value or (ends[s] == value and s < t):
                is_least = False
                break
        if is_least:
            found[count] = t
            count += 1
    return count
