import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from commands import leftovers, run
from zerochain.cli.submissions import expected_names
from zerochain.errors import InputError
from zerochain.exchange.zerospeech import language_folder
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import read_features
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.items import read_items

ABOUT = ("--author", "Ana", "--affiliation", "Une École", "--description", "a test")


@pytest.fixture
def units(make_corpus: Callable[..., Corpus], tmp_path: Path) -> tuple[Path, Path]:
    """A corpus with gold phones and its units."""
    return units_of(make_corpus(4), tmp_path)


@pytest.fixture
def scored_units(make_corpus: Callable[..., Corpus], tmp_path: Path) -> tuple[Path, Path]:
    """The same of enough utterances for a score."""
    return units_of(make_corpus(6), tmp_path)


def units_of(corpus: Corpus, tmp_path: Path) -> tuple[Path, Path]:
    line = [Phone(0.1 * i, 0.1 * i + 0.1, p) for i, p in enumerate("abacabac")]
    write_corpus(corpus.folder, corpus, Phones(dict.fromkeys(corpus.ids, line)))
    steps = {u.id: (np.arange(int(u.duration * 50)) // 5 % 4) for u in corpus.utterances}
    made = {name: values.astype(np.int32) for name, values in steps.items()}
    write_units(tmp_path / "u.parquet", UnitFile(made, 4, 20.0, "m", "four units"))
    return corpus.folder, tmp_path / "u.parquet"


def test_a_submission_out_checked_in_and_scored(
    scored_units: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus, unit_file = scored_units
    out = tmp_path / "submission"
    result = run("export", "zerospeech2019", "--english", unit_file, *ABOUT, "--out", out)
    assert "not complete yet:\n  2019/surprise: is missing" in result.output
    run("export", "zerospeech2019", "--out", out, *ABOUT, code=2)
    run("export", "zerospeech2019", "--english-model", "x", "--out", out, *ABOUT, code=2)

    expected = tmp_path / "list.txt"
    expected.write_text("english/test/u0.txt 1.2\nenglish/test/zz.wav\n")
    bad = language_folder(out, "english") / "u1.txt"
    bad.write_text("1 0 0 0\n1 0 0\n")
    result = run("check", "zerospeech2019", out, "--expected", f"english={expected}", code=1)
    assert result.stdout.splitlines() == [
        "2019/surprise: is missing",
        "2019/english/test/zz.wav: is missing",
        "2019/english/test/u1.txt:2: has 3 numbers, the lines before it 4",
    ]
    assert "breaks the rules in 3 places" in result.stderr
    run("check", "zerospeech2019", out, "--expected", "klingon=x", code=2)
    bad.unlink()

    theirs = ("--language", "english", "--system", "theirs", "--out", tmp_path / "in")
    corpus_step = ("--step-ms", 20, "--corpus", corpus)
    result = run("import", "zerospeech2019", out, *theirs, *corpus_step)
    assert "5 utterances, " in result.output
    assert "lines of 4 numbers, 4 of them distinct; a line lasts 20 ms" in result.output
    assert "the corpus has 1 more utterance" in result.output
    assert "features --distance angular --protocol zs2019" in result.output

    full = tmp_path / "full"
    run("export", "zerospeech2019", "--english", unit_file, "--surprise", unit_file, *ABOUT,
        "--out", full)  # fmt: skip
    result = run("check", "zerospeech2019", full, "--expected", f"english={corpus}")
    assert "follows all rules that were checked" in result.output
    packed = shutil.make_archive(str(full), "zip", full)
    expected = ("--expected", f"english={corpus}")
    result = run("check", "zerospeech2019", packed, *expected)
    assert f"{packed}: follows all rules that were checked" in result.output
    error = run("check", "zerospeech2019", unit_file, *expected, code=1).stderr
    assert "is neither a folder nor a ZIP archive" in error
    result = run("import", "zerospeech2019", full, *theirs, *corpus_step)
    scores = tmp_path / "s.jsonl"
    into = ("--corpus", corpus, "--out", scores, "--beside", "published")
    result = run("score", "abx", tmp_path / "in" / "features", *into)
    assert "lacks either ABX or bit rate of 'theirs'" in result.output
    result = run("score", "bitrate", tmp_path / "in" / "units.parquet", *into)
    assert "systems without a rank among ZeroSpeech 2019/2020, english" in result.output
    assert "Gündoğdu" in result.output
    assert "no rank: the ABX error of theirs is by protocol triphone" in result.output
    assert not re.search("Pareto front|rank by ABX", result.output)
    # Not where it would be by its error, which is 0.
    assert re.search(r"┼[┼─┤]+\n│\s+– │ ▶ theirs[^\n]*\n└", result.output)
    text = scores.read_text(encoding="utf-8").replace('"triphone"', '"zs2019"')
    scores.write_text(text, encoding="utf-8")
    result = run("score", "beside", scores)
    assert "on the Pareto front" in result.output  # 10 bit/s: none needs fewer
    result = run("score", "beside", scores, "--among", "published-surprise")
    assert "theirs among ZeroSpeech 2019/2020, surprise" in result.output
    run("score", "beside", scores, "--system", "nobody's", code=1)
    assert not leftovers(tmp_path)


def test_2021(units: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, unit_file = units
    out = tmp_path / "submission"
    train = ("--train-set", "none", "--metric", "kl_symmetric", "--out", out)
    run("export", "zerospeech2021", "--part", f"dev-clean={unit_file}", *ABOUT, *train)
    recordings = expected_names(corpus)
    assert recordings == {"u2.txt"}  # the test split
    result = run("check", "zerospeech2021", out, "--expected", f"dev-clean={corpus}", code=1)
    assert "phonetic/dev-other: is missing" in result.output
    assert "phonetic/dev-clean/u0.txt: belongs to no recording" in result.output
    result = run("check", "zerospeech2021", out, "--subset", "dev-clean")
    assert "follows all rules" in result.output
    into = ("--subset", "dev-clean", "--out", tmp_path / "in")
    result = run("import", "zerospeech2021", out, *into, "--corpus", corpus)
    assert "features --distance kl_symmetric --normalise length" in result.output
    assert read_features(tmp_path / "in" / "features").step_ms == 20
    run("import", "zerospeech2021", tmp_path, *into, code=1)
    run("export", "zerospeech2021", "--part", "dev=x", *ABOUT, *train, code=2)


def test_what_is_expected(units: tuple[Path, Path], tmp_path: Path) -> None:
    audio = tmp_path / "tiny-audio"
    assert expected_names(audio) == {f"u{i}.txt" for i in range(4)}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="names no file"):
        expected_names(tmp_path / "empty")


@pytest.mark.parametrize("kind", ["jsonl", "fairseq"])
def test_units_as_text(units: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    corpus, unit_file = units
    text, back = tmp_path / "u.txt", tmp_path / "back.parquet"
    result = run("export", "units", unit_file, "--format", kind, "--out", text)
    assert "a unit every 20 ms" in result.output
    options = ("--format", kind, "--step-ms", 20, "--corpus", corpus)
    result = run("import", "units", text, *options, "--out", back)
    assert "units of 0 … 3, each 20 ms" in result.output
    ours, theirs = read_units(unit_file), read_units(back)
    assert {k: v.tolist() for k, v in theirs.units.items()} == {
        k: v.tolist() for k, v in ours.units.items()
    }
    options_merged = ("--format", kind, "--repeats", "merged", "--out", text)
    assert "no times" in run("export", "units", unit_file, *options_merged).output
    result = run("import", "units", text, *options, "--out", back, code=1)
    assert "repeats were merged" in result.output
    if kind == "jsonl":
        row = json.loads(text.read_text().splitlines()[0])
        assert row["units"][:4] == [0, 1, 2, 3]


def test_features_of_other_programs(units: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, _ = units
    root = tmp_path / "theirs"
    root.mkdir()
    np.save(root / "u0.npy", np.ones((120, 3)))
    (root / "log.txt.gz").write_text("")
    out = tmp_path / "feats"
    options = ("--step-ms", 10, "--corpus", corpus, "--out", out)
    result = run("import", "features", root, *options)
    assert f"{out}: 1 utterance, 120 × 3\n" in result.output
    assert "left out: 1 .gz" in result.output
    assert "the corpus has 2 utterances without features: u1, u3" in result.output
    (root / "u1.txt").write_text("1 2 3\n1 2 nan\n")
    result = run("import", "features", root, *options, code=1)
    assert "u1.txt:2: holds NaN" in result.output
    assert read_features(out).ids == ["u0"]


def test_the_layout_that_zerospeech_benchmarks_takes(
    units: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus, unit_file = units
    out = tmp_path / "submission"
    base = ("export", "zerospeech2021", "--part", f"dev-clean={unit_file}", *ABOUT)
    train = ("--train-set", "none", "--metric", "euclidean", "--out", out)
    result = run(*base, *train, "--layout", "abxLS", "--year", 2026, "--code-url", "https://x.y")
    assert "dev-other: is missing" in result.output
    assert sorted(path.name for path in out.iterdir()) == ["dev-clean", "meta.yaml", "params.yaml"]
    array = np.load(out / "dev-clean" / "u0.npy")
    assert (array.dtype, array.shape[1]) == (np.float64, 4)
    meta = yaml.safe_load((out / "meta.yaml").read_text(encoding="utf-8"))
    assert meta["benchmark_name"] == "abxLS"
    assert meta["publication"]["institution"] == "Une École"
    assert yaml.safe_load((out / "params.yaml").read_text()) == {
        "feature_size": 0.02, "distance_mode": "euclidian", "score_file_type": ".npy"
    }  # fmt: skip
    result = run("check", "zerospeech2021", out, "--expected", f"dev-clean={corpus}", code=1)
    assert "dev-clean/u0.npy: belongs to no recording" in result.output
    run("check", "zerospeech2021", out, "--subset", "dev-clean")

    into = ("--subset", "dev-clean", "--out", tmp_path / "in")
    result = run("import", "zerospeech2021", out, *into, "--corpus", corpus)
    assert "features --distance euclidean --normalise length" in result.output
    features = read_features(tmp_path / "in" / "features")
    np.testing.assert_array_equal(features["u0"], array)
    result = run(*base, "--train-set", "none", "--out", tmp_path / "old")
    assert "zerospeech-benchmarks takes --layout abxLS" in result.output
    run(*base, *train, "--year", 2026, code=2)
    run(*base, *train, "--layout", "abxLS", "--code", tmp_path, code=2)


def test_names_without_folders_go_out_to_fastabx_and_discophon(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(4)
    deep = tuple(replace(u, id=f"{'xy'[i % 2]}/u{i // 2}") for i, u in enumerate(corpus.utterances))
    line = [Phone(0.1 * i, 0.1 * i + 0.1, p) for i, p in enumerate("abacabac")]

    def written(utterances: tuple[Utterance, ...]) -> None:
        made = replace(corpus, utterances=utterances, folder=None)
        write_corpus(tmp_path / "c", made, Phones({u.id: line for u in utterances}))
        steps = {u.id: np.arange(int(u.duration * 50), dtype=np.int32) % 4 for u in utterances}
        write_units(tmp_path / "u.parquet", UnitFile(steps, 4, 20.0, "m", "four units"))

    def export(what: str, source: str, out: str, *options: str, code: int = 0) -> str:
        return run(
            "export", what, tmp_path / source, "--out", tmp_path / out, *options, code=code
        ).output

    written(deep)
    clash = "'x/u0' and 'y/u0' of the"
    jsonl = ("--format", "jsonl")
    assert clash in export("units", "u.parquet", "u.jsonl", *jsonl, "--ids", "name", code=1)
    assert clash in export("items", "c", "i.item", "--ids", "name", code=1)
    assert "folders in 4 names (x/u0, y/u0" in export("units", "u.parquet", "u.jsonl", *jsonl)
    written(deep[::2])
    assert "Warning" not in export("units", "u.parquet", "u.jsonl", *jsonl, "--ids", "name")
    export("items", "c", "i.item", "--ids", "name")
    rows = [json.loads(row) for row in (tmp_path / "u.jsonl").read_text().split("\n")[:-1]]
    assert [(row["file"], row["audio"]) for row in rows] == [("u0", "u0.wav"), ("u1", "u1.wav")]
    assert {item.file for item in read_items(tmp_path / "i.item")} == {"u0", "u1"}
    # And back: the names are the ends of the corpus's ids.
    back = ("--format", "jsonl", "--step-ms", 20, "--ids", "name", "--corpus", tmp_path / "c")
    run("import", "units", tmp_path / "u.jsonl", *back, "--out", tmp_path / "b.parquet")
    ours, theirs = (
        read_units(tmp_path / "u.parquet").units,
        read_units(tmp_path / "b.parquet").units,
    )
    assert {k: v.tolist() for k, v in theirs.items()} == {k: v.tolist() for k, v in ours.items()}
