import numpy as np
import pytest
import torch

from zerochain.discovery.neural import encoded
from zerochain.modules.encoder import Encoder, EncoderConfig


@pytest.mark.parametrize("tail", ["none", "gru", "transformer"])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("instance_norm", [False, True])
def test_batched_equals_one_by_one(tail: str, stride: int, instance_norm: bool) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(
        n_in=5, width=16, n_blocks=2, dim=6, stride=stride, tail=tail, instance_norm=instance_norm
    )
    encoder = Encoder(config)
    encoder.train()(torch.randn(4, 60, 5), torch.full((4,), 60))  # batch norm sees something
    rng = np.random.default_rng(0)
    utterances = [rng.normal(size=(n, 5)).astype(np.float32) for n in (3, 1, 200, 9, 50, 8)]
    together = encoded(encoder, utterances, stride, "cpu")
    for utterance, latents in zip(utterances, together, strict=True):
        assert latents.shape == (-(-len(utterance) // stride), 6)
        (alone,) = encoded(encoder, [utterance], stride, "cpu")
        np.testing.assert_allclose(latents, alone, atol=1e-4)


def test_what_lies_beyond_the_end_changes_nothing() -> None:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(n_in=5, width=16, n_blocks=1, dim=6, stride=4)).eval()
    x, lengths = torch.randn(2, 40, 5), torch.tensor([40, 13])
    dirty = x.clone()
    dirty[1, 13:] = 99
    torch.testing.assert_close(encoder(x, lengths), encoder(dirty, lengths))
    assert not encoder(x, lengths)[1, 4:].any()
