"""Phoneme discovery by DiscoPhon's definitions: what discophon 0.2.0 gave, and where it differs.

Recorded by discophon_peers/record.py; equal to 1e-6.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.units import UnitFile
from zerochain.metrics.abx import abx
from zerochain.metrics.abx_plan import DISCOPHON, variant
from zerochain.metrics.discophon import phone_frames, phoneme_discovery
from zerochain.metrics.items import read_items
from zerochain.metrics.quality import align_frames, unit_quality

HERE = Path(__file__).parent
RECORDED = HERE / "discophon_peers"
ABX_DATA = HERE / "abx_peers"


def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def case_of(row):
    units = {name: np.array(line.split(), np.int64) for name, line in row["units"].items()}
    phones = {name: line.split() for name, line in row["phones"].items()}
    given = {"step_ms": row["step_units"], "n_units": row["n_units"], "assignment": row["kind"]}
    return units, phones, {**given, "n_phonemes": row["n_phonemes"]}


@pytest.mark.parametrize("row", recorded("discovery"))
def test_discophon_gives_the_same_scores(row):
    units, phones, given = case_of(row)
    found = phoneme_discovery(units, phones, **given)
    ours = {
        "pnmi": found.quality.pnmi.value,
        "per": found.errors.value / 100,
        "f1": found.boundaries.f1 / 100,
        "r_val": found.boundaries.r_value / 100,
    }
    assert ours == pytest.approx(row["scores"], abs=1e-6)


@pytest.mark.parametrize("row", recorded("abx"))
def test_discophon_gives_the_same_abx_errors(row):
    """Without a draw: it has 4 speakers, and at most 500 tokens of a phone by one."""
    items = read_items(ABX_DATA / "triphones.item")
    arrays = {p.stem: np.load(p) for p in sorted((ABX_DATA / row["data"]).glob("*.npy"))}
    if row["data"] == "units":
        units = {name: array[:, 0] for name, array in arrays.items()}
        given = UnitFile(units, 7, 10.0, model_id="m", method="units")
    else:
        given = Features.from_arrays(arrays, step_ms=10.0)
    for condition, expected in row["scores"].items():
        mode = condition.partition("_")[0]
        protocol = DISCOPHON
        if condition.endswith("any_context"):
            protocol = variant(DISCOPHON, context="any", max_tokens=500)
        found = abx(given, items, mode=mode, protocol=protocol)
        assert found.value / 100 == pytest.approx(expected, abs=1e-6)


def test_one_unit_for_each_phone_is_perfect_in_both_assignments():
    line = [p for p in ("SIL", "k", "a", "t", "SIL") for _ in range(4)]
    phones = {"u": line, "v": line[4:12]}
    codes = {
        name: np.array([{"SIL": 2, "k": 0, "a": 3, "t": 1}[p] for p in phones[name]])
        for name in phones
    }
    for assignment in ("many-to-one", "one-to-one"):
        found = phoneme_discovery(codes, phones, step_ms=10, n_units=4, assignment=assignment)
        assert found.quality.pnmi.value == pytest.approx(1)
        assert (found.errors.value, found.boundaries.r_value) == (0, 100)
        assert [found.mapping.names[i] for i in found.mapping.of_unit] == ["k", "t", "SIL", "a"]


def test_one_to_one_is_a_permutation_and_no_better_than_many_to_one():
    rng = np.random.default_rng(0)
    phones = {"u": rng.choice(["SIL", "a", "b", "c"], 200).tolist()}
    units = {"u": rng.integers(4, size=200)}
    many = phoneme_discovery(units, phones, step_ms=10, n_units=4)
    one = phoneme_discovery(units, phones, step_ms=10, n_units=4, assignment="one-to-one")
    assert sorted(one.mapping.of_unit) == [0, 1, 2, 3]
    table = many.aligned.table
    counts = [table[found.mapping.of_unit, range(4)].sum() for found in (many, one)]
    assert counts[0] >= counts[1]
    assert one.quality.pnmi == many.quality.pnmi


def test_silence_is_what_our_own_protocol_leaves_out():
    rng = np.random.default_rng(0)
    labels = rng.choice(["sil", "a", "b"], 300, p=[0.5, 0.25, 0.25])
    units = np.where(labels == "sil", 0, rng.integers(1, 3, 300))  # tell silence apart, no phones
    line = [Phone(i / 100, (i + 1) / 100, p) for i, p in enumerate(labels)]
    file = UnitFile({"u": units.astype(np.int32)}, 3, 10.0, "m", "x")
    ours = unit_quality(align_frames(file, Phones({"u": line})))
    theirs = phoneme_discovery(
        {"u": units}, {"u": phone_frames(line, 300, 10.0)}, step_ms=10, n_units=3
    )
    assert ours.pnmi.value < 0.05
    assert theirs.quality.pnmi.value > 0.6


def test_gold_frames_end_with_the_last_phone_or_with_the_units():
    line = [Phone(0.0, 0.04, "sil"), Phone(0.05, 0.1, "a")]
    whole = ["SIL"] * 5 + ["a"] * 5
    assert phone_frames(line, 5, 20.0) == phone_frames(line, 4, 20.0) == whole
    assert phone_frames(line, 8, 20.0) == whole + ["SIL"] * 6
    assert phone_frames(line, 5, 20.0, shift_ms=-20) == ["SIL"] * 3 + ["a"] * 5
    assert phone_frames([], 2, 20.0) == ["SIL"] * 4


GOOD = {"u": np.array([0, 1, 2, 2])}, {"u": ["SIL", "a", "b", "b"]}


@pytest.mark.parametrize(
    ("units", "phones", "given", "words"),
    [
        (*GOOD, {"n_units": 2}, "units from 0 to 2 in 'u', but n_units=2"),
        (*GOOD, {"step_ms": 15}, "multiples of 10 ms"),
        (*GOOD, {"step_ms": 40}, "differ in length by more than a step"),
        (*GOOD, {"n_phonemes": 1}, "but n_phonemes=1 and a silence"),
        (*GOOD, {"n_units": 9, "assignment": "one-to-one"}, "fix: discover 3 units"),
        (GOOD[0], {"v": ["a"]}, {}, "missing in the alignments: u"),
        ({"u": np.array([0, 1])}, {"u": ["a", "a"]}, {}, "all frames are of one phone"),
    ],
)
def test_what_the_benchmark_does_not_define_is_refused(units, phones, given, words):
    with pytest.raises(InputError, match=words):
        phoneme_discovery(units, phones, **{"step_ms": 10, "n_units": 3, **given})
