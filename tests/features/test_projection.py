import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from zerochain.errors import InputError
from zerochain.features.projection import Projection, stacked

LENGTHS = (1, 2, 40, 90)


def utterances(dim: int = 5, seed: int = 0) -> list[np.ndarray]:
    """Correlated frames, far from zero, in utterances from one frame up."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dim, dim))
    return [(rng.normal(size=(n, dim)) @ mix + 7).astype(np.float32) for n in LENGTHS]


@given(st.integers(1, 12), st.integers(0, 6), st.integers(1, 4))
def test_stacked_equals_a_loop(n_frames: int, context: int, dim: int) -> None:
    frames = np.random.default_rng(0).normal(size=(n_frames, dim)).astype(np.float32)
    window = range(-context, context + 1)
    expected = [
        np.concatenate([frames[min(max(t + i, 0), n_frames - 1)] for i in window])
        for t in range(n_frames)
    ]
    np.testing.assert_array_equal(stacked(frames, context), expected)


@pytest.mark.parametrize("context", [0, 1, 4])
@pytest.mark.parametrize("components", [1, 3, None])
def test_equals_scikit_learn(context: int, components: int | None) -> None:
    given_utterances = utterances()
    projection = Projection.fit(given_utterances, context, components)
    theirs = PCA(components, svd_solver="full")
    expected = theirs.fit_transform(np.concatenate([stacked(u, context) for u in given_utterances]))
    ours = np.concatenate([projection(u) for u in given_utterances])
    assert ours.dtype == np.float32
    shape = ((2 * context + 1) * 5, components or (2 * context + 1) * 5)
    assert projection.matrix.shape == shape
    n = min(expected.shape[1], 5)  # beyond them, eigenvalues may be too close to tell apart
    signs = np.sign((ours[:, :n] * expected[:, :n]).sum(axis=0))
    np.testing.assert_allclose(ours[:, :n], signs * expected[:, :n], atol=2e-3)
    np.testing.assert_allclose(ours.var(axis=0)[:n], theirs.explained_variance_[:n], rtol=0.02)


def test_all_components_keep_every_distance() -> None:
    given_utterances = utterances()
    projection = Projection.fit(given_utterances, 2, None)
    before, after = stacked(given_utterances[3], 2), projection(given_utterances[3])
    distances = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (before, after)]
    np.testing.assert_allclose(*distances, atol=1e-3)


def test_the_largest_entry_of_a_component_is_positive() -> None:
    matrix = Projection.fit(utterances(), 1, None).matrix
    assert (matrix[np.abs(matrix).argmax(axis=0), np.arange(matrix.shape[1])] > 0).all()


def test_the_order_of_utterances_changes_nothing() -> None:
    given_utterances = utterances()
    one, other = (
        Projection.fit(u, 1, 4).matrix for u in (given_utterances, given_utterances[::-1])
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_more_components_than_dimensions_are_refused() -> None:
    with pytest.raises(InputError, match="components=16 can't be kept of 15") as caught:
        Projection.fit(utterances(), 1, 16)
    assert "components=15 at most" in str(caught.value)


def test_more_context_than_a_covariance_can_take_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="context=500 makes 39,039 dimensions of 39") as caught:
        Projection.fit([np.zeros((3, 39), np.float32)], 500, 40)
    assert "use context=127 at most" in str(caught.value)
    assert (2 * 127 + 1) * 39 <= 10_000 < (2 * 128 + 1) * 39
    with pytest.raises(InputError, match="features with fewer dimensions"):
        Projection.fit([np.zeros((3, 10_001), np.float32)], 0, 40)


def test_fewer_frames_than_dimensions() -> None:
    frames = utterances()[2][:3]
    projected = Projection.fit([frames], 4, 10)(frames)
    assert projected.shape == (3, 10)
    assert np.abs(projected[:, 2:]).max() < 1e-2  # three points span two dimensions


def test_constant_features_become_zero() -> None:
    frames = np.full((20, 3), 5, np.float32)
    projection = Projection.fit([frames], 2, 4)
    assert np.isfinite(projection.matrix).all()
    np.testing.assert_allclose(projection(frames), 0, atol=1e-5)


def test_stored_and_read_again() -> None:
    fitted = Projection.fit(utterances(), 2, 4)
    again = Projection.from_tensors(2, fitted.tensors())
    assert again is not None
    frames = utterances()[2]
    np.testing.assert_array_equal(again(frames), fitted(frames))
    assert Projection.from_tensors(0, {}) is None


def test_followed_by_a_matrix_is_still_one_map() -> None:
    frames = utterances()[2]
    matrix = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    fitted = Projection.fit(utterances(), 1, 4)
    np.testing.assert_allclose(
        fitted.followed_by(matrix)(frames), fitted(frames) @ matrix, rtol=1e-4, atol=1e-4
    )


def test_the_identity() -> None:
    frames = utterances()[2]
    np.testing.assert_array_equal(Projection.identity(5)(frames), frames)
    assert Projection.identity(5).keeps_frames
    assert not Projection.fit(utterances(), 1, None).keeps_frames
    assert not Projection.fit(utterances(), 0, 4).keeps_frames
