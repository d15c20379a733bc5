"""Networks from speech, as frames or as units, to units of another language.

Three architectures over one interface: a conformer encoder with a Transformer decoder (Vaswani et
al. 2017); the LSTMs with MLP attention of Tjandra, Sakti and Nakamura (2020); and a conformer with
connectionist temporal classification (CTC), which predicts all units at once. An auxiliary head may
predict the source's own units from the encoder's middle layer, as in Lee et al. (2022).

Tokens and decoders are those of `zerochain.modules.decoders`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

from pydantic import AliasChoices, Field, model_validator
from torch import Tensor, nn

from zerochain.config import NO_OPTION, Config
from zerochain.errors import counted
from zerochain.modules.conformer import (
    ConformerBlock,
    ConformerEncoder,
    Subsampling,
    attention_mask,
)
from zerochain.modules.decoders import (
    CtcHead,
    RecurrentDecoder,
    RecurrentEncoder,
    TransformerDecoder,
    upsampled,
)
from zerochain.modules.encoder import mask_of

Architecture = Literal["conformer", "rnn", "ctc"]
Auxiliary = Literal["none", "ce", "ctc"]
_AUXILIARY_LAYERS = 1


class NetworkSizes(Config):
    """Sizes that a user chooses; the others follow from the data."""

    width: int = Field(192, ge=1, le=65_536)
    """Channels per layer; per direction for the encoder's LSTMs."""
    n_encoder_layers: int = Field(4, ge=1, le=256)
    """Layers of the encoder."""
    n_decoder_layers: int = Field(3, ge=1, le=256)
    """Layers of the decoder; for CTC, layers after the encoder. The RNN has one."""
    n_heads: int = Field(4, ge=1, le=1024)
    """Attention heads, among which the width is divided."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of each layer's output."""
    factor: int = Field(2, ge=1, le=1024, json_schema_extra=NO_OPTION)
    """Inner width of feed-forward layers, as a multiple of the width."""
    kernel: int = Field(15, ge=1, le=65_536, json_schema_extra=NO_OPTION)
    """Kernel size of the conformer's convolutions in steps, odd."""
    decoder_width: int = Field(512, ge=1, le=65_536, json_schema_extra=NO_OPTION)
    """Width of the decoder's LSTM."""
    embedding: int = Field(128, ge=1, le=65_536, json_schema_extra=NO_OPTION)
    """Dimensions of a unit's embedding in the RNN."""


class TranslatorConfig(NetworkSizes):
    """Form and sizes of a translator's network; the defaults give 3.6 million parameters."""

    architecture: Architecture = "conformer"
    n_in: int = Field(80, ge=1, le=2**20)
    """Dimensions of a frame, or the number of source units."""
    # Bundles up to version 1 call it "hears_units".
    from_units: bool = Field(False, validation_alias=AliasChoices("from_units", "hears_units"))
    """Whether the source is units rather than frames."""
    n_units: int = Field(256, ge=1, le=2**20)
    """Number of target units."""
    subsampling: Literal[1, 2, 4, 8] = 4
    """Frames of the source per step of the encoder."""
    upsampling: int = Field(1, ge=1, le=1024)
    """CTC's steps per step of the encoder: enough for the target units."""
    auxiliary: Auxiliary = "none"
    """How the source's own units are predicted from the encoder's middle layer: by a small
    decoder (cross-entropy), by CTC, or not at all."""
    n_auxiliary_units: int = Field(1, ge=1, le=2**20)
    auxiliary_upsampling: int = Field(1, ge=1, le=1024)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.architecture == "rnn" and self.subsampling > 2**self.n_encoder_layers:
            raise ValueError(
                f"{counted(self.n_encoder_layers, 'LSTM')} can't subsample by {self.subsampling}"
            )
        if self.architecture != "rnn" and self.width % (2 * self.n_heads):
            raise ValueError(
                f"width={self.width} can't be divided among {self.n_heads} heads of an even width"
            )
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} is not odd")
        return self

    @property
    def memory_width(self) -> int:
        """Channels of the encoder's output."""
        return 2 * self.width if self.architecture == "rnn" else self.width


