"""`zerochain find` from recordings to hits, a page and TextGrids."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands import run
from zerochain.exchange.textgrid import read_textgrid
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.spans import LabelledSpan, Spans, read_spans, write_spans

RATE = 16_000
BEFORE_S = 2


def tone(frequencies: list[float], seconds: float, rng: np.random.Generator) -> np.ndarray:
    """One chord after the other, with a little noise."""
    time = np.arange(round(seconds / len(frequencies) * RATE)) / RATE
    parts = [sum(np.sin(2 * np.pi * f * k * time) / k for k in (1, 2, 3)) for f in frequencies]
    wave = np.concatenate(parts) / 8
    return (wave + 0.003 * rng.normal(size=len(wave))).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in which a melody recurs, a clip of it, features, a model and units.

    Utterance u4 is a part of a longer file, from `BEFORE_S` on.
    """
    root = tmp_path_factory.mktemp("find")
    rng = np.random.default_rng(0)
    word, utterances = [400.0, 1200.0, 250.0, 800.0], []
    (root / "audio").mkdir()
    for i in range(8):
        others = [list(rng.uniform(150, 1500, 8)) for _ in range(2)]
        middle = [tone(word, 0.6, rng)] if i % 2 == 0 else []
        wave = np.concatenate([tone(others[0], 1.2, rng), *middle, tone(others[1], 1.2, rng)])
        before = BEFORE_S * (i == 4)
        whole = np.concatenate([np.zeros(before * RATE, np.float32), wave])
        soundfile.write(root / "audio" / f"u{i}.wav", whole, RATE, subtype="PCM_16")
        split = "test" if i < 6 else "train"
        one = Utterance(f"u{i}", f"u{i}.wav", len(wave) / RATE, f"s{i % 2}", split=split)
        if before:
            one = replace(one, start=float(before), end=before + one.duration)
        utterances.append(one)
    corpus = Corpus("tones", tuple(utterances), audio_root=str(root / "audio"))
    write_corpus(root / "corpus", corpus)
    soundfile.write(root / "word.wav", tone(word, 0.6, rng), RATE, subtype="PCM_16")
    soundfile.write(root / "silent.wav", np.zeros(RATE), RATE, subtype="PCM_16")
    soundfile.write(root / "click.wav", tone(word[:1], 0.05, rng), RATE, subtype="PCM_16")
    run("extract", root / "corpus", "--out", root / "mfcc")
    fit = ("discover", "gmm", root / "corpus", "--features", root / "mfcc", "--units", 16)
    run(*fit, "--out", root / "gmm")
    run(
        "encode",
        root / "gmm",
        root / "corpus",
        "--features",
        root / "mfcc",
        "--posteriors",
        "--out",
        root / "posteriors",
    )
    run(
        "encode",
        root / "gmm",
        root / "corpus",
        "--features",
        root / "mfcc",
        "--out",
        root / "units.parquet",
    )
    write_corpus(root / "other-corpus", replace(corpus, utterances=tuple(utterances[:4])))
    run("extract", root / "other-corpus", "--out", root / "elsewhere")
    return root


ALL = ("--min-score", -50, "--windows", 60)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("corpus", ()),
        ("mfcc", ()),
        ("corpus", ("--model", "gmm")),
        ("posteriors", ("--model", "gmm")),
        ("units.parquet", ("--model", "gmm")),
        ("posteriors", ("--model", "gmm", "--index", "units.parquet")),
        ("mfcc", ("--also", "posteriors", "--model", "gmm")),
        ("corpus", ("--also", "posteriors", "--model", "gmm", "--first-pass-ms", "0")),
    ],
)
def test_a_clip_is_found_where_it_is_said(
    made: Path, tmp_path: Path, source: str, options: tuple[str, ...]
) -> None:
    options = tuple(str(made / o) if (made / o).exists() else o for o in options)
    out = tmp_path / "hits.parquet"
    run("find", made / "word.wav", made / source, *options, *ALL, "--out", out)
    spans = read_spans(out)
    best = spans.rows[:4]
    assert {row.recording for row in best} == {"u0", "u2", "u4", "u6"}
    assert all(abs(row.start_s - 1.2) < 0.15 and abs(row.end_s - 1.8) < 0.15 for row in best)
    assert {(row.label, row.speaker) for row in best} == {("word", "s0")}
    assert (spans.what, bool(spans.system), bool(spans.corpus_id)) == ("hits", True, True)


