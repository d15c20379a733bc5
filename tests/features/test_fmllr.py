"""fMLLR beside a slow reference, and what must hold of any speech."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import norm

from zerochain.features.fmllr import (
    Estimate,
    Sums,
    Target,
    estimated,
    identity,
    maximised,
)

Doubles = NDArray[np.float64]
D, K = 3, 4


def mixture(seed: int = 0, *, dim: int = D, n: int = K) -> Target:
    """A mixture far from the origin, of unequal scales."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-1, 1, dim)
    means = 20 * scales + 2 * scales * rng.normal(size=(n, dim))
    variances = np.square(scales) * rng.uniform(0.3, 2, (n, dim))
    weights = rng.dirichlet(np.full(n, 5))
    constants = np.log(weights) - 0.5 * np.log(2 * np.pi * variances).sum(axis=1)
    return Target(*(a.astype(np.float32) for a in (constants, means, variances)))


def drawn(target: Target, n: int, seed: int = 0) -> Doubles:
    rng = np.random.default_rng(seed)
    unit = rng.choice(len(target.weights), n, p=target.weights)
    return target.means[unit] + np.sqrt(target.variances[unit]) * rng.normal(size=(n, target.dim))


def seen_by(target: Target, frames: Doubles, seed: int = 0) -> tuple[np.ndarray, Doubles]:
    """The frames as another speaker has them, and the transform [A b] that leads back."""
    rng = np.random.default_rng(seed)
    spread = np.sqrt(target.variances.mean(axis=0))
    square = np.eye(target.dim) + 0.1 * rng.normal(size=(target.dim, target.dim))
    matrix = spread[:, None] * square / spread
    bias = 0.5 * spread * rng.normal(size=target.dim) + target.means.mean(axis=0)
    bias -= matrix @ target.means.mean(axis=0)
    there = np.linalg.solve(matrix, (frames - bias).T).T
    return there.astype(np.float32), np.c_[matrix, bias]


def likelihoods(target: Target, frames: Doubles, transform: Doubles) -> Doubles:
    """log(weight · density) of transformed frames under each component, by scipy: (N, K)."""
    moved = frames @ transform[:, :-1].T + transform[:, -1]
    deviations = np.sqrt(target.variances.astype(float))
    logs = [
        norm.logpdf(moved, m, d).sum(axis=1) for m, d in zip(target.means, deviations, strict=True)
    ]
    return np.log(target.weights) + np.stack(logs, axis=1)


def slowly(target: Target, frames: Doubles, n_prior: float, *, full: bool) -> Doubles:
    """Three rounds of EM by its definition, with a general optimiser for the M-step."""
    centre, scale = target.means.mean(axis=0), np.sqrt(target.variances.mean(axis=0))
    means, variances = target.means.astype(float), target.variances.astype(float)

    def transform(values: Doubles, free: NDArray[np.bool_]) -> Doubles:
        w = np.zeros((D, D + 1))
        w[free] = values
        matrix = scale[:, None] * w[:, :-1] / scale
        return np.c_[matrix, centre + scale * w[:, -1] - matrix @ centre]

    def loss(values: Doubles, free: NDArray[np.bool_], shares: Doubles) -> float:
        w = transform(values, free)
        matrix, bias = w[:, :-1], w[:, -1]
        away = np.square((frames @ matrix.T + bias)[:, None] - means) / variances
        # A frame of component k after the transform: how far its mean moves, and its variance.
        moved = np.square(means @ matrix.T + bias - means) + variances @ np.square(matrix).T
        prior = target.weights[:, None] * moved / variances
        fit = 0.5 * (shares[:, :, None] * away).sum() + 0.5 * n_prior * prior.sum()
        log_det = np.linalg.slogdet(matrix)[1]
        return float(fit / (len(frames) + n_prior) - log_det)

    found = identity(D)
    for i in range(3):
        shares = softmax(likelihoods(target, frames, found), axis=1)
        free = np.full((D, D + 1), full and i > 0) | (identity(D) > 0)
        free[:, -1] = True
        begin = identity(D)[free]
        best = minimize(loss, begin, (free, shares), method="BFGS", options={"gtol": 1e-6})
        found = transform(best.x, free)
    return found


@pytest.mark.parametrize("full", [True, False])
def test_equals_a_slow_reference(full: bool) -> None:
    target = mixture()
    frames, _ = seen_by(target, drawn(target, 60))
    found = estimated(frames, target, full_frames=1 if full else 61, prior_frames=20)
    expected = slowly(target, frames.astype(float), 20, full=full)
    assert found.is_full is full
    at = frames @ found.transform[:, :-1].T + found.transform[:, -1]
    there = frames @ expected[:, :-1].T + expected[:, -1]
    scale = np.sqrt(target.variances.mean(axis=0))
    np.testing.assert_allclose(at / scale, there / scale, atol=2e-3)
    shares = softmax(likelihoods(target, frames.astype(float), identity(D)), axis=1)
    np.testing.assert_allclose(target.posteriors(frames), shares, atol=1e-4)


