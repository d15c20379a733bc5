import copy
import math

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zerochain.modules.vqvae import Quantizer, jittered

K, D = 6, 3


def quantizer(**options: object) -> Quantizer:
    torch.manual_seed(0)
    made = Quantizer(K, D, **{"restart_below": 0.0, **options})
    made.start(torch.randn(K, D))
    return made


def latents(batch: int = 4, steps: int = 10) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, steps, D, generator=generator)


@pytest.mark.parametrize("ema", [True, False])
def test_codes_are_the_nearest_and_gradients_pass_straight(ema: bool) -> None:
    made, z = quantizer(ema=ema), latents().requires_grad_()
    codebook = made.codebook.detach().clone()
    result = made.eval()(z)
    distances = (z[..., None, :] - codebook).square().sum(-1)
    assert torch.equal(result.units, distances.argmin(-1))
    torch.testing.assert_close(result.vectors, codebook[result.units])
    towards = torch.randn_like(z)
    (result.vectors * towards).sum().backward()
    assert torch.equal(z.grad, towards)


def test_gradients_of_the_loss_are_the_formulas() -> None:
    made, z = quantizer(ema=False, commitment=0.25), latents().requires_grad_()
    result = made(z)
    result.loss.backward()
    codes = made.codebook.detach()[result.units]
    n = z.numel()
    assert result.loss.item() == pytest.approx(1.25 * (z - codes).square().mean().item())
    torch.testing.assert_close(z.grad, 0.25 * 2 * (z - codes).detach() / n)
    expected = torch.zeros(K, D)
    for unit, vector in zip(result.units.flatten(), z.detach().flatten(0, 1), strict=True):
        expected[unit] += 2 * (made.codebook.detach()[unit] - vector) / n
    torch.testing.assert_close(made.codebook.grad, expected)


def test_a_moving_average_codebook_has_no_gradient_and_loses_the_first_term() -> None:
    made, z = quantizer(ema=True, commitment=0.5), latents()
    codebook = made.codebook.clone()
    result = made(z)
    assert not list(made.parameters())
    error = (z - codebook[result.units]).square().mean()
    assert result.loss.item() == pytest.approx(0.5 * error.item())


def test_moving_averages_equal_a_loop() -> None:
    made, decay = quantizer(ema=True, decay=0.9), 0.9
    counts, sums = torch.ones(K).double(), made.codebook.double()
    mask = torch.rand(4, 10) < 0.7
    for _ in range(5):
        z = torch.randn(4, 10, D)
        units = made(z, mask).units
        now, total = torch.zeros(K).double(), torch.zeros(K, D).double()
        for b, t in mask.nonzero().tolist():
            now[units[b, t]] += 1
            total[units[b, t]] += z[b, t]
        counts = decay * counts + (1 - decay) * now * K / mask.sum()
        sums = decay * sums + (1 - decay) * total * K / mask.sum()
    torch.testing.assert_close(made.usage.double(), counts, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made.codebook.double(), sums / counts[:, None], atol=1e-3, rtol=1e-3)
    shares = counts / counts.sum()
    perplexity = math.exp(-(shares * shares.log()).sum())
    assert made.eval()(z, mask).perplexity.item() == pytest.approx(perplexity, rel=1e-3)


def test_it_converges_to_clusters() -> None:
    """From most starts: from some, two codes share a cluster and neither of them dies."""
    converged = []
    for seed in range(7):
        torch.manual_seed(seed)
        centres = torch.randn(K, D) * 10
        made = Quantizer(K, D, decay=0.8, restart_below=0.1)
        for _ in range(300):
            z = centres[torch.randint(K, (4, 50))] + 0.1 * torch.randn(4, 50, D)
            result = made(z)
        assert result.n_used == K
        error = (z - result.vectors).square().mean()
        converged.append(bool(error < 0.05 and result.perplexity > K - 0.5))
    assert sum(converged) > len(converged) // 2


