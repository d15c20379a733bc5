import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import voice
from reference import phase_by_heap
from spectra import SMALL, magnitude
from zerochain import audio
from zerochain.errors import InputError
from zerochain.inversion.phase import (
    PHASES,
    Phase,
    ShortTime,
    SpectrogramOptions,
    integrate_phase,
    reconstruct,
)
from zerochain.metrics.resynthesis import estoi

UNUSUAL = [
    SMALL,
    SpectrogramOptions(n_fft=64, n_window=33, hop=10),
    SpectrogramOptions(n_fft=65, n_window=64, hop=64),
    SpectrogramOptions(n_fft=512, n_window=100, hop=160),
]


def error(wave: np.ndarray, target: torch.Tensor, options: SpectrogramOptions = SMALL) -> float:
    """Spectral convergence: distance of magnitudes relative to the target's norm."""
    return float((magnitude(wave, options) - target).norm() / target.norm())


@cache
def synthetic(seconds: float = 2.0) -> np.ndarray:
    return voice(np.random.default_rng(0), seconds, 120)


@pytest.mark.parametrize("method", PHASES)
@pytest.mark.parametrize("options", UNUSUAL, ids=str)
@pytest.mark.parametrize("n_frames", [1, 2, 70])
def test_length_is_exactly_frames_times_hop(
    method: Phase, options: SpectrogramOptions, n_frames: int
) -> None:
    wave = reconstruct(torch.rand(n_frames, options.n_bins), options, method)
    assert wave.shape == (n_frames * options.hop,)
    assert wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert wave.any()


@pytest.mark.parametrize("options", UNUSUAL[:2], ids=str)
def test_the_transform_is_the_one_that_magnitudes_are_taken_with(
    options: SpectrogramOptions,
) -> None:
    wave = synthetic()[: 40 * options.hop]
    transform = ShortTime(options, 40)
    signal = np.concatenate([np.zeros(transform.lead, np.float32), wave])
    blocks = [transform.spectra(signal, first, 10) for first in (0, 10, 20, 30)]
    torch.testing.assert_close(
        torch.cat(blocks).abs(), magnitude(wave, options), atol=1e-4, rtol=1e-3
    )
    np.testing.assert_allclose(transform.signal(iter(blocks)), signal, atol=1e-5)


def test_each_method_is_nearer_than_what_it_improves_on() -> None:
    target = magnitude(synthetic())
    errors = {method: error(reconstruct(target, SMALL, method), target) for method in PHASES}
    assert errors["fgla"] < 0.7 * errors["griffin-lim"]
    assert errors["pghi"] < 0.5 * error(reconstruct(target, SMALL, "fgla", n_iterations=0), target)
    assert errors["pghi-fgla"] < 0.4 * errors["pghi"]
    assert errors["pghi-fgla"] < errors["fgla"]


def test_more_iterations_come_closer() -> None:
    target = magnitude(synthetic())
    none, few, many = (
        error(reconstruct(target, SMALL, "fgla", n_iterations=n), target) for n in (0, 5, 40)
    )
    assert many < few < none


