"""From a magnitude and a first phase to a waveform, and nearer to it by fast Griffin-Lim.

A few frames at a time go from the signal to their spectra, to the magnitudes asked for, and back:
they stay in the processor's cache, and no spectrogram but the last is kept. Overlap-add and what
happens to each bin are compiled; the transforms are torch's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.inversion.spectrogram import SpectrogramOptions
from zerochain.kernels import compiled

_BLOCK = 64
_THIN = 1e-3  # the least weight of windows that a sample is divided by
Floats = NDArray[np.float32]
_compiled = compiled(error_model="numpy", fastmath={"contract", "nsz", "arcp"})


class ShortTime:
    """The transform of a signal that begins where the first frame's window does.

    A signal has `lead` + T · hop samples: frame i is centred at sample `lead` + i · hop. Phases are
    relative to the frames' centres.
    """

    def __init__(self, options: SpectrogramOptions, n_frames: int) -> None:
        self.options, self.n_frames = options, n_frames
        edge = (options.n_fft - options.n_window) // 2
        self._window = options.window("cpu")[edge : edge + options.n_window].numpy()
        self.lead = options.n_fft // 2 - edge
        weight = np.zeros(self.lead + n_frames * options.hop, np.float32)
        for start in range(0, n_frames * options.hop, options.hop):
            weight[start : start + options.n_window] += (self._window**2)[: len(weight) - start]
        self._inverse = np.reciprocal(np.maximum(weight, np.float32(_THIN)))

    def spectra(self, signal: Floats, first: int, n: int) -> Tensor:
        """Spectra (n, n_bins) of the frames from the `first`."""
        frames = np.zeros((n, self.options.n_fft), np.float32)
        _cut(signal, self._window, self.lead, first * self.options.hop, self.options.hop, frames)
        spectra: Tensor = torch.fft.rfft(torch.from_numpy(frames))
        return spectra

    def signal(self, spectra: Iterator[Tensor]) -> Floats:
        """The signal whose spectra are nearest to these, which come block by block."""
        signal, first = np.zeros_like(self._inverse), 0
        for block in spectra:
            frames = torch.fft.irfft(block, n=self.options.n_fft).numpy()
            start = first * self.options.hop
            _overlap_add(frames, self._window, self.lead, start, self.options.hop, signal)
            first += len(block)
        signal *= self._inverse
        return signal


def consistent_signal(
    target: Floats,
    phase: Floats,
    past: Floats,
    transform: ShortTime,
    *,
    n_iterations: int,
    momentum: float,
) -> Floats:
    """Fast Griffin-Lim (Perraudin, Balazs and Søndergaard, WASPAA 2013).

    Args:
        target: (T, n_bins), magnitudes.
        phase: (T, n_bins), where it starts.
        past: the signal's first samples, which are known and stay.
        momentum: 0 is plain Griffin-Lim (Griffin and Lim, 1984).

    Returns:
        (lead + T · hop,); its first samples are near `past`, not yet equal to it.
    """
    blocks = range(0, len(target), _BLOCK)
    magnitude, angle = torch.from_numpy(target), torch.from_numpy(phase)
    signal = transform.signal(
        torch.polar(magnitude[b : b + _BLOCK], angle[b : b + _BLOCK]) for b in blocks
    )
    if n_iterations == 0:
        return signal
    previous = np.zeros((len(target), 2 * target.shape[1]), np.float32)

    def projected(signal: Floats, ahead: float) -> Iterator[Tensor]:
        for b in blocks:
            part = target[b : b + _BLOCK]
            spectra = transform.spectra(signal, b, len(part))
            parts = torch.view_as_real(spectra).flatten(1).numpy()
            _project(part, parts, previous[b : b + _BLOCK], np.float32(ahead))
            yield spectra

    for i in range(n_iterations):
        signal[: len(past)] = past
        signal = transform.signal(projected(signal, momentum if i > 0 else 0.0))
    return signal


@_compiled
def _cut(signal: Floats, window: Floats, lead: int, start: int, hop: int, frames: Floats) -> None:
    """Windowed frames (n, n_fft) from sample `start` on, each with its centre at 0."""
    n, n_fft = frames.shape
    for t in range(n):
        at = start + t * hop
        row, last = frames[t], min(len(window), len(signal) - at)
        for i in range(min(lead, last)):
            row[n_fft - lead + i] = window[i] * signal[at + i]
        for i in range(lead, last):
            row[i - lead] = window[i] * signal[at + i]


@_compiled
def _overlap_add(
    frames: Floats, window: Floats, lead: int, start: int, hop: int, signal: Floats
) -> None:
    """The transpose of `_cut`."""
    n, n_fft = frames.shape
    for t in range(n):
        at = start + t * hop
        row, last = frames[t], min(len(window), len(signal) - at)
        for i in range(min(lead, last)):
            signal[at + i] += window[i] * row[n_fft - lead + i]
        for i in range(lead, last):
            signal[at + i] += window[i] * row[i - lead]


@_compiled
def _project(target: Floats, spectra: Floats, previous: Floats, ahead: np.float32) -> None:
    """Go on in the direction of the last change, then take the magnitudes asked for, in place.

    spectra and previous (n, 2 · n_bins): real and imaginary parts side by side.
    """
    n, n_bins = target.shape
    for t in range(n):
        for k in range(n_bins):
            re, im = spectra[t, 2 * k], spectra[t, 2 * k + 1]
            x = re + ahead * (re - previous[t, 2 * k])
            y = im + ahead * (im - previous[t, 2 * k + 1])
            previous[t, 2 * k], previous[t, 2 * k + 1] = re, im
            gain = target[t, k] / np.sqrt(x * x + y * y + np.float32(1e-30))
            spectra[t, 2 * k], spectra[t, 2 * k + 1] = x * gain, y * gain
