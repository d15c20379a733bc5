"""Expectation maximisation for mixtures of diagonal Gaussians, whatever the M-step.

Frames are standardised and passed over chunk by chunk, so that a log-density is one matrix product
in single precision and memory stays bounded; sums over frames are in double precision. `em` runs
the rounds with the M-step of a mixture (`mixtures.py`); `clusters` is where they start, `assign`
and `log_probabilities` use the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.discovery.kmeans import nearest
from zerochain.discovery.model import Frames, in_order
from zerochain.features.normalisation import Moments
from zerochain.progress import track

Doubles = NDArray[np.float64]
_CHUNK = 2048  # frames: their (chunk, K) posteriors stay in the cache
_CHUNK_GPU = 65_536
_LOWEST = -80.0  # logarithms below it make denormal numbers: slow, and of no effect
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
        """Of the frames that the components were fitted on, approximately."""
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
        """Add a chunk's part."""
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


class MStep(Protocol):
    """New components of statistics."""

    def weights(self, statistics: Statistics) -> Doubles:
        """Their weights, (K,), which sum to 1."""

    def components(self, statistics: Statistics) -> Components:
        """The components that the statistics are best explained by."""

    def bound(self, before: Components, statistics: Statistics) -> float:
        """What EM raises, in nats per frame; `before` are the components of the E-step."""


@dataclass(frozen=True)
class Result:
    """What `em` found."""

    components: Components
    statistics: Statistics
    """Of the last E-step, which the components were made of."""
    bound: float
    n_iterations: int


def em(
    frames: Frames,
    start: Statistics,
    m_step: MStep,
    moments: Moments,
    *,
    max_iterations: int,
    tolerance: float,
    device: str = "cpu",
    title: str = "EM",
) -> Result:
    """Expectation maximisation until a round gains less than `tolerance`.

    As scikit-learn's: a round is an E-step, an M-step and the bound of both.

    Args:
        frames: (N, D), in memory or memory-mapped.
        start: where to start, as `clusters` gives it.
        moments: of the frames; the work is done on standardised frames, so that float32 is enough.
        tolerance: nats per frame.
    """
    components, statistics = m_step.components(start), start
    bound = previous = -float("inf")
    iteration = 0
    for iteration in track(range(1, max_iterations + 1), title):  # noqa: B007
        statistics = expectation(frames, components, moments, device)
        bound = m_step.bound(components, statistics)
        components = m_step.components(statistics)
        if abs(bound - previous) < tolerance:
            break
        previous = bound
    return Result(components, statistics, bound, iteration)


def expectation(
    frames: Frames, components: Components, moments: Moments, device: str = "cpu"
) -> Statistics:
    """The E-step: statistics by the posteriors of the components, and the log-likelihood."""
    space = Space(moments, device)
    densities = space.densities(components)

    def part(points: Tensor) -> Part:
        design = space.design(points)
        logs = design @ densities
        highest = logs.amax(dim=1, keepdim=True)
        shares = logs.sub_(highest).clamp_(min=_LOWEST).softmax(dim=1)
        # The highest share is 1 / Σ exp(log − highest): the likelihood needs no second sum.
        likelihoods = highest.flatten() - shares.amax(dim=1).log()
        return Part.of(design, shares, likelihoods)

    sums = Sums(len(components.means), space)
    for one in in_order(part, chunks(frames, device), device):
        sums.add(one)
    return sums.statistics()


def clusters(
    frames: Frames, centroids: Tensor, moments: Moments, device: str = "cpu"
) -> Statistics:
    """Statistics of the frames nearest to each centroid, (K, D): where EM starts."""
    space, centroids = Space(moments, device), centroids.to(device)

    def part(points: Tensor) -> Part:
        units, _ = nearest(points, centroids)
        shares = torch.nn.functional.one_hot(units, len(centroids)).to(points)
        return Part.of(space.design(points), shares)

    sums = Sums(len(centroids), space)
    for one in in_order(part, chunks(frames, device), device):
        sums.add(one)
    return sums.statistics()


@dataclass(frozen=True)
class Assignment:
    """Each frame given to its most probable component."""

    counts: NDArray[np.int64]
    """(K,), frames of each component."""
    log_likelihood: float
    """Of a frame, the mean, in nats."""
    half_distance: float
    """Half the squared Mahalanobis distance of a frame to its component, the mean, in nats."""


def assign(
    frames: Frames, components: Components, moments: Moments, device: str = "cpu"
) -> Assignment:
    """Give each frame to its most probable component."""
    space = Space(moments, device)
    densities = space.densities(components)
    constants = torch.from_numpy(components.constants).to(device)

    def part(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logs = space.design(points) @ densities
        highest, chosen = logs.max(dim=1)
        members = torch.bincount(chosen, minlength=len(constants))
        away = (constants[chosen] - highest).sum()
        return members, logs.logsumexp(dim=1).double().sum(), away

    counts = torch.zeros(len(constants), dtype=torch.int64, device=device)
    likelihood = distance = torch.zeros((), dtype=torch.float64, device=device)
    for members, log_likelihood, away in in_order(part, chunks(frames, device), device):
        counts += members
        likelihood = likelihood + log_likelihood
        distance = distance + away
    n = len(frames)
    return Assignment(counts.cpu().numpy(), float(likelihood) / n, max(float(distance) / n, 0.0))


def log_probabilities(points: Frames, components: Components, device: str = "cpu") -> Frames:
    """log(weight · density) of frames (T, D) under every component: (T, K)."""
    space = Space(components.moments, device)
    densities = space.densities(components)
    parts = in_order(lambda chunk: space.design(chunk) @ densities, chunks(points, device), device)
    return torch.cat(list(parts)).cpu().numpy()