def test_real_speech_stays_intelligible(real_corpora: Callable[[str], Path]) -> None:
    folder = real_corpora("luxembourgish-voice")
    with (folder / "utterances.tsv").open(encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file, delimiter="\t")]
    options = SpectrogramOptions()
    for name in names[:100:40]:
        wave = audio.read(folder / name)
        wave = wave[: len(wave) // options.hop * options.hop]
        again = reconstruct(magnitude(wave, options), options)
        score = estoi(wave, again)
        assert score is not None
        assert score > 0.99
        assert error(again, magnitude(wave, options), options) < 0.02


@pytest.mark.parametrize("frequency", [440.0, 1003.0, 3333.0])
def test_the_phase_of_a_sinusoid_advances_by_its_frequency(frequency: float) -> None:
    options = SpectrogramOptions()
    time = np.arange(60 * options.hop) / 16_000
    target = magnitude(np.sin(2 * np.pi * frequency * time), options).numpy()[10:50]
    phase = np.zeros_like(target)
    integrate_phase(target / target.max(), phase, options)
    loudest = target[0].argmax()
    for k in range(loudest - 2, loudest + 3):
        advance = np.diff(phase[:, k]) - 2 * np.pi * frequency * options.hop / 16_000
        assert np.abs(wrapped(advance)).max() < 0.1
        assert abs(wrapped(advance).mean()) < 0.05


def test_the_phase_of_a_click_falls_with_frequency_by_its_delay() -> None:
    options = SpectrogramOptions()
    click = np.zeros(40 * options.hop, np.float32)
    click[20 * options.hop + 30] = 1
    target = magnitude(click, options).numpy()
    phase = np.zeros_like(target)
    integrate_phase(target / target.max(), phase, options)
    for frame, delay in ((19, 190), (20, 30), (21, -130)):
        slope = np.diff(phase[frame, 5:-5]) + 2 * np.pi * delay / options.n_fft
        assert abs(wrapped(slope).mean()) < 0.1 * 2 * np.pi * 190 / options.n_fft


@pytest.mark.parametrize("n_known", [0, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_integration_is_that_of_a_heap(seed: int, n_known: int) -> None:
    """Where all levels differ, and some bins are too quiet to be reached."""
    rng = np.random.default_rng(seed)
    options = SpectrogramOptions(n_fft=16, n_window=16, hop=4)
    decibels = -2.05 * rng.permutation(8 * 9).reshape(8, 9).astype(np.float32)
    start = rng.uniform(-3, 3, decibels.shape).astype(np.float32)
    phase, target = start.copy(), 10 ** (decibels / 20)
    integrate_phase(target, phase, options, n_known)
    expected = phase_by_heap(
        target.astype(np.float64), start, n_known, gamma=0.25645 * 16**2, hop=4, n_fft=16
    )
    assert np.abs(wrapped(phase - expected)).max() < 1e-4
    assert np.array_equal(phase[decibels < -120], start[decibels < -120])
    assert np.array_equal(phase[:n_known], start[:n_known])


def wrapped(angle: np.ndarray) -> np.ndarray:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


@pytest.mark.parametrize("method", PHASES)
def test_silence_is_silent(method: Phase) -> None:
    assert not reconstruct(torch.zeros(20, SMALL.n_bins), SMALL, method).any()


@pytest.mark.parametrize("method", PHASES)
def test_silence_within_speech_is_silent(method: Phase) -> None:
    target = magnitude(synthetic())[:90].clone()
    target[30:60] = 0
    wave = reconstruct(target, SMALL, method)
    assert np.isfinite(wave).all()
    middle = wave[35 * SMALL.hop : 55 * SMALL.hop]
    assert np.abs(middle).max() < 1e-3 * np.abs(wave).max()


@pytest.mark.parametrize("gain", [2.0**-80, 2.0**80])
def test_loudness_does_not_matter(gain: float) -> None:
    target = magnitude(synthetic())[:50]
    wave, scaled = reconstruct(target, SMALL), reconstruct(target * gain, SMALL)
    np.testing.assert_allclose(scaled / np.float32(gain), wave, atol=1e-5)


def test_random_phases_depend_on_the_seed_alone() -> None:
    target = magnitude(synthetic())[:50]
    one, two, other = (
        reconstruct(target, SMALL, "fgla", n_iterations=3, seed=s) for s in (0, 0, 1)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_what_is_no_magnitude_is_refused(value: float) -> None:
    target = torch.ones(5, SMALL.n_bins)
    target[3, 7] = value
    with pytest.raises(InputError, match="NaN, infinite or negative"):
        reconstruct(target, SMALL)


def test_another_transform_or_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(5, 80\) where \(frames, 257\)"):
        reconstruct(torch.ones(5, 80), SMALL)
    with pytest.raises(InputError, match="without frames"):
        reconstruct(torch.ones(0, SMALL.n_bins), SMALL)
    with pytest.raises(InputError, match="no phase method 'wave'"):
        reconstruct(torch.ones(5, SMALL.n_bins), SMALL, "wave")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="5 iterations of 'pghi'"):
        reconstruct(torch.ones(5, SMALL.n_bins), SMALL, "pghi", n_iterations=5)


def test_the_magnitude_is_of_centred_frames() -> None:
    """A click at frame 10's centre is loudest there, and is put there again."""
    click = np.zeros(40 * SMALL.hop, np.float32)
    click[10 * SMALL.hop] = 1
    target = magnitude(click)
    assert int(target.sum(dim=-1).argmax()) == 10
    again = reconstruct(target, SMALL)
    assert np.abs(again).argmax() == 10 * SMALL.hop
