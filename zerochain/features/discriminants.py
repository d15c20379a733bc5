"""Linear discriminant analysis and MLLT: which directions of stacked frames classes differ in.

The classes are units of a first model instead of a transcript's phones. LDA keeps the directions
of highest variance between classes beside that within (Haeb-Umbach and Ney 1992). MLLT, also called
a semi-tied covariance, then turns them so that the covariances of the classes are as diagonal as
they can be, for Gaussians with diagonal covariances (Gopinath 1998; Gales, "Semi-tied covariance
matrices for hidden Markov models", 1999). Both come from sums that are streamed; classes without
frames don't count.
"""

from __future__ import annotations

import numpy as np
import scipy  # scipy.linalg is loaded where it is used
from numpy.typing import NDArray

from zerochain.errors import InputError, counted
from zerochain.features.fmllr import maximised_square

Frames = NDArray[np.float32]
Doubles = NDArray[np.float64]
_RIDGE = 1e-6  # of the mean variance: what doesn't vary within classes stays finite
_ROUNDS = 10  # of MLLT; the likelihood no longer changes in its fifth digit


class ClassSums:
    """Counts, sums and squares of the frames of each class, added up block by block."""

    def __init__(self, n_classes: int, dim: int, *, by_class: bool) -> None:
        """Of frames of `dim` dimensions, with squares of each class or of all frames together."""
        self.counts = np.zeros(n_classes)
        self._sums = np.zeros((n_classes, dim))
        self._squares = np.zeros((n_classes if by_class else 1, dim, dim))

    def add(self, frames: Frames, classes: NDArray[np.int64]) -> None:
        """Frames (N, D) and the class of each, (N,)."""
        order = np.argsort(classes, kind="stable")
        found, starts = np.unique(classes[order], return_index=True)
        parts = np.split(frames[order], starts[1:])
        for k, part in zip(found, parts, strict=True):
            self.counts[k] += len(part)
            self._sums[k] += part.sum(axis=0, dtype=np.float64)
            if len(self._squares) > 1:
                wide = part.astype(np.float64)
                self._squares[k] += wide.T @ wide
        if len(self._squares) == 1:
            wide = frames.astype(np.float64)
            self._squares[0] += wide.T @ wide

    @property
    def means(self) -> Doubles:
        """(K, D), of an empty class that of all frames."""
        mean = self.mean
        full = self.counts[:, None] > 0
        return np.where(full, self._sums / np.maximum(self.counts, 1)[:, None], mean)

    @property
    def mean(self) -> Doubles:
        """(D,), of all frames."""
        return np.asarray(self._sums.sum(axis=0) / self.counts.sum())

    @property
    def within(self) -> Doubles:
        """Covariance of each class, (K, D, D); or that within classes of all frames, (1, D, D)."""
        means = self.means
        if len(self._squares) > 1:
            outer = self.counts[:, None, None] * means[:, :, None] * means[:, None, :]
            return (self._squares - outer) / np.maximum(self.counts, 1)[:, None, None]
        pooled = self._squares - (self.counts[:, None] * means).T @ means
        return np.asarray(pooled / self.counts.sum())

    @property
    def between(self) -> Doubles:
        """Covariance of the classes' means, (D, D)."""
        away = self.means - self.mean
        return np.asarray((self.counts[:, None] * away).T @ away / self.counts.sum())


def lda(sums: ClassSums, n_dims: int) -> Doubles:
    """The matrix (D, P) onto the P most discriminant directions, of variance 1 within classes.

    Raises:
        InputError: fewer than two classes have frames, or there are fewer than P dimensions.
    """
    within, between = sums.within[0], sums.between
    if n_dims > len(within):
        raise InputError(
            f"lda_dims={n_dims} can't be kept of {counted(len(within), 'dimension')}",
            remedy=f"use lda_dims={len(within)} at most, or more context",
        )
    n_classes = int((sums.counts > 0).sum())
    if n_classes < 2:
        raise InputError(
            "LDA needs two classes of frames or more, and all frames are of one",
            cause="the recordings are silent, or all alike",
            remedy="check the recordings, or use adapt=fmllr",
        )
    ridge = _RIDGE * (np.trace(within + between) / len(within)) * np.eye(len(within))
    _, vectors = scipy.linalg.eigh(between, within + ridge)
    matrix = vectors[:, ::-1][:, :n_dims]
    # An eigenvector's sign is arbitrary: fix it, so that the same data give the same bundle.
    signs = np.sign(matrix[np.abs(matrix).argmax(axis=0), np.arange(n_dims)])
    return np.ascontiguousarray(matrix * signs)


def mllt(counts: Doubles, covariances: Doubles) -> Doubles:
    """The matrix (D, D) that frames are multiplied by, under which classes are most diagonal.

    It raises Σ n · (log |det A| − ½ log |diag(A C Aᵀ)|) over the classes, from the identity, by
    turns: the variances under A, then each row of A given the variances. Scales are free; rows are
    made to have variance 1 within classes.

    Args:
        counts: n, frames of each class, (K,).
        covariances: C, of each class, (K, D, D).
    """
    dim = covariances.shape[1]
    full = counts > 0
    counts, covariances = counts[full], covariances[full]
    pooled = np.einsum("k,kij->ij", counts, covariances) / counts.sum()
    ridge = _RIDGE * (np.trace(pooled) / dim or 1.0)
    covariances = covariances + ridge * np.eye(dim)
    # Classes of few frames have no covariance of their own: each starts from one that all share.
    shrunk = counts[:, None, None] * covariances + dim * (pooled + ridge * np.eye(dim))
    covariances = shrunk / (counts + dim)[:, None, None]
    matrix = np.eye(dim)
    for _ in range(_ROUNDS):
        variances = np.einsum("di,kij,dj->kd", matrix, covariances, matrix, optimize=True)
        weights = counts[:, None] / variances
        quadratic = np.einsum("kd,kij->dij", weights, covariances, optimize=True)
        matrix = maximised_square(float(counts.sum()), quadratic, matrix)
    scales = np.sqrt(np.einsum("di,ij,dj->d", matrix, pooled + ridge * np.eye(dim), matrix))
    return np.ascontiguousarray((matrix / scales[:, None]).T)
