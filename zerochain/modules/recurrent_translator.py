"""The encoder and decoder of Tjandra, Sakti and Nakamura (2020): LSTMs and MLP attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zerochain.modules.encoder import halved, mask_of
from zerochain.modules.unit_decoder import State


class RecurrentEncoder(nn.Module):
    """Frames (B, T, D) or units (B, T) → (B, ⌈T / factor⌉, 2 · width).

    Bidirectional LSTMs; after each of the first log2(factor) ones only every second step is kept.

    Args:
        first: what makes frames of the input: an embedding of units, or a layer over frames.
        n_in: channels of what `first` makes.
        width: of each direction.
        factor: a power of two, at most 2 ** n_layers.
    """

    def __init__(
        self, first: nn.Module, n_in: int, width: int, *, n_layers: int, factor: int, dropout: float
    ) -> None:
        super().__init__()
        self.first, self.dropout = first, nn.Dropout(dropout)
        widths = [n_in, *[2 * width] * (n_layers - 1)]
        self.layers = nn.ModuleList(
            nn.LSTM(n, width, batch_first=True, bidirectional=True) for n in widths
        )
        self.n_halvings = factor.bit_length() - 1
        self.middle = (n_layers + 1) // 2

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last layer's output, the middle one's as the last one's steps, and their lengths."""
        y = self.first(x)
        middle = y
        for i, layer in enumerate(self.layers, start=1):
            packed = pack_padded_sequence(y, lengths.cpu(), batch_first=True, enforce_sorted=False)
            y, _ = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=y.shape[1])
            y = self.dropout(y)
            middle = y if i == self.middle else middle
            if i <= self.n_halvings:
                y, lengths = y[:, ::2], halved(lengths)
                middle = middle[:, ::2] if i >= self.middle else middle
        return y, middle, lengths


class RecurrentDecoder(nn.Module):
    """Tokens (B, U) and a memory (B, S, M) → scores of what follows each token (B, U, K + 1).

    One LSTM is fed the token and what was attended to last; its state asks the memory by an MLP.

    Args:
        n_units: K.
        width: of the LSTM.
        memory_width: M.
        embedding: dimensions of a token.
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
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Scores of what follows each token; `lengths` (B,) are the memory's."""
        return self._run(tokens, memory, lengths)[0]

    def attention(self, tokens: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """How much of each memory step it attends to after each token: (B, U, S)."""
        return self._run(tokens, memory, lengths)[1]

    def begin(self, memory: Tensor, lengths: Tensor) -> State:
        """The state before the first token."""
        nothing = memory.new_zeros(len(memory), self.width)
        return {
            "memory": memory,
            "keys": self.key(memory),
            "mask": mask_of(lengths, memory.shape[1]),
            "hidden": nothing,
            "cell": nothing,
            "context": memory.new_zeros(len(memory), memory.shape[2]),
            "attention": memory.new_zeros(memory.shape[:2]),
        }

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Scores (B, K + 1) of what follows the newest tokens (B,), and the state after them."""
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
