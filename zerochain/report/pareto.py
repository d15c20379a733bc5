"""The Pareto front: what nothing else beats in both respects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other is at least as low as in both coordinates.

    Of points that are equal the first one stands for all.

    Args:
        points: (x, y), less is better in both.

    Returns:
        From the lowest x to the lowest y: x rises strictly, y falls strictly.
    """
    if not points:
        return []
    x, y = np.asarray(points, float).T
    front: list[int] = []
    lowest = np.inf
    for i in np.lexsort((y, x)):  # by x, then y; stable, so that equal points keep their order
        if y[i] < lowest:
            front.append(int(i))
            lowest = y[i]
    return front
