import shlex
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import run
from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, read_corpus, write_corpus
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.scores import Score, read_scores
from zerochain.formats.synthesis import Synthesis, write_synthesis
from zerochain.listeners.outside import Sphinx
from zerochain.listeners.recogniser import Recogniser
from zerochain.metrics.text import plain
from zerochain.metrics.translation import bleu, error_rate
from zerochain.modules.encoder import Encoder, EncoderConfig
from zerochain.scoring.common import Speech
from zerochain.scoring.judges import Program, parsed, transcribe_by
from zerochain.scoring.recognition import score_recognition

TEXTS = {"a": "Das rote Haus.", "b": "Ein Hund, der schläft!", "c": "Das Haus schläft nicht?"}
PYTHON = shlex.quote(sys.executable)


def program(folder: Path, body: str) -> str:
    """A command of a Python program that is given the recording as its first argument."""
    path = folder / "a program.py"
    path.write_text("import sys, pathlib, time\nwav = pathlib.Path(sys.argv[1])\n" + body)
    return f"{PYTHON} {shlex.quote(str(path))} '{{wav}}'"


def reader(folder: Path, texts: dict[str, str]) -> str:
    """A command that knows what is wanted in each recording."""
    return program(folder, f"print({texts!r}[wav.stem])")


@pytest.fixture
def spoken(make_corpus: Callable[..., Corpus], tmp_path: Path) -> Corpus:
    """A corpus of three utterances with text, and its recordings as a folder of wavs as well."""
    made = make_corpus(3, name="plain")
    (tmp_path / "wavs").mkdir()
    utterances = []
    for u, (name, text) in zip(made.utterances, TEXTS.items(), strict=True):
        audio.write(tmp_path / "wavs" / f"{name}.wav", audio.read(made.audio_path(u)))
        split = "test" if name != "c" else "train"
        utterances.append(replace(u, id=name, text=text, split=split))
    return write_corpus(tmp_path / "de", replace(made, utterances=tuple(utterances), folder=None))


def values(scores: list[Score]) -> dict[str, float]:
    return {score.metric: score.value for score in scores}


def test_a_program_that_recognises_everything(spoken: Corpus, tmp_path: Path) -> None:
    upper = {name: text.upper() for name, text in TEXTS.items()}
    command = reader(tmp_path, upper)
    scored = score_recognition(tmp_path / "wavs", tmp_path / "de", command=command)
    assert values(scored.scores) == {"cer_%": 0, "wer_%": 0, "asr_bleu": pytest.approx(100)}
    assert scored.scores[0].n == 3
    assert scored.scores[0].inputs == {"corpus": spoken.id}
    assert scored.scores[0].system == "wavs"
    assert "not known here" in scored.notes[-1]


def test_bleu_of_single_words_is_left_out(spoken: Corpus, tmp_path: Path) -> None:
    words = {"a": "haus", "b": "hund", "c": "maus"}
    utterances = tuple(replace(u, text=words[u.id]) for u in spoken.utterances)
    write_corpus(tmp_path / "de", replace(spoken, utterances=utterances, folder=None))
    scored = score_recognition(tmp_path / "wavs", tmp_path / "de", command=reader(tmp_path, words))
    assert values(scored.scores) == {"cer_%": 0, "wer_%": 0}
    assert any(note.startswith("asr_bleu: left out, as BLEU is undefined") for note in scored.notes)


def test_errors_are_counted_in_plain_text(spoken: Corpus, tmp_path: Path) -> None:
    recognised = {"a": "das rote Maus", "b": "", "c": "Das Haus, schläft nicht"}
    scored = score_recognition(
        tmp_path / "wavs", tmp_path / "de", command=reader(tmp_path, recognised)
    )
    made = ["das rote maus", "", "das haus schläft nicht"]
    wanted = ["das rote haus", "ein hund der schläft", "das haus schläft nicht"]
    value = values(scored.scores)
    assert value["cer_%"] == error_rate(made, [[text] for text in wanted]).value
    assert value["cer_%"] == pytest.approx(100 * (1 + 20) / (13 + 20 + 22))
    assert value["wer_%"] == pytest.approx(100 * (1 + 4) / (3 + 4 + 4))
    expected = bleu(made, [[text] for text in wanted], tokenize="13a")
    assert value["asr_bleu"] == expected.value
    last = scored.scores[-1].options
    assert last["signature"] == expected.signature
    assert "tok:13a" in last["signature"]
    assert last["n_unrecognised"] == 1


