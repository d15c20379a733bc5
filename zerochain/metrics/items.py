"""The items that ABX compares: tokens of phones, from gold alignments or from an .item file.

An item is a stretch of an utterance with its phone, both neighbours and speaker; .item files are
those of the ZeroSpeech challenges. A `FrameRule` decides which frames belong to an item, by default
those whose middle lies in it.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from zerochain.errors import InputError, counted, listed
from zerochain.formats.atomic import atomic_file
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.text_files import fields_of, lines_of, read_text
from zerochain.metrics.silences import SILENCES

EDGE = "#"
"""The neighbour of an utterance's first and last phone."""
_GAP_S = 0.02
FrameRule = Literal["middle", "middle-less-one", "fraction"]
"""Which frames belong to an item, see `item_frames`."""
COLUMNS = ("file", "onset", "offset", "phone", "prev-phone", "next-phone", "speaker")


class Item(NamedTuple):
    """One token: utterance `file` from `onset` to `offset` seconds, spoken by `speaker`."""

    file: str
    onset: float
    offset: float
    phone: str
    previous: str
    next: str
    speaker: str


Exclusions = dict[str, int]
"""Reason why tokens were left out → their number."""


def triphone_items(
    phones: Phones, speakers: Mapping[str, str | None], silences: Collection[str] = SILENCES
) -> tuple[list[Item], Exclusions]:
    """Whole triphones, labelled by their centre phone; the outer two are the context.

    An item runs from the previous phone's onset to the next one's offset, so all three must be
    phones: centre phones next to a silence, a gap or an edge are left out and counted.

    Raises:
        InputError: an utterance without a known speaker, or no item left.
    """

    def cut(name: str, before: Phone | None, phone: Phone, after: Phone | None) -> Item | None:
        if before is None or after is None or before.phone in silences or after.phone in silences:
            return None
        return Item(name, before.onset, after.offset, phone.phone, before.phone, after.phone, "")

    return _items(phones, speakers, silences, cut)


def phone_items(
    phones: Phones, speakers: Mapping[str, str | None], silences: Collection[str] = SILENCES
) -> tuple[list[Item], Exclusions]:
    """Single phones, with the labels around them, silences and edges ("#") included, as context.

    Raises:
        InputError: an utterance without a known speaker, or no item left.
    """

    def cut(name: str, before: Phone | None, phone: Phone, after: Phone | None) -> Item | None:
        left, right = (EDGE if p is None else p.phone for p in (before, after))
        return Item(name, phone.onset, phone.offset, phone.phone, left, right, "")

    return _items(phones, speakers, silences, cut)


def is_pause(offset: float, onset: float) -> bool:
    """Whether phones that end and begin there (s) have an unlabelled pause between them.

    So it is if they are more than 20 ms apart, to the microsecond: as floats, 0.1033 - 0.0833 is
    more than 0.02.
    """
    return round(onset - offset, 6) > _GAP_S


def frame_span(onset: float, offset: float, step_ms: float) -> tuple[int, int]:
    """The first frame of an item and the one behind its last; equal where it has none.

    Times are rounded to a millionth of a step first: 0.035 s is 3.5 steps of 10 ms, but not exactly
    so in floating point.
    """
    step_s = step_ms / 1000
    first = math.ceil(round(onset / step_s - 0.5, 6))
    last = math.floor(round(offset / step_s - 0.5, 6))
    return first, max(first, last + 1)


def item_frames(
    item: Item, n_frames: int, step_ms: float, rule: FrameRule = "middle"
) -> tuple[int, int] | str:
    """The first frame of an item and the one behind its last, or the reason why it can't be used.

    Args:
        n_frames: of the recording.
        rule: "middle": onset ≤ (i + ½) · step ≤ offset. "middle-less-one": the same without the
            last of these frames, unrounded, and cropped to the recording, as in Libri-Light's code.
            "fraction": onset ≤ i / n_frames ≤ offset, where the item's times are fractions of the
            recording, as in ZeroSpeech 2019.
    """
    if rule == "fraction":
        first = math.ceil(round(item.onset * n_frames, 6))
        last = min(math.floor(round(item.offset * n_frames, 6)) + 1, n_frames)
    elif rule == "middle-less-one":
        rate = 1 / (step_ms / 1000)  # 100 · 0.035 is 3.5000000000000004, as there: a frame less
        first = max(0, math.ceil(rate * item.onset - 0.5))
        last = min(n_frames, math.floor(rate * item.offset - 0.5))
    else:
        first, last = frame_span(item.onset, item.offset, step_ms)
    if first >= n_frames or (first < last and (first < 0 or last > n_frames)):
        return "outside_the_audio"
    return (first, last) if first < last else "without_a_frame"


