"""evaluation/s2st/learning_curve.py on a synthetic language pair, with a few steps per training."""

import csv
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from languages import Languages, make_languages
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import read_features, write_features
from zerochain.formats.pairs import read_pairs, write_pairs
from zerochain.formats.units import read_units, write_units
from zerochain.machine import resource

FEW = "--steps 2 --validate-every 2 --width 8 --layers 1 --batch-size 4 --cap 20"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def loaded(name: str) -> ModuleType:
    path = resource("evaluation/s2st") / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded("learning_curve")


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> Languages:
    """60 pairs, every fifth in split "test"."""
    root = tmp_path_factory.mktemp("world")
    made = make_languages(root, 60)
    utterances = tuple(
        Utterance(name, f"{name}.wav", 1.0, "ana", split="train" if i % 5 else "test")
        for i, name in enumerate(made.lines)
    )
    corpus = write_corpus(root / "corpus", Corpus("a", utterances, "/nowhere"))
    write_units(made.source, replace(read_units(made.source), corpus_id=corpus.id, id=""))
    write_pairs(made.pairs, replace(read_pairs(made.pairs), source_corpus=corpus.id))
    features = read_features(made.frames)
    frames = {name: np.array(features[name]) for name in features.ids}
    with write_features(
        made.frames, extractor="made", options={}, step_ms=5.0, corpus_id=corpus.id
    ) as writer:
        for name, array in frames.items():
            writer.add(name, array, "ana")
    return made


def options(made: Languages, out: Path, source: Path) -> list[str]:
    files = {
        "source": source,
        "source-units": made.source,
        "target-units": made.target,
        "features": made.frames,
        "corpus": made.root / "corpus",
        "pairs": made.pairs,
        "out": out,
        "sizes": "20",
    }
    return [*(f"--{name}={value}" for name, value in files.items()), *FEW.split()]


def setting_of(script: ModuleType, made: Languages, out: Path, source: Path) -> Any:
    files = (source, made.source, made.target, made.frames, made.root / "corpus", out)
    return script.Setting(*files, {}, None, 5, 2.0, "cpu")


def drawn(script: ModuleType, table: Path, out: Path) -> Any:
    return CliRunner().invoke(script.main, [str(table), "--out", str(out)])


def test_no_pair_hides_among_what_has_none(
    script: ModuleType, languages: Languages, tmp_path: Path
) -> None:
    setting = setting_of(script, languages, tmp_path, languages.source)
    known = script.know(setting, languages.pairs, 20, 0)
    more = script.know(setting, languages.pairs, 30, 0)
    assert (len(known.sources), len(known.targets)) == (14, 14)
    table, larger = (set(read_pairs(k.pairs).pairs) for k in (known, more))
    assert len(table) == 20 + 12
    assert table < larger
    partner = dict(read_pairs(languages.pairs).pairs)
    assert not {partner[name] for name in known.sources} & set(known.targets)
    assert not {s for s, _ in table} & set(known.sources)
    assert not {t for _, t in table} & set(known.targets)


def test_ways(script: ModuleType, languages: Languages, tmp_path: Path) -> None:
    """Pseudo-pairs need units, not frames, and utterances without a pair."""
    always = ["nearest", "spliced", "paired", "pretrained"]
    for source, n, ways in (
        (languages.source, 20, [*always, "propagated", "back-translated", "both"]),
        (languages.frames, 20, [*always, "propagated"]),
        (languages.source, 48, always),
    ):
        setting = setting_of(script, languages, tmp_path, source)
        known = script.know(setting, languages.pairs, n, 0)
        assert list(script.Size(setting, known).ways()) == ways
        more = script.Size(replace(setting, variants=(source,)), known)
        assert set(more.ways()) == {*ways, "decoder", "voices"}


def test_a_curve(script: ModuleType, languages: Languages, tmp_path: Path) -> None:
    some = (
        "nearest",
        "spliced",
        "voices",
        "propagated",
        "both",
    )  # together they do all that there is to be done
    arguments = options(languages, tmp_path, languages.source)
    arguments += [f"--variant={languages.source}", f"--only={','.join(some)}"]
    for _ in range(2):  # the second time everything is there
        result = CliRunner().invoke(script.main, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    unknown = CliRunner().invoke(script.main, [*arguments, "--only=magic"])
    assert "--only magic: there are nearest, spliced, paired" in unknown.output
    with (tmp_path / "table.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["pairs"], row["way"]) for row in rows] == [("20", way) for way in some]
    assert all(0 <= float(row["unit_bleu"]) <= 100 for row in rows)
    assert not rows[0]["beside_nearest"]
    for row in rows[1:]:
        difference = float(row["unit_bleu"]) - float(rows[0]["unit_bleu"])
        assert float(row["beside_nearest"]) == pytest.approx(difference, abs=0.002)
        assert float(row["beside_nearest_from"]) <= difference <= float(row["beside_nearest_to"])
    assert read_units(tmp_path / "20" / "both.parquet").ids == [f"s{i}" for i in range(0, 60, 5)]

    plot = loaded("plot_curve")
    assert drawn(plot, tmp_path / "table.csv", tmp_path / "curve.svg").exit_code == 0
    picture = (tmp_path / "curve.svg").read_text(encoding="utf-8")
    assert all(f">{text}</text>" in picture for text in (*some, "random targets", "unit-BLEU"))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    result = drawn(plot, tmp_path / "other.csv", tmp_path / "none.svg")
    assert "other.csv: holds no learning curve" in result.output
    assert not (tmp_path / "none.svg").exists()


def test_a_table_of_ways_and_sizes(script: ModuleType, tmp_path: Path) -> None:
    rows = [
        {"pairs": 20, "way": "paired", "unit_bleu": 10.04},
        {"pairs": 20, "way": "back-translated", "unit_bleu": 20.0},
        {"pairs": 48, "way": "paired", "unit_bleu": 30.0},
    ]
    script.write_tables(tmp_path, rows)
    assert (tmp_path / "table.md").read_text().splitlines() == [
        "| unit-BLEU | 20 pairs | 48 pairs |",
        "| --- | --: | --: |",
        "| paired | 10.0 | 30.0 |",
        "| back-translated | 20.0 |  |",
    ]
