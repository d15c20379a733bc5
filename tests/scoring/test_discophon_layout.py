"""DiscoPhon's folders, scored: each language as the metrics say, and means over languages."""

import json
from pathlib import Path

import numpy as np
import pytest

from commands import run
from zerochain.errors import InputError
from zerochain.exchange.discophon import (
    alignment_path,
    items_path,
    labels_of,
    read_alignment,
    units_path,
)
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.scores import read_scores
from zerochain.formats.units import UnitFile, write_units
from zerochain.report.published import discophon_baselines
from zerochain.scoring.discophon import score_discophon

METRICS = Path(__file__).parents[1] / "metrics"
CASES = json.loads((METRICS / "discophon_peers" / "discovery.json").read_text("utf-8"))["cases"]
ABX = json.loads((METRICS / "discophon_peers" / "abx.json").read_text("utf-8"))["cases"]


def write_alignment(data: Path, code: str, split: str, phones: dict[str, list[str]]) -> None:
    lines = ["#file onset offset #phone"]
    for name, labels in phones.items():
        bounds = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]]
        for first, last in zip(bounds, [*bounds[1:], len(labels)], strict=True):
            lines.append(f"{name} {first / 100:.2f} {last / 100:.2f} {labels[first]}")
    path = alignment_path(data, code, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_units_of(folder: Path, code: str, split: str, units: dict[str, list[int]]) -> None:
    folder.mkdir(exist_ok=True)
    rows = [json.dumps({"file": name, "units": line}) for name, line in units.items()]
    units_path(folder, code, split).write_text("\n".join(rows), encoding="utf-8")


@pytest.fixture
def layout(tmp_path: Path) -> tuple[Path, Path]:
    """Units and data: a case that discophon scored as English, and half of it as French."""
    data, units, case = tmp_path / "data", tmp_path / "units", CASES[0]
    phones = {name: line.split() for name, line in case["phones"].items()}
    lines = {name: [int(u) for u in line.split()] for name, line in case["units"].items()}
    for code, names in (("eng", [*phones]), ("fra", [*phones][:3])):
        write_alignment(data, code, "test", {name: phones[name] for name in names})
        write_units_of(units, code, "test", {name: lines[name] for name in names})
    return units, data


def test_languages_and_their_mean(layout: tuple[Path, Path]) -> None:
    units, data = layout
    made = score_discophon(units, data, with_abx=False)
    english, french, mean = made.rows
    expected = CASES[0]["scores"]
    assert english.label == "eng test"
    assert english.values["pnmi"] == pytest.approx(expected["pnmi"], abs=1e-6)
    assert english.values["per"] == pytest.approx(100 * expected["per"], abs=1e-4)
    assert english.values["r_value"] == pytest.approx(100 * expected["r_val"], abs=1e-4)
    assert mean.label == "mean of 2 of 6 test languages, test"
    for key, value in mean.values.items():
        assert value == pytest.approx((english.values[key] + french.values[key]) / 2)
    assert {s.protocol for s in made.scores} == {
        "discophon many-to-one, eng test",
        "discophon many-to-one, fra test",
    }


def test_abx_is_that_of_discophon(tmp_path: Path) -> None:
    data, units = tmp_path / "data", tmp_path / "units"
    arrays = {
        p.stem: np.load(p)[:, 0].tolist() for p in sorted((METRICS / "abx_peers/units").glob("*"))
    }
    write_units_of(units, "wol", "dev", arrays)
    labels = {name: ["SIL", *"ab" * len(line)][: len(line)] for name, line in arrays.items()}
    write_alignment(data, "wol", "dev", labels)
    items_path(data, "wol", "dev").parent.mkdir()
    items = (METRICS / "abx_peers" / "triphones.item").read_text("utf-8")
    items_path(data, "wol", "dev").write_text(items, encoding="utf-8")
    made = score_discophon(units, data, step_ms=10, jobs=1)
    recorded = ABX[0]["scores"]
    found = {s.metric: s.value for s in made.scores if s.metric.startswith("abx")}
    assert found["abx_within_%"] == pytest.approx(100 * recorded["within_speaker"], abs=1e-4)
    assert found["abx_across_%"] == pytest.approx(100 * recorded["across_speaker"], abs=1e-4)
    assert made.rows[0].values["abx"] == pytest.approx(sum(found.values()) / 2)
    assert len(made.rows) == 1  # one language has no mean


def test_out_and_in_again(layout: tuple[Path, Path], tmp_path: Path) -> None:
    _, data = layout
    names = {"test": ["u0", "u1"], "dev": ["u2"], "train": ["u3"]}
    labels = labels_of(read_alignment(alignment_path(data, "eng", "test")))
    utterances = tuple(
        Utterance(name, f"{name}.wav", len(labels[name]) / 100, split=split)
        for split, several in names.items()
        for name in several
    )
    corpus = write_corpus(tmp_path / "c", Corpus("c", utterances))
    codes = {
        name: np.arange(len(labels[name]) // 4, dtype=np.int32) % 7 for name in ["u0", "u1", "u2"]
    }
    two = {name: np.full(len(line), 2, np.int32) for name, line in codes.items()}
    unit_file = UnitFile(codes, 300, 20.0, "m", "k", durations=two, corpus_id=corpus.id)
    write_units(tmp_path / "u.parquet", unit_file)
    common = ("--corpus", tmp_path / "c", "--language", "eng")
    done = run("export", "discophon", tmp_path / "u.parquet", *common, "--out", tmp_path / "s")
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == [
        "units-eng-dev.jsonl",
        "units-eng-test.jsonl",
    ]
    assert "300 units; DiscoPhon takes 256" in done.stderr
    (tmp_path / "s" / "units-eng-dev.jsonl").unlink()
    write_alignment(data, "eng", "test", {name: labels[name] for name in names["test"]})
    arguments = ("--data", data, "--no-abx", "--out", tmp_path / "s.jsonl")
    shown = run("score", "discophon", tmp_path / "s", *arguments).stdout
    assert "eng test" in shown
    assert "SpidR VP-20, adapted on 10h" in shown
    assert len(read_scores(tmp_path / "s.jsonl")) == 7
    del codes["u1"]
    write_units(tmp_path / "few.parquet", UnitFile(codes, 7, 20.0, "m", "k", durations=None))
    done = run(
        "export", "discophon", tmp_path / "few.parquet", *common, "--out", tmp_path / "t", code=1
    )
    assert "u1" in done.stderr


def test_the_published_baselines_are_whole() -> None:
    for part in ("test", "dev"):
        rows = discophon_baselines(part)
        assert len({(one.model, one.adapted_on) for one in rows}) == len(rows) == 16
        assert all(0 < one.pnmi < 1 and one.abx_continuous < one.abx_identical for one in rows)
    best = min(discophon_baselines(), key=lambda one: one.per)
    assert (best.model, best.adapted_on, best.per) == ("SpidR VP-20", "10h", 61.67)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("units-xyz-test.jsonl", "DiscoPhon has no language 'xyz'"),
        ("units-eng-tets.jsonl", "DiscoPhon has no split 'tets'"),
        ("units-eng-train-1h.jsonl", "holds no units to evaluate"),
    ],
)
def test_names_of_files_are_checked(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_text('{"file": "u", "units": [1]}\n')
    with pytest.raises(InputError, match=said):
        score_discophon(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("u 0 1 a\n", "without #file, onset"),
        ("#file onset offset #phone\nu 0 0.1\n", ":2: has 3 fields, not 4"),
        ("#file onset offset #phone\nu 0 0.105 a\n", ":2: 0.105 s is not a multiple of 10 ms"),
        ("#file onset offset #phone\nu 0.1 0.1 a\n", "a phone from 0.1 to 0.1"),
        ("#file onset offset #phone\nu 0 .1 a\nu .2 .3 b\n", "don't follow each other from 0"),
    ],
)
def test_alignments_are_checked(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_alignment(path)
