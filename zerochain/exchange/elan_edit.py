"""More tiers for an ELAN file's text, in which every other byte stays as it is.

The text gets tiers, their linguistic types and time slots. Slots go where ELAN expects them, in the
order of time. Ids begin with "zc" and "zt": ELAN numbers its own annotations a1, a2, … from the
last one that the header mentions, so they can't meet. Linguistic types begin with "zerochain-", by
which a later export knows the tiers that it may replace.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from zerochain.errors import InputError
from zerochain.exchange.elan import ElanFile, elan_of
from zerochain.exchange.elan_xml import Element, annotations_of

OURS = "zerochain-"
"""How the linguistic types of our tiers begin."""
SEGMENTS = f"{OURS}segments"
_INDENT = b"    "
_NO_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


class Row(NamedTuple):
    """One annotation, in whole milliseconds."""

    begin_ms: int
    end_ms: int
    label: str


@dataclass(frozen=True)
class NewTier:
    """A tier to be written; its rows are in the order of time and don't overlap."""

    name: str
    kind: str
    """Its linguistic type."""
    rows: Sequence[Row]
    speaker: str = ""


def with_tiers(file: ElanFile, tiers: Sequence[NewTier]) -> bytes:
    """A file's bytes with more tiers, which replace those of ours with the same names.

    Raises:
        InputError: a tier of another kind has such a name, or one that would be replaced has tiers
            below it; a label that XML can't hold; annotations whose times would change.
    """
    file = _without(file, {tier.name for tier in tiers})
    order = file.document.time_order
    if order.inner_end < 0:  # <TIME_ORDER/>, into which nothing can be put
        opened = file.document.text[: order.end - 2] + b"></TIME_ORDER>"
        rest = file.document.text[order.end :]
        file = elan_of(file.document.encoded(opened + rest), file.path)
    document = file.document
    text = document.text
    newline = b"\r\n" if b"\r\n" in text else b"\n"
    there = {one.attributes["LINGUISTIC_TYPE_ID"] for one in document.all("LINGUISTIC_TYPE")}
    kinds = [kind for kind in dict.fromkeys(tier.kind for tier in tiers) if kind not in there]
    slots, body = _written(text, tiers, newline)
    edits = _slot_edits(document.time_order, slots, text, newline)
    at = (document.tiers or (document.time_order,))[-1].end
    edits.append((at, body))
    types = b"".join(
        newline
        + _INDENT
        + f'<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID={quoteattr(kind)} '
        'TIME_ALIGNABLE="true"/>'.encode()
        for kind in kinds
    )
    defined = document.all("LINGUISTIC_TYPE")
    edits.append((defined[-1].end if defined else at, types))
    written = document.encoded(_edited(text, edits))
    if elan_of(written, file.path).tiers[: len(file.tiers)] != file.tiers:
        raise InputError(
            "has time slots without a time that no annotation with times surrounds on their tiers",
            path=file.path,
            cause="ELAN places them between all other time slots, so more tiers would move them",
            remedy="give these annotations times in ELAN",
        )
    return written


def without_tiers(file: ElanFile) -> bytes:
    """A file's bytes without the tiers that `with_tiers` wrote, their types and time slots."""
    ours = {
        one.attributes["TIER_ID"]
        for one in file.document.tiers
        if one.attributes["LINGUISTIC_TYPE_REF"].startswith(OURS)
    }
    bare = _without(file, ours)
    text = bare.document.text
    types = [
        one
        for one in bare.document.all("LINGUISTIC_TYPE")
        if one.attributes["LINGUISTIC_TYPE_ID"].startswith(OURS)
    ]
    return bare.document.encoded(_removed(text, types))


def _without(file: ElanFile, names: set[str]) -> ElanFile:
    """The file without our tiers of these names, and without the time slots that they alone use."""
    gone = [one for one in file.document.tiers if one.attributes["TIER_ID"] in names]
    if not gone:
        return file
    for one in gone:
        name, kind = one.attributes["TIER_ID"], one.attributes["LINGUISTIC_TYPE_REF"]
        if not kind.startswith(OURS):
            raise InputError(
                f"has a tier {name!r} of its own, of linguistic type {kind!r}",
                path=file.path,
                remedy="rename the tier, or the file of units or spans: tiers are named after them",
            )
    left = [one for one in file.document.tiers if one.attributes["TIER_ID"] not in names]
    below = [one for one in left if one.attributes.get("PARENT_REF") in names]
    if below:
        raise InputError(
            f"its tier {below[0].attributes['TIER_ID']!r} depends on "
            f"{below[0].attributes['PARENT_REF']!r}, which would be replaced",
            path=file.path,
            remedy="rename the file of units or spans: tiers are named after them",
        )
    used = _slots_of(left)
    freed = _slots_of(gone) - used
    slots = [
        one for one in file.document.time_order.parts if one.attributes["TIME_SLOT_ID"] in freed
    ]
    text = _removed(file.document.text, [*slots, *gone])
    return elan_of(file.document.encoded(text), file.path)


