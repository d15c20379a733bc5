"""Translations on the page: what is played beside what, and which units are right."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import small_corpus
from runs import add_synthesis
from zerochain.formats.attention import write_attention
from zerochain.formats.corpus import Corpus
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.scores import Score, append_scores
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.report.page import write_report
from zerochain.report.run import read_run, run_files
from zerochain.report.translations import _sentences, _Sides, matched, translations

MODEL = "m" * 64


def units_of(path: Path, corpus: Corpus, lines: dict[str, list[int]], method: str) -> UnitFile:
    arrays = {name: np.array(line, np.int32) for name, line in lines.items()}
    write_units(path, UnitFile(arrays, 30, 20.0, MODEL, method, corpus_id=corpus.id))
    return read_units(path)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A run with two corpora, units of the targets, and one system's translations, spoken."""
    root = tmp_path / "run"
    root.mkdir()
    source = small_corpus(root, name="source", seconds=0.4)
    target = small_corpus(root, name="target", seconds=0.5)
    pairs = tuple((f"u{i}", f"u{5 - i}") for i in range(6))
    write_pairs(root / "pairs.parquet", Pairs(pairs, source.id, target.id))
    spoken = units_of(
        root / "target.parquet", target, {f"u{i}": [i, i, 20, 21] for i in range(6)}, "kmeans"
    )
    said = units_of(
        root / "said.parquet", source, {f"u{i}": [5 - i, 25, 21] for i in (2, 5)}, "translated: x"
    )
    add_synthesis(root, spoken, "unit-means", "béa")
    (root / "second").mkdir()
    add_synthesis(root / "second", said, "code2spec", "béa")
    maps = {name: np.full((3, 4), 0.25, np.float32) for name in said.ids}
    write_attention(
        root / "maps", maps, said.units, translator_id="t" * 64, units_id=said.id, step_ms=100.0
    )
    score = Score("unit_bleu", 12.5, None, 2, "merged units", "ours", {"units": said.id}, {})
    append_scores(root / "scores.jsonl", [score])
    return root


def test_source_reference_and_translation(world: Path) -> None:
    shown, problems = translations(read_run(run_files(world)), 5)
    assert problems == []
    assert {(e.source.id, e.reference.id) for e in shown} == {("u2", "u3"), ("u5", "u0")}
    for example in shown:
        assert [p.what for p in example.players] == [
            "source",
            "reference",
            "reference, resynthesised",
            "ours",
        ]
        wanted = example.reference.id[1]
        reference, ours = example.outputs
        assert reference.parts == [(f"{wanted} 20 21", False)]
        assert ours.parts == [(wanted, True), ("25", False), ("21", True)]
        assert "Attention of ours" in example.attention
    assert len(translations(read_run(run_files(world)), 1)[0]) == 1


def test_the_page_shows_translations_and_no_wrong_pictures(world: Path, tmp_path: Path) -> None:
    page = write_report(tmp_path / "out", run_files(world), published=None, n_examples=2)
    text = page.read_text(encoding="utf-8")
    for part in ("Source, reference, translation", "u2 → u3", "<b>3</b> 25 <b>21</b>", "12.5"):
        assert part in text
    _, _, tail = text.partition('id="examples"')
    assert tail
    assert "translated: x" not in tail.partition('id="usage"')[0]  # of recordings, not of sources
    assert "ABX" not in text.partition("<main>")[0]  # nobody misses it here


def test_pairs_the_other_way_round(world: Path) -> None:
    run = read_run(run_files(world))
    run.pairs[:] = [pairs.swapped() for pairs in run.pairs]
    assert {e.source.id for e in translations(run, 5)[0]} == {"u2", "u5"}


def test_without_pairs_targets_or_their_wavs(world: Path) -> None:
    run = read_run(run_files(world))
    run.syntheses[:] = [s for s in run.syntheses if s.is_translation]
    assert len(translations(run, 1)[0][0].players) == 3
    run.attentions.clear()
    assert translations(run, 1)[0][0].attention == ""
    (world / "wavs").rename(tmp := world / "gone")
    assert tmp.exists()
    run.pairs.clear()
    assert translations(run, 1) == ([], [])


def test_a_lost_wav_is_said(world: Path) -> None:
    run = read_run(run_files(world))
    for wav in world.rglob("code2spec/*.wav"):
        wav.write_bytes(b"")
    shown, problems = translations(run, 2)
    assert shown == []
    assert "a translation could not be shown" in problems[0]


def test_matched_units() -> None:
    assert matched([1, 2, 3], [1, 2, 3]) == [("1 2 3", True)]
    assert matched([7], [1, 2]) == [("7", False)]
    assert matched([1, 9, 3], [1, 2, 2, 3]) == [("1", True), ("9", False), ("3", True)]


@pytest.mark.parametrize("has_texts", [True, False])
def test_sentences_rather_than_single_words(world: Path, has_texts: bool) -> None:
    run = read_run(run_files(world))
    (pairs,) = run.pairs
    target = run.corpora[pairs.target_corpus]
    sides = _Sides(
        target,
        replace(
            target,
            utterances=tuple(
                replace(u, text=(f"{'a b c' if u.id == 'u4' else 'a'}" if has_texts else None))
                for u in target.utterances
            ),
        ),
        {u.id: u.id for u in target.utterances},
        UnitFile(
            {u.id: np.arange(9 if u.id == "u4" else 2, dtype=np.int32) for u in target.utterances},
            30,
            20.0,
            MODEL,
            "kmeans",
        ),
        {},
    )
    ids = target.ids
    assert "u4" in _sentences(sides, ids, 1)
    assert has_texts == (list(_sentences(sides, ids, 1)) == ["u4"])
    assert list(_sentences(sides, ids, len(ids) + 1)) == ids
