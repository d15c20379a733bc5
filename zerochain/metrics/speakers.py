"""Speaker information: a linear probe on units, and the equal error rate of speaker verification.

The probe asks how well a linear classifier recognises the speaker of an utterance from its units;
good units leave it at chance. The equal error rate asks how well embeddings tell whether two
recordings are by the same speaker; a good speaker encoder brings it near 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zerochain.errors import InputError, counted, listed
from zerochain.formats.units import UnitFile
from zerochain.metrics.bootstrap import bootstrap_mean

Doubles = NDArray[np.float64]
Targets = Literal["across recordings", "within recordings"]
N_FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """How well a linear classifier recognises speakers in utterances that it has not seen."""

    accuracy: float
    """% of the utterances."""
    interval: tuple[float, float] | None
    """95 %, over utterances, given the fitted classifiers."""
    majority: float
    """Accuracy in % of always guessing the most frequent speaker."""
    uniform: float
    """Accuracy in % of guessing any of the speakers."""
    n_utterances: int
    n_speakers: int
    n_folds: int
    left_out: dict[str, int]
    """Speakers with fewer utterances than folds → their number of utterances."""


def unit_histograms(unit_file: UnitFile, names: Sequence[str]) -> Doubles:
    """The share of each utterance's time that each unit takes: (n, K), rows add up to 1."""
    k = unit_file.n_units
    counts = [np.bincount(unit_file.steps(name), minlength=k) for name in names]
    rows = np.stack(counts).astype(np.float64)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def speaker_probe(
    vectors: Doubles, speakers: Sequence[str], *, n_folds: int = N_FOLDS, seed: int = 0
) -> Probe:
    """Accuracy of logistic regression from vectors to speakers, in stratified cross-validation.

    Every column is standardised on the training folds; the penalty is scikit-learn's (C = 1).

    Args:
        vectors: one per utterance, (n, D).
        speakers: of each utterance (n,). Speakers with fewer utterances than folds are left out.

    Raises:
        InputError: fewer than two speakers with enough utterances, or vectors that aren't finite.
    """
    counts = Counter(speakers)
    few = {name: n for name, n in counts.items() if n < n_folds}
    kept = np.array([name not in few for name in speakers], bool)
    labels = np.array(speakers)[kept]
    if n_folds < 2 or len(set(labels)) < 2:
        raise InputError(
            f"{counted(len(counts), 'speaker')}, {len(few)} of them with fewer than {n_folds} "
            f"utterances ({listed(sorted(few)) or 'none'}): a probe needs two speakers or more",
            cause="speaker leakage is undefined for a single speaker"
            if len(counts) < 2
            else "each speaker's utterances are spread over all folds",
            remedy="score more speakers or utterances, or use fewer folds (two or more)",
        )
    if len(vectors) != len(speakers) or not np.isfinite(vectors).all():
        raise InputError(
            f"vectors of shape {vectors.shape} for {counted(len(speakers), 'utterance')}, or NaN "
            "in them"
        )
    right = _predicted(vectors[kept], labels, n_folds, seed) == labels
    shares = np.array([n for name, n in counts.items() if name not in few]) / len(labels)
    return Probe(
        accuracy=100 * float(right.mean()),
        interval=bootstrap_mean(100 * right.astype(np.float64), seed=seed),
        majority=100 * float(shares.max()),
        uniform=100 / len(shares),
        n_utterances=len(labels),
        n_speakers=len(shares),
        n_folds=n_folds,
        left_out=few,
    )


@dataclass(frozen=True)
class Verification:
    """An equal error rate, and its trials."""

    eer: float
    """Between 0 and 1; 0.5 is chance."""
    n_targets: int
    n_nontargets: int
    n_speakers: int
    targets: Targets
    """Whether the two segments of a target trial are from different recordings. Within one they
    share room, microphone and mood, which makes the trial easier."""


def verify(
    vectors: NDArray[np.floating], speakers: Sequence[str], recordings: Sequence[str]
) -> Verification:
    """The equal error rate of all pairs of segments, by the cosine of their vectors.

    Two segments of one recording are no trial, unless no speaker has two recordings.

    Args:
        vectors: (n, E), of length 1.
        speakers, recordings: of each segment (n,).

    Raises:
        InputError: only one speaker, or no speaker with two segments.
    """
    _, who = np.unique(list(speakers), return_inverse=True)
    _, where = np.unique(list(recordings), return_inverse=True)
    i, j = np.triu_indices(len(who), 1)
    cosines = (vectors @ vectors.T)[i, j]
    same, apart = who[i] == who[j], where[i] != where[j]
    across = bool((same & apart).any())
    targets, nontargets = cosines[same & apart if across else same], cosines[~same]
    return Verification(
        eer=equal_error_rate(targets, nontargets),
        n_targets=len(targets),
        n_nontargets=len(nontargets),
        n_speakers=len(set(speakers)),
        targets="across recordings" if across else "within recordings",
    )


def equal_error_rate(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """The error rate at the threshold where misses equal false alarms.

    Both rates are interpolated between the two thresholds around that point, where the ROC curve
    crosses its diagonal. Tied scores count half.

    Args:
        targets: scores of pairs by the same speaker (n,); higher is more similar.
        nontargets: scores of pairs by two speakers (m,).

    Returns:
        Between 0 (perfect) and 1 (the scores are reversed).

    Raises:
        InputError: no targets, no nontargets, or a score that is not finite.
    """
    one, two = (np.sort(np.asarray(x, np.float64).ravel()) for x in (targets, nontargets))
    if not len(one) or not len(two):
        raise InputError(
            f"the equal error rate of {counted(len(one), 'target')} and "
            f"{counted(len(two), 'nontarget')} is undefined",
            cause="there is only one speaker, or one segment of each",
            remedy="give at least two speakers with two recordings each",
        )
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise InputError("scores with NaN or infinity", cause="an embedding of silence")
    thresholds = np.unique(np.concatenate([one, two]))
    misses = np.append(np.searchsorted(one, thresholds), len(one)) / len(one)
    alarms = 1 - np.append(np.searchsorted(two, thresholds), len(two)) / len(two)
    excess = misses - alarms  # rises from −1, where all is accepted, to 1
    after = int(np.argmax(excess >= 0))
    before = after - 1
    part = excess[before] / (excess[before] - excess[after])
    return float(alarms[before] + part * (alarms[after] - alarms[before]))


def _predicted(vectors: Doubles, labels: NDArray[np.str_], n_folds: int, seed: int) -> NDArray[Any]:
    # Late: scikit-learn takes over a second to load, and verification does without it.
    from sklearn import linear_model, model_selection, pipeline, preprocessing

    probe = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
    )
    folds = model_selection.StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return np.asarray(model_selection.cross_val_predict(probe, vectors, labels, cv=folds))
