"""From the labels of an alignment to the phones of one utterance: whose clock, cutting, rounding.

An utterance may be cut from a recording (a table's start and end, Kaldi's segments) while the
alignment covers the whole recording, or the utterance alone. Which of the two is decided by the
alignment's name, by how long it says its recording lasts (a TextGrid does), and by the times of its
labels; where these don't decide, `origin` gives None and the caller asks the user.

`Notes` counts on the way what deserves a look, and which labels may not be phones.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from zerochain.corpora.build import Span
from zerochain.errors import InputError, counted, listed
from zerochain.exchange.alignment_files import BEYOND_S
from zerochain.exchange.textgrid import Interval
from zerochain.formats.phones import Phone
from zerochain.metrics.silences import SILENCES, without_position

Clock = Literal["utterance", "recording"]
"""Whether times count from the utterance's beginning or from the recording's."""
_ROUNDING_S = 1e-3
_CENTISECOND_S = 0.015
"""Aligners round onsets and durations to 10 ms each, so neighbours may overlap by as much."""
_SAME_S, _CLEARLY_S = 0.05, 0.02
"""Durations that differ by less are the same; one is nearer than another only by more than this."""
_LONG = 5
"""Letters: a phone has fewer, whatever the alphabet; words often have as many."""
_POSITIONED = 0.5
_BRACKETS = ("<>", "[]", "{}", "()")
_TRIGRAPH = re.compile(r"\\[A-Za-z9?][A-Za-z/\-.,^~]")
"""Praat's notation of letters that keyboards lack: \\ng for ŋ. X-SAMPA's backslashes follow a
letter and end a symbol, as in r\\`."""
_SAMPA = re.compile(r"(\|\||[@{}&?!|=<>1-9])\\?(_.|[@{}&?!1-9:~`\"^=])*")
"""Phones of (X-)SAMPA that have no letter: @ for schwa, 2: and 9, { and }, ? for a glottal stop,
clicks; and what may follow."""


@dataclass(frozen=True)
class Evidence:
    """What an alignment tells about its times (s)."""

    first_s: float
    last_s: float
    """Of its labels."""
    covered: tuple[float, float] | None = None
    """The start and end that a TextGrid declares."""
    names_utterance: bool = True
    """Its name is the utterance's id."""
    names_recording: bool = False
    """Its name is the recording's."""

    @classmethod
    def of(
        cls,
        intervals: Sequence[Interval],
        covered: tuple[float, float] | None,
        *,
        names_utterance: bool,
        names_recording: bool,
    ) -> Evidence:
        first = min((one.onset for one in intervals), default=0.0)
        last = max((one.offset for one in intervals), default=0.0)
        return cls(first, last, covered, names_utterance, names_recording)


class Origin(NamedTuple):
    """Where on the alignment's clock the utterance begins, and whose clock it is."""

    seconds: float
    clock: Clock
    """On the recording's, labels outside the utterance belong to others."""
    is_proven: bool = False
    """Whether the times prove it: then the alignments next to it are likely to be the same."""


def origin(span: Span, evidence: Evidence, clock: Clock | None = None) -> Origin | None:
    """Where on the alignment's clock the utterance begins; None where that is undecided.

    Args:
        clock: what the user says it is, if anything.
    """
    start, lasting = span.utterance.start or 0.0, span.utterance.duration
    whole = span.header.duration_s
    if clock is not None:
        return Origin(start if clock == "recording" else 0.0, clock)
    if start <= _ROUNDING_S and whole - lasting <= _SAME_S:  # the utterance is the recording
        covered = evidence.covered or (0.0, lasting)
        return Origin(covered[0] if _is_extract(*covered, lasting) else 0.0, "utterance")
    found = evidence.covered and _by_cover(*evidence.covered, start, lasting, whole)
    return found or _by_labels(evidence, start, lasting, whole)


def _by_cover(
    begin: float, end: float, start: float, lasting: float, whole: float
) -> Origin | None:
    """By the length that an alignment gives for its recording."""
    is_late = start > _ROUNDING_S
    preserved = abs(begin - start) <= _SAME_S and abs(end - start - lasting) <= _SAME_S
    if abs(begin) > _SAME_S and preserved:  # cut out with its times
        return Origin(start, "recording", is_late)
    if _is_extract(begin, end, lasting):
        return Origin(begin, "utterance")
    own, others = abs(end - lasting), abs(end - whole)
    if min(own, others) > _SAME_S or (is_late and abs(own - others) <= _CLEARLY_S):
        return None
    if own <= others:
        return Origin(0.0, "utterance", is_late)
    return Origin(start, "recording", is_late)


