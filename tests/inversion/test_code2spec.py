import pytest
import torch

from zerochain.modules.code2spec import REACH, Code2Spec, Code2SpecConfig
from zerochain.modules.encoder import MultiScaleConv1d


def network(width: int = 16) -> Code2Spec:
    torch.manual_seed(0)
    net = Code2Spec(Code2SpecConfig(n_units=10, n_bins=33, width=width))
    net.train()
    net(torch.randint(0, 11, (8, 50)))  # moves the running statistics off their start
    return net.eval()


def test_the_published_size() -> None:
    """FACTS: width as the total over a layer's kernels gives 14 million parameters."""
    net = Code2Spec(Code2SpecConfig(n_units=256, width=1024, correct_means=False))
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(14.2e6, rel=0.01)


def test_shapes() -> None:
    assert network()(torch.zeros(3, 7, dtype=torch.long)).shape == (3, 7, 33)


def test_a_frame_depends_on_its_reach_and_no_further() -> None:
    net = network()
    units = torch.randint(0, 10, (1, 80))
    base = net(units)
    changed = units.clone()
    changed[0, 40] = (changed[0, 40] + 1) % 10
    moved = (net(changed) - base).abs().amax(dim=(0, 2)) > 1e-7
    assert moved.nonzero().flatten().tolist() == list(range(40 - REACH, 40 + REACH + 1))


def test_batched_equals_one_by_one_with_nothing_around() -> None:
    net = network()
    pad = torch.full((REACH,), 10)
    short, long = torch.randint(0, 10, (5,)), torch.randint(0, 10, (30,))
    alone = net(torch.cat([pad, short, pad])[None])[0, REACH : REACH + 5]
    row = torch.cat([pad, short, pad, torch.full((25,), 10)])
    both = torch.stack([row, torch.cat([pad, long, pad])])
    torch.testing.assert_close(net(both)[0, REACH : REACH + 5], alone)


def test_it_starts_from_the_means_that_it_is_given() -> None:
    net, means = network(), torch.randn(11, 33)
    net.start_from(means)
    units = torch.randint(0, 11, (2, 9))
    torch.testing.assert_close(net(units), means[units])


def test_channels_are_shared_evenly() -> None:
    layer = MultiScaleConv1d(3, 8, (1, 3, 5, 7))
    assert [scale.out_channels for scale in layer.scales] == [2, 2, 2, 2]
    with pytest.raises(ValueError, match="10 channels"):
        MultiScaleConv1d(3, 10, (1, 3, 5, 7))
