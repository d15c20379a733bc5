"""ABX errors that fastabx and Libri-Light's code gave for the items in abx_peers, and ours.

Recorded by benchmarks/abx_agreement.py, which has the options of each peer. Errors are compared as
fractions, to 1e-6: the peers hold them in float32, and one triple of a cell more is 1e-4.
"""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from commands import run
from zerochain.features.normalisation import unit_length
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import Features
from zerochain.formats.scores import read_scores
from zerochain.formats.units import UnitFile, write_units
from zerochain.metrics.abx import abx
from zerochain.metrics.abx_plan import ZS2021, variant
from zerochain.metrics.items import item_frames, read_items

HERE = Path(__file__).parent / "abx_peers"
STEP_MS = 10.0
ITEMS = read_items(HERE / "triphones.item")
SCORES = json.loads((HERE / "scores.json").read_text(encoding="utf-8"))
DISTANCES = {"cosine": "angular", "exact angular": "angular"}
"""What a peer calls a distance, where we call it something else."""


def arrays(kind):
    return {path.stem: np.load(path) for path in sorted((HERE / kind).glob("*.npy"))}


def given(kind):
    if kind != "units":
        return Features.from_arrays(arrays(kind), step_ms=STEP_MS)
    units = {name: array[:, 0] for name, array in arrays("units").items()}
    return UnitFile(units, 7, STEP_MS, model_id="m", method="units")


def ours(row, representation):
    result = abx(
        representation,
        ITEMS,
        mode=row["mode"],
        distance=DISTANCES.get(row["distance"], row["distance"]),
        protocol=variant(
            ZS2021, context=row["context"], reference_slicing=row["peer"] != "fastabx"
        ),
    )
    return result.value / 100


def name(row):
    return "-".join(row[key] for key in ("peer", "data", "distance", "mode", "context"))


def rows(*peers, data, distance=("angular", "cosine", "euclidean", "kl_symmetric", "identical")):
    found = [
        row
        for row in SCORES
        if row["peer"] in peers and row["data"] in data and row["distance"] in distance
    ]
    assert found
    return pytest.mark.parametrize("row", found, ids=name)


@rows("fastabx", data=("vectors", "posteriors", "units"))
def test_fastabx_gives_the_same_errors(row):
    assert ours(row, given(row["data"])) == pytest.approx(row["error"], abs=1e-6)


@rows("libriabx", "libriabx2", data=("vectors", "posteriors", "zeros"))
def test_libri_light_s_code_gives_the_same_errors(row):
    """It slices in its own way, and gives frames length 1, whatever the distance.

    All-zero frames are at the greatest distance from all others there too, at none from each other.
    """
    scaled = unit_length(given(row["data"]))
    assert ours(row, scaled) == pytest.approx(row["error"], abs=1e-6)


@rows("fastabx", data=("codes", "zeros"), distance=("exact angular",))
def test_fastabx_with_exact_distances_has_our_ties(row):
    assert ours(row, given(row["data"])) == pytest.approx(row["error"], abs=1e-6)


@rows("fastabx", "libriabx", "libriabx2", data=("codes",))
def test_float32_undoes_ties_of_code_vectors(row):
    """Equal frames are often at acos(0.99999994) / π = 1e-4, and sums depend on their order."""
    assert ours(row, given("codes")) == pytest.approx(row["error"], abs=2e-3)


@rows("fastabx", data=("zeros",))
def test_all_zero_frames_of_fastabx_point_somewhere(row):
    """It means to do as Libri-Light's code, but its border is too small to matter.

    It appends 1e-12 to frames and -2e-12, not -2e12, to all-zero ones, which it has made frames of
    equal numbers first. So they stay at those frames' angles from the others, not at π.
    """
    features = given("zeros")
    assert abs(ours(row, features) - row["error"]) > 0.01
    silent = ~features.frames.any(axis=1)
    assert 50 < silent.sum() < len(silent) / 2
    features.frames[silent] = 1
    assert ours(row, features) == pytest.approx(row["error"], abs=2e-3)  # float32, as with codes


def test_the_items_ask_much():
    """Groups that nobody draws from, tokens that slicing loses, times that floats get wrong."""
    assert max(Counter((i.phone, i.speaker) for i in ITEMS).values()) <= 10
    assert len({i.speaker for i in ITEMS}) <= 6
    n_frames = {file: len(frames) for file, frames in arrays("units").items()}

    def lengths(rule):
        found = [item_frames(i, n_frames[i.file], STEP_MS, rule) for i in ITEMS]
        return [f if isinstance(f, str) else f[1] - f[0] for f in found]

    whole, sliced = lengths("middle"), lengths("middle-less-one")
    assert {1, 2, 3, 5, 9} == set(whole)
    assert sliced.count("without_a_frame") >= whole.count(1) > 5
    # Libri-Light's floats put the middle of frame 3 before 0.035 s, not at it.
    early = [w - s for w, s in zip(whole, sliced, strict=True) if not isinstance(s, str)]
    assert Counter(early) == {1: len(early) - 1, 2: 1}
    assert any(math.isclose(i.onset * 100 % 1, 0.5) for i in ITEMS)


def test_the_command_line_gives_them_too(tmp_path):
    n_frames = {file: len(frames) for file, frames in arrays("units").items()}
    speakers = {item.file: item.speaker for item in ITEMS}
    utterances = [
        Utterance(file, f"{file}.wav", n * STEP_MS / 1000, speakers[file])
        for file, n in n_frames.items()
    ]
    write_corpus(tmp_path / "corpus", Corpus("items", tuple(utterances)))
    write_units(tmp_path / "units.parquet", given("units"))
    feats = tmp_path / "feats"
    run("import", "features", HERE / "posteriors", "--step-ms", 10, "--out", feats)

    def scored(source, *options):
        common = ("--corpus", tmp_path / "corpus", "--items", HERE / "triphones.item")
        out = tmp_path / "scores.jsonl"
        out.unlink(missing_ok=True)
        run("score", "abx", source, *common, "--protocol", "zs2021", *options, "--out", out)
        return {score.metric: score.value / 100 for score in read_scores(out)}

    def recorded(peer, context):
        return {
            f"abx_{row['mode']}_%": pytest.approx(row["error"], abs=1e-6)
            for row in SCORES
            if name(row) == f"{peer}-{row['mode']}-{context}"
        }

    assert scored(tmp_path / "units.parquet") == recorded("fastabx-units-identical", "within")
    kl = ("--distance", "kl_symmetric")
    assert scored(feats, *kl) == recorded("fastabx-posteriors-kl_symmetric", "within")
    reference = ("--reference-slicing", "--normalise", "length", "--context", "any")
    libri_light = recorded("libriabx2-posteriors-kl_symmetric", "any")
    assert scored(feats, *kl, *reference) == libri_light
    assert len(libri_light) == 2
