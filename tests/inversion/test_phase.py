import numpy as np
import pytest
import torch

from conftest import voice
from zerochain.inversion.phase import griffin_lim
from zerochain.inversion.spectrogram import SpectrogramOptions

OPTIONS = SpectrogramOptions(n_fft=512, n_window=400)


def centred(wave: np.ndarray, options: SpectrogramOptions, n_frames: int) -> torch.Tensor:
    """Samples with half a window of zeros around, for `n_frames` frames."""
    padded = np.zeros((n_frames - 1) * options.hop + options.n_fft, np.float32)
    kept = wave[: len(padded) - options.n_fft // 2]
    padded[options.n_fft // 2 : options.n_fft // 2 + len(kept)] = kept
    return torch.from_numpy(padded)


def error(wave: torch.Tensor, target: torch.Tensor) -> float:
    """Spectral convergence: distance of magnitudes relative to the target's norm."""
    again = OPTIONS.magnitude(centred(wave.numpy(), OPTIONS, len(target))[None])[0]
    return float((again - target).norm() / target.norm())


@pytest.mark.parametrize("n_frames", [1, 2, 3, 57])
def test_length_is_exactly_frames_times_hop(n_frames: int) -> None:
    wave = griffin_lim(torch.rand(n_frames, OPTIONS.n_bins), OPTIONS, n_iterations=2)
    assert wave.shape == (n_frames * OPTIONS.hop,)
    assert torch.isfinite(wave).all()


def test_more_iterations_and_momentum_come_closer() -> None:
    speech = voice(np.random.default_rng(0), 1.0, 120)
    target = OPTIONS.magnitude(centred(speech, OPTIONS, 101)[None])[0]
    none, few, many = (
        error(griffin_lim(target, OPTIONS, n_iterations=n), target) for n in (0, 5, 40)
    )
    plain = error(griffin_lim(target, OPTIONS, n_iterations=40, momentum=0.0), target)
    assert many < few < none
    assert many < plain
    assert many < 0.15


def test_silence_is_silent() -> None:
    wave = griffin_lim(torch.zeros(20, OPTIONS.n_bins), OPTIONS)
    assert wave.abs().max() == 0


def test_the_magnitude_is_of_centred_frames() -> None:
    """A click at frame 10's centre is loudest there."""
    click = np.zeros(40 * OPTIONS.hop, np.float32)
    click[10 * OPTIONS.hop] = 1
    energy = OPTIONS.magnitude(centred(click, OPTIONS, 40)[None])[0].sum(dim=-1)
    assert int(energy.argmax()) == 10
