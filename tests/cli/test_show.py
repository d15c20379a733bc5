import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from runs import add_synthesis, add_system
from zerochain import audio
from zerochain.cli import main
from zerochain.errors import speech_time
from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import Corpus, write_corpus
from zerochain.formats.features import write_features
from zerochain.formats.headers import write_json
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.phones import Phone, Phones, write_phones
from zerochain.formats.scores import Score, append_scores
from zerochain.formats.units import UnitFile, write_units


def shown(path: Path) -> str:
    result = CliRunner().invoke(main, ["show", str(path)])
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output  # plain text: this is no terminal
    return result.output


def refused(path: Path) -> Result:
    result = CliRunner().invoke(main, ["show", str(path)])
    assert result.exit_code == 1
    return result


def test_corpus(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus(6)
    record = {"skipped": [{"file": "broken.wav", "reason": "damaged"}]}
    lines = tuple(replace(u, text="[bold] été") for u in corpus.utterances)
    phones = Phones({"u0": [Phone(0, 0.1, "ŋ"), Phone(0.1, 0.2, "ŋ")]}, source="by hand")
    full = replace(corpus, utterances=lines, language="mdw", licence="CC0", record=record)
    write_corpus(tmp_path / "c", full, phones)
    text = shown(tmp_path / "c")
    for part in ("corpus 'tiny'", "mdw", "CC0", "ana", "béa", "test", "train", "[bold] été"):
        assert part in text
    assert "broken.wav" in text
    assert "damaged" in text
    assert re.search("phones +2, of 1 kind +\n", text)
    assert "ŋ 2" in text
    seconds = sum(u.duration for u in lines if (u.speaker, u.split) == ("ana", "train"))
    assert f"{speech_time(seconds)} (2)" in text
    assert shown(tmp_path / "c" / "corpus.json") == text


def test_a_corpus_without_speakers_or_splits(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(2, speakers=(None,))
    lines = tuple(replace(u, split=None) for u in corpus.utterances)
    write_corpus(tmp_path / "c", replace(corpus, utterances=lines))
    text = shown(tmp_path / "c")
    assert "unknown" in text
    assert "no split" in text


def test_many_speakers_are_counted_not_listed(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(40, speakers=tuple(f"s{i:02}" for i in range(40)), seconds=0.02)
    assert corpus.folder is not None
    text = shown(corpus.folder)
    assert "40 speakers" in text
    assert "and 10 more rows" in text


def test_a_file_can_not_steer_the_terminal(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(1, speakers=("\x1b[2Jgone\x07",))
    write_corpus(tmp_path / "c", replace(corpus, name="x\x1b]0;title"))
    text = shown(tmp_path / "c")
    assert r"\x1b[2Jgone\x07" in text
    assert r"x\x1b]0;title" in text


def test_what_a_file_was_made_from_is_named_by_its_path(
    make_corpus: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs" / "r"
    root.mkdir(parents=True)
    corpus = make_corpus(2, name="runs/mine")
    units = add_system(root, corpus, "english/a")
    add_synthesis(root, units, "code2spec", "a")
    (root / "config.yaml").write_text("title: x\n")
    monkeypatch.chdir(tmp_path)

    text = shown(root / "units" / "english" / "a.parquet")
    assert re.search(f"unit model +runs/r/models/english/a .{units.model_id[:12]}.", text)
    assert re.search(f"corpus +runs/mine .{corpus.id[:12]}.", text)
    assert re.search(f" id +{units.id[:12]}", text)
    assert re.search("trained on corpus +runs/mine ", shown(root / "models" / "english" / "a"))
    assert re.search("inverter +runs/r/inverters/code2spec ", shown(root / "wavs" / "code2spec"))

    weights = root / "models" / "english" / "a" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")  # another model now lies there
    text = shown(root / "units" / "english" / "a.parquet")
    assert re.search(f"unit model +{units.model_id[:12]}", text)


@pytest.mark.parametrize("durations", [None, {"a": np.arange(1, 31)}])
def test_units(tmp_path: Path, durations: dict[str, np.ndarray] | None) -> None:
    units = {"a": np.arange(30)}
    unit_file = UnitFile(units, 64, 40.0, "c0ffee" * 8, "kmeans K=64 4T", durations=durations)
    write_units(tmp_path / "u.parquet", unit_file)
    text = shown(tmp_path / "u.parquet")
    for part in ("kmeans K=64 4T", "c0ffeec0ffee", "64", "40 ms", "14 more"):
        assert part in text
    assert ("2×3 3×4" if durations else "2 3 4") in text
    seconds = (30 if durations is None else 465) * 0.04
    assert f"30, {30 / seconds:.1f} per second" in text


def test_bundle(tmp_path: Path) -> None:
    config = {"k": 64, "front_end": {"stride": 4, "mean": list(range(39))}}
    tensors = {"centroids": np.ones((64, 39)), "bias": np.float32(1)}
    write_bundle(tmp_path / "m", "kmeans", config, tensors, {"corpus": "ab" * 32})
    text = shown(tmp_path / "m")
    for part in ("'kmeans'", "64 × 39", "2,497 numbers", "front_end.stride", "31 more"):
        assert part in text
    assert "trained on corpus" in text
    assert "abababababab" in text
    assert "computed on" not in text
    many = {f"a{i:02}": i for i in range(60)}  # so that what follows them is not printed
    trained = {**many, "training": {"outcome": {"computed_on": "CPU, 2 threads"}}}
    write_bundle(tmp_path / "t", "selftrain", trained, tensors, {"corpus": "ab" * 32})
    assert re.search("computed on +CPU, 2 threads", shown(tmp_path / "t"))


def test_features(tmp_path: Path) -> None:
    with write_features(
        tmp_path / "f", extractor="mfcc", options={"n_mels": 40}, step_ms=10, corpus_id="c" * 64
    ) as writer:
        writer.add("a", np.ones((600, 39), np.float32))
    text = shown(tmp_path / "f")
    for part in ("mfcc", "n_mels 40", "600 of 39 numbers", "10 ms", "(6.0 s)"):
        assert part in text


def test_scores(tmp_path: Path) -> None:
    scores = [
        Score("abx_across_%", 22.123, (20.5, 23.75), 500, "zs2021", "km [4T]", {}, {"n_of": "x"}),
        Score("usage", 0.5, None, 1, "p", "km", {}),
    ]
    append_scores(tmp_path / "s.jsonl", scores)
    text = shown(tmp_path / "s.jsonl")
    for part in ("2 scores", "abx_across_%", "22.12", "20.5 … 23.75", "500 x", "zs2021", "km [4T]"):
        assert part in text


def test_the_other_tables_and_folders(tmp_path: Path) -> None:
    write_phones(tmp_path / "phones.parquet", Phones({"a": [Phone(0, 1, "ɓ")]}))
    assert "ɓ 1" in shown(tmp_path / "phones.parquet")
    write_pairs(tmp_path / "pairs.parquet", Pairs((("gd1", "en1"),), "a" * 64, "b" * 64))
    assert "gd1" in shown(tmp_path / "pairs.parquet")
    (tmp_path / "log.csv").write_text("step,valid_loss\n100,0.25\n")
    assert "0.25" in shown(tmp_path / "log.csv")
    audio.write(tmp_path / "wavs" / "a.wav", np.ones(10, np.float32))
    header = {"inverter_id": "i", "units_id": "u", "corpus_id": "c", "voice": "béa"}
    header |= {"sample_rate": 16_000, "ids": ["a"], "method": "code2spec"}  # type: ignore[dict-item]
    header |= {"unit_method": "kmeans", "step_ms": 10}  # type: ignore[dict-item]
    write_json(tmp_path / "wavs" / "synthesis.json", "synthesis", header)
    assert "béa" in shown(tmp_path / "wavs")


def test_what_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    assert "could be" not in refused(tmp_path / "none").stderr
    assert "no such file or folder" in refused(tmp_path / "none").stderr
    assert "units.parquet" in refused(tmp_path / "a.txt").stderr
    assert "corpus.json" in refused(tmp_path).stderr
    (tmp_path / "u.parquet").write_bytes(b"PAR1")
    assert "not a readable Parquet file" in refused(tmp_path / "u.parquet").stderr


def test_what_is_no_file_of_ours(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus()
    sound = shown(corpus.audio_path(corpus.utterances[0]))
    assert "16000 Hz" in sound
    run = tmp_path / "run"
    write_corpus(run / "corpora" / "mine", corpus)
    (run / "config.yaml").write_text("title: Ünits\nsystems: {a: {units: 8}}\n", encoding="utf-8")
    (run / "report").mkdir()
    (run / "report" / "index.html").write_text("<title>a &lt; b</title>", encoding="utf-8")
    text = shown(run)
    assert re.search(r"systems\.a\.units +8", text)
    assert re.search(r"corpora/mine +corpus", text)
    assert "report/index.html" in text
    assert "Ünits" in shown(run / "config.yaml")
    assert "page 'a < b'" in shown(run / "report" / "index.html")
    assert re.search(r"mine +corpus", shown(run / "corpora"))
    whole = CliRunner().invoke(main, ["show", "--id", str(corpus.folder)]).stdout
    assert whole.strip() == corpus.id
    refused = CliRunner().invoke(main, ["show", "--id", str(run)])
    assert refused.exit_code == 1
