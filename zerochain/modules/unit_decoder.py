"""A Transformer that says units one after the other, attending to what an encoder heard.

Tokens are the units 0 … K - 1; in front of all stands K + 1, and K, the end, follows the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from zerochain.modules.attention import Attention, FeedForward, attention_mask, sinusoids

State = Mapping[str, Tensor]
"""What a decoder remembers of what it has said so far: tensors (B, …)."""


def select(state: State, rows: Tensor) -> State:
    """The state of these rows, some of them more than once, as beams want it."""
    return {name: value[rows] for name, value in state.items()}


def end_of(n_units: int) -> int:
    """The token that follows an utterance's last unit; for CTC the blank."""
    return n_units


def begin_of(n_units: int) -> int:
    """The token in front of an utterance's first unit."""
    return n_units + 1


class DecoderLayer(nn.Module):
    """Attention over what was said, over what was heard, and a feed-forward layer."""

    def __init__(
        self, width: int, memory_width: int, n_heads: int, factor: int, dropout: float
    ) -> None:
        super().__init__()
        self.said_norm, self.heard_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.said = Attention(width, n_heads)
        self.heard = Attention(width, n_heads, memory_width)
        self.feed_forward = FeedForward(width, factor, dropout)
        self.dropout = nn.Dropout(dropout)

    def over_said(self, x: Tensor) -> Tensor:
        """x (B, U, W) after causal attention over itself."""
        y: Tensor = x + self.dropout(self.said(self.said_norm(x), causal=True))
        return y

    def over_heard(self, x: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """x (B, U, W) after attention over the memory's keys and values, and all else."""
        q = self.heard.queries(self.heard_norm(x))
        x = x + self.dropout(self.heard.attend(q, k, v, mask))
        y: Tensor = x + self.feed_forward(x)
        return y

    def over_cached(self, x: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`over_said` for the newest token alone, (B, 1, W), and all keys and values so far."""
        y = self.said_norm(x)
        first = k.shape[2]
        new_k, new_v = self.said.keys_values(y, first)
        k, v = torch.cat([k, new_k], dim=2), torch.cat([v, new_v], dim=2)
        return x + self.dropout(self.said.attend(self.said.queries(y, first), k, v)), k, v


class TransformerDecoder(nn.Module):
    """Tokens (B, U) and a memory (B, S, M) → scores of what follows each token (B, U, K + 1).

    Args:
        n_units: K.
        width: of its layers.
        memory_width: M.
    """

    def __init__(
        self,
        n_units: int,
        width: int,
        memory_width: int,
        *,
        n_layers: int,
        n_heads: int,
        factor: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_units + 2, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.scale = width**0.5
        self.layers = nn.ModuleList(
            DecoderLayer(width, memory_width, n_heads, factor, dropout) for _ in range(n_layers)
        )
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.output = nn.Linear(width, n_units + 1)

    def forward(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Scores, all at once, of what follows each token; `lengths` (B,) are the memory's."""
        x, mask = self._embedded(tokens), attention_mask(lengths, memory.shape[1])
        for layer in self._layers:
            x = layer.over_heard(layer.over_said(x), *layer.heard.keys_values(memory), mask)
        return self._scores(x)

    def begin(self, memory: Tensor, lengths: Tensor) -> State:
        """The state before the first token."""
        heard = [layer.heard.keys_values(memory) for layer in self._layers]
        nothing = torch.stack([k[:, :, :0] for k, _ in heard], dim=1)
        return {
            "mask": attention_mask(lengths, memory.shape[1]),
            "heard_keys": torch.stack([k for k, _ in heard], dim=1),
            "heard_values": torch.stack([v for _, v in heard], dim=1),
            "keys": nothing,
            "values": nothing,
        }

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Scores (B, K + 1) of what follows the newest tokens (B,), and the state after them."""
        x = self._embedded(tokens[:, None], first=state["keys"].shape[3])
        keys, values = [], []
        for i, layer in enumerate(self._layers):
            x, k, v = layer.over_cached(x, state["keys"][:, i], state["values"][:, i])
            heard = state["heard_keys"][:, i], state["heard_values"][:, i]
            x = layer.over_heard(x, *heard, state["mask"])
            keys.append(k)
            values.append(v)
        said = {"keys": torch.stack(keys, dim=1), "values": torch.stack(values, dim=1)}
        return self._scores(x)[:, 0], {**state, **said}

    def attention(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """How much of each memory step it attends to after each token: (B, U, S).

        The mean over layers and heads.
        """
        x, mask = self._embedded(tokens), attention_mask(lengths, memory.shape[1])
        maps = []
        for layer in self._layers:
            x = layer.over_said(x)
            maps.append(layer.heard.weights(layer.heard_norm(x), memory, mask))
            x = layer.over_heard(x, *layer.heard.keys_values(memory), mask)
        return torch.stack(maps).mean(dim=0)

    @property
    def _layers(self) -> Sequence[DecoderLayer]:
        return cast("Sequence[DecoderLayer]", self.layers)

    def _embedded(self, tokens: Tensor, first: int = 0) -> Tensor:
        x = self.scale * self.embedding(tokens)
        positions = sinusoids(tokens.shape[1], x.shape[2], first, x.device)
        y: Tensor = self.dropout(x + positions.to(x.dtype))
        return y

    def _scores(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.norm(x))
        return scores
