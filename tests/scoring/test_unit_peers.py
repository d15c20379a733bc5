"""Units and items as DiscoPhon and fastabx read them: recorded, and with both where they are."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zerochain.exchange.unit_text import misread_by_fastabx, read_unit_text, write_unit_text
from zerochain.formats.corpus import Corpus, write_corpus
from zerochain.formats.phones import Phone, Phones
from zerochain.metrics.items import frame_span, read_items
from zerochain.scoring.abx import export_items

# What fastabx 0.9.0 makes of a name, as findings/fastabx_unit_names.sh shows.
RECORDED = {"u1": "u1", "a-b_c": "a-b_c", "x/u1": "u1", "s01.u1": "s01", "x.y/u1": "u1"}
UNITS = {"u1": [1, 2, 3, 4, 5], "bé": [5, 4, 3], "s01.u1": [7, 7, 8]}


def written(path: Path) -> Path:
    arrays = {name: np.array(units, np.int32) for name, units in UNITS.items()}
    write_unit_text(path, "jsonl", arrays)
    return path


@pytest.mark.parametrize(("name", "kept"), RECORDED.items())
def test_names_that_fastabx_would_not_find_are_noticed(name: str, kept: str) -> None:
    assert bool(misread_by_fastabx([name, "u2"])) == (name != kept)


def test_files_of_both_are_read(tmp_path: Path) -> None:
    path = tmp_path / "u.jsonl"
    path.write_text('{"file":"u1","units":[3,3,0]}\n')  # DiscoPhon's baselines, by orjson
    assert read_unit_text(path, "jsonl")["u1"].tolist() == [3, 3, 0]
    path.write_text('{"audio": "/data/dev/u1.wav", "units": [3, 3, 0], "layer": 6}\n')  # fastabx's
    read = read_unit_text(path, "jsonl", folders=False, suffix=".wav")
    assert read["u1"].tolist() == [3, 3, 0]


def test_discophon_reads_what_is_written(tmp_path: Path) -> None:
    data = pytest.importorskip("discophon.data", reason="it needs Python 3.12")
    path = written(tmp_path / "u.jsonl")
    assert data.read_submitted_units(path) == UNITS
    rows = [{"file": name, "units": units} for name, units in UNITS.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert data.read_submitted_units(path) == UNITS
    back = read_unit_text(path, "jsonl")
    assert {name: units.tolist() for name, units in back.items()} == UNITS


def test_fastabx_reads_units_and_items_that_are_written(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    fastabx = pytest.importorskip("fastabx", reason="it needs Python 3.12")
    corpus = make_corpus(2)
    ids = ("x/u1", "y/s01.u1")
    utterances = tuple(replace(u, id=name) for u, name in zip(corpus.utterances, ids, strict=True))
    line = [Phone(0.1 * i, 0.1 * i + 0.1, p) for i, p in enumerate("abacabac")]
    made = replace(corpus, utterances=utterances, folder=None)
    write_corpus(tmp_path / "c", made, Phones(dict.fromkeys(ids, line)))
    export_items(tmp_path / "c", tmp_path / "i.item", folders=False)
    rng = np.random.default_rng(0)
    units = {name: rng.integers(0, 9, 100).astype(np.int32) for name in ("u1", "s01.u1")}
    write_unit_text(tmp_path / "u.jsonl", "jsonl", units)
    data = fastabx.Dataset.from_item_and_units(
        tmp_path / "i.item", tmp_path / "u.jsonl", 50, device="cpu", progress=False
    )
    items = read_items(tmp_path / "i.item")
    assert {item.file for item in items} == set(units)
    assert data.labels["#file"].to_list() == [item.file for item in items]
    assert data.labels["#phone"].to_list() == [item.phone for item in items]
    for i, item in enumerate(items):
        first, last = frame_span(item.onset, item.offset, 20.0)
        theirs = np.asarray(data.accessor[i]).ravel()
        np.testing.assert_array_equal(theirs, units[item.file][first:last])