@pytest.mark.parametrize("ema", [True, False])
def test_dead_codes_begin_again_at_real_latents(ema: bool) -> None:
    made = quantizer(ema=ema, decay=0.5, restart_below=0.05)
    away = torch.cat([torch.zeros(1, D), torch.full((K - 1, D), 1e3)])
    made.start(away)
    z, mask = latents(), torch.ones(4, 10)
    z[:, 2:], mask[:, 2:] = 77.0, 0
    for _ in range(6):
        used = made(z, mask).n_used
    assert made.codebook.abs().max() < 10  # neither far away nor where there is no speech
    assert used == K
    assert made.usage.isfinite().all()


def test_without_restarts_a_dead_code_stays_where_it_is() -> None:
    made = quantizer(ema=True, decay=0.5)
    codebook = made.codebook.clone()
    codebook[0] = 50
    made.start(codebook)
    for _ in range(8):
        result = made(latents())
    torch.testing.assert_close(made.codebook[0], codebook[0], rtol=1e-2, atol=0)
    assert result.perplexity < K


def test_padded_steps_change_nothing() -> None:
    one, two = quantizer(), quantizer()
    z, mask = latents(), torch.ones(4, 10)
    mask[1:, 6:] = 0
    dirty = torch.where(mask[..., None] > 0, z, 1e4)
    clean, other = one(z, mask), two(dirty, mask)
    torch.testing.assert_close(clean.loss, other.loss)
    torch.testing.assert_close(one.state_dict(), two.state_dict())


def test_jitter_moves_by_one_step_and_within_what_is_real() -> None:
    torch.manual_seed(0)
    vectors = torch.arange(200.0).view(1, -1, 1).expand(500, -1, 2)
    real = torch.ones(500, 200)
    real[:, 150:] = 0
    moves = (jittered(vectors, real, 0.5) - vectors)[..., 0]
    assert set(moves.unique().tolist()) == {-1, 0, 1}
    inside = moves[:, 1:149]
    for move, expected in ((-1, 0.25), (0, 0.5), (1, 0.25)):
        assert (inside == move).float().mean().item() == pytest.approx(expected, abs=0.01)
    assert not (moves[:, 0] == -1).any()
    assert not (moves[:, 149] == 1).any()


def test_jitter_is_for_training_alone() -> None:
    made, z = quantizer(jitter=1.0), latents()
    codebook = made.codebook.clone()
    result = made(z)
    assert not torch.equal(result.vectors, codebook[result.units])
    codebook = made.codebook.clone()
    result = made.eval()(z)
    torch.testing.assert_close(result.vectors, codebook[result.units])


@pytest.mark.parametrize("ema", [True, False])
def test_evaluation_changes_no_state(ema: bool) -> None:
    made = quantizer(ema=ema, restart_below=0.5).eval()
    before = copy.deepcopy(made.state_dict())
    made(latents())
    torch.testing.assert_close(made.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("ema", [True, False])
def test_its_state_is_floats_that_can_be_averaged_and_restored(ema: bool) -> None:
    made = quantizer(ema=ema, restart_below=0.3, jitter=0.3)
    averaged = AveragedModel(made, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    for _ in range(5):
        made(latents())
        averaged.update_parameters(made)
    assert all(value.is_floating_point() for value in made.state_dict().values())
    assert all(value.isfinite().all() for value in averaged.module.state_dict().values())
    again = Quantizer(K, D, ema=ema, restart_below=0.3, jitter=0.3)
    again.load_state_dict(made.state_dict())
    results = []
    for copied in (made, again):
        torch.manual_seed(5)
        results.append([copied(latents()).vectors for _ in range(3)])
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_autocast_does_not_blur_the_distances() -> None:
    made, z = quantizer().eval(), latents()
    made.start(made.codebook + 1000)
    plain = made(z + 1000).units
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(z + 1000).units, plain)
