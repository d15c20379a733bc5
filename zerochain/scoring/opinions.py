"""Predicted opinions of listeners (DNSMOS) on synthesised speech, beside those on the recordings.

A predicted opinion needs no recording to compare with, so converted speech is judged like the
voice's own. The recordings are judged in the same way, as a system of their own: the judge was
trained on other speech, and what it thinks of these recordings is the scale to read the rest by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.scores import Score
from zerochain.listeners.outside import Dnsmos, Opinion, inaudible
from zerochain.metrics.names import Metric
from zerochain.metrics.resynthesis import mean_score
from zerochain.progress import track
from zerochain.scoring.common import REAL_SPEECH, Common

MOST = 100
"""Utterances that are judged, drawn at random: a window takes a quarter of a second, and the mean
of a hundred is known to .05."""
_RULE = "repeated to 9.01 s where shorter"


def opinion_scores(
    corpus: Corpus,
    part: Sequence[Utterance],
    wavs: Path,
    common: Common,
    metrics: Sequence[Metric],
    seed: int,
) -> tuple[list[Score], list[str]]:
    """Scores of the wavs of some utterances, and of their recordings; and notes.

    Args:
        metrics: what the wavs' overall, signal, background and P.808 opinion are called.
    """
    if Dnsmos.missing():
        return [], [Dnsmos.left_out(*(metric.key for metric in metrics))]
    rng = np.random.default_rng(seed)
    chosen = [part[i] for i in sorted(rng.permutation(len(part))[:MOST].tolist())]
    judge = Dnsmos()
    made: dict[str, Opinion | str] = {}
    real: dict[str, Opinion | str] = {}
    originals = zip(chosen, corpus.waves(chosen), strict=True)
    for u, original in track(originals, "DNSMOS", len(chosen)):
        made[u.id] = _opinion(judge, audio.read(wavs / f"{u.id}.wav"))
        real[u.id] = _opinion(judge, original)
    recordings = {"corpus": corpus.id, "recordings": corpus.id}
    beside = replace(common, system=REAL_SPEECH, inputs=recordings)
    scores = [
        score
        for opinions, who in ((made, common), (real, beside))
        for i, metric in enumerate(metrics)
        if (score := _score(opinions, i, metric, who, judge.label, seed))
    ]
    drawn = len(part) - len(chosen)
    notes = [f"DNSMOS: {len(chosen)} of {len(part)} utterances, drawn at random"] if drawn else []
    return scores, notes


def _opinion(judge: Dnsmos, wave: Waveform) -> Opinion | str:
    return inaudible(wave) or judge(wave)


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
