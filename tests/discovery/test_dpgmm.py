"""What DPGMMs have of their own; what they share with GMMs is in test_gmm.py."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.mixture import BayesianGaussianMixture

from zerochain.discovery.em import clusters, em, log_probabilities
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.mixtures import DirichletProcess, DPGMMConfig, DPGMMUnits
from zerochain.errors import InputError
from zerochain.features.normalisation import Moments
from zerochain.formats.features import Features

PLAIN = FrontEndOptions(normalisation="none")
FLOOR = 1e-6


def blobs(k: int = 5, n: int = 2000, dim: int = 4, seed: int = 0) -> np.ndarray:
    """Overlapping clusters, far from the origin: (n, dim)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 4, (k, dim))
    frames = centres[rng.integers(0, k, n)] + rng.normal(size=(n, dim)) * rng.uniform(0.5, 2, dim)
    return (50 + frames).astype(np.float32)


def reference(
    frames: np.ndarray, start: np.ndarray, rounds: int, floor: float = FLOOR, **prior: float
) -> BayesianGaussianMixture:
    """scikit-learn's after so many rounds from the responsibilities given, (N, K)."""

    class Started(BayesianGaussianMixture):
        def _initialize_parameters(self, X, random_state, xp=None):
            self._initialize(X, start)

    model = Started(
        n_components=start.shape[1],
        covariance_type="diag",
        weight_concentration_prior_type="dirichlet_process",
        max_iter=rounds,
        tol=0,
        reg_covar=floor,
        **prior,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(frames.astype(np.float64))


@pytest.mark.parametrize("rounds", [1, 4, 30])
@pytest.mark.parametrize("concentration", [None, 10.0])
def test_updates_and_bound_equal_scikit_learn(rounds: int, concentration: float | None) -> None:
    frames, k = blobs(), 12
    prior = {} if concentration is None else {"weight_concentration_prior": concentration}
    labels = ((frames[:, None] - frames[None, :k]) ** 2).sum(-1).argmin(1)
    theirs = reference(frames, np.eye(k)[labels], rounds, **prior)
    wide = frames.astype(np.float64)
    process = DirichletProcess(
        concentration=concentration or 1 / k,
        mean=wide.mean(0),
        variance=wide.var(0, ddof=1),
        floor=np.full(frames.shape[1], FLOOR),
    )
    moments = Moments.of([frames])
    start = clusters(frames, torch.from_numpy(frames[:k]), moments)
    ours = em(frames, start, process, moments, max_iterations=rounds, tolerance=0)
    posterior = process.posterior(ours.statistics)
    assert ours.bound == pytest.approx(theirs.lower_bound_ / len(frames), abs=1e-4)
    for mine, their in zip(posterior.sticks, theirs.weight_concentration_, strict=True):
        np.testing.assert_allclose(mine, their, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(posterior.mean_precisions, theirs.mean_precision_, rtol=1e-3)
    np.testing.assert_allclose(posterior.freedom, theirs.degrees_of_freedom_, rtol=1e-3)
    np.testing.assert_allclose(posterior.weights, theirs.weights_, atol=1e-5)
    np.testing.assert_allclose(posterior.means, theirs.means_, rtol=1e-4)
    np.testing.assert_allclose(posterior.variances, theirs.covariances_, rtol=1e-3)
    logs = log_probabilities(frames, ours.components)
    np.testing.assert_allclose(logs, theirs._estimate_weighted_log_prob(wide), rtol=1e-4, atol=5e-3)


def test_where_a_fit_ends_scikit_learn_stays() -> None:
    """With its default priors: from the posteriors of a fitted model it goes nowhere."""
    frames = blobs()
    features = Features.from_arrays({"u": (frames - frames.mean(0)) / frames.std(0)})
    model = DPGMMUnits(
        6, options=PLAIN, config=DPGMMConfig(max_iterations=2000, tolerance=1e-8)
    ).fit(features)
    ((_, posteriors),) = model.posteriors(features)
    theirs = reference(features.frames, posteriors.astype(float), 1, model.config.variance_floor)
    assert model.outcome.bound == pytest.approx(theirs.lower_bound_ / len(frames), abs=1e-4)
    np.testing.assert_allclose(model.weights, theirs.weights_, atol=1e-4)
    np.testing.assert_allclose(model.codebook, theirs.means_, atol=1e-2)
    np.testing.assert_allclose(model.variances, theirs.covariances_, atol=1e-2)
    np.testing.assert_allclose(posteriors, theirs.predict_proba(features.frames), atol=1e-2)


def test_no_more_components_are_used_than_there_is_need_of() -> None:
    rng = np.random.default_rng(1)
    centres = 30 * np.eye(3, dtype=np.float32)
    frames = centres[rng.integers(0, 3, 3000)] + rng.normal(size=(3000, 3)).astype(np.float32)
    features = Features.from_arrays({"u": frames})
    model = DPGMMUnits(
        20, options=PLAIN, config=DPGMMConfig(max_iterations=500, tolerance=1e-7)
    ).fit(features)
    used = model.outcome.n_used
    assert 3 <= model.outcome.n_owning <= used < 20
    assert f"{used} of 20 components used" in model.summary
    assert len(np.unique(model.encode(features).units["u"])) == model.outcome.n_owning
    assert model.weights.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("inf"), float("nan")])
def test_a_senseless_concentration_is_refused(wrong: float) -> None:
    with pytest.raises(InputError, match="concentration"):
        DPGMMConfig(concentration=wrong)
