"""Published results (evaluation/*/*.csv), and a system's rank among those of ZeroSpeech.

The challenges of 2019 and 2020 compared systems by two numbers, the ABX error across speakers and
the bit rate. A system is ranked by ABX among all, by ABX among those with as few bits, and it is on
the Pareto front if no published system is at least as good in both and better in one. The published
numbers are of the challenge's own recordings: unless those were scored, they show only a trend, and
by another protocol than the challenge's there is no rank at all.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zerochain.errors import InputError
from zerochain.formats.basis import shortfall
from zerochain.formats.scores import Score
from zerochain.machine import resource
from zerochain.metrics import names

LANGUAGES = ("english", "surprise")
PROTOCOL = "zs2019"
"""The ABX protocol of the challenges."""
SIMILAR_BITRATE = 1.1
"""Bit rates up to this many times as high count as equal."""


@dataclass(frozen=True)
class Published:
    """One published system on one language; None where nothing was published."""

    name: str
    year: int
    language: str
    distance: str
    abx: float
    """Across-speaker ABX error in per cent, by the challenge's own scorer."""
    bitrate: float
    """Bits per second."""
    mos: float | None = None
    cer: float | None = None
    external_data: bool = False


def published_systems(language: str) -> list[Published]:
    """Entries of the ZeroSpeech challenges of 2019 and 2020, each listed once.

    Args:
        language: "english" or "surprise".

    Raises:
        InputError: another language.
    """
    if language not in LANGUAGES:
        raise InputError(
            f"no results are published for {language!r}",
            remedy=f"choose {' or '.join(LANGUAGES)}",
        )
    rows = _rows(resource("evaluation/zerospeech2019") / "published.csv")
    entries = [_entry(row) for row in rows if row["language"] == language]
    # Baseline and topline were entered again in 2020, and some 2020 entries are listed twice.
    first = {(e.name.rstrip("*"), e.abx, e.bitrate): e for e in reversed(entries)}
    return [e for e in entries if first[e.name.rstrip("*"), e.abx, e.bitrate] is e]


@dataclass(frozen=True)
class PaperRow:
    """One line of Tables 1–5 of Tjandra et al. 2019, on English; None where a cell is empty."""

    table: int
    system: str
    n_units: int | None
    stride: int | None
    """Frames of 10 ms per unit."""
    abx: float
    bitrate: float


def tjandra2019() -> list[PaperRow]:
    """ABX and bit rate of features, K-Means, GMM and VQ-VAE at several sizes and strides."""
    return [
        PaperRow(
            table=int(row["table"]),
            system=row["system"],
            n_units=_whole(row["n_units"]),
            stride=_whole(row["time_reduction"]),
            abx=float(row["abx"]),
            bitrate=float(row["bitrate"]),
        )
        for row in _rows(resource("evaluation/zerospeech2019") / "tjandra2019.csv")
    ]


@dataclass(frozen=True)
class Baseline:
    """A baseline of DiscoPhon: means over its test languages or over those for development.

    Everything in per cent, but PNMI; many-to-one, on the test splits.
    """

    model: str
    layer: int
    adapted_on: str
    """How much speech of each language it was adapted on: "none", "10min", "1h", "10h"."""
    languages: str
    """"test" or "dev"."""
    pnmi: float
    per: float
    r_value: float
    f1: float
    abx_identical: float
    """Triphones, by identity of units; the mean of within and across speakers."""
    abx_continuous: float
    """The same of the network's vectors, by angle."""


def discophon_baselines(languages: str = "test") -> list[Baseline]:
    """The published baselines, of the layers that their authors chose."""
    return [
        Baseline(
            model=row["model"],
            layer=int(row["layer"]),
            adapted_on=row["adapted_on"],
            languages=row["languages"],
            pnmi=float(row["pnmi"]) / 100,
            per=float(row["per"]),
            r_value=float(row["r_value"]),
            f1=float(row["f1"]),
            abx_identical=float(row["abx_identical"]),
            abx_continuous=float(row["abx_continuous"]),
        )
        for row in _rows(resource("evaluation/discophon") / "published.csv")
        if row["languages"] == languages
    ]


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
    """A system among the published ones."""

    ours: Ours
    systems: tuple[Published, ...]
    """The published ones, the lowest ABX error first."""

    @property
    def is_challenge(self) -> bool:
        """Whether errors are by the challenge's protocol; by others there is no rank."""
        return self.ours.abx.protocol == PROTOCOL

    @property
    def rank(self) -> int:
        """By ABX error, from 1; equal errors share a rank."""
        return 1 + sum(s.abx < self.ours.abx.value for s in self.systems)

    @property
    def as_cheap(self) -> list[Published]:
        """The systems with at most 1.1 times as many bits per second."""
        limit = self.ours.bitrate.value * SIMILAR_BITRATE
        return [s for s in self.systems if s.bitrate <= limit]

    @property
    def rank_as_cheap(self) -> int:
        """The rank by ABX error among these."""
        return 1 + sum(s.abx < self.ours.abx.value for s in self.as_cheap)

    @property
    def better(self) -> list[Published]:
        """Systems that are at least as good in both and better in one; on the front, none."""
        abx, bits = self.ours.abx.value, self.ours.bitrate.value
        return [
            s
            for s in self.systems
            if s.abx <= abx and s.bitrate <= bits and (s.abx, s.bitrate) != (abx, bits)
        ]

    @property
    def worse(self) -> list[Published]:
        """Systems that this one beats: at least as good in both and better in one."""
        abx, bits = self.ours.abx.value, self.ours.bitrate.value
        return [
            s
            for s in self.systems
            if s.abx >= abx and s.bitrate >= bits and (s.abx, s.bitrate) != (abx, bits)
        ]


def places(scores: Sequence[Score], language: str) -> list[Place]:
    """The place of every system that has an across-speaker ABX error and a bit rate.

    The two are joined by the system's name, corpus and split. Of repeated scores the last one
    counts; each protocol and distance of ABX has its own place. What rests on too little data
    (`formats.basis.shortfall`) has no place.

    Raises:
        InputError: another language than "english" and "surprise".
    """
    systems = tuple(sorted(published_systems(language), key=lambda s: (s.abx, s.bitrate)))
    rates = {_key(s): s for s in scores if s.metric == names.BITRATE.key}
    timed = {_key(s): s for s in scores if s.metric == names.TIMED_SEGMENT_BITRATE.key}
    across = {
        (*_key(s), s.protocol, s.options.get("distance")): s
        for s in scores
        if s.metric == names.ABX_ACROSS.key
    }
    return [
        Place(Ours(score.system, score, rates[key], timed.get(key)), systems)
        for score in across.values()
        if (key := _key(score)) in rates and not (shortfall(score) or shortfall(rates[key]))
    ]


def _key(score: Score) -> tuple[str, str, str]:
    split = score.options.get("split")
    return score.system, score.inputs.get("corpus", ""), str(split)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(
            "no such file",
            path=path,
            cause="zerochain was installed without its evaluation folder",
            remedy="install the wheel, or run from a checkout",
        )
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _entry(row: dict[str, str]) -> Published:
    return Published(
        name=row["author"],
        year=int(row["challenge"]),
        language=row["language"],
        distance=row["distance"],
        abx=float(row["abx"]),
        bitrate=float(row["bitrate"]),
        mos=_number(row["mos"]),
        cer=_number(row["cer"]),
        external_data=row["external_data"] == "True",
    )


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _number(text: str) -> float | None:
    return float(text) if text else None
