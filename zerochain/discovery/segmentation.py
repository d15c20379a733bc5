"""Duration-penalised segmentation: units with durations from the costs of any unit model.

The cheapest way to cut an utterance into segments of one unit each, at a price per segment (Kamper
and van Niekerk 2021, "DPDP"), with limits on durations if wanted: `segment`. The dynamic programme
is exact, O(T · K), and compiled; its loops don't hold Python's lock. `penalty.py`
chooses the price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.units import run_lengths
from zerochain.kernels import compiled

Costs = NDArray[np.float32]
Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]
_compiled = compiled(error_model="numpy", fastmath={"nnan", "nsz"})
Segments = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Units (N,) and how many steps each lasts (N,)."""


@dataclass(frozen=True)
class Segmentation:
    """How steps become segments; by default they don't, and every step has a unit of its own."""

    penalty: float = 0.0
    """Price of a segment, in the unit model's mean distortions."""
    min_duration: int = 1
    """Steps; an utterance that is shorter is one segment."""
    max_duration: int | None = None
    """Steps; None sets no limit."""

    def __post_init__(self) -> None:
        _check(self.penalty, self.min_duration, self.max_duration)

    @property
    def makes_segments(self) -> bool:
        """Whether units get durations at all."""
        return self != Segmentation()

    @property
    def summary(self) -> str:
        """What differs from the default, in a few words for people."""
        words = [f"penalty={self.penalty:.4g}"] if self.penalty else []
        words += [f"min_duration={self.min_duration}"] if self.min_duration > 1 else []
        words += [f"max_duration={self.max_duration}"] if self.max_duration else []
        return " ".join(words)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """What a bundle's config.json holds of it, as `dataclasses.asdict` wrote it there."""
        return cls(config["penalty"], config["min_duration"], config["max_duration"])


def segment(
    costs: Costs, price: float, min_duration: int = 1, max_duration: int | None = None
) -> Segments:
    """The cheapest segments of one utterance.

    Minimises Σ_t c(t, k_t) + price · N over all ways to cut T steps into N segments of one unit
    each. As Σ (1 - duration) = N - T, this is the segment sum of Kamper and van Niekerk 2021,
    "Towards unsupervised phone and word segmentation using self-supervised vector-quantized
    neural networks": Σ over segments of min_k Σ_t c(t, k) + price · (1 - duration), with their
    limits on durations. Without limits it is also what Viterbi finds when the price is paid for
    changing the unit: two segments of one unit side by side never pay. Of equally cheap segments
    the last is that of the lowest unit, then the longest; so on backwards.

    Args:
        costs: (T, K), the cost of every unit at every step.
        price: of a segment, in the unit of the costs; 0 without limits merges the runs of each
            step's cheapest unit.
        min_duration, max_duration: steps; an utterance shorter than `min_duration` is one segment.

    Raises:
        InputError: no step or unit, a cost that isn't finite, a negative or infinite price, or a
            `max_duration` below 2 · `min_duration` - 1 (some lengths couldn't be cut).
    """
    _check(price, min_duration, max_duration)
    if costs.ndim != 2 or costs.size == 0:
        raise InputError(
            f"costs of shape {costs.shape} are not (T, K) with at least one step and unit"
        )
    if not (math.isfinite(costs.min()) and math.isfinite(costs.max())):
        raise InputError(
            "a unit's cost at some step is NaN or infinite",
            cause="the features or the unit model hold NaN",
            remedy="extract the features again, or fit the model again",
        )
    if price == 0 and min_duration == 1 and max_duration is None:
        return run_lengths(costs.argmin(axis=1).astype(np.int32))

    n_steps = len(costs)
    longest = n_steps if max_duration is None else min(max_duration, n_steps)
    return best_segments(
        np.ascontiguousarray(costs, np.float32), float(price), min(min_duration, n_steps), longest
    )


def _check(penalty: float, min_duration: int, max_duration: int | None) -> None:
    if not (math.isfinite(penalty) and penalty >= 0):
        raise InputError(f"penalty={penalty} must be a finite number of at least 0")
    if min_duration < 1 or (max_duration is not None and max_duration < 2 * min_duration - 1):
        raise InputError(
            f"no utterance can always be cut into segments of {min_duration} to {max_duration} "
            "steps",
            cause="the longest is too short beside the shortest: some lengths are no sum of them",
            remedy=f"let segments last up to {max(2 * min_duration - 1, 1)} steps or more, from "
            f"{max(min_duration, 1)} step on",
        )


