"""How much of the speaker units give away: a linear probe beside chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
