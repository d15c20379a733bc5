"""Attention over sequences: rotary positions, masks for batches, caches for decoding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

_LONGEST_WAVE = 10_000.0


def sinusoids(n: int, width: int, first: int = 0, device: torch.device | None = None) -> Tensor:
    """Positions first … first + n - 1 as sines and cosines (n, width) (Vaswani et al. 2017)."""
    angles = _angles(n, -(-width // 2), first, device)
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]


def rotated(x: Tensor, first: int = 0) -> Tensor:
    """x (…, T, D), D even, turned by its positions, so that products tell distances alone.

    Rotary position embedding (Su et al. 2021). The first position is `first`.
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
    """Which keys there are: lengths (B,) → (B, 1, 1, n), true where one is real."""
    return (torch.arange(n, device=lengths.device) < lengths[:, None])[:, None, None]


class Attention(nn.Module):
    """Multi-head attention of x (B, T, W) over itself or over a memory (B, S, M).

    Args:
        width: W.
        n_heads: heads, which share the width.
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
            mask: (B, 1, 1 or T, S), true where a key may be seen; None for all.
            causal: nothing sees what comes after it.
        """
        # Dropout of the weights would take the slow way, a sixth of a training step's time.
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
        """How much x attends to each memory step, the mean of the heads: (B, T, S)."""
        k, _ = self.keys_values(memory)
        q = self.queries(x)
        products = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        return products.masked_fill(~mask, -math.inf).softmax(dim=-1).mean(dim=1)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two pointwise layers with a wider one between them, (…, W) → (…, W)."""

    def __init__(self, width: int, factor: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, factor * width),
            nn.SiLU(),
            nn.Linear(factor * width, width),
            nn.Dropout(dropout),
        )
