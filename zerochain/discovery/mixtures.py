"""Units of Gaussian mixtures: a unit is the most probable of K components.

Components have diagonal covariances and start from K-Means. A GMM fits them by maximum likelihood
(EM; Dempster, Laird and Rubin 1977). A DPGMM (Chen et al. 2015, at ZeroSpeech 2015)
fits a Dirichlet-process mixture by variational inference (Blei and Jordan 2006), which uses as
many of the K components as the speech needs. `adapt` makes the front end adapt to speakers
(`adaptive.py`). Both are scikit-learn's models; `em.py` computes them
in chunks. Log-probabilities are natural: nats.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy  # scipy.special is loaded where it is used
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from zerochain.discovery.adaptive import AdaptiveConfig, Transforms, with_fmllr, with_lda
from zerochain.discovery.em import (
    Components,
    Doubles,
    MStep,
    Statistics,
    assign,
    clusters,
    em,
    expectation,
    log_probabilities,
)
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, check_enough, sample_frames
from zerochain.discovery.kmeans import initial_centroids, lloyd, points_of
from zerochain.discovery.model import Frames, UnitModel, one_thread
from zerochain.errors import counted
from zerochain.features.fmllr import Target
from zerochain.features.normalisation import Moments
from zerochain.formats.features import Features
from zerochain.training.run import Running

USED_WEIGHT = 1e-4
"""A component is used if its weight is above it: a frame in ten thousand."""
_START_ROUNDS = 10  # of K-Means over all frames: more of them don't raise where EM ends
_WARM_ROUNDS = 20  # of EM, between one transform and the next
_BLOCK = 65_536  # frames that moments are taken of at a time


class MixtureConfig(AdaptiveConfig):
    """How a mixture is fitted."""

    max_frames: int = Field(1_000_000, ge=1)
    """Frames after the stride above which a random subset of so many is fitted."""
    max_iterations: int = Field(100, ge=1, json_schema_extra={"option": None})
    """Rounds of EM after which it stops."""
    tolerance: float = Field(1e-3, ge=0, json_schema_extra={"option": None})
    """It stops as well once a round gains less than this, in nats per frame."""
    # Beside variances that are smaller still, single precision is too coarse.
    variance_floor: float = Field(1e-3, ge=1e-6)
    """Fraction of each dimension's overall variance that is added to the components' variances.

    It is scikit-learn's reg_covar, in units of the overall variance."""


class DPGMMConfig(MixtureConfig):
    """How a Dirichlet-process mixture is fitted."""

    concentration: float | None = Field(None, gt=0, json_schema_extra={"default": "1 / K"})
    """Concentration of the Dirichlet process; the higher, the more components stay in use."""


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
    n_transforms: int = 0
    """fMLLR transforms of the speech of the fit: of speakers, and of utterances without one."""
    n_full: int = 0
    """Those that aren't just a bias and a scale."""


