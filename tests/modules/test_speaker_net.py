import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from zerochain.modules.speaker_encoder import (
    AttentivePooling,
    SpeakerClassifier,
    SpeakerNet,
    SpeakerNetConfig,
)

CONFIG = SpeakerNetConfig(n_in=20, width=8, dim=6, n_blocks=2)


@pytest.fixture
def network() -> SpeakerNet:
    torch.manual_seed(0)
    network = SpeakerNet(CONFIG)
    network.train()
    for _ in range(20):  # normalisations that have seen something
        network(30 * torch.randn(4, 50, 20), torch.full((4,), 50))
    return network.eval()


@pytest.fixture
def speech() -> Tensor:
    return 30 * torch.randn(3, 61, 20, generator=torch.Generator().manual_seed(1)) - 40


def test_vectors_have_unit_length(network: SpeakerNet, speech: Tensor) -> None:
    y = network(speech, torch.tensor([61, 61, 61]))
    assert y.shape == (3, 6)
    torch.testing.assert_close(y.norm(dim=1), torch.ones(3))
    assert (y[0] - y[1]).norm() > 0.01


def test_padding_changes_nothing(network: SpeakerNet, speech: Tensor) -> None:
    lengths = torch.tensor([61, 40, 7])
    together = network(speech, lengths)
    for i, n in enumerate(lengths):
        alone = network(speech[i : i + 1, :n], lengths[i : i + 1])[0]
        torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=0)


def test_a_level_is_no_voice_but_a_timbre_is_one(network: SpeakerNet, speech: Tensor) -> None:
    """A gain adds a constant to all bands in dB, a filter one to each."""
    lengths = torch.tensor([61, 61, 61])
    y = network(speech, lengths)
    torch.testing.assert_close(network(speech + 6, lengths), y, atol=1e-4, rtol=0)
    tilted = speech + torch.linspace(-10, 10, 20)
    assert (network(tilted, lengths) - y).norm(dim=1).min() > 0.01


def test_pooling_with_even_weights_gives_mean_and_deviation() -> None:
    pooling = AttentivePooling(3, 4)
    torch.nn.init.zeros_(pooling.weights.weight)
    torch.nn.init.zeros_(pooling.weights.bias)
    y = torch.randn(2, 3, 1, 9)
    mask = torch.ones(2, 1, 1, 9)
    mask[1, ..., 5:] = 0
    pooled = pooling(y, mask)
    for i, n in enumerate((9, 5)):
        real = y[i, :, 0, :n]
        torch.testing.assert_close(pooled[i, :3], real.mean(dim=1))
        spread = (real.var(dim=1, correction=0) + 1e-4).sqrt()
        torch.testing.assert_close(pooled[i, 3:], spread)


def test_pooling_attends() -> None:
    torch.manual_seed(0)
    pooling, y = AttentivePooling(3, 4), torch.randn(1, 3, 1, 9)
    even = torch.cat([y.mean(dim=-1), y.std(dim=-1, correction=0)], dim=1).flatten(1)
    assert (pooling(y, torch.ones(1, 1, 1, 9)) - even).abs().max() > 0.01


def test_the_margin_is_taken_from_the_true_speaker_alone() -> None:
    network = SpeakerClassifier(SpeakerNet(CONFIG), 4, margin=0.3, scale=10.0)
    cosines, speakers = torch.rand(5, 4) * 2 - 1, torch.tensor([0, 3, 1, 1, 2])
    lowered = cosines.clone()
    for row, speaker in enumerate(speakers):
        lowered[row, speaker] -= 0.3
    expected = cross_entropy(10 * lowered, speakers, reduction="none")
    torch.testing.assert_close(network.loss(cosines, speakers), expected)


def test_what_is_classified_are_cosines(network: SpeakerNet, speech: Tensor) -> None:
    classifier = SpeakerClassifier(network, 4)
    classifier.directions.data *= 7
    lengths = torch.tensor([61, 61, 61])
    y = network(speech, lengths)
    expected = torch.cosine_similarity(y[:, None], classifier.directions[None], dim=-1)
    torch.testing.assert_close(classifier(speech, lengths), expected)
