"""Mixtures, and units of GMMs; what DPGMMs have of their own is in test_dpgmm.py."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from zerochain.discovery import front_end as frames_module
from zerochain.discovery.em import (
    Components,
    Statistics,
    assign,
    clusters,
    em,
    expectation,
    log_probabilities,
)
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.mixtures import (
    DPGMMConfig,
    DPGMMUnits,
    GMMUnits,
    MaximumLikelihood,
    MixtureConfig,
    MixtureUnits,
)
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.features.normalisation import Moments
from zerochain.formats.bundle import bundle_id
from zerochain.formats.features import Features

PLAIN = FrontEndOptions(normalisation="none")
both = pytest.mark.parametrize("method", [GMMUnits, DPGMMUnits])


def configured(method: type[MixtureUnits], **settings: Any) -> MixtureConfig:
    """A method's own config."""
    return (DPGMMConfig if method is DPGMMUnits else MixtureConfig)(**settings)


def mixture(k: int = 6, n: int = 3000, dim: int = 5, seed: int = 0) -> np.ndarray:
    """Frames of overlapping clusters far from the origin, of unequal scales: (n, dim)."""
    rng = np.random.default_rng(seed)
    centres, widths = rng.normal(0, 2, (k, dim)), rng.uniform(0.3, 1.5, (k, dim))
    unit = rng.integers(0, k, n)
    frames = centres[unit] + widths[unit] * rng.normal(size=(n, dim))
    return (100 + 7 * frames).astype(np.float32)


def speech(k: int = 6, n: int = 600, seed: int = 0) -> Features:
    """The same as seven utterances of two speakers."""
    parts = np.array_split(mixture(k, n, seed=seed), 7)
    arrays = {f"u{i}": part for i, part in enumerate(parts)}
    return Features.from_arrays(arrays, speakers={n: "ab"[i % 2] for i, n in enumerate(arrays)})


def started(frames: np.ndarray, k: int) -> tuple[Moments, Statistics, np.ndarray]:
    """Moments, where EM starts (at the first k frames), and that as one-hot responsibilities."""
    moments = Moments.of([frames])
    labels = ((frames[:, None] - frames[None, :k]) ** 2).sum(-1).argmin(1)
    return moments, clusters(frames, torch.from_numpy(frames[:k]), moments), np.eye(k)[labels]


def reference(k: int, start: np.ndarray, rounds: int, floor: float) -> GaussianMixture:
    """scikit-learn's, from the responsibilities given, for so many rounds."""

    class Started(GaussianMixture):
        def _initialize_parameters(self, X, random_state, xp=None):
            self._initialize(X, start)

    return Started(k, covariance_type="diag", max_iter=rounds, tol=0, reg_covar=floor)


def fitted(frames: np.ndarray, k: int, rounds: int, floor: float = 1e-6):
    moments, start, _ = started(frames, k)
    m_step = MaximumLikelihood(np.full(frames.shape[1], floor))
    result = em(frames, start, m_step, moments, max_iterations=rounds, tolerance=0)
    return result, m_step.weights(result.statistics)


@pytest.mark.parametrize("rounds", [1, 3, 20])
@pytest.mark.parametrize("floor", [1e-6, 0.5])
def test_em_equals_scikit_learn_from_the_same_start(rounds: int, floor: float) -> None:
    frames, k = mixture(), 15
    theirs = reference(k, started(frames, k)[2], rounds, floor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(frames.astype(np.float64))
    ours, weights = fitted(frames, k, rounds, floor)
    assert ours.n_iterations == rounds
    assert ours.bound == pytest.approx(theirs.lower_bound_, abs=1e-4)
    np.testing.assert_allclose(weights, theirs.weights_, atol=1e-5)
    np.testing.assert_allclose(ours.components.means, theirs.means_, rtol=1e-5)
    np.testing.assert_allclose(ours.components.variances, theirs.covariances_, rtol=1e-3)
    logs = log_probabilities(frames, ours.components)
    expected = theirs._estimate_weighted_log_prob(frames.astype(np.float64))
    np.testing.assert_allclose(logs, expected, rtol=1e-4, atol=5e-3)
    found = assign(frames, ours.components, Moments.of([frames]))
    assert found.log_likelihood == pytest.approx(theirs.score(frames), abs=1e-3)
    np.testing.assert_allclose(
        found.counts, np.bincount(theirs.predict(frames), minlength=k), atol=2
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(12, 300), st.integers(0, 99))
def test_the_likelihood_never_falls(k: int, n: int, seed: int) -> None:
    frames = mixture(4, n, 3, seed)
    bounds = [fitted(frames, k, rounds, floor=1e-2)[0].bound for rounds in (1, 2, 3, 5, 9, 17)]
    assert (np.diff(bounds) > -1e-4).all()


def test_the_e_step_adds_up_over_chunks() -> None:
    frames = mixture(n=5000)  # more than a chunk
    components = fitted(frames[:200], 7, 2)[0].components
    moments = Moments.of([frames])
    found = expectation(frames, components, moments)
    logs = log_probabilities(frames, components).astype(float)
    total = np.logaddexp.reduce(logs, axis=1, keepdims=True)
    shares = np.exp(logs - total)
    assert found.log_likelihood == pytest.approx(total.mean(), abs=1e-4)
    np.testing.assert_allclose(found.counts, shares.sum(0), rtol=1e-3)
    np.testing.assert_allclose(found.means, shares.T @ frames / shares.sum(0)[:, None], rtol=1e-4)
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1).mean()
    assert found.entropy(components) == pytest.approx(entropy, abs=1e-3)


