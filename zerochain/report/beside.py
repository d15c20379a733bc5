"""A system's place among the published ones: by ABX, at its bit rate, and in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zerochain.formats.scores import Score
from zerochain.report.published import Published, published_systems

SIMILAR_BITRATE = 1.1
"""Systems of up to so many times as many bit/s count as no more expensive."""


@dataclass(frozen=True)
class Ours:
    """A system of ours with the two numbers that the challenge compares."""

    name: str
    abx: Score
    bitrate: Score
    timed: Score | None
    """The bit rate of segments with their durations, where it was scored."""


@dataclass(frozen=True)
class Place:
    """Where a system stands among the published ones."""

    ours: Ours
    systems: tuple[Published, ...]
    """The published ones, best ABX first."""

    @property
    def rank(self) -> int:
        """1 is the lowest ABX error of all; equal ones share a rank."""
        return 1 + sum(s.abx < self.ours.abx.value for s in self.systems)

    @property
    def as_cheap(self) -> list[Published]:
        """Those that need no more bits, give or take a tenth."""
        limit = self.ours.bitrate.value * SIMILAR_BITRATE
        return [s for s in self.systems if s.bitrate <= limit]

    @property
    def rank_as_cheap(self) -> int:
        """The rank by ABX among those."""
        return 1 + sum(s.abx < self.ours.abx.value for s in self.as_cheap)

    @property
    def better(self) -> list[Published]:
        """Those that are at least as good in both and better in one: on the front there is none."""
        abx, bits = self.ours.abx.value, self.ours.bitrate.value
        return [
            s
            for s in self.systems
            if s.abx <= abx and s.bitrate <= bits and (s.abx, s.bitrate) != (abx, bits)
        ]

    @property
    def worse(self) -> list[Published]:
        """Those that this system is at least as good as in both and better in one."""
        abx, bits = self.ours.abx.value, self.ours.bitrate.value
        return [
            s
            for s in self.systems
            if s.abx >= abx and s.bitrate >= bits and (s.abx, s.bitrate) != (abx, bits)
        ]


def places(scores: Sequence[Score], language: str) -> list[Place]:
    """The place of every system that has an across-speaker ABX error and a bit rate.

    The two are joined by what the system is called, its corpus and its split; of scores of the
    same thing the last one counts, and each protocol and distance of ABX has a place of its own.

    Raises:
        InputError: another language than "english" and "surprise".
    """
    systems = tuple(sorted(published_systems(language), key=lambda s: (s.abx, s.bitrate)))
    rates = {_key(s): s for s in scores if s.metric == "bitrate_bit/s"}
    timed = {_key(s): s for s in scores if s.metric == "timed_segment_bitrate_bit/s"}
    across = {
        (*_key(s), s.protocol, s.options.get("distance")): s
        for s in scores
        if s.metric == "abx_across_%"
    }
    return [
        Place(Ours(score.system, score, rates[key], timed.get(key)), systems)
        for score in across.values()
        if (key := _key(score)) in rates
    ]


def _key(score: Score) -> tuple[str, str, str]:
    split = score.options.get("split")
    return score.system, score.inputs.get("corpus", ""), str(split)
