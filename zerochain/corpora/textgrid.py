"""Praat TextGrids: read the intervals of one tier, write several."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zerochain.errors import InputError, listed

TIERS = ("phones", "phone", "phonemes", "phoneme")
"""Tiers that are taken for phones unless another one is named."""
# Praat reads free-standing numbers, strings and flags; all else ("xmin =", "item [1]:") is comment.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)')


class Interval(NamedTuple):
    """One interval, in seconds; `place` says where it stands, for errors."""

    place: str
    onset: float
    offset: float
    label: str


def read_textgrid(path: Path, tier: str | None = None) -> list[Interval]:
    """The labelled intervals of a tier; intervals with an empty label are gaps, not phones.

    Args:
        path: a TextGrid in Praat's long or short text format, UTF-8 or UTF-16.
        tier: its name; by default the first interval tier named phones, phone or phonemes.

    Raises:
        InputError: not such a TextGrid, damaged, or without that tier (its tiers are listed).
    """
    tiers = _parse(path)
    names = list(dict.fromkeys(tiers))
    if tier is not None:
        chosen = [name for name in names if name == tier]
    else:
        chosen = [name for name in names if name.lower() in TIERS]
    if not chosen:
        wanted = repr(tier) if tier is not None else "named phones"
        raise InputError(
            f"has no interval tier {wanted}; its interval tiers are "
            f"{listed([repr(name) for name in names]) or 'none'}",
            path=path,
            remedy="name the one that holds the phones with --tier",
        )
    return [interval for interval in tiers[chosen[0]] if interval.label]


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


def _parse(path: Path) -> dict[str, list[Interval]]:
    """The interval tiers by name, the first of each name; point tiers are passed over."""
    tokens = _tokens(path)
    tiers: dict[str, list[Interval]] = {}
    try:
        if (next(tokens), next(tokens)) != ("ooTextFile", "TextGrid"):
            raise ValueError("it is no TextGrid")
        _start, _end, n_tiers = [_number(tokens) for _ in range(3)]
        for _ in range(int(n_tiers)):
            kind, name = _string(tokens), _string(tokens)
            _start, _end, n_items = [_number(tokens) for _ in range(3)]
            if kind == "IntervalTier":
                intervals = [_interval(tokens, i) for i in range(1, int(n_items) + 1)]
                tiers.setdefault(name, intervals)
            else:
                for _ in range(int(n_items)):
                    _number(tokens), _string(tokens)
    except StopIteration as error:
        raise _damaged(path, "it ends in the middle of a tier") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return tiers


def _interval(tokens: Iterator[str | float], i: int) -> Interval:
    onset, offset = _number(tokens), _number(tokens)
    return Interval(f"interval {i}", onset, offset, _string(tokens).strip())


def _tokens(path: Path) -> Iterator[str | float]:
    for match in _TOKEN.finditer(_text(path)):
        number = match[2]
        yield float(number) if number is not None else match[1].replace('""', '"')


def _number(tokens: Iterator[str | float]) -> float:
    token = next(tokens)
    if not isinstance(token, float):
        raise ValueError(f"{token!r} stands where a number belongs")
    return token


def _string(tokens: Iterator[str | float]) -> str:
    token = next(tokens)
    if not isinstance(token, str):
        raise ValueError(f"{token} stands where a label belongs")
    return token


def _text(path: Path) -> str:
    data = path.read_bytes()
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _damaged(path, "neither UTF-8 nor UTF-16") from error


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"is not a TextGrid that can be read: {reason}",
        path=path,
        cause="it was cut short, or saved in Praat's binary format",
        remedy='open it in Praat and "Save as text file…"',
    )
