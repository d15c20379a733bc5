"""Recurrent layers in both directions over utterances of different lengths.

torch's packed sequences keep padding out of a recurrent layer, but on a CPU their gradient costs
O(T²): for every step, autograd fills a tensor as large as the whole batch with zeros. Here each
direction runs over the padded batch instead. The backward one is given every utterance reversed in
itself, so that padding comes last in both and never reaches a real step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def in_both_directions(layer: nn.GRU | nn.LSTM, x: Tensor, lengths: Tensor) -> Tensor:
    """Outputs (B, T, 2H) of a bidirectional layer for x (B, T, C); zero after each utterance's end.

    On a CPU it computes in float32, whatever the training computes in: a step is too small for
    bfloat16 to be faster, and rounding errors would add up over time.

    Args:
        layer: of one layer, `bidirectional` and `batch_first`.
        lengths: of the utterances, (B,).
    """
    if x.device.type != "cpu":  # cuDNN has kernels for packed sequences
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=x.shape[1])
        return y
    steps = torch.arange(x.shape[1])
    real = steps < lengths[:, None]
    mirrored = torch.where(real, lengths[:, None] - 1 - steps, steps)
    with torch.autocast("cpu", enabled=False):
        forwards = _in_one_direction(layer, x.float(), "")
        backwards = _in_one_direction(layer, _reordered(x.float(), mirrored), "_reverse")
    return torch.cat([forwards, _reordered(backwards, mirrored)], dim=2) * real[..., None]


def _in_one_direction(layer: nn.GRU | nn.LSTM, x: Tensor, suffix: str) -> Tensor:
    """(B, T, H) of one direction of the layer, with its own weights."""
    names = [f"{name}_l0{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    weights = [getattr(layer, name) for name in names]
    start = x.new_zeros(1, len(x), layer.hidden_size)
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    if isinstance(layer, nn.LSTM):
        return torch.lstm(x, (start, start), weights, True, 1, 0.0, layer.training, False, True)[0]
    return torch.gru(x, start, weights, True, 1, 0.0, layer.training, False, True)[0]


def _reordered(x: Tensor, order: Tensor) -> Tensor:
    """x (B, T, C) with its steps in another order, (B, T)."""
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))
