import numpy as np
import pytest

from zerochain.errors import InputError
from zerochain.features.projection import attenuation, covariances


def speech(
    n_speakers: int = 40, n_frames: int = 400, offset: float = 1.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (N, 4), speakers and classes: dimension 0 tells classes apart, and 2 speakers.

    Each speaker says each class in a way of their own: their means of it differ in dimension 2,
    and balance out over the classes as if normalised.
    """
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, (n_speakers, n_frames))
    centres = np.array([-15.0, -5, 5, 15])
    own = offset * rng.normal(size=(n_speakers, 4))
    own -= own.mean(axis=1, keepdims=True)
    frames = rng.normal(size=(n_speakers, n_frames, 4))
    frames[..., 0] += centres[classes]
    frames[..., 2] += np.take_along_axis(own, classes, axis=1)
    speakers = np.repeat(np.arange(n_speakers), n_frames)
    return frames.reshape(-1, 4).astype(np.float32), speakers, classes.ravel()


def names(speakers: np.ndarray) -> list[str]:
    return [f"s{i}" for i in speakers]


def test_the_covariance_of_speakers_is_what_they_were_made_with() -> None:
    frames, speakers, classes = speech(n_speakers=300, n_frames=60)
    total, between = covariances(frames.astype(float), speakers, classes)
    np.testing.assert_allclose(total, np.cov(frames.T, bias=True), rtol=1e-4, atol=1e-5)
    expected = np.zeros((4, 4))
    expected[2, 2] = 1.5**2 * 3 / 4
    np.testing.assert_allclose(between, expected, atol=0.15)


def test_what_chance_adds_is_taken_off() -> None:
    frames, speakers, classes = speech(n_speakers=300, n_frames=20, offset=0)
    _, between = covariances(frames.astype(float), speakers, classes)
    assert np.trace(between) < 0.05  # with chance: 4 dimensions × 4 classes / 20 frames = 0.8


def test_covariances_equal_loops() -> None:
    frames, speakers, classes = speech(n_speakers=5, n_frames=50)
    wide = frames.astype(float)
    scatter, within, n_cells = np.zeros((4, 4)), np.zeros((4, 4)), 0
    for k in range(4):
        for s in range(5):
            cell = wide[(classes == k) & (speakers == s)]
            d = cell.mean(axis=0) - wide[classes == k].mean(axis=0)
            scatter += len(cell) * np.outer(d, d)
            within += (cell - cell.mean(axis=0)).T @ (cell - cell.mean(axis=0))
            n_cells += 1
    n = len(wide)
    expected = scatter / n - (n_cells - 4) / n * within / (n - n_cells)
    values, vectors = np.linalg.eigh(expected)
    _, between = covariances(wide, speakers, classes)
    np.testing.assert_allclose(between, (vectors * values.clip(0)) @ vectors.T, atol=1e-9)


def test_directions_of_speakers_shrink_and_others_stay() -> None:
    frames, speakers, _ = speech()
    share = 1.5**2 * 3 / 4 / (1 + 1.5**2 * 3 / 4)
    for strength in (1, 8, 64):
        gains = np.diag(attenuation(frames, names(speakers), strength, n_classes=4))
        assert gains[2] == pytest.approx(1 / (1 + strength * share), rel=0.25)
        assert gains[[0, 1, 3]].min() > (0.9 if strength < 64 else 0.6)


def test_strength_0_changes_nothing() -> None:
    frames, speakers, _ = speech(n_speakers=3)
    np.testing.assert_allclose(attenuation(frames, names(speakers), 0), np.eye(4), atol=1e-5)


def test_the_scale_of_features_changes_nothing() -> None:
    """A linear map of the features maps the attenuated features in the same way."""
    frames, speakers, classes = speech()
    mix = np.random.default_rng(1).normal(size=(4, 4))

    def filtered(x: np.ndarray) -> np.ndarray:
        total, between = covariances(x, speakers, classes)
        return x @ np.linalg.solve(total + 8 * between, total)

    wide = frames.astype(float)
    np.testing.assert_allclose(filtered(wide @ mix), filtered(wide) @ mix, atol=0.03)


@pytest.mark.parametrize(
    ("speakers", "said"), [(["a"] * 9 + [None], "unknown"), (["a"] * 10, "one only")]
)
def test_speakers_must_be_known_and_several(speakers: list[str | None], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        attenuation(np.ones((10, 2), np.float32), speakers, 8)
    assert "speaker_attenuation=0" in str(caught.value)


def test_constant_and_missing_variance() -> None:
    speakers = ["a", "b"] * 50
    constant = np.full((100, 3), 5, np.float32)
    np.testing.assert_allclose(attenuation(constant, speakers, 8), np.eye(3), atol=1e-5)
    frames = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    frames[:, 1] = 7
    matrix = attenuation(frames, speakers, 8)
    assert np.isfinite(matrix).all()
    np.testing.assert_allclose(matrix[1], [0, 1, 0], atol=1e-3)


def test_one_frame_per_speaker() -> None:
    frames = np.eye(2, dtype=np.float32)
    assert np.isfinite(attenuation(frames, ["a", "b"], 8)).all()
