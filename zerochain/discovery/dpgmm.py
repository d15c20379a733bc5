"""DPGMM units: a mixture of diagonal Gaussians that finds out how many components it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, digamma, gammaln

from zerochain.discovery.em import MStep
from zerochain.discovery.mixture import Components, Doubles, Statistics
from zerochain.discovery.mixture_units import MixtureUnits
from zerochain.errors import InputError
from zerochain.features.normalisation import Moments


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
