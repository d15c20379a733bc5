"""GMM units: the components of a mixture of diagonal Gaussians, fitted by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zerochain.discovery.em import MStep
from zerochain.discovery.mixture import Components, Doubles, Statistics
from zerochain.discovery.mixture_units import MixtureUnits
from zerochain.features.normalisation import Moments


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
