"""Vector-quantised autoencoders (VQ-VAE; van den Oord et al. 2017).

An encoder maps features to latents; `Quantizer` replaces each by the nearest vector of a learned
codebook, whose number is the unit; a decoder reconstructs the features. `ConditionalVqvae` also
gives the decoder the speaker, so that the units need not encode the voice (Tjandra et al. 2019).
`F0Vqvae` encodes pitch movements as a few units per second (Polyak et al., Interspeech 2021).

`PublishedEncoder` and `PublishedDecoder` are those of Tjandra et al. 2019 (their figure 3): 2-D
convolutions over time × frequency. The figure leaves details open; we read it so that all shapes
match. The size over frequency is 39→39→20→10→5→3→1→1 in the encoder, whose fifth and sixth layers
have no padding and whose last layer is a projection, and 1→1→3→5→10→20→40→39 in the decoder. The
figure has a stride of 4, over time, in the second and third layers. For a stride of 2 only the
second is strided, for 1 none, and for 8 the fourth as well; the decoder mirrors this. Padding after
an utterance's end is kept at zero.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, distributed, nn

from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.modules.encoder import Decoder, Encoder, EncoderConfig, halved, mask_of

_USED = 0.01  # usage, whose mean is 1, above which a code is in use: unused ones decay below it
_SMOOTHING = 1e-5  # added to the usage, so that unused codes are not divided by zero


class CollapseWarning(UserWarning):
    """Most of a codebook is not in use."""


class Quantized(NamedTuple):
    """A quantizer's output for latents (B, T, D)."""

    vectors: Tensor
    """(B, T, D): codes, with straight-through gradients; jittered in training."""
    units: Tensor
    """(B, T): the index of the nearest code."""
    loss: Tensor
    """(): codebook loss + γ · commitment loss, the mean over real steps and dimensions."""
    perplexity: Tensor
    """(): perplexity of the codes' shares in about the last 1 / (1 − decay) training steps."""
    n_used: Tensor
    """(): number of codes in use in those steps."""


