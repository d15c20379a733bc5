"""Context for nothing: neighbouring frames stacked, then reduced to principal components."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError


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
            InputError: more components than stacked dimensions.
        """
        n, total, square = 0, np.zeros(1), np.zeros((1, 1))
        for utterance in utterances:
            wide = stacked(utterance, context).astype(np.float64)
            n += len(wide)
            total = total + wide.sum(axis=0)
            square = square + wide.T @ wide
        mean: NDArray[np.float64] = total / n
        dim = len(mean)
        if components is not None and components > dim:
            raise InputError(
                f"{components} components can't be kept of {dim} dimensions",
                remedy=f"ask for at most {dim} components, or for more context",
            )
        _, vectors = np.linalg.eigh(square / n - np.outer(mean, mean))
        matrix = vectors[:, ::-1][:, : components or dim]
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


def stacked(frames: NDArray[np.float32], context: int) -> NDArray[np.float32]:
    """Each frame beside its neighbours: (T, D) → (T, (2·context + 1)·D), edges repeated."""
    if context == 0:
        return frames
    padded = np.pad(frames, ((context, context), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * context + 1, axis=0)
    return windows.transpose(0, 2, 1).reshape(len(frames), -1)
