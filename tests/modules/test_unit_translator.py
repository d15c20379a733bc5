"""Networks that translate: batches, causality, caches, positions."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from zerochain.modules.conformer import Attention, rotated, sinusoids
from zerochain.modules.decoders import begin_of, select
from zerochain.modules.unit_translator import TranslatorConfig, UnitTranslator

SMALL = {"width": 16, "n_heads": 2, "n_encoder_layers": 3, "n_decoder_layers": 2, "n_units": 7}
RNN = {"decoder_width": 24, "embedding": 8}
LENGTHS = torch.tensor([41, 17, 30, 1])


def network(**options: object) -> UnitTranslator:
    torch.manual_seed(0)
    return UnitTranslator(TranslatorConfig(**{"n_in": 5, **SMALL, **RNN, **options})).eval()


def speech(from_units: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if from_units:
        return torch.randint(0, 5, (4, 41), generator=generator)
    return torch.randn(4, 41, 5, generator=generator)


def tokens(n: int, rows: int = 4) -> Tensor:
    said = torch.randint(0, 7, (rows, n), generator=torch.Generator().manual_seed(2))
    return torch.cat([torch.full((rows, 1), begin_of(7)), said], dim=1)


@pytest.mark.parametrize("architecture", ["conformer", "rnn", "ctc"])
@pytest.mark.parametrize("from_units", [False, True])
@pytest.mark.parametrize("subsampling", [1, 2, 8])
def test_batched_equals_one_by_one(architecture: str, from_units: bool, subsampling: int) -> None:
    model = network(
        architecture=architecture,
        from_units=from_units,
        subsampling=subsampling,
        upsampling=3,
        auxiliary="ctc",
        n_auxiliary_units=4,
        auxiliary_upsampling=2,
    )
    x, said = speech(from_units), tokens(6)
    together = model(x, LENGTHS, said)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(x[row : row + 1, :length], LENGTHS[row : row + 1], said[row : row + 1])
        n, n_own = int(alone.lengths), int(alone.auxiliary_lengths)
        assert n == together.lengths[row]
        assert n_own == together.auxiliary_lengths[row] == -(-length // subsampling) * 2
        here = together.scores[row : row + 1]
        torch.testing.assert_close(here[:, : alone.scores.shape[1]], alone.scores)
        torch.testing.assert_close(together.auxiliary[row, :n_own], alone.auxiliary[0])
        if architecture == "ctc":
            assert n == -(-length // subsampling) * 3 == alone.scores.shape[1]


@pytest.mark.parametrize("architecture", ["conformer", "rnn"])
def test_what_comes_later_changes_nothing_before(architecture: str) -> None:
    model = network(architecture=architecture, auxiliary="ce", n_auxiliary_units=7)
    said = tokens(6)
    other = said.clone()
    other[:, 4:] = (other[:, 4:] + 1) % 7
    before, after = (model(speech(), LENGTHS, t, t) for t in (said, other))
    for one, two in ((before.scores, after.scores), (before.auxiliary, after.auxiliary)):
        torch.testing.assert_close(one[:, :4], two[:, :4])
        assert (one[:, 4:] - two[:, 4:]).abs().amax(dim=2).min() > 1e-4


@pytest.mark.parametrize("architecture", ["conformer", "rnn"])
def test_step_by_step_equals_all_at_once(architecture: str) -> None:
    model = network(architecture=architecture)
    encoded, said = model.encode(speech(), LENGTHS), tokens(6)
    at_once = model.decoder(said, encoded.memory, encoded.lengths)
    state = model.decoder.begin(encoded.memory, encoded.lengths)
    for i, column in enumerate(said.unbind(dim=1)):
        scores, state = model.decoder.step(column, state)
        torch.testing.assert_close(scores, at_once[:, i])


@pytest.mark.parametrize("architecture", ["conformer", "rnn"])
def test_a_state_can_be_taken_up_by_other_rows(architecture: str) -> None:
    model = network(architecture=architecture)
    encoded, said = model.encode(speech(), LENGTHS), tokens(3)
    state = model.decoder.begin(encoded.memory, encoded.lengths)
    for column in said[:, :-1].unbind(dim=1):
        _, state = model.decoder.step(column, state)
    rows = torch.tensor([2, 0, 2])
    whole, _ = model.decoder.step(said[:, -1], state)
    chosen, _ = model.decoder.step(said[rows, -1], select(state, rows))
    torch.testing.assert_close(chosen, whole[rows])


@pytest.mark.parametrize("architecture", ["conformer", "rnn"])
def test_attention_is_a_distribution_over_the_memory(architecture: str) -> None:
    model = network(architecture=architecture, subsampling=4)
    encoded = model.encode(speech(), LENGTHS)
    maps = model.decoder.attention(tokens(6), encoded.memory, encoded.lengths)
    assert maps.shape == (4, 7, 11)
    torch.testing.assert_close(maps.sum(dim=2), torch.ones(4, 7))
    for row, n in zip(maps, encoded.lengths, strict=True):
        assert (row[:, n:] == 0).all()
    assert maps[0].std(dim=1).min() > 0


@pytest.mark.parametrize("architecture", ["conformer", "rnn", "ctc"])
@pytest.mark.parametrize("auxiliary", ["none", "ce", "ctc"])
def test_every_weight_learns(architecture: str, auxiliary: str) -> None:
    """None is left out, which training on several GPUs would stumble over."""
    model = network(architecture=architecture, auxiliary=auxiliary, n_auxiliary_units=7).train()
    predicted = model(speech(), LENGTHS, tokens(6), tokens(5))
    loss = predicted.scores.square().sum()
    if predicted.auxiliary is not None:
        loss = loss + predicted.auxiliary.square().sum()
    loss.backward()
    lazy = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert lazy == []


def test_the_middle_layer_is_not_the_last() -> None:
    for architecture in ("conformer", "rnn"):
        model = network(architecture=architecture, dropout=0.0)
        encoded = model.encode(speech(), LENGTHS)
        last = model.encoder.blocks[-1] if architecture == "conformer" else model.encoder.layers[-1]
        with torch.no_grad():
            for p in last.parameters():
                p.add_(0.1)
        again = model.encode(speech(), LENGTHS)
        torch.testing.assert_close(encoded.middle, again.middle)
        assert not torch.allclose(encoded.memory, again.memory)


def test_attention_equals_the_sum_over_heads_written_out() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, memory_width=6)
    x, memory = torch.randn(1, 3, 8), torch.randn(1, 5, 6)
    q = attention.query(x)[0]
    k, v = attention.key_value(memory)[0].split(8, dim=1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (q[:, part] @ k[:, part].T / 2).softmax(dim=1)
        heads.append(weights @ v[:, part])
    torch.testing.assert_close(attention(x, memory)[0], attention.output(torch.cat(heads, dim=1)))


def test_rotation_tells_distances_alone() -> None:
    q, k = torch.randn(8), torch.randn(8)
    rotated_q, rotated_k = (rotated(v.expand(20, 8)) for v in (q, k))
    products = rotated_q @ rotated_k.T
    for distance in range(10):
        same = products.diagonal(distance)
        torch.testing.assert_close(same, same[:1].expand_as(same))
    assert not torch.allclose(products[0, 1], products[0, 5])
    torch.testing.assert_close(rotated(q.expand(3, 8), first=4), rotated_q[4:7])


def test_sinusoids_differ_and_can_begin_anywhere() -> None:
    positions = sinusoids(50, 16)
    for a, b in itertools.combinations(range(50), 2):
        assert (positions[a] - positions[b]).abs().max() > 1e-3
    torch.testing.assert_close(sinusoids(10, 16, first=7), positions[7:17])
    assert sinusoids(3, 5).shape == (3, 5)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"width": 18}, "can't be divided among 2 heads"),
        ({"kernel": 4}, "not odd"),
        (
            {"architecture": "rnn", "n_encoder_layers": 2, "subsampling": 8},
            "2 LSTMs can't subsample by 8",
        ),
    ],
)
def test_sizes_that_do_not_fit(options: dict[str, object], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        network(**options)


def test_the_published_network() -> None:
    model = UnitTranslator(
        TranslatorConfig(
            architecture="rnn",
            width=256,
            n_encoder_layers=3,
            subsampling=8,
            decoder_width=512,
            embedding=128,
        )
    )
    kinds = [type(m) for m in model.modules() if isinstance(m, nn.LSTM | nn.LSTMCell)]
    assert kinds == [nn.LSTM, nn.LSTM, nn.LSTM, nn.LSTMCell]
    assert [layer.hidden_size for layer in model.encoder.layers] == [256, 256, 256]
    assert model.decoder.cell.hidden_size == 512
    assert int(model.encode(torch.zeros(1, 80, 80), torch.tensor([80])).lengths) == 10
