"""Duration-penalised segmentation: units with durations from the costs of any unit model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.units import run_lengths

Costs = NDArray[np.float32]
Segments = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Units (N,) and how many steps each lasts (N,)."""


@dataclass(frozen=True)
class Segmentation:
    """How steps become segments; by default they don't, and every step has its own unit."""

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
            f"costs of shape {costs.shape} are no (T, K) of at least one step and unit"
        )
    if not (math.isfinite(costs.min()) and math.isfinite(costs.max())):
        raise InputError(
            "a unit's cost at some step is NaN or infinite",
            cause="the features or the unit model hold NaN",
            remedy="extract the features again, or fit the model again",
        )
    if price == 0 and min_duration == 1 and max_duration is None:
        return run_lengths(costs.argmin(axis=1).astype(np.int32))
    from zerochain.discovery.segmentation_kernel import best_segments

    n_steps = len(costs)
    longest = n_steps if max_duration is None else min(max_duration, n_steps)
    return best_segments(
        np.ascontiguousarray(costs, np.float32), float(price), min(min_duration, n_steps), longest
    )


def _check(penalty: float, min_duration: int, max_duration: int | None) -> None:
    if not (math.isfinite(penalty) and penalty >= 0):
        raise InputError(
            f"a penalty of {penalty} makes no sense", remedy="give a finite number of at least 0"
        )
    if min_duration < 1 or (max_duration is not None and max_duration < 2 * min_duration - 1):
        raise InputError(
            f"no utterance can always be cut into segments of {min_duration} to {max_duration} "
            "steps",
            cause="the longest is too short beside the shortest: some lengths are no sum of them",
            remedy=f"let segments last up to {max(2 * min_duration - 1, 1)} steps or more, from "
            f"{max(min_duration, 1)} step on",
        )
