"""Is one system better than another? Two values of a metric, and the interval of their difference.

A difference counts where 0 lies outside its 95 % interval. Resampled together, on the same cells or
utterances, two systems have a narrower interval than their own ones suggest, since the same things
are hard for both; where that is unknown, the interval of independent values takes its place, which
errs towards no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from zerochain.metrics.names import Direction

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A metric of two systems."""

    first: float
    second: float
    interval: Interval | None
    """95 % of the difference; None where it can't be estimated."""
    direction: Direction = "lower"
    """Which values are better; "" where neither is."""

    @property
    def difference(self) -> float:
        """First minus second."""
        return self.first - self.second

    @property
    def better(self) -> Literal[0, 1] | None:
        """The one that is shown to be better: the first (0), the second (1), or neither."""
        if self.interval is None or not self.direction:
            return None
        low, high = self.interval
        if low <= 0 <= high:
            return None
        return 0 if (high < 0) == (self.direction == "lower") else 1

    def verdict(self, names: Sequence[str]) -> str:
        """What the interval allows to say about two systems of these names."""
        if self.better is not None:
            return f"{names[self.better]} is better, beyond the interval"
        if self.interval is None:
            return "no interval, so neither is shown to be better"
        return "no difference is shown: 0 is within the interval"


def independent(
    first: float, first_interval: Interval | None, second: float, second_interval: Interval | None
) -> Interval | None:
    """Interval of the difference of independent values, from theirs.

    Half widths add up as squares (Howe 1974), above and below the value each by itself.

    Returns:
        None where one of the two has no interval.
    """
    if first_interval is None or second_interval is None:
        return None
    below = math.hypot(first - first_interval[0], second_interval[1] - second)
    above = math.hypot(first_interval[1] - first, second - second_interval[0])
    return first - second - below, first - second + above