def log_likelihood(target: Target, frames: np.ndarray, transform: Doubles) -> float:
    logs = likelihoods(target, frames.astype(float), transform)
    _, log_det = np.linalg.slogdet(transform[:, :-1])
    return float(np.logaddexp.reduce(logs, axis=1).mean() + log_det)


@pytest.mark.parametrize("n_frames", [30, 400])
def test_every_round_raises_the_likelihood(n_frames: int) -> None:
    target = mixture(1)
    frames, _ = seen_by(target, drawn(target, n_frames, seed=2), seed=3)
    found = estimated(frames, target, full_frames=100, prior_frames=1e-3, rounds=6)
    steps = [*found.log_likelihoods, log_likelihood(target, frames, found.transform)]
    assert np.diff(steps).min() > -1e-4
    assert steps[-1] > steps[0] + 0.1
    assert steps[0] == pytest.approx(log_likelihood(target, frames, identity(D)), rel=1e-5)


@given(st.integers(0, 1000), st.booleans())
def test_the_m_step_raises_its_function_from_anywhere(seed: int, full: bool) -> None:
    target = mixture(seed)
    frames, _ = seen_by(target, drawn(target, 20, seed), seed)
    rng = np.random.default_rng(seed)
    start = identity(D) + rng.normal(size=(D, D + 1)) * (0.3 if full else 0)
    sums = target.sums(frames, start) + target.prior(5)
    found = maximised(sums, start, full=full)
    assert sums.gain(found) >= sums.gain(start) - 1e-9
    assert full or not found[:, :-1][~np.eye(D, dtype=bool)].any()
    assert sums.gain(maximised(sums, found, full=full)) >= sums.gain(found) - 1e-9


def test_another_speaker_is_led_back() -> None:
    target = mixture(4)
    there = drawn(target, 20_000)
    frames, transform = seen_by(target, there)
    found = estimated(frames, target, full_frames=1, prior_frames=10, rounds=6)
    led = frames @ found.transform[:, :-1].T + found.transform[:, -1]
    scale = np.sqrt(target.variances.mean(axis=0))
    before = np.abs((frames - there) / scale).mean()
    assert np.abs((led - there) / scale).mean() < 0.2 * before
    assert np.abs((frames @ transform[:, :-1].T + transform[:, -1] - there) / scale).mean() < 0.01


def test_the_target_itself_needs_no_transform_and_little_speech_hardly_any() -> None:
    target = mixture()
    prior = target.prior(7)
    for full in (True, False):
        np.testing.assert_allclose(maximised(prior, identity(D), full=full), identity(D), atol=1e-9)
    frames, _ = seen_by(target, drawn(target, 400))

    def away(n: int) -> float:
        matrix = estimated(frames[:n], target, full_frames=1, prior_frames=200).transform
        scale = np.sqrt(target.variances.mean(axis=0))
        moved = frames @ matrix[:, :-1].T + matrix[:, -1] - frames
        return float(np.abs(moved / scale).mean())

    assert away(2) < 0.2 * away(400)


def test_sums_add() -> None:
    target = mixture()
    frames, _ = seen_by(target, drawn(target, 700))
    start = identity(D) * 1.1
    parts = target.sums(frames[:300], start) + target.sums(frames[300:], start)
    whole = target.sums(frames, start)
    for name in vars(Sums(0, start, start)):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("n_frames", [1, 2, 500])
def test_silence_and_constants_give_finite_transforms(n_frames: int) -> None:
    target = mixture()
    silence = np.zeros((n_frames, D), np.float32)
    constant = drawn(target, n_frames).astype(np.float32)
    constant[:, 1] = target.means[0, 1]
    loud = constant * np.float32(1e3)
    flat = mixture()
    flat.variances[:, 1] = 1e-6 * flat.variances[:, 1]
    flat.means[:, 1] = flat.means[0, 1]
    for frames, towards in (
        (silence, target),
        (constant, target),
        (loud, target),
        (constant, flat),
    ):
        for least in (1, 1000):
            found = estimated(frames, towards, full_frames=least, prior_frames=200)
            assert isinstance(found, Estimate)
            assert np.isfinite(found.transform).all()
            assert np.linalg.det(found.transform[:, :-1]) > 0
