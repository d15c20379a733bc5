"""What units of Gaussian mixtures have in common: a unit is the most probable component."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from zerochain.discovery.em import MStep, assign, clusters, em, log_probabilities
from zerochain.discovery.frames import check_enough, sample_frames
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions
from zerochain.discovery.kmeans import draft, lloyd, points_of
from zerochain.discovery.mixture import Components
from zerochain.discovery.model import Frames, UnitModel
from zerochain.discovery.steady import one_thread
from zerochain.errors import InputError
from zerochain.features.normalisation import Moments
from zerochain.formats.bundle import Bundle
from zerochain.formats.features import Features

USED_WEIGHT = 1e-4
"""A component is used if its weight is above it: a frame in ten thousand."""
_START_ROUNDS = 10  # of K-Means over all frames: more of them don't raise where EM ends
_BLOCK = 65_536  # frames that moments are taken of at a time
_LEAST_FLOOR = 1e-6


@dataclass(frozen=True)
class Outcome:
    """How a fit went; log-likelihoods, bounds and distances are means over its frames, in nats."""

    seed: int
    n_frames: int
    n_iterations: int
    bound: float
    """What EM raised: of a GMM the log-likelihood, of a DPGMM its variational lower bound."""
    log_likelihood: float
    half_distance: float
    """Half the squared Mahalanobis distance of a frame to its component."""
    n_used: int
    """Components with a weight above `USED_WEIGHT`."""
    n_owning: int
    """Components that are the most probable of at least one frame."""
    variance_floor: float


class MixtureUnits(UnitModel):
    """Mixture of Gaussians with diagonal covariances over frames averaged over `stride`.

    Args:
        n_units: K.
        stride: frames that one unit lasts.
        options: how features are prepared: normalisation, context, components.
        max_frames: frames looked at in the fit.
        max_iterations, tolerance: stop after so many rounds of EM, or once a round gains less
            than this, in nats a frame.
        variance_floor: part of each dimension's overall variance that is added to the variances
            of the components (scikit-learn's reg_covar, in units of the overall variance).
    """

    has_posteriors: ClassVar[bool] = True

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 1,
        *,
        options: FrontEndOptions | None = None,
        max_frames: int = 1_000_000,
        max_iterations: int = 100,
        tolerance: float = 1e-3,
        variance_floor: float = 1e-3,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if n_units < 1 or stride < 1 or max_frames < 1 or max_iterations < 1:
            raise InputError(
                f"n_units={n_units}, stride={stride}, max_frames={max_frames} and "
                f"max_iterations={max_iterations} must be ≥ 1"
            )
        if not _LEAST_FLOOR <= variance_floor < float("inf"):
            raise InputError(
                f"variance_floor={variance_floor} must be ≥ {_LEAST_FLOOR:g}",
                cause="beside smaller variances single precision is too coarse",
                remedy="leave it at 1e-3",
            )
        self.n_units, self.stride = n_units, stride
        self.options = options or FrontEndOptions()
        self.max_frames, self.max_iterations, self.tolerance = max_frames, max_iterations, tolerance
        self.variance_floor, self.seed, self.device = variance_floor, seed, device

    @abstractmethod
    def _m_step(self, moments: Moments, n_frames: int) -> MStep:
        """The M-step for frames of these moments."""

    def fit(self, features: Features) -> Self:
        """Find the components, from a start by K-Means.

        Raises:
            InputError: fewer frames than units.
        """
        with one_thread():
            front_end = FrontEnd.fit(features, self.stride, self.options)
            frames = sample_frames(features, front_end, self.max_frames, self.seed)
        check_enough(frames, self.n_units, features, self.stride)
        self._fit(frames)
        self.front_end = front_end
        self.trained_on = {"corpus": features.corpus_id, "features": features.id}
        return self

    def _fit(self, frames: Frames) -> None:
        moments = Moments.of(frames[i : i + _BLOCK] for i in range(0, len(frames), _BLOCK))
        centroids, _, _ = lloyd(
            points_of(frames, self.device),
            draft(frames, self.n_units, self.seed, self.device),
            max_iterations=_START_ROUNDS,
            tolerance=self.tolerance,
        )
        m_step = self._m_step(moments, len(frames))
        result = em(
            frames,
            clusters(frames, torch.from_numpy(centroids), moments, self.device),
            m_step,
            moments,
            max_iterations=self.max_iterations,
            tolerance=self.tolerance,
            device=self.device,
            title=self.name.upper(),
        )
        self.weights = m_step.weights(result.statistics).astype(np.float32)
        self._set(result.components)
        found = assign(frames, self.components, moments, self.device)
        self.outcome = Outcome(
            seed=self.seed,
            n_frames=len(frames),
            n_iterations=result.n_iterations,
            bound=result.bound,
            log_likelihood=found.log_likelihood,
            half_distance=found.half_distance,
            n_used=int((self.weights > USED_WEIGHT).sum()),
            n_owning=int((found.counts > 0).sum()),
            variance_floor=self.variance_floor,
        )

    def _set(self, components: Components) -> None:
        """Take components over exactly as a bundle will hold them."""
        self.codebook = np.ascontiguousarray(components.means, np.float32)
        self.variances = np.ascontiguousarray(components.variances, np.float32)
        self.constants = np.ascontiguousarray(components.constants, np.float32)

    @property
    def components(self) -> Components:
        """log(weight · density) of the components of a fitted model."""
        assert self.codebook is not None
        return Components(
            *(a.astype(float) for a in (self.constants, self.codebook, self.variances))
        )

    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        """−log(weight · density), in nats."""
        costs = -log_probabilities(np.concatenate(utterances), self.components, self.device)
        return np.split(costs, np.cumsum([len(u) for u in utterances])[:-1])

    @property
    def distortion(self) -> float:
        """Half the squared Mahalanobis distance of a frame to its component, the mean, in nats.

        About D / 2. It is the same unit as K-Means's mean squared distance: there too it is what
        a frame costs beyond one that lies on its codebook vector.
        """
        return self.outcome.half_distance

    @property
    def summary(self) -> str:
        """How the fit went, in a line for people."""
        o = self.outcome
        return (
            f"{o.n_frames} frames, {o.n_iterations} iterations, log-likelihood "
            f"{o.log_likelihood:.4g} nats a frame, {o.n_used} of {self.n_units} components used "
            f"(weight > {USED_WEIGHT:g}), {o.n_owning} own a frame"
        )

    def _settings(self) -> Mapping[str, Any]:
        return asdict(self.outcome)

    def _tensors(self) -> dict[str, NDArray[Any]]:
        mixture = {
            "weights": self.weights,
            "variances": self.variances,
            "constants": self.constants,
        }
        return {**super()._tensors(), **mixture}

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """The model that `save` wrote."""
        config, tensors = bundle.config, bundle.tensors
        model = cls(config["n_units"], config["stride"], device=device)
        model.codebook, model.variances = tensors["codebook"], tensors["variances"]
        model.constants, model.weights = tensors["constants"], tensors["weights"]
        model.front_end = FrontEnd.from_config(config, tensors)
        model.outcome = TypeAdapter(Outcome).validate_python(config["settings"])
        shapes = [a.shape for a in (model.variances, model.constants, model.weights)]
        n_units, dim = model.codebook.shape
        if shapes != [(n_units, dim), (n_units,), (n_units,)] or not (model.variances > 0).all():
            raise ValueError("its components' means, variances and weights don't fit together")
        model.seed, model.variance_floor = model.outcome.seed, model.outcome.variance_floor
        model.trained_on = bundle.trained_on
        return model
