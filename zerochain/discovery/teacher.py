"""Soft targets: a mixture's posteriors at every frame, which a network learns to predict.

A mixture's posteriors discriminate phones better than its hard units (a frame between two
components says so), and a network that predicts them from a wide context, in changed voices, does
so better than the mixture: the mixture is a teacher. After Heck, Sakti and Nakamura 2017 and HuBERT
(Hsu et al. 2021). Only the few most probable components of a frame are kept.

Posteriors of other models can take the mixture's place: a folder of them that was extracted before
(`targets`), such as those of several models, fused, or of a self-trained network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from zerochain.discovery.model import Frames, UnitModel
from zerochain.errors import InputError, counted
from zerochain.formats.features import Features

COMPONENTS, SHARES = "components", "shares"
"""The names of soft targets in a batch."""
N_KEPT = 8
"""Components kept per frame; of an hour of speech the others have 2 % of the probability."""


_MOST = 32_767  # components that an int16 can number


class SoftTargets(NamedTuple):
    """The most probable components of each frame, and their probabilities, which sum to 1."""

    components: NDArray[np.int16]
    """(N, n)"""
    shares: NDArray[np.float16]
    """(N, n)"""


def soft_targets(teacher: UnitModel, features: Features) -> SoftTargets:
    """A teacher's posteriors at every frame of the features, in their order.

    Args:
        teacher: of stride 1.

    Raises:
        InputError: it has no posteriors.
    """
    _check_number(teacher.n_units)
    made = (posteriors for _, posteriors in teacher.posteriors(features))
    return _most_probable(made, features, min(N_KEPT, teacher.n_units))


def given_targets(targets: Features, features: Features) -> SoftTargets:
    """Posteriors that were extracted before, at every frame of the features, in their order.

    More are kept of posteriors that are fused: `N_KEPT` of each model.

    Raises:
        InputError: they are not of the same utterances and frames, or no probabilities.
    """
    _check_number(targets.dim)
    theirs = targets.restrict(features.ids)
    other = {
        name: (theirs.index[name][1], n)
        for name, (_, n) in features.index.items()
        if theirs.index[name][1] != n
    }
    if other:
        name, (there, here) = next(iter(other.items()))
        raise InputError(
            f"the posteriors have {there} frames of {name!r}, the features {here}; they differ in "
            f"{len(other)} of {counted(len(theirs), 'utterance')}",
            cause="the posteriors are of units of several frames, or of other features",
            remedy="extract posteriors of models with stride 1 (extract --posteriors)",
        )
    n = N_KEPT * len(targets.options.get("models", [0]))
    made = (_probabilities(theirs[name], name) for name in theirs.ids)
    return _most_probable(made, features, min(n, theirs.dim))


def _check_number(n_components: int) -> None:
    if n_components > _MOST:
        raise InputError(
            f"{n_components:,} classes are too many for soft targets",
            remedy=f"use at most {_MOST:,}, or a teacher that gives labels (teacher='kmeans')",
        )


def _probabilities(frames: Frames, name: str) -> Frames:
    if not (np.isfinite(frames).all() and (frames >= 0).all() and _sums_to_one(frames)):
        raise InputError(
            f"the frames of {name!r} are no probabilities: each must sum to 1",
            cause="the folder holds other features",
            remedy="make it by 'zerochain extract --posteriors MODEL'",
        )
    return frames


def _sums_to_one(frames: Frames) -> bool:
    return bool(np.allclose(frames.sum(axis=1), 1, atol=1e-3))


def _most_probable(made: Iterable[Frames], features: Features, n: int) -> SoftTargets:
    """The n most probable components of posteriors (T, K) of each utterance of the features."""
    n_frames, row = sum(n for _, n in features.index.values()), 0
    components, shares = np.empty((n_frames, n), np.int16), np.empty((n_frames, n), np.float16)
    for posteriors in made:
        best = np.argpartition(posteriors, -n, axis=1)[:, -n:]
        kept = np.take_along_axis(posteriors, best, axis=1)
        rows = slice(row, row + len(best))
        components[rows], shares[rows] = best, kept / kept.sum(axis=1, keepdims=True)
        row += len(best)
    return SoftTargets(components, shares)


def soft_cross_entropy(scores: Tensor, components: Tensor, shares: Tensor, stride: int) -> Tensor:
    """Sum over frames of the cross-entropy of soft targets, in nats.

    Args:
        scores: (B, ⌈T / stride⌉, K), of each component at each step.
        components, shares: (B, T, n); shares are 0 in padding.
        stride: frames per step.
    """
    n_frames = components.shape[1]
    logs = log_softmax(scores.float(), dim=2).repeat_interleave(stride, dim=1)[:, :n_frames]
    return -(logs.gather(2, components.long()) * shares.float()).sum()
