"""K-Means units: a unit is the nearest of K centroids.

Lloyd's algorithm (1982) from k-means++ seeds (Arthur and Vassilvitskii 2007), on frames that were
normalised, stacked with their neighbours and averaged over the stride. It is also what the
codebooks of trained encoders and the components of mixtures begin with: `initial_centroids`,
`lloyd`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from zerochain.config import Config
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, check_enough, sample_frames
from zerochain.discovery.model import Frames, UnitModel, in_order, one_thread, squared_distances
from zerochain.errors import counted
from zerochain.formats.features import Features
from zerochain.progress import track
from zerochain.training.run import Running

_CHUNK = 16_384  # frames: their (chunk, K) scores stay in the cache
_SEED_FRAMES_PER_UNIT = 64  # that k-means++ looks at
_SUBSET_FRAMES_PER_UNIT = 400  # that the first rounds are run on
_SUBSET_ROUNDS, _SUBSET_TOLERANCE = 100, 1e-4


class KMeansConfig(Config):
    """How K-Means is fitted."""

    max_frames: int = Field(1_000_000, ge=1)
    """Frames after the stride above which a random subset of so many is fitted."""
    max_iterations: int = Field(100, ge=1, json_schema_extra={"option": None})
    """Rounds after which it stops."""
    tolerance: float = Field(1e-4, ge=0, json_schema_extra={"option": None})
    """It stops as well once a round lowers the inertia by less than this part of it."""


class _Settings(BaseModel):
    """What a bundle records of a fit."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    seed: int
    n_frames: int = Field(ge=1)
    n_iterations: int = Field(ge=0)
    inertia: float = Field(ge=0)


class KMeansUnits(UnitModel):
    """K-Means over normalised frames, averaged over `stride`.

    Args:
        n_units: K.
        stride: frames per unit.
        options: how features are prepared; MFCCs get context unless it says otherwise.
        config: how it is fitted.
        seed: of the initial centroids and of the random subset.

    Attributes:
        inertia: the mean squared distance of a frame to its centroid.
        n_frames, n_iterations: of the fit.
    """

    name = "kmeans"
    inertia: float
    n_frames: int
    n_iterations: int

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 1,
        *,
        options: FrontEndOptions | None = None,
        config: KMeansConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_units, stride, options, device)
        self.config, self.seed = config or KMeansConfig(), seed

    def _fit(self, features: Features, running: Running) -> None:
        with one_thread():
            front_end = FrontEnd.fit(features, self.stride, self.options.for_kmeans(features))
            frames = sample_frames(features, front_end, self.config.max_frames, self.seed)
        check_enough(len(frames), self.n_units, features, self.stride, self.config.max_frames)
        self.codebook, self.inertia, self.n_iterations = lloyd(
            points_of(frames, self.device),
            initial_centroids(frames, self.n_units, self.seed, self.device),
            self.config.max_iterations,
            self.config.tolerance,
        )
        self.n_frames, self.front_end = len(frames), front_end

    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        assert self.codebook is not None
        return squared_distances(utterances, self.codebook, self.device)

    @property
    def distortion(self) -> float:
        """The mean squared distance of a frame to its centroid, at the fit."""
        return self.inertia

    @property
    def summary(self) -> str:
        """How the fit went, in one line for people."""
        frames, iterations = (self.n_frames, "frame"), (self.n_iterations, "iteration")
        return f"{counted(*frames)}, {counted(*iterations)}, inertia {self.inertia:.4g}"

    def _settings(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in _Settings.model_fields}

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        vars(self).update(_Settings.model_validate(settings))


def points_of(frames: Frames, device: str) -> Tensor:
    """Frames (N, D) as a tensor on the device, but left on the disk where they lie there."""
    points = torch.from_numpy(frames)
    return points if isinstance(frames, np.memmap) else points.to(device)


