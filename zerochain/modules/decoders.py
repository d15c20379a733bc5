"""Decoders of units and characters, the recurrent encoder of one, and teacher forcing.

Tokens are the units 0 … K - 1, the end K, which follows the last unit, and the begin K + 1, which
precedes the first. A decoder runs in two ways, with equal scores: over all tokens at once
(`forward`, for training with teacher forcing), and token by token from a state (`begin`, `step`),
of which beam search selects rows (`select`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from zerochain.modules.conformer import (
    Attention,
    Dropout,
    FeedForward,
    attention_mask,
    sinusoids,
)
from zerochain.modules.encoder import halved, mask_of
from zerochain.modules.recurrence import in_both_directions


class CtcHead(nn.Module):
    """x (B, S, M) → scores (B, S · upsampling, K + 1), the blank last."""

    def __init__(self, width: int, n_units: int, upsampling: int) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, upsampling * (n_units + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return upsampled(self.output(self.norm(x)), self.upsampling)


def upsampled(x: Tensor, factor: int) -> Tensor:
    """(B, S, factor · C) → (B, S · factor, C)."""
    return x.reshape(len(x), x.shape[1] * factor, -1)


State = Mapping[str, Tensor]
"""A decoder's state after the tokens so far: tensors (B, …)."""


def select(state: State, rows: Tensor) -> State:
    """The state of these rows, which may occur more than once, for beam search."""
    return {name: value[rows] for name, value in state.items()}


def end_of(n_units: int) -> int:
    """The token that follows an utterance's last unit; for CTC the blank."""
    return n_units


def begin_of(n_units: int) -> int:
    """The token before an utterance's first unit."""
    return n_units + 1


IGNORED = -100
"""The label of padding, which `torch.nn.functional.cross_entropy` leaves out."""


