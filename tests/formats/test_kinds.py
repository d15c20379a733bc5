import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edits import unsealed
from zerochain import audio, formats
from zerochain.errors import InputError
from zerochain.formats.abx_cells import SCHEMA, AbxCells, write_cells
from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import write_features
from zerochain.formats.headers import write_json
from zerochain.formats.kinds import BUNDLE, KINDS, find, kind_of
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.phones import Phone, Phones, write_phones
from zerochain.formats.scores import Score, append_scores
from zerochain.formats.spans import LabelledSpan, Spans, write_spans
from zerochain.formats.synthesis import read_synthesis, write_synthesis
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import UnitFile, write_units

HEADER = {
    "inverter_id": "i",
    "units_id": "u",
    "corpus_id": "c",
    "unit_method": "kmeans",
    "step_ms": 10.0,
    "voice": "ana",
    "sample_rate": 16_000,
    "ids": ["a/b"],
    "method": "code2spec",
}


@pytest.fixture
def one_of_each(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    units = {"a": np.array([0, 1])}
    write_units(root / "units" / "km.parquet", UnitFile(units, 2, 10.0, "m", "kmeans"))
    write_phones(root / "phones.parquet", Phones({"a": [Phone(0, 1, "a")]}))
    write_pairs(root / "pairs.parquet", Pairs((("a", "b"),), "", ""))
    write_spans(root / "hits.parquet", Spans((LabelledSpan("a", 0.0, 1.0, "x"),), "hits"))
    write_bundle(root / "models" / "km", "kmeans", {}, {}, {})
    append_scores(root / "scores.jsonl", [Score("m", 1, None, 1, "p", "s", {})])
    cell = ["across", "a", "b", "s", "t", "", "", 0.5, 4]
    table = pa.table([[value] for value in cell], schema=SCHEMA)
    write_cells(root / "abx_cells.parquet", AbxCells(table, "km", "phone", "identical", {}, {}))
    with write_features(
        root / "feats", extractor="x", options={}, step_ms=10, corpus_id=""
    ) as writer:
        writer.add("a", np.ones((2, 2), np.float32))
    audio.write(root / "wavs" / "a" / "b.wav", np.ones(10, np.float32))
    write_json(root / "wavs" / "synthesis.json", "synthesis", HEADER)
    (root / "x.training").mkdir()
    (root / "x.training" / "log.csv").write_text("step,train_loss\n1,0.5\n")
    return root


EXPECTED = {
    "abx_cells.parquet": "abx-cells",
    "feats": "features",
    "hits.parquet": "spans",
    "models/km": "bundle",
    "pairs.parquet": "pairs",
    "phones.parquet": "phones",
    "scores.jsonl": "scores",
    "units/km.parquet": "units",
    "wavs": "synthesis",
    "x.training": "training",
}


def test_finds_one_of_each(one_of_each: Path) -> None:
    findings = find(one_of_each)
    found = {str(path.relative_to(one_of_each)): kind.name for path, kind in findings.found}
    assert found == EXPECTED
    assert findings.passed_over == []
    for path, kind in findings.found:
        assert kind_of(path) == kind


def test_every_format_with_a_record_is_among_the_kinds() -> None:
    names = [
        f"zerochain.formats.{module.name}" for module in pkgutil.iter_modules(formats.__path__)
    ]
    records = [getattr(importlib.import_module(name), "FILE_KIND", None) for name in names]
    assert {id(record) for record in records if record} == {id(k) for k in KINDS if k != BUNDLE}
    assert len({kind.name for kind in KINDS}) == len({kind.marker for kind in KINDS}) == len(KINDS)


def test_every_kind_is_read_and_described(one_of_each: Path) -> None:
    for path, kind in find(one_of_each).found:
        description = kind.describe(kind.read(path))
        assert description.title
        for table in description.tables:
            assert {len(row) for row in table.rows} <= {len(table.header)}


def test_a_marker_stands_for_its_folder(one_of_each: Path, make_corpus: Callable) -> None:
    assert kind_of(one_of_each / "models" / "km" / "config.json").name == "bundle"
    assert kind_of(one_of_each / "wavs" / "synthesis.json").name == "synthesis"
    assert kind_of(one_of_each / "x.training" / "log.csv").name == "training"
    assert kind_of(make_corpus().folder).name == "corpus"


def test_says_what_it_passed_over(one_of_each: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), one_of_each / "foreign.parquet")
    (one_of_each / "damaged.parquet").write_bytes(b"PAR1 and no more")
    (one_of_each / "fairseq.jsonl").write_text('{"file": "a", "units": [1]}\n')
    (one_of_each / "hubert").mkdir()
    (one_of_each / "hubert" / "config.json").write_text("{}")
    (one_of_each / ".writing-x.parquet").write_bytes(b"half")
    (one_of_each / "notes.txt").write_text("mine")
    (one_of_each / "circle").symlink_to(one_of_each)
    findings = find(one_of_each)
    assert {str(p.relative_to(one_of_each)): k.name for p, k in findings.found} == EXPECTED
    passed = {str(p.relative_to(one_of_each)): why for p, why in findings.passed_over}
    assert set(passed) == {
        "foreign.parquet",
        "damaged.parquet",
        "fairseq.jsonl",
        "hubert/config.json",
    }
    assert "not a readable Parquet file" in passed["damaged.parquet"]


