"""Networks from units to spectra: Code2Spec (Tjandra et al., Interspeech 2019, section 3) and a
table of each unit's mean spectrum, the baseline that any network has to beat.

Both take the unit of each frame; the number `n_units` stands for padding before and after an
utterance.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from zerochain.config import Config
from zerochain.modules.conditioning import VoiceEmbedding
from zerochain.modules.encoder import MultiScaleConv1d

_SCALES = ((1, 3, 5, 7, 9, 11, 13, 15), (1, 3, 5, 7), (1, 3, 5, 7), (1, 3), (1,), (1,))
REACH = sum(max(kernels) // 2 for kernels in _SCALES)
"""Number of frames on either side that one frame's output depends on: 14."""


class Code2SpecConfig(Config):
    """Sizes of the network. The published one has width 1024: 14 million parameters."""

    n_units: int = Field(ge=1, le=2**20)
    n_bins: int = Field(1025, ge=1, le=65_536)
    width: int = Field(256, ge=8, multiple_of=8, le=65_536)
    """Channels per layer, in total over its kernels; the default suits CPUs."""
    n_embedding: int = Field(64, ge=1, le=65_536)
    correct_means: bool = True
    """Whether the network predicts the difference from each unit's mean spectrum, unlike the
    published one, which has no means."""
    n_voices: int = Field(1, ge=1, le=2**20)
    n_reference: int = Field(0, ge=0, le=65_536)
    """Dimensions of a speaker encoder's vectors; 0 if voices are numbers."""

    @property
    def has_voices(self) -> bool:
        """Whether the network is conditioned on the voice."""
        return self.n_voices > 1 or self.n_reference > 0


class Code2Spec(nn.Module):
    """Unit of each frame → normalised spectrum of each frame.

    It differs from the paper in two ways. A unit's vector is learned rather than copied from the
    unit model's codebook, so that units of any model can be used, K-Means included. And, unless
    `correct_means` is off, each unit's mean spectrum is added to the output, so that training
    starts from the unit-means baseline instead of having to learn it first. With several voices,
    the target voice's vector is added to each unit's.

    With `REACH` frames of padding on both sides an utterance's spectrum doesn't depend on the
    rest of the batch.
    """

    def __init__(self, config: Code2SpecConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(
            config.n_units + 1, config.n_embedding, padding_idx=config.n_units
        )
        if config.has_voices:
            self.voice = VoiceEmbedding(config.n_voices, config.n_embedding, config.n_reference)
        sizes = [config.n_embedding] + [config.width] * len(_SCALES)
        self.layers = nn.Sequential(
            *(MultiScaleConv1d(sizes[i], sizes[i + 1], k) for i, k in enumerate(_SCALES))
        )
        self.output = nn.Conv1d(config.width, config.n_bins, 1)
        if config.correct_means:
            self.means = nn.Embedding(config.n_units + 1, config.n_bins)
            nn.init.zeros_(self.means.weight)

    def start_from(self, means: Tensor) -> None:
        """Start from each unit's mean spectrum, (n_units + 1, n_bins), with no correction."""
        if self.config.correct_means:
            self.means.weight.data.copy_(means)
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)  # type: ignore[arg-type]

    def forward(self, units: Tensor, voices: Tensor | None = None) -> Tensor:
        """units (B, T) → spectrum (B, T, n_bins).

        Args:
            voices: the target voices, if there are several: one number per utterance (B,) or per
                frame (B, T), or a speaker encoder's vectors (B, n_reference).

        Raises:
            ValueError: `voices` is missing.
        """
        x = self.embedding(units)
        if self.config.has_voices:
            x = x + self._voice_vectors(units, voices)
        y: Tensor = self.output(self.layers(x.transpose(1, 2))).transpose(1, 2)
        return y + self.means(units) if self.config.correct_means else y

    def _voice_vectors(self, units: Tensor, voices: Tensor | None) -> Tensor:
        """(B, T, n_embedding): zero in padding, so that no voice leaks into other utterances."""
        if voices is None:
            raise ValueError("a network of several voices needs voices=, the target voice")
        vectors: Tensor = self.voice(voices)
        if len(vectors.shape) == 2:
            vectors = vectors[:, None]
        return vectors * (units != self.config.n_units)[..., None]


class UnitMeansConfig(Config):
    """Sizes of the table, which is for one voice."""

    n_units: int = Field(ge=1, le=2**20)
    n_bins: int = Field(1025, ge=1, le=65_536)

    @property
    def n_voices(self) -> int:
        """One: the mean over several voices would be that of none of them."""
        return 1

    @property
    def n_reference(self) -> int:
        """0: the table is not conditioned on the voice."""
        return 0

    @property
    def has_voices(self) -> bool:
        """False: the table is not conditioned on the voice."""
        return False


class UnitMeans(nn.Embedding):
    """Unit of each frame → its mean normalised spectrum; padding → the mean over all frames."""

    def __init__(self, config: UnitMeansConfig) -> None:
        super().__init__(config.n_units + 1, config.n_bins)
        self.config = config
