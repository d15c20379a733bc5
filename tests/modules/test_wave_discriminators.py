import pytest
import torch

from zerochain.modules.discriminators import (
    Discriminators,
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    MultiResolutionPatchDiscriminator,
    MultiScaleDiscriminator,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
)

ALL = (
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
    MultiResolutionDiscriminator,
    MultiResolutionPatchDiscriminator,
)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("width", [0.02, 1 / 8, 0.3])
def test_one_judgement_a_part_of_every_wave(kind: type, width: float) -> None:
    judgements = kind(width=width)(torch.randn(2, 3001))
    assert len(judgements) == (5 if kind is MultiPeriodDiscriminator else 3)
    for score, features in judgements:
        assert len(score) == 2
        assert score.isfinite().all()
        is_patches = kind is MultiResolutionPatchDiscriminator
        assert len(features) >= (4 if is_patches else 6)
        assert (features[-1] is score) != is_patches


@pytest.mark.parametrize("kind", ALL)
def test_gradients_reach_all_parameters_and_the_wave(kind: type) -> None:
    torch.manual_seed(0)
    discriminator, wave = kind(width=1 / 16), torch.randn(2, 4000, requires_grad=True)
    real, made = discriminator(torch.randn(2, 4000)), discriminator(wave)
    loss = discriminator_loss(real, made) + generator_loss(made) + feature_matching_loss(real, made)
    loss.backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert wave.grad is not None
    assert (wave.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("n", [1, 7, 100])
@torch.no_grad()
def test_very_short_and_silent_waves(kind: type, n: int) -> None:
    for score, _ in kind(width=1 / 16)(torch.zeros(1, n)):
        assert score.isfinite().all()


@torch.no_grad()
def test_each_batch_row_is_judged_alone() -> None:
    torch.manual_seed(0)
    several = Discriminators(*(kind(width=1 / 16) for kind in ALL)).eval()
    waves = torch.randn(3, 2500)
    together = several(waves)
    assert len(together) == 5 + 3 + 3 + 3
    for judgement, alone in zip(together, several(waves[1:2]), strict=True):
        torch.testing.assert_close(judgement.score[1:2], alone.score, atol=1e-4, rtol=1e-3)


def test_a_period_sees_only_its_own_samples() -> None:
    """What moves by a whole period moves between columns of no other period."""
    layers = MultiPeriodDiscriminator((4,), width=1 / 16).eval()
    wave = torch.zeros(1, 800)
    silent = layers(wave)[0].score
    wave[0, 402] = 1
    changed = (layers(wave)[0].score - silent).abs().amax(dim=(0, 1, 2))
    assert changed[2] > 0
    assert not changed[[0, 1, 3]].any()


def test_learns_to_tell_noise_from_a_tone() -> None:
    torch.manual_seed(0)
    discriminator = Discriminators(*(kind(width=1 / 32) for kind in ALL))
    optimiser = torch.optim.AdamW(discriminator.parameters(), 5e-3)
    tone = torch.sin(torch.arange(1024) * 0.1)[None].expand(2, -1)
    for _ in range(15):
        loss = discriminator_loss(discriminator(tone), discriminator(torch.randn(2, 1024)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.4 * 11
