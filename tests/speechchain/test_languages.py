"""A chain of two languages: symbols with a language, what is refused, error rates with and without
languages.
"""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chains import ASR, FEW, LETTERS, TTS, texts_of, toned

from commands import run
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, write_corpus
from zerochain.formats.scores import read_scores
from zerochain.formats.transcripts import read_transcripts
from zerochain.formats.units import UnitFile, write_units
from zerochain.speechchain.chain import (
    ChainConfig,
    ChainTraining,
    Recipes,
    SpeechChain,
    train_chain,
)
from zerochain.speechchain.data import Symbols
from zerochain.speechchain.language_model import LanguageModel
from zerochain.speechchain.sources import Sources, TagWarning, roles_of, spelled_texts
from zerochain.speechchain.stage import speak, synthesize, transcribe

pytestmark = pytest.mark.filterwarnings("ignore::zerochain.speechchain.chain.ChainWarning")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The first word of each text is in one language, the second in another; some have no text."""
    corpus = toned(tmp_path_factory.mktemp("toned"), texts_of(30))
    texts = [f"<xx>{a} <yy>{b}" for a, b in (u.text.split() for u in corpus.utterances)]
    utterances = tuple(
        replace(u, text=None if i % 4 == 3 else text)
        for i, (u, text) in enumerate(zip(corpus.utterances, texts, strict=True))
    )
    return write_corpus(corpus.home.with_name("tagged"), replace(corpus, utterances=utterances))


@pytest.fixture(autouse=True)
def aligned_anyhow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of a few steps align nothing well."""
    monkeypatch.setattr("zerochain.speechchain.synthesiser._WORST_ALIGNED", -np.inf)


def trained(sources: Sources, out: Path, **config: object) -> ChainTraining:
    settings = ChainConfig(**{"languages": "xx,yy", **config})
    recipes = Recipes(FEW, FEW, FEW)
    return train_chain(sources, out, config=settings, asr=ASR, tts=TTS, recipes=recipes)


def test_a_symbol_is_a_character_of_a_language() -> None:
    symbols = Symbols((" ", "a<xx>", "a<yy>", "b<yy>"))
    assert symbols.languages == ("xx", "yy")
    found = symbols.read("<xx>A <yy>ab, <xx>a!")
    assert found is not None
    assert found.tolist() == [1, 0, 2, 3, 0, 1]
    assert symbols.write(found) == "<xx>a <yy>ab <xx>a"
    assert symbols.write(np.array([0, 0, 2, 0, 0, 3, 0])) == "<yy>a b"
    assert symbols.write(np.zeros(0, np.int64)) == ""
    assert symbols.read("<xx>b") is None
    assert symbols.unknown("a <xx>b") == ["a<>", "b<xx>"]
    assert Symbols(("a", "<")).languages == ()
    assert Symbols(("0", "1"), "m" * 64).languages == ()