class MixtureUnits(UnitModel):
    """Mixture of Gaussians with diagonal covariances over frames averaged over `stride`.

    Args:
        n_units: K.
        stride: frames per unit.
        options: how features are prepared.
        config: how it is fitted.
        seed: of the start by K-Means and of the random subset of frames.

    Attributes:
        weights, constants: (K,), of the components; constants are `Components`'.
        variances: (K, D). The means are the codebook.
        outcome: how the fit went.
    """

    has_posteriors = True
    config: MixtureConfig
    weights: Frames
    variances: Frames
    constants: Frames
    outcome: Outcome

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 1,
        *,
        options: FrontEndOptions | None = None,
        config: MixtureConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_units, stride, options, device)
        self.config, self.seed = config or MixtureConfig(), seed

    @abstractmethod
    def _m_step(self, moments: Moments, n_frames: int) -> MStep:
        """The M-step for frames of these moments."""

    def _fit(self, features: Features, running: Running) -> None:
        self.config.check(self.options)
        with one_thread():
            front_end = FrontEnd.fit(features, self.stride, self.options)
            frames = self._sample(features, front_end)
        check_enough(len(frames), self.n_units, features, self.stride, self.config.max_frames)
        centroids, _, _ = lloyd(
            points_of(frames, self.device),
            initial_centroids(frames, self.n_units, self.seed, self.device),
            max_iterations=_START_ROUNDS,
            tolerance=self.config.tolerance,
        )
        self._fit_components(frames, centroids)
        self.front_end = front_end
        for _ in range(self.config.adapt_rounds if self.config.adapt != "none" else 0):
            self._adapt(front_end, features)
        if self.config.uses_fmllr:  # as unknown speakers are: towards the mixture that they meet
            self._move(features)
            found = Transforms.of(self._fitted, features)
            self.outcome = replace(self.outcome, n_transforms=found.n, n_full=found.n_full)

    def _adapt(self, plain: FrontEnd, features: Features) -> None:
        """A round: transforms by the mixture as it is, and a mixture of what they give."""
        if self.config.uses_lda:
            labels = dict(self._labels(features))
            with one_thread():
                found = with_lda(plain, features, labels.__getitem__, self.n_units, self.config)
                self.front_end = found.front_end
                frames = self._sample(features, self.front_end)
            self._fit_components(frames, found.means, warm=self.config.uses_fmllr)
        if self.config.uses_fmllr:
            self._move(features)
            frames = self._sample(features, self._fitted)
            self._fit_components(frames, self.components)

    def _move(self, features: Features) -> None:
        """Give speakers transforms towards the mixture as it is."""
        assert self.codebook is not None
        target = Target(self.constants, self.codebook, self.variances)
        with one_thread():
            self.front_end = with_fmllr(self._fitted, features, target, self.config)

    def _labels(self, features: Features) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Ids of utterances, and the unit of each of their frames, (T,)."""
        for name, costs in self.costs(features):
            n_frames = features.index[name][1]
            yield name, np.repeat(costs.argmin(axis=1), self.stride)[:n_frames]

    def _sample(self, features: Features, front_end: FrontEnd) -> Frames:
        return sample_frames(features, front_end, self.config.max_frames, self.seed)

    def _fit_components(
        self, frames: Frames, start: Frames | Components, *, warm: bool = False
    ) -> None:
        """Fit the mixture to frames (N, D).

        Args:
            start: centroids (K, D), or the components that the E-step is to begin with.
            warm: a few rounds are enough, as the frames will be moved again.
        """
        config = self.config
        moments = Moments.of(frames[i : i + _BLOCK] for i in range(0, len(frames), _BLOCK))
        if isinstance(start, Components):
            statistics = expectation(frames, start, moments, self.device)
        else:
            statistics = clusters(frames, torch.from_numpy(start), moments, self.device)
        m_step = self._m_step(moments, len(frames))
        result = em(
            frames,
            statistics,
            m_step,
            moments,
            max_iterations=min(config.max_iterations, _WARM_ROUNDS if warm else 1_000_000),
            tolerance=config.tolerance,
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
            variance_floor=config.variance_floor,
        )

    def _set(self, components: Components) -> None:
        """Hold components in the precision of a bundle, so that a loaded model encodes the same."""
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
        """How the fit went, in one line for people."""
        o = self.outcome
        return (
            f"{counted(o.n_frames, 'frame')}, {counted(o.n_iterations, 'iteration')}, "
            f"log-likelihood {o.log_likelihood:.4g} nats per frame, "
            f"{o.n_used} of {self.n_units} components used (weight > {USED_WEIGHT:g}), "
            f"{o.n_owning} are the most probable of a frame" + self._moved
        )

    @property
    def _moved(self) -> str:
        """How many speakers were adapted to, as the end of the summary."""
        o = self.outcome
        if o.n_transforms == 0:
            return ""
        few = o.n_transforms - o.n_full
        some = f", {few} of them a bias and a scale for lack of speech" if few else ""
        return f", {counted(o.n_transforms, 'fMLLR transform')}{some}"

    @property
    def findings(self) -> list[str]:
        """Warnings about how the fit went."""
        if self.outcome.n_transforms != 1:
            return []
        return [
            "fMLLR makes speakers alike, and there is one only: expect nothing of it; fix: import "
            "the corpus with its speakers, or leave adaptation out"
        ]

    def _settings(self) -> Mapping[str, Any]:
        return asdict(self.outcome)

    def _tensors(self) -> dict[str, NDArray[Any]]:
        mixture = {
            "weights": self.weights,
            "variances": self.variances,
            "constants": self.constants,
        }
        return {**super()._tensors(), **mixture}

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        assert self.codebook is not None
        self.variances, self.constants = tensors["variances"], tensors["constants"]
        self.weights = tensors["weights"]
        self.outcome = TypeAdapter(Outcome).validate_python(settings)
        shapes = [a.shape for a in (self.variances, self.constants, self.weights)]
        n_units, dim = self.codebook.shape
        if shapes != [(n_units, dim), (n_units,), (n_units,)] or not (self.variances > 0).all():
            raise ValueError("its components' means, variances and weights don't fit together")
        self.seed = self.outcome.seed


class GMMUnits(MixtureUnits):
    """A unit is the most probable component of a diagonal Gaussian mixture, fitted by EM."""

    name = "gmm"

    def _m_step(self, moments: Moments, n_frames: int) -> MStep:
        return MaximumLikelihood(
            self.config.variance_floor * np.square(moments.deviation, dtype=float)
        )


@dataclass(frozen=True)
class MaximumLikelihood:
    """The M-step of EM, as scikit-learn's GaussianMixture makes it."""

    floor: Doubles
    """(D,), added to all variances."""

    def weights(self, statistics: Statistics) -> Doubles:
        """(K,), of sum 1."""
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
    the frames don't need stay empty: `outcome.n_used` is how many are used.

    Args:
        n_units: K, at most.
        config: how it is fitted.
        stride, options, seed: as for every mixture.
    """

    name = "dpgmm"
    config: DPGMMConfig

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 1,
        *,
        options: FrontEndOptions | None = None,
        config: DPGMMConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        config = config or DPGMMConfig()
        super().__init__(n_units, stride, options=options, config=config, seed=seed, device=device)

    def _m_step(self, moments: Moments, n_frames: int) -> MStep:
        variance = np.square(moments.deviation, dtype=float)
        return DirichletProcess(
            concentration=self.config.concentration or 1 / self.n_units,
            mean=moments.mean.astype(float),
            variance=variance * n_frames / max(n_frames - 1, 1),
            floor=self.config.variance_floor * variance,
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
        both = scipy.special.digamma(first + second)
        left = np.concatenate([[0.0], np.cumsum(scipy.special.digamma(second) - both)[:-1]])
        dim = self.means.shape[1]
        log_precision = dim * np.log(2) + scipy.special.digamma(self._half_freedom).sum(axis=0)
        gauss = self._log_scale + 0.5 * (log_precision - dim / self.mean_precisions)
        constants = (
            scipy.special.digamma(first) - both + left + gauss - 0.5 * dim * np.log(2 * np.pi)
        )
        return Components(constants, self.means, self.variances)

    @property
    def free_energy(self) -> float:
        """The lower bound but for the entropy of the frames' posteriors and for constants."""
        dim = self.means.shape[1]
        wishart = self.freedom * (self._log_scale + 0.5 * dim * np.log(2))
        wishart = wishart + scipy.special.gammaln(self._half_freedom).sum(axis=0)
        return float(
            (
                wishart
                + scipy.special.betaln(*self.sticks)
                - 0.5 * dim * np.log(self.mean_precisions)
            ).sum()
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