class Quantizer(nn.Module):
    """A codebook of K vectors in D dimensions (van den Oord et al. 2017).

    The loss is ‖sg(ẑ) − e‖² + γ·‖ẑ − sg(e)‖², where sg stops gradients. With `ema` the first term
    is left out, and each code follows the moving average of the latents assigned to it instead. In
    training, a code with almost no latents is replaced by a random latent of the batch, and a
    step's code is replaced at random by that of a neighbouring step (time jitter; Chorowski et al.
    2019).

    The whole state is in `state_dict` as float tensors, random numbers come from torch's global
    generators, and with torch.distributed all processes keep the same codebook.

    Args:
        n_units, dim: K, D.
        ema: update the codebook by moving averages instead of gradients.
        decay: decay of the moving averages; that of `usage` is kept without `ema` too.
        commitment: γ.
        restart_below: usage, whose mean is 1, below which a code is replaced; 0 is never.
        jitter: probability that a step takes a neighbouring step's code.
    """

    codebook: Tensor
    """(K, D): a buffer with `ema`, else a parameter."""
    usage: Tensor
    """(K,): moving average of each code's share of the real steps, times K, so that the mean is
    1."""
    sums: Tensor
    """(K, D): moving average of the sum of the latents of each code, on the scale of `usage`."""

    def __init__(
        self,
        n_units: int,
        dim: int,
        *,
        ema: bool = True,
        decay: float = 0.99,
        commitment: float = 0.25,
        restart_below: float = 0.03,
        jitter: float = 0.0,
    ) -> None:
        super().__init__()
        self.ema, self.decay, self.commitment = ema, decay, commitment
        self.restart_below, self.jitter = restart_below, jitter
        codebook = torch.randn(n_units, dim) / dim**0.5
        if ema:
            self.register_buffer("codebook", codebook)
            self.register_buffer("sums", codebook.clone())
        else:
            self.codebook = nn.Parameter(codebook)
        self.register_buffer("usage", torch.ones(n_units))

    @torch.no_grad()
    def start(self, codebook: Tensor) -> None:
        """Start from these vectors (K, D), all counted as in use: centroids of latents, say."""
        self._place(codebook.to(self.codebook), torch.ones_like(self.usage).bool())

    def forward(self, latents: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantise latents (B, T, D); `mask` (B, T) is 1 where steps are real, None for all."""
        real = torch.ones_like(latents[..., 0]) if mask is None else mask.to(latents)
        with torch.autocast(latents.device.type, enabled=False):  # distances cancel in bf16
            z, weights = latents.float().flatten(0, 1), real.float().flatten()
            if self.training and self.restart_below > 0:
                self._restart(z.detach(), weights)
            units = nearest_codes(z.detach(), self.codebook.detach())
            codes = self.codebook[units]
            loss = self._loss(z, codes, weights)
            if self.training:
                self._follow(z.detach(), units, weights)
        vectors = (z + (codes - z).detach()).view(latents.shape).to(latents.dtype)
        if self.training and self.jitter > 0:
            vectors = jittered(vectors, real, self.jitter)
        p = self.usage / self.usage.sum()
        perplexity = torch.special.entr(p).sum().exp()
        n_used = (self.usage >= _USED).sum()
        return Quantized(vectors, units.view(real.shape), loss, perplexity, n_used)

    def _loss(self, z: Tensor, codes: Tensor, weights: Tensor) -> Tensor:
        commitment = _mean((z - codes.detach()).square(), weights)
        if self.ema:
            return self.commitment * commitment
        return _mean((z.detach() - codes).square(), weights) + self.commitment * commitment

    @torch.no_grad()
    def _restart(self, z: Tensor, weights: Tensor) -> None:
        """Replace unused codes by random latents, without waiting for a GPU's results."""
        chosen = torch.multinomial(weights, len(self.usage), replacement=True)
        candidates = z[chosen]
        if _is_distributed():
            distributed.broadcast(candidates, 0)
        self._place(candidates, self.usage < self.restart_below)

    @torch.no_grad()
    def _follow(self, z: Tensor, units: Tensor, weights: Tensor) -> None:
        """Update the moving averages, and with `ema` the codebook, by one step."""
        k = len(self.usage)
        # One-hot products, since scattered sums on a GPU differ from run to run.
        hits = nn.functional.one_hot(units, k).float() * weights[:, None]
        totals = torch.cat([hits.sum(dim=0)[:, None], hits.T @ z], dim=1)
        if _is_distributed():
            distributed.all_reduce(totals)
        totals *= k / totals[:, 0].sum().clamp(min=1)
        self.usage.lerp_(totals[:, 0], 1 - self.decay)
        if self.ema:
            self.sums.lerp_(totals[:, 1:], 1 - self.decay)
            smoothed = (self.usage + _SMOOTHING) / (1 + _SMOOTHING)
            self.codebook.copy_(self.sums / smoothed[:, None])

    def _place(self, vectors: Tensor, where: Tensor) -> None:
        self.codebook.copy_(torch.where(where[:, None], vectors, self.codebook))
        self.usage.masked_fill_(where, 1.0)
        if self.ema:
            self.sums.copy_(torch.where(where[:, None], vectors, self.sums))


def nearest_codes(z: Tensor, codebook: Tensor) -> Tensor:
    """The index of the code (K, D) nearest to each of z (N, D): (N,)."""
    return torch.addmm(codebook.square().sum(dim=1), z, codebook.T, alpha=-2).argmin(dim=1)


def jittered(vectors: Tensor, real: Tensor, probability: float) -> Tensor:
    """Vectors (B, T, D) in which steps are replaced at random by the step before or after.

    A neighbour in padding, where `real` (B, T) is 0, is never used.
    """
    n = vectors.shape[1]
    steps = torch.arange(n, device=vectors.device)
    dice = torch.rand(real.shape, device=vectors.device)
    move = (dice < probability).long() - 2 * (dice < probability / 2).long()
    source = (steps + move).clamp(0, n - 1)
    source = torch.where(real.gather(1, source) > 0, source, steps)
    return vectors.gather(1, source[..., None].expand_as(vectors))


def _mean(errors: Tensor, weights: Tensor) -> Tensor:
    return errors.mean(dim=-1) @ weights / weights.sum().clamp(min=1)


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class Reconstruction(NamedTuple):
    """A VQ-VAE's output for features."""

    x: Tensor
    """(B, T, D)"""
    quantized: Quantized
    scores: Tensor | None = None
    """(B, ⌈T / stride⌉, M): of each target of the codes; None without targets."""


class ConditionalVqvae(nn.Module):
    """p(x | z, s) of Tjandra et al. 2019: codes and a speaker's embedding, decoded.

    Args:
        encoder: features (B, T, D) and lengths (B,) → latents (B, ⌈T / stride⌉, E).
        quantizer: latents → codes.
        decoder: codes with the speaker's embedding beside each (B, ⌈T / stride⌉, E + S) and
            lengths (B,) in steps → (B, ≥ T, D').
        stride: frames per code.
        n_speakers: L; the number L stands for an unknown speaker.
        speaker_dim: S.
        n_targets: M, of targets that are predicted from the codes, beside the features; None for
            none.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        stride: int,
        n_speakers: int,
        speaker_dim: int = 32,
        n_targets: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder
        self.stride = stride
        self.head = None if n_targets is None else _head(quantizer.codebook.shape[1], n_targets)
        self.speakers = nn.Embedding(n_speakers + 1, speaker_dim)
        # An unknown speaker gets the mean of the others' initial distribution; it isn't trained.
        nn.init.zeros_(self.speakers.weight[-1])

    def forward(self, x: Tensor, lengths: Tensor, speakers: Tensor) -> Reconstruction:
        """Encode, quantise and decode x (B, T, D) of speakers (B,)."""
        latents = self.encoder(x, lengths)
        steps = torch.div(lengths + self.stride - 1, self.stride, rounding_mode="floor")
        quantized = self.quantizer(latents, mask_of(steps, latents.shape[1]))
        speaker = self.speakers(speakers)[:, None].expand(-1, latents.shape[1], -1)
        decoded = self.decoder(torch.cat([quantized.vectors, speaker], dim=2), steps)
        scores = None if self.head is None else self.head(quantized.vectors)
        return Reconstruction(decoded[:, : x.shape[1]], quantized, scores)


def _head(dim: int, n_targets: int) -> nn.Module:
    """From a code alone: what its neighbours or the speaker tell is not asked of the code."""
    hidden = 4 * dim
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, n_targets))


_N_STRIDING = {1: 0, 2: 1, 4: 2, 8: 3}
N_IN = 39


class PublishedEncoder(nn.Module):
    """Features (B, T, 39) and lengths (B,) → latents (B, ⌈T / stride⌉, dim).

    Raises:
        InputError: features of other than 39 dimensions.
    """

    def __init__(self, n_in: int, dim: int, stride: int, width: int = 256) -> None:
        super().__init__()
        _check(n_in)
        n = _N_STRIDING[stride]
        # kernel, stride, padding: each (time, frequency)
        self.layers = nn.ModuleList(
            [
                _layer(1, width, (3, 3), (1, 1), (1, 1)),
                _layer(width, width, (3, 3), (1 + (n > 0), 2), (1, 1)),
                _layer(width, width, (1, 3), (1 + (n > 1), 2), (0, 1)),
                _layer(width, width, (1, 3), (1 + (n > 2), 2), (0, 1)),
                _layer(width, width, (1, 3), (1, 1), (0, 0)),
                _layer(width, width, (1, 3), (1, 1), (0, 0)),
                _layer(width, width, (1, 3), (1, 1), (0, 1)),
            ]
        )
        self.last = nn.Linear(width, dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Latents, zero after the end of each utterance."""
        real = mask_of(lengths, x.shape[1])[:, None, :, None]
        y = x[:, None] * real
        for layer in self.layers:
            before, y = y.shape[2], layer(y)
            if y.shape[2] != before:
                lengths = halved(lengths)
                real = mask_of(lengths, y.shape[2])[:, None, :, None]
            y = y * real
        latents: Tensor = self.last(y[..., 0].transpose(1, 2)) * real[:, 0]
        return latents


class PublishedDecoder(nn.Module):
    """Codes with the speaker beside (B, T', C) and lengths (B,) → features (B, T' · stride, 39).

    Raises:
        InputError: features of other than 39 dimensions.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, width: int = 256) -> None:
        super().__init__()
        _check(n_out)
        n = _N_STRIDING[stride]
        self.layers = nn.ModuleList(
            [
                _transposed(n_in, width, (1, 1), (1, 1), (0, 0)),
                _transposed(width, width, (1, 3), (1, 1), (0, 0)),
                _transposed(width, width, (1, 3), (1, 1), (0, 0)),
                _transposed(width, width, (3, 3), (1 + (n > 2), 2), (1, 1)),
                _transposed(width, width, (3, 3), (1 + (n > 1), 2), (1, 1)),
                _transposed(width, width, (3, 3), (1 + (n > 0), 2), (1, 1)),
            ]
        )
        self.last = nn.ConvTranspose2d(width, 1, (1, 2), padding=(0, 1))

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Padding after the end of each utterance is zero in all layers but the last."""
        real = mask_of(lengths, codes.shape[1])[:, None, :, None]
        y = codes.transpose(1, 2)[..., None] * real
        for layer in self.layers:
            before, y = y.shape[2], layer(y)
            real = real.repeat_interleave(y.shape[2] // before, dim=2)
            y = y * real
        x: Tensor = self.last(y)
        return x[:, 0]


_Pair = tuple[int, int]


def _layer(n_in: int, n_out: int, kernel: _Pair, stride: _Pair, padding: _Pair) -> nn.Module:
    conv = nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.LeakyReLU(0.2, inplace=True))


def _transposed(n_in: int, n_out: int, kernel: _Pair, stride: _Pair, padding: _Pair) -> nn.Module:
    """A transposed layer; a stride of 2 exactly doubles the size."""
    more = (stride[0] - 1, stride[1] - 1)
    conv = nn.ConvTranspose2d(n_in, n_out, kernel, stride, padding, more, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.LeakyReLU(0.2, inplace=True))


def _check(n: int) -> None:
    if n != N_IN:
        raise InputError(
            f"the published VQ-VAE takes features of {N_IN} dimensions, these have {n}",
            cause="its layers are designed for 39 dimensions",
            remedy="use features='mfcc', components=39, or encoder='conv'",
        )


class F0VqvaeConfig(Config):
    """Sizes of the network; the published codebook has 20 codes of 128 dimensions."""

    n_units: int = Field(20, ge=1, le=2**20)
    dim: int = Field(128, ge=1, le=65_536)
    width: int = Field(64, ge=1, le=65_536)
    n_blocks: int = Field(2, ge=0, le=256)
    """Residual blocks at the rate of the units, in the encoder and in the decoder."""
    decay: float = Field(0.99, gt=0, lt=1)
    commitment: float = Field(0.25, ge=0)
    restart_below: float = Field(0.03, ge=0, lt=1)
    stride: Literal[4, 8, 16] = 16
    """Frames per unit: 80 ms with 16 frames of 5 ms, as published."""


class F0Reconstruction(NamedTuple):
    """The F0 VQ-VAE's output for F0 contours."""

    z: Tensor
    """(B, T): normalised log F0, valid where the frame is voiced."""
    voicing: Tensor
    """(B, T): logits."""
    quantized: Quantized


class F0Vqvae(nn.Module):
    """z-normalised log F0 and voicing → F0 units → reconstructions of both.

    Padding after an utterance's end is kept at zero in every layer, so that an utterance's units
    don't depend on the batch.
    """

    def __init__(self, config: F0VqvaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(
            EncoderConfig(
                n_in=2,
                width=config.width,
                n_blocks=config.n_blocks,
                dim=config.dim,
                stride=config.stride,
            )
        )
        self.quantizer = Quantizer(
            config.n_units,
            config.dim,
            decay=config.decay,
            commitment=config.commitment,
            restart_below=config.restart_below,
        )
        self.decoder = Decoder(config.dim, 2, config.width, config.n_blocks, config.stride)

    @property
    def encoder_reach(self) -> int:
        """Number of frames before and after its own that a unit depends on."""
        return 2 + self.config.stride - 1 + 2 * self.config.n_blocks * self.config.stride

    @property
    def decoder_reach(self) -> int:
        """Number of units before and after its own that a frame depends on."""
        return 2 + 2 * self.config.n_blocks

    def forward(self, z: Tensor, voiced: Tensor, lengths: Tensor) -> F0Reconstruction:
        """Encode, quantise and decode z and voiced, (B, T) each, of utterances of lengths (B,)."""
        latents = self.latents(z, voiced, lengths)
        steps = self.n_units_of(lengths)
        quantized = self.quantizer(latents, mask_of(steps, latents.shape[1]))
        made = self.decoder(quantized.vectors, steps)[:, : z.shape[1]]
        return F0Reconstruction(made[..., 0], made[..., 1], quantized)

    def n_units_of(self, n_frames: Tensor) -> Tensor:
        """⌈n_frames / stride⌉."""
        stride = self.config.stride
        return torch.div(n_frames + stride - 1, stride, rounding_mode="floor")

    def latents(self, z: Tensor, voiced: Tensor, lengths: Tensor) -> Tensor:
        """The latents before quantisation: (B, ⌈T / stride⌉, dim), zero after the ends."""
        y: Tensor = self.encoder(torch.stack([z * voiced, voiced], dim=2), lengths)
        return y

    def encode(self, z: Tensor, voiced: Tensor, lengths: Tensor | None = None) -> Tensor:
        """z and voiced (B, T) → units (B, ⌈T / stride⌉); `lengths` (B,) if some are shorter."""
        units: Tensor = self.quantizer(self.latents(z, voiced, _lengths(z, lengths))).units
        return units

    def decode(self, units: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """units (B, N) → z (B, stride · N) and the probability that a frame is voiced, alike.

        `lengths` (B,) is in units, if some are shorter.
        """
        made = self.decoder(self.quantizer.codebook[units], _lengths(units, lengths))
        return made[..., 0], made[..., 1].sigmoid()


class F0Errors(NamedTuple):
    """Errors of predicted z and voicing, as sums that can be added over batches."""

    z: Tensor
    """Huber loss (δ = 1) of z over voiced frames."""
    voicing: Tensor
    """Binary cross-entropy of the voicing logits over real frames."""
    n_voiced: Tensor
    n_real: Tensor

    @classmethod
    def of(
        cls, z: Tensor, logits: Tensor, true_z: Tensor, voiced: Tensor, real: Tensor
    ) -> F0Errors:
        """From arrays (B, T); `real` is 1 in utterances and 0 in padding."""
        functional, both = nn.functional, voiced * real
        huber = functional.huber_loss(z.float(), true_z, reduction="none")
        entropy = functional.binary_cross_entropy_with_logits(
            logits.float(), voiced, reduction="none"
        )
        return cls((huber * both).sum(), (entropy * real).sum(), both.sum(), real.sum())

    def __add__(self, other: object) -> F0Errors:
        """The errors of two batches together."""
        if not isinstance(other, F0Errors):
            return NotImplemented
        return F0Errors(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def loss(self) -> Tensor:
        """Mean over voiced frames (0 if there are none) plus mean over real frames."""
        return self.z / self.n_voiced.clamp(min=1) + self.voicing / self.n_real.clamp(min=1)


def _lengths(x: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is not None:
        return lengths
    return torch.full((len(x),), x.shape[1], device=x.device)