class EncoderOutput(NamedTuple):
    """An encoder's output for a batch."""

    memory: Tensor
    """(B, S, M)"""
    middle: Tensor
    """(B, S, M), of its middle layer."""
    lengths: Tensor
    """(B,)"""


class Predicted(NamedTuple):
    """Scores of all tokens to predict, before the softmax."""

    scores: Tensor
    """(B, U, K + 1) for the token after each input token; for CTC (B, steps, K + 1)."""
    lengths: Tensor
    """(B,): the numbers of CTC's steps, or else of the memory's."""
    auxiliary: Tensor | None
    """The same for the source's own units."""
    auxiliary_lengths: Tensor | None


def mask_token(n_in: int) -> int:
    """The token that replaces masked source units."""
    return n_in


def tag_token(n_in: int) -> int:
    """The token before source units that are synthetic, from back-translation (Caswell et al.
    2019)."""
    return n_in + 1


class UnitTranslator(nn.Module):
    """An encoder with a decoder, or with further layers for CTC.

    Inputs are frames (B, T, D) or units (B, T), and lengths (B,). With D source units, the token D
    stands for a masked unit and D + 1 is the tag before a synthetic source.
    """

    decoder: TransformerDecoder | RecurrentDecoder
    """Predicts units one after the other; CTC has none."""

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

    def encode(self, x: Tensor, lengths: Tensor) -> EncoderOutput:
        """The encoder's output for a batch."""
        memory, middle, lengths = self.encoder(x, lengths)
        return EncoderOutput(memory, middle, lengths)

    def ctc(self, encoded: EncoderOutput) -> tuple[Tensor, Tensor]:
        """Scores (B, S · upsampling, K + 1) and the number of steps of each (B,)."""
        y = upsampled(self.upsample(encoded.memory), self.config.upsampling)
        lengths = encoded.lengths * self.config.upsampling
        real, mask = mask_of(lengths, y.shape[1])[..., None], attention_mask(lengths, y.shape[1])
        for block in self.blocks:
            y = block(y, real, mask)
        return self.head(y), lengths

    def forward(
        self, x: Tensor, lengths: Tensor, tokens: Tensor, source_tokens: Tensor | None = None
    ) -> Predicted:
        """Scores of everything that is predicted in training.

        Args:
            tokens: (B, U), the teacher-forcing inputs: the begin and the target's units. CTC
                ignores them.
            source_tokens: (B, U'), the same of the source's own units, for the auxiliary decoder.
        """
        encoded = self.encode(x, lengths)
        if self.config.architecture == "ctc":
            scores, n_steps = self.ctc(encoded)
        else:
            scores = self.decoder(tokens, encoded.memory, encoded.lengths)
            n_steps = encoded.lengths
        match self.auxiliary:
            case None:
                return Predicted(scores, n_steps, None, None)
            case CtcHead():
                n_auxiliary = encoded.lengths * self.config.auxiliary_upsampling
                return Predicted(scores, n_steps, self.auxiliary(encoded.middle), n_auxiliary)
            case decoder:
                auxiliary = decoder(source_tokens, encoded.middle, encoded.lengths)
                return Predicted(scores, n_steps, auxiliary, encoded.lengths)


def _encoder(config: TranslatorConfig) -> nn.Module:
    n_in = tag_token(config.n_in) + 1 if config.from_units else config.n_in
    if config.architecture == "rnn":
        first = (
            nn.Embedding(n_in, config.embedding)
            if config.from_units
            else nn.Sequential(nn.Linear(n_in, 2 * config.width), nn.LeakyReLU(0.01))
        )
        return RecurrentEncoder(
            first,
            config.embedding if config.from_units else 2 * config.width,
            config.width,
            n_layers=config.n_encoder_layers,
            factor=config.subsampling,
            dropout=config.dropout,
        )
    return ConformerEncoder(
        Subsampling(n_in, config.width, config.subsampling, config.from_units),
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
