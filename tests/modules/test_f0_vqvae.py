from typing import Literal

import pytest
import torch
from torch import Tensor

from zerochain.modules.vqvae import F0Errors, F0Vqvae, F0VqvaeConfig


def network(n_blocks: int = 1, stride: Literal[4, 8, 16] = 16) -> F0Vqvae:
    torch.manual_seed(0)
    net = F0Vqvae(F0VqvaeConfig(width=16, n_blocks=n_blocks, stride=stride))
    net.train()
    z, voiced = contours(8, 400)
    net(z, voiced, torch.full((8,), 400))  # moves the running statistics off their start
    return net.eval()


def contours(n: int, n_frames: int) -> tuple[Tensor, Tensor]:
    voiced = (torch.rand(n, n_frames // 10 + 1) < 0.6).float().repeat_interleave(10, 1)
    return torch.randn(n, n_frames) * voiced[:, :n_frames], voiced[:, :n_frames]


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("n_frames", [1, 2, 15, 16, 17, 31, 33, 160])
def test_a_unit_for_every_few_frames_or_part_of_them(
    n_frames: int, stride: Literal[4, 8, 16]
) -> None:
    net = network(stride=stride)
    units = net.encode(*contours(2, n_frames))
    n = -(-n_frames // stride)
    assert units.shape == (2, n)
    z, voiced = net.decode(units)
    assert z.shape == voiced.shape == (2, n * stride)
    assert ((voiced >= 0) & (voiced <= 1)).all()


@pytest.mark.parametrize("stride", [4, 16])
def test_batched_equals_one_by_one(stride: Literal[4, 16]) -> None:
    net = network(stride=stride)
    lengths = torch.tensor([200, 1, 77, 16])
    z, voiced = contours(4, 200)
    latents = net.latents(z, voiced, lengths)
    units = net.encode(z, voiced, lengths)
    n_units = -(-lengths // stride)
    decoded = net.decode(units, n_units)
    for row, (n, m) in enumerate(zip(lengths.tolist(), n_units.tolist(), strict=True)):
        part = z[row : row + 1, :n], voiced[row : row + 1, :n]
        alone = net.latents(*part, torch.tensor([n]))[0]
        torch.testing.assert_close(latents[row, :m], alone, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(units[row, :m], net.encode(*part)[0])
        for batched, single in zip(decoded, net.decode(units[row : row + 1, :m]), strict=True):
            torch.testing.assert_close(batched[row, : m * stride], single[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("n_blocks", "stride"), [(0, 16), (1, 16), (2, 16), (2, 4)])
def test_the_reach_is_what_it_says_and_no_further(n_blocks: int, stride: Literal[4, 16]) -> None:
    net, n = network(n_blocks, stride), 40
    z, voiced = contours(1, n * stride)
    voiced, lengths = torch.ones_like(voiced), torch.tensor([n * stride])
    base, middle = net.latents(z, voiced, lengths), 20
    first, last = middle * stride, middle * stride + stride - 1
    for beyond, frame in ((-1, first - net.encoder_reach), (1, last + net.encoder_reach)):
        for distance, expected in ((0, True), (beyond, False)):
            changed = z.clone()
            changed[0, frame + distance] += 50
            moved = (net.latents(changed, voiced, lengths) - base)[0, middle].abs().max() > 0
            assert bool(moved) == expected
    units = torch.randint(0, 20, (1, n))
    base = torch.stack(net.decode(units))
    changed = units.clone()
    changed[0, middle] = (changed[0, middle] + 1) % 20
    moved = (torch.stack(net.decode(changed)) - base).abs().amax(0)[0] > 0
    rows = moved.view(n, stride).any(1).nonzero().flatten().tolist()
    assert rows == list(range(middle - net.decoder_reach, middle + net.decoder_reach + 1))


def test_errors_of_batches_add_up_and_see_what_is_real_and_voiced_alone() -> None:
    true_z, voiced = contours(4, 50)
    z, logits = torch.randn(4, 50), torch.randn(4, 50)
    real = (torch.arange(50) < torch.tensor([50, 20, 1, 33])[:, None]).float()
    whole = F0Errors.of(z, logits, true_z, voiced, real)
    halves = [
        F0Errors.of(z[i], logits[i], true_z[i], voiced[i], real[i])
        for i in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close((halves[0] + halves[1]).loss, whole.loss)
    z, logits = z + 99 * (1 - voiced * real), logits + 99 * (1 - real)
    torch.testing.assert_close(F0Errors.of(z, logits, true_z, voiced, real).loss, whole.loss)


def test_nothing_voiced_is_an_error_in_voicing_alone() -> None:
    none = torch.zeros(2, 9)
    errors = F0Errors.of(torch.randn(2, 9), torch.zeros(2, 9), none, none, torch.ones(2, 9))
    assert float(errors.loss) == pytest.approx(0.6931, abs=1e-4)
