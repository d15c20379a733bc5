"""Weights as arrays: what is written comes back, as a copy, ready to be used."""

import numpy as np
import pytest
import torch
from torch import nn

from zerochain.formats.weights import weights_of, with_weights


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


def test_weights_come_back() -> None:
    first = network()
    first(torch.randn(8, 3))  # moves the running mean, a buffer
    kept = weights_of(first.eval())
    second = with_weights(network, kept)
    assert not second.training
    x = torch.randn(5, 3)
    assert torch.equal(first(x), second(x))


def test_arrays_are_copied() -> None:
    kept = {name: np.array(w) for name, w in weights_of(network()).items()}
    made = with_weights(network, kept)
    kept["0.weight"][:] = 0
    assert made.state_dict()["0.weight"].abs().sum() > 0


def test_another_networks_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="not those of such a network"):
        with_weights(lambda: nn.Linear(3, 5), weights_of(nn.Linear(3, 4)))
