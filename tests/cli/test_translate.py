"""translate train, translate decode, and whatever goes wrong there."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import leftovers, run, run_apart
from languages import Languages, make_languages
from zerochain.formats.bundle import bundle_id, read_bundle
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.scores import read_scores
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import read_units, write_units

QUICK = (
    *("--steps", 4, "--validate-every", 2, "--batch-size", 8, "--width", 16, "--heads", 2),
    *("--encoder-layers", 1, "--decoder-layers", 1),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Languages:
    """Two languages and `x`, a translator from units; for reading only."""
    languages = make_languages(tmp_path_factory.mktemp("made"), 40)
    run(*command(languages, "--device", "cpu", "--out", languages.root / "x"))
    return languages


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def command(made: Languages, *options: object, source: Path | None = None) -> tuple[object, ...]:
    files = (source or made.source, made.target, made.pairs)
    return ("translate", "train", *files, *QUICK, *options)


@pytest.mark.parametrize(
    ("options", "architecture"),
    [
        ((), "conformer"),
        (("--architecture", "ctc", "--no-augment"), "ctc"),
        (("--architecture", "rnn", "--subsampling", 2), "rnn"),
        (("--label-smoothing", 0, "--concatenated", 1, "--dropout", 0.3), "conformer"),
    ],
)
def test_train_and_decode(
    made: Languages, tmp_path: Path, options: tuple[object, ...], architecture: str
) -> None:
    said = run(
        *command(made, "--source-units", made.source, *options, "--out", "x", source=made.frames)
    )
    assert f"x: {architecture} from 40 pairs, 2 of them held out" in said.stdout
    assert "NOT CONVERGED: steps ran out" in said.stdout
    bundle = read_bundle(tmp_path / "x", "translator")
    assert bundle.config["network"]["auxiliary"] == "ctc"
    assert set(bundle.trained_on) == {"source", "target", "source units"}
    assert len(read_training_log(tmp_path / "x.training")["step"]) == 2
    scores = ("--scores", "scores.jsonl", "--system", "mine")
    result = run("translate", "decode", "x", made.frames, *scores, "--out", "u.parquet")
    assert "u.parquet: 40 translations" in result.stdout
    assert "real-time factor" in result.stdout
    [speed] = read_scores(tmp_path / "scores.jsonl")
    assert (speed.metric, speed.system, speed.n) == ("real_time_factor", "mine", 40)
    assert speed.inputs["units"] == read_units(tmp_path / "u.parquet").id
    assert 0 < speed.value < 60 / speed.options["heard_s"]
    assert read_units(tmp_path / "u.parquet").model_id == read_units(made.target).model_id
    for path in ("x", "u.parquet", "x.training"):
        run("show", path)


def test_options_reach_what_they_name(made: Languages, tmp_path: Path) -> None:
    options = ("--subsampling", 2, "--auxiliary-weight", 3, "--longest", 30, "--auxiliary", "ce")
    own = ("--source-units", made.source)
    run(*command(made, *options, *own, "--out", "x", source=made.frames))
    config = read_bundle(tmp_path / "x").config
    assert config["network"]["subsampling"] == 2
    assert config["network"]["auxiliary"] == "ce"
    assert config["longest_s"] == 30
    assert config["training"]["config"]["auxiliary_weight"] == 3


@pytest.mark.parametrize(
    ("options", "method"),
    [((), "beam 1"), (("--beam", 3), "beam 3"), (("--sample", 4, "--seed", 7), "sampled from 4")],
)
def test_ways_to_decode(
    made: Languages, tmp_path: Path, options: tuple[object, ...], method: str
) -> None:
    ids = ("--id", "s3", "--id", "s1")
    run("translate", "decode", made.root / "x", made.source, *options, *ids, "--out", "u")
    first = (tmp_path / "u").read_bytes()
    said = read_units(tmp_path / "u")
    assert said.ids == ["s3", "s1"]
    assert said.method == f"translated: conformer, {method} → made too"
    run("translate", "decode", made.root / "x", made.source, *options, *ids, "--out", "u")
    assert (tmp_path / "u").read_bytes() == first


def test_attention_maps_can_be_written_again(made: Languages, tmp_path: Path) -> None:
    for _ in range(2):
        run(
            *("translate", "decode", made.root / "x", made.source, "--id", "s1"),
            *("--attention", "maps", "--out", "u"),
        )
    assert sorted(p.name for p in (tmp_path / "maps").iterdir()) == ["attention.json", "s1.npz"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    said = run(
        *("translate", "decode", made.root / "x", made.source),
        *("--attention", "mine", "--out", "v"),
        code=1,
    )
    assert "not a folder that zerochain made" in said.stderr
    assert not (tmp_path / "v").exists()


def test_the_other_direction(made: Languages, tmp_path: Path) -> None:
    run(*("translate", "train", made.target, made.source, made.pairs), *QUICK, "--out", "back")
    run("translate", "decode", "back", made.target, "--out", "u")
    assert read_units(tmp_path / "u").model_id == read_units(made.source).model_id


def test_several_sources(made: Languages, tmp_path: Path) -> None:
    more = make_languages(tmp_path / "more", 20, prefix="r")
    also = ("--also", more.source, more.target, more.pairs)
    assert "from 60 pairs" in run(*command(made, *also, "--out", "x")).stdout
    said = run(*command(made, *also, "--source-units", made.source, "--out", "x"), code=2)
    assert "--source-units is given 1 time for 2 sources" in said.stderr


@pytest.mark.usefixtures("warm")
def test_a_killed_training_goes_on_where_it_stopped(made: Languages, tmp_path: Path) -> None:
    preparation = """
        import os, signal
        from zerochain.translation.task import TranslationTask
        plain = TranslationTask.batch
        def batch(task, step, process):
            if step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(task, step, process)
        TranslationTask.batch = batch
    """
    options = command(made, "--device", "cpu", "--out", tmp_path / "killed")
    assert run_apart(preparation, *options).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    run(*options)
    one, other = (n / "weights.safetensors" for n in (tmp_path / "killed", made.root / "x"))
    assert one.read_bytes() == other.read_bytes()
    assert not leftovers(tmp_path)


def test_a_checkpoint_of_other_pairs_is_refused(
    made: Languages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device", "x")

    with monkeypatch.context() as patch:
        patch.setattr("zerochain.formats.bundle.write_bundle", full)
        run(*command(made, "--out", "x"), code=1)
    less = tuple((f"s{i}", f"t{i}") for i in range(30))
    write_pairs(tmp_path / "less", Pairs(less, "corpus-a", "corpus-b"))
    files = (made.source, made.target, tmp_path / "less")
    said = run("translate", "train", *files, *QUICK, "--out", "x", code=1)
    assert "checkpoint of a training with other data or other settings" in said.stderr
    run("translate", "train", *files, *QUICK, "--out", "x", "--restart")


def test_a_translator_that_ignores_its_input_is_noticed(
    made: Languages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zerochain.modules.unit_translator import UnitTranslator

    plain = UnitTranslator.encode
    monkeypatch.setattr(
        UnitTranslator,
        "encode",
        lambda s, x, n: plain(s, x * 0, n * 0 + 1),  # its input is one unit
    )
    said = run("translate", "decode", made.root / "x", made.source, "--out", "u")
    assert "all are the same: the translator ignores its input" in said.stderr


def bad(tmp_path: Path, made: Languages, what: str) -> tuple[tuple[object, ...], str]:
    """A command that can't work, and what is to be said about it."""
    decode = ("translate", "decode", made.root / "x")
    match what:
        case "pairs of nobody":
            write_pairs(
                tmp_path / "p", Pairs((("s1", "t1"), ("s99", "t2")), "corpus-a", "corpus-b")
            )
            return ("translate", "train", made.source, made.target, "p"), "missing in the source"
        case "a single pair":
            write_pairs(tmp_path / "p", Pairs((("s1", "t1"),), "corpus-a", "corpus-b"))
            return ("translate", "train", made.source, made.target, "p"), "1 pair can't be divided"
        case "swapped arguments":
            return ("translate", "train", made.source, made.pairs, made.target), "not 'units'"
        case "features as target":
            return ("translate", "train", made.source, made.frames, made.pairs), "directory"
        case "no such source":
            return ("translate", "train", "nowhere", made.target, made.pairs), "no such file"
        case "other corpora":
            write_pairs(tmp_path / "p", Pairs((("s1", "t1"),), "corpus-c", "corpus-b"))
            return ("translate", "train", made.source, made.target, "p"), "pairs corpora corpus-c"
        case "units of another model":
            return (*decode, made.target), "takes those of aaaaaaaaaaaa"
        case "another kind of source":
            return (*decode, made.frames), "but the translator takes units"
        case "no translator":
            return ("translate", "decode", made.frames, made.source), "config.json"
        case "nobody":
            return (*decode, made.source, "--id", "nobody"), "missing in the source"
        case "longer than allowed":
            given = read_units(made.source)
            name = "s1"
            durations = {name: np.full(len(given.units[name]), 3000)}
            long = replace(given, units={name: given.units[name]}, durations=durations)
            write_units(tmp_path / "long", long)
            return (*decode, "long"), "utterances are longer than 60 s: s1 ("
        case "too wide a step":
            wide = ("--width", 30, "--heads", 4)
            return (*command(made, *wide),), "can't be divided among 4 heads"
        case _:
            return (*command(made, "--auxiliary", "ce"),), "source's own units, and there are none"


