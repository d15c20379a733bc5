"""The conformer (Gulati et al. 2020), with its attention and its subsampling.

A block is half a feed-forward layer, self-attention, a convolution, and a second half of a
feed-forward layer. It differs from the paper in two ways: convolutions have layer instead of batch
normalisation, so that an utterance's output doesn't depend on the batch, and positions are rotary
(Su et al. 2021), so that there is no maximum length. Padding after an utterance's end is zero, and
is not attended to.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import glu, scaled_dot_product_attention, silu

from zerochain.modules.encoder import as_image, as_sequence, halved, mask_of

_LONGEST_WAVE = 10_000.0


def sinusoids(n: int, width: int, first: int = 0, device: torch.device | None = None) -> Tensor:
    """Positions first … first + n - 1 as sines and cosines (n, width) (Vaswani et al. 2017)."""
    angles = _angles(n, -(-width // 2), first, device)
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]


def rotated(x: Tensor, first: int = 0) -> Tensor:
    """Rotary position embedding of x (…, T, D), D even; the first position is `first`.

    Pairs of dimensions are rotated by angles proportional to the position, so that the product of
    a query and a key depends only on the distance between them.
    """
    angles = _angles(x.shape[-2], x.shape[-1] // 2, first, x.device)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _angles(n: int, n_waves: int, first: int, device: torch.device | None) -> Tensor:
    positions = torch.arange(first, first + n, device=device, dtype=torch.float32)
    waves = torch.arange(n_waves, device=device, dtype=torch.float32) / n_waves
    return positions[:, None] * torch.exp(-math.log(_LONGEST_WAVE) * waves)


def attention_mask(lengths: Tensor, n: int) -> Tensor:
    """Lengths (B,) → (B, 1, 1, n), true where a key is not padding."""
    return (torch.arange(n, device=lengths.device) < lengths[:, None])[:, None, None]


class Attention(nn.Module):
    """Multi-head attention of x (B, T, W) over itself or over a memory (B, S, M).

    Args:
        width: W.
        n_heads: number of heads, each of width W / n_heads.
        memory_width: M; None for attention of x over itself, with rotary positions.
    """

    def __init__(self, width: int, n_heads: int, memory_width: int | None = None) -> None:
        super().__init__()
        self.n_heads, self.over_itself = n_heads, memory_width is None
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(memory_width or width, 2 * width)
        self.output = nn.Linear(width, width)

    def queries(self, x: Tensor, first: int = 0) -> Tensor:
        """x (B, T, W) → (B, heads, T, W / heads); the first position is `first`."""
        q = self._heads(self.query(x))
        return rotated(q, first) if self.over_itself else q

    def keys_values(self, x: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
        """x, or a memory, (B, S, W) → keys and values, each (B, heads, S, W / heads)."""
        k, v = (self._heads(part) for part in self.key_value(x).chunk(2, dim=-1))
        return (rotated(k, first) if self.over_itself else k), v

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Queries over keys and values → (B, T, W).

        Args:
            mask: (B, 1, 1 or T, S), true where a key may be attended to; None for everywhere.
            causal: let no query attend to later keys.
        """
        # No dropout of the attention weights: it would rule out torch's fast kernel, at the cost
        # of a sixth of a training step's time.
        y = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        result: Tensor = self.output(y.transpose(1, 2).flatten(2))
        return result

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """x (B, T, W) over itself or a memory (B, S, M) → (B, T, W)."""
        k, v = self.keys_values(x if memory is None else memory)
        return self.attend(self.queries(x), k, v, mask, causal)

    def weights(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Attention weights of x over the memory's steps, averaged over heads: (B, T, S)."""
        k, _ = self.keys_values(memory)
        q = self.queries(x)
        products = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        return products.masked_fill(~mask, -math.inf).softmax(dim=-1).mean(dim=1)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


class Dropout(nn.Dropout):
    """Dropout whose random numbers take a third of the time of torch's on a CPU.

    Torch draws a double per element; 16 random bits are enough: a probability is off by at most
    2^-17.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x with a fraction p of its elements at zero, and the others divided by 1 - p."""
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = bits >= round(self.p * 2**16) - 2**15
        return x * (kept.to(x.dtype) * (1 / (1 - self.p)))


class FeedForward(nn.Sequential):
    """Two pointwise layers with a wider one between them, (…, W) → (…, W)."""

    def __init__(self, width: int, factor: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, factor * width),
            nn.SiLU(),
            nn.Linear(factor * width, width),
            Dropout(dropout),
        )


_KERNEL = 5


class Subsampling(nn.Module):
    """Frames (B, T, D) or units (B, T) → (B, ⌈T / factor⌉, W), zero after each one's end.

    Each gated convolution halves the rate. Units are embedded first; frames get a linear layer if
    their rate is kept.

    Args:
        n_in: D, or the number of units and special tokens.
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
        """The subsampled sequences, and their lengths (B,)."""
        y = x if self.first is None else self.first(x)
        y = y * mask_of(lengths, y.shape[1])[..., None]
        for halving in self.halvings:
            lengths = halved(lengths)
            y = glu(as_sequence(halving(as_image(y))), dim=-1)
            y = y * mask_of(lengths, y.shape[1])[..., None]
        return y, lengths


class ConformerBlock(nn.Module):
    """Half a feed-forward layer, attention, a convolution, another half layer: (B, T, W)."""

    def __init__(self, width: int, n_heads: int, kernel: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.first, self.last = (FeedForward(width, factor, dropout) for _ in range(2))
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, n_heads)
        self.convolution = _Convolution(width, kernel, dropout)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

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
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        y = glu(self.gated(self.norm(x)), dim=-1) * real
        y = self.inner_norm(as_sequence(self.depthwise(as_image(y))))
        result: Tensor = self.dropout(self.output(silu(y)))
        return result


class ConformerEncoder(nn.Module):
    """Frames (B, T, D) or units (B, T) → outputs (B, T', W) of the last and the middle layer."""

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
        self.subsampling, self.dropout = subsampling, Dropout(dropout)
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
