"""A waveform for a magnitude spectrogram: which phase, and long ones chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.cores import cores
from zerochain.errors import InputError
from zerochain.inversion.consistency import ShortTime, consistent_signal
from zerochain.inversion.pghi import integrate_phase
from zerochain.inversion.spectrogram import SpectrogramOptions

Phase = Literal["griffin-lim", "fgla", "pghi", "pghi-fgla"]
"""Griffin-Lim, fast Griffin-Lim, phase-gradient heap integration, and fast Griffin-Lim after it."""
PHASES: tuple[Phase, ...] = get_args(Phase)
_ITERATIONS: dict[Phase, int] = {"griffin-lim": 60, "fgla": 60, "pghi": 0, "pghi-fgla": 20}
_MOMENTUM = 0.99
_CHUNK_S = 10.0
_CONTEXT_WINDOWS = 4


def reconstruct(
    magnitude: Tensor,
    options: SpectrogramOptions,
    method: Phase = "pghi-fgla",
    *,
    n_iterations: int | None = None,
    seed: int = 0,
) -> Waveform:
    """A waveform whose magnitude spectrogram is near the one given. Computed on the CPU.

    Args:
        magnitude: (T, n_bins), linear.
        options: the transform that it belongs to.
        n_iterations: None takes 60 from a random phase, and 20 after "pghi".
        seed: of the random phases.

    Returns:
        (T · hop,) samples: frame i is centred at i · hop, and the last frame has its whole hop.

    Raises:
        InputError: no frames, another number of bins, or magnitudes that are NaN or negative.
    """

    def part(start: int, end: int) -> Tensor:
        return magnitude[start:end]

    chunks = stream(part, len(magnitude), options, method, n_iterations=n_iterations, seed=seed)
    return np.concatenate(list(chunks))


def reconstruct_batch(
    magnitudes: Sequence[Tensor],
    options: SpectrogramOptions,
    method: Phase = "pghi-fgla",
    *,
    n_iterations: int | None = None,
    seed: int = 0,
) -> list[Waveform]:
    """As `reconstruct` for several spectrograms of any lengths, on all cores: the same results."""

    def one(magnitude: Tensor) -> Waveform:
        return reconstruct(magnitude, options, method, n_iterations=n_iterations, seed=seed)

    with ThreadPoolExecutor(cores()) as pool:  # threads: nearly all of the work holds no lock
        return list(pool.map(one, magnitudes))


def stream(
    magnitude: Callable[[int, int], Tensor],
    n_frames: int,
    options: SpectrogramOptions,
    method: Phase = "pghi-fgla",
    *,
    n_iterations: int | None = None,
    seed: int = 0,
) -> Iterator[Waveform]:
    """The waveform of a spectrogram of any length, chunk by chunk: memory is that of one chunk.

    Chunks are equally long and last at most 10 s, so what is up to 10 s long is done whole. A chunk
    sees some frames after its end, and continues the phase and the samples of the one before: a
    joint is heard no more than any other place.

    Args:
        magnitude: from the frames `start` and `end` to magnitudes (end - start, n_bins); asked for
            as the chunks are, with context.

    Yields:
        The samples of one chunk's frames; together (T · hop,).

    Raises:
        InputError: as `reconstruct`.
    """
    solver = _solver(options, method, n_iterations)
    if n_frames < 1:
        raise InputError("a spectrogram without frames has no waveform")
    hop, context = options.hop, -(-_CONTEXT_WINDOWS * options.n_window // options.hop)
    n_chunks = -(-n_frames // round(_CHUNK_S * SAMPLE_RATE / hop))
    bounds = [i * n_frames // n_chunks for i in range(n_chunks + 1)]
    past: Waveform | None = None
    for i, (start, end) in enumerate(pairwise(bounds)):
        first, last = max(start - context, 0), min(end + context, n_frames)
        target = _checked(magnitude(first, last), options)
        wave = solver.solve(target, past, np.random.default_rng((seed, i)))
        lead = len(wave) - (last - first) * hop
        a, b = lead + (start - first) * hop, lead + (end - first) * hop
        yield wave[a:b]
        past = wave[b - context * hop - lead : b + hop]


@dataclass(frozen=True)
class _Solver:
    options: SpectrogramOptions
    by_gradient: bool
    n_iterations: int
    momentum: float

    def solve(
        self, target: NDArray[np.float32], past: Waveform | None, rng: np.random.Generator
    ) -> Waveform:
        """A signal of the frames that begins with `past`, with a cross-fade over its last hop."""
        hop, n_window = self.options.hop, self.options.n_window
        transform = ShortTime(self.options, len(target))
        past = np.zeros(transform.lead, np.float32) if past is None else past
        loudest = target.max()
        if loudest == 0:
            signal = np.zeros(transform.lead + len(target) * hop, np.float32)
        else:
            target, known = target / loudest, past / loudest
            n_known = max(0, (len(past) - n_window) // hop + 1)
            phase = rng.random(target.shape, np.float32) * np.float32(2 * np.pi)
            if n_known:
                phase[:n_known] = transform.spectra(known, 0, n_known).angle().numpy()
            if self.by_gradient:
                integrate_phase(target, phase, self.options, n_known)
            signal = loudest * consistent_signal(
                target,
                phase,
                known,
                transform,
                n_iterations=self.n_iterations,
                momentum=self.momentum,
            )
        kept = np.ones(len(past), np.float32)
        kept[-hop:] = np.linspace(1, 0, len(kept[-hop:]))
        signal[: len(past)] += kept * (past - signal[: len(past)])
        return signal


def _solver(options: SpectrogramOptions, method: Phase, n_iterations: int | None) -> _Solver:
    if method not in PHASES:
        raise InputError(f"there is no phase method {method!r}", remedy=f"use {', '.join(PHASES)}")
    n = _ITERATIONS[method] if n_iterations is None else n_iterations
    if n < 0 or (method == "pghi" and n > 0):
        raise InputError(
            f"{n} iterations of {method!r}", remedy="'pghi' has none; 'pghi-fgla' iterates after it"
        )
    return _Solver(
        options, method in {"pghi", "pghi-fgla"}, n, 0.0 if method == "griffin-lim" else _MOMENTUM
    )


def _checked(magnitude: Tensor, options: SpectrogramOptions) -> NDArray[np.float32]:
    if magnitude.ndim != 2 or magnitude.shape[1] != options.n_bins:
        raise InputError(
            f"a magnitude of shape {tuple(magnitude.shape)} where (frames, {options.n_bins}) is "
            "needed",
            cause="it belongs to another transform",
        )
    found = magnitude.detach().to("cpu", torch.float32).contiguous().numpy()
    if not np.isfinite(found).all() or found.min() < 0:
        raise InputError(
            "a magnitude spectrogram with NaN, infinite or negative values has no waveform",
            cause="the model that made it diverged",
            remedy="train it again",
        )
    return found
