"""Which tier of a TextGrid holds the phones: by its name, a pattern, or its place.

Aligners name tiers differently: MFA "phones" or, with several speakers in a file, "ana - phones";
WebMAUS "MAU"; DoReCo "ph@ana". A name in the right case comes first, then one in another case,
then a pattern as of file names ("* - phones").
"""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from zerochain.corpora.textgrid import Interval, TextGrid, Tier
from zerochain.errors import InputError, listed
from zerochain.metrics.silences import SILENCES

TIERS = ("phones", "phone", "phonemes", "phoneme")
"""Tiers that are taken for phones unless another one is named; "ana - phones" is one, too."""
_AS_WELL = ("mau", "ph@*")
_OVERLAP_S = 0.015
_OWN = "of several speakers' the one named after the utterance's was taken"


class Numbered(NamedTuple):
    """A tier and its place in the file, counted from 1 as Praat does."""

    number: int
    tier: Tier

    def __str__(self) -> str:
        return f"{self.tier.name!r} (tier {self.number})"


class Chosen(NamedTuple):
    """The labelled intervals of the tier that holds the phones, and what is odd about it."""

    intervals: list[Interval]
    note: str = ""
    is_own: bool = False
    """Whether it is named after the speaker, beside others that are not."""


def phones_of(grid: TextGrid, tier: str | None = None, speaker: str | None = None) -> Chosen:
    """The labelled intervals of the tier of phones; an empty label is a gap.

    Where several tiers are meant, empty ones don't count; the one named after the speaker is
    taken, or else they are joined if no two phones are at the same time, without their silences.

    Args:
        tier: a name, in any case, or a pattern such as "* - phones", or "#2" for the second tier;
            None: one whose name is, or ends in, phones, phone, phonemes or phoneme.
        speaker: of the utterance.

    Raises:
        InputError: no such tier (its tiers are listed, and the nearest one is offered), or several
            tiers hold phones at the same time.
    """
    found = _matching(grid, tier)
    full = [one for one in found if one.tier.intervals]
    if not full:
        return Chosen([])
    empty = [str(one) for one in found if not one.tier.intervals]
    note = f"{listed(empty)} is empty; {full[0]} was taken" if empty and len(full) == 1 else ""
    if len(full) == 1:
        return Chosen(list(full[0].tier.intervals), note)
    names = {one.tier.name for one in full}
    if len(names) == 1:
        raise InputError(
            f"has {len(full)} tiers named {full[0].tier.name!r} that hold labels: "
            f"tiers {listed([str(one.number) for one in full])}",
            cause="a tier was copied to be corrected",
            remedy=f"choose one by its place, --tier '#{full[0].number}', or rename the other",
        )
    exact = [one for one in full if one.tier.name.lower() in TIERS]
    if tier is None and exact:  # as "phones" beside "phonemes", the canonical ones
        others = [str(one) for one in full if one is not exact[0]]
        return Chosen(list(exact[0].tier.intervals), f"{exact[0]} was taken, {listed(others)} not")
    own = [one for one in full if speaker and _names(one.tier.name, speaker)]
    if len(own) == 1:
        return Chosen(list(own[0].tier.intervals), _OWN, is_own=True)
    return _joined(full)


def _matching(grid: TextGrid, wanted: str | None) -> list[Numbered]:
    numbered = [Numbered(i, tier) for i, tier in enumerate(grid.tiers, 1)]
    tiers = [one for one in numbered if not one.tier.has_points]
    by_rule = [[one for one in tiers if rule(one)] for rule in _rules(wanted)]
    by_rule = [found for found in by_rule if found]
    if by_rule:
        return next((f for f in by_rule if any(one.tier.intervals for one in f)), by_rule[0])
    named = "named phones" if wanted is None else repr(wanted)
    names = list(dict.fromkeys(one.tier.name for one in tiers))
    points = [one for one in numbered if one.tier.has_points]
    points = [one for one in points if any(rule(one) for rule in _rules(wanted))]
    raise InputError(
        f"has no interval tier {named}; its interval tiers are "
        f"{listed([repr(name) for name in names]) or 'none'}",
        cause=f"{points[0]} is a point tier: its labels last no time" if points else None,
        remedy=_offer(wanted, names),
    )


def _rules(wanted: str | None) -> list[Callable[[Numbered], bool]]:
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
    ]


def _offer(wanted: str | None, names: Sequence[str]) -> str:
    _, dash, ending = (wanted or "").rpartition(" - ")
    if dash and any(name.endswith(dash + ending) for name in names):
        return f"take it of every speaker: --tier {'*' + dash + ending!r}"
    by_case = {name.casefold(): name for name in names}
    near = difflib.get_close_matches((wanted or "phones").casefold(), by_case, 1)
    likely = by_case[near[0]] if near else names[0] if len(names) == 1 else None
    if likely is None:
        return "name the one that holds the phones with --tier"
    return f"name the one that holds the phones: --tier {likely!r}?"


def _names(tier: str, speaker: str) -> bool:
    """Whether a tier is named after a speaker: "ana - phones", "ph@ana"."""
    kind = "|".join(TIERS)
    rest = re.sub(rf"^(?:ph@|(?:{kind})\b)|(?:{kind})$", "", tier.casefold())
    return rest.strip(" -_:/.()@") == speaker.casefold().strip()


def _joined(tiers: Sequence[Numbered]) -> Chosen:
    """Tiers of several speakers as one; their silences go, for each is silent in others' turns."""
    spoken = [i for one in tiers for i in one.tier.intervals if i.label not in SILENCES]
    spoken.sort(key=lambda interval: interval.onset)
    for before, after in itertools.pairwise(spoken):
        if before.offset - after.onset > _OVERLAP_S:
            raise InputError(
                f"has {len(tiers)} tiers of phones, {listed([str(one) for one in tiers])}, and two "
                "speak at once",
                cause="it holds several speakers, and nothing says which is the utterance's",
                remedy=f"name one, --tier {tiers[0].tier.name!r}, or import with speakers that are "
                "called as in the tiers' names",
            )
    return Chosen(spoken, "those of several speakers were joined, without their silences")
