"""Encoder and decoder of Tjandra et al. 2019 (their figure 3): 2-D convolutions, time × frequency.

Our reading of the figure, in which all shapes close: frequency goes 39→39→20→10→5→3→1→1 into the
codes, the fifth and sixth layers being unpadded, then through a projection that is the encoder's
last layer; and 1→1→3→5→10→20→40→39 out of them. The figure shows a stride of 4. For 2 the third
layer, for 1 the second as well doesn't stride in time; for 8 the fourth does so too; and the
decoder mirrors that. What lies beyond an utterance's end is kept at zero.
"""

from __future__ import annotations

from torch import Tensor, nn

from zerochain.errors import InputError
from zerochain.modules.encoder import halved, mask_of

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
        """Latents, zero beyond the end of each utterance."""
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
        """What is beyond the end of each utterance is zero until the last layer."""
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
    """A stride of 2 exactly doubles."""
    more = (stride[0] - 1, stride[1] - 1)
    conv = nn.ConvTranspose2d(n_in, n_out, kernel, stride, padding, more, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.LeakyReLU(0.2, inplace=True))


def _check(n: int) -> None:
    if n != N_IN:
        raise InputError(
            f"the published VQ-VAE takes features of {N_IN} dimensions, these have {n}",
            cause="its layers halve 39 to 20, 10 and 5 and then take 2 away twice",
            remedy="use --features mfcc, --components 39, or --encoder conv",
        )
