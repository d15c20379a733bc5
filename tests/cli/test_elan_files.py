"""ELAN files through the command line: in, out, and into copies of one's own."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands import run
from eaf import SAMPLE, eaf
from zerochain.formats.corpus import read_corpus
from zerochain.formats.spans import LabelledSpan, Spans, write_spans
from zerochain.formats.units import UnitFile, write_units


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A corpus of the utterances that an ELAN file marks, its units and some hits."""
    (tmp_path / "rec").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000)
    soundfile.write(tmp_path / "rec" / "My rec.wav", noise, 16_000)
    (tmp_path / "mine.eaf").write_text(SAMPLE, encoding="utf-8")
    corpus = tmp_path / "c"
    result = run(
        "import", "folder", tmp_path / "rec", "--out", corpus, "--segments-from",
        tmp_path / "mine.eaf", "--segment-tier", "participant:Ana", "--text-tier", "words",
    )  # fmt: skip
    assert "utterances" in result.output
    made = read_corpus(corpus)
    assert [u.text for u in made.utterances] == ["one two three", None]
    assert {u.speaker for u in made.utterances} == {"Ana"}
    units = {u.id: np.arange(round(u.duration / 0.02)) // 10 for u in made.utterances}
    write_units(tmp_path / "km.parquet", UnitFile(units, 9, 20.0, "m", "x", corpus_id=made.id))
    rows = (LabelledSpan("My rec", 2.5, 3.0, "yes", 0.5),)
    write_spans(tmp_path / "hits.parquet", Spans(rows, "hits"))
    return corpus


def test_units_and_hits_go_into_a_copy(imported: Path, tmp_path: Path) -> None:
    files = [tmp_path / "km.parquet", tmp_path / "hits.parquet"]
    common = ["export", "elan", *files, "--corpus", imported, "--out", tmp_path / "out"]
    result = run(*common, "--keep", tmp_path / "mine.eaf")
    assert "1 ELAN file, 1 of them a copy, with 9 annotations" in result.output
    text = (tmp_path / "out" / "mine.eaf").read_text(encoding="utf-8")
    assert 'LINGUISTIC_TYPE_REF="zerochain-units" PARTICIPANT="Ana" TIER_ID="units"' in text
    assert 'LINGUISTIC_TYPE_REF="zerochain-hits" TIER_ID="hits"' in text
    assert "1 ELAN file, with 9 annotations" in run(*common).output
    assert (tmp_path / "out" / "My rec.eaf").is_file()
    shown = run("show", tmp_path / "hits.parquet").output
    assert "1 span of 1 label" in shown


def test_what_is_wrong_names_the_option(imported: Path, tmp_path: Path) -> None:
    run("export", "elan", "--corpus", imported, "--out", tmp_path / "out", code=2)
    (tmp_path / "two.eaf").write_text(eaf({"a": [(0, 1, "")], "b": [(0, 1, "")]}, ["My rec.wav"]))
    folder = [tmp_path / "rec", "--out", tmp_path / "d"]
    run("import", "folder", *folder, "--segments-from", tmp_path / "two.eaf")
    assert len(read_corpus(tmp_path / "d").utterances) == 2  # both are of one type
    run("import", "folder", *folder, "--segments-from", tmp_path / "nowhere", code=1)
    result = run("import", "folder", *folder, "--segment-tier", "x", code=1)
    assert "give --segments-from" in result.output