def test_translations_say_what_their_targets_say(spoken: Corpus, tmp_path: Path) -> None:
    for name in TEXTS:
        (tmp_path / "wavs" / f"{name}.wav").rename(tmp_path / "wavs" / f"s-{name}.wav")
    rows = (("s-a", "a"), ("s-a", "c"), ("s-b", "b"), ("s-c", "c"), ("s-x", "a"))
    write_pairs(tmp_path / "pairs", Pairs(rows, "src", spoken.id))
    recognised = {"s-a": TEXTS["c"], "s-b": TEXTS["b"], "s-c": TEXTS["c"]}
    options: dict[str, Any] = {
        "command": reader(tmp_path, recognised),
        "pairs": tmp_path / "pairs",
    }
    scored = score_recognition(tmp_path / "wavs", tmp_path / "de", **options)
    assert values(scored.scores)["cer_%"] == 0
    assert scored.scores[0].n == 3
    with pytest.raises(InputError, match="missing in the outputs: s-x"):
        score_recognition(tmp_path / "wavs", tmp_path / "de", split="test", **options)
    write_pairs(tmp_path / "pairs", Pairs(rows[:-1], "src", spoken.id))
    scored = score_recognition(tmp_path / "wavs", tmp_path / "de", split="test", **options)
    assert scored.scores[0].n == 2
    assert "not scored: 1 wav of other splits or pairs" in scored.notes


def test_ids_and_texts_have_to_be_there(spoken: Corpus, tmp_path: Path) -> None:
    command = reader(tmp_path, TEXTS)
    with pytest.raises(InputError, match="holds no wav"):
        score_recognition(tmp_path / "de" / "x", tmp_path / "de", command=command)
    audio.write(tmp_path / "wavs" / "d.wav", np.zeros(1600, np.float32))
    with pytest.raises(InputError, match="missing in the corpus plain: d"):
        score_recognition(tmp_path / "wavs", tmp_path / "de", command=command)
    (tmp_path / "wavs" / "b.wav").unlink()
    with pytest.raises(InputError, match=r"1 of 2 ids of the corpus plain is missing.*: b"):
        score_recognition(tmp_path / "wavs", tmp_path / "de", command=command, split="test")


def test_wavs_in_linked_folders_and_with_decomposed_names(spoken: Corpus, tmp_path: Path) -> None:
    names = {"a": "é/1", "b": "é/2", "c": "c"}
    utterances = tuple(replace(u, id=names[u.id]) for u in spoken.utterances)
    write_corpus(tmp_path / "de2", replace(spoken, utterances=utterances, folder=None))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / unicodedata.normalize("NFD", "é")).symlink_to(tmp_path / "wavs")
    (tmp_path / "wavs" / "c.wav").rename(tmp_path / "here" / "c.wav")
    for old, new in (("a", "1"), ("b", "2")):
        (tmp_path / "wavs" / f"{old}.wav").rename(tmp_path / "wavs" / f"{new}.wav")
    texts = {names[old].rpartition("/")[2]: text for old, text in TEXTS.items()}
    scored = score_recognition(tmp_path / "here", tmp_path / "de2", command=reader(tmp_path, texts))
    assert values(scored.scores)["cer_%"] == 0
    assert scored.scores[0].n == 3


