from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zerochain.errors import InputError
from zerochain.features.spectral import SpectralExtractor
from zerochain.formats.bundle import bundle_id, write_bundle
from zerochain.listeners.speaker_encoder import SPEECH, SpeakerEncoder, mean_voice
from zerochain.modules.speaker_encoder import SpeakerNet, SpeakerNetConfig

RATE = 16_000


@pytest.fixture
def encoder() -> SpeakerEncoder:
    torch.manual_seed(0)
    return SpeakerEncoder(SpeakerNet(SpeakerNetConfig(width=8, dim=6)))


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    wave = np.random.default_rng(seed).normal(size=round(seconds * RATE)) / 10
    return wave.astype(np.float32)


def test_one_by_one_equals_many(encoder: SpeakerEncoder) -> None:
    waves = [noise(seconds, i) for i, seconds in enumerate((2.0, 0.5, 3.7, 1.1))]
    together = encoder.embed_many(waves)
    assert together.shape == (4, encoder.dim) == (4, 6)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    for wave, vector in zip(waves, together, strict=True):
        np.testing.assert_allclose(encoder.embed(wave), vector, atol=1e-5)


def test_a_louder_recording_is_the_same_voice(encoder: SpeakerEncoder) -> None:
    wave = noise(1.0)
    np.testing.assert_allclose(encoder.embed(3 * wave), encoder.embed(wave), atol=1e-4)


def test_minutes_are_heard_in_parts(encoder: SpeakerEncoder) -> None:
    frames = SpectralExtractor(SPEECH)([noise(1.0)])[0]
    long = np.concatenate([frames] * 150)  # 15,150 frames
    parts = encoder.embed_frames(np.array_split(long, 3))
    np.testing.assert_allclose(encoder.embed_frames([long])[0], mean_voice(parts), atol=1e-5)


@pytest.mark.parametrize(
    ("wave", "found"),
    [
        (noise(0.4), "under 0.5 s"),
        (np.zeros(0, np.float32), "under 0.5 s"),
        (np.zeros(RATE, np.float32), "silent"),
        (np.full(RATE, np.nan, np.float32), "NaN"),
    ],
)
def test_where_there_is_no_voice(encoder: SpeakerEncoder, wave: np.ndarray, found: str) -> None:
    with pytest.raises(InputError, match=found):
        encoder.embed_many([noise(1.0), wave])


def test_a_voice_is_that_of_the_usable_recordings(encoder: SpeakerEncoder) -> None:
    spoken = [noise(1.0, 1), noise(2.0, 2)]
    mute = np.zeros(RATE, np.float32)
    voice = encoder.voice([spoken[0], mute, noise(0.1), spoken[1]])
    np.testing.assert_allclose(voice, mean_voice(encoder.embed_many(spoken)), atol=1e-5)
    with pytest.raises(InputError, match=r"none of 2 recordings can be used .*: .'silent': 2."):
        encoder.voice([mute, mute])


def test_it_comes_back_whole(encoder: SpeakerEncoder, tmp_path: Path) -> None:
    made = replace(encoder, trained_on={"corpus": "c"}, training={"steps": 1})
    identity = made.save(tmp_path / "s")
    again = SpeakerEncoder.load(tmp_path / "s")
    assert again.id == identity == bundle_id(tmp_path / "s")
    assert (again.trained_on, again.training) == ({"corpus": "c"}, {"steps": 1})
    wave = noise(1.0)
    np.testing.assert_array_equal(again.embed(wave), encoder.embed(wave))


def test_another_bundle_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "km", "kmeans", {}, {}, {})
    with pytest.raises(InputError, match="holds a kmeans, not a speaker-encoder"):
        SpeakerEncoder.load(tmp_path / "km")


def test_a_mean_voice_is_a_direction() -> None:
    vectors = np.array([[1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(mean_voice(vectors), np.sqrt([0.5, 0.5]), rtol=1e-6)
