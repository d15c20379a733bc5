"""Recurrent layers in both directions: torch's packed sequences are the reference."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zerochain.modules.recurrence import in_both_directions


def packed(layer: nn.GRU | nn.LSTM, x: Tensor, lengths: Tensor) -> Tensor:
    sequences = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, _ = pad_packed_sequence(layer(sequences)[0], batch_first=True, total_length=x.shape[1])
    return y


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_equals_packed_sequences_and_so_do_gradients(kind: type[nn.GRU | nn.LSTM]) -> None:
    torch.manual_seed(0)
    layer = kind(5, 4, batch_first=True, bidirectional=True)
    lengths = torch.tensor([7, 11, 1, 4])  # none is as long as the batch
    x, weight = torch.randn(4, 12, 5), torch.randn(4, 12, 8)
    found = []
    for way in (in_both_directions, packed):
        given = x.clone().requires_grad_()
        y = way(layer, given, lengths)
        gradients = torch.autograd.grad((y * weight).sum(), [given, *layer.parameters()])
        found.append([y, *gradients])
    torch.testing.assert_close(*found)


def test_beyond_the_end_nothing_counts_and_all_is_zero() -> None:
    torch.manual_seed(0)
    layer = nn.GRU(3, 2, batch_first=True, bidirectional=True)
    x, lengths = torch.randn(2, 9, 3), torch.tensor([9, 5])
    dirty = x.clone()
    dirty[1, 5:] = 99
    y = in_both_directions(layer, dirty, lengths)
    torch.testing.assert_close(y, in_both_directions(layer, x, lengths))
    assert not y[1, 5:].any()


def test_computes_in_float32_under_autocast() -> None:
    layer = nn.GRU(3, 2, batch_first=True, bidirectional=True)
    x, lengths = torch.randn(2, 9, 3), torch.tensor([9, 5])
    with torch.autocast("cpu", torch.bfloat16):
        y = in_both_directions(layer, x, lengths)
    torch.testing.assert_close(y, in_both_directions(layer, x, lengths))