@pytest.mark.parametrize("text", [None, "", "?!"])
def test_utterances_without_a_text_are_left_out_and_counted(
    spoken: Corpus, tmp_path: Path, text: str | None
) -> None:
    """The score is that of the others alone, as if they were the corpus; none at all is refused."""
    command = reader(tmp_path, {**TEXTS, "a": "das rote maus", "b": "no idea"})
    for name, lacking in (("some", "b"), ("none", "abc")):
        utterances = tuple(
            replace(u, text=text) if u.id in lacking else u for u in spoken.utterances
        )
        write_corpus(tmp_path / name, replace(spoken, utterances=utterances, folder=None))
    scored = score_recognition(tmp_path / "wavs", tmp_path / "some", command=command)
    assert any(note.startswith("left out: 1 utterance without a text") for note in scored.notes)
    assert scored.scores[0].options["exclusions"] == {"without_text": 1}
    (tmp_path / "wavs" / "b.wav").unlink()
    others = tuple(u for u in spoken.utterances if u.id != "b")
    write_corpus(tmp_path / "others", replace(spoken, utterances=others, folder=None))
    expected = score_recognition(tmp_path / "wavs", tmp_path / "others", command=command)
    assert values(scored.scores) == values(expected.scores)
    with pytest.raises(InputError, match="none of 3 utterances has a text with a letter or digit"):
        score_recognition(tmp_path / "none", tmp_path / "none", command=command)


def test_a_judge_from_outside(
    spoken: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sphinx, "missing", classmethod(lambda cls: ""))
    monkeypatch.setattr(Sphinx, "label", "PocketSphinx, trained on US English")
    monkeypatch.setattr(Sphinx, "transcribe", lambda self, wave: "das haus" * bool(wave.any()))
    scored = score_recognition(tmp_path / "wavs", tmp_path / "de", judge="pocketsphinx")
    expected = error_rate(["das haus"] * 3, [[plain(text)] for text in TEXTS.values()]).value
    assert values(scored.scores)["cer_%"] == expected
    assert scored.scores[0].protocol == "recogniser PocketSphinx, trained on US English"
    assert any("trained on other speech" in note for note in scored.notes)
    monkeypatch.setattr(Sphinx, "missing", classmethod(lambda cls: "pocketsphinx"))
    with pytest.raises(InputError, match=r"pocketsphinx, which is not(.|\n)*zerochain\[quality\]"):
        score_recognition(tmp_path / "wavs", tmp_path / "de", judge="pocketsphinx")


def test_exactly_one_recogniser(spoken: Corpus, tmp_path: Path) -> None:
    for options in ({}, {"command": "x {wav}", "recogniser": tmp_path / "r"}):
        with pytest.raises(InputError, match="by a recogniser, by a command, or by a judge"):
            score_recognition(tmp_path / "wavs", tmp_path / "de", **options)


@pytest.fixture
def recogniser(spoken: Corpus, tmp_path: Path) -> Recogniser:
    torch.manual_seed(0)
    config = EncoderConfig(n_in=80, width=8, n_blocks=0, dim=6, stride=2, tail="gru")
    report = {"cer": 4.5, "cer_interval": [3.0, 6.0], "wer": 9.0, "n_held_out": 7, "split": "train"}
    about = {"training": report, "trained_on": {"corpus": spoken.id}}
    Recogniser(Encoder(config), "adehs", **about).save(tmp_path / "r")
    return Recogniser.load(tmp_path / "r")


def test_our_recogniser_s_own_errors_are_given_as_well(
    spoken: Corpus, recogniser: Recogniser, tmp_path: Path
) -> None:
    scored = score_recognition(tmp_path / "wavs", tmp_path / "de", recogniser=tmp_path / "r")
    recognised = [
        recogniser.transcribe([audio.read(tmp_path / "wavs" / f"{name}.wav")])[0] for name in TEXTS
    ]
    wanted = ["das rote haus", "ein hund der schläft", "das haus schläft nicht"]
    value = {score.metric: score for score in scored.scores}
    assert value["cer_%"].value == error_rate(recognised, [[text] for text in wanted]).value
    own = value["recogniser_cer_%"]
    assert (own.value, own.interval, own.n) == (4.5, (3.0, 6.0), 7)
    assert own.inputs["recogniser"] == recogniser.id
    assert value["cer_%"].options["recogniser_held_out"] == 7
    assert "own CER is 4.5 %, its WER 9.0 %, on 7 real recordings" in "\n".join(scored.notes)


