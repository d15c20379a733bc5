"""A voice's utterances on one time axis, from which training cuts its segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.audio import Waveform
from zerochain.inversion.code2spec import REACH
from zerochain.inversion.spectrogram import SpectrogramOptions


@dataclass(frozen=True, eq=False)
class Timeline:
    """Units (N,) of all frames and their samples, with gaps of nothing between utterances.

    A gap is as long as the network's reach and the transform's half window, so that a segment
    that holds an utterance's edge sees there what synthesis will see.
    """

    units: NDArray[np.int64]
    wave: Waveform
    """(N · hop + n_fft,): frame i is centred at sample i · hop + n_fft / 2."""
    options: SpectrogramOptions
    nothing: int

    @classmethod
    def of(
        cls,
        units: Sequence[NDArray[np.int32]],
        waves: Sequence[Waveform],
        options: SpectrogramOptions,
        nothing: int,
    ) -> Timeline:
        """Lay utterances one after the other.

        Args:
            units: of each utterance, one a frame (T,).
            waves: of each utterance, at most T · hop samples; the rest is silence.
            nothing: the unit that stands for gaps.
        """
        gap = max(REACH, -(-options.n_fft // (2 * options.hop)))
        n_frames = gap + sum(len(u) + gap for u in units)
        codes = np.full(n_frames, nothing, np.int64)
        wave = np.zeros(n_frames * options.hop + options.n_fft, np.float32)
        begin = gap
        for code, samples in zip(units, waves, strict=True):
            codes[begin : begin + len(code)] = code
            first = begin * options.hop + options.n_fft // 2
            kept = samples[: len(code) * options.hop]
            wave[first : first + len(kept)] = kept
            begin += len(code) + gap
        return cls(codes, wave, options, nothing)

    def __len__(self) -> int:
        return len(self.units)

    def segments(self, starts: Sequence[int], n_frames: int) -> dict[str, Tensor]:
        """Units (B, n_frames) and samples (B, (n_frames - 1) · hop + n_fft) from each start."""
        hop, n_samples = self.options.hop, (n_frames - 1) * self.options.hop + self.options.n_fft
        units = np.stack([self.units[s : s + n_frames] for s in starts])
        waves = np.stack([self.wave[s * hop : s * hop + n_samples] for s in starts])
        return {"units": torch.from_numpy(units), "waves": torch.from_numpy(waves)}

    def random_segments(self, n: int, n_frames: int, seed: Sequence[int]) -> dict[str, Tensor]:
        """Segments from random starts: the same for the same seed, whatever came before."""
        n_frames = min(n_frames, len(self))
        rng = np.random.default_rng(seed)
        return self.segments(rng.integers(0, len(self) - n_frames + 1, n).tolist(), n_frames)

    def all_segments(self, n: int, n_frames: int) -> Iterator[dict[str, Tensor]]:
        """The whole timeline once, in batches of at most `n` segments; the rest ends it."""
        n_frames = min(n_frames, len(self))
        starts = list(range(0, len(self) - n_frames + 1, n_frames))
        for i in range(0, len(starts), n):
            yield self.segments(starts[i : i + n], n_frames)
        rest = starts[-1] + n_frames
        if rest < len(self):
            yield self.segments([rest], len(self) - rest)
