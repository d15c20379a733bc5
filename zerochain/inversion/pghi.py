"""Phase-gradient heap integration: a phase for a magnitude spectrogram without any iteration.

Průša, Balazs and Søndergaard: A noniterative method for reconstruction of phase from STFT
magnitude, IEEE/ACM TASLP 25 (5), 2017. For a Gaussian window exp(-πt²/γ) the magnitude knows how
its phase changes, from frame to frame and from bin to bin; a Hann window is near enough to one.

We depart from the paper in the order of the queue alone: levels of 0.1 dB rather than a heap,
which takes a fifth of the time for the same quality.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerochain.inversion.spectrogram import SpectrogramOptions
from zerochain.kernels import compiled

_HANN_GAMMA = 0.25645  # times the window's length squared: the nearest Gaussian's γ
_TOLERANCE_DB, _LEVEL_DB = 120.0, 0.1
_DB = 20 / np.log(10)
Floats = NDArray[np.float32]
_compiled = compiled(error_model="numpy", fastmath={"contract"})


def integrate_phase(
    magnitude: Floats, phase: Floats, options: SpectrogramOptions, n_known: int = 0
) -> None:
    """Integrate the phase gradients of a magnitude, from the loudest bins to the quietest.

    Args:
        magnitude: (T, K), its largest is 1.
        phase: (T, K) in radians, relative to the frames' centres; integrated in place. What it
            holds is kept 120 dB below the largest magnitude and in the frames that are known.
        n_known: the first frames whose phase is known and is continued.
    """
    floor = np.float32(10 ** (-_TOLERANCE_DB / 20))
    log = np.log(np.maximum(magnitude, floor))
    levels = np.floor((log * np.float32(_DB) + _TOLERANCE_DB) / _LEVEL_DB).astype(np.int16)
    loudest_first = np.argsort(-levels, axis=None, kind="stable")
    by_frame, by_bin = _gradients(log, options)
    _integrate(levels, loudest_first, by_frame, by_bin, n_known, phase)


def _gradients(log: Floats, options: SpectrogramOptions) -> tuple[Floats, Floats]:
    """Change of phase over one frame and over one bin at each place, by central differences.

    ∂φ/∂t = ∂log|X|/∂ω / γ + 2πω and ∂φ/∂ω = -γ · ∂log|X|/∂t, with t in samples and ω in cycles a
    sample, for phases relative to the frames' centres.
    """
    hop, n_fft = options.hop, options.n_fft
    ratio = np.float32(_HANN_GAMMA * options.n_window**2 / (hop * n_fft))
    advance = np.arange(log.shape[1]) * hop % n_fft * (2 * np.pi / n_fft)
    by_frame = np.zeros_like(log)  # at both edges: the spectrum goes on as its mirror image
    by_frame[:, 1:-1] = (log[:, 2:] - log[:, :-2]) / (2 * ratio)
    by_frame += advance.astype(np.float32)
    longer = np.concatenate([log[:1], log, log[-1:]])
    return by_frame, (longer[:-2] - longer[2:]) * (ratio / 2)


@_compiled
def _integrate(
    levels: NDArray[np.int16],
    loudest_first: NDArray[np.int64],
    by_frame: Floats,
    by_bin: Floats,
    n_known: int,
    phase: Floats,
) -> None:
    """Spread from what is known, then from the loudest bin that is not yet reached, and so on.

    A queue is a stack for each level: `last` is the bin on top of it, `below` what lies under a
    bin. Bins of level 0 are never reached.
    """
    n_bins = levels.shape[1]
    level = levels.ravel()
    reached = level <= 0
    last = np.full(level.max() + 1, -1, np.int64)
    below = np.empty(level.size, np.int64)
    for i in range(max(n_known - 1, 0) * n_bins, n_known * n_bins):
        if not reached[i]:
            below[i] = last[level[i]]
            last[level[i]] = i
    reached[: n_known * n_bins] = True
    if n_known > 0:
        _spread(level, by_frame, by_bin, last, below, reached, len(last) - 1, phase)
    flat = phase.ravel()
    for i in loudest_first:
        if not reached[i]:
            flat[i] = 0
            reached[i] = True
            below[i] = -1
            last[level[i]] = i
            _spread(level, by_frame, by_bin, last, below, reached, level[i], phase)


@_compiled
def _spread(
    level: NDArray[np.int16],
    by_frame: Floats,
    by_bin: Floats,
    last: NDArray[np.int64],
    below: NDArray[np.int64],
    reached: NDArray[np.bool_],
    top: int,
    phase: Floats,
) -> None:
    """Take the loudest bin off the queue and give its neighbours their phase, till it's empty."""
    n_frames, n_bins = phase.shape
    flat, along, across = phase.ravel(), by_frame.ravel(), by_bin.ravel()
    half, turn = np.float32(0.5), np.float32(2 * np.pi)
    while top > 0:
        i = last[top]
        if i < 0:
            top -= 1
            continue
        last[top] = below[i]
        frame, k = i // n_bins, i % n_bins
        for side in range(4):
            if side == 0:
                j, inside = i + n_bins, frame + 1 < n_frames
            elif side == 1:
                j, inside = i - n_bins, frame > 0
            elif side == 2:
                j, inside = i + 1, k + 1 < n_bins
            else:
                j, inside = i - 1, k > 0
            if not inside or reached[j]:
                continue
            step = along[i] + along[j] if side < 2 else across[i] + across[j]
            angle = flat[i] + half * step if side % 2 == 0 else flat[i] - half * step
            flat[j] = angle - turn * np.rint(angle / turn)
            reached[j] = True
            below[j] = last[level[j]]
            last[level[j]] = j
            top = max(top, level[j])
