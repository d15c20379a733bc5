import pytest
import torch
from torch import nn

from zerochain.errors import InputError
from zerochain.modules.encoder import Decoder, Encoder, EncoderConfig
from zerochain.modules.vqvae import ConditionalVqvae, PublishedDecoder, PublishedEncoder, Quantizer

STRIDES = [1, 2, 4, 8]


def settled(module: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    """In evaluation, after batch norm has seen something."""
    module.train()(*inputs)
    return module.eval()


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("n", [1, 7, 32])
def test_published_shapes(stride: int, n: int) -> None:
    lengths = torch.tensor([n, (n + 1) // 2])
    steps = -(-lengths // stride)
    encoder = PublishedEncoder(39, 64, stride, width=4)
    latents = encoder(torch.randn(2, n, 39), lengths)
    assert latents.shape == (2, -(-n // stride), 64)
    decoder = PublishedDecoder(96, 39, stride, width=4)
    x = decoder(torch.randn(2, latents.shape[1], 96), steps)
    assert x.shape == (2, latents.shape[1] * stride, 39)


def test_published_layers_are_the_figures() -> None:
    shapes = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        shapes.append(tuple(output.shape[1:]))

    encoder, decoder = PublishedEncoder(39, 64, 4), PublishedDecoder(96, 39, 4)
    for layer in [*encoder.layers, *decoder.layers, decoder.last]:
        layer.register_forward_hook(note)
    encoder(torch.randn(1, 8, 39), torch.tensor([8]))
    assert [shape[2] for shape in shapes] == [39, 20, 10, 5, 3, 1, 1]
    assert [shape[1] for shape in shapes] == [8, 4, 2, 2, 2, 2, 2]
    assert all(shape[0] == 256 for shape in shapes)
    kernels = [tuple(layer[0].kernel_size) for layer in encoder.layers]
    assert kernels == [(3, 3), (3, 3), (1, 3), (1, 3), (1, 3), (1, 3), (1, 3)]
    shapes.clear()
    decoder(torch.randn(1, 2, 96), torch.tensor([2]))
    assert [shape[2] for shape in shapes] == [1, 3, 5, 10, 20, 40, 39]
    assert [shape[1] for shape in shapes] == [2, 2, 2, 2, 4, 8, 8]
    assert [shape[0] for shape in shapes] == [256] * 6 + [1]


def test_the_published_encoder_sees_five_frames() -> None:
    encoder = PublishedEncoder(39, 8, 4, width=4).eval()
    x, lengths = torch.randn(1, 40, 39), torch.tensor([40])
    seen = []
    for t in range(40):
        changed = x.clone()
        changed[0, t] += 1
        if not torch.equal(encoder(x, lengths)[0, 5], encoder(changed, lengths)[0, 5]):
            seen.append(t)
    assert len(seen) == 5


@pytest.mark.parametrize("stride", STRIDES)
def test_published_batched_equals_one_by_one(stride: int) -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([30, 1, 17])
    x = torch.randn(3, 30, 39)
    encoder = settled(PublishedEncoder(39, 6, stride, width=4), x, torch.full((3,), 30))
    together = encoder(x, lengths)
    for row, n in enumerate(lengths.tolist()):
        alone = encoder(x[row : row + 1, :n], torch.tensor([n]))[0]
        torch.testing.assert_close(together[row, : len(alone)], alone)
        assert not together[row, len(alone) :].any()


@pytest.mark.parametrize("n", [40, 80, 13])
def test_the_published_network_takes_39_dimensions(n: int) -> None:
    for make in (lambda: PublishedEncoder(n, 64, 4), lambda: PublishedDecoder(96, n, 4)):
        with pytest.raises(InputError, match=f"39 dimensions, these have {n}"):
            make()


@pytest.mark.parametrize("stride", STRIDES)
def test_decoders_do_not_see_beyond_the_end(stride: int) -> None:
    torch.manual_seed(0)
    codes, lengths = torch.randn(2, 9, 12), torch.tensor([9, 4])
    dirty = codes.clone()
    dirty[1, 4:] = 99
    for decoder in (Decoder(12, 5, 8, 2, stride), PublishedDecoder(12, 39, stride, 4)):
        settled(decoder, codes, torch.tensor([9, 9]))
        x = decoder(codes, lengths)
        assert x.shape[:2] == (2, 9 * stride)
        torch.testing.assert_close(x, decoder(dirty, lengths))
        alone = decoder(codes[1:, :4], lengths[1:])
        torch.testing.assert_close(x[1:, : 4 * stride], alone)


def network(stride: int = 4, n_speakers: int = 3) -> ConditionalVqvae:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(n_in=5, width=16, n_blocks=1, dim=6, stride=stride))
    quantizer = Quantizer(8, 6, ema=False, restart_below=0)
    return ConditionalVqvae(encoder, quantizer, Decoder(38, 5, 16, 1, stride), stride, n_speakers)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("n", [1, 13, 32])
def test_as_many_frames_come_out_as_went_in(stride: int, n: int) -> None:
    made = network(stride)(torch.randn(2, n, 5), torch.tensor([n, 1]), torch.tensor([0, 3]))
    assert made.x.shape == (2, n, 5)
    assert made.quantized.units.shape == (2, -(-n // stride))


def test_every_part_learns_from_the_reconstruction() -> None:
    vqvae = network()
    made = vqvae(torch.randn(2, 32, 5), torch.tensor([32, 20]), torch.tensor([0, 1]))
    (made.x.square().mean() + made.quantized.loss).backward()
    without = [name for name, p in vqvae.named_parameters() if p.grad is None]
    assert not without
    assert vqvae.encoder.first.conv.weight.grad.any()
    assert vqvae.speakers.weight.grad[:2].any()
    assert not vqvae.speakers.weight.grad[2:].any()


def test_the_speaker_changes_the_reconstruction_and_not_the_units() -> None:
    vqvae = settled(network(), torch.randn(4, 32, 5), torch.full((4,), 32), torch.zeros(4).long())
    x, lengths = torch.randn(1, 32, 5), torch.tensor([32])
    one, two = (vqvae(x, lengths, torch.tensor([speaker])) for speaker in (0, 1))
    assert torch.equal(one.quantized.units, two.quantized.units)
    assert not torch.allclose(one.x, two.x)
