"""The lines that a page of translations begins with."""

import numpy as np
import pytest

from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile
from zerochain.report.score_tables import score_table
from zerochain.report.verdict import verdicts
from zerochain.translation.baselines import FREQUENT, NEAREST


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