@_compiled
def best_segments(
    costs: NDArray[np.float32], price: float, shortest: int, longest: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The cheapest units (N,) and durations (N,) for finite costs (T, K), in O(T·K).

    A segment of unit k over the steps start … end - 1 ends the best path at

        best(end) = min over k, start of  best(start) + Σ_{t < end} c(t, k) - Σ_{t < start} c(t, k)

    plus the price. What depends on the start alone is a minimum over a window of starts that
    slides. Where no duration is too long the window only grows: a running minimum. Else the
    starts are cut into blocks of the window's width, and a window is the end of one block (whose
    minima from each start to the block's end are kept) and the beginning of the next (a running
    minimum): van Herk 1992. Either way a step looks at each unit a fixed number of times, and
    only one start and unit per step is remembered.
    """
    n_steps, n_units = costs.shape
    width = longest - shortest + 1
    limited = longest < n_steps
    best = np.full(n_steps + 1, np.inf)
    best[0] = 0.0
    last_unit, last_start = np.zeros(n_steps + 1, np.int32), np.zeros(n_steps + 1, np.int64)
    to_end, to_start = np.zeros(n_units), np.zeros(n_units)
    entry, entered = np.full(n_units, np.inf), np.zeros(n_units, np.int64)
    block = np.empty((width if limited else 0, n_units))
    block_start = np.empty((width if limited else 0, n_units), np.int64)
    score, origin = np.empty(n_units), np.empty(n_units, np.int64)
    for end in range(1, n_steps + 1):
        start = end - shortest
        if start < 0:
            to_end += costs[end - 1]
            continue
        place = start % width
        if place == 0:
            entry[:] = np.inf
        if limited:
            block[place] = best[start] - to_start
            block_start[place] = start
        for k in range(n_units):
            value = best[start] - to_start[k]
            to_start[k] += costs[start, k]
            cheaper = value < entry[k]  # equal: the earlier start, the longer segment
            entry[k] = value if cheaper else entry[k]
            entered[k] = start if cheaper else entered[k]
        score[:] = entry
        if limited:
            origin[:] = entered
            if start >= width and place + 1 < width:
                _lower(score, origin, block[place + 1], block_start[place + 1])
            if place == width - 1:
                _minima_to_the_end(block, block_start)
        for k in range(n_units):
            to_end[k] += costs[end - 1, k]
            score[k] += to_end[k]
        unit = _first_lowest(score)
        best[end] = score[unit] + price
        last_unit[end] = unit
        last_start[end] = origin[unit] if limited else entered[unit]
    return _traced(last_unit, last_start)


@_compiled
def _lower(values: Doubles, starts: Longs, older: Doubles, older_starts: Longs) -> None:
    """Put the values and starts of older ones (K,) where they are no higher."""
    for k in range(len(values)):
        takes = older[k] <= values[k]
        values[k] = older[k] if takes else values[k]
        starts[k] = older_starts[k] if takes else starts[k]


@_compiled
def _minima_to_the_end(block: Doubles, block_start: Longs) -> None:
    """Each row of a block (W, K) becomes the minimum of itself and of those below it."""
    for place in range(len(block) - 2, -1, -1):
        below, below_start = block[place + 1], block_start[place + 1]
        for k in range(block.shape[1]):
            cheaper = below[k] < block[place, k]
            block[place, k] = below[k] if cheaper else block[place, k]
            block_start[place, k] = below_start[k] if cheaper else block_start[place, k]


@_compiled
def _first_lowest(values: Doubles) -> int:
    """np.argmin in two passes: the first runs in SIMD, which numba's doesn't."""
    lowest = np.inf
    for k in range(len(values)):
        lowest = min(lowest, values[k])
    first = 0
    while values[first] != lowest:
        first += 1
    return first


@_compiled
def _traced(
    last_unit: NDArray[np.int32], last_start: Longs
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Units and durations, from the last segment's end backwards."""
    end = len(last_unit) - 1
    units, durations = np.empty(end, np.int32), np.empty(end, np.int32)
    n_segments = 0
    while end > 0:
        units[n_segments] = last_unit[end]
        durations[n_segments] = end - last_start[end]
        end = last_start[end]
        n_segments += 1
    return units[:n_segments][::-1].copy(), durations[:n_segments][::-1].copy()