def test_assignment_is_to_the_most_probable() -> None:
    frames = mixture(n=3000)
    components = fitted(frames, 7, 3)[0].components
    chosen = log_probabilities(frames, components).argmax(1)
    found = assign(frames, components, Moments.of([frames]))
    np.testing.assert_array_equal(found.counts, np.bincount(chosen, minlength=7))
    away = np.square(frames - components.means[chosen]) / components.variances[chosen]
    assert found.half_distance == pytest.approx(away.sum(1).mean() / 2, rel=1e-4)


def test_frames_far_from_every_component_count_as_well() -> None:
    """Their densities are 0 in any precision; the nearest component takes them all the same."""
    components = Components(np.zeros(2), np.array([[-1.0], [1.0]]), np.full((2, 1), 1e-6))
    frames = np.array([[5e3], [-5e3], [-6e3]], np.float32)
    assert log_probabilities(frames, components).argmax(1).tolist() == [1, 0, 0]
    found = expectation(frames, components, Moments.of([frames]))
    np.testing.assert_allclose(found.counts, [2, 1])
    np.testing.assert_allclose(found.means, [[-5.5e3], [5e3]], rtol=1e-5)
    assert np.isfinite(found.log_likelihood)


@both
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 8), st.integers(10, 200), st.sampled_from([1, 2, 4]), st.integers(0, 9))
def test_posteriors_are_probabilities_and_units_the_most_probable(
    method: type[MixtureUnits], k: int, n: int, stride: int, seed: int
) -> None:
    features = speech(3, max(n, 7 * stride * k), seed)
    model = method(k, stride, config=configured(method, max_iterations=5)).fit(features)
    units = model.encode(features).units
    posteriors = dict(model.posteriors(features))
    for name in features.ids:
        assert posteriors[name].shape == (len(units[name]), k)
        np.testing.assert_allclose(posteriors[name].sum(axis=1), 1, atol=1e-5)
        assert posteriors[name].min() >= 0
        best = posteriors[name].max(axis=1)
        np.testing.assert_array_equal(best, posteriors[name][np.arange(len(best)), units[name]])


@both
def test_together_equals_one_by_one(method: type[MixtureUnits]) -> None:
    features = speech()
    model = method(9, 2).fit(features)
    together = dict(model.posteriors(features))
    for name in features.ids:
        alone = dict(model.posteriors(features.restrict([name])))
        np.testing.assert_allclose(together[name], alone[name], atol=1e-5)


@both
def test_saved_and_loaded_is_the_same(method: type[MixtureUnits], tmp_path: Path) -> None:
    features = speech()
    model = method(9, 2, options=FrontEndOptions(context=1, components=4)).fit(features)
    model.segmentation = Segmentation(penalty=0.5)
    assert model.save(tmp_path / "m") == model.id == bundle_id(tmp_path / "m")
    again = load_unit_model(tmp_path / "m")
    assert type(again) is method
    assert (again.id, again.summary, again.distortion) == (
        model.id,
        model.summary,
        model.distortion,
    )
    units, same = model.encode(features), again.encode(features)
    posteriors = dict(again.posteriors(features))
    for name, expected in model.posteriors(features):
        np.testing.assert_array_equal(units.units[name], same.units[name])
        np.testing.assert_array_equal(posteriors[name], expected)


