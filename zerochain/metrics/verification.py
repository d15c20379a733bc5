"""How well vectors tell whether two recordings are of one speaker: the equal error rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zerochain.errors import InputError

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
