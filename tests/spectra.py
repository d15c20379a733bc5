"""Magnitude spectrograms of waves, taken as training takes them."""

import numpy as np
import torch

from zerochain.inversion.phase import SpectrogramOptions

SMALL = SpectrogramOptions(n_fft=512, n_window=400)


def centred(wave: np.ndarray, options: SpectrogramOptions, n_frames: int) -> torch.Tensor:
    """Samples with half a window of zeros around, for `n_frames` frames."""
    padded = np.zeros((n_frames - 1) * options.hop + options.n_fft, np.float32)
    kept = wave[: len(padded) - options.n_fft // 2]
    padded[options.n_fft // 2 : options.n_fft // 2 + len(kept)] = kept
    return torch.from_numpy(padded)


def magnitude(wave: np.ndarray, options: SpectrogramOptions = SMALL) -> torch.Tensor:
    """Of as many frames as there are whole hops."""
    return options.magnitude(centred(wave, options, len(wave) // options.hop)[None])[0]