def test_a_place_is_found_elsewhere_with_a_page_and_textgrids(made: Path, tmp_path: Path) -> None:
    out, page, grids = tmp_path / "hits.csv", tmp_path / "hits.html", tmp_path / "grids"
    result = run(
        "find", "u2:1.2-1.8", made / "mfcc", "--corpus", made / "corpus", "--split", "test",
        *ALL, "--most", 2, "--out", out, "--page", page, "--textgrids", grids,
    )  # fmt: skip
    rows = read_spans(out).rows
    assert {row.recording: row.audio for row in rows} == {"u0": None, "u4": "u4.wav"}
    part = next(row for row in rows if row.recording == "u4")
    assert part.audio_start_s == pytest.approx(BEFORE_S + part.start_s)
    assert part.audio_end_s == pytest.approx(BEFORE_S + part.end_s)
    assert "u4.wav 0:03." in result.stdout
    assert "2 hits in mfcc by cosine, speaker-norm" in result.stdout
    text = page.read_text(encoding="utf-8")
    assert text.count("<audio ") == 3  # the query and its hits
    assert " s (u4.wav 0:03." in text
    # Where the query is: its place has 0.15 s around it, and the longest sound has the whole width.
    marks = [tuple(map(float, m)) for m in re.findall(r"left: ([\d.]+)%; width: ([\d.]+)%", text)]
    assert len(marks) == 3
    longest_s = max(row.end_s - row.start_s for row in rows)
    width_s = 0.3 + max(0.6, longest_s)
    assert marks[0] == pytest.approx((15 / width_s, 60 / width_s), abs=0.5)
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    [tier] = read_textgrid(grids / "u0.TextGrid").tiers
    [interval] = tier.intervals
    assert (tier.name, interval.label) == ("u2:1.2-1.8", "u2:1.2-1.8")
    assert interval.onset == pytest.approx(next(r.start_s for r in rows if r.recording == "u0"))


def test_a_pause_is_no_query(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "audio"
    root.mkdir()
    rng = np.random.default_rng(0)
    for name, level in (("quiet", 0.01), ("silent", 0.0)):
        wave = np.concatenate([tone([400.0, 900.0], 1.0, rng), level * tone([400.0], 1.0, rng)])
        soundfile.write(root / f"{name}.wav", wave, RATE, subtype="PCM_16")
    names = ("quiet", "silent")
    utterances = tuple(Utterance(name, f"{name}.wav", 2.0, "s0") for name in names)
    corpus = Corpus("pauses", utterances, audio_root=str(root))
    write_corpus(tmp_path / "corpus", corpus)
    search = tmp_path / "corpus", *ALL, "--out", tmp_path / "hits.csv"
    result = run("find", "quiet:1.2-1.8", *search)
    assert "is it a pause?" in result.stderr
    assert "is silent" in run("find", "silent:1.2-1.8", *search, code=1).stderr


def test_rows_of_a_table_are_queries(made: Path, tmp_path: Path) -> None:
    table = tmp_path / "words.csv"
    places = [LabelledSpan("u0", 1.2, 1.8, "ka"), LabelledSpan("u2.wav", 1.2, 1.8, "ka")]
    write_spans(table, Spans((*places, LabelledSpan("u1", 0.3, 0.9, "bo"))))
    out = tmp_path / "hits.csv"
    source = made / "mfcc", "--corpus", made / "corpus", *ALL, "--out", out
    run("find", table, *source)
    assert {row.label for row in read_spans(out).rows} == {"ka", "bo"}
    run("find", table, *source, "--word", "ka", "--most", 2, "--label", "song")
    rows = read_spans(out).rows
    assert {(row.recording, row.label) for row in rows} == {("u4", "song"), ("u6", "song")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("silent.wav", "mfcc"), "the query silent.wav is silent"),
        (("click.wav", "mfcc"), "lasts 50 ms, shorter than 100 ms"),
        (("word.wav", "posteriors"), "give --model"),
        (("word.wav", "units.parquet"), "give --model"),
        (("nobody.wav", "mfcc"), "neither a sound file nor an utterance"),
        (("u0", "mfcc"), "without times fix: give the part that is to be found: 'u0:START-END'"),
        (("empty.csv", "mfcc"), "holds no row fix: list annotations in it: recording, start_s"),
        (("word.wav", "gmm"), "can't be searched: it is bundle"),
        (("word.wav", "posteriors", "--model", "other"), "the model was fitted again"),
        (("u0:1.2-1.8", "units.parquet", "--model", "other"), "are of unit model"),
        (("u0:1.2-1.8", "mfcc", "--also", "elsewhere"), "extract or encode both from one corpus"),
    ],
)
def test_bad_input(made: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    if "other" in arguments and not (made / "other").exists():
        fit = ("discover", "gmm", made / "corpus", "--features", made / "mfcc", "--units", 4)
        run(*fit, "--out", made / "other")
    if "empty.csv" in arguments:
        (made / "empty.csv").write_text("recording,start_s,end_s,label\n")
    inside = [made / a if (made / a).exists() else a for a in arguments]
    result = run("find", *inside, "--out", tmp_path / "hits.csv", code=1)
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "hits.csv").exists()


def test_options_that_do_not_go_together(made: Path, tmp_path: Path) -> None:
    query = "find", "u0:1.2-1.8", made / "mfcc"
    for options, message in (
        (("--out", tmp_path / "hits.json"), "must end in .parquet or .csv"),
        (("--out", tmp_path / "h.csv", "--page", tmp_path / "p.html"), "needs the --corpus"),
        (("--out", tmp_path / "h.csv", "--split", "test"), "needs the --corpus"),
        (("--out", tmp_path / "h.csv", "--index", made / "units.parquet"), "needs the --model"),
    ):
        assert message in run_usage(*query, *options)
    units = "find", "u0:1.2-1.8", made / "units.parquet", "--also", made / "mfcc"
    assert "only applies to features" in run_usage(*units, "--out", tmp_path / "h.csv")


def run_usage(*arguments: object) -> str:
    from click.testing import CliRunner

    from zerochain.cli import main

    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.replace("│", " ").split())