def _by_labels(evidence: Evidence, start: float, lasting: float, whole: float) -> Origin | None:
    """By the alignment's name and the times of its labels."""
    is_late = start > _ROUNDING_S
    first, last = evidence.first_s, evidence.last_s
    if not evidence.names_utterance:
        return Origin(start, "recording")
    inside = first >= start - BEYOND_S and last <= start + lasting + BEYOND_S
    if last > lasting + BEYOND_S:  # if it fits neither, its times are refused later
        fits = (is_late and inside) or (evidence.names_recording and last <= whole + BEYOND_S)
        return Origin(start, "recording", is_late) if fits else Origin(0.0, "utterance")
    if is_late and (evidence.names_recording or inside):
        return None
    return Origin(0.0, "utterance", is_late)


def _is_extract(begin: float, end: float, lasting: float) -> bool:
    """Whether it is as long as the utterance but kept the times of what it was cut from."""
    return abs(begin) > _SAME_S and abs(end - begin - lasting) <= _SAME_S < abs(end - lasting)


def cut(
    intervals: Iterable[Interval], begin_s: float, lasting_s: float, notes: Notes
) -> list[Interval]:
    """A recording's labels within an utterance, on its clock.

    A label across a cut belongs to the side with most of it, and is clipped there.
    """
    kept, end_s = [], begin_s + lasting_s
    for one in intervals:
        onset, offset = max(one.onset, begin_s), min(one.offset, end_s)
        length = one.offset - one.onset
        if one.onset < begin_s - _ROUNDING_S or one.offset > end_s + _ROUNDING_S:
            if offset <= onset:
                continue
            if 2 * (offset - onset) <= length:
                continue
            notes.clipped += 1
        elif length > 0 and offset <= onset:
            continue
        kept.append(one._replace(onset=onset - begin_s, offset=max(onset, offset) - begin_s))
    return kept


def phones_in(intervals: Iterable[Interval], duration_s: float, notes: Notes) -> list[Phone]:
    """Labels as phones that follow each other, with rounding undone.

    Labels without duration are left out. Overlaps of up to 15 ms end where the earlier phone does
    or, if that leaves nothing, in their middle; phones that end up to 50 ms after the utterance
    are cut off there.

    Raises:
        InputError: phones that run backwards, overlap by more, or lie outside the utterance.
    """
    phones: list[Phone] = []
    for place, onset, offset, label in intervals:
        previous = phones[-1].offset if phones else 0.0
        span = f"{place}: {label!r} from {onset:g} to {offset:g} s"
        if not (math.isfinite(onset) and onset <= offset < math.inf):
            raise InputError(f"{span} ends before it begins")
        if onset < -_CENTISECOND_S - 1e-9:
            raise InputError(f"{span} begins before the utterance does")
        if previous - onset > _CENTISECOND_S + 1e-9:
            raise InputError(
                f"{span} follows a phone that ends at {previous:g} s",
                cause="phones overlap, or are not in the order of time",
            )
        if offset > duration_s + BEYOND_S:
            raise beyond(place, offset, label, f"the utterance at {duration_s:.3f} s")
        if offset == onset:
            notes.without_length += 1
            continue
        if previous - onset > _ROUNDING_S:
            notes.overlaps += 1
        if phones and offset <= previous:
            middle = (max(onset, phones[-1].onset) + offset) / 2
            phones[-1] = phones[-1]._replace(offset=middle)
            previous = middle
        phone = Phone(max(onset, previous), min(offset, duration_s), label)
        if phone.offset <= phone.onset:
            raise InputError(f"{place}: {label!r} at {onset:g} s has no duration in the recording")
        phones.append(phone)
    return phones


def beyond(place: str, offset: float, label: str, end: str) -> InputError:
    """That a label ends later than its recording or utterance does (`end`)."""
    return InputError(
        f"{place}: {label!r} ends at {offset:g} s, {end}",
        cause="times in another unit than seconds, or an alignment of another recording",
    )


def overlapping(spans: Sequence[Span]) -> tuple[Span, Span] | None:
    """Two utterances of one recording that share time and differ in channel or speaker."""
    latest: Span | None = None
    for span in sorted(spans, key=lambda one: one.utterance.start or 0.0):
        if latest is not None:
            a, b = latest.utterance, span.utterance
            shared = _end(latest) - (b.start or 0.0)
            if shared > BEYOND_S and (a.channel, a.speaker) != (b.channel, b.speaker):
                return latest, span
        if latest is None or _end(span) > _end(latest):
            latest = span
    return None


def _end(span: Span) -> float:
    return (span.utterance.start or 0.0) + span.utterance.duration


