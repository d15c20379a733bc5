"""The lines that a page of translations begins with."""

from dataclasses import replace

import numpy as np
import pytest

from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile
from zerochain.report.score_tables import score_table
from zerochain.report.verdict import verdicts
from zerochain.translation.baselines import FREQUENT, NEAREST, SPLICED


def lines(systems: dict[str, tuple[str, dict[str, float]]], half: float = 1.0) -> list[str]:
    """The verdicts on systems: name → method of its units and scores, each ± half."""
    units, scores = {}, []
    for i, (system, (method, values)) in enumerate(systems.items()):
        arrays = {"u": np.array([i], np.int32)}
        one = UnitFile(arrays, 9, 20.0, "m" * 64, f"translated: {method}", corpus_id="c" * 64)
        units[str(i)] = one
        scores += [
            Score(
                key, v, (v - half, v + half), 50, "p", system, {"units": str(i), "corpus": "c" * 64}
            )
            for key, v in values.items()
        ]
    return verdicts(score_table(scores, units))


def chrf(own: float, shuffled: float) -> dict[str, float]:
    return {
        "unit_bleu": own / 2,
        "unit_bleu_shuffled": shuffled / 2,
        "unit_chrf": own,
        "unit_chrf_shuffled": shuffled,
    }


NEIGHBOUR = {"baseline": (NEAREST + " by DTW, mfcc", chrf(30, 10)), "same": (FREQUENT, chrf(9, 9))}


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (40, "(unit chrF 40.0 against 30.0): the translator is better, beyond the interval"),
        (30.5, "(unit chrF 30.5 against 30.0): no difference is shown"),
        (20, "(unit chrF 20.0 against 30.0): the baseline is better, beyond the interval"),
    ],
)
def test_beside_the_nearest_training_source(own: float, words: str) -> None:
    (line,) = lines({**NEIGHBOUR, "mine": ("conformer", chrf(own, 10))})
    assert line.startswith("mine: uses its input (unit BLEU ")
    assert f"beside the nearest training source {words}" in line


def test_collapse_comes_first() -> None:
    first, second = lines({"good": ("a", chrf(40, 10)), **NEIGHBOUR, "bad": ("b", chrf(20, 20))})
    assert first.startswith("bad: COLLAPSED, it hardly uses its input (unit BLEU 10.0, with")
    assert second.startswith("good: uses its input")


def test_without_baselines_or_translations() -> None:
    (line,) = lines({"mine": ("conformer", chrf(40, 10))})
    assert "not compared with the nearest training source" in line
    assert lines(NEIGHBOUR) == []
    assert verdicts(None) == []


def test_the_better_baseline_counts() -> None:
    examples = {**NEIGHBOUR, "pieces": (SPLICED + " by DTW, mfcc", chrf(45, 10))}
    pieces, mine = lines({**examples, "mine": ("conformer", chrf(40, 10))})
    assert (
        "beside the nearest training source (unit chrF 45.0 against 30.0): the translator is better"
        in pieces
    )
    assert (
        "beside the spliced training sources (unit chrF 40.0 against 45.0): the baseline is better"
        in mine
    )


def fold(system: str, mrr: float, p: float, beside: dict[str, list[float]]) -> Score:
    """A score of all folds, as `score_folds` makes it."""
    options = {"chance": 0.06, "p_value": p, "split": "test", "beside": beside}
    interval = (mrr - 0.05, mrr + 0.05)
    return Score("retrieval_mrr", mrr, interval, 50, "5 folds", system, {}, options)


def test_of_a_cross_validation() -> None:
    scores = [
        fold("nearest", 0.17, 0.001, {}),
        fold("pieces", 0.2, 0.001, {"nearest": [0.01, 0.05]}),
        fold("mine", 0.07, 0.2, {"nearest": [-0.12, -0.08], "pieces": [-0.15, -0.11]}),
    ]
    best = fold("topline", 0.9, 0.001, {"nearest": [0.5, 0.9]})  # it knows the text
    scores.append(replace(best, options={**best.options, "for_reference": True}))
    known = {
        (one.system, b): one.interval_beside(b) for one in scores for b in one.options["beside"]
    }
    first, second = verdicts(
        score_table(scores, {}), lambda one, other: known.get((one.system, other.system))
    )
    assert first.startswith("mine: NO BETTER THAN CHANCE (MRR 0.070, chance 0.060, p = 0.200)")
    assert "beside pieces (retrieval MRR 0.070 against 0.200): the baseline is better" in first
    assert second.startswith("pieces: uses its input (MRR 0.200")
    assert "beside nearest (retrieval MRR 0.200 against 0.170): the translator is better" in second


@pytest.mark.parametrize("beside", ["x", {"b": "x"}, {"b": [1]}, {"b": [None, 1]}, None, {"b": {}}])
def test_differences_that_another_program_wrote(beside: object) -> None:
    score = Score("retrieval_mrr", 0.5, None, 5, "p", "a", {}, {"beside": beside})
    assert score.interval_beside("b") is None
