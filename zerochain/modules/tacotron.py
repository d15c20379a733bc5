"""Tacotron as the speech chain's papers have it: symbols and a voice → frames, one after the other.

Wang et al. 2017, as modified by Tjandra et al. (2020, sections III-C and IV-C): the encoder is a
CBHG (a bank of convolutions, highway layers, a bidirectional GRU) with 8 banks; the decoder, two
LSTMs with attention, predicts four frames per step from the last one before; a second CBHG turns
log-mel frames into log-magnitudes; and a probability that speech ends is predicted for each frame.
The voice's vector is projected and added before the LSTMs, and concatenated before the outputs.
Activations are LeakyReLU. Attention is an MLP of the state, the encoder's output, and of where the
attention was before (its last weights and their sum; Chorowski et al. 2015), in place of the
papers' multi-scale alignment history.

Unlike the parallel synthesiser it can fail: to end, and to attend to the symbols in their order.
Both are told (`Spoken.failed`), so that the loop can leave such speech out.

Symbols are 0 … K - 1, and K is the silence before the first and after the last.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear, max_pool1d, pad

from zerochain.modules.encoder import mask_of
from zerochain.modules.recurrence import in_both_directions

FRAMES_PER_DECODER_STEP = 4
N_BANKS = 8
_N_HIGHWAYS = 4
_PRENET_DROPOUT = 0.5
_PLACE_KERNEL, _PLACE_CHANNELS = 15, 8
_FRAMES_PER_SYMBOL = 25  # 250 ms, which speech that doesn't end is cut at
_EXTRA_FRAMES = 100
_LONGEST_JUMP = 8  # symbols, from one step of 40 ms to the next
_SLOPE = 0.01
State = dict[str, Tensor]


class Predicted(NamedTuple):
    """What is predicted of speech that is known, from its own frames (teacher forcing)."""

    frames: Tensor
    """(B, T, D), T a multiple of four."""
    ends: Tensor
    """(B, T), logits that a frame is the last one, or comes after it."""
    magnitude: Tensor
    """(B, T, F), log-magnitudes."""
    attention: Tensor
    """(B, T / 4, U)."""


class Generated(NamedTuple):
    """Speech of symbols alone."""

    frames: Tensor
    """(B, T, D)."""
    lengths: Tensor
    """(B,), in frames."""
    failed: Tensor
    """(B,), whether it didn't end, or attention jumped or stopped before the last symbols."""
    magnitude: Tensor
    """(B, T, F)."""


