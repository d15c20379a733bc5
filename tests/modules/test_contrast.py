import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zerochain.discovery.neural import encoded
from zerochain.modules.cpc import ContextEncoder, Cpc, NarrowEncoder, Predicted, contrast
from zerochain.modules.vqvae import Quantizer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def predicted(predictions: torch.Tensor, targets: torch.Tensor, lengths: list[int]) -> Predicted:
    real = (torch.arange(targets.shape[1]) < torch.tensor(lengths)[:, None]).float()
    return Predicted(predictions, targets, real, None)


def ahead(targets: torch.Tensor, n_steps: int) -> torch.Tensor:
    """The very latents that come 1 to K steps later, (B, T, K, E)."""
    return torch.stack([targets.roll(-k, dims=1) for k in range(1, n_steps + 1)], dim=2)


def test_a_perfect_predictor_loses_nothing_and_a_random_one_log_18() -> None:
    torch.manual_seed(0)
    targets = nn.functional.normalize(torch.randn(8, 40, 64), dim=2) * 8  # ‖z‖² / √64 = 8
    perfect = contrast(predicted(30 * ahead(targets, 6), targets, [40] * 8), 2, 17, generator())
    assert float(perfect.loss) / int(perfect.n.sum()) < 1e-3
    assert torch.equal(perfect.correct, perfect.n.float())
    assert perfect.n.tolist() == [8 * (40 - k) for k in range(1, 7)]
    none = torch.zeros(8, 40, 6, 64)
    nothing = contrast(predicted(none, targets, [40] * 8), 2, 17, generator())
    assert float(nothing.loss) / int(nothing.n.sum()) == pytest.approx(math.log(18), rel=1e-5)
    np.testing.assert_allclose((nothing.correct / nothing.n).numpy(), 1 / 18, rtol=1e-4)


def test_an_oracle_of_all_negatives() -> None:
    """With two real steps per group, the one negative is known."""
    torch.manual_seed(1)
    targets, predictions = torch.randn(3, 5, 4), torch.randn(3, 5, 2, 4)
    made = contrast(predicted(predictions, targets, [2, 2, 2]), 3, 1, generator())
    assert made.n.tolist() == [3, 0]
    expected = 0.0
    for b in range(3):
        scores = targets[b, :2] @ predictions[b, 0, 0] / 2
        expected += float(scores.logsumexp(0) - scores[1])
    assert float(made.loss) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.integers(1, 9), min_size=9, max_size=9),
    st.integers(0, 1000),
)
def test_negatives_are_real_of_the_same_group_and_never_the_positive(
    n_groups: int, per_group: int, sizes: list[int], seed: int
) -> None:
    """Every step has a latent of its own: gradients tell which of them each prediction met."""
    b, t = n_groups * per_group, 9
    lengths = sizes[:b]
    targets = torch.eye(b * t).view(b, t, b * t)
    predictions = torch.zeros(b, t, 2, b * t, requires_grad=True)
    made = contrast(predicted(predictions, targets, lengths), n_groups, 40, generator(seed))
    (slopes,) = torch.autograd.grad(made.loss, predictions)
    n = torch.zeros(2, dtype=torch.long)
    for segment in range(b):
        group = range(segment // per_group * per_group, (segment // per_group + 1) * per_group)
        steps = {s * t + i for s in group for i in range(lengths[s])}
        for time in range(t):
            for k in (1, 2):
                slope = slopes[segment, time, k - 1]
                positive = segment * t + time + k
                if time + k >= lengths[segment] or len(steps) < 2:
                    assert not slope.any()
                    continue
                n[k - 1] += 1
                met = {int(i) for i in torch.nonzero(slope > 0)}
                assert met
                assert met <= steps - {positive}
                assert slope[positive] < 0
    assert made.n.tolist() == n.tolist()


def test_negatives_are_drawn_evenly() -> None:
    targets = torch.eye(24).view(2, 12, 24)
    predictions = torch.zeros(2, 12, 1, 24, requires_grad=True)
    made = contrast(predicted(predictions, targets, [12, 7]), 1, 5000, generator())
    (slopes,) = torch.autograd.grad(made.loss, predictions)
    shares = slopes[0, 3, 0].clone()
    assert shares[4] < 0
    shares[4] = shares[shares > 0].mean()
    np.testing.assert_allclose(shares[:19] / shares[:19].mean(), 1, atol=0.25)
    assert not shares[19:].any()


def test_the_context_sees_no_future() -> None:
    torch.manual_seed(0)
    network = ContextEncoder(
        NarrowEncoder(5, 16, 1, 8, 2), Quantizer(7, 8), nn.GRU(8, 6, batch_first=True)
    ).eval()
    x, lengths = torch.randn(2, 40, 5), torch.tensor([40, 40])
    changed = x.clone()
    changed[:, 30:] += 5
    before, after = network(x, lengths), network(changed, lengths)
    torch.testing.assert_close(before[:, :14], after[:, :14])
    assert (before[:, 15:] - after[:, 15:]).abs().max() > 0.01


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("context", [False, True])
def test_batched_equals_one_by_one(stride: int, context: bool) -> None:
    torch.manual_seed(0)
    network: nn.Module = NarrowEncoder(5, 16, 2, 6, stride)
    network.train()(torch.randn(4, 60, 5), torch.full((4,), 60))
    if context:
        network = ContextEncoder(network, None, nn.GRU(6, 7, batch_first=True))
    rng = np.random.default_rng(0)
    utterances = [rng.normal(size=(n, 5)).astype(np.float32) for n in (3, 1, 200, 9, 50, 8)]
    together = encoded(network, utterances, stride, "cpu")
    for utterance, latents in zip(utterances, together, strict=True):
        assert latents.shape == (-(-len(utterance) // stride), 7 if context else 6)
        (alone,) = encoded(network, [utterance], stride, "cpu")
        np.testing.assert_allclose(latents, alone, atol=1e-5)


def test_two_views_predict_each_other() -> None:
    torch.manual_seed(0)
    network = Cpc(NarrowEncoder(5, 16, 1, 8, 2), None, 8, 6, 3).eval()
    x, other, lengths = torch.randn(2, 20, 5), torch.randn(2, 20, 5), torch.tensor([20, 13])
    one, two, both = network(x, lengths), network(other, lengths), network(x, lengths, other)
    torch.testing.assert_close(both.predictions, one.predictions)
    torch.testing.assert_close(both.targets, two.targets)
    torch.testing.assert_close(both.real, one.real)
    assert one.predictions.shape == (2, 10, 3, 8)
    assert one.real.sum(dim=1).tolist() == [10, 7]
