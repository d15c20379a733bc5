"""What units of Gaussian mixtures have in common: a unit is the most probable component.

GMM units: the components of a mixture of diagonal Gaussians, fitted by maximum likelihood.

DPGMM units: a mixture of diagonal Gaussians that finds out how many components it needs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy.special import betaln, digamma, gammaln

from zerochain.discovery.em import (
    Components,
    Doubles,
    MStep,
    Statistics,
    assign,
    clusters,
    em,
    log_probabilities,
)
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, check_enough, sample_frames
from zerochain.discovery.kmeans import draft, lloyd, points_of
from zerochain.discovery.model import Frames, UnitModel, one_thread
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


class GMMUnits(MixtureUnits):
    """A unit is the most probable component of a diagonal Gaussian mixture, fitted by EM."""

    name = "gmm"

    def _m_step(self, moments: Moments, n_frames: int) -> MStep:
        return MaximumLikelihood(self.variance_floor * np.square(moments.deviation, dtype=float))


@dataclass(frozen=True)
class MaximumLikelihood:
    """The M-step of EM, as scikit-learn's GaussianMixture makes it."""

    floor: Doubles
    """(D,), added to all variances."""

    def weights(self, statistics: Statistics) -> Doubles:
        """(K,), which sum to 1."""
        return np.asarray(statistics.counts / statistics.counts.sum())

    def components(self, statistics: Statistics) -> Components:
        """Weights, means and variances are those of the statistics."""
        variances = statistics.variances + self.floor
        normalisers = 0.5 * np.log(2 * np.pi * variances).sum(axis=1)
        constants = np.log(self.weights(statistics)) - normalisers
        return Components(constants, statistics.means, variances)

    def bound(self, before: Components, statistics: Statistics) -> float:
        """The log-likelihood."""
        return statistics.log_likelihood


class DPGMMUnits(MixtureUnits):
    """A unit is the most probable component of a Dirichlet-process mixture of diagonal Gaussians.

    Variational, truncated at K components (Blei & Jordan 2006), as scikit-learn's
    BayesianGaussianMixture with a Dirichlet process and its default priors. Components that
    the frames have no need of stay empty: `outcome.n_used` says how many are used.

    Args:
        concentration: of the Dirichlet process; more makes more components. None takes 1 / K.
        n_units, others: as for every mixture.
    """

    name = "dpgmm"

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 1,
        *,
        concentration: float | None = None,
        **others: Any,
    ) -> None:
        super().__init__(n_units, stride, **others)
        self.concentration = 1 / n_units if concentration is None else concentration
        if not 0 < self.concentration < float("inf"):
            raise InputError(f"concentration={concentration} must be above 0")

    def _m_step(self, moments: Moments, n_frames: int) -> MStep:
        variance = np.square(moments.deviation, dtype=float)
        return DirichletProcess(
            concentration=self.concentration,
            mean=moments.mean.astype(float),
            variance=variance * n_frames / max(n_frames - 1, 1),
            floor=self.variance_floor * variance,
        )


@dataclass(frozen=True)
class Posterior:
    """The variational posterior: Beta for the sticks, Gauss-Wishart for the components.

    As in scikit-learn the Wishart has D dimensions though its scale is diagonal, and that scale
    is a covariance, divided by the degrees of freedom.
    """

    sticks: tuple[Doubles, Doubles]
    """(K,) twice: the Beta distribution of how much each breaks off what is left."""
    mean_precisions: Doubles
    """(K,)"""
    freedom: Doubles
    """(K,), degrees of freedom."""
    means: Doubles
    """(K, D)"""
    variances: Doubles
    """(K, D)"""

    @property
    def weights(self) -> Doubles:
        """Expected weights (K,), scaled to sum to 1: the last stick leaves a rest."""
        first, second = self.sticks
        share = first / (first + second)
        weights = share * np.concatenate([[1.0], np.cumprod(1 - share)[:-1]])
        return np.asarray(weights / weights.sum())

    @property
    def components(self) -> Components:
        """The exponential of the expected log(weight · density)."""
        first, second = self.sticks
        both = digamma(first + second)
        left = np.concatenate([[0.0], np.cumsum(digamma(second) - both)[:-1]])
        dim = self.means.shape[1]
        log_precision = dim * np.log(2) + digamma(self._half_freedom).sum(axis=0)
        gauss = self._log_scale + 0.5 * (log_precision - dim / self.mean_precisions)
        constants = digamma(first) - both + left + gauss - 0.5 * dim * np.log(2 * np.pi)
        return Components(constants, self.means, self.variances)

    @property
    def free_energy(self) -> float:
        """The lower bound but for the entropy of the frames' posteriors and for constants."""
        dim = self.means.shape[1]
        wishart = self.freedom * (self._log_scale + 0.5 * dim * np.log(2))
        wishart = wishart + gammaln(self._half_freedom).sum(axis=0)
        return float(
            (wishart + betaln(*self.sticks) - 0.5 * dim * np.log(self.mean_precisions)).sum()
        )

    @property
    def _log_scale(self) -> Doubles:
        """½ log of the determinant of the Wishart's scale, (K,)."""
        dim = self.means.shape[1]
        return np.asarray(-0.5 * (np.log(self.variances).sum(axis=1) + dim * np.log(self.freedom)))

    @property
    def _half_freedom(self) -> Doubles:
        """(D, K), what the multivariate gamma functions are evaluated at."""
        return 0.5 * (self.freedom - np.arange(self.means.shape[1])[:, None])


@dataclass(frozen=True)
class DirichletProcess:
    """The prior, with scikit-learn's defaults, and its M-step.

    A mean counts as much as one frame, a variance as D of them.
    """

    concentration: float
    mean: Doubles
    """(D,), of all frames."""
    variance: Doubles
    """(D,), of all frames."""
    floor: Doubles
    """(D,), added to the variances of the statistics."""

    def posterior(self, statistics: Statistics) -> Posterior:
        """The posterior of statistics (Bishop 2006, 10.60 – 10.63, and Blei & Jordan's sticks)."""
        counts = statistics.counts
        later = np.concatenate([np.cumsum(counts[::-1])[-2::-1], [0.0]])
        mean_precisions, freedom = 1 + counts, len(self.mean) + counts
        weighted = counts[:, None] * statistics.means
        away = np.square(statistics.means - self.mean) / mean_precisions[:, None]
        scatter = counts[:, None] * (statistics.variances + self.floor + away)
        return Posterior(
            sticks=(1 + counts, self.concentration + later),
            mean_precisions=mean_precisions,
            freedom=freedom,
            means=(self.mean + weighted) / mean_precisions[:, None],
            variances=(self.variance + scatter) / freedom[:, None],
        )

    def weights(self, statistics: Statistics) -> Doubles:
        """The expected weights, (K,)."""
        return self.posterior(statistics).weights

    def components(self, statistics: Statistics) -> Components:
        """What frames are scored with under the posterior."""
        return self.posterior(statistics).components

    def bound(self, before: Components, statistics: Statistics) -> float:
        """The variational lower bound, but for constants, divided by the number of frames."""
        n_frames = float(statistics.counts.sum())
        return statistics.entropy(before) + self.posterior(statistics).free_energy / n_frames
