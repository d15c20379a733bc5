"""Linear maps of frames: context reduced to principal components, speaker differences attenuated.

`Projection` stacks each frame with its neighbours and keeps principal components: the cheapest way
to give a frame-wise method some context. `attenuation` is a map that shrinks those directions in
which speakers differ; the two are stored as one map.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError

Matrix = NDArray[np.float64]
_FRAMES_PER_CLASS = 100
_MOST_DIMENSIONS = 10_000
"""Stacked, at most: their covariance takes .8 GB, its eigenvectors a quarter of an hour."""
_RIDGE = 1e-6  # of the mean variance: directions without any variance stay as they are


@dataclass(frozen=True)
class Projection:
    """A linear map of each frame with its neighbours: (T, D) → (T, P).

    Principal components are not whitened: whitening makes noise as loud as speech.
    """

    context: int
    """Frames stacked on each side; beyond the edges the first and the last are repeated."""
    mean: NDArray[np.float32]
    """((2·context + 1)·D,)"""
    matrix: NDArray[np.float32]
    """((2·context + 1)·D, P)"""

    @classmethod
    def fit(
        cls, utterances: Iterable[NDArray[np.float32]], context: int, components: int | None
    ) -> Projection:
        """Principal components of the stacked frames of all utterances, each (T, D).

        Raises:
            InputError: more components than stacked dimensions, or too many of these.
        """
        n, total, square = 0, np.zeros(1), np.zeros((1, 1))
        for utterance in utterances:
            if n == 0:
                _check_dimensions(utterance.shape[1], context, components)
            wide = stacked(utterance, context).astype(np.float64)
            n += len(wide)
            total = total + wide.sum(axis=0)
            square = square + wide.T @ wide
        mean: NDArray[np.float64] = total / n
        _, vectors = np.linalg.eigh(square / n - np.outer(mean, mean))
        matrix = vectors[:, ::-1][:, : components or len(mean)]
        # An eigenvector's sign is arbitrary: fix it, so that the same data give the same bundle.
        matrix = matrix * np.sign(matrix[np.abs(matrix).argmax(axis=0), np.arange(matrix.shape[1])])
        return cls(context, np.asarray(mean, np.float32), np.ascontiguousarray(matrix, np.float32))

    @classmethod
    def identity(cls, dim: int) -> Projection:
        """The projection that changes nothing."""
        return cls(0, np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32))

    def followed_by(self, matrix: NDArray[np.float32]) -> Projection:
        """This projection, its components multiplied by a matrix (P, Q): still one map."""
        return replace(self, matrix=np.ascontiguousarray(self.matrix @ matrix))

    @property
    def keeps_frames(self) -> bool:
        """Whether frames stay as many dimensions, of one frame each."""
        return self.context == 0 and self.matrix.shape[0] == self.matrix.shape[1]

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames (T, D) → (T, P)."""
        return np.asarray((stacked(frames, self.context) - self.mean) @ self.matrix, np.float32)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Its arrays, for a bundle."""
        return {"projection.mean": self.mean, "projection.matrix": self.matrix}

    @classmethod
    def from_tensors(
        cls, context: int, tensors: Mapping[str, NDArray[np.float32]]
    ) -> Projection | None:
        """The inverse of `tensors`; None where there is none."""
        if "projection.matrix" not in tensors:
            return None
        return cls(context, tensors["projection.mean"], tensors["projection.matrix"])


def _check_dimensions(n_features: int, context: int, components: int | None) -> None:
    dim = (2 * context + 1) * n_features
    if dim > _MOST_DIMENSIONS:
        raise InputError(
            f"context={context} makes {dim:,} dimensions of {n_features}, more than "
            f"{_MOST_DIMENSIONS:,}",
            cause="it counts frames on each side, of 10 ms if they are MFCCs",
            remedy=f"use context={(_MOST_DIMENSIONS // n_features - 1) // 2} at most"
            if n_features <= _MOST_DIMENSIONS
            else "use features with fewer dimensions",
        )
    if components is not None and components > dim:
        raise InputError(
            f"components={components} can't be kept of {dim} dimensions",
            remedy=f"use components={dim} at most, or more context",
        )


def stacked(frames: NDArray[np.float32], context: int) -> NDArray[np.float32]:
    """Each frame beside its neighbours: (T, D) → (T, (2·context + 1)·D), edges repeated."""
    if context == 0:
        return frames
    padded = np.pad(frames, ((context, context), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * context + 1, axis=0)
    return windows.transpose(0, 2, 1).reshape(len(frames), -1)


def attenuation(
    frames: NDArray[np.float32],
    speakers: Sequence[str | None],
    strength: float,
    n_classes: int = 64,
) -> NDArray[np.float32]:
    """The matrix (D, D) by which frames are multiplied to attenuate differences of speakers.

    Normalisation makes all speakers' means equal, but their vowels still differ. So frames are
    put into classes, phone-like ones, by K-Means, and S is the covariance of a speaker's mean of
    a class around everybody's, less what chance adds; T is that of all frames. The map is the
    Wiener filter (T + strength · S)⁻¹ T: a direction in which speakers make up the part λ of the
    variance is scaled by 1 / (1 + strength · λ). It removes softly what nuisance attribute
    projection (Solomonoff, Campbell and Boardman, 2005) removes altogether, and chooses the
    directions as linear discriminant analysis does, by ratios of variances rather than by size.

    Args:
        frames: (N, D).
        speakers: of each frame, (N,).
        strength: 0 changes nothing.
        n_classes: that frames are put into.

    Raises:
        InputError: an unknown speaker, or one speaker only.
    """
    names = {name: i for i, name in enumerate(dict.fromkeys(speakers))}
    if None in names or len(names) < 2:
        raise InputError(
            "speakers can't be attenuated where "
            + ("some are unknown" if None in names else "there is one only"),
            cause="directions in which speakers differ are found by comparing known speakers",
            remedy="fit on a corpus of several speakers ('zerochain import folder … "
            "--speaker-from'), or use speaker_attenuation=0",
        )
    owners = np.array([names[name] for name in speakers])
    total, between = covariances(frames.astype(np.float64), owners, _classes(frames, n_classes))
    ridge = (_RIDGE * np.trace(total) / len(total) or 1.0) * np.eye(len(total))
    filtered = np.linalg.solve(total + strength * between + ridge, total + ridge)
    return np.ascontiguousarray(filtered, np.float32)


def covariances(
    frames: Matrix, speakers: NDArray[np.int64], classes: NDArray[np.int64]
) -> tuple[Matrix, Matrix]:
    """Of all frames, and of speakers' means of a class around the class's: both (D, D).

    The second is the variance component of a random effect: the scatter of the means that frames
    of no speaker would have, (cells − classes) / N times the covariance within cells, is taken
    off.

    Args:
        frames: (N, D).
        speakers, classes: of each frame, (N,), counted from 0.
    """
    n, dim = frames.shape
    total = np.cov(frames.T, bias=True).reshape(dim, dim)
    _, cells, sizes = np.unique(
        speakers * (classes.max() + 1) + classes, return_inverse=True, return_counts=True
    )
    residuals = frames - _means(frames, cells)
    offsets = _means(frames, cells) - _means(frames, classes)
    within = residuals.T @ residuals / max(1, n - len(sizes))
    chance = (len(sizes) - len(np.unique(classes))) / n * within
    values, vectors = np.linalg.eigh(offsets.T @ offsets / n - chance)
    return total, (vectors * np.maximum(values, 0)) @ vectors.T


def _means(frames: Matrix, groups: NDArray[np.int64]) -> Matrix:
    """The mean of each frame's group, (N, D)."""
    sums = np.zeros((groups.max() + 1, frames.shape[1]))
    np.add.at(sums, groups, frames)
    return (sums / np.maximum(np.bincount(groups), 1)[:, None])[groups]


def _classes(frames: NDArray[np.float32], n_most: int) -> NDArray[np.int64]:
    import sklearn.cluster  # slow to import, rarely needed

    n_classes = max(1, min(n_most, len(frames) // _FRAMES_PER_CLASS))
    with warnings.catch_warnings():  # of fewer distinct frames than classes
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        kmeans = sklearn.cluster.KMeans(n_classes, n_init=1, max_iter=30, random_state=0)
        labels = kmeans.fit_predict(frames)
    return np.asarray(labels, np.int64)
