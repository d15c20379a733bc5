"""Networks from speech, as frames or as units, to units of another language."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from zerochain.modules.conformer import (
    ConformerBlock,
    ConformerEncoder,
    Subsampling,
    attention_mask,
)
from zerochain.modules.encoder import mask_of
from zerochain.modules.unit_decoders import RecurrentDecoder, RecurrentEncoder, TransformerDecoder

Architecture = Literal["conformer", "rnn", "ctc"]
Auxiliary = Literal["none", "ce", "ctc"]
_AUXILIARY_LAYERS = 1


class TranslatorConfig(BaseModel):
    """What a translator's network is built from; the defaults make 3.6 million parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    architecture: Architecture = "conformer"
    """A conformer and a Transformer that says one unit after the other; LSTMs that do; or a
    conformer that says all at once (CTC)."""
    n_in: int = Field(80, ge=1, le=2**20)
    """Dimensions of a frame, or how many source units there are."""
    hears_units: bool = False
    n_units: int = Field(256, ge=1, le=2**20)
    """Target units."""
    width: int = Field(192, ge=1, le=65_536)
    """Of layers; of each direction of an LSTM of the encoder."""
    n_encoder_layers: int = Field(4, ge=1, le=256)
    n_decoder_layers: int = Field(3, ge=1, le=256)
    n_heads: int = Field(4, ge=1, le=1024)
    factor: int = Field(2, ge=1, le=1024)
    """How many times wider feed-forward layers are inside."""
    kernel: int = Field(15, ge=1, le=65_536)
    """Of the conformer's convolutions, odd."""
    subsampling: Literal[1, 2, 4, 8] = 4
    dropout: float = Field(0.1, ge=0, lt=1)
    """Of what each layer adds."""
    decoder_width: int = Field(512, ge=1, le=65_536)
    """Of the LSTM that decodes."""
    embedding: int = Field(128, ge=1, le=65_536)
    """Dimensions of a unit for LSTMs."""
    upsampling: int = Field(1, ge=1, le=1024)
    """Steps of CTC for one of the encoder: as many as there are target units need."""
    auxiliary: Auxiliary = "none"
    """How the source's own units are predicted from the encoder's middle layer: by a small
    decoder (cross-entropy), by CTC, or not at all."""
    n_auxiliary_units: int = Field(1, ge=1, le=2**20)
    auxiliary_upsampling: int = Field(1, ge=1, le=1024)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.architecture == "rnn" and self.subsampling > 2**self.n_encoder_layers:
            raise ValueError(
                f"{self.n_encoder_layers} LSTMs can't make speech {self.subsampling} times shorter"
            )
        if self.architecture != "rnn" and self.width % (2 * self.n_heads):
            raise ValueError(
                f"width {self.width} can't be shared by {self.n_heads} heads of an even width"
            )
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is not odd")
        return self

    @staticmethod
    def published() -> dict[str, Any]:
        """The choices of Tjandra et al. (2020)."""
        return {
            "architecture": "rnn",
            "width": 256,
            "n_encoder_layers": 3,
            "subsampling": 8,
            "decoder_width": 512,
            "embedding": 128,
        }

    @property
    def memory_width(self) -> int:
        return 2 * self.width if self.architecture == "rnn" else self.width


class Heard(NamedTuple):
    """What an encoder makes of a batch."""

    memory: Tensor
    """(B, S, M)"""
    middle: Tensor
    """(B, S, M), of its middle layer."""
    lengths: Tensor
    """(B,)"""


class Predicted(NamedTuple):
    """Scores of what there is to predict, before the softmax."""

    scores: Tensor
    """(B, U, K + 1) of what follows each token; for CTC (B, steps, K + 1)."""
    lengths: Tensor
    """(B,) of CTC's steps; else of the memory's."""
    auxiliary: Tensor | None
    """The same for the source's own units."""
    auxiliary_lengths: Tensor | None


