"""ELAN's annotation files (.eaf, formats 2.0 to 3.0): tiers with times, and the media they are of.

An annotation either is between two time slots or refers to a parent annotation, on the tier above
its own. ELAN shows times for all of them, and so does this reader, by the same rules and in whole
milliseconds: a child on a tier of Symbolic_Association has its parent's times, children on a tier
of Symbolic_Subdivision share them evenly, and time slots without a time are spread evenly between
those next to them in a chain of annotations.

No library gives these times, and pympi-ling drops what it doesn't know when it writes
(findings/pympi_eaf.sh). The text is read by `elan_xml`.

Format: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote

from zerochain.corpora.sounds import stem
from zerochain.errors import listed
from zerochain.exchange.elan_xml import Document, Element, annotations_of
from zerochain.exchange.textgrid import Interval, Tier
from zerochain.exchange.xml_tree import reading
from zerochain.formats.identity import composed

SUFFIX = ".eaf"
PROGRAM = "ELAN"
_LATEST_MS = 2**32 - 1


class Media(NamedTuple):
    """A recording that a file is linked with."""

    url: str
    """Absolute, as the machine had it that wrote the file."""
    relative_url: str
    """From the file's folder; "" where the file doesn't say."""
    origin_ms: int
    """The recording's time at which the file's own begins."""

    @property
    def names(self) -> list[str]:
        """Its possible names, without folders: some programs escape a blank as %20, some don't."""
        urls = [url for url in (self.relative_url, self.url) if url]
        ends = [re.split(r"[/\\]", url)[-1] for url in urls]
        names = [form for end in ends for form in (end, unquote(end))]
        names = [name for name in names if name and name[0] != "." and "/" not in name]
        return list(dict.fromkeys(composed(name) for name in names))


@dataclass(frozen=True)
class ElanTiers:
    """A file's tiers, in its order and with times in seconds, and its media."""

    tiers: tuple[Tier, ...]
    media: tuple[Media, ...]

    def on_recording(self, name: str) -> Self:
        """The same with times on a recording's clock, which may begin before the file's.

        Args:
            name: of the recording, with folders or without; of unknown ones the first media counts.
        """
        later = self.origin_ms(name) / 1000
        return replace(self, tiers=tuple(_later(tier, later) for tier in self.tiers))

    def origin_ms(self, name: str) -> int:
        """The time of a recording at which the file's own begins; `name` as for `on_recording`."""
        last = composed(name.rpartition("/")[2])
        named = (one for one in self.media if last in map(stem, one.names))
        media = next(named, self.media[0] if self.media else None)
        return 0 if media is None else media.origin_ms


@dataclass(frozen=True)
class ElanFile(ElanTiers):
    """All that a file holds; its text and elements take ten times the memory of its tiers."""

    path: Path
    document: Document = field(repr=False)


