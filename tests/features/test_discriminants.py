"""LDA and MLLT: sums beside their definition, LDA beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from zerochain.errors import InputError
from zerochain.features.discriminants import ClassSums, lda, mllt

D, K = 5, 4


def classes(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Frames (n, D) of K classes that differ in some directions, and the class of each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, n)
    frames = 3 * rng.normal(size=(K, D))[labels] * [1, 1, 0.1, 0, 0] + rng.normal(size=(n, D))
    return (10 + frames @ rng.normal(size=(D, D))).astype(np.float32), labels


def summed(frames: np.ndarray, labels: np.ndarray, n: int = K, *, by_class: bool) -> ClassSums:
    sums = ClassSums(n, frames.shape[1], by_class=by_class)
    for start in range(0, len(frames), 100):
        part = slice(start, start + 100)
        sums.add(frames[part], labels[part])
    return sums


def test_sums_give_the_covariances() -> None:
    frames, labels = classes()
    each = [np.cov(frames[labels == k].T.astype(float), bias=True) for k in range(K)]
    shares = np.bincount(labels) / len(labels)
    within = np.einsum("k,kij->ij", shares, each)
    one, all_ = (summed(frames, labels, by_class=by_class) for by_class in (True, False))
    np.testing.assert_allclose(one.within, each, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(all_.within[0], within, rtol=1e-4, atol=1e-6)
    total = np.cov(frames.T.astype(float), bias=True)
    np.testing.assert_allclose(all_.within[0] + all_.between, total, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_empty", [0, 3])
def test_lda_finds_the_directions_of_scikit_learn(n_empty: int) -> None:
    frames, labels = classes()
    sums = summed(frames, labels, K + n_empty, by_class=False)
    matrix = lda(sums, 3)
    np.testing.assert_allclose(matrix.T @ sums.within[0] @ matrix, np.eye(3), atol=1e-4)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(frames, labels).scalings_[:, :3]
    for mine, their in zip(matrix.T, theirs.T, strict=True):
        cosine = mine @ their / np.linalg.norm(mine) / np.linalg.norm(their)
        assert abs(cosine) > 0.999


def test_mllt_turns_classes_until_they_are_diagonal() -> None:
    rng = np.random.default_rng(1)
    turn = rng.normal(size=(D, D))
    variances = rng.uniform(0.2, 3, (K, D))
    covariances = np.einsum("id,kd,jd->kij", turn, variances, turn)
    counts = np.array([1e6, 2e6, 0, 1e6])
    covariances[2] = np.nan  # of a class without frames
    matrix = mllt(counts, covariances)
    turned = matrix.T @ covariances[counts > 0] @ matrix
    diagonals = np.diagonal(turned, axis1=1, axis2=2)
    correlations = turned / np.sqrt(diagonals[:, :, None] * diagonals[:, None])
    assert np.abs(correlations[:, ~np.eye(D, dtype=bool)]).max() < 0.02
    pooled = np.einsum("k,kij->ij", counts[counts > 0], turned) / counts.sum()
    np.testing.assert_allclose(np.diag(pooled), 1, rtol=1e-3)


def test_mllt_raises_the_likelihood() -> None:
    frames, labels = classes(200, seed=3)
    sums = summed(frames, labels, by_class=True)

    def likelihood(matrix: np.ndarray) -> float:
        turned = matrix.T @ sums.within @ matrix
        logs = np.log(np.diagonal(turned, axis1=1, axis2=2)).sum(axis=1)
        return float(sums.counts @ (np.linalg.slogdet(matrix)[1] - 0.5 * logs))

    assert likelihood(mllt(sums.counts, sums.within)) > likelihood(np.eye(D)) + 10


def test_singular_covariances_stay_finite() -> None:
    frames, labels = classes(60)
    frames[:, 2], frames[:, 4] = 7, frames[:, 3]  # constant, and twice the same
    assert np.isfinite(lda(summed(frames, labels, by_class=False), D)).all()
    sums = summed(frames[:6], labels[:6], by_class=True)
    assert np.isfinite(mllt(sums.counts, sums.within)).all()


def test_too_few_classes_or_dimensions_are_refused() -> None:
    frames, labels = classes(20)
    with pytest.raises(InputError, match="two classes"):
        lda(summed(frames, np.zeros_like(labels), by_class=False), 2)
    with pytest.raises(InputError, match=r"lda_dims=6.*5 dimensions"):
        lda(summed(frames, labels, by_class=False), 6)