class CtcHead(nn.Module):
    """x (B, S, M) → scores (B, S · upsampling, K + 1), the blank last."""

    def __init__(self, width: int, n_units: int, upsampling: int) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, upsampling * (n_units + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return upsampled(self.output(self.norm(x)), self.upsampling)


def hidden_of(n_in: int) -> int:
    """The token in place of source units that are hidden."""
    return n_in


def tag_of(n_in: int) -> int:
    """The token in front of source units that were made up (Caswell et al. 2019)."""
    return n_in + 1


def upsampled(x: Tensor, factor: int) -> Tensor:
    """(B, S, factor · C) → (B, S · factor, C)."""
    return x.reshape(len(x), x.shape[1] * factor, -1)


class UnitTranslator(nn.Module):
    """Encoder and decoder, or the encoder and layers after it that CTC reads.

    Inputs are frames (B, T, D), or units (B, T) with D for one that is hidden and D + 1 for the
    tag in front of a source that was made up, and lengths (B,).
    """

    decoder: TransformerDecoder | RecurrentDecoder
    """Where it says one unit after the other."""

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config)
        match config.architecture:
            case "conformer":
                self.decoder = _decoder(config, config.n_units, config.n_decoder_layers)
            case "rnn":
                self.decoder = RecurrentDecoder(
                    config.n_units,
                    config.decoder_width,
                    config.memory_width,
                    embedding=config.embedding,
                    dropout=config.dropout,
                )
            case "ctc":
                self.upsample = nn.Linear(config.width, config.upsampling * config.width)
                self.blocks = nn.ModuleList(_block(config) for _ in range(config.n_decoder_layers))
                self.head = CtcHead(config.width, config.n_units, 1)
        self.auxiliary = _auxiliary(config)

    def hear(self, x: Tensor, lengths: Tensor) -> Heard:
        """What the encoder makes of a batch."""
        memory, middle, lengths = self.encoder(x, lengths)
        return Heard(memory, middle, lengths)

    def ctc(self, heard: Heard) -> tuple[Tensor, Tensor]:
        """Scores (B, S · upsampling, K + 1) and how many steps each has (B,)."""
        y = upsampled(self.upsample(heard.memory), self.config.upsampling)
        lengths = heard.lengths * self.config.upsampling
        real, mask = mask_of(lengths, y.shape[1])[..., None], attention_mask(lengths, y.shape[1])
        for block in self.blocks:
            y = block(y, real, mask)
        return self.head(y), lengths

    def forward(
        self, x: Tensor, lengths: Tensor, tokens: Tensor, source_tokens: Tensor | None = None
    ) -> Predicted:
        """Scores of everything that training wants to be predicted.

        Args:
            tokens: (B, U) the begin and the target's units; CTC doesn't look at them.
            source_tokens: (B, U'), the same of the source's own units, for the auxiliary decoder.
        """
        heard = self.hear(x, lengths)
        if self.config.architecture == "ctc":
            scores, n_steps = self.ctc(heard)
        else:
            scores = self.decoder(tokens, heard.memory, heard.lengths)
            n_steps = heard.lengths
        match self.auxiliary:
            case None:
                return Predicted(scores, n_steps, None, None)
            case CtcHead():
                n_auxiliary = heard.lengths * self.config.auxiliary_upsampling
                return Predicted(scores, n_steps, self.auxiliary(heard.middle), n_auxiliary)
            case decoder:
                auxiliary = decoder(source_tokens, heard.middle, heard.lengths)
                return Predicted(scores, n_steps, auxiliary, heard.lengths)


def _encoder(config: TranslatorConfig) -> nn.Module:
    n_in = tag_of(config.n_in) + 1 if config.hears_units else config.n_in
    if config.architecture == "rnn":
        first = (
            nn.Embedding(n_in, config.embedding)
            if config.hears_units
            else nn.Sequential(nn.Linear(n_in, 2 * config.width), nn.LeakyReLU(0.01))
        )
        return RecurrentEncoder(
            first,
            config.embedding if config.hears_units else 2 * config.width,
            config.width,
            n_layers=config.n_encoder_layers,
            factor=config.subsampling,
            dropout=config.dropout,
        )
    return ConformerEncoder(
        Subsampling(n_in, config.width, config.subsampling, config.hears_units),
        config.width,
        n_layers=config.n_encoder_layers,
        n_heads=config.n_heads,
        kernel=config.kernel,
        factor=config.factor,
        dropout=config.dropout,
    )


def _block(config: TranslatorConfig) -> ConformerBlock:
    return ConformerBlock(
        config.width, config.n_heads, config.kernel, config.factor, config.dropout
    )


def _decoder(config: TranslatorConfig, n_units: int, n_layers: int) -> TransformerDecoder:
    return TransformerDecoder(
        n_units,
        config.width,
        config.memory_width,
        n_layers=n_layers,
        n_heads=config.n_heads,
        factor=config.factor,
        dropout=config.dropout,
    )


def _auxiliary(config: TranslatorConfig) -> TransformerDecoder | CtcHead | None:
    match config.auxiliary:
        case "none":
            return None
        case "ce":
            return _decoder(config, config.n_auxiliary_units, _AUXILIARY_LAYERS)
        case "ctc":
            return CtcHead(
                config.memory_width, config.n_auxiliary_units, config.auxiliary_upsampling
            )
