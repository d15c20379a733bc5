"""The penalty of a segmentation, chosen by the bit rate that it gives on untranscribed speech.

Penalties are counted in a unit model's mean distortion, so that one number means about the same for
all models; bit rates are what systems are compared at. `segmentation.py` has the segments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from zerochain.config import Config
from zerochain.discovery.model import UnitModel
from zerochain.discovery.segmentation import Costs, Segmentation, segment
from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile, run_lengths
from zerochain.metrics.bitrate import entropy
from zerochain.progress import track

_SAMPLE_S = 1200.0
_SAMPLE_COSTS = 2**26  # of float32: 256 MB
_ROUNDS = 40
_REACHED = 0.9  # of the bit rate asked for: a sample's rate is not that of all speech


class SegmentationOptions(Config):
    """Changes of a unit model's segmentation; None keeps the model's own setting."""

    penalty: float | None = Field(None, ge=0)
    """Penalty per segment, as a multiple of the mean distortion: units become segments with
    durations."""
    bitrate: float | None = Field(None, gt=0)
    """Choose the penalty so that segments have this bit rate, in bit/s, on the given speech. Their
    durations are not counted and cost extra; the command says how much."""
    min_duration: int | None = Field(None, ge=1)
    """Minimum duration of a segment, in steps."""
    max_duration: int | None = Field(None, ge=1)
    """Maximum duration of a segment, in steps."""

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.penalty is not None and self.bitrate is not None:
            raise ValueError("a penalty and a bit rate can't both be given: one gives the other")
        return self

    def applied_to(self, segmentation: Segmentation) -> Segmentation:
        """The segmentation with these options, but for the bit rate, for which speech is needed."""
        return replace(segmentation, **self.model_dump(exclude={"bitrate"}, exclude_none=True))


def with_bitrate(
    model: UnitModel,
    segmentation: Segmentation,
    features: Features,
    durations_s: Mapping[str, float],
    bitrate: float,
    *,
    seed: int = 0,
) -> Segmentation:
    """The segmentation with the penalty at which a fitted model's segments have a bit rate.

    Args:
        segmentation: its limits on durations are kept.
        features: of the speech that counts, of which `speech_sample` is taken.
        durations_s: utterance → seconds.
        bitrate: in bit/s, as `penalty_for_bitrate` has it.

    Raises:
        InputError: as `penalty_for_bitrate`; or the model's mean distortion is 0, so that no
            penalty can be counted in it.
    """
    sample = speech_sample(features, model.n_units, seed)
    costs = dict(model.costs(features, sample))
    limits = segmentation.min_duration, segmentation.max_duration
    price = penalty_for_bitrate(costs, durations_s, bitrate, *limits)
    if price > 0 and model.distortion == 0:
        raise InputError(
            "no penalty can be counted in the model's mean distortion, which is 0",
            cause="it was fitted on as few distinct frames as it has units",
            remedy="fit it on more speech",
        )
    return replace(segmentation, penalty=price / model.distortion if price else 0.0)


def speech_sample(features: Features, n_units: int, seed: int = 0) -> list[str]:
    """Random utterances of up to 20 minutes, fewer where there are thousands of units."""
    most = min(_SAMPLE_S * 1000 / features.step_ms, _SAMPLE_COSTS / n_units)
    chosen: list[str] = []
    size = 0
    for i in np.random.default_rng(seed).permutation(len(features)):
        name = features.ids[i]
        size += features.index[name][1]
        if chosen and size > most:
            break
        chosen.append(name)
    return chosen


def penalty_for_bitrate(
    costs: Mapping[str, Costs],
    durations_s: Mapping[str, float],
    target: float,
    min_duration: int = 1,
    max_duration: int | None = None,
    *,
    tolerance: float = 0.01,
) -> float:
    """The price at which segments have a bit rate: N / D · H of segments, repeats merged.

    A bisection: segments become fewer as the price rises. Their entropy needn't fall as well, but
    the rate crosses the target between any price where it is above and one where it is below.
    It changes in jumps, so on little speech the nearest rate may be outside the tolerance.

    Args:
        costs: utterance → (T, K), what each unit costs at each step.
        durations_s: utterance → seconds, of these utterances and maybe others.
        target: in bit/s.
        tolerance: relative.

    Returns:
        The price of a segment, in the unit of the costs, as `segment` takes it; 0 if segments
        have no higher rate than the target without any.

    Raises:
        InputError: a target that is not a positive number, or one that even the longest segments
            exceed (one per utterance, if `max_duration` is None).
    """
    if not (math.isfinite(target) and target > 0):
        raise InputError(f"bitrate={target} must be above 0")
    seconds = sum(durations_s[name] for name in costs)

    def rate(price: float) -> float:
        parts = (segment(c, price, min_duration, max_duration)[0] for c in costs.values())
        return _bits(np.concatenate([run_lengths(units)[0] for units in parts])) / seconds

    # A segment less never costs more than what the dearest steps do beyond the cheapest.
    low, high = 0.0, max(float(np.ptp(c, axis=1).sum(dtype=float)) for c in costs.values())
    if rate(low) <= target:
        return 0.0
    if (floor := rate(high)) > target:
        raise InputError(
            f"{target:g} bit/s can't be reached: the longest segments cost {floor:.3g} bit/s",
            cause="each utterance has at least one segment, more where durations have a limit",
            remedy="ask for more bits, or let segments last longer",
        )
    found: dict[float, float] = {high: abs(floor - target)}
    for _ in track(range(_ROUNDS), "Choosing the penalty"):
        price = math.sqrt(low * high) if low else high / 2**20
        distance = rate(price) - target
        found[price] = abs(distance)
        if found[price] <= tolerance * target:
            break
        low, high = (price, high) if distance > 0 else (low, price)
    return min(found, key=lambda price: found[price])


def segment_rates(
    unit_file: UnitFile, durations_s: Mapping[str, float], target: float | None = None
) -> str:
    """Bits per second of a unit file's segments and their mean length, for people.

    Args:
        target: the bit rate that was asked for, in bit/s, of which a second line says what it
            means with durations; None: none was.
    """
    segments = [unit_file.segments(name) for name in unit_file.ids]
    units = np.concatenate([s[0] for s in segments])
    lasts = np.concatenate([s[1] for s in segments]).astype(np.int64)
    seconds = sum(durations_s[name] for name in unit_file.ids)
    timed = lasts * unit_file.n_units + units
    without = "without a penalty " if unit_file.durations is None else ""
    alone, whole = _bits(units) / seconds, _bits(timed) / seconds
    rates = (
        f"{without}{alone:.1f} bit/s of segments, {whole:.1f} "
        f"with their durations, {lasts.mean() * unit_file.step_ms:.0f} ms per segment"
    )
    if target is None:
        return rates
    if alone < _REACHED * target:
        return (
            f"{rates}\nthe {target:g} bit/s asked for can't be reached: these units take fewer "
            "without any penalty; more units or shorter steps take more"
        )
    more = f", {whole / alone:.2f} times as much" if alone > 0 else ""
    return (
        f"{rates}\nthe {target:g} bit/s asked for are of segments without durations "
        f"('segment_bitrate'): sent with their durations they take {whole:.0f} bit/s{more} "
        "('timed_segment_bitrate')"
    )


def _bits(symbols: NDArray[np.integer]) -> float:
    """N · H of symbols (N,)."""
    _, counts = np.unique(symbols, return_counts=True)
    return len(symbols) * float(entropy(counts.astype(np.float64)))
