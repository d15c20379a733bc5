"""Published numbers to stand beside ours: evaluation/<suite>/*.csv, read."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from zerochain.errors import InputError
from zerochain.resources import resource

LANGUAGES = ("english", "surprise")


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
    """One line of Tables 1–5 of Tjandra et al. 2019, on English; None where it says nothing."""

    table: int
    system: str
    n_units: int | None
    stride: int | None
    """Frames of 10 ms that one unit lasts."""
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