def _slots_of(tiers: Iterable[Element]) -> set[str]:
    return {
        one.attributes[key]
        for tier in tiers
        for one in annotations_of(tier)
        if one.name == "ALIGNABLE_ANNOTATION"
        for key in ("TIME_SLOT_REF1", "TIME_SLOT_REF2")
    }


def _removed(text: bytes, elements: Iterable[Element]) -> bytes:
    """A text without elements and the white space before them."""
    kept, at = [], 0
    for one in sorted(elements, key=lambda one: one.begin):
        kept.append(text[at : one.begin].rstrip())
        at = one.end
    return b"".join([*kept, text[at:]])


def _edited(text: bytes, edits: Iterable[tuple[int, bytes]]) -> bytes:
    """A text with insertions (where, what); those at one place stay in their order."""
    pieces, at = [], 0
    for where, what in sorted(edits, key=lambda edit: edit[0]):
        pieces += [text[at:where], what]
        at = where
    return b"".join([*pieces, text[at:]])


def _written(
    text: bytes, tiers: Sequence[NewTier], newline: bytes
) -> tuple[list[tuple[int, str]], bytes]:
    """The time slots (time in ms, id) and the elements of tiers."""
    n_annotations, n_slots = _last(text, b"zc"), _last(text, b"zt")
    slots: list[tuple[int, str]] = []
    lines: list[str] = []
    for tier in tiers:
        for value in (tier.name, tier.kind, tier.speaker, *(row.label for row in tier.rows)):
            if _NO_XML.search(value):
                raise InputError(
                    f"tier {tier.name!r}: XML can't hold the text {value!r}",
                    cause="it holds control characters",
                    remedy="remove them",
                )
        who = f" PARTICIPANT={quoteattr(tier.speaker)}" if tier.speaker else ""
        lines.append(
            f"    <TIER LINGUISTIC_TYPE_REF={quoteattr(tier.kind)}{who} "
            f"TIER_ID={quoteattr(tier.name)}>"
        )
        for row in tier.rows:
            begin, end = f"zt{n_slots + 1}", f"zt{n_slots + 2}"
            n_slots, n_annotations = n_slots + 2, n_annotations + 1
            slots += [(row.begin_ms, begin), (row.end_ms, end)]
            lines += [
                "        <ANNOTATION>",
                f'            <ALIGNABLE_ANNOTATION ANNOTATION_ID="zc{n_annotations}" '
                f'TIME_SLOT_REF1="{begin}" TIME_SLOT_REF2="{end}">',
                f"                <ANNOTATION_VALUE>{escape(row.label)}</ANNOTATION_VALUE>",
                "            </ALIGNABLE_ANNOTATION>",
                "        </ANNOTATION>",
            ]
        lines.append("    </TIER>")
    return slots, b"".join(newline + line.encode() for line in lines)


def _last(text: bytes, prefix: bytes) -> int:
    """The highest number behind a prefix in any attribute; ids are unique in the whole file."""
    return max(map(int, re.findall(rb"[\"']" + prefix + rb"([0-9]{1,18})[\"']", text)), default=0)


def _slot_edits(
    order: Element, slots: Sequence[tuple[int, str]], text: bytes, newline: bytes
) -> list[tuple[int, bytes]]:
    """Where new time slots go: each before the first one with a later time, as ELAN does it."""
    latest, at = [], 0
    for one in order.parts:
        at = max(at, int(one.attributes.get("TIME_VALUE", 0)))
        latest.append(at)
    groups: dict[int, list[bytes]] = defaultdict(list)
    for time, name in sorted(slots, key=lambda slot: slot[0]):
        tag = f'<TIME_SLOT TIME_SLOT_ID="{name}" TIME_VALUE="{time}"/>'.encode()
        groups[bisect_right(latest, time)].append(tag)
    edits = []
    for i, tags in groups.items():
        if i < len(order.parts):
            where = order.parts[i].begin
            between = text[text.rindex(b">", 0, where) + 1 : where]
            edits.append((where, b"".join(tag + between for tag in tags)))
        else:
            where = order.parts[-1].end if order.parts else order.inner_begin
            edits.append((where, b"".join(newline + 2 * _INDENT + tag for tag in tags)))
    return edits