def read_items(path: Path) -> list[Item]:
    """Read a ZeroSpeech .item file: whitespace-separated columns under a header.

    The header names the columns, with or without #, in any order; further columns are ignored.
    Without a header the columns are file, onset, offset, phone, previous, next, speaker.

    Raises:
        InputError: no such file, bytes that are no UTF-8, no item, a line with too few columns or
            with invalid times; the message names the line.
    """
    lines = enumerate(lines_of(unicodedata.normalize("NFC", read_text(path))), 1)
    rows = [(n, fields_of(line)) for n, line in lines if line.strip()]
    header = [name.lstrip("#") for name in rows[0][1]] if rows else []
    if set(COLUMNS) <= set(header):
        order = [header.index(name) for name in COLUMNS]
        rows = rows[1:]
    else:
        order = list(range(len(COLUMNS)))
    if not rows:
        raise InputError(
            "holds no item", path=path, cause="it is empty or was cut short", remedy="copy it again"
        )
    return [_item(columns, order, f"{path}:{n}") for n, columns in rows]


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Write a ZeroSpeech .item file atomically.

    Raises:
        InputError: a label or id that is empty or holds a space, which the format can't carry.
    """
    lines = ["#file onset offset #phone prev-phone next-phone speaker"]
    bad: dict[str, dict[str, None]] = {}
    for item in items:
        phones = (item.phone, item.previous, item.next)
        for what, words in (
            ("file", (item.file,)),
            ("phone", phones),
            ("speaker", (item.speaker,)),
        ):
            for word in words:
                if len(word.split()) != 1 or word.strip() != word:
                    bad.setdefault(what, {})[repr(word)] = None
        labels = " ".join((*phones, item.speaker))
        lines.append(f"{item.file} {item.onset:.6f} {item.offset:.6f} {labels}")
    if bad:
        found = [f"{counted(len(one), what)} ({listed(list(one), 3)})" for what, one in bad.items()]
        raise InputError(
            f"can't hold names that are empty or have a space: {', '.join(found)}",
            path=path,
            cause="spaces separate the columns of an .item file",
            remedy="import the recordings again under names, speakers and labels without spaces",
        )
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _items(
    phones: Phones,
    speakers: Mapping[str, str | None],
    silences: Collection[str],
    cut: Callable[[str, Phone | None, Phone, Phone | None], Item | None],
) -> tuple[list[Item], Exclusions]:
    """The items that `cut` makes of phones and their neighbours; None is one beside a silence."""
    items, excluded = [], Counter[str]()
    for name, before, phone, after in _windows(phones):
        if phone.phone in silences:
            excluded["silence"] += 1
        elif (item := cut(name, before, phone, after)) is None:
            excluded["beside_silence"] += 1
        else:
            items.append(item)
    return _with_speakers(items, speakers, phones.source), dict(excluded)


def _windows(phones: Phones) -> Iterator[tuple[str, Phone | None, Phone, Phone | None]]:
    """Each phone between its neighbours; None at an edge or across a gap."""
    for name, line in phones.by_id.items():
        for i, phone in enumerate(line):
            before = line[i - 1] if i > 0 else None
            after = line[i + 1] if i + 1 < len(line) else None
            if before is not None and is_pause(before.offset, phone.onset):
                before = None
            if after is not None and is_pause(phone.offset, after.onset):
                after = None
            yield name, before, phone, after


def _with_speakers(
    items: list[Item], speakers: Mapping[str, str | None], source: str
) -> list[Item]:
    if not items:
        raise InputError(
            "the alignments leave no item for ABX",
            path=source or None,
            cause="every phone is a silence or next to one",
            remedy="check the alignments and the list of silences, or score with protocol='phone'",
        )
    nameless = sorted({item.file for item in items if not speakers.get(item.file)})
    if nameless:
        raise InputError(
            f"{counted(len(nameless), 'utterance')} without a known speaker: {listed(nameless)}",
            cause="the recordings were imported without speakers",
            remedy="import them again with speakers, from their paths or from a table",
        )
    return [item._replace(speaker=str(speakers[item.file])) for item in items]


def _item(columns: list[str], order: list[int], where: str) -> Item:
    if len(columns) <= max(order):
        raise InputError(
            f"has {counted(len(columns), 'column')}, not {max(order) + 1}",
            path=where,
            cause="the line was cut short, or a label is empty",
            remedy="fix the line",
        )
    file, onset, offset, phone, previous, following, speaker = (columns[i] for i in order)
    try:
        times = float(onset), float(offset)
    except ValueError:
        times = math.nan, math.nan
    if not (0 <= times[0] < times[1] < math.inf):
        raise InputError(
            f"runs from {onset} to {offset}, which is not an interval in seconds",
            path=where,
            cause="the columns are in another order and have no header",
            remedy=f"give a header: #{' '.join(COLUMNS)}",
        )
    return Item(file, *times, phone, previous, following, speaker)
