"""What a score rests on: enough data or not, what it compares with, why it has no interval."""

from dataclasses import replace

import pytest

from zerochain.formats.basis import (
    MIN_ITEMS,
    MIN_TRIPLES,
    MIN_UTTERANCES,
    basis,
    interval_of,
    n_utterances,
    no_interval,
    shortfall,
    shortfall_note,
)
from zerochain.formats.scores import Score


def abx(n: int = 900, interval: tuple[float, float] | None = (10.0, 30.0), **options) -> Score:
    return Score("abx_across_%", 20, interval, n, "triphone", "km", {"corpus": "c"}, options)


def estoi(n: int, **options) -> Score:
    options = {"n_of": "utterances", **options}
    return Score("estoi", 0.5, (0.4, 0.6), n, "pystoi", "conv", {"corpus": "c"}, options)


@pytest.mark.parametrize(
    ("changes", "n", "is_short"),
    [
        ({}, MIN_TRIPLES, False),  # an older file, which recorded no more
        ({}, MIN_TRIPLES - 1, True),
        ({"n_items_per_side": MIN_ITEMS, "n_cells": 2}, 900, False),
        ({"n_items_per_side": MIN_ITEMS - 1, "n_cells": 2}, 900, True),
        ({"n_compared": MIN_ITEMS - 1}, 900, True),
        ({"n_items_per_side": 9, "n_cells": 1}, 900, True),
    ],
)
def test_an_abx_error_of_a_few_triples_is_no_score(changes, n, is_short) -> None:
    assert bool(shortfall(abx(n, **changes))) == is_short


def test_the_note_says_how_little_there_is_and_what_to_do() -> None:
    note = shortfall_note(abx(6, n_items_per_side=3, n_cells=6))
    assert "6 triples, 3 items on a side, 6 cells" in note
    assert "protocol='phone'" in note
    assert "protocol=" not in shortfall_note(replace(abx(6), protocol="phone"))
    assert shortfall_note(abx()) == ""


def test_other_scores_take_some_utterances() -> None:
    assert shortfall(estoi(MIN_UTTERANCES - 1)) == "4 utterances"
    assert not shortfall(estoi(MIN_UTTERANCES))
    symbols = replace(estoi(9000), metric="bitrate_bit/s", options={"n_of": "symbols"})
    assert not shortfall(symbols)
    assert shortfall(replace(symbols, options={"n_of": "symbols", "n_utterances": 1}))


def test_utterances_without_a_value_count_as_given() -> None:
    assert n_utterances(estoi(7, exclusions={"under_0.4_s": 3})) == 10
    assert n_utterances(abx()) is None
    assert basis(estoi(7, exclusions={"under_0.4_s": 3})) == basis(estoi(10))


def test_an_interval_over_three_speakers_says_so() -> None:
    assert interval_of(abx(n_speakers=3)) == "over 3 speakers"
    assert interval_of(abx(n_speakers=40)) == ""
    assert interval_of(abx(interval=None, n_speakers=3)) == ""


def test_a_missing_interval_has_a_reason() -> None:
    assert no_interval(abx()) == ""
    assert "one pair of phones" in no_interval(abx(interval=None, n_phone_pairs=1))
    assert no_interval(abx(interval=None, n_phone_pairs=5))
    assert "one utterance" in no_interval(replace(estoi(1), interval=None))
    assert "measured once" in no_interval(
        replace(estoi(9), metric="real_time_factor", interval=None)
    )
    assert no_interval(replace(estoi(9), interval=None, options={}))


@pytest.mark.parametrize(
    "options", [{"shift_ms": 10.0}, {"silences": ["SIL"]}, {"max_tokens": 10, "seed": 1}]
)
def test_other_tokens_are_another_basis(options) -> None:
    usual = {"shift_ms": 0.0, "silences": ["sil"], "max_tokens": 10, "seed": 0}
    assert basis(abx(**usual)) != basis(abx(**{**usual, **options}))
    assert basis(abx(**usual)) == basis(replace(abx(**usual), system="other", value=9))


def test_other_inputs_are_another_basis_unless_they_are_what_is_scored() -> None:
    one = replace(abx(), inputs={"units": "a", "model": "b", "items": "i"})
    assert basis(one) == basis(replace(one, inputs={"units": "c", "model": "d", "items": "i"}))
    assert basis(one) != basis(replace(one, inputs={**one.inputs, "items": "j"}))
