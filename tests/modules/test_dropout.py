"""The conformer's dropout against what torch's guarantees."""

import pytest
import torch
from torch import nn

from zerochain.modules.conformer import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_fraction_is_zero_and_the_mean_stays(p: float) -> None:
    layer, x = Dropout(p), torch.ones(3, 401, 333, requires_grad=True)
    y = layer(x)
    assert y.unique().tolist() == [0.0, pytest.approx(1 / (1 - p))]
    # Each of the four parts of a random word, and whole rows: five standard deviations.
    for part in (y, *(y.flatten()[i::4] for i in range(4)), y[:, 0]):
        deviation = (p * (1 - p) / part.numel()) ** 0.5
        assert float((part == 0).float().mean()) == pytest.approx(p, abs=5 * deviation)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_it_draws_from_the_seed_and_is_off_in_evaluation() -> None:
    layer, x = Dropout(0.3), torch.randn(5, 7)
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(layer(x))
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], layer(x))
    assert layer.eval()(x) is x
    assert torch.equal(Dropout(0.0)(x), x)
    assert isinstance(layer, nn.Dropout)
    assert layer(torch.zeros(0, 4)).shape == (0, 4)
    assert Dropout(0.5)(x.bfloat16()).dtype == torch.bfloat16
