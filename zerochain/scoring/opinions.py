"""Predicted opinions of listeners (DNSMOS) on synthesised speech, beside those on the recordings.

A predicted opinion needs no recording to compare with, so converted speech is judged like the
voice's own. The recordings are judged in the same way, as a system of their own: the judge was
trained on other speech, and what it thinks of these recordings is the scale to read the rest by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.pairs import read_pairs
from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.listeners.outside import Dnsmos, Opinion, inaudible
from zerochain.metrics.names import DNSMOS_TRANSLATED, Metric
from zerochain.metrics.resynthesis import mean_score
from zerochain.progress import track
from zerochain.scoring.common import (
    REAL_SPEECH,
    Common,
    Scored,
    Speech,
    exclusion_notes,
    scored_pairs,
    wav_of,
)
from zerochain.scoring.judges import OpinionJudge, opinion_judge

T = TypeVar("T")
MOST = 100
"""Utterances that are judged, drawn at random: a window takes a quarter of a second, and the mean
of a hundred is known to .05."""
_RULE = "repeated to 9.01 s where shorter"


def score_opinions(
    wavs: Path,
    corpus: Path,
    *,
    pairs: Path | None = None,
    split: str | None = None,
    judge: OpinionJudge = "dnsmos",
    system: str | None = None,
    for_reference: bool = False,
    seed: int = 0,
) -> Scored:
    """Opinions on speech that there are no recordings of, such as translations.

    Score the corpus's own recordings in the same way: they are the scale to read the rest by.

    Args:
        wavs: folder of <id>.wav; or a corpus, whose recordings are then judged.
        corpus: the recordings of the language that is spoken.
        pairs: for translated speech: the wavs have the ids of sources. None: those of the corpus.
        split: judge what belongs to this split.
        for_reference: a topline or a ceiling: never the best. Real speech always is for reference.

    Raises:
        InputError: ids missing on either side, or a recording that can't be read.
    """
    by, notes = opinion_judge(judge, DNSMOS_TRANSLATED)
    if by is None:
        return Scored([], notes)
    spoken, whole = Speech.of(wavs), read_corpus(corpus)
    if pairs is None:
        ids = spoken.ids if split is None else whole.select(split=split).ids
        check_same_ids(ids, whole.ids, f"folder {wavs}", f"corpus {whole.name}")
        check_same_ids(ids, spoken.ids, f"corpus {whole.name}", f"folder {wavs}")
    else:
        table = scored_pairs(read_pairs(pairs), spoken.ids, whole, split)
        ids = list(dict.fromkeys(source for source, _ in table.pairs))
    chosen = _drawn(ids, seed)
    common = Common(
        system or spoken.system,
        {"corpus": whole.id, **spoken.inputs},
        {
            "n_of": "utterances",
            "split": split,
            "seed": seed,
            **({FOR_REFERENCE: True} if for_reference else {}),
        },
    )
    waves = zip(chosen, spoken.waves(chosen), strict=True)
    opinions = {name: _opinion(by, wave) for name, wave in track(waves, by.NAME, len(chosen))}
    scores = _means(opinions, DNSMOS_TRANSLATED, common, by.label, seed)
    return Scored(scores, [*_note(by, chosen, ids), *exclusion_notes(scores)])


def opinion_scores(
    corpus: Corpus,
    part: Sequence[Utterance],
    wavs: Path,
    judge: OpinionJudge | None,
    common: Common,
    metrics: Sequence[Metric],
    seed: int,
) -> tuple[list[Score], list[str]]:
    """Scores of the wavs of some utterances, and of their recordings; and notes.

    Args:
        judge: None gives no scores.
        metrics: what the wavs' overall, signal, background and P.808 opinion are called.
    """
    by, notes = opinion_judge(judge, metrics)
    if by is None:
        return [], notes
    chosen = _drawn(part, seed)
    made: dict[str, Opinion | str] = {}
    real: dict[str, Opinion | str] = {}
    originals = zip(chosen, corpus.waves(chosen), strict=True)
    for u, original in track(originals, by.NAME, len(chosen)):
        made[u.id] = _opinion(by, audio.read(wav_of(wavs, u.id)))
        real[u.id] = _opinion(by, original)
    recordings = {"corpus": corpus.id, "recordings": corpus.id}
    beside = replace(common, system=REAL_SPEECH, inputs=recordings)
    scores = [
        score
        for opinions, who in ((made, common), (real, beside))
        for score in _means(opinions, metrics, who, by.label, seed)
    ]
    return scores, _note(by, chosen, part)


def _drawn(all_of_them: Sequence[T], seed: int) -> list[T]:
    """At most `MOST`, at random, in order."""
    places = np.random.default_rng(seed).permutation(len(all_of_them))[:MOST]
    return [all_of_them[i] for i in sorted(places.tolist())]


def _note(judge: Dnsmos, chosen: Sequence[object], all_of_them: Sequence[object]) -> list[str]:
    if len(chosen) == len(all_of_them):
        return []
    return [f"{judge.NAME}: {len(chosen)} of {len(all_of_them)} utterances, drawn at random"]


def _opinion(judge: Dnsmos, wave: Waveform) -> Opinion | str:
    return inaudible(wave) or judge(wave)


def _means(
    opinions: Mapping[str, Opinion | str],
    metrics: Sequence[Metric],
    common: Common,
    protocol: str,
    seed: int,
) -> list[Score]:
    """The means of the four opinions, those that are defined."""
    found = (_score(opinions, i, m, common, protocol, seed) for i, m in enumerate(metrics))
    return [score for score in found if score is not None]


def _score(
    opinions: Mapping[str, Opinion | str],
    i: int,
    metric: Metric,
    common: Common,
    protocol: str,
    seed: int,
) -> Score | None:
    """The mean of one of the four opinions; None where nothing was audible."""
    values = {name: one if isinstance(one, str) else one[i] for name, one in opinions.items()}
    mean = mean_score(values, seed=seed)
    if mean is None:
        return None
    options: dict[str, Any] = {"exclusions": mean.exclusions, "windows": _RULE}
    return common.score(metric, mean.value, mean.interval, mean.n, protocol, **options)
