"""A voice's utterances on one time axis, from which training cuts its segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.audio import Waveform
from zerochain.inversion.code2spec import REACH
from zerochain.inversion.spectrogram import SpectrogramOptions


@dataclass(frozen=True, eq=False)
class Timeline:
    """Units and voices (N,) of all frames and their samples, with gaps between utterances.

    A gap holds nothing. It is as long as the network's reach and the transform's half window, so
    that a segment that holds an utterance's edge sees there what synthesis will see.
    """

    units: NDArray[np.int64]
    voices: NDArray[np.int64]
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
        voices: Sequence[int] | None = None,
    ) -> Timeline:
        """Lay utterances one after the other.

        Args:
            units: of each utterance, one a frame (T,).
            waves: of each utterance, at most T · hop samples; the rest is silence.
            nothing: the unit that stands for gaps.
            voices: the number of who speaks each utterance; None if it is always the same.
        """
        gap = max(REACH, -(-options.n_fft // (2 * options.hop)))
        n_frames = gap + sum(len(u) + gap for u in units)
        codes, speakers = np.full(n_frames, nothing, np.int64), np.zeros(n_frames, np.int64)
        wave = np.zeros(n_frames * options.hop + options.n_fft, np.float32)
        begin = gap
        for code, samples, voice in zip(units, waves, voices or [0] * len(units), strict=True):
            codes[begin : begin + len(code)] = code
            speakers[begin : begin + len(code)] = voice
            first = begin * options.hop + options.n_fft // 2
            kept = samples[: len(code) * options.hop]
            wave[first : first + len(kept)] = kept
            begin += len(code) + gap
        return cls(codes, speakers, wave, options, nothing)

    def __len__(self) -> int:
        return len(self.units)

    def segments(self, starts: Sequence[int], n_frames: int) -> dict[str, Tensor]:
        """Units and voices (B, n_frames), samples (B, (n_frames - 1) · hop + n_fft) from starts."""
        hop, n_samples = self.options.hop, (n_frames - 1) * self.options.hop + self.options.n_fft
        parts: dict[str, list[NDArray[Any]]] = {
            "units": [self.units[s : s + n_frames] for s in starts],
            "voices": [self.voices[s : s + n_frames] for s in starts],
            "waves": [self.wave[s * hop : s * hop + n_samples] for s in starts],
        }
        return {name: torch.from_numpy(np.stack(part)) for name, part in parts.items()}

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