@both
def test_the_seed_decides(method: type[MixtureUnits]) -> None:
    features = speech(20)
    ids = [method(8, seed=seed).fit(features).id for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


@both
def test_from_the_disk_it_is_the_same(
    method: type[MixtureUnits], monkeypatch: pytest.MonkeyPatch
) -> None:
    features = speech()
    here = method(8).fit(features).id
    monkeypatch.setattr(frames_module, "IN_MEMORY_BYTES", 0)
    assert method(8).fit(features).id == here


def test_more_likely_than_the_start_and_no_less_than_scikit_learn() -> None:
    features = speech(8, 4000)
    model = GMMUnits(8, options=PLAIN, config=MixtureConfig(tolerance=1e-5)).fit(features)
    theirs = GaussianMixture(8, covariance_type="diag", tol=1e-5, max_iter=300, random_state=0)
    score = theirs.fit(features.frames.astype(np.float64)).score(features.frames)
    assert model.outcome.log_likelihood > score - 0.1
    assert model.outcome.bound == pytest.approx(model.outcome.log_likelihood, abs=1e-2)
    short = MixtureConfig(max_iterations=1)
    assert (
        model.outcome.log_likelihood
        > GMMUnits(8, options=PLAIN, config=short).fit(features).outcome.log_likelihood
    )


def test_weights_are_of_one_and_of_the_data() -> None:
    frames = np.concatenate([mixture(1, 900, 2), mixture(1, 100, 2) - 500])
    model = GMMUnits(2, options=PLAIN).fit(Features.from_arrays({"u": frames}))
    assert sorted(model.weights) == pytest.approx([0.1, 0.9], abs=1e-4)
    assert model.outcome.n_used == model.outcome.n_owning == 2


def test_a_penalty_of_nothing_but_distortions_makes_segments() -> None:
    features = speech()
    model = GMMUnits(6).fit(features)
    assert 0.7 < model.distortion / (features.dim / 2) < 1.1
    counts = [
        sum(map(len, model.encode(features, Segmentation(penalty=p)).units.values()))
        for p in (0.0, 0.5, 4.0, 1e6)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == len(features)


@both
@pytest.mark.parametrize("normalisation", ["none", "speaker"])
def test_constant_frames_of_one_speaker(method: type[MixtureUnits], normalisation) -> None:
    constant = np.full((30, 2), 5, np.float32)
    features = Features.from_arrays({"u": constant}, speakers={"u": "only one"})
    model = method(3, options=FrontEndOptions(normalisation=normalisation)).fit(features)
    assert len(np.unique(model.encode(features).units["u"])) == 1
    assert np.isfinite(model.outcome.log_likelihood)


@both
def test_more_units_than_distinct_frames_leaves_some_unused(method: type[MixtureUnits]) -> None:
    features = Features.from_arrays({"u": np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)})
    model = method(8, options=PLAIN).fit(features)
    for array in (model.codebook, model.variances, model.constants, model.weights):
        assert np.isfinite(array).all()
    assert (model.variances > 0).all()
    assert len(np.unique(model.encode(features).units["u"])) == model.outcome.n_owning <= 3
    ((_, posteriors),) = model.posteriors(features)
    np.testing.assert_allclose(posteriors.sum(axis=1), 1, atol=1e-5)


@both
def test_one_frame(method: type[MixtureUnits]) -> None:
    features = Features.from_arrays({"u": np.ones((1, 2), np.float32)})
    model = method(1, options=PLAIN).fit(features)
    assert model.encode(features).units["u"].tolist() == [0]


@both
def test_a_speaker_that_was_not_there_at_the_fit(method: type[MixtureUnits]) -> None:
    model = method(5, 4).fit(speech())
    new = Features.from_arrays({"short": np.ones((1, 5), np.float32)}, speakers={"short": "new"})
    assert len(model.encode(new).units["short"]) == 1


@both
def test_fewer_frames_than_units_is_refused(method: type[MixtureUnits]) -> None:
    features = Features.from_arrays({"u": np.ones((3, 2), np.float32)})
    with pytest.raises(InputError, match="8 units can't be found in 3 frames"):
        method(8).fit(features)


@both
def test_nothing_before_the_fit(method: type[MixtureUnits]) -> None:
    with pytest.raises(InputError, match="not fitted"):
        method(5).encode(speech())
    with pytest.raises(InputError, match="not fitted"):
        list(method(5).posteriors(speech()))


@both
@pytest.mark.parametrize("wrong", [{"n_units": 0}, {"stride": 0}])
def test_less_than_one_unit_or_frame_is_refused(method: type[MixtureUnits], wrong: dict) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))}=0 .*must be ≥ 1"):
        method(**wrong)


@both
@pytest.mark.parametrize("wrong", [{"max_iterations": 0}, {"variance_floor": 1e-9}])
def test_senseless_settings_are_refused(method: type[MixtureUnits], wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        configured(method, **wrong)


def test_units_chosen_by_distance_have_no_posteriors() -> None:
    features = speech()
    with pytest.raises(InputError, match="kmeans units have no posteriors") as caught:
        KMeansUnits(4).fit(features).posteriors(features)
    assert "gmm or dpgmm" in str(caught.value)
