"""Praat TextGrids: read all tiers, choose the tier of phones, write tiers as text.

Aligners name tiers differently: MFA "phones" or, with several speakers in a file, "ana - phones";
WebMAUS "MAU"; DoReCo "ph@ana". A name in the same case is tried first, then in any case, then a
pattern as for file names ("* - phones"), then a place in the file ("#2"). ELAN's tiers (`elan`)
are chosen in the same way, and by their linguistic type ("type:phone") or participant as well.

Nothing is dropped or repaired in silence: a tier that holds less than it declares, a number where a
label belongs, or anything left at the end makes the file unreadable.
"""

from __future__ import annotations

import codecs
import difflib
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, Protocol

from zerochain.errors import InputError, counted, listed
from zerochain.metrics.silences import SILENCES

# Praat reads free-standing numbers, strings and flags; all else ("xmin =", "item [1]:") is comment,
# and so is the rest of a line behind an exclamation mark that begins a word.
_COMMENT = r"(?<!\S)![^\r\n]*"
_STRING = r'"((?:[^"]|"")*)"'
_NUMBER = r"(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
_TOKEN = re.compile(f"{_COMMENT}|{_STRING}|{_NUMBER}")
_FILE_TYPES = {"ooTextFile", "ooTextFile short"}
"""The latter is how old versions of Praat began the short format, as P2FA and FAVE still do."""
_FIX = 'open it in Praat and "Save as text file…"'
UTTERANCES = "utterances"
"""How tiers of utterances that zerochain writes are called, or begin: "utterances@ana"."""
WITHOUT_TEXT = "speech"
"""Their label of an utterance without a text: intervals without a label are pauses in Praat."""


class Interval(NamedTuple):
    """One interval, in seconds; `place` names it in errors."""

    place: str
    onset: float
    offset: float
    label: str


@dataclass(frozen=True)
class Tier:
    """One tier; a point tier has no intervals, since points have no duration."""

    name: str
    intervals: tuple[Interval, ...]
    """The labelled ones; an empty label is a gap."""
    has_points: bool = False
    points: tuple[Interval, ...] = ()
    """Of a point tier, each as an interval without duration."""
    kind: str = ""
    """ELAN's linguistic type; "" of a TextGrid's, which have none."""
    speaker: str = ""
    """ELAN's participant."""
    parent: str = ""
    """The name of the tier above, in ELAN."""
    unlabelled: tuple[Interval, ...] = ()
    """ELAN's annotations without a text, which are annotations all the same."""
    shares: frozenset[str] = frozenset()
    """ELAN's annotations without times of their own, by place: even shares of another's."""
    contradictory: tuple[Interval, ...] = ()
    """Transcriber's segments whose times contradict others; no times to cut by."""


@dataclass(frozen=True)
class TextGrid:
    """All tiers of a file, in its order, and the time that it covers (s)."""

    start_s: float
    end_s: float
    tiers: tuple[Tier, ...]

    def is_as_long_as(self, lasting_s: float) -> bool:
        """Whether it covers a recording of this length, or kept the times of a longer one."""
        near = max(0.1, 0.02 * lasting_s)
        covers = self.end_s, self.end_s - self.start_s
        return any(abs(one - lasting_s) <= near for one in covers)


def read_textgrid(path: Path) -> TextGrid:
    """All of a TextGrid in Praat's long or short text format, UTF-8 or UTF-16.

    Labels and names are composed (NFC); white space within them, line ends included, is a space.

    Raises:
        InputError: not such a TextGrid, or damaged: a tier holds less than it declares, or
            something is left over at the end.
    """
    text = _text(path)
    reader = _Reader(_tokens(text))
    try:
        if next(reader.tokens) not in _FILE_TYPES or next(reader.tokens) != "TextGrid":
            raise ValueError("it is not a TextGrid")
        start_s, end_s = reader.number(), reader.number()
        tiers = [reader.tier(i) for i in range(1, reader.count() + 1)]
        reader.end(tiers)
    except StopIteration as error:
        raise _damaged(path, text, f"it ends in the middle of {reader.place}") from error
    except ValueError as error:
        raise _damaged(path, text, str(error)) from error
    return TextGrid(start_s, end_s, tuple(tiers))