def _later(tier: Tier, seconds: float) -> Tier:
    def moved(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
        return tuple(
            one._replace(onset=round(one.onset + seconds, 3), offset=round(one.offset + seconds, 3))
            for one in intervals
        )

    return replace(tier, intervals=moved(tier.intervals), unlabelled=moved(tier.unlabelled))


def read_elan(path: Path) -> ElanFile:
    """All tiers of an .eaf file, every annotation with times.

    Labels and names are composed (NFC); white space within them, line ends included, is a space.
    Annotations are in the order of time.

    Raises:
        InputError: not such a file, damaged, with a document type definition, or with annotations
            that refer to nothing or have no times.
    """
    return elan_of(path.read_bytes(), path)


def elan_of(data: bytes, path: Path) -> ElanFile:
    """What the bytes of an .eaf file hold; `path` is for errors. As `read_elan`."""
    with reading(path, PROGRAM):
        document = Document.parsed(data)
        times = _Times(document)
        tiers = tuple(_tier(element, times) for element in document.tiers)
        media = tuple(_media(element) for element in document.media)
    return ElanFile(tiers, media, path, document)


def _tier(element: Element, times: _Times) -> Tier:
    name = _text(element.attributes["TIER_ID"])
    found, shares = [], []
    for one in annotations_of(element):
        identity = one.attributes["ANNOTATION_ID"]
        begin, end = times.of[identity]
        place = f"tier {name!r}, annotation {identity}"
        if identity in times.shares:
            shares.append(place)
        found.append(Interval(place, begin / 1000, end / 1000, _text(one.parts[0].value)))
    found.sort(key=lambda one: (one.onset, one.offset))
    return Tier(
        name,
        tuple(one for one in found if one.label),
        kind=_text(element.attributes["LINGUISTIC_TYPE_REF"]),
        speaker=_text(element.attributes.get("PARTICIPANT", "")),
        parent=_text(element.attributes.get("PARENT_REF", "")),
        unlabelled=tuple(one for one in found if not one.label),
        shares=frozenset(shares),
    )


def _media(element: Element) -> Media:
    get = element.attributes.get
    origin = get("TIME_ORIGIN", "0")
    if not re.fullmatch(r"[-+]?[0-9]{1,12}", origin):
        raise ValueError(f"line {element.line}: TIME_ORIGIN {origin!r} is not a time")
    return Media(get("MEDIA_URL", ""), get("RELATIVE_MEDIA_URL", ""), int(origin))


def _text(value: str) -> str:
    return " ".join(composed(value).split())


class _Times:
    """The begin and end of every annotation, in whole milliseconds, by its id."""

    def __init__(self, document: Document) -> None:
        self._tiers = {one.attributes["TIER_ID"]: one for one in document.tiers}
        if len(self._tiers) < len(document.tiers):
            raise ValueError("two tiers have the same name")
        self._kinds = self._constraints(document)
        self._slots = _slots(document.time_order)
        self._by_id = self._annotations_by_id()
        self.of: dict[str, tuple[int, int]] = {}
        """Annotation → begin, end (ms)."""
        self.shares = set[str]()
        """Those whose times are no measured ones, but even shares."""
        proposed: dict[str, Mapping[str, int]] = {}
        for name in self._parents_first():
            proposed[name] = self._aligned(name, proposed.get(self._parent(name) or ""))
        self._refer()

    def _parent(self, name: str) -> str | None:
        return self._tiers[name].attributes.get("PARENT_REF") or None

    def _constraints(self, document: Document) -> dict[str, str]:
        """Tier → the constraint of its linguistic type; "" of a tier on its own."""
        types = {
            one.attributes["LINGUISTIC_TYPE_ID"]: one.attributes.get("CONSTRAINTS", "")
            for one in document.all("LINGUISTIC_TYPE")
        }
        kinds = {}
        for name, tier in self._tiers.items():
            kind = tier.attributes["LINGUISTIC_TYPE_REF"]
            if kind not in types:
                raise ValueError(
                    f"line {tier.line}: tier {name!r} is of linguistic type {kind!r}, "
                    "which the file doesn't define"
                )
            kinds[name] = types[kind].replace(" ", "_").casefold()
        return kinds

    def _annotations_by_id(self) -> dict[str, tuple[str, Element]]:
        """Annotation → its tier's name and its element."""
        found: dict[str, tuple[str, Element]] = {}
        for name, tier in self._tiers.items():
            for one in annotations_of(tier):
                identity = one.attributes["ANNOTATION_ID"]
                if identity in found:
                    raise ValueError(f"line {one.line}: a second annotation {identity!r}")
                found[identity] = (name, one)
        return found

    def _parents_first(self) -> list[str]:
        """Names of tiers, each behind its parent's."""
        order: dict[str, None] = {}
        for name in self._tiers:
            line: dict[str, None] = {}
            at: str | None = name
            while at is not None and at not in order:
                if at in line:
                    raise ValueError(f"tier {at!r} is above itself")
                if at not in self._tiers:
                    raise ValueError(f"tier {[*line][-1]!r} is below {at!r}, which isn't there")
                line[at] = None
                at = self._parent(at)
            order.update(dict.fromkeys(reversed(line)))
        return list(order)

    def _aligned(self, name: str, above: Mapping[str, int] | None) -> Mapping[str, int]:
        """Time the annotations of a tier that are between slots; return the times of its slots.

        Args:
            above: the times of the parent tier's slots; None where it has no parent.
        """
        spans = [
            (one.attributes["TIME_SLOT_REF1"], one.attributes["TIME_SLOT_REF2"], one)
            for one in annotations_of(self._tiers[name])
            if one.name == "ALIGNABLE_ANNOTATION"
        ]
        for begin, end, one in spans:
            for slot in (begin, end):
                if slot not in self._slots:
                    raise ValueError(f"line {one.line}: there is no time slot {slot!r}")
        pairs = [(begin, end) for begin, end, _ in spans]
        times: dict[str, int] = {}
        for chain in _chains(pairs):
            times.update(self._spread(chain, above))
        for begin, end, one in spans:
            if times[begin] > times[end]:
                raise ValueError(
                    f"line {one.line}: an annotation on tier {name!r} from {times[begin]} to "
                    f"{times[end]} ms runs backwards"
                )
            self.of[one.attributes["ANNOTATION_ID"]] = times[begin], times[end]
            if self._slots[begin] is None or self._slots[end] is None:
                self.shares.add(one.attributes["ANNOTATION_ID"])
        return times

    def _spread(self, chain: Sequence[str], above: Mapping[str, int] | None) -> dict[str, int]:
        """The times of a chain's slots; those without one are spread evenly, as ELAN does.

        ELAN's TierImpl.proposeTimeFor: ends of the chain without a time have that of the tier
        above; between two slots with a time, steps are rounded down to whole milliseconds.
        """
        times: dict[str, int] = {}
        for i, slot in enumerate(chain):
            value = self._slots[slot]
            if value is None and (above is None or i in (0, len(chain) - 1)):
                value = (above or {}).get(slot)
                value = self._proposed(slot) if value is None else value
            if value is not None:
                times[slot] = value
        known = [i for i, slot in enumerate(chain) if slot in times]
        for left, right in itertools.pairwise(known):
            inner = _even(times[chain[left]], times[chain[right]], right - left)
            times.update(zip(chain[left + 1 : right], inner, strict=True))
        return times

    def _proposed(self, slot: str) -> int:
        """The time of a slot by its place among all slots; ELAN's TimeOrderImpl.proposeTimeFor."""
        if slot not in self._by_place:
            raise ValueError(f"time slot {slot!r} has no time, and none after it has one")
        return self._by_place[slot]

    @cached_property
    def _by_place(self) -> dict[str, int]:
        """The times of slots without one, spread evenly between those before and after them."""
        found: dict[str, int] = {}
        before, waiting = 0, list[str]()
        for slot in _sorted(self._slots):
            value = self._slots[slot]
            if value is None:
                waiting.append(slot)
                continue
            found.update(zip(waiting, _even(before, value, len(waiting) + 1), strict=True))
            before, waiting = value, []
        return found

    def _refer(self) -> None:
        """Time the annotations that refer to others, from parents to children."""
        below: dict[str, dict[str, list[Element]]] = defaultdict(lambda: defaultdict(list))
        for name, one in self._by_id.values():
            if one.name == "REF_ANNOTATION":
                parent = one.attributes["ANNOTATION_REF"]
                if parent not in self._by_id:
                    raise ValueError(
                        f"line {one.line}: annotation {one.attributes['ANNOTATION_ID']!r} refers "
                        f"to {parent!r}, which isn't there"
                    )
                below[parent][name].append(one)
        waiting = deque(self.of)
        while waiting:
            parent = waiting.popleft()
            begin, end = self.of[parent]
            for name, children in below.get(parent, {}).items():
                if self._kinds[name] == "symbolic_association":
                    found = {one.attributes["ANNOTATION_ID"]: (begin, end) for one in children}
                else:
                    found = _shared(_in_order(children), begin, end)
                self.of.update(found)
                if parent in self.shares or len(set(found.values())) > 1:
                    self.shares.update(found)
                waiting.extend(found)
        left = [one for one in self._by_id if one not in self.of]
        if left:
            raise ValueError(f"annotations refer to each other in a circle: {listed(left)}")


def _even(begin: int, end: int, n: int) -> list[int]:
    """The inner ones of the n + 1 times that cut a stretch into `n` equal parts."""
    return [begin + i * ((end - begin) // n) for i in range(1, n)]


def _shared(names: Sequence[str], begin: int, end: int) -> dict[str, tuple[int, int]]:
    """Even shares of a parent's time, as ELAN's SymbolicSubdivision rounds them."""
    each = (end - begin) / len(names)
    return {
        name: (begin + int(i * each), begin + int((i + 1) * each)) for i, name in enumerate(names)
    }


def _in_order(children: Sequence[Element]) -> list[str]:
    """The ids of one parent's annotations on a tier, in the order of their links.

    Programs other than ELAN leave the links out; then the order is the file's.
    """
    ids = {one.attributes["ANNOTATION_ID"] for one in children}
    following: dict[str, str] = {}
    first = []
    for one in children:
        identity = one.attributes["ANNOTATION_ID"]
        before = one.attributes.get("PREVIOUS_ANNOTATION")
        if before is None:
            first.append(identity)
            continue
        if before not in ids:
            raise ValueError(
                f"line {one.line}: annotation {identity!r} follows {before!r}, which has another "
                "parent or isn't there"
            )
        if before in following:
            raise ValueError(f"line {one.line}: a second annotation follows {before!r}")
        following[before] = identity
    order: list[str] = []
    for identity in first:
        at: str | None = identity
        while at is not None:
            order.append(at)
            at = following.get(at)
    if len(order) < len(ids):
        raise ValueError(f"line {children[0].line}: annotations follow each other in a circle")
    return order


def _slots(time_order: Element) -> dict[str, int | None]:
    """Time slot → its time (ms), None where it has none, in the file's order."""
    slots: dict[str, int | None] = {}
    for one in time_order.parts:
        identity, value = one.attributes["TIME_SLOT_ID"], one.attributes.get("TIME_VALUE")
        if identity in slots:
            raise ValueError(f"line {one.line}: a second time slot {identity!r}")
        if value is not None and not (
            re.fullmatch(r"[0-9]{1,10}", value) and int(value) <= _LATEST_MS
        ):
            raise ValueError(f"line {one.line}: {value!r} is not a time in milliseconds")
        slots[identity] = None if value is None else int(value)
    return slots


def _sorted(slots: Mapping[str, int | None]) -> list[str]:
    """Time slots in the order of time; those without one stay behind their neighbours."""
    keys, latest = [], 0
    for slot, value in slots.items():
        latest = latest if value is None else value
        keys.append((latest, slot))
    return [slot for _, slot in sorted(keys, key=lambda key: key[0])]


def _chains(spans: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The slots of annotations on a tier, joined where one begins at the slot another ends at."""
    following: dict[str, str] = {}
    for begin, end in spans:
        if begin == end:
            raise ValueError(f"an annotation begins and ends at the same time slot, {begin!r}")
        following.setdefault(begin, end)
    reached = {end for begin, end in spans if following[begin] == end}
    chains: list[list[str]] = []
    done: set[tuple[str, str]] = set()
    for start in (begin for begin in following if begin not in reached):
        chain = [start]
        while chain[-1] in following:
            done.add((chain[-1], following[chain[-1]]))
            chain.append(following[chain[-1]])
            if len(chain) > len(following) + 1:
                raise ValueError(f"annotations follow each other in a circle, from {start!r} on")
        chains.append(chain)
    rest = [pair for pair in dict.fromkeys(spans) if pair not in done]
    circular = [begin for begin, end in rest if following[begin] == end]
    if circular:
        raise ValueError(f"annotations follow each other in a circle, from {circular[0]!r} on")
    return [*chains, *map(list, rest)]
