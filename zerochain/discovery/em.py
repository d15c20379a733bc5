"""EM for mixtures of diagonal Gaussians: passes over chunks of frames, whatever the M-step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.discovery.kmeans import nearest
from zerochain.discovery.mixture import Components, Doubles, Part, Space, Statistics, Sums, chunks
from zerochain.discovery.model import Frames
from zerochain.discovery.steady import in_order
from zerochain.features.normalisation import Moments
from zerochain.progress import track

_LOWEST = -80.0  # logarithms below it make denormal numbers, which are slow and change nothing


class MStep(Protocol):
    """New components of statistics."""

    def weights(self, statistics: Statistics) -> Doubles:
        """Their weights, (K,), which sum to 1."""

    def components(self, statistics: Statistics) -> Components:
        """The components that the statistics are best explained by."""

    def bound(self, before: Components, statistics: Statistics) -> float:
        """What EM raises, in nats a frame; `before` are the components of the E-step."""


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
        start: where to start, as e.g. `clusters` gives it.
        moments: of the frames; the work is done on standardised frames, so that float32 is enough.
        tolerance: nats a frame.
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
