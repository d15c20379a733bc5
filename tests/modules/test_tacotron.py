"""Tacotron: padding, the end of speech, and attention that fails."""

import pytest
import torch

from zerochain.modules.synthesiser import Synthesiser, SynthesiserConfig, Target
from zerochain.modules.tacotron import Tacotron, misaligned

K, E, D, F = 5, 3, 6, 9


@pytest.fixture
def network() -> Tacotron:
    torch.manual_seed(0)
    return Tacotron(K, E, D, F, 8).eval()


def speech() -> tuple[torch.Tensor, ...]:
    """Symbols, counts, voices, frames, lengths of two utterances."""
    torch.manual_seed(1)
    symbols = torch.tensor([[K, 1, 2, 0, 4, K], [K, 3, K, K, K, K]])
    frames = torch.randn(2, 22, D)
    frames[1, 9:] = 0
    return symbols, torch.tensor([6, 3]), torch.randn(2, E), frames, torch.tensor([22, 9])


def test_padding_has_no_effect(network: Tacotron) -> None:
    symbols, counts, z, frames, lengths = speech()
    both = network(symbols, counts, z, frames, lengths)
    assert both.frames.shape == (2, 24, D)
    assert both.magnitude.shape == (2, 24, F)
    alone = network(symbols[1:, :3], counts[1:], z[1:], frames[1:, :9], lengths[1:])
    for one, other in (
        (alone.frames[0, :9], both.frames[1, :9]),
        (alone.ends[0, :9], both.ends[1, :9]),
        (alone.magnitude[0, :9], both.magnitude[1, :9]),
        (alone.attention[0], both.attention[1, :3, :3]),
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_each_step_follows_from_the_frames_before_it(network: Tacotron) -> None:
    symbols, counts, z, frames, lengths = speech()
    made = network(symbols, counts, z, frames, lengths)
    changed = frames.clone()
    changed[:, 12:] += 1.0
    again = network(symbols, counts, z, changed, lengths)
    torch.testing.assert_close(made.frames[:, :12], again.frames[:, :12])
    assert not torch.allclose(made.frames[:, 16:20], again.frames[:, 16:20])


def test_generation_is_what_teacher_forcing_by_itself_predicts(network: Tacotron) -> None:
    symbols, counts, z, _, _ = speech()
    made = network.generate(symbols, counts, z)
    again = network(symbols, counts, z, made.frames, torch.tensor([made.frames.shape[1]] * 2))
    torch.testing.assert_close(made.frames, again.frames, atol=1e-4, rtol=1e-3)
    alone = network.generate(symbols[1:, :3], counts[1:], z[1:])
    n = int(alone.lengths[0])
    assert int(made.lengths[1]) == n
    torch.testing.assert_close(made.frames[1, :n], alone.frames[0, :n], atol=1e-4, rtol=1e-3)


def test_distributions_are_symbols_where_they_are_certain(network: Tacotron) -> None:
    symbols, counts, z, frames, lengths = speech()
    one = network(symbols, counts, z, frames, lengths)
    sure = torch.nn.functional.one_hot(symbols, K + 1).float()
    torch.testing.assert_close(one.frames, network(sure, counts, z, frames, lengths).frames)


@pytest.mark.parametrize(
    ("bias", "lengths", "ended"), [(-50.0, [250, 175], False), (50.0, [1, 1], True)]
)
def test_speech_ends_or_is_cut(
    network: Tacotron, bias: float, lengths: list[int], ended: bool
) -> None:
    symbols, counts, z, _, _ = speech()
    with torch.no_grad():
        network.end.weight.zero_()
        network.end.bias.fill_(bias)
    made = network.generate(symbols, counts, z)
    assert made.lengths.tolist() == lengths
    if not ended:
        assert made.failed.all()
    assert made.frames.isfinite().all()


@pytest.mark.parametrize(
    ("peaks", "n_symbols", "failed"),
    [
        ([0, 1, 3, 5, 8, 9], 10, False),
        ([0, 1, 3, 3, 3, 3], 10, True),  # stops before the end
        ([0, 1, 11, 13, 15, 19], 20, True),  # leaves symbols out
        ([0, 8, 16, 4, 12, 19], 20, True),  # goes back
        ([0, 2, 4, 6, 7, 2], 10, True),
    ],
)
def test_failed_attention_is_found(peaks: list[int], n_symbols: int, failed: bool) -> None:
    attention = torch.nn.functional.one_hot(torch.tensor(peaks), 24).float()[None]
    longer = torch.nn.functional.pad(attention, (0, 0, 0, 3))  # beyond the end, it counts nothing
    for maps in (attention, longer):
        found = misaligned(maps, torch.tensor([4 * len(peaks) - 1]), torch.tensor([n_symbols]))
        assert found.tolist() == [failed]


def test_it_learns() -> None:
    torch.manual_seed(0)
    config = SynthesiserConfig(
        architecture="tacotron", width=16, n_symbols=K, n_vector=E, n_out=D, n_bins=F
    )
    network = Synthesiser(config)
    symbols, counts, z, noise, lengths = speech()
    frames = 2 + 0.3 * noise
    target = Target(torch.ones_like(symbols), frames, lengths)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for _ in range(20):
        made = network(symbols, counts, z, target)
        assert made.durations is None
        losses.append((made.frames[:, :22] - frames).square().mean())
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]
