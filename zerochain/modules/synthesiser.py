"""A synthesiser's network: symbols and a voice → log-mel frames, all at once or step by step.

The published one is `tacotron.py`. The other is non-autoregressive, as FastSpeech (Ren et al.
2019): symbols are encoded, each is repeated for as long as it lasts, and a decoder turns the steps
into frames. Durations come from an alignment in training, from a predictor afterwards; nothing can
fail to align, or fail to end. All layers are
ConvNeXt blocks. The voice is a speaker encoder's vector, added before and after the durations.

Symbols are 0 … K - 1, and K is the silence before the first and after the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear

from zerochain.config import NO_OPTION, Config
from zerochain.modules.convnext import ConvNextBlock
from zerochain.modules.encoder import mask_of
from zerochain.modules.joint_recogniser import FRAMES_PER_STEP
from zerochain.modules.tacotron import Tacotron

_ENCODER_KERNEL, _DECODER_KERNEL = 5, 9
_N_PLACES = 3  # numbers that place a step within its symbol
_USUAL_LOG_STEPS = 1.4  # 80 ms, from which durations are learned
_LONGEST_STEPS = 200  # of one symbol, four seconds


class SynthesiserSizes(Config):
    """Form and sizes of a synthesiser's network that a user chooses."""

    architecture: Literal["parallel", "tacotron"] = Field(
        "parallel", json_schema_extra={"option": "--tts"}
    )
    """The synthesiser: convolutions over all frames at once, with durations from the recogniser's
    alignment; or the published Tacotron, which aligns by attention, frame by frame."""
    width: int = Field(128, ge=2, le=65_536, json_schema_extra={"option": "--tts-width"})
    """Channels per layer of the synthesiser; of Tacotron's LSTMs."""
    n_encoder_blocks: int = Field(2, ge=0, le=256, json_schema_extra=NO_OPTION)
    """Blocks over the symbols; not of Tacotron."""
    n_decoder_blocks: int = Field(4, ge=0, le=256, json_schema_extra=NO_OPTION)
    """Blocks over the steps of 20 ms; not of Tacotron."""

    presets: ClassVar[Mapping[tuple[str, Any], Mapping[str, Any]]] = {
        ("architecture", "tacotron"): {"width": 256},  # Tjandra et al. 2020
    }


class SynthesiserConfig(SynthesiserSizes):
    """A synthesiser's network, with what follows from the data."""

    n_symbols: int = Field(30, ge=1, le=65_536)
    """K."""
    n_vector: int = Field(0, ge=0, le=65_536)
    """Dimensions of the voice's vector; 0 for one voice."""
    n_out: int = Field(80, ge=1, le=65_536)
    """Bands of a frame."""
    n_bins: int = Field(0, ge=0, le=65_536)
    """Of the log-magnitudes that Tacotron predicts beside the bands; 0 without."""


class Target(NamedTuple):
    """What a synthesiser is given of speech that it learns to predict."""

    durations: Tensor
    """Steps of 20 ms of each symbol (B, U), 0 in padding; not used by Tacotron."""
    frames: Tensor
    """(B, T, D), normalised; only used by Tacotron, for teacher forcing."""
    lengths: Tensor
    """(B,), of the frames."""


class Predicted(NamedTuple):
    """What a synthesiser predicts of a target."""

    frames: Tensor
    """(B, T', D), normalised, T' at least as many as the target's."""
    durations: Tensor | None = None
    """Logarithms of the durations (B, U); not of Tacotron."""
    ends: Tensor | None = None
    """Logits that a frame is the last one or comes after it (B, T'), of Tacotron."""
    magnitude: Tensor | None = None
    """Normalised log-magnitudes (B, T', F), of Tacotron."""


class Spoken(NamedTuple):
    """What a synthesiser makes of symbols alone."""

    frames: Tensor
    """(B, T, D), normalised."""
    lengths: Tensor
    """(B,), in frames."""
    failed: Tensor
    """(B,), whether it didn't end or didn't speak the symbols in their order: only Tacotron can."""
    magnitude: Tensor | None = None
    """Normalised log-magnitudes (B, T, F), of Tacotron."""