@dataclass
class Notes:
    """Counts that grow while alignments are read; `lines` puts them into words."""

    without_length: int = 0
    overlaps: int = 0
    clipped: int = 0
    outside: int = 0
    hidden: int = 0
    alternatives: int = 0
    """Lines of a CTM's alternatives."""
    unknown: list[str] = field(default_factory=list)
    """Names in files of many recordings that no recording has."""
    without_phone: list[str] = field(default_factory=list)
    """Files."""
    other_length: list[str] = field(default_factory=list)
    """TextGrids with the lengths that they give for their recordings."""
    elan_beside: list[str] = field(default_factory=list)
    """ELAN files that lie beside another alignment of the same name."""
    tiers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """A remark on the choice of a tier → files."""

    def lines(self, lines: Iterable[list[Phone]]) -> list[str]:
        """One line per kind, for people.

        Args:
            lines: the phones of every utterance.
        """
        counts = [
            (self.hidden, "hidden file", "among the alignments passed over"),
            (
                self.alternatives,
                "label",
                "of a CTM's alternatives left out: the first alternative of each place was taken",
            ),
            (self.without_length, "label", "without length left out"),
            (self.overlaps, "overlap", "of up to 15 ms taken for rounding"),
            (self.clipped, "phone", "clipped at an utterance's edge"),
            (self.outside, "phone", "of whole recordings outside every utterance"),
            (
                len(self.unknown),
                "alignment",
                f"in a CTM or .phn for no recording left out: {listed(self.unknown, 3)}",
            ),
            (
                len(self.without_phone),
                "alignment",
                f"without a phone: {listed(self.without_phone, 3)}",
            ),
            (
                len(self.other_length),
                "TextGrid",
                "longer or shorter than the recording, as if of another: "
                f"{listed(self.other_length, 3)}",
            ),
            (
                len(self.elan_beside),
                "ELAN file",
                f"beside another alignment of that name left out: {listed(self.elan_beside, 3)}",
            ),
        ]
        found = [f"{counted(n, one)} {what}" for n, one, what in counts if n]
        for what, files in self.tiers.items():
            found.append(f"tiers: {what}, in {listed(files, 3)}")
        return [*found, *label_notes(Counter(p.phone for line in lines for p in line))]


def label_notes(labels: Counter[str]) -> list[str]:
    """Labels that may not be phones, or that other tools spell differently.

    Args:
        labels: each with its number of occurrences.
    """
    phones = Counter({label: n for label, n in labels.items() if label not in SILENCES})
    notes = []
    ending = [label for label in phones if without_position(label) != label]
    if ending and len(ending) >= _POSITIONED * len(phones):
        notes.append(
            f"{len(ending):,} of {counted(len(phones), 'label')} end in Kaldi's position in the "
            f"word, such as {_some(ending, phones)}: each counts as a phone of its own; "
            "strip_word_positions=True removes the endings"
        )
    trigraphs = [label for label in phones if _TRIGRAPH.search(label)]
    if trigraphs:
        notes.append(
            f"labels in Praat's backslash notation: {_some(trigraphs, phones)}; each is another "
            "phone than the letter that it stands for: have Praat convert them to Unicode"
        )
    marks = [label for label in phones if not _letters(label) or _bracketed(label)]
    marks = [label for label in marks if label not in _sampa(marks)]
    if marks:
        notes.append(
            f"labels without a letter, or in brackets: {_some(marks, phones)}; if they are pauses "
            "or noise, name them as silences when scoring"
        )
    long = [
        label
        for label in phones
        if label not in marks and (" " in label or _letters(without_position(label)) >= _LONG)
    ]
    if long:
        notes.append(
            f"labels of {_LONG} letters or more, as words have: {_some(long, phones)}; if they are "
            "words, another tier or file holds the phones (choose with tier=)"
        )
    return notes


def _sampa(marks: Collection[str]) -> set[str]:
    """Those that are phones in SAMPA; a single one, or numbers alone, could be anything."""
    alike = {label for label in marks if _SAMPA.fullmatch(label) and not _bracketed(label)}
    alike = {label for label in alike if len(label) == 1 or not label.isdecimal()}
    signs = {label[0] for label in alike if not label[0].isdecimal()}
    return alike if "@" in signs or len(signs) > 1 else set()


def _letters(label: str) -> int:
    """Letters, without modifiers such as ː and ʰ."""
    kinds = [unicodedata.category(c) for c in label]
    return sum(kind[0] == "L" and kind != "Lm" for kind in kinds)


def _bracketed(label: str) -> bool:
    return len(label) > 2 and label[0] + label[-1] in _BRACKETS


def _some(labels: list[str], counts: Counter[str]) -> str:
    most = sorted(labels, key=lambda label: (-counts[label], label))
    return listed([f"{label!r} ({counted(counts[label], 'time')})" for label in most], 5)
