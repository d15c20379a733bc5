"""What a score rests on: whether that is enough, what it can be compared with, its interval.

A score of a few triples or utterances is a coin that was thrown a few times: below the minimum here
it is kept in its file, but shown as too little data and ranked nowhere. Two scores of one metric
compare only if they are of the same test set: `basis` has what must be equal for that, beyond the
protocol and the distance.

The functions read only a score's own record, so they serve for files of any age; what an older
version did not record counts as unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zerochain.errors import counted
from zerochain.metrics import names
from zerochain.metrics.names import metric

if TYPE_CHECKING:
    from zerochain.formats.scores import Score

MIN_TRIPLES, MIN_ITEMS, MIN_CELLS = 30, 5, 2
"""Of an ABX error: fewer triples, items on one of the sides A, B and X, or cells are no score."""
MIN_UTTERANCES = 5
"""Of any other score that counts utterances."""
FEW_SPEAKERS = 10
"""An interval over fewer speakers says little about other speakers."""
ENOUGH = (
    f"ABX takes {MIN_TRIPLES} triples, {MIN_ITEMS} items on each side and {MIN_CELLS} cells; other "
    f"scores take {MIN_UTTERANCES} utterances"
)
"""The minimum in words."""
_ABX = {one.key for one in names.METRICS if one.name.startswith("abx_")}
_SAME_INPUTS = {
    "items": "items",
    "phones": "phones",
    "words": "words",
    "queries": "queries",
    "pairs": "pairs",
    "references": "references",
    "speaker_encoder": "speaker encoder",
    "recogniser": "recogniser",
    "recogniser_language_model": "language model",
    "changed_corpus": "changed corpus",
}
"""Inputs that two scores must share → what tables call them."""
_SAME_OPTIONS = {
    "n_pairs": "pairs scored",
    "shift_ms": "shift of the phones, ms",
    "n_folds": "folds",
    "n_speakers": "speakers",
}
_NOT_RESAMPLED = {
    names.DISTINCT_OUTPUTS.key: "a count of different outputs, not resampled",
    names.REAL_TIME_FACTOR.key: "a time, measured once",
    **{
        one.key: "its tokens are spread over utterances, which can't be resampled alone"
        for kind in ("grouping", "type")
        for one in names.TERM_RATES[kind]
    },
}


def is_abx(score: Score) -> bool:
    """Whether it is an ABX error."""
    return score.metric in _ABX


def n_utterances(score: Score) -> int | None:
    """The utterances that were given, those without a value included; None where unknown."""
    stated = score.options.get("n_utterances")
    if isinstance(stated, int):
        return stated
    if score.options.get("n_of") in {"utterances", "sources"}:
        excluded = score.options.get("exclusions", {})
        more = excluded.values() if isinstance(excluded, Mapping) else ()
        return score.n + sum(n for n in more if isinstance(n, int))
    return None


def shortfall(score: Score) -> str:
    """How little data a score rests on, in words, if that is too little to be a score; else ""."""
    if not is_abx(score):
        counts_them = score.options.get("n_of") in {"utterances", "sources"}
        n = score.n if counts_them else n_utterances(score)
        return "" if n is None or n >= MIN_UTTERANCES else counted(n, "utterance")
    options = score.options
    items = options.get("n_items_per_side", options.get("n_compared"))
    cells = options.get("n_cells")
    has_enough = (
        score.n >= MIN_TRIPLES
        and (items is None or items >= MIN_ITEMS)
        and (cells is None or cells >= MIN_CELLS)
    )
    if has_enough:
        return ""
    per_side = "n_items_per_side" in options
    parts = [
        counted(score.n, "triple"),
        "" if items is None else counted(items, "item") + " on a side" * per_side,
        "" if cells is None else counted(cells, "cell"),
    ]
    return ", ".join(part for part in parts if part)


def shortfall_note(score: Score) -> str:
    """One line for people: how little there is, how much it takes, and the fix; "" if enough."""
    found = shortfall(score)
    if not found:
        return ""
    what = f"{score.metric}: too little data for a score: {found}"
    if not is_abx(score):
        return f"{what}; it takes {MIN_UTTERANCES} utterances. Fix: score more speech"
    single = score.options.get("context") == "any" or score.protocol == "phone"
    remedy = "score more speech" if single else "give protocol='phone', or score more speech"
    return (
        f"{what}; it takes {MIN_TRIPLES} triples, {MIN_ITEMS} items on each side and "
        f"{MIN_CELLS} cells. Fix: {remedy}"
    )


def interval_of(score: Score) -> str:
    """What an interval is over where that is few: "3 speakers"; "" where it isn't, or unknown."""
    n = score.options.get("n_speakers") if is_abx(score) else None
    if score.interval is None or not isinstance(n, int) or n >= FEW_SPEAKERS:
        return ""
    return f"over {counted(n, 'speaker')}"


def no_interval(score: Score) -> str:
    """Why a score has no interval; "" where it has one."""
    if score.interval is not None:
        return ""
    if score.metric in _NOT_RESAMPLED:
        return _NOT_RESAMPLED[score.metric]
    if is_abx(score):
        if score.options.get("n_phone_pairs") == 1:
            return "one pair of phones says nothing about others"
        return "too few phones or speakers to resample"
    n = n_utterances(score)
    if n == 1 or (n is None and score.n == 1):
        return "one utterance can't be resampled"
    return (
        "undefined on most resamples of the utterances"
        if score.options
        else "not given by the program that wrote the score"
    )


def basis(score: Score) -> dict[str, str]:
    """What must be equal for two scores of one metric and protocol to compare, by its name.

    What the record lacks is left out: it is unknown, and compatible with anything.
    """
    found: dict[str, str] = {}
    if (n := n_utterances(score)) is not None:
        found["utterances"] = str(n)
    for name, label in _SAME_INPUTS.items():
        if name in score.inputs:
            found[label] = score.inputs[name][:12]
    options = score.options
    skipped = {"n_speakers"} if is_abx(score) else set()
    for name, label in _SAME_OPTIONS.items():
        if name not in skipped and options.get(name) is not None:
            found[label] = f"{options[name]}"
    if isinstance(options.get("silences"), list | tuple):
        found["silences"] = _digest(options["silences"])
    if options.get("max_tokens") is not None and "seed" in options:
        found["seed of the draw"] = str(options["seed"])
    return found


def meanings(scores: list[Score]) -> list[str]:
    """The meanings of the scores' metrics, one line each, where a name is not enough."""
    found = dict.fromkeys(metric(score.metric) for score in scores)
    return [f"{one.key}: {one.meaning}" for one in found if one.meaning]


def _digest(value: Any) -> str:
    text = "\n".join(sorted(map(str, value)))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
