import numpy as np
import pytest
import torch

from zerochain.discovery.neural import encoded
from zerochain.modules.convnext import ConvNextDecoder, ConvNextEncoder


def encoder(stride: int = 4, n_blocks: int = 2, kernel: int = 5) -> ConvNextEncoder:
    torch.manual_seed(0)
    return ConvNextEncoder(5, 6, width=16, n_blocks=n_blocks, kernel=kernel, stride=stride)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_batched_equals_one_by_one(stride: int) -> None:
    network = encoder(stride)
    rng = np.random.default_rng(0)
    utterances = [rng.normal(size=(n, 5)).astype(np.float32) for n in (3, 1, 200, 9, 50, 8)]
    together = encoded(network, utterances, stride, "cpu")
    for utterance, latents in zip(utterances, together, strict=True):
        assert latents.shape == (-(-len(utterance) // stride), 6)
        (alone,) = encoded(network, [utterance], stride, "cpu")
        np.testing.assert_allclose(latents, alone, atol=1e-5)


def test_what_lies_beyond_the_end_changes_nothing() -> None:
    network = encoder().eval()
    x, lengths = torch.randn(2, 40, 5), torch.tensor([40, 13])
    dirty = x.clone()
    dirty[1, 13:] = 99
    torch.testing.assert_close(network(x, lengths), network(dirty, lengths))
    assert not network(x, lengths)[1, 4:].any()


def test_a_latent_depends_on_its_receptive_field_alone() -> None:
    """The first layer sees a step and its neighbours, each block kernel // 2 steps more."""
    stride, n_blocks, kernel = 4, 2, 5
    x = torch.randn(1, 160, 5, requires_grad=True)
    network = encoder(stride, n_blocks, kernel).eval()
    network(x, torch.tensor([160]))[0, 20].sum().backward()
    (seen,) = torch.nonzero(x.grad[0].abs().sum(dim=1), as_tuple=True)
    reach = 1 + n_blocks * (kernel // 2)
    assert (int(seen[0]), int(seen[-1])) == ((20 - reach) * stride, (21 + reach) * stride - 1)


@pytest.mark.parametrize("stride", [1, 4])
def test_decoding_ignores_codes_in_padding(stride: int) -> None:
    torch.manual_seed(0)
    decoder = ConvNextDecoder(7, 5, width=16, n_blocks=2, kernel=3, stride=stride).eval()
    codes, lengths = torch.randn(2, 9, 7), torch.tensor([9, 4])
    x = decoder(codes, lengths)
    assert x.shape == (2, 9 * stride, 5)
    alone = decoder(codes[1:, :4], lengths[1:])
    torch.testing.assert_close(x[1, : 4 * stride], alone[0])