class Synthesiser(nn.Module):
    """Symbols (B, U) and voices (B, E) → normalised log-mel frames (B, T, D).

    Both ends of the symbols are the silence, K. Padding has no effect.
    """

    def __init__(self, config: SynthesiserConfig) -> None:
        super().__init__()
        self.config = config
        self.tacotron: Tacotron | None = None
        if config.architecture == "tacotron":
            self.tacotron = Tacotron(
                config.n_symbols,
                config.n_vector,
                config.n_out,
                max(1, config.n_bins),
                config.width,
            )
            return
        width = config.width
        self.embedding = nn.Embedding(config.n_symbols + 1, width)
        self.encoder = nn.ModuleList(
            ConvNextBlock(width, _ENCODER_KERNEL) for _ in range(config.n_encoder_blocks)
        )
        self.voice = nn.Linear(config.n_vector, 2 * width) if config.n_vector else None
        self.duration_block = ConvNextBlock(width, _ENCODER_KERNEL)
        self.duration = nn.Linear(width, 1)
        nn.init.constant_(self.duration.bias, _USUAL_LOG_STEPS)
        self.place = nn.Linear(_N_PLACES, width)
        self.decoder = nn.ModuleList(
            ConvNextBlock(width, _DECODER_KERNEL) for _ in range(config.n_decoder_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, FRAMES_PER_STEP * config.n_out)

    def embedded(self, symbols: Tensor) -> Tensor:
        """Symbols (B, U), or distributions over them (B, U, K + 1), as vectors (B, U, W)."""
        if symbols.ndim == 2:
            found: Tensor = self.embedding(symbols)
            return found
        return linear(symbols, self.embedding.weight.T)

    def encode(self, symbols: Tensor, counts: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded symbols (B, U, W), and the logarithm of the steps that each lasts (B, U).

        Args:
            symbols: (B, U), silences at both ends, or distributions (B, U, K + 1).
            counts: (B,), the numbers of symbols.
            z: (B, E), the voices.
        """
        real = mask_of(counts, symbols.shape[1])[..., None]
        y = self.embedded(symbols) * real
        for block in self.encoder:
            y = block(y, real)
        y = (y + self._voice(z)[0]) * real
        # The predictor's gradient would make the encoder encode durations rather than sounds.
        logs: Tensor = self.duration(self.duration_block(y.detach(), real))
        return y, logs[..., 0]

    def decode(self, y: Tensor, durations: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, 2 · steps, D) of encoded symbols, and the numbers of steps (B,).

        Args:
            y: (B, U, W) of `encode`.
            durations: steps of each symbol (B, U), 0 in padding.
        """
        ends = durations.cumsum(dim=1)
        steps = ends[:, -1]
        n = int(steps.max())
        times = torch.arange(n, device=y.device)
        owner = torch.searchsorted(ends, times.expand(len(y), n).contiguous(), right=True)
        owner = owner.clamp(max=durations.shape[1] - 1)
        lasts = durations.gather(1, owner).clamp(min=1)
        since = times - (ends.gather(1, owner) - lasts)
        place = torch.stack([since / lasts, since / 10, lasts.log()], dim=2).to(y.dtype)
        real = mask_of(steps, n)[..., None]
        x = y.gather(1, owner[..., None].expand(-1, -1, y.shape[2]))
        x = (x + self.place(place) + self._voice(z)[1]) * real
        for block in self.decoder:
            x = block(x, real)
        frames: Tensor = self.last(self.norm(x))
        return frames.reshape(len(x), -1, self.config.n_out), steps

    def forward(self, symbols: Tensor, counts: Tensor, z: Tensor, target: Target) -> Predicted:
        """What it predicts of speech with known durations or, for Tacotron, known frames.

        Args:
            symbols, counts, z: as of `encode`.
        """
        if self.tacotron is not None:
            made = self.tacotron(symbols, counts, z, target.frames, target.lengths)
            return Predicted(made.frames, None, made.ends, made.magnitude)
        y, logs = self.encode(symbols, counts, z)
        return Predicted(self.decode(y, target.durations, z)[0], logs)

    def generate(self, symbols: Tensor, counts: Tensor, z: Tensor, rate: float = 1.0) -> Spoken:
        """Speech of symbols alone.

        Args:
            rate: above 1 is faster; Tacotron has a rate of its own.
        """
        if self.tacotron is not None:
            return Spoken(*self.tacotron.generate(symbols, counts, z))
        y, logs = self.encode(symbols, counts, z)
        lasts = (logs.float().exp() / rate).round().clamp(1, _LONGEST_STEPS).long()
        frames, steps = self.decode(y, lasts * mask_of(counts, symbols.shape[1]).long(), z)
        return Spoken(frames, FRAMES_PER_STEP * steps, torch.zeros_like(steps, dtype=torch.bool))

    def _voice(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What a voice adds before and after the durations, each (B, 1, W)."""
        if self.voice is None:
            zero = z.new_zeros(len(z), 1, self.config.width)
            return zero, zero
        before, after = self.voice(z)[:, None].chunk(2, dim=2)
        return before, after
