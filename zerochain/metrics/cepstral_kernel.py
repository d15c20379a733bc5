"""Dynamic time warping of two sequences of vectors, compiled, in memory for a few rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerochain.kernels import compiled

Doubles = NDArray[np.float64]


@compiled(error_model="numpy", fastmath={"contract", "nnan", "nsz"})
def mean_on_path(a: Doubles, b: Doubles) -> float:
    """Mean Euclidean distance along the path of the smallest sum.

    A path goes from both first frames to both last ones by steps of one frame in either sequence
    or in both, all with weight one. Of paths with equal sums the shortest counts, so that the
    result is the same with the sequences swapped.

    Args:
        a: (D, T), frames in columns.
        b: (D, U).
    """
    n, m = a.shape[1], b.shape[1]
    cost, length = np.empty(m), np.empty(m, np.int64)
    distance = np.empty(m)
    for i in range(n):
        distance[:] = 0.0
        for d in range(len(a)):
            x = a[d, i]
            row = b[d]
            for j in range(m):
                distance[j] += (row[j] - x) * (row[j] - x)
        diagonal, diagonal_length = 0.0, 0
        for j in range(m):
            best, steps = diagonal, diagonal_length
            if i > 0:
                diagonal, diagonal_length = cost[j], length[j]
                if j == 0 or (diagonal, diagonal_length) < (best, steps):
                    best, steps = diagonal, diagonal_length
            if j > 0 and (i == 0 or (cost[j - 1], length[j - 1]) < (best, steps)):
                best, steps = cost[j - 1], length[j - 1]
            cost[j] = best + np.sqrt(distance[j])
            length[j] = steps + 1
    return float(cost[m - 1] / length[m - 1])
