"""The page of units: examples, phones, synthesis, bounded and without anything that runs."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from zerochain.cli import main
from zerochain.errors import InputError
from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import CorpusWarning, write_corpus
from zerochain.formats.features import write_features
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.units import UnitFile, write_units
from zerochain.inversion.stage import train_inverter
from zerochain.report import listening, unit_sounds
from zerochain.report.page import write_report
from zerochain.report.run import run_files
from zerochain.report.unit_sounds import _distances, _Segments, write_units_page

pytest.importorskip("jinja2")
STEP_MS = 50.0


@pytest.fixture
def spoken(make_corpus, tmp_path):
    """Units 0 and 1 in turn, of 100 ms each, and 2 once; phones a and b with them."""
    corpus = make_corpus(4, speakers=("ana", "<i>"))
    units, phones = {}, {}
    for u in corpus.utterances:
        n = int(u.duration * 1000 / STEP_MS)
        units[u.id] = np.resize([0, 0, 1, 1], n).astype(np.int32)
        ends = np.append(np.arange(1, n // 2 + 1) * 0.1, u.duration)
        phones[u.id] = [
            Phone(a, b, "ab"[i % 2])
            for i, (a, b) in enumerate(zip(np.append(0, ends[:-1]), ends, strict=True))
            if b > a + 1e-6
        ]
    units[corpus.ids[0]][-3:] = 2
    corpus = write_corpus(corpus.folder, corpus, Phones(phones, "gold"))
    made = UnitFile(units, 5, STEP_MS, "m" * 64, "invented K=5")
    write_units(tmp_path / "u.parquet", made)
    with write_features(
        tmp_path / "feats", extractor="mfcc", options={}, step_ms=STEP_MS, corpus_id=corpus.id
    ) as writer:
        for name, line in units.items():
            writer.add(name, np.eye(5, dtype=np.float32)[line], None)
    return corpus, made


def test_the_page(spoken, tmp_path):
    corpus, _ = spoken
    out = tmp_path / "units.html"
    words = ["units", tmp_path / "u.parquet", "--corpus", corpus.folder, "--out", out]
    result = CliRunner().invoke(main, [*map(str, words), "--features", str(tmp_path / "feats")])
    assert result.exit_code == 0, result.output
    assert "3 units" in result.output
    text = out.read_text(encoding="utf-8")
    assert re.findall(r">Unit (\d)</h2>", text) == ["0", "1", "2"]
    assert text.count("<audio") == 6
    assert "phones: a " in text
    assert "2 units of 5 never used." in text
    assert "best" in text
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_it_is_bounded(spoken, tmp_path, monkeypatch):
    corpus, _ = spoken
    monkeypatch.setattr(listening, "MOST_BYTES", 1)
    out = tmp_path / "units.html"
    assert write_units_page(out, tmp_path / "u.parquet", corpus.folder, per_unit=1) == 1
    text = out.read_text(encoding="utf-8")
    assert "2 units not shown: more would make the page too large." in text
    assert "typical length" in text


def test_units_of_another_corpus_are_named_there_and_on_the_page(spoken, tmp_path):
    corpus, made = spoken
    write_units(tmp_path / "u.parquet", replace(made, corpus_id="0" * 64))
    with pytest.warns(CorpusWarning, match="the units were made of corpus 0000"):
        write_units_page(tmp_path / "p.html", tmp_path / "u.parquet", corpus.folder)
    assert "the units were made of corpus 0000" in (tmp_path / "p.html").read_text("utf-8")


def test_the_best_examples_are_nearest_to_the_mean(spoken, tmp_path):
    _, made = spoken
    rng = np.random.default_rng(0)
    segments = _Segments.of(made)
    frames = {name: rng.normal(size=(len(made.steps(name)), 3)) for name in made.ids}

    class Plain(dict):
        step_ms, dim = STEP_MS, 3

        @property
        def ids(self):
            return list(self)

    found = _distances(segments, 5, Plain(frames))
    means = []
    for name in made.ids:
        ends = np.cumsum(made.segments(name)[1])
        means += [
            frames[name][a:b].mean(axis=0) for a, b in zip([0, *ends[:-1]], ends, strict=True)
        ]
    means = np.array(means)
    for unit in range(3):
        mine = segments.unit == unit
        expected = np.linalg.norm(means[mine] - means[mine].mean(axis=0), axis=1)
        assert found[mine] == pytest.approx(expected)


@pytest.fixture
def run(spoken, tmp_path):
    """A run with the units, latents of their model, and an inverter beside a worse one."""
    corpus, made = spoken
    root = tmp_path / "run"
    (root / "units").mkdir(parents=True)
    path = root / "units" / "u.parquet"
    write_units(path, replace(made, corpus_id=corpus.id))
    train_inverter(
        path, corpus.folder, root / "means", voices=["<i>"], method="unit-means", prosody=None
    )
    with write_features(
        root / "latents",
        extractor="latents",
        options={"model": made.model_id},
        step_ms=STEP_MS,
        corpus_id=corpus.id,
    ) as writer:
        for name, line in made.units.items():
            writer.add(name, np.eye(5, dtype=np.float32)[line], None)
    return root, corpus


def report_of(run, **options):
    root, corpus = run
    files = run_files(root, corpora=[corpus.folder])
    page = write_report(root / "report", files, published=None, n_examples=0, **options)
    return page.read_text(encoding="utf-8")


def test_a_report_has_units_to_listen_to(run):
    text = report_of(run, n_units=2)
    assert re.findall(r"<summary>Unit (\d)", text) == ["0", "1"]
    assert text.count("<audio") == 2 * 3
    assert text.count("<b>synthesis</b>") == 2
    assert text.count("<b>best</b>") == 2  # nearest to the mean of the model's latents
    assert "phones: a " in text
    assert "1 rarer unit not shown: &#39;zerochain units units/u.parquet&#39; makes a page" in text
    assert "2 units of 5 never used." in text
    assert "invented K=5: 3 units in" in text
    assert "Units to listen to" not in report_of(run, n_units=0)


def test_a_report_bounds_its_units(run, monkeypatch):
    monkeypatch.setattr(unit_sounds, "MOST_BYTES", 1)
    text = report_of(run)
    assert re.findall(r"<summary>Unit (\d)", text) == ["0"]
    assert "2 rarer units not shown" in text


def test_an_inverter_that_cannot_be_read_is_no_end_of_a_report(run):
    root, _ = run
    shutil.rmtree(root / "means")
    config = {"unit_model": "m" * 64, "voices": ["x"]}
    write_bundle(root / "broken", "unit-means", config, {}, {})
    text = report_of(run, n_units=1)
    assert "Units can’t be synthesised" in text or "units can&#39;t be synthesised" in text
    assert text.count("<audio") == 2


def test_bad_input(spoken, tmp_path):
    corpus, made = spoken
    with pytest.raises(InputError, match="voice= only applies to inverter="):
        write_units_page(tmp_path / "p.html", tmp_path / "u.parquet", corpus.folder, voice="ana")
    write_units(tmp_path / "o.parquet", UnitFile({"x": made.units[made.ids[0]]}, 5, 50.0, "m", "m"))
    with pytest.raises(InputError, match="x"):
        write_units_page(tmp_path / "p.html", tmp_path / "o.parquet", corpus.folder)
    assert not (tmp_path / "p.html").exists()
