"""HiFi-GAN's generator (Kong et al. 2020, version 1), on units as in Polyak et al. (2021)."""

from __future__ import annotations

from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import weight_norm

from zerochain.errors import InputError
from zerochain.modules.conditioning import ConditioningConfig
from zerochain.modules.source_filter import Start

_SLOPE = 0.1
_EDGE_KERNEL = 7
_LARGEST_FACTOR = 16  # what one transposed convolution can do without audible steps
_FEW_STAGES, _MORE_STAGES, _LONG_HOP = 4, 5, 256


def upsampling_factors(hop: int) -> tuple[int, ...]:
    """Factors of `hop`, largest first: one per stage, as equal as its prime factors allow.

    Four stages up to 256 samples, five for more, fewer if there are fewer prime factors:
    160 → 5, 4, 4, 2, and 320 → 5, 4, 4, 2, 2, as published.

    Raises:
        InputError: a factor would be above 16.
    """
    factors = [1] * (_FEW_STAGES if hop <= _LONG_HOP else _MORE_STAGES)
    for prime in reversed(_prime_factors(hop)):
        factors[factors.index(min(factors))] *= prime
    if max(factors) > _LARGEST_FACTOR:
        raise InputError(
            f"{hop} samples per frame can't be split into factors of at most {_LARGEST_FACTOR}",
            cause=f"the prime factors are {' × '.join(map(str, _prime_factors(hop)))}",
            remedy="use frames of 10 ms, or the ConvNeXt generator",
        )
    return tuple(sorted((f for f in factors if f > 1), reverse=True))


def _prime_factors(n: int) -> list[int]:
    """Prime factors in ascending order."""
    factors, prime = [], 2
    while n > 1:
        if n % prime:
            prime += 1
        else:
            factors.append(prime)
            n //= prime
    return factors


class HiFiGANConfig(ConditioningConfig):
    """Sizes of the generator; the defaults are the published ones."""

    width: int = Field(512, ge=32, le=65_536)
    """Channels of the first layer; each stage halves them."""
    kernels: tuple[int, ...] = Field((3, 7, 11), min_length=1)
    dilations: tuple[int, ...] = Field((1, 3, 5), min_length=1)

    @field_validator("kernels")
    @classmethod
    def _odd(cls, kernels: tuple[int, ...]) -> tuple[int, ...]:
        if any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"kernels must be odd, these are {kernels}")
        return kernels


class HiFiGANGenerator(nn.Module):
    """Units, pitch and voice → waveform, by transposed convolutions from frames to samples.

    Upsampling factors are derived from the hop. For the same speech in any batch and in chunks, add
    `reach` frames of padding (the unit `n_units`) on both sides of an utterance.

    Raises:
        InputError: the hop has too large a prime factor.
    """

    def __init__(self, config: HiFiGANConfig) -> None:
        super().__init__()
        self.config = config
        self.factors = upsampling_factors(config.hop)
        self.conditioning = config.conditioning()
        widths = [config.width >> i for i in range(len(self.factors) + 1)]
        self.first = weight_norm(
            nn.Conv1d(self.conditioning.dim, widths[0], _EDGE_KERNEL, padding=_EDGE_KERNEL // 2)
        )
        self.upsampling = nn.ModuleList(
            _upsampling(widths[i], widths[i + 1], f) for i, f in enumerate(self.factors)
        )
        self.fusions = nn.ModuleList(
            ReceptiveFieldFusion(width, config.kernels, config.dilations) for width in widths[1:]
        )
        self.last = weight_norm(nn.Conv1d(widths[-1], 1, _EDGE_KERNEL, padding=_EDGE_KERNEL // 2))

    @property
    def reach(self) -> int:
        """Frames to either side that a frame's samples depend on."""
        edge = _EDGE_KERNEL // 2
        fusion = max(self.config.kernels) // 2 * sum(d + 1 for d in self.config.dilations)
        begin, end = -edge, self.config.hop - 1 + edge  # samples that frame 0's samples need
        for factor in reversed(self.factors):
            begin, end = begin - fusion, end + fusion
            kernel, padding = _shape(factor)
            begin, end = -((kernel - 1 - padding - begin) // factor), (end + padding) // factor
        return max(-begin, end) + edge

    def forward(
        self,
        units: Tensor,
        f0_units: Tensor | None,
        f0: Tensor,
        voices: Tensor,
        start: Start | None = None,
    ) -> Tensor:
        """As `SourceFilterGenerator.forward`; it makes its own excitation, and needs no `start`."""
        x = self.first(self.conditioning(units, f0_units, f0, voices).transpose(1, 2))
        for upsampling, fusion in zip(self.upsampling, self.fusions, strict=True):
            x = fusion(upsampling(leaky_relu(x, _SLOPE)))
        waves: Tensor = self.last(leaky_relu(x)).tanh()
        return waves.squeeze(1)


class ReceptiveFieldFusion(nn.Module):
    """The mean of residual blocks with several kernel sizes, (B, C, T) → (B, C, T)."""

    def __init__(self, width: int, kernels: tuple[int, ...], dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DilatedBlock(width, kernel, dilations) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = sum(block(x) for block in self.blocks) / len(self.blocks)
        return y


class DilatedBlock(nn.Module):
    """For each dilation in turn, x plus two convolutions of it, of which the first is dilated."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(_convolution(width, kernel, d) for d in dilations)
        self.plain = nn.ModuleList(_convolution(width, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            x = x + plain(leaky_relu(dilated(leaky_relu(x, _SLOPE)), _SLOPE))
        return x


def _convolution(width: int, kernel: int, dilation: int) -> nn.Module:
    conv = nn.Conv1d(width, width, kernel, dilation=dilation, padding=dilation * (kernel // 2))
    nn.init.normal_(conv.weight, std=0.01)
    normed: nn.Module = weight_norm(conv)
    return normed


def _upsampling(n_in: int, n_out: int, factor: int) -> nn.Module:
    """Exactly `factor` times as many samples."""
    kernel, padding = _shape(factor)
    conv = nn.ConvTranspose1d(n_in, n_out, kernel, factor, padding)
    nn.init.normal_(conv.weight, std=0.01)
    normed: nn.Module = weight_norm(conv)
    return normed


def _shape(factor: int) -> tuple[int, int]:
    """Kernel and padding: the kernel spans two inputs, and kernel − factor is even."""
    kernel = 2 * factor + factor % 2
    return kernel, (kernel - factor) // 2
