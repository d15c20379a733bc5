import pytest
import torch
from torch import Tensor

from zerochain.modules.prosody import ProsodyConfig, ProsodyNet


def network(**options: int) -> ProsodyNet:
    torch.manual_seed(0)
    config = ProsodyConfig(n_units=10, width=8, n_f0_layers=3, voice_dim=4, **options)
    return ProsodyNet(config).eval()


def outputs(net: ProsodyNet, units: Tensor, lengths: Tensor, voices: Tensor | None) -> Tensor:
    """(3, B, T)"""
    voice = None if voices is None else net.voice(voices)
    return torch.stack([net.log_durations(units, lengths, voice), *net.f0(units, lengths, voice)])


@pytest.mark.parametrize("n_voices", [0, 3])
def test_batched_equals_one_by_one(n_voices: int) -> None:
    net, lengths = network(n_voices=n_voices), torch.tensor([30, 1, 17])
    units, voices = torch.randint(0, 10, (3, 30)), torch.tensor([0, 1, 2])
    together = outputs(net, units, lengths, voices)
    for row, n in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        alone = outputs(net, units[one, :n], lengths[one], voices[one])
        torch.testing.assert_close(together[:, row, :n], alone[:, 0])


def test_f0_sees_as_far_as_it_says_and_no_further() -> None:
    net, lengths = network(), torch.tensor([60])
    units = torch.randint(0, 10, (1, 60))
    changed = units.clone()
    changed[0, 30] = (changed[0, 30] + 1) % 10
    base, moved = (torch.stack(net.f0(u, lengths, None)) for u in (units, changed))
    seen = ((base - moved).abs().amax(dim=(0, 1)) > 0).nonzero().flatten().tolist()
    assert net.f0_reach == 7
    assert seen == list(range(23, 38))


def test_durations_start_from_the_means_that_they_are_given() -> None:
    net, units, means = network(n_voices=2), torch.randint(0, 10, (2, 9)), torch.randn(10)
    net.start_from(means)
    made = net.log_durations(units, torch.tensor([9, 9]), net.voice(torch.tensor([0, 1])))
    torch.testing.assert_close(made, means[units])


def test_voices_differ_and_no_voice_is_the_vector_of_zeros() -> None:
    net, lengths = network(n_voices=2), torch.tensor([9, 9])
    units = torch.randint(0, 10, (1, 9)).expand(2, 9)
    made = outputs(net, units, lengths, torch.tensor([0, 1]))
    assert (made[:, 0] - made[:, 1]).abs().amax() > 1e-3
    none = outputs(net, units, lengths, None)
    torch.testing.assert_close(none[:, 0], none[:, 1])
    zeros = [net.log_durations(units, lengths, torch.zeros(2, 4))]
    torch.testing.assert_close(none[:1], torch.stack(zeros))


def test_in_training_a_voice_is_sometimes_left_out() -> None:
    net = network(n_voices=2).train()
    vectors = net.voice(torch.ones(1000, dtype=torch.long))
    assert vectors is not None
    left_out = (vectors == 0).all(1).float().mean()
    assert 0.05 < left_out < 0.15


def test_a_voice_by_its_number_is_the_voice_by_its_reference() -> None:
    net = network(n_voices=2, n_reference=5)
    net.voices.references.copy_(torch.randn(2, 5))
    by_number, by_vector = net.voice(torch.tensor([1])), net.voice(net.voices.references[1:])
    torch.testing.assert_close(by_number, by_vector)


def test_forward_is_both_predictors() -> None:
    net = network(n_voices=2)
    units, frames = torch.randint(0, 10, (2, 7)), torch.randint(0, 10, (2, 20))
    n, m, voices = torch.tensor([7, 3]), torch.tensor([20, 20]), torch.tensor([0, 1])
    made = net(units, n, frames, m, voices, voices.flip(0))
    torch.testing.assert_close(made.log_durations, net.log_durations(units, n, net.voice(voices)))
    z, voicing = net.f0(frames, m, net.voice(voices.flip(0)))
    torch.testing.assert_close(made.z, z)
    torch.testing.assert_close(made.voicing, voicing)


@pytest.mark.parametrize(("wide", "reach"), [(0, 3), (2, 9)])
def test_durations_see_as_far_as_their_layers_reach(wide: int, reach: int) -> None:
    net, lengths = network(n_wide_duration_layers=wide, duration_width=16), torch.tensor([40])
    units = torch.randint(0, 10, (1, 40))
    changed = units.clone()
    changed[0, 20] = (changed[0, 20] + 1) % 10
    base, moved = (net.log_durations(u, lengths, None) for u in (units, changed))
    assert (base != moved)[0].nonzero().flatten().tolist() == list(range(20 - reach, 21 + reach))