def initial_centroids(frames: Frames, n_units: int, seed: int, device: str) -> Tensor:
    """Where Lloyd's algorithm starts: (K, D), on the device.

    k-means++ seeds; where there are many frames, improved on a random subset of them first.
    """
    centroids = _seeds(frames, n_units, seed).to(device)
    n_subset = n_units * _SUBSET_FRAMES_PER_UNIT
    if len(frames) < 2 * n_subset:
        return centroids
    chosen = np.random.default_rng(seed).choice(len(frames), n_subset, replace=False)
    subset = torch.from_numpy(frames[np.sort(chosen)]).to(device)
    improved, _, _ = lloyd(subset, centroids, _SUBSET_ROUNDS, _SUBSET_TOLERANCE)
    return torch.from_numpy(improved).to(device)


def lloyd(
    points: Tensor, centroids: Tensor, max_iterations: int, tolerance: float
) -> tuple[Frames, float, int]:
    """Lloyd's algorithm; an empty cluster moves to the point farthest from its centroid.

    Computes on the centroids' device; the points are brought there chunk by chunk, once per round.

    Args:
        points: (N, D).
        centroids: (K, D), where to start.

    Returns:
        Centroids (K, D), the mean squared distance of a point to its own, and the iterations.
    """
    norms = torch.linalg.vector_norm(points, dim=1).square_()  # no copy of the points
    inertia = previous = float("inf")
    iteration = 0
    for iteration in track(range(1, max_iterations + 1), "K-Means"):  # noqa: B007
        sums, counts, distances, total = _round(points, norms, centroids)
        inertia = total / len(points)
        if previous - inertia <= tolerance * inertia:
            break
        previous = inertia
        centroids = (sums / counts.clamp(min=1)[:, None]).to(centroids)
        empty = torch.nonzero(counts == 0).flatten()
        if len(empty):
            centroids[empty] = points[distances.topk(len(empty)).indices].to(centroids)
    return centroids.cpu().numpy(), inertia, iteration


def _round(
    points: Tensor, norms: Tensor, centroids: Tensor
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Sums (K, D) and counts (K,) of the clusters, squared distances (N,) and their sum."""

    def summed(begin: int) -> tuple[Tensor, Tensor, Tensor, float]:
        chunk = points[begin : begin + _CHUNK].to(centroids)
        units, partial = nearest(chunk, centroids)
        away = partial.to(norms).add_(norms[begin : begin + _CHUNK]).clamp_(min=0)
        return (
            torch.zeros_like(centroids).index_add_(0, units, chunk),
            torch.bincount(units, minlength=len(centroids)),
            away,
            float(away.double().sum()),
        )

    sums = torch.zeros_like(centroids, dtype=torch.float64)
    counts = torch.zeros(len(centroids), dtype=torch.int64, device=centroids.device)
    distances = torch.empty_like(norms)
    total = 0.0
    begins = range(0, len(points), _CHUNK)
    chunks = in_order(summed, begins, centroids.device.type)
    for begin, (part, members, away, far) in zip(begins, chunks, strict=True):
        sums += part
        counts += members
        distances[begin : begin + _CHUNK] = away
        total += far
    return sums, counts, distances, total


def nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each point and its squared distance less the point's own norm.

    Args:
        points: (N, D).
        centroids: (K, D).

    Returns:
        (N,) indices, (N,) of ‖c‖² − 2·x·c.
    """
    norms = centroids.square().sum(dim=1)
    distances, indices = torch.addmm(norms, points, centroids.T, alpha=-2).min(dim=1)
    return indices, distances


def _seeds(frames: Frames, k: int, seed: int) -> Tensor:
    """k-means++ on a random subset: scikit-learn's."""
    from sklearn.cluster import kmeans_plusplus  # a second, which encoding need not wait for

    rng = np.random.default_rng(seed)
    n = min(len(frames), max(k * _SEED_FRAMES_PER_UNIT, 1024))
    subset = frames[rng.choice(len(frames), n, replace=False)]
    with one_thread():
        centres, _ = kmeans_plusplus(subset, k, random_state=seed)
    return torch.from_numpy(centres)