def test_find_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find(tmp_path / "none")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.wav", "folder"])
def test_unknown_kinds_say_what_they_could_be(tmp_path: Path, name: str) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(b"\xff hello\n")
    with pytest.raises(InputError, match="of unknown kind") as caught:
        kind_of(tmp_path / name)
    assert "units.parquet" in str(caught.value)
    assert caught.value.path == tmp_path / name


def test_a_table_inside_a_folder_points_to_it(make_corpus: Callable[..., Corpus]) -> None:
    folder = make_corpus().folder
    assert folder is not None
    with pytest.raises(InputError, match="table of kind 'corpus', which is shown with its folder"):
        kind_of(folder / "utterances.parquet")


def test_synthesis_comes_back(one_of_each: Path) -> None:
    synthesis = read_synthesis(one_of_each / "wavs")
    assert (synthesis.voice, synthesis.ids, synthesis.units_id) == ("ana", ("a/b",), "u")
    assert audio.info(synthesis.audio_path("a/b")).n_samples == 10
    assert synthesis.speaker_encoder_id is None
    write_synthesis(replace(synthesis, speaker_encoder_id="e"))
    assert read_synthesis(one_of_each / "wavs").speaker_encoder_id == "e"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"ids": ["a/b", "zz"]}, "1 of 2 wavs missing: zz"),
        ({"ids": ["../a"]}, "can't be an utterance's id"),
        ({"ids": ["a/b", "a/b"]}, "1 duplicate id"),
        ({"voice": None, "version": 7}, "version 7"),
    ],
)
def test_synthesis_refuses(one_of_each: Path, changes: dict, found: str) -> None:
    path = one_of_each / "wavs" / "synthesis.json"
    unsealed(path, **changes)
    with pytest.raises(InputError, match=found):
        read_synthesis(one_of_each / "wavs")


@pytest.mark.parametrize("key", HEADER)
def test_synthesis_needs_every_key(one_of_each: Path, key: str) -> None:
    path = one_of_each / "wavs" / "synthesis.json"
    unsealed(path, without=key)
    with pytest.raises(InputError, match=f"lacks {key}"):
        read_synthesis(one_of_each / "wavs")


def test_training_logs_keep_numbers_and_leave_text_out(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,note,train_loss,extra\n1,a,0.5,\n2,b,0.25,7\n")
    log = read_training_log(tmp_path)
    assert list(log) == ["step", "train_loss", "extra"]
    assert (log["step"], log["train_loss"]) == ([1, 2], [0.5, 0.25])
    assert np.isnan(log["extra"][0])
    assert log["extra"][1] == 7


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "has 0 rows under the columns none"),
        ("step,loss\n", "has 0 rows"),
        ("loss\n1\n", "columns loss"),
        ("step,loss\n1,2\n3\n", "rows longer or shorter"),
        ("step,loss\nx,2\n", "holds something other than numbers"),
        ("step,loss\n,2\n", "holds something other than numbers"),
        (b"step,\xff\n1,2\n", "is not CSV"),
        (None, "no such file"),
    ],
)
def test_training_log_refuses(tmp_path: Path, text: str | bytes | None, found: str) -> None:
    if text is not None:
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(InputError, match=found) as caught:
        read_training_log(tmp_path)
    assert caught.value.path == tmp_path / "log.csv"
