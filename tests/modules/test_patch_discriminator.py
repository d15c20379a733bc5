import pytest
import torch

from zerochain.modules.discriminators import (
    REACH,
    Judgement,
    PatchDiscriminator,
    discriminator_loss,
)


def judge(spectrum: torch.Tensor, network: PatchDiscriminator) -> Judgement:
    (judgement,) = network(spectrum)
    return judgement


@pytest.mark.parametrize(("n_frames", "n_bins"), [(1, 1), (3, 33), (32, 257), (33, 1025)])
def test_a_score_for_every_4_frames_and_64_bins(n_frames: int, n_bins: int) -> None:
    torch.manual_seed(0)
    made = judge(torch.randn(2, n_frames, n_bins), PatchDiscriminator(n_bins, 4))
    assert made.score.shape == (2, -(-n_frames // 4), -(-n_bins // 64))
    assert len(made.features) == 4
    assert all(len(x) == 2 for x in made.features)


def test_a_score_depends_on_its_patch_alone() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(700, 4).eval()
    spectrum = torch.randn(1, 81, 700, requires_grad=True)
    score = judge(spectrum, network).score[0, 10, 5]  # of frame 40 and bin 320
    (slope,) = torch.autograd.grad(score, spectrum)
    frames = slope[0].abs().sum(1).nonzero().flatten()
    bins = slope[0].abs().sum(0).nonzero().flatten()
    assert frames.tolist() == list(range(40 - REACH, 40 + REACH + 1))
    assert (int(bins[0]), int(bins[-1])) == (320 - 172, 320 + 172)


def test_it_learns_where_a_pattern_is_not_only_what_it_is() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(256, 4).eval()
    spectrum = torch.ones(1, 64, 256)
    before = judge(spectrum, network).score[0, 8]
    with torch.no_grad():
        network.position[..., 48:] += 0.5  # the upper quarter
    after = judge(spectrum, network).score[0, 8]
    assert after[0] == before[0]
    assert after[3] != before[3]


def test_its_slope_stays_bounded_whatever_it_gains_by_a_steeper_one() -> None:
    """WGAN on two constant patterns: the loss of an unbounded network falls for ever."""
    torch.manual_seed(0)
    network = PatchDiscriminator(33, 4)
    optimiser = torch.optim.Adam(network.parameters(), 0.1)
    real, made = torch.ones(2, 16, 33), -torch.ones(2, 16, 33)
    losses = []
    for _ in range(40):
        loss = discriminator_loss(network(real), network(made), "wgan")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    gains = [
        float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2))
        for layer in [*network.layers, network.output]
    ]
    assert gains == pytest.approx([1] * 5, rel=0.05)
    # A convolution's slope is at most its matrix's times the square root of the kernel's size.
    steepest = 1.0
    for area in (27, 15, 15, 9, 9):
        steepest *= area**0.5
    change = float((real - made).flatten(1).norm(dim=1).max())
    assert min(losses) < losses[0]
    assert -losses[-1] < steepest * change


def test_it_learns_to_tell_blurred_from_sharp() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(65, 4)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3, (0.5, 0.9))
    for _ in range(80):
        noise = torch.randn(8, 16, 65)
        loss = discriminator_loss(network(noise), network(noise * 0.3))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    noise = torch.randn(8, 16, 65)
    assert judge(noise, network).score.mean() > judge(noise * 0.3, network).score.mean() + 0.5
