"""How much of the speaker units give away: a linear probe beside chance.

How well vectors tell whether two recordings are of one speaker: the equal error rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zerochain.errors import InputError, listed
from zerochain.formats.units import UnitFile
from zerochain.metrics.bootstrap import bootstrap_mean

Doubles = NDArray[np.float64]
N_FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """How well a linear classifier tells speakers apart on utterances that it has not seen."""

    accuracy: float
    """% of the utterances."""
    interval: tuple[float, float] | None
    """95 %, over utterances, for the classifiers that were fitted."""
    majority: float
    """% that guessing the most frequent speaker gets right."""
    uniform: float
    """% that guessing any of the speakers gets right."""
    n_utterances: int
    n_speakers: int
    n_folds: int
    left_out: dict[str, int]
    """Speakers with fewer utterances than folds → their utterances."""


def unit_histograms(unit_file: UnitFile, names: Sequence[str]) -> Doubles:
    """How much of its time each utterance spends on each unit: (n, K), rows add up to 1."""
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
        vectors: one an utterance, (n, D).
        speakers: whose it is (n,). Those with fewer utterances than folds are left out.

    Raises:
        InputError: fewer than two speakers with enough utterances, or vectors that aren't finite.
    """
    counts = Counter(speakers)
    few = {name: n for name, n in counts.items() if n < n_folds}
    kept = np.array([name not in few for name in speakers], bool)
    labels = np.array(speakers)[kept]
    if n_folds < 2 or len(set(labels)) < 2:
        raise InputError(
            f"{len(counts)} speakers, {len(few)} of them with fewer than {n_folds} utterances "
            f"({listed(sorted(few)) or 'none'}): a probe has nobody to tell apart",
            cause="speaker leakage is undefined for a single speaker",
            remedy="score more speakers or utterances, or take fewer folds, two at least",
        )
    if len(vectors) != len(speakers) or not np.isfinite(vectors).all():
        raise InputError(
            f"vectors of shape {vectors.shape} for {len(speakers)} utterances, or NaN in them"
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


def _predicted(vectors: Doubles, labels: NDArray[np.str_], n_folds: int, seed: int) -> NDArray[Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(probe, vectors, labels, cv=folds))


Targets = Literal["across recordings", "within recordings"]


@dataclass(frozen=True)
class Verification:
    """An equal error rate, and the trials that it rests on."""

    eer: float
    """Between 0 and 1; 0.5 is chance."""
    n_targets: int
    n_nontargets: int
    n_speakers: int
    targets: Targets
    """Whether the two pieces of a target trial are of different recordings. Within one recording
    they share its room, microphone and mood, which makes the trial easier."""


def equal_error_rate(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """The rate at which misses (targets below the threshold) equal false alarms.

    Between the two thresholds around that point, both rates are interpolated: the ROC curve's
    crossing with its diagonal. Scores that tie count half.

    Args:
        targets: scores of pairs of one speaker (n,); higher is more alike.
        nontargets: scores of pairs of two (m,).

    Returns:
        Between 0 (all told apart) and 1 (the scores are upside down).

    Raises:
        InputError: no targets, no nontargets, or a score that is not finite.
    """
    one, two = (np.sort(np.asarray(x, np.float64).ravel()) for x in (targets, nontargets))
    if not len(one) or not len(two):
        raise InputError(
            f"an equal error rate of {len(one)} targets and {len(two)} nontargets is undefined",
            cause="there is one speaker only, or one piece of each",
            remedy="give at least two speakers with two recordings each",
        )
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise InputError("scores hold NaN or infinity", cause="an embedding of silence")
    thresholds = np.unique(np.concatenate([one, two]))
    misses = np.append(np.searchsorted(one, thresholds), len(one)) / len(one)
    alarms = 1 - np.append(np.searchsorted(two, thresholds), len(two)) / len(two)
    excess = misses - alarms  # rises from −1, where all is accepted, to 1
    after = int(np.argmax(excess >= 0))
    before = after - 1
    part = excess[before] / (excess[before] - excess[after])
    return float(alarms[before] + part * (alarms[after] - alarms[before]))


def verify(
    vectors: NDArray[np.floating], speakers: Sequence[str], recordings: Sequence[str]
) -> Verification:
    """The equal error rate of all pairs of pieces, by the cosine of their vectors.

    Two pieces of one recording are no trial, unless no speaker has two recordings.

    Args:
        vectors: (n, E), of unit length.
        speakers, recordings: of each piece (n,).

    Raises:
        InputError: one speaker only, or not two pieces of any.
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
