"""A recogniser with two outputs over one encoder: CTC, and a decoder with attention.

Connectionist temporal classification (CTC; Graves et al. 2006) places the symbols in time; the
attention decoder predicts each from all before it. Trained together (Kim, Hori and Watanabe 2017),
CTC teaches the encoder to align from few data, where attention alone fails. CTC's steps are two
frames long whatever the encoder's are, so that its alignments give durations to a synthesiser.

Symbols are 0 … K - 1. As in `unit_translator`, K ends a sequence and K + 1 begins it; K is CTC's
blank as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from zerochain.config import NO_OPTION, Config
from zerochain.modules.conformer import ConformerEncoder, Subsampling
from zerochain.modules.convnext import ConvNextEncoder
from zerochain.modules.decoders import (
    CtcHead,
    RecurrentDecoder,
    RecurrentEncoder,
    TransformerDecoder,
)
from zerochain.modules.encoder import instance_norm, mask_of

FRAMES_PER_STEP = 2
"""Of CTC, and of the synthesiser's durations: 20 ms."""
Architecture = Literal["conv", "conformer", "published"]
_CONFORMER_STRIDE, _RECURRENT_STRIDE = 4, 8


class RecogniserSizes(Config):
    """Form and sizes of a recogniser's network that a user chooses."""

    architecture: Architecture = Field("conv", json_schema_extra={"option": "--asr"})
    """The recogniser: convolutions or a conformer with a Transformer decoder, or the published
    LSTMs with MLP attention."""
    width: int = Field(
        128, ge=8, le=65_536, multiple_of=8, json_schema_extra={"option": "--asr-width"}
    )
    """Channels per layer of the recogniser, a multiple of 8; per direction for LSTMs."""
    n_layers: int = Field(5, ge=1, le=256, json_schema_extra=NO_OPTION)
    """Layers of the encoder."""
    n_decoder_layers: int = Field(1, ge=1, le=256, json_schema_extra=NO_OPTION)
    """Layers of the decoder; the published one has one."""
    dropout: float = Field(0.1, ge=0, lt=1, json_schema_extra=NO_OPTION)
    """Dropout of each layer's output."""

    presets: ClassVar[Mapping[tuple[str, Any], Mapping[str, Any]]] = {
        ("architecture", "conformer"): {"width": 144, "n_layers": 4},
        ("architecture", "published"): {"width": 256, "n_layers": 3},  # Tjandra et al. 2020
    }


class JointConfig(RecogniserSizes):
    """A recogniser's network, with what follows from the data."""

    n_in: int = Field(80, ge=1, le=65_536)
    n_symbols: int = Field(30, ge=1, le=65_536)
    """K."""

    @property
    def n_units(self) -> int:
        """K, as decoding calls it."""
        return self.n_symbols


class Encoded(NamedTuple):
    """The encoder's output (B, S, M) of a batch, and the numbers of its steps (B,)."""

    memory: Tensor
    lengths: Tensor


class JointScores(NamedTuple):
    """Scores before the softmax."""

    ctc: Tensor
    """(B, C, K + 1), the blank last."""
    steps: Tensor
    """(B,), the numbers of CTC's steps: ⌈frames / 2⌉."""
    next: Tensor
    """(B, U, K + 1), of the symbol after each input token, or the end."""


def n_steps(lengths: Tensor) -> Tensor:
    """Frames (B,) → steps of two frames: ⌈frames / 2⌉."""
    return torch.div(lengths + FRAMES_PER_STEP - 1, FRAMES_PER_STEP, rounding_mode="floor")


class JointRecogniser(nn.Module):
    """Log-mel frames in dB (B, T, D) → CTC's scores and those of an attention decoder.

    Frames are normalised to mean 0 and variance 1 over each utterance first (`normalised`), so that
    neither level nor channel matters. The published recogniser gets CTC as well, beside its
    decoder, to align; it has none in the paper.
    """

    decoder: TransformerDecoder | RecurrentDecoder

    def __init__(self, config: JointConfig) -> None:
        super().__init__()
        self.config = config
        width, n_symbols, dropout = config.width, config.n_symbols, config.dropout
        stride, memory = FRAMES_PER_STEP, width
        match config.architecture:
            case "conv":
                self.encoder: nn.Module = ConvNextEncoder(
                    config.n_in,
                    width,
                    width=width,
                    n_blocks=config.n_layers,
                    kernel=9,
                    stride=FRAMES_PER_STEP,
                )
            case "conformer":
                stride = _CONFORMER_STRIDE
                self.encoder = ConformerEncoder(
                    Subsampling(config.n_in, width, stride, units=False),
                    width,
                    n_layers=config.n_layers,
                    n_heads=4,
                    kernel=15,
                    factor=2,
                    dropout=dropout,
                )
            case "published":
                stride, memory = _RECURRENT_STRIDE, 2 * width
                self.encoder = RecurrentEncoder(
                    nn.Sequential(nn.Linear(config.n_in, 2 * width), nn.LeakyReLU(0.01)),
                    2 * width,
                    width,
                    n_layers=config.n_layers,
                    factor=min(stride, 2**config.n_layers),
                    dropout=dropout,
                )
                stride = min(stride, 2**config.n_layers)
        self.ctc_head = CtcHead(memory, n_symbols, stride // FRAMES_PER_STEP)
        if config.architecture == "published":
            self.decoder = RecurrentDecoder(
                n_symbols, 2 * width, memory, embedding=max(1, width // 2), dropout=dropout
            )
        else:
            self.decoder = TransformerDecoder(
                n_symbols,
                width,
                memory,
                n_layers=config.n_decoder_layers,
                n_heads=4,
                factor=2,
                dropout=dropout,
            )

    def encode(self, x: Tensor, lengths: Tensor) -> Encoded:
        """Normalised frames (B, T, D) and their numbers (B,) → the encoder's output."""
        if isinstance(self.encoder, ConvNextEncoder):
            return Encoded(self.encoder(x, lengths), n_steps(lengths))
        memory, _, n = self.encoder(x, lengths)
        return Encoded(memory, n)

    def ctc(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, C, K + 1) of CTC's steps, and their numbers (B,).

        Args:
            lengths: of the frames (B,).
        """
        steps = n_steps(lengths)
        return self.ctc_head(encoded.memory)[:, : int(steps.max())], steps

    def forward(self, x: Tensor, lengths: Tensor, tokens: Tensor) -> JointScores:
        """All scores of normalised frames, with teacher forcing.

        Args:
            tokens: (B, U), the begin and the symbols.
        """
        encoded = self.encode(x, lengths)
        ctc, steps = self.ctc(encoded, lengths)
        return JointScores(ctc, steps, self.decoder(tokens, encoded.memory, encoded.lengths))


def normalised(x: Tensor, lengths: Tensor) -> Tensor:
    """Frames (B, T, D), each band with mean 0 and variance 1 over the utterance; padding is 0."""
    real = mask_of(lengths, x.shape[1])[..., None]
    return instance_norm(x, real) * real
