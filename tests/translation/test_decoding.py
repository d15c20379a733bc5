"""Decoding: against an exhaustive search, against each other, and one by one."""

import itertools
import math
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor

from zerochain.modules.decoders import State, begin_of
from zerochain.modules.unit_translator import EncoderOutput, TranslatorConfig, UnitTranslator
from zerochain.translation.decoding import (
    Hypothesis,
    beam_search,
    ctc_best,
    greedy,
    length_limits,
    sample,
)

LENGTHS = torch.tensor([23, 9, 16])


def network(n_units: int = 3, **options: object) -> UnitTranslator:
    """Untrained, but with opinions: weights large enough to make probabilities uneven."""
    torch.manual_seed(0)
    sizes = {"width": 16, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1}
    rnn = {"decoder_width": 16, "embedding": 8, "subsampling": 2}
    config = TranslatorConfig(**{"n_in": 5, "n_units": n_units, **sizes, **rnn, **options})
    model = UnitTranslator(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    return model


def encoded(model: UnitTranslator) -> EncoderOutput:
    with torch.inference_mode():
        return model.encode(
            torch.randn(3, 23, 5, generator=torch.Generator().manual_seed(1)), LENGTHS
        )


def row(given: EncoderOutput, i: int) -> EncoderOutput:
    n = int(given.lengths[i])
    return EncoderOutput(
        given.memory[i : i + 1, :n], given.middle[i : i + 1, :n], given.lengths[i : i + 1]
    )


def score_of(model: UnitTranslator, given: EncoderOutput, units: tuple[int, ...]) -> float:
    """Mean log-probability of units and their end, all at once."""
    n_units = model.config.n_units
    tokens = torch.tensor([[begin_of(n_units), *units]])
    logs = model.decoder(tokens, given.memory, given.lengths)[0].log_softmax(dim=1)
    said = [*units, n_units]
    return float(sum(logs[i, unit] for i, unit in enumerate(said))) / len(said)


def all_sequences(n_units: int, limit: int) -> list[tuple[int, ...]]:
    """All allowed outputs: at least one unit, no repeats, at most `limit` units."""
    lines = (
        line for n in range(1, limit + 1) for line in itertools.product(range(n_units), repeat=n)
    )
    return [line for line in lines if all(a != b for a, b in itertools.pairwise(line))]


@pytest.mark.parametrize("architecture", ["conformer", "rnn"])
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_wide_beam_finds_the_best_of_all(architecture: str, limit: int) -> None:
    model = network(architecture=architecture)
    given = encoded(model)
    with torch.inference_mode():
        found = beam_search(model, given, torch.full((3,), limit), width=60)
        for i, hypothesis in enumerate(found):
            scores = {u: score_of(model, row(given, i), u) for u in all_sequences(3, limit)}
            best = max(scores, key=scores.__getitem__)
            assert tuple(hypothesis.units) == best
            assert hypothesis.score == pytest.approx(scores[best], abs=1e-5)


@pytest.mark.parametrize("architecture", ["conformer", "rnn"])
@pytest.mark.parametrize("n_units", [1, 2, 3, 40])
def test_a_beam_of_one_is_greedy(architecture: str, n_units: int) -> None:
    model = network(n_units, architecture=architecture)
    given, limits = encoded(model), torch.tensor([12, 3, 8])
    with torch.inference_mode():
        pairs = zip(greedy(model, given, limits), beam_search(model, given, limits, 1), strict=True)
        for one, other in pairs:
            assert one.units.tolist() == other.units.tolist()
            assert one.score == pytest.approx(other.score, abs=1e-5)
            assert one.cut == other.cut


@pytest.mark.parametrize("width", [2, 5])
def test_a_beam_is_no_worse_than_greedy_where_it_has_the_same_lengths(width: int) -> None:
    """Of translations of one length the beam's is the likelier one; lengths are forced here."""
    model = network(40)
    with torch.no_grad():
        model.decoder.output.bias[-1] = -100  # the end is never predicted
    given, limits = encoded(model), torch.tensor([6, 6, 6])
    with torch.inference_mode():
        ones, others = greedy(model, given, limits), beam_search(model, given, limits, width)
    for one, other in zip(ones, others, strict=True):
        assert len(one.units) == len(other.units) == 6
        assert other.score >= one.score - 1e-5
    assert any(a.units.tolist() != b.units.tolist() for a, b in zip(ones, others, strict=True))


class Sure:
    """Decoder that knows what comes next, but where the end is likelier than all other mistakes."""

    def __init__(self, units: list[int], n_units: int) -> None:
        self.units, self.n_units = [*units, n_units], n_units

    def begin(self, memory: Tensor, lengths: Tensor) -> State:
        return {"at": torch.zeros(len(memory), dtype=torch.long)}

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        scores = torch.full((len(tokens), self.n_units + 1), -9.0)
        scores[:, -1] = -6
        said = torch.tensor(self.units)[state["at"].clamp(max=len(self.units) - 1)]
        return scores.scatter(1, said[:, None], 0.0), {"at": state["at"] + 1}


@pytest.mark.parametrize("width", [1, 2, 5, 10])
def test_a_beam_goes_on_beyond_ends_that_come_too_early(width: int) -> None:
    """Else it stops after as many steps as it is wide, and recognises half of a long sentence."""
    units = [*range(19), 3, 7, 1]
    model = Mock(decoder=Sure(units, 20), config=Mock(n_units=20))
    given = EncoderOutput(torch.zeros(1, 9, 4), torch.zeros(1, 9, 4), torch.tensor([9]))
    (found,) = beam_search(model, given, torch.tensor([40]), width)
    assert found.units.tolist() == units
    assert not found.cut


def test_scores_are_those_of_the_units() -> None:
    model = network(9)
    given, limits = encoded(model), torch.tensor([7, 2, 9])
    with torch.inference_mode():
        for said in (
            greedy(model, given, limits),
            beam_search(model, given, limits, 3),
            sample(model, given, limits, 4, [[1], [2], [3]]),
        ):
            for i, hypothesis in enumerate(said):
                expected = score_of(model, row(given, i), tuple(hypothesis.units.tolist()))
                assert hypothesis.score == pytest.approx(expected, abs=1e-5)


def decoded(
    model: UnitTranslator, given: EncoderOutput, limits: Tensor, how: str, seeds: list
) -> list:
    with torch.inference_mode():
        match how:
            case "greedy":
                return greedy(model, given, limits)
            case "beam":
                return beam_search(model, given, limits, 4)
            case "sample":
                return sample(model, given, limits, 5, seeds)
            case _:
                return [hypothesis for hypothesis, _ in ctc_best(model, given)]


@pytest.mark.parametrize("how", ["greedy", "beam", "sample", "ctc"])
@pytest.mark.parametrize("n_units", [1, 2, 12])
def test_batched_equals_one_by_one_and_units_are_as_promised(how: str, n_units: int) -> None:
    model = network(n_units, architecture="ctc" if how == "ctc" else "conformer", upsampling=2)
    given, limits = encoded(model), torch.tensor([9, 4, 1])
    seeds = [[5], [6], [7]]
    together = decoded(model, given, limits, how, seeds)
    for i, hypothesis in enumerate(together):
        (alone,) = decoded(model, row(given, i), limits[i : i + 1], how, seeds[i : i + 1])
        assert alone.units.tolist() == hypothesis.units.tolist()
        assert alone.score == pytest.approx(hypothesis.score, abs=1e-5)
        units = hypothesis.units
        assert units.dtype == np.int32
        assert len(units) >= 1
        assert 0 <= units.min() <= units.max() < n_units
        assert (np.diff(units) != 0).all()
        if how != "ctc":
            assert len(units) <= limits[i]
            assert hypothesis.cut == (len(units) == limits[i])


def test_there_is_at_least_one_unit_and_at_most_the_limit() -> None:
    model = network(5)
    given, limits = encoded(model), torch.tensor([30, 4, 2])
    for bias, expected in ((-100.0, [30, 4, 2]), (100.0, [1, 1, 1])):
        with torch.no_grad():
            model.decoder.output.bias[-1] = bias
        for how in ("greedy", "beam", "sample"):
            said = decoded(model, given, limits, how, [[1], [2], [3]])
            assert [len(h.units) for h in said] == expected
            assert [h.cut for h in said] == [bias < 0] * 3


def test_sampling_draws_as_often_as_the_network_finds_likely() -> None:
    model = network(6)
    alone = row(encoded(model), 0)
    n = 4000
    many = EncoderOutput(*(part.expand(n, *part.shape[1:]) for part in alone))
    with torch.inference_mode():
        limits = torch.ones(n, dtype=torch.long)
        said = sample(model, many, limits, 3, [[i] for i in range(n)])
        again = sample(model, many, limits, 3, [[i] for i in range(n)])
        logs = model.decoder(torch.tensor([[begin_of(6)]]), alone.memory, alone.lengths)[0, 0]
    assert [h.units.tolist() for h in said] == [h.units.tolist() for h in again]
    best, units = logs[:6].topk(3)
    expected = dict(zip(units.tolist(), best.softmax(dim=0).tolist(), strict=True))
    counts = np.bincount([h.units[0] for h in said], minlength=6) / n
    for unit in range(6):
        share = expected.get(unit, 0.0)
        assert abs(counts[unit] - share) <= 4 * math.sqrt(share * (1 - share) / n)


def test_sampling_from_one_is_greedy() -> None:
    model = network(12)
    given, limits = encoded(model), torch.tensor([9, 4, 1])
    with torch.inference_mode():
        one, other = greedy(model, given, limits), sample(model, given, limits, 1, [[1], [2], [3]])
    assert [h.units.tolist() for h in one] == [h.units.tolist() for h in other]


class GivenScores:
    """A stand-in for a CTC network, whose scores are given."""

    def __init__(self, path: list[int], n_units: int, upsampling: int = 1) -> None:
        self.config = TranslatorConfig(n_units=n_units, upsampling=upsampling)
        self.scores = torch.full((1, len(path) + 3, n_units + 1), 0.0)
        for step, token in enumerate(path):
            self.scores[0, step, token] = 5.0
        self.scores[0, len(path) :, 0] = 9.0  # padding, which must not be read
        self.length = len(path)

    def ctc(self, _: object) -> tuple[Tensor, Tensor]:
        return self.scores, torch.tensor([self.length])


@pytest.mark.parametrize(
    ("path", "units", "steps"),
    [
        ([3, 0, 0, 3, 1, 2, 2, 3], [0, 1, 2], [1, 4, 5]),
        ([0, 3, 0, 1], [0, 1], [0, 3]),  # a unit on both sides of a blank: merged, as all are
        ([1], [1], [0]),
        ([0, 1, 0], [0, 1, 0], [0, 1, 2]),
    ],
)
def test_ctc_of_a_known_path(path: list[int], units: list[int], steps: list[int]) -> None:
    ((hypothesis, found),) = ctc_best(GivenScores(path, 3), None)  # type: ignore[arg-type]
    assert hypothesis.units.tolist() == units
    assert found.tolist() == steps
    expected = math.log(math.exp(5) / (math.exp(5) + 3))
    assert hypothesis.score == pytest.approx(expected, abs=1e-5)
    ((_, halved),) = ctc_best(GivenScores(path, 3, upsampling=2), None)  # type: ignore[arg-type]
    assert halved.tolist() == [step // 2 for step in steps]


def test_ctc_of_only_blanks_is_the_likeliest_unit() -> None:
    network = GivenScores([3, 3, 3, 3], 3)
    network.scores[0, 2, 1] = 4.0
    ((hypothesis, steps),) = ctc_best(network, None)  # type: ignore[arg-type]
    assert hypothesis.units.tolist() == [1]
    assert steps.tolist() == [2]
    assert isinstance(hypothesis, Hypothesis)


def test_the_limit_grows_with_the_source() -> None:
    assert length_limits(torch.tensor([1, 10, 100]), 0.35).tolist() == [11, 14, 45]