Segment = tuple[float, float, str]
"""From, to (seconds), label."""


def textgrid_text(
    duration_s: float, tiers: Mapping[str, Sequence[Segment]], kept: Sequence[Tier] = ()
) -> str:
    """A TextGrid in Praat's long text format.

    Args:
        duration_s: of the recording; segments beyond it are cut off.
        tiers: name → segments in order of time; gaps between them get an empty label.
        kept: tiers of another TextGrid of this recording, which come first; those with a name among
            `tiers` are replaced by these.
    """
    others = [tier for tier in kept if tier.name not in tiers]
    given = [
        *(
            (tier.name, [(i.onset, i.offset, i.label) for i in tier.intervals], tier.points, tier)
            for tier in others
        ),
        *((name, segments, (), None) for name, segments in tiers.items()),
    ]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {duration_s:.6f}", "tiers? <exists>", f"size = {len(given)}"]
    lines.append("item []:")
    for number, (name, segments, points, tier) in enumerate(given, 1):
        if tier is not None and tier.has_points:
            lines += [f"    item [{number}]:", '        class = "TextTier"']
            lines += [f"        name = {_quoted(name)}", "        xmin = 0"]
            lines += [f"        xmax = {duration_s:.6f}", f"        points: size = {len(points)}"]
            for i, point in enumerate(points, 1):
                lines += [f"        points [{i}]:", f"            number = {point.onset:.6f}"]
                lines.append(f"            mark = {_quoted(point.label)}")
            continue
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
    """Reads the tokens of a TextGrid one after the other, and keeps track of its place."""

    def __init__(self, tokens: Iterator[str | float]) -> None:
        self.tokens = tokens
        self.place = "its header"

    def number(self) -> float:
        token = next(self.tokens)
        if not isinstance(token, float):
            raise ValueError(f"{token!r} instead of a number, in {self.place}")
        return token

    def count(self) -> int:
        value = self.number()
        if not (value >= 0 and value.is_integer()):
            raise ValueError(f"{value:g} instead of a count, in {self.place}")
        return int(value)

    def string(self) -> str:
        token = next(self.tokens)
        if not isinstance(token, str):
            raise ValueError(f"{token:g} instead of a label, in {self.place}")
        return " ".join(token.split())

    def tier(self, number: int) -> Tier:
        if number > 1:
            self.place = f"the beginning of tier {number}, after {self.place}"
        kind, name = self.string(), self.string()
        self.place = f"tier {number} {name!r}"
        if kind not in {"IntervalTier", "TextTier"}:
            raise ValueError(f"{self.place} has an unknown class, {kind!r}")
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
            return Tier(name, (), has_points=True, points=tuple(items))
        return Tier(name, tuple(item for item in items if item.label))

    def end(self, tiers: Sequence[Tier]) -> None:
        n_left = sum(1 for _ in self.tokens)
        if n_left:
            where = self.place if tiers else "its header, which declares no tier"
            raise ValueError(
                f"{counted(n_left, 'more number or label', 'more numbers or labels')} after {where}"
            )


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


def _damaged(path: Path, text: str, reason: str) -> InputError:
    comma = re.search(r"^\s*(x(min|max) = )?\d+,\d+\s*$", text, re.MULTILINE)
    if comma is not None:
        return InputError(
            f"is not a TextGrid that can be read: the time {comma[0].split()[-1]!r}",
            path=path,
            cause="the decimal point is a comma",
            remedy="write times with a point",
        )
    return InputError(
        f"is not a TextGrid that can be read: {reason}",
        path=path,
        cause="it was cut short, joined to another, or edited without its counts",
        remedy=_FIX,
    )


TIERS = ("phones", "phone", "phonemes", "phoneme")
"""Tiers that are taken for phones unless another is named; "ana - phones" is one as well."""
_AS_WELL = ("mau", "ph@*")
_OVERLAP_S = 0.015
_OWN = "of several speakers' tiers, that of the utterance's speaker was taken"


