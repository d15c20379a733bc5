"""Soft targets: a mixture's posteriors at every frame, which a network learns to predict.

A mixture's posteriors discriminate phones better than its hard units (a frame between two
components says so), and a network that predicts them from a wide context, in changed voices, does
so better than the mixture: the mixture is a teacher. After Heck, Sakti and Nakamura 2017 and HuBERT
(Hsu et al. 2021). Only the few most probable components of a frame are kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from zerochain.discovery.model import UnitModel
from zerochain.formats.features import Features

COMPONENTS, SHARES = "components", "shares"
"""The names of soft targets in a batch."""
N_KEPT = 8
"""Components kept per frame; of an hour of speech the others have 2 % of the probability."""


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
    n_frames, n = sum(n for _, n in features.index.values()), min(N_KEPT, teacher.n_units)
    components, shares = np.empty((n_frames, n), np.int16), np.empty((n_frames, n), np.float16)
    row = 0
    for _, posteriors in teacher.posteriors(features):
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
