"""Labels that are no phones: how aligners and transcribers mark pauses and noise.

Each convention has its own: TIMIT h#, pau and epi; Praat #, _ and <pau>; HTK, MFA and Kaldi sil,
sp, spn, <eps>, in Kaldi with word positions (SIL_B); WebMAUS <p:>, <usb> and <nib>; DoReCo ****,
<<wip>> and <<fp>uh>; Buckeye SIL, IVER, VOCNOISE, {B_TRANS} and <LAUGH-yeah>; P2FA and FAVE {SL},
{NS} and {BR}; Sphinx +SPN+ and ++NOISE++; Gentle oov_S. Speaker noise (spn, laughter) is not a
phone either, and counts as a silence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache

# None of these is a symbol of the IPA or SAMPA, in any case: "_" and "#" are no symbols on their
# own, and "+" and SAMPA's "{" and "<" never enclose anything.
_SPELLINGS = """
    # ## #h _ __ h# pau pause epi sil sil1 sil2 silb sile silence ssil sp spn nsn lau lng sns eps
    unk noise vocnoise iver unknown laugh laughter breath hes exclude cutoff error gar garbage xxx
    sent-start sent-end <p> <p:> <pau> <pause> <sil> <silence> <ssil> <sp> <spn> <nsn> <eps> <eps:>
    <epsilon> <blank> <s> </s> <usb> <nib> <ns> <unk> <noise> <vocnoise> <iver> <unknown> <laugh>
    <laughter> <breath> <br> <hes> <exclude> <cutoff> <error> [sil] [pause] [noise] [laughter]
    [breath] [unk] (.) (..) (...) {sl} {sil} {sp} {b_trans} {e_trans} {ns} {lg} {cg} {br} {ls}
    oov <oov> !sil [silence] [spn] [nsn] <spoken_noise>
"""
_NAMES = frozenset(_SPELLINGS.split())
_PATTERNS = {
    "****": r"\*+",
    "+*+": r"\+{1,2}\w+\+{1,2}",
    "<<*>*>": r"<<[^<>]*>[^<>]*>",
    "<iver-*>": r"<?(iver|vocnoise|noise|laugh|cutoff|exclude|error|hes|ext|unknown)[-_][^<>]*>?",
}
"""A pattern as records write it → its regular expression."""
_POSITION = re.compile(r"(?<=.)_[bies]$")
_PATTERN = re.compile("|".join(_PATTERNS.values()))


class Silences(Collection[str]):
    """Labels that usually mean no phone, in any case: `"SIL" in SILENCES`.

    A collection with its own membership test rather than a set, since some are patterns.
    """

    def __contains__(self, label: object) -> bool:
        return isinstance(label, str) and _is_silence(label)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(["", *_NAMES, *_PATTERNS]))

    def __len__(self) -> int:
        return 1 + len(_NAMES) + len(_PATTERNS)


@lru_cache(maxsize=4096)
def _is_silence(label: str) -> bool:
    plain = label.strip().lower()
    if not plain or plain in _NAMES or _PATTERN.fullmatch(plain):
        return True
    return _POSITION.sub("", plain) in _NAMES


SILENCES = Silences()
"""Labels that usually mean no phone: pauses, closures without a sound, noise."""


DEFAULT = "default"
"""Stands for `SILENCES` in records, because the list is long."""


def recorded(silences: Collection[str]) -> str | list[str]:
    """Silences as a score's record holds them; `chosen` is the inverse."""
    return DEFAULT if silences is SILENCES else sorted(silences)


def chosen(names: str | Collection[str] | None) -> Collection[str]:
    """The silences of a user's comma-separated list, or of a score's record.

    None and the record of `SILENCES` give `SILENCES`. Any other list is taken literally, with its
    case.
    """
    if names is None or names == DEFAULT:
        return SILENCES
    listed = names.split(",") if isinstance(names, str) else names
    if sorted(listed) == list(SILENCES):
        return SILENCES
    return frozenset(unicodedata.normalize("NFC", name.strip()) for name in listed)


def without_position(label: str) -> str:
    """A label without Kaldi's position in the word: AA1_B, AA1_I, AA1_E and AA1_S are AA1."""
    return re.sub(r"(?<=.)_[BIES]$", "", label)