class Cbhg(nn.Module):
    """A bank of convolutions, highway layers and a GRU: x (B, T, C) → (B, T, 2 · width).

    Args:
        n_in: C.
        width: channels of each bank, of the highway layers, and of each direction of the GRU.
        n_banks: kernels from 1 to this.
    """

    def __init__(self, n_in: int, width: int, n_banks: int = N_BANKS) -> None:
        super().__init__()
        self.banks = nn.ModuleList(
            nn.Conv1d(n_in, width, kernel, bias=False) for kernel in range(1, n_banks + 1)
        )
        self.bank_norm = nn.BatchNorm1d(n_banks * width)
        self.first = nn.Conv1d(n_banks * width, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm1d(width)
        self.second = nn.Conv1d(width, n_in, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm1d(n_in)
        self.widen = nn.Linear(n_in, width)
        highways = [nn.Linear(width, 2 * width) for _ in range(_N_HIGHWAYS)]
        for layer in highways:
            nn.init.constant_(layer.bias[width:], -1.0)  # carries its input at first
        self.highways = nn.ModuleList(highways)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x is zero after the end of each; so is the result."""
        real = mask_of(lengths, x.shape[1])[:, None]
        y = (x * real.transpose(1, 2)).transpose(1, 2)
        banks = [bank(pad(y, (k // 2, (k - 1) // 2))) for k, bank in enumerate(self.banks, start=1)]
        z = leaky_relu(self.bank_norm(torch.cat(banks, dim=1)), _SLOPE)
        z = max_pool1d(pad(z, (1, 0), value=-torch.inf), 2, 1) * real
        z = leaky_relu(self.first_norm(self.first(z)), _SLOPE) * real
        z = (self.second_norm(self.second(z)) + y) * real
        h = self.widen(z.transpose(1, 2))
        for layer in self.highways:
            new, gate = layer(h).chunk(2, dim=2)
            gate = gate.sigmoid()
            h = gate * leaky_relu(new, _SLOPE) + (1 - gate) * h
        return in_both_directions(self.gru, h * real.transpose(1, 2), lengths)


class Prenet(nn.Module):
    """Two fully connected layers with half of their outputs dropped in training."""

    def __init__(self, n_in: int, width: int, n_out: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(n_in, width), nn.Linear(width, n_out)])
        self.dropout = nn.Dropout(_PRENET_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """x (…, C) → (…, n_out)."""
        for layer in self.layers:
            x = self.dropout(leaky_relu(layer(x), _SLOPE))
        return x


class Tacotron(nn.Module):
    """Symbols (B, U) and voices (B, E) → normalised log-mel frames (B, T, D) and log-magnitudes.

    Both ends of the symbols are the silence, K. Padding has no effect.

    Args:
        n_symbols: K.
        n_vector: E; 0 for one voice.
        n_out: D.
        n_bins: F, of the log-magnitudes.
        width: of the LSTMs; half of it of each direction of the GRUs.
    """

    def __init__(self, n_symbols: int, n_vector: int, n_out: int, n_bins: int, width: int) -> None:
        super().__init__()
        half = max(1, width // 2)
        memory = 2 * half
        self.n_out = n_out
        self.embedding = nn.Embedding(n_symbols + 1, width)
        self.encoder_prenet = Prenet(width, width, half)
        self.encoder = Cbhg(half, half)
        self.decoder_prenet = Prenet(n_out, width, half)
        self.voice = nn.Linear(n_vector, 2 * half) if n_vector else None
        self.cells = nn.ModuleList([nn.LSTMCell(half + memory, width), nn.LSTMCell(width, width)])
        self.query = nn.Linear(width, half)
        self.key = nn.Linear(memory, half, bias=False)
        self.place = nn.Conv1d(2, _PLACE_CHANNELS, _PLACE_KERNEL, padding=_PLACE_KERNEL // 2)
        self.place_key = nn.Linear(_PLACE_CHANNELS, half, bias=False)
        self.energy = nn.Linear(half, 1, bias=False)
        self.mixed = nn.Linear(width + memory + half, width)
        self.last = nn.Linear(width, FRAMES_PER_DECODER_STEP * n_out)
        self.end = nn.Linear(FRAMES_PER_DECODER_STEP * n_out + memory, FRAMES_PER_DECODER_STEP)
        self.post = Cbhg(n_out, half)
        self.magnitude = nn.Linear(2 * half + half, n_bins)

    def forward(
        self, symbols: Tensor, counts: Tensor, z: Tensor, frames: Tensor, lengths: Tensor
    ) -> Predicted:
        """What each step predicts after the true frames before it.

        Args:
            symbols: (B, U), or distributions over them (B, U, K + 1).
            counts: (B,), the numbers of symbols.
            z: (B, E), the voices.
            frames: (B, T, D), normalised.
            lengths: (B,), of the frames.
        """
        missing = -frames.shape[1] % FRAMES_PER_DECODER_STEP
        frames = pad(frames, (0, 0, 0, missing))
        before, after = self._voices(z)
        state = self._begin(symbols, counts)
        first = torch.zeros_like(frames[:, :1])
        seen = torch.cat([first, frames[:, FRAMES_PER_DECODER_STEP - 1 : -1 : 4]], dim=1)
        inputs = self.decoder_prenet(seen) + before[:, None]
        hidden, contexts, maps = [], [], []
        for x in inputs.unbind(dim=1):
            state = self._attend(x, state)
            hidden.append(state["hidden 1"])
            contexts.append(state["context"])
            maps.append(state["attention"])
        made, ends = self._predicted(torch.stack(hidden, 1), torch.stack(contexts, 1), after)
        return Predicted(
            made, ends, self._magnitudes(made, lengths, after), torch.stack(maps, dim=1)
        )

    @torch.no_grad()
    def generate(self, symbols: Tensor, counts: Tensor, z: Tensor) -> Generated:
        """Speech of symbols, each frame from those that were predicted before it."""
        before, after = self._voices(z)
        state = self._begin(symbols, counts)
        limits = _FRAMES_PER_SYMBOL * counts + _EXTRA_FRAMES
        lengths = limits.clone()
        ended = torch.zeros_like(counts, dtype=torch.bool)
        frame = z.new_zeros(len(symbols), self.n_out)
        frames, maps = [], []
        for first in range(0, int(limits.max()), FRAMES_PER_DECODER_STEP):
            state = self._attend(self.decoder_prenet(frame) + before, state)
            made, ends = self._predicted(
                state["hidden 1"][:, None], state["context"][:, None], after
            )
            over = ends > 0
            stops = over.any(dim=1) & ~ended & (first < limits)
            # The first frame that is over is the last one of speech.
            lengths = torch.where(stops, first + over.int().argmax(dim=1) + 1, lengths)
            ended = ended | stops
            frames.append(made)
            maps.append(state["attention"])
            frame = made[:, -1]
            if bool((ended | (first + FRAMES_PER_DECODER_STEP >= limits)).all()):
                break
        made = torch.cat(frames, dim=1)
        lengths = lengths.clamp(max=made.shape[1])
        failed = ~ended | misaligned(torch.stack(maps, dim=1), lengths, counts)
        return Generated(made, lengths, failed, self._magnitudes(made, lengths, after))

    def _voices(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What a voice adds before the LSTMs, and what it is before the outputs: (B, H) each."""
        if self.voice is None:
            zero = z.new_zeros(len(z), self.query.out_features)
            return zero, zero
        before, after = self.voice(z).chunk(2, dim=1)
        return before, after

    def _begin(self, symbols: Tensor, counts: Tensor) -> State:
        """The state before the first step."""
        if symbols.ndim == 2:
            x = self.embedding(symbols)
        else:
            x = linear(symbols, self.embedding.weight.T)
        memory = self.encoder(self.encoder_prenet(x), counts)
        zeros = memory.new_zeros(len(memory), self.query.in_features)
        attention = memory.new_zeros(memory.shape[:2])
        attention[:, 0] = 1.0
        return {
            "memory": memory,
            "keys": self.key(memory),
            "mask": mask_of(counts, memory.shape[1]) == 0,
            "context": memory.new_zeros(len(memory), memory.shape[2]),
            "attention": attention,
            "sum": torch.zeros_like(attention),
        } | {f"{name} {i}": zeros for name in ("hidden", "cell") for i in range(2)}

    def _attend(self, x: Tensor, state: State) -> State:
        """One step of the LSTMs and of attention, with an input (B, H)."""
        x = torch.cat([x, state["context"]], dim=1)
        new = dict(state)
        for i, cell in enumerate(self.cells):
            x, memory = cell(x, (state[f"hidden {i}"], state[f"cell {i}"]))
            new |= {f"hidden {i}": x, f"cell {i}": memory}
        places = self.place(torch.stack([state["attention"], state["sum"]], dim=1))
        energies = self.energy(
            torch.tanh(
                state["keys"] + self.query(x)[:, None] + self.place_key(places.transpose(1, 2))
            )
        )[..., 0]
        attention = energies.float().masked_fill(state["mask"], -torch.inf).softmax(dim=1)
        attention = attention.to(state["memory"].dtype)
        context = torch.einsum("bs,bsm->bm", attention, state["memory"])
        return new | {
            "context": context,
            "attention": attention,
            "sum": state["sum"] + attention,
        }

    def _predicted(self, hidden: Tensor, contexts: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, 4 · S, D), and logits of the end of each (B, 4 · S), of S steps."""
        voice = after[:, None].expand(-1, hidden.shape[1], -1)
        mixed = leaky_relu(self.mixed(torch.cat([hidden, contexts, voice], dim=2)), _SLOPE)
        frames = self.last(mixed)
        ends = self.end(torch.cat([frames, contexts], dim=2))
        return frames.reshape(len(frames), -1, self.n_out), ends.flatten(1)

    def _magnitudes(self, frames: Tensor, lengths: Tensor, after: Tensor) -> Tensor:
        """Log-magnitudes (B, T, F) of frames (B, T, D)."""
        y = self.post(frames * mask_of(lengths, frames.shape[1])[..., None], lengths)
        voice = after[:, None].expand(-1, y.shape[1], -1)
        found: Tensor = self.magnitude(torch.cat([y, voice], dim=2))
        return found


def misaligned(attention: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
    """Whether attention (B, S, U) failed: it jumps, or doesn't reach the last symbols, (B,).

    Args:
        lengths: (B,), of the frames, of which a step has four.
        counts: (B,), of the symbols, silences at both ends included.
    """
    peaks = attention.argmax(dim=2)
    n = torch.div(
        lengths + FRAMES_PER_DECODER_STEP - 1, FRAMES_PER_DECODER_STEP, rounding_mode="floor"
    )
    n = n.clamp(min=1)
    real = mask_of(n, peaks.shape[1]).bool()
    jumps = (peaks[:, 1:] - peaks[:, :-1]).abs().masked_fill(~real[:, 1:], 0)
    jumped = (jumps > _LONGEST_JUMP).any(dim=1)
    last = peaks.gather(1, n[:, None] - 1)[:, 0]
    return jumped | (last < counts - 1 - _LONGEST_JUMP // 2)
