"""A pipeline's settings are checked before it runs, and errors name settings."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from commands import run, settings
from zerochain.cli import checks
from zerochain.cli.common import OPTIONS, SETTINGS, Command
from zerochain.cli.discover import kmeans
from zerochain.cli.invert import train
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, write_corpus


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("group", "words", "said"),
    [
        ("discover", ["kmeanz"], "has no command 'kmeanz'; it has kmeans, gmm"),
        ("discover", [], "has no command ''"),
        ("discover", ["kmeans", "--unit", "3"], "No such option '--unit'"),
        ("discover", ["kmeans", "--units", "0"], "'--units': 0 is not in the range"),
        ("discover", ["kmeans", "--out=x"], "has the option --out, which the pipeline sets"),
        ("discover", ["kmeans", "--help"], "asks for help"),
        ("discover", ["kmeans", "-h"], "asks for help"),
        ("discover", ["kmeans", "more", "words"], "unexpected extra argument"),
        ("translate train", ["--dropout", "2"], "--dropout"),
        ("invert", ["train", "--ema-decay", "2"], "--ema-decay"),
    ],
)
def test_options_that_a_command_refuses(group: str, words: list[str], said: str) -> None:
    with pytest.raises(InputError) as refused:
        checks.check_options("systems.a", group, words)
    assert refused.value.found.startswith("systems.a")
    assert said in refused.value.found


def test_options_that_a_command_takes() -> None:
    checks.check_options("s", "discover", ["kmeans", "--units", "8", "--stride=2"])
    checks.check_options("s", "translate train", ["--width", "96", "--steps", "700"])
    checks.check_options("s", "invert", ["train-neural", "--f0-steps", "4"])
    checks.check_value("changes", "corpus change", "by", "noise")
    checks.check_value("seed", "discover kmeans", "seed", None)
    with pytest.raises(InputError, match="normalisation: 'x' is not one of 'auto', 'none'"):
        checks.check_value("normalisation", "discover kmeans", "normalisation", "x")


def test_what_a_corpus_lacks(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(6)
    checks.check_split("s", corpus, None)
    with pytest.raises(InputError, match=r"s is 'tets'.*it has test, train\n.*--set s=test"):
        checks.check_split("s", corpus, "tets")
    whole = tuple(replace(u, split=None, speaker=None) for u in corpus.utterances)
    bare = write_corpus(Path("bare"), replace(corpus, utterances=whole))
    with pytest.raises(InputError, match="has no splits") as refused:
        checks.check_split("test_split", bare, "test")
    assert "--test-fraction 0.1" in str(refused.value)
    assert "--set test_split=null" in str(refused.value)
    with pytest.raises(InputError, match=r"voice: .* no known speaker"):
        checks.check_voice("voice", bare, None, None, "train_split")
    with pytest.raises(InputError, match="needs transcripts"):
        checks.check_texts(
            "recogniser",
            replace(bare, utterances=tuple(replace(u, text=None) for u in whole)),
        )
    with pytest.raises(InputError, match=r"has 0\n.*\n.*--set speaker_steps=0"):
        checks.check_speakers("speaker_steps", bare, "--set speaker_steps=0")
    with pytest.raises(InputError, match="--set abx=false"):
        checks.check_phones("abx", bare, None)
    with pytest.raises(InputError, match=r"corpus: not a corpus(.|\n)*zerochain import folder"):
        checks.corpus_at("corpus", ".")
    with pytest.raises(InputError, match="no such folder"):
        checks.corpus_at("corpus", "nowhere")


def test_a_voice_and_its_split(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(6)
    here, *others = corpus.speakers
    checks.check_voice("voice", corpus, here, None, "train_split")
    if others:
        with pytest.raises(InputError, match=r"voice: .* known speakers(.|\n)*--set voice=SPEAKER"):
            checks.check_voice("voice", corpus, None, None, "train_split")
    with pytest.raises(InputError, match=r"has no speaker nobody(.|\n)*--set voice=…"):
        checks.check_voice("voice", corpus, "nobody", None, "train_split")


def test_packages_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    checks.check_extra("report", "the page")
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(InputError, match=r"the page needs jinja2, (.|\n)*'zerochain\[report\]'"):
        checks.check_extra("report", "the page")


def test_errors_of_steps_name_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(train, Command)
    assert isinstance(kmeans, Command)
    error = InputError("voice='ana' and width=3", remedy="choose with voice=, not split='a b'")
    assert train.in_options(error).found == "--voice ana and --width 3"
    monkeypatch.setenv(SETTINGS, "voice=voice split=train_split")
    monkeypatch.setenv(OPTIONS, "inverters.mine")
    renamed = train.in_options(error)
    assert renamed.found == "--set voice=ana and --width 3"
    assert renamed.remedy == (
        "choose with --set voice=…, not --set 'train_split=a b'; the options of this step are in "
        "--set inverters.mine='…'"
    )


@pytest.mark.usefixtures("warm")
def test_a_check_alone_writes_nothing(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(6)
    given = settings({"corpus": corpus.folder, "abx": "false", "voice": corpus.speakers[0]})
    common = ("run", "chain", "--out", "r", "--check", *given)
    said = run(*common).stdout
    assert "the settings are fine; 26 steps to run: extract, discover 5, " in said
    bad = run(*common, "--set", "inverters.code2spec=train --widht 3", code=1).stderr
    assert "Error: inverters.code2spec: No such option '--widht'" in bad
    assert not Path("r").exists()
    bad = run("run", "chain", "--out", "r", *given, "--set", "voice=nobody", code=1).stderr
    assert "has no speaker nobody" in bad
    assert not Path("r/config.yaml").exists()


@pytest.mark.parametrize(
    ("pipeline", "given", "setting"),
    [
        ("s2st", {"sentences": 9999}, "sentences"),
        ("speechchain", {"pairs": 9999}, "pairs"),
        ("codeswitching", {"pairs": 1500, "unpaired": 1500}, "pairs, unpaired, tests and valids"),
    ],
)
def test_more_sentences_than_the_grammar_has(pipeline: str, given: dict, setting: str) -> None:
    error = run("run", pipeline, "--out", "r", "--check", *settings(given), code=1).stderr
    assert f"Error: {setting}: " in error
    assert "sentences asked for; the grammar has 5252" in error


@pytest.mark.parametrize("counts", [(None,), (300, None, 9999), ("300", 100), (5252,)])
def test_counts_that_the_grammar_has_or_that_are_left_to_the_command(counts: tuple) -> None:
    checks.check_demo_sentences("pairs", *counts)


def test_a_table_of_pairs_is_read() -> None:
    Path("p.csv").write_text("eo file;cy file\na;b\n")
    checks.check_pairs("pairs", "p.csv")
    Path("p.tsv").write_text("eo,cy\na,b\n")
    with pytest.raises(InputError, match="pairs: has one column, 'eo,cy'"):
        checks.check_pairs("pairs", "p.tsv")