def test_a_chain_of_two_languages(tones: Corpus, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("<xx>ab <yy>cd\n<yy>ba\nab\n", encoding="utf-8")
    report = trained(Sources(tones.home, "train", texts=tmp_path / "texts"), tmp_path / "c")
    assert report.n_texts == 2
    assert report.n_speech == sum(u.split == "train" and not u.text for u in tones.utterances)
    assert report.excluded["texts_with_unknown_symbols"] == 1
    model = SpeechChain.load(tmp_path / "c")
    assert set(model.recogniser.symbols) == {
        " ",
        *(f"{c}<{x}>" for c in "abcd" for x in ("xx", "yy")),
    }
    found = transcribe(tmp_path / "c", tones.home, tmp_path / "t.parquet", beam=1)
    assert found.cer is not None
    assert found.tagged_cer is not None
    assert found.tagged_cer.value >= found.cer.value
    assert found.cer.n == found.tagged_cer.n == sum(u.text is not None for u in tones.utterances)
    assert len(speak(tmp_path / "c", "<xx>ab <yy>cd", tmp_path / "a.wav")) > 0
    with pytest.raises(InputError, match=r"(?s)has no language.*begin it with a tag: '<xx>ab'"):
        speak(tmp_path / "c", "ab", tmp_path / "b.wav")
    with pytest.warns(TagWarning, match="1 text of those to speak"):
        speak(tmp_path / "c", "<xx>ab <d>c", tmp_path / "b.wav")
    # Texts without tags are compared without languages.
    plain = replace(tones, utterances=tuple(replace(u, text="ab") for u in tones.utterances))
    write_corpus(tmp_path / "plain", plain)
    other = transcribe(tmp_path / "c", tmp_path / "plain", tmp_path / "u.parquet", beam=1)
    assert other.tagged_cer is None
    assert other.cer is not None
    assert other.n_unknown == 0
    assert other.transcripts.texts == found.transcripts.texts
    with pytest.raises(InputError, match="has no language"):  # not a wav that says nothing
        synthesize(tmp_path / "c", tmp_path / "plain", tmp_path / "w")
    odd = replace(plain, utterances=tuple(replace(u, text="zb") for u in plain.utterances))
    write_corpus(tmp_path / "odd", odd)
    found = transcribe(tmp_path / "c", tmp_path / "odd", tmp_path / "v.parquet", beam=1)
    assert found.n_unknown == len(odd.utterances)


def test_wrong_languages_alone_are_errors_of_the_second_kind(
    tones: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(Sources(tones.home, "train"), tmp_path / "c", method="paired")
    texts = {u.id: u.text or "" for u in tones.utterances}

    def write(spelling: Symbols, symbols: np.ndarray) -> str:
        return next(answers)

    monkeypatch.setattr(Symbols, "write", write)
    answers = iter([text.replace("<yy>", "<xx>") for text in texts.values()])
    found = transcribe(tmp_path / "c", tones.home, tmp_path / "t.parquet", beam=1)
    assert found.cer is not None
    assert found.tagged_cer is not None
    assert found.cer.value == 0
    assert found.wer is not None
    assert found.wer.value == 0
    assert 20 < found.tagged_cer.value < 80


def test_the_commands(tones: Corpus, tmp_path: Path) -> None:
    run(
        "chain", "train", tones.home, "--split", "train", "--languages", "xx,yy",
        "--method", "paired", "--asr-steps", 1, "--tts-steps", 1, "--asr-width", 16,
        "--tts-width", 8, "--out", tmp_path / "c",
    )  # fmt: skip
    result = run(
        "chain", "transcribe", tmp_path / "c", tones.home, "--split", "test", "--out",
        tmp_path / "t.parquet", "--scores", tmp_path / "s.jsonl", "--beam", 1,
    )  # fmt: skip
    assert "CER with languages" in result.output
    scores = [score.metric for score in read_scores(tmp_path / "s.jsonl")]
    assert scores == ["cer_%", "wer_%", "tagged_cer_%"]
    assert read_transcripts(tmp_path / "t.parquet").texts
    error = run(
        "chain", "train", tones.home, "--languages", "xx", "--out", tmp_path / "d", code=2
    ).stderr
    assert "--languages" in error


@pytest.mark.filterwarnings("ignore::zerochain.speechchain.sources.TagWarning")
def test_a_language_model_has_characters_of_languages(tones: Corpus, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("<xx>ab <yy>cd\n<yy>ba\nab\n<zz>ab\n", encoding="utf-8")
    texts = ("--texts", tmp_path / "texts")
    trained(Sources(tones.home, "train", texts=texts[1]), tmp_path / "c")
    given = ("chain", "lm", tmp_path / "c", tones.home, "--split", "train", "--beam", 2)
    result = run(*given, *texts, "--out", tmp_path / "lm")
    assert "left out" in result.output
    assert "2 texts with unknown symbols" in result.output
    model = LanguageModel.load(tmp_path / "lm")
    assert model.symbols == SpeechChain.load(tmp_path / "c").recogniser.symbols
    switch = model.spelling.read("<xx>ab <yy>cd")
    assert switch is not None
    assert model.score(switch) > model.score(switch[::-1])
    run(
        "chain", "transcribe", tmp_path / "c", tones.home, "--split", "test", "--beam", 2,
        "--lm", tmp_path / "lm", "--lm-weight", 1, "--out", tmp_path / "t.parquet",
    )  # fmt: skip


def test_texts_alone_of_which_none_can_be_used(tones: Corpus, tmp_path: Path) -> None:
    paired = replace(tones, utterances=tuple(u for u in tones.utterances if u.text))
    write_corpus(tmp_path / "paired", paired)
    (tmp_path / "none").write_text("ab\n\n", encoding="utf-8")
    why = r"(?s)none of the texts .* 1 text with unknown symbols, 1 empty text"
    with pytest.raises(InputError, match=why):
        trained(Sources(tmp_path / "paired", texts=tmp_path / "none"), tmp_path / "c")


@pytest.mark.parametrize(
    ("texts", "languages", "found"),
    [
        (["ab", "<xx>cd", "<xx>ab <yy>c"], "xx,yy", "1 text of corpus .* without the tag"),
        (["<xx>ab", "<xx>cd", "<xx>b"], "xx,yy", "no text of corpus .* is tagged with yy"),
        ([None, None, None], "xx,yy", "has no transcripts"),
    ],
)
def test_texts_without_tags_are_refused(
    tones: Corpus, tmp_path: Path, texts: list[str | None], languages: str, found: str
) -> None:
    utterances = tuple(
        replace(u, text=text) for u, text in zip(tones.utterances, texts, strict=False)
    )
    write_corpus(tmp_path / "corpus", replace(tones, utterances=utterances))
    with pytest.raises(InputError, match=found):
        trained(Sources(tmp_path / "corpus"), tmp_path / "c", languages=languages)


def test_tags_that_are_read_as_letters_raise_a_warning(tones: Corpus) -> None:
    n = sum(u.text is not None for u in tones.utterances)
    with pytest.warns(TagWarning, match=rf"{n} texts of corpus .* read as letters: <xx>, <yy>\."):
        assert all("xx" in text for text in spelled_texts(tones, []).values())
    with pytest.warns(TagWarning, match="read as letters: <yy>"):
        spelled_texts(tones, ["xx"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spelled_texts(tones, ["xx", "yy"])


def test_a_language_needs_a_pair(tones: Corpus, tmp_path: Path) -> None:
    """Tags of a language that the chain doesn't know would be read as letters."""
    plain = {u.id: f"<xx>{'ab'[i % 2]}{'abcd'[i % 4]}" for i, u in enumerate(tones.utterances)}
    first = tones.utterances[0].id
    choices = ({**plain, first: f"<xx>ab <yy>{letter}"} for letter in LETTERS)
    texts = next(one for one in choices if roles_of(one, 0.5)[first] != "pair")
    utterances = tuple(replace(u, text=texts[u.id]) for u in tones.utterances)
    write_corpus(tmp_path / "corpus", replace(tones, utterances=utterances))
    with pytest.raises(InputError, match="no pair is tagged with yy"):
        trained(Sources(tmp_path / "corpus"), tmp_path / "c", paired=0.5)


def test_units_have_no_language(tones: Corpus, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="units have no language"):
        trained(Sources(tones.home, units=unit_file(tones, tmp_path)), tmp_path / "c")


def unit_file(corpus: Corpus, folder: Path) -> Path:
    units = {u.id: np.zeros(20, np.int32) for u in corpus.utterances}
    write_units(folder / "u.parquet", UnitFile(units, 5, 10.0, "m" * 64, "letters", {}, None))
    return folder / "u.parquet"
