"""Praat TextGrids: read all tiers, write several; `zerochain.corpora.tiers` chooses among them."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from zerochain.errors import InputError

# Praat reads free-standing numbers, strings and flags; all else ("xmin =", "item [1]:") is comment,
# and so is the rest of a line behind an exclamation mark that begins a word.
_COMMENT = r"(?<!\S)![^\r\n]*"
_STRING = r'"((?:[^"]|"")*)"'
_NUMBER = r"(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
_TOKEN = re.compile(f"{_COMMENT}|{_STRING}|{_NUMBER}")
_FIX = 'open it in Praat and "Save as text file…"'


class Interval(NamedTuple):
    """One interval, in seconds; `place` says where it stands, for errors."""

    place: str
    onset: float
    offset: float
    label: str


@dataclass(frozen=True)
class Tier:
    """One tier; a point tier has no intervals, since points last no time."""

    name: str
    intervals: tuple[Interval, ...]
    """The labelled ones: an empty label is a gap."""
    has_points: bool = False


@dataclass(frozen=True)
class TextGrid:
    """All tiers of a file, in its order, and the time that it covers (s)."""

    start_s: float
    end_s: float
    tiers: tuple[Tier, ...]


def read_textgrid(path: Path) -> TextGrid:
    """All of a TextGrid in Praat's long or short text format, UTF-8 or UTF-16.

    Labels and names are composed (NFC); white space within them, line ends included, is a space.

    Raises:
        InputError: not such a TextGrid, or damaged: what a tier declares it holds, and nothing is
            left over behind it.
    """
    reader = _Reader(_tokens(_text(path)))
    try:
        if (next(reader.tokens), next(reader.tokens)) != ("ooTextFile", "TextGrid"):
            raise ValueError("it is no TextGrid")
        start_s, end_s = reader.number(), reader.number()
        tiers = [reader.tier(i) for i in range(1, reader.count() + 1)]
        reader.end(tiers)
    except StopIteration as error:
        raise _damaged(path, f"it ends in the middle of {reader.place}") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return TextGrid(start_s, end_s, tuple(tiers))


Segment = tuple[float, float, str]
"""From, to (seconds), label."""


def textgrid_text(duration_s: float, tiers: Mapping[str, Sequence[Segment]]) -> str:
    """A TextGrid in Praat's long text format.

    Args:
        duration_s: of the recording; what lies beyond it is cut off.
        tiers: name → segments in the order of time; gaps between them get an empty label.
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {duration_s:.6f}", "tiers? <exists>", f"size = {len(tiers)}"]
    lines.append("item []:")
    for number, (name, segments) in enumerate(tiers.items(), 1):
        filled = _filled(segments, duration_s)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"']
        lines += [f"        name = {_quoted(name)}", "        xmin = 0"]
        lines += [f"        xmax = {duration_s:.6f}", f"        intervals: size = {len(filled)}"]
        for i, (onset, offset, label) in enumerate(filled, 1):
            lines += [f"        intervals [{i}]:", f"            xmin = {onset:.6f}"]
            lines += [f"            xmax = {offset:.6f}", f"            text = {_quoted(label)}"]
    return "\n".join(lines) + "\n"


def _filled(segments: Sequence[Segment], duration_s: float) -> list[Segment]:
    """Segments without gaps between 0 and the end, to a microsecond."""
    filled: list[Segment] = []
    reached, end = 0.0, round(duration_s, 6)
    for onset, offset, label in segments:
        start, stop = max(round(onset, 6), reached), min(round(offset, 6), end)
        if start >= stop:
            continue
        if start > reached:
            filled.append((reached, start, ""))
        filled.append((start, stop, label))
        reached = stop
    if reached < end:
        filled.append((reached, end, ""))
    return filled


def _quoted(label: str) -> str:
    doubled = label.replace('"', '""')
    return f'"{doubled}"'


class _Reader:
    """Takes the tokens of a TextGrid one after the other, and knows where it is."""

    def __init__(self, tokens: Iterator[str | float]) -> None:
        self.tokens = tokens
        self.place = "its header"

    def number(self) -> float:
        token = next(self.tokens)
        if not isinstance(token, float):
            raise ValueError(f"{token!r} stands where a number belongs, in {self.place}")
        return token

    def count(self) -> int:
        value = self.number()
        if not (value >= 0 and value.is_integer()):
            raise ValueError(f"{value:g} stands where a number of things belongs, in {self.place}")
        return int(value)

    def string(self) -> str:
        token = next(self.tokens)
        if not isinstance(token, str):
            raise ValueError(f"{token:g} stands where a label belongs, in {self.place}")
        return " ".join(token.split())

    def tier(self, number: int) -> Tier:
        if number > 1:
            self.place = f"the beginning of tier {number}, behind {self.place}"
        kind, name = self.string(), self.string()
        self.place = f"tier {number} {name!r}"
        if kind not in {"IntervalTier", "TextTier"}:
            raise ValueError(f"{self.place} is of an unknown class, {kind!r}")
        self.number(), self.number()
        n_items = self.count()
        items: list[Interval] = []
        for i in range(1, n_items + 1):
            self.place = f"tier {number} {name!r}, which declares {n_items} and reached {i - 1}"
            onset = self.number()
            offset = self.number() if kind == "IntervalTier" else onset
            items.append(Interval(f"tier {number}, interval {i}", onset, offset, self.string()))
        self.place = f"tier {number} {name!r}, which declares {n_items}"
        if kind == "TextTier":
            return Tier(name, (), has_points=True)
        return Tier(name, tuple(item for item in items if item.label))

    def end(self, tiers: Sequence[Tier]) -> None:
        n_left = sum(1 for _ in self.tokens)
        if n_left:
            where = self.place if tiers else "its header, which declares no tier"
            raise ValueError(f"{n_left} more numbers and labels stand behind {where}")


def _tokens(text: str) -> Iterator[str | float]:
    for match in _TOKEN.finditer(text):
        label, number = match.groups()
        if number is not None:
            yield float(number)
        elif label is not None:
            yield label.replace('""', '"')


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(b"ooBinaryFile"):
        raise InputError("is a TextGrid in Praat's binary format", path=path, remedy=_FIX)
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _other_encoding(path) from error
    if "\0" in text:
        raise _other_encoding(path)
    if "Praat chronological TextGrid" in text[:100]:
        raise InputError("is a TextGrid in Praat's chronological format", path=path, remedy=_FIX)
    return unicodedata.normalize("NFC", text)


def _other_encoding(path: Path) -> InputError:
    return InputError(
        "is neither UTF-8 nor UTF-16 with a byte-order mark",
        path=path,
        cause="an old Praat or a text editor saved it in another encoding, such as Latin-1",
        remedy=_FIX,
    )


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"is not a TextGrid that can be read: {reason}",
        path=path,
        cause="it was cut short, joined to another, or edited without its counts",
        remedy=_FIX,
    )