class Numbered(NamedTuple):
    """A tier and its place in the file, counted from 1 as Praat does."""

    number: int
    tier: Tier

    def __str__(self) -> str:
        return f"{self.tier.name!r} (tier {self.number})"


class Chosen(NamedTuple):
    """The labelled intervals of the tier that holds the phones, and a remark on the choice."""

    intervals: list[Interval]
    note: str = ""
    is_own: bool = False
    """Whether it is named after the speaker, among others that are not."""


class Tiered(Protocol):
    """What has tiers: a TextGrid, an ELAN file."""

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """In the file's order."""


def phones_of(grid: Tiered, tier: str | None = None, speaker: str | None = None) -> Chosen:
    """The labelled intervals of the tier of phones; an empty label is a gap.

    Where several tiers match, empty ones don't count; the one named after the speaker is
    taken, or else they are joined if no two phones are at the same time, without their silences.

    Args:
        tier: a name, in any case, or a pattern such as "* - phones", or "#2" for the second tier,
            or of ELAN's tiers "type:phone" or "participant:ana"; None: one whose name is, or ends
            in, phones, phone, phonemes or phoneme.
        speaker: of the utterance.

    Raises:
        InputError: no such tier (its tiers are listed, and the most similar is suggested), or
            several tiers hold phones at the same time.
    """
    found = matching(grid, tier)
    full = [one for one in found if one.tier.intervals]
    if not full:
        return Chosen([])
    if len(full) == 1:
        empty = [str(one) for one in found if not one.tier.intervals]
        note = f"{listed(empty)} is empty; {full[0]} was taken" if empty else ""
        return Chosen(list(full[0].tier.intervals), note)
    names = {one.tier.name for one in full}
    if len(names) == 1:
        raise InputError(
            f"has {counted(len(full), 'tier')} named {full[0].tier.name!r} that hold labels: "
            f"tiers {listed([str(one.number) for one in full])}",
            cause="a tier was copied to be corrected",
            remedy=f"choose one by its place, tier='#{full[0].number}', or rename the other",
        )
    exact = [one for one in full if one.tier.name.lower() in TIERS]
    if tier is None and exact:  # "phones" next to "phonemes", which are the canonical ones
        others = [str(one) for one in full if one is not exact[0]]
        return Chosen(list(exact[0].tier.intervals), f"{exact[0]} was taken, {listed(others)} not")
    own = [one for one in full if speaker and _is_of(one.tier, speaker)]
    if len(own) == 1:
        return Chosen(list(own[0].tier.intervals), _OWN, is_own=True)
    return _joined(full)


def matching(
    grid: Tiered, wanted: str | None, *, argument: str = "tier", holds: str = "holds the phones"
) -> list[Numbered]:
    """The interval tiers that `phones_of` chooses from, empty ones only where all are.

    Args:
        grid: a file.
        wanted: a tier, as `phones_of` takes it.
        argument, holds: what errors call `wanted`, and what its tier is for.

    Raises:
        InputError: no such tier; its tiers are listed, and the most similar is suggested.
    """
    numbered = [Numbered(i, tier) for i, tier in enumerate(grid.tiers, 1)]
    tiers = [one for one in numbered if not one.tier.has_points]
    found = [fitting for rule in _rules(wanted) if (fitting := [one for one in tiers if rule(one)])]
    if not found:
        raise _no_tier(numbered, wanted, argument, holds)
    # By the strictest rule that finds labels, or, if all are empty, that finds a tier.
    return next((f for f in found if any(one.tier.intervals for one in f)), found[0])