@pytest.mark.parametrize(
    "what",
    [
        *("pairs of nobody", "a single pair", "swapped arguments", "features as target"),
        *("no such source", "other corpora", "units of another model", "another kind of source"),
        *("no translator", "nobody", "longer than allowed", "too wide a step", "no own units"),
    ],
)
def test_bad_input(made: Languages, tmp_path: Path, what: str) -> None:
    arguments, found = bad(tmp_path, made, what)
    code = 2 if what == "features as target" else 1
    said = run(*arguments, "--out", "out", code=code)
    assert found in said.stderr
    assert not (tmp_path / "out").exists()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--split", "train"), "--split requires --corpus"),
        (("--corpus", "c"), "--split requires --corpus"),
        (("--beam", 2, "--sample", 2), "--beam and --sample exclude each other"),
        (("--beam", 0), "0 is not in the range"),
    ],
)
def test_bad_usage_of_decode(made: Languages, options: tuple[Any, ...], found: str) -> None:
    decode = ("translate", "decode", made.root / "x", made.source, "--out", "u")
    assert found in run(*decode, *options, code=2).stderr


def test_nan_in_features(made: Languages, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(made.frames, tmp_path / "frames")
    frames = np.load(tmp_path / "frames" / "frames.npy")
    frames[3, 4] = np.nan
    np.save(tmp_path / "frames" / "frames.npy", frames)
    said = run(*command(made, "--out", "x", source=tmp_path / "frames"), code=1)
    assert "1 NaN or infinite values" in said.stderr


def test_the_bundle_is_the_same_for_the_same_command(made: Languages, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(*command(made, "--device", "cpu", "--out", name))
    weights = [(tmp_path / n / "weights.safetensors").read_bytes() for n in ("a", "b")]
    assert weights[0] == weights[1]
    assert bundle_id(tmp_path / "a")