def teacher_forcing(units: Tensor, lengths: Tensor, n_units: int) -> tuple[Tensor, Tensor]:
    """A decoder's inputs in training, and the label for each, both (B, U + 1).

    Args:
        units: (B, U), with any values after the lengths (B,).
        n_units: size of the unit inventory.
    """
    real = torch.arange(units.shape[1], device=units.device) < lengths[:, None]
    units = units.masked_fill(~real, end_of(n_units))
    begin = units.new_full((len(units), 1), begin_of(n_units))
    labels = torch.cat([units, units.new_full((len(units), 1), end_of(n_units))], dim=1)
    beyond = torch.arange(labels.shape[1], device=units.device) > lengths[:, None]
    return torch.cat([begin, units], dim=1), labels.masked_fill(beyond, IGNORED)


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention to the encoder's output, and a feed-forward layer."""

    def __init__(
        self, width: int, memory_width: int, n_heads: int, factor: int, dropout: float
    ) -> None:
        super().__init__()
        self.self_norm, self.cross_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attention = Attention(width, n_heads)
        self.cross_attention = Attention(width, n_heads, memory_width)
        self.feed_forward = FeedForward(width, factor, dropout)
        self.dropout = Dropout(dropout)

    def self_attended(self, x: Tensor) -> Tensor:
        """x (B, U, W) after causal self-attention."""
        y: Tensor = x + self.dropout(self.self_attention(self.self_norm(x), causal=True))
        return y

    def cross_attended(self, x: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """x (B, U, W) after attention to the memory's keys and values, and the feed-forward."""
        attention = self.cross_attention
        q = attention.queries(self.cross_norm(x))
        x = x + self.dropout(attention.attend(q, k, v, mask))
        y: Tensor = x + self.feed_forward(x)
        return y

    def self_attended_step(self, x: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`self_attended` for the latest token alone, (B, 1, W); also all tokens' keys and values.

        Args:
            k, v: keys and values of all tokens before, (B, heads, U, W / heads).
        """
        attention, y, first = self.self_attention, self.self_norm(x), k.shape[2]
        new_k, new_v = attention.keys_values(y, first)
        k, v = torch.cat([k, new_k], dim=2), torch.cat([v, new_v], dim=2)
        return x + self.dropout(attention.attend(attention.queries(y, first), k, v)), k, v


class TransformerDecoder(nn.Module):
    """Tokens (B, U) and a memory (B, S, M) → scores of the next token after each (B, U, K + 1).

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
        self.norm, self.dropout = nn.LayerNorm(width), Dropout(dropout)
        self.output = nn.Linear(width, n_units + 1)

    def forward(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Scores of the next token after each; `lengths` (B,) are the memory's."""
        x, mask = self._embedded(tokens), attention_mask(lengths, memory.shape[1])
        for layer in self._layers:
            keys_values = layer.cross_attention.keys_values(memory)
            x = layer.cross_attended(layer.self_attended(x), *keys_values, mask)
        return self._scores(x)

    def begin(self, memory: Tensor, lengths: Tensor) -> State:
        """The state before the first token."""
        # The memory's keys and values are computed once, not again for each token.
        memories = [layer.cross_attention.keys_values(memory) for layer in self._layers]
        empty = torch.stack([k[:, :, :0] for k, _ in memories], dim=1)
        return {
            "mask": attention_mask(lengths, memory.shape[1]),
            "memory_keys": torch.stack([k for k, _ in memories], dim=1),
            "memory_values": torch.stack([v for _, v in memories], dim=1),
            "keys": empty,
            "values": empty,
        }

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Scores (B, K + 1) of the token after the newest ones (B,), and the state after those."""
        x = self._embedded(tokens[:, None], first=state["keys"].shape[3])
        keys, values = [], []
        for i, layer in enumerate(self._layers):
            x, k, v = layer.self_attended_step(x, state["keys"][:, i], state["values"][:, i])
            attended = state["memory_keys"][:, i], state["memory_values"][:, i]
            x = layer.cross_attended(x, *attended, state["mask"])
            keys.append(k)
            values.append(v)
        new = {"keys": torch.stack(keys, dim=1), "values": torch.stack(values, dim=1)}
        return self._scores(x)[:, 0], {**state, **new}

    def attention(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Attention weights of the memory's steps after each token: (B, U, S).

        The mean over layers and heads.
        """
        x, mask = self._embedded(tokens), attention_mask(lengths, memory.shape[1])
        maps = []
        for layer in self._layers:
            x = layer.self_attended(x)
            attention = layer.cross_attention
            maps.append(attention.weights(layer.cross_norm(x), memory, mask))
            x = layer.cross_attended(x, *attention.keys_values(memory), mask)
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


class RecurrentDecoder(nn.Module):
    """Tokens (B, U) and a memory (B, S, M) → scores of the next token after each (B, U, K + 1).

    One LSTM, whose input is the token and the previous context vector; an MLP of its state and each
    step of the memory computes the attention weights.

    Args:
        n_units: K.
        width: width of the LSTM.
        memory_width: M.
        embedding: dimensions of a token's vector.
    """

    def __init__(
        self, n_units: int, width: int, memory_width: int, *, embedding: int, dropout: float
    ) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(n_units + 2, embedding)
        self.cell = nn.LSTMCell(embedding + memory_width, width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width, width, bias=False)
        self.energy = nn.Linear(width, 1, bias=False)
        self.mixed = nn.Linear(width + memory_width, width)
        self.output = nn.Linear(width, n_units + 1)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Scores of the next token after each; `lengths` (B,) are the memory's."""
        return self._run(tokens, memory, lengths)[0]

    def attention(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Attention weights of the memory's steps after each token: (B, U, S)."""
        return self._run(tokens, memory, lengths)[1]

    def begin(self, memory: Tensor, lengths: Tensor) -> State:
        """The state before the first token."""
        zeros = memory.new_zeros(len(memory), self.width)
        return {
            "memory": memory,
            "keys": self.key(memory),
            "mask": mask_of(lengths, memory.shape[1]),
            "hidden": zeros,
            "cell": zeros,
            "context": memory.new_zeros(len(memory), memory.shape[2]),
            "attention": memory.new_zeros(memory.shape[:2]),
        }

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Scores (B, K + 1) of the token after the newest ones (B,), and the state after those."""
        x = torch.cat([self.dropout(self.embedding(tokens)), state["context"]], dim=1)
        hidden, cell = self.cell(x, (state["hidden"], state["cell"]))
        energies = self.energy(torch.tanh(state["keys"] + self.query(hidden)[:, None]))[..., 0]
        attention = energies.masked_fill(state["mask"] == 0, -torch.inf).softmax(dim=1)
        context = torch.einsum("bs,bsm->bm", attention, state["memory"])
        mixed = torch.tanh(self.mixed(torch.cat([hidden, context], dim=1)))
        new = {"hidden": hidden, "cell": cell, "context": context, "attention": attention}
        return self.output(self.dropout(mixed)), {**state, **new}

    def _run(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        state, scores, maps = self.begin(memory, lengths), [], []
        for column in tokens.unbind(dim=1):
            score, state = self.step(column, state)
            scores.append(score)
            maps.append(state["attention"])
        return torch.stack(scores, dim=1), torch.stack(maps, dim=1)


class RecurrentEncoder(nn.Module):
    """Frames (B, T, D) or units (B, T) → (B, ⌈T / factor⌉, 2 · width).

    Bidirectional LSTMs; after each of the first log2(factor) of them every second step is dropped.

    Args:
        first: an embedding of units, or a layer over frames.
        n_in: channels of the output of `first`.
        width: width per direction.
        factor: a power of two, at most 2 ** n_layers.
    """

    def __init__(
        self, first: nn.Module, n_in: int, width: int, *, n_layers: int, factor: int, dropout: float
    ) -> None:
        super().__init__()
        self.first, self.dropout = first, Dropout(dropout)
        widths = [n_in, *[2 * width] * (n_layers - 1)]
        self.layers = nn.ModuleList(
            nn.LSTM(n, width, batch_first=True, bidirectional=True) for n in widths
        )
        self.n_halvings = factor.bit_length() - 1
        self.middle = (n_layers + 1) // 2

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last layer's output, the middle one's at the same steps, and their lengths (B,)."""
        y = self.first(x)
        middle = y
        for i, layer in enumerate(self.layers, start=1):
            y = self.dropout(in_both_directions(cast(nn.LSTM, layer), y, lengths))
            middle = y if i == self.middle else middle
            if i <= self.n_halvings:
                y, lengths = y[:, ::2], halved(lengths)
                middle = middle[:, ::2] if i >= self.middle else middle
        return y, middle, lengths