def test_real_recordings_are_the_ceiling(
    spoken: Corpus, recogniser: Recogniser, tmp_path: Path
) -> None:
    real = score_recognition(tmp_path / "de", tmp_path / "de", recogniser=tmp_path / "r")
    wavs = score_recognition(tmp_path / "wavs", tmp_path / "de", recogniser=tmp_path / "r")
    assert values(real.scores) == pytest.approx(values(wavs.scores), abs=3)
    assert real.scores[0].system == "real speech"
    part = {"recogniser": tmp_path / "r", "split": "train"}
    learned = score_recognition(tmp_path / "de", tmp_path / "de", **part)
    assert "was trained on what is scored here" in learned.notes[-1]
    others = score_recognition(tmp_path / "de", tmp_path / "de", **{**part, "split": "test"})
    assert not any("was trained on" in note for note in others.notes)


def test_a_program_is_given_each_utterance_of_a_corpus(spoken: Corpus, tmp_path: Path) -> None:
    utterances = tuple(replace(u, start=0.25, end=0.75, duration=0.5) for u in spoken.utterances)
    write_corpus(tmp_path / "cut", replace(spoken, utterances=utterances, folder=None))
    command = program(tmp_path, "import soundfile\nprint(soundfile.info(str(wav)).frames)")
    assert set(_recognised(tmp_path / "cut", command)) == {"8000"}


def _recognised(corpus: Path, command: str) -> list[str]:
    speech = Speech.of(corpus)
    return list(Program(parsed(command), 60).texts(speech, read_corpus(corpus).ids))


def test_synthesised_speech_names_its_inverter_and_units(spoken: Corpus, tmp_path: Path) -> None:
    made = Synthesis(
        "inverter", "code2spec", "units", "kmeans", "c", "ana", 16_000, 20.0, tuple(TEXTS),
        tmp_path / "wavs",
    )  # fmt: skip
    write_synthesis(made)
    command = reader(tmp_path, TEXTS)
    first = score_recognition(tmp_path / "wavs", tmp_path / "de", command=command).scores[0]
    assert first.system == "kmeans → code2spec"
    assert first.inputs == {"corpus": spoken.id, "inverter": "inverter", "units": "units"}


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("", "no place for the recording"),
        ("prog", "no place for the recording"),
        ("{wav}", "no place for the recording"),
        ("prog 'a {wav}", "No closing quotation"),
    ],
)
def test_a_command_that_makes_no_sense(command: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        parsed(command)


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    command = program(tmp_path, "print(' '.join(sys.argv[1:]))")
    wav = tmp_path / "$HOME; rm x.wav"
    words = parsed(command + " '> stolen' '$(id)' --in={wav}")
    assert transcribe_by(words, wav, 3600) == f"{wav} > stolen $(id) --in={wav}"
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("print('no model', file=sys.stderr)\nsys.exit(3)", "exit code 3: no model"),
        ("sys.exit(1)", "exit code 1: no message"),
        ("time.sleep(3600)", "took more than 0.5 s"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe')", "isn't UTF-8"),
    ],
)
def test_a_program_that_fails_is_an_error_that_names_the_file(
    tmp_path: Path, body: str, found: str
) -> None:
    words = parsed(program(tmp_path, body))
    with pytest.raises(InputError, match=found) as error:
        transcribe_by(words, tmp_path / "u7.wav", 0.5 if "sleep" in body else 3600)
    assert "u7.wav" in str(error.value)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be run"):
        transcribe_by(["no-such-program-anywhere", "{wav}"], tmp_path / "a.wav", 1)


def test_the_command(spoken: Corpus, recogniser: Recogniser, tmp_path: Path) -> None:
    common = ["--corpus", tmp_path / "de", "--out", tmp_path / "s.jsonl"]
    wavs = tmp_path / "wavs"
    result = run("score", "recognition", wavs, "--recogniser", tmp_path / "r", *common)
    assert "recogniser_cer_%" in result.output
    run("score", "recognition", wavs, "--command", reader(tmp_path, TEXTS), *common)
    scores = read_scores(tmp_path / "s.jsonl")
    assert [score.metric for score in scores].count("cer_%") == 2
    run("score", "recognition", wavs, *common, code=1)
    run("score", "recognition", wavs, "--recogniser", tmp_path / "de", *common, code=1)
    assert len(read_scores(tmp_path / "s.jsonl")) == len(scores)
