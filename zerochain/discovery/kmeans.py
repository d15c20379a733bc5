"""K-Means units: each stride of frames becomes its nearest centroid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, check_enough, sample_frames
from zerochain.discovery.model import Frames, UnitModel, in_order, one_thread, squared_distances
from zerochain.errors import InputError
from zerochain.formats.bundle import Bundle
from zerochain.formats.features import Features
from zerochain.progress import track

_CHUNK = 16_384  # frames: their (chunk, K) scores stay in the cache
_SEED_FRAMES_A_UNIT = 64  # frames that k-means++ looks at, for each unit
_DRAFT_FRAMES_A_UNIT = 400  # frames, for each unit, that the first rounds are run on


class _Settings(BaseModel):
    """What a bundle records of a fit."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    seed: int
    n_frames: int = Field(ge=1)
    n_iterations: int = Field(ge=0)
    inertia: float = Field(ge=0)


class KMeansUnits(UnitModel):
    """K-Means over normalised frames, averaged over `stride`.

    Lloyd's algorithm from k-means++ seeds, on all frames or, where there are more than
    `max_frames` after the stride, on a random subset of so many.

    Args:
        n_units: K.
        stride: frames that one unit lasts.
        options: how features are prepared: normalisation, context, components.
        max_frames: frames looked at in the fit.
        max_iterations, tolerance: stop after so many rounds, or once a round lowers the
            inertia by less than this part of it.
    """

    name = "kmeans"

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 1,
        *,
        options: FrontEndOptions | None = None,
        max_frames: int = 1_000_000,
        max_iterations: int = 100,
        tolerance: float = 1e-4,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if n_units < 1 or stride < 1 or max_frames < 1:
            raise InputError(
                f"n_units={n_units}, stride={stride} and max_frames={max_frames} must be ≥ 1"
            )
        self.n_units, self.stride = n_units, stride
        self.options = options or FrontEndOptions()
        self.max_frames, self.max_iterations, self.tolerance = max_frames, max_iterations, tolerance
        self.seed, self.device = seed, device

    def fit(self, features: Features) -> Self:
        """Find the centroids.

        Raises:
            InputError: fewer frames than units.
        """
        with one_thread():
            front_end = FrontEnd.fit(features, self.stride, self.options.for_kmeans(features))
            frames = sample_frames(features, front_end, self.max_frames, self.seed)
        check_enough(frames, self.n_units, features, self.stride)
        points = points_of(frames, self.device)
        start = draft(frames, self.n_units, self.seed, self.device)
        result = lloyd(points, start, self.max_iterations, self.tolerance)
        self.codebook, self.inertia, self.n_iterations = result
        self.n_frames = len(frames)
        self.front_end = front_end
        self.trained_on = {"corpus": features.corpus_id, "features": features.id}
        return self

    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        assert self.codebook is not None
        return squared_distances(utterances, self.codebook, self.device)

    @property
    def distortion(self) -> float:
        """The mean squared distance of a frame to its centroid, at the fit."""
        return self.inertia

    @property
    def summary(self) -> str:
        """How the fit went, in a line for people."""
        return f"{self.n_frames} frames, {self.n_iterations} iterations, inertia {self.inertia:.4g}"

    def _settings(self) -> Mapping[str, Any]:
        return {
            "seed": self.seed,
            "n_frames": self.n_frames,
            "n_iterations": self.n_iterations,
            "inertia": self.inertia,
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """The model that `save` wrote."""
        config = bundle.config
        model = cls(config["n_units"], config["stride"], device=device)
        model.codebook = bundle.tensors["codebook"]
        model.front_end = FrontEnd.from_config(config, bundle.tensors)
        settings = _Settings.model_validate(config["settings"])
        model.seed, model.n_frames = settings.seed, settings.n_frames
        model.n_iterations, model.inertia = settings.n_iterations, settings.inertia
        model.trained_on = bundle.trained_on
        return model


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


def points_of(frames: Frames, device: str) -> Tensor:
    """Frames (N, D) as a tensor on the device, but left on the disk where they lie there."""
    points = torch.from_numpy(frames)
    return points if isinstance(frames, np.memmap) else points.to(device)


def draft(frames: Frames, n_units: int, seed: int, device: str) -> Tensor:
    """Where Lloyd's algorithm starts: (K, D), on the device.

    k-means++ seeds; where there are many frames, improved on some of them first.
    """
    centroids = _seeds(frames, n_units, seed).to(device)
    n_draft = n_units * _DRAFT_FRAMES_A_UNIT
    if len(frames) < 2 * n_draft:
        return centroids
    chosen = np.random.default_rng(seed).choice(len(frames), n_draft, replace=False)
    part = torch.from_numpy(frames[np.sort(chosen)]).to(device)
    return torch.from_numpy(lloyd(part, centroids, max_iterations=100, tolerance=1e-4)[0]).to(
        device
    )


def lloyd(
    points: Tensor, centroids: Tensor, max_iterations: int, tolerance: float
) -> tuple[Frames, float, int]:
    """Lloyd's algorithm; an empty cluster moves to the point farthest from its centroid.

    Computes where the centroids are; the points are brought there chunk by chunk, once a round.

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


def _seeds(frames: Frames, k: int, seed: int) -> Tensor:
    """k-means++ on a random subset: scikit-learn's."""
    from sklearn.cluster import kmeans_plusplus

    rng = np.random.default_rng(seed)
    n = min(len(frames), max(k * _SEED_FRAMES_A_UNIT, 1024))
    subset = frames[rng.choice(len(frames), n, replace=False)]
    with one_thread():
        centres, _ = kmeans_plusplus(subset, k, random_state=seed)
    return torch.from_numpy(centres)
