"""DiscoPhon's folders: its data set with gold phones and items, and a system's units.

    DATA/alignment/alignment-eng-test.txt     #file onset offset #phone, phone after phone
    DATA/item/triphone-eng-test.item
    DATA/manifest/manifest-eng-train-10h.csv  fileid, speaker, num_samples
    DATA/audio/eng/train-10h/<fileid>.wav
    UNITS/units-eng-test.jsonl                {"file": <fileid>, "units": [12, 12, 33]}

Six languages are for development, six are the test; each has the splits train-10min, train-1h and
train-10h, which contain each other, dev and test.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.exchange.unit_text import read_unit_text, write_unit_text
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.text_files import lines_of, read_text

FRAME_MS = 10
"""Phones last multiples of this."""
EVALUATED = ("dev", "test")
TRAINING = ("train-10min", "train-1h", "train-10h")
SPLITS = (*EVALUATED, *TRAINING)
_COLUMNS = ("#file", "onset", "offset", "#phone")
_PREFIX, _SUFFIX = "units-", ".jsonl"


@dataclass(frozen=True)
class Language:
    """A language of the benchmark."""

    code: str
    """ISO 639-3."""
    name: str
    part: Literal["dev", "test"]
    """The languages that it belongs to."""
    n_phonemes: int


_DEVELOPMENT = (
    Language("deu", "German", "dev", 41),
    Language("swa", "Swahili", "dev", 29),
    Language("tam", "Tamil", "dev", 29),
    Language("tha", "Thai", "dev", 40),
    Language("tur", "Turkish", "dev", 27),
    Language("ukr", "Ukrainian", "dev", 35),
)
_TEST = (
    Language("cmn", "Mandarin Chinese", "test", 42),
    Language("eng", "English", "test", 39),
    Language("eus", "Basque", "test", 29),
    Language("fra", "French", "test", 34),
    Language("jpn", "Japanese", "test", 42),
    Language("wol", "Wolof", "test", 39),
)
LANGUAGES = {language.code: language for language in (*_DEVELOPMENT, *_TEST)}
"""ISO 639-3 code → language."""


class UnitPart(NamedTuple):
    """The units of one split of one language."""

    language: Language
    split: str
    path: Path


def units_path(folder: Path, code: str, split: str) -> Path:
    """Where a system's units of a language and a split belong.

    Raises:
        InputError: not a language or split of the benchmark.
    """
    for what, one, known in (("language", code, LANGUAGES), ("split", split, SPLITS)):
        if one not in known:
            raise InputError(
                f"DiscoPhon has no {what} {one!r}; it has {', '.join(known)}",
                path=folder,
                cause="languages are ISO 639-3 codes, such as eng",
                remedy=f"give one of these as the {what}",
            )
    return folder / f"{_PREFIX}{code}-{split}{_SUFFIX}"


def unit_parts(folder: Path) -> list[UnitPart]:
    """The splits that are evaluated, of all languages in a system's folder, sorted by name.

    Raises:
        InputError: none, or a file whose name has another language or split.
    """
    parts = []
    for path in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}")):
        code, _, split = path.name[len(_PREFIX) : -len(_SUFFIX)].partition("-")
        units_path(folder, code, split)
        if split in EVALUATED:
            parts.append(UnitPart(LANGUAGES[code], split, path))
    if not parts:
        raise InputError(
            "holds no units to evaluate",
            path=folder,
            cause="it is not a folder of DiscoPhon's layout",
            remedy=f"name the files {_PREFIX}<language>-<dev or test>{_SUFFIX}, or make them with "
            "'zerochain export discophon'",
        )
    return parts


def write_units_part(
    folder: Path, code: str, split: str, units: Mapping[str, NDArray[np.int32]]
) -> Path:
    """Write a unit per step of each file of a split; other files of the folder stay.

    Raises:
        InputError: as `units_path`.
    """
    path = units_path(folder, code, split)
    folder.mkdir(parents=True, exist_ok=True)
    write_unit_text(path, "jsonl", units)
    return path


def read_units_part(part: UnitPart) -> dict[str, NDArray[np.int32]]:
    """The units of a split, as `read_unit_text`."""
    return read_unit_text(part.path, "jsonl")


def alignment_path(data: Path, code: str, split: str) -> Path:
    """The gold phones of a split."""
    return data / "alignment" / f"alignment-{code}-{split}.txt"


def items_path(data: Path, code: str, split: str) -> Path:
    """The triphones of a split, for ABX."""
    return data / "item" / f"triphone-{code}-{split}.item"


def read_alignment(path: Path) -> Phones:
    """The phones of each file, which follow each other without a gap.

    Raises:
        InputError: no such file, another header, a line that isn't a phone, or phones with gaps or
            that don't last multiples of 10 ms; the message names the line.
    """
    if not path.is_file():
        raise InputError(
            "no such file",
            path=path,
            cause="it is not DiscoPhon's data folder",
            remedy="give the folder that holds alignment/, item/, manifest/ and audio/",
        )
    rows = [line.split(" ") for line in lines_of(read_text(path)) if line.strip()]
    header = rows[0] if rows else []
    if not set(_COLUMNS) <= set(header):
        raise InputError(
            f"begins with {' '.join(header)!r}, without {', '.join(_COLUMNS)}",
            path=path,
            cause="it is another file, or its header is missing",
            remedy="copy it again",
        )
    places = [header.index(name) for name in _COLUMNS]
    lines: dict[str, list[tuple[int, int, str]]] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise _bad(path, number, f"has {len(row)} fields, not {len(header)}")
        name, onset, offset, phone = (row[i] for i in places)
        first, last = _frames(onset, path, number), _frames(offset, path, number)
        if last <= first:
            raise _bad(path, number, f"a phone from {onset} to {offset}")
        lines.setdefault(name, []).append((first, last, phone))
    for name, line in lines.items():
        line.sort()
        ends = [0, *(last for _, last, _ in line)]
        if any(first != end for (first, _, _), end in zip(line, ends, strict=False)):
            raise InputError(
                f"the phones of {name!r} don't follow each other from 0 on",
                path=path,
                remedy="copy it again",
            )
    seconds = FRAME_MS / 1000
    return Phones(
        {
            name: [Phone(first * seconds, last * seconds, phone) for first, last, phone in line]
            for name, line in sorted(lines.items())
        },
        str(path),
    )


def labels_of(phones: Phones) -> dict[str, list[str]]:
    """The label of every 10 ms of each file of an alignment."""
    return {
        name: [
            p.phone
            for p in line
            for _ in range(round(p.offset * 1000 / FRAME_MS) - round(p.onset * 1000 / FRAME_MS))
        ]
        for name, line in phones.by_id.items()
    }


class Listed(NamedTuple):
    """A recording in a manifest."""

    name: str
    speaker: str | None


def read_manifest(data: Path, code: str, split: str) -> list[Listed]:
    """The recordings of a split.

    Raises:
        InputError: no such file, or one without a column fileid.
    """
    path = data / "manifest" / f"manifest-{code}-{split}.csv"
    if not path.is_file():
        raise InputError(
            "no such file",
            path=path,
            cause="it is not DiscoPhon's data folder",
            remedy="give the folder that holds alignment/, item/, manifest/ and audio/",
        )
    table = csv.DictReader(io.StringIO(read_text(path)))
    columns = table.fieldnames or []
    if "fileid" not in columns:
        raise InputError(
            f"has no column 'fileid'; it has {', '.join(columns)}",
            path=path,
            remedy="copy it again",
        )
    return [Listed(row["fileid"], row.get("speaker") or None) for row in table]


def _frames(text: str, path: Path, number: int) -> int:
    try:
        frames = float(text) * 1000 / FRAME_MS
    except ValueError:
        frames = float("nan")
    if not (frames >= 0 and abs(frames - round(frames)) < 1e-4):
        raise _bad(path, number, f"{text} s is not a multiple of {FRAME_MS} ms")
    return round(frames)


def _bad(path: Path, number: int, found: str) -> InputError:
    return InputError(
        found,
        path=f"{path}:{number}",
        cause="the file was changed, or cut short",
        remedy="copy it again",
    )
