"""The conformer (Gulati et al. 2020), small, and what makes its input shorter.

Its convolutions end in layer rather than batch normalisation, and positions are rotary: so an
utterance gives the same alone and in a batch, and nothing is learned about a longest length.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import glu, silu

from zerochain.modules.attention import Attention, FeedForward, attention_mask, sinusoids
from zerochain.modules.encoder import as_image, as_sequence, halved, mask_of

_KERNEL = 5


class Subsampling(nn.Module):
    """Frames (B, T, D), or units (B, T), → (B, ⌈T / factor⌉, W), zero beyond each one's end.

    Each convolution halves; units, and frames that keep their rate, are first embedded.

    Args:
        n_in: D, or how many kinds of units there are, whatever hides one included.
        width: W.
        factor: a power of two.
        units: whether the input is units.
    """

    def __init__(self, n_in: int, width: int, factor: int, units: bool) -> None:
        super().__init__()
        n_halvings = int(math.log2(factor))
        self.first: nn.Module | None = None
        if units:
            self.first = nn.Embedding(n_in, width)
        elif n_halvings == 0:
            self.first = nn.Linear(n_in, width)
        widths = [n_in if self.first is None else width] + n_halvings * [width]
        self.halvings = nn.ModuleList(
            nn.Conv2d(a, 2 * b, (1, _KERNEL), (1, 2), (0, _KERNEL // 2))
            for a, b in pairwise(widths)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What is left, and the new lengths (B,)."""
        y = x if self.first is None else self.first(x)
        y = y * mask_of(lengths, y.shape[1])[..., None]
        for halving in self.halvings:
            lengths = halved(lengths)
            y = glu(as_sequence(halving(as_image(y))), dim=-1)
            y = y * mask_of(lengths, y.shape[1])[..., None]
        return y, lengths


class ConformerBlock(nn.Module):
    """Half a feed-forward layer, attention, a convolution, and the other half."""

    def __init__(self, width: int, n_heads: int, kernel: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.first, self.last = (FeedForward(width, factor, dropout) for _ in range(2))
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, n_heads)
        self.convolution = _Convolution(width, kernel, dropout)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, W), real (B, T, 1) and mask (B, 1, 1, T) → (B, T, W)."""
        x = x + 0.5 * self.first(x)
        x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask))
        x = x + self.convolution(x, real)
        x = x + 0.5 * self.last(x)
        y: Tensor = self.norm(x)
        return y


class _Convolution(nn.Module):
    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.gated = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv2d(
            width, width, (1, kernel), padding=(0, kernel // 2), groups=width
        )
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        y = glu(self.gated(self.norm(x)), dim=-1) * real
        y = self.inner_norm(as_sequence(self.depthwise(as_image(y))))
        result: Tensor = self.dropout(self.output(silu(y)))
        return result


class ConformerEncoder(nn.Module):
    """Frames (B, T, D) or units (B, T) → (B, T', W), and what a middle layer made of them."""

    def __init__(
        self,
        subsampling: Subsampling,
        width: int,
        *,
        n_layers: int,
        n_heads: int,
        kernel: int,
        factor: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.subsampling, self.dropout = subsampling, nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            ConformerBlock(width, n_heads, kernel, factor, dropout) for _ in range(n_layers)
        )
        self.middle = (n_layers + 1) // 2

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last layer's output, the middle one's, and their lengths (B,)."""
        y, lengths = self.subsampling(x, lengths)
        y = self.dropout(y + sinusoids(y.shape[1], y.shape[2], device=y.device).to(y.dtype))
        real, mask = mask_of(lengths, y.shape[1])[..., None], attention_mask(lengths, y.shape[1])
        middle = y
        for i, block in enumerate(self.blocks, start=1):
            y = block(y, real, mask)
            middle = y if i == self.middle else middle
        return y, middle, lengths