def _no_tier(
    numbered: Sequence[Numbered], wanted: str | None, argument: str, holds: str
) -> InputError:
    """The error for a file without such a tier: it lists the tiers and suggests one."""
    tiers = [one.tier for one in numbered if not one.tier.has_points]
    named = "named phones" if wanted is None else repr(wanted)
    names = list(dict.fromkeys(tier.name for tier in tiers))
    kinds = sorted({tier.kind for tier in tiers} - {""})
    of_types = f", of the linguistic types {listed(list(map(repr, kinds)))}" if kinds else ""
    alike = [f"type:{kind}" for kind in kinds] if (wanted or "").startswith("type:") else names
    points = [
        one for one in numbered if one.tier.has_points and any(rule(one) for rule in _rules(wanted))
    ]
    return InputError(
        f"has no interval tier {named}; its interval tiers are "
        f"{listed([repr(name) for name in names]) or 'none'}{of_types}",
        cause=f"{points[0]} is a point tier: its labels have no duration" if points else None,
        remedy=f"name the one that {holds}{_offer(wanted, alike, argument)}",
    )


def _rules(wanted: str | None) -> list[Callable[[Numbered], bool]]:
    """What a tier may be called to be the wanted one, the strictest rule first."""
    if wanted is None:
        return [
            lambda one: one.tier.name.lower() in TIERS,
            lambda one: one.tier.name.lower().endswith(TIERS),
            lambda one: any(fnmatchcase(one.tier.name.lower(), name) for name in _AS_WELL),
        ]
    name = " ".join(unicodedata.normalize("NFC", wanted).split())
    return [
        lambda one: one.tier.name == name,
        lambda one: one.tier.name.casefold() == name.casefold(),
        lambda one: fnmatchcase(one.tier.name, name),
        lambda one: fnmatchcase(one.tier.name.casefold(), name.casefold()),
        lambda one: name == f"#{one.number}",
        *_rules_of(name, "type:", lambda tier: tier.kind),
        *_rules_of(name, "participant:", lambda tier: tier.speaker),
    ]


def _rules_of(
    name: str, prefix: str, text_of: Callable[[Tier], str]
) -> list[Callable[[Numbered], bool]]:
    """The rules of "type:phone": as it is written, in any case, as a pattern."""
    if not name.startswith(prefix):
        return []
    wanted = name.removeprefix(prefix).strip()
    return [
        lambda one: text_of(one.tier) == wanted,
        lambda one: text_of(one.tier).casefold() == wanted.casefold(),
        lambda one: fnmatchcase(text_of(one.tier).casefold(), wanted.casefold()),
    ]


def _offer(wanted: str | None, names: Sequence[str], argument: str) -> str:
    """How to give the tier that was most likely meant: the end of an error's remedy."""
    _, dash, ending = (wanted or "").rpartition(" - ")
    if dash and any(name.endswith(dash + ending) for name in names):
        return f", for every speaker: {argument}={'*' + dash + ending!r}"
    by_case = {name.casefold(): name for name in names}
    near = difflib.get_close_matches((wanted or "phones").casefold(), by_case, 1)
    likely = by_case[near[0]] if near else names[0] if len(names) == 1 else None
    if likely is None:
        return f" with {argument}="
    return f": {argument}={likely!r}?"


def _is_of(tier: Tier, speaker: str) -> bool:
    """Whether a tier is a speaker's, as ELAN notes it or named after them: "ana - phones"."""
    if tier.speaker:
        return tier.speaker.casefold() == speaker.casefold().strip()
    kind = "|".join(TIERS)
    rest = re.sub(rf"^(?:ph@|(?:{kind})\b)|(?:{kind})$", "", tier.name.casefold())
    return rest.strip(" -_:/.()@") == speaker.casefold().strip()


def _joined(tiers: Sequence[Numbered]) -> Chosen:
    """Tiers of several speakers as one, without their silences: each is silent in others' turns."""
    spoken = [i for one in tiers for i in one.tier.intervals if i.label not in SILENCES]
    spoken.sort(key=lambda interval: interval.onset)
    for before, after in itertools.pairwise(spoken):
        if before.offset - after.onset > _OVERLAP_S:
            raise InputError(
                f"has {counted(len(tiers), 'tier')} of phones, "
                f"{listed([str(one) for one in tiers])}, and two speakers overlap",
                cause="it holds several speakers, and nothing decides which is the utterance's",
                remedy=f"name one, tier={tiers[0].tier.name!r}, or import with the speakers' "
                "names as in the tiers' names",
            )
    return Chosen(spoken, "those of several speakers were joined, without their silences")
