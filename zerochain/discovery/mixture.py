"""Mixtures of diagonal Gaussians in numbers: components, statistics, and how chunks make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.discovery.model import Frames
from zerochain.features.normalisation import Moments

Doubles = NDArray[np.float64]
_CHUNK = 2048  # frames: their (chunk, K) posteriors stay in the cache
_CHUNK_GPU = 65_536
_EMPTY = 1e-8  # a component with less than so much of a frame has no moments of its own


@dataclass(frozen=True)
class Components:
    """log(weight · density) of K components: constant − ½ Σ (x − mean)² / variance."""

    constants: Doubles
    """(K,)"""
    means: Doubles
    """(K, D)"""
    variances: Doubles
    """(K, D)"""

    @property
    def moments(self) -> Moments:
        """About where the frames lie that the components are of."""
        mean = self.means.mean(axis=0)
        square = self.variances.mean(axis=0) + np.square(self.means - mean).mean(axis=0)
        return Moments(mean.astype(np.float32), np.sqrt(square).astype(np.float32))


@dataclass(frozen=True)
class Statistics:
    """What an E-step leaves of the frames for the M-step."""

    counts: Doubles
    """(K,), frames of each component by its posteriors; above 0."""
    means: Doubles
    """(K, D), weighted by the posteriors; of an empty component, of all frames."""
    variances: Doubles
    """(K, D), as the means."""
    log_likelihood: float
    """Of a frame, the mean, in nats; 0 where no densities were used."""

    def entropy(self, components: Components) -> float:
        """Of the frames' posteriors under the components of the E-step, the mean, in nats."""
        square = self.variances + np.square(self.means - components.means)
        logs = components.constants - 0.5 * (square / components.variances).sum(axis=1)
        return self.log_likelihood - float(self.counts @ logs / self.counts.sum())


class Space:
    """Standardised frames z: there x² loses no digits, and a log-density is one matrix product."""

    def __init__(self, moments: Moments, device: str) -> None:
        self.mean, self.deviation = moments.mean.astype(float), moments.deviation.astype(float)
        self.device = device
        self._mean = torch.from_numpy(moments.mean).to(device)
        self._deviation = torch.from_numpy(moments.deviation).to(device)

    def design(self, points: Tensor) -> Tensor:
        """Rows [1, z, z²] of points (n, D): (n, 1 + 2 D)."""
        z = (points - self._mean) / self._deviation
        return torch.cat([z.new_ones(len(z), 1), z, z.square()], dim=1)

    def densities(self, components: Components) -> Tensor:
        """(1 + 2 D, K), which rows of a design are multiplied by: log(weight · density)."""
        means = (components.means - self.mean) / self.deviation
        precisions = np.square(self.deviation) / components.variances
        constants = components.constants - 0.5 * (np.square(means) * precisions).sum(axis=1)
        rows = [constants[None], (means * precisions).T, -0.5 * precisions.T]
        return torch.from_numpy(np.concatenate(rows).astype(np.float32)).to(self.device)


@dataclass(frozen=True)
class Part:
    """What a chunk of frames adds to `Sums`."""

    moments: Tensor
    """(1 + 2 D, K), rows of the design weighted by the posteriors."""
    n_frames: int
    log_likelihood: Tensor
    """(), of all its frames."""

    @classmethod
    def of(cls, design: Tensor, shares: Tensor, likelihoods: Tensor | None = None) -> Self:
        """Rows (n, 1 + 2 D), the posteriors (n, K) that they are weighted by, and (n,)."""
        none = torch.zeros((), dtype=torch.float64, device=design.device)
        total = none if likelihoods is None else likelihoods.double().sum()
        return cls(design.T @ shares, len(design), total)


class Sums:
    """Adds up chunks in double precision."""

    def __init__(self, n_components: int, space: Space) -> None:
        self._space, device = space, space.device
        shape = (1 + 2 * len(space.mean), n_components)
        self._total = torch.zeros(shape, dtype=torch.float64, device=device)
        self._likelihood = torch.zeros((), dtype=torch.float64, device=device)
        self._n_frames = 0

    def add(self, part: Part) -> None:
        """Add what a chunk comes to."""
        self._total += part.moments
        self._n_frames += part.n_frames
        self._likelihood += part.log_likelihood

    def statistics(self) -> Statistics:
        """The statistics, of frames that are no longer standardised."""
        space = self._space
        total = np.ascontiguousarray(self._total.cpu().numpy().T)
        counts = total[:, 0] + 10 * np.finfo(np.float64).eps  # as scikit-learn: no zero weights
        first, second = np.split(total[:, 1:] / counts[:, None], 2, axis=1)
        empty = counts[:, None] < _EMPTY
        means = np.where(empty, 0.0, first)
        variances = np.where(empty, 1.0, np.maximum(second - np.square(first), 0))
        return Statistics(
            counts=counts,
            means=space.mean + space.deviation * means,
            variances=np.square(space.deviation) * variances,
            log_likelihood=float(self._likelihood) / self._n_frames,
        )


def chunks(frames: Frames, device: str) -> Iterator[Tensor]:
    """Frames (N, D) on the device, a part (n, D) at a time."""
    size = _CHUNK if device == "cpu" else _CHUNK_GPU
    for i in range(0, len(frames), size):
        yield torch.from_numpy(frames[i : i + size]).to(device)
