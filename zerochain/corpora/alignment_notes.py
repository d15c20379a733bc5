"""What deserves a look in alignments that could be read: counts, and labels that look wrong."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from zerochain.errors import listed
from zerochain.formats.phones import Phone
from zerochain.metrics.silences import SILENCES, without_position

_LONG = 5
"""Letters: a phone has fewer, whatever the alphabet; words often have as many."""
_POSITIONED = 0.5
_BRACKETS = ("<>", "[]", "{}", "()")
_SAMPA = re.compile(r"(\|\||[@{}&?!|=<>1-9])\\?(_.|[@{}&?!1-9:~`\"^=])*")
"""Phones of (X-)SAMPA that have no letter: @ for schwa, 2: and 9, { and }, ? for a glottal stop,
clicks; and what may follow."""


@dataclass
class Notes:
    """Counts that grow while alignments are read; `lines` says them."""

    without_length: int = 0
    overlaps: int = 0
    clipped: int = 0
    outside: int = 0
    hidden: int = 0
    unknown: list[str] = field(default_factory=list)
    """Names in CTMs that no recording has."""
    without_phone: list[str] = field(default_factory=list)
    """Files."""
    other_length: list[str] = field(default_factory=list)
    """TextGrids, and how long they say that their recording lasts."""
    tiers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """What is odd about the choice of a tier → files."""

    def lines(self, lines: Iterable[list[Phone]]) -> list[str]:
        """A line for each kind, for people.

        Args:
            lines: the phones of every utterance.
        """
        counts = [
            (self.hidden, "hidden file", "among the alignments passed over"),
            (self.without_length, "label", "without length left out"),
            (self.overlaps, "overlap", "of up to 15 ms taken for rounding"),
            (self.clipped, "phone", "clipped at an utterance's edge"),
            (self.outside, "phone", "of whole recordings in no utterance"),
            (
                len(self.unknown),
                "alignment",
                f"of a CTM belonging to no recording left out: {listed(self.unknown, 3)}",
            ),
            (
                len(self.without_phone),
                "alignment",
                f"without a phone: {listed(self.without_phone, 3)}",
            ),
            (
                len(self.other_length),
                "TextGrid",
                "of other length than the recording, as if of another: "
                f"{listed(self.other_length, 3)}",
            ),
        ]
        found = [f"{n:,} {one if n == 1 else one + 's'} {what}" for n, one, what in counts if n]
        for what, files in self.tiers.items():
            found.append(f"tiers: {what}, in {listed(files, 3)}")
        return [*found, *label_notes(Counter(p.phone for line in lines for p in line))]


def label_notes(labels: Counter[str]) -> list[str]:
    """Labels that may be no phones, or not as other tools spell them.

    Args:
        labels: each with how often it stands there.
    """
    phones = Counter({label: n for label, n in labels.items() if label not in SILENCES})
    notes = []
    ending = [label for label in phones if without_position(label) != label]
    if ending and len(ending) >= _POSITIONED * len(phones):
        notes.append(
            f"{len(ending):,} of {len(phones):,} labels end in Kaldi's position in the word, such "
            f"as {_some(ending, phones)}: each counts as a phone of its own; "
            "--strip-word-positions takes the endings away"
        )
    marks = [label for label in phones if not _letters(label) or _bracketed(label)]
    marks = [label for label in marks if label not in _sampa(marks)]
    if marks:
        notes.append(
            f"labels without a letter, or in brackets: {_some(marks, phones)}; if they are pauses "
            "or noise, list them with --silence when scoring"
        )
    long = [
        label
        for label in phones
        if label not in marks and (" " in label or _letters(without_position(label)) >= _LONG)
    ]
    if long:
        notes.append(
            f"labels of {_LONG} letters or more, as words have: {_some(long, phones)}; if they are "
            "words, another tier or file holds the phones (--tier)"
        )
    return notes


def _sampa(marks: Collection[str]) -> set[str]:
    """Those that are phones in SAMPA; a single one, or numbers alone, may be anything."""
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
    return listed([f"{label!r} ({counts[label]:,} times)" for label in most], 5)
