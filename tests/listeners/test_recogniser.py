from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from chains import LETTERS, RATE, say
from interruption import interrupted

from commands import run
from zerochain.errors import InputError
from zerochain.formats.bundle import bundle_id, write_bundle
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import Features
from zerochain.listeners.recogniser import (
    RECIPE,
    SPEECH,
    Recogniser,
    RecogniserConfig,
    RecogniserTask,
    Transcribed,
    n_steps_needed,
    output_lengths,
    spelled,
    train_recogniser,
)
from zerochain.metrics.translation import error_rate
from zerochain.modules.encoder import Encoder, EncoderConfig
from zerochain.training.recipe import Recipe

QUICK = Recipe(
    max_steps=60,
    batch_size=8,
    learning_rate=1e-2,
    annealing="cosine",
    validate_every=20,
    ema_decay=0.9,
)
TINY = RecogniserConfig(width=16, n_blocks=0)


def texts_of(n: int) -> list[str]:
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list(LETTERS), rng.integers(1, 4))) for _ in range(3 * n)]
    return list(dict.fromkeys(" ".join(words[i : i + 3]) for i in range(0, 3 * n, 3)))


@pytest.fixture
def toned(tmp_path: Path) -> Callable[..., Corpus]:
    """A corpus whose letters are tones, with transcripts unless told otherwise."""

    def make(n: int = 60, change: Callable[[int, str], str | None] = lambda i, t: t) -> Corpus:
        rng = np.random.default_rng(0)
        (tmp_path / "audio").mkdir(exist_ok=True)
        utterances = []
        for i, text in enumerate(texts_of(n)):
            wave = say(text, rng)
            soundfile.write(tmp_path / "audio" / f"u{i}.wav", wave, RATE)
            utterances.append(
                Utterance(f"u{i}", f"u{i}.wav", len(wave) / RATE, "ana", text=change(i, text))
            )
        corpus = Corpus("tones", tuple(utterances), str((tmp_path / "audio").absolute()))
        return write_corpus(tmp_path / "tones", corpus)

    return make


def network(n_characters: int = 3) -> Encoder:
    torch.manual_seed(0)
    config = EncoderConfig(n_in=80, width=8, n_blocks=0, dim=1 + n_characters, stride=2, tail="gru")
    return Encoder(config)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([0, 1, 1, 0, 1, 2, 2, 0], "aab"),
        ([1, 1, 1], "a"),
        ([0, 0], ""),
        ([], ""),
        ([3, 1, 0, 3, 3, 0, 3, 2, 3], "a b"),
    ],
)
def test_repeats_are_merged_and_blanks_dropped(path: list[int], text: str) -> None:
    assert spelled(np.array(path, np.int64), "ab ") == text


def test_equal_neighbours_need_a_step_between_them() -> None:
    assert n_steps_needed("aabba") == 7
    assert n_steps_needed("") == 0


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_output_lengths_are_the_networks(stride: int) -> None:
    lengths = torch.arange(1, 12)
    made = Encoder(EncoderConfig(n_in=4, width=4, n_blocks=0, dim=2, stride=stride)).eval()
    for n in lengths.tolist():
        found = made(torch.zeros(1, n, 4), torch.tensor([n])).shape[1]
        assert found == output_lengths(torch.tensor([n]), stride)


def test_one_by_one_equals_many_and_level_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    waves = [say(text, rng) for text in ("abcd dcba", "a", "dd cc bb aa")]
    recogniser = Recogniser(network(), "abc")
    together = recogniser.transcribe(waves)
    assert [recogniser.transcribe([wave])[0] for wave in waves] == together
    assert recogniser.transcribe([wave / 4 for wave in waves]) == together
    assert recogniser.transcribe([]) == []


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.full(RATE, np.nan, np.float32)])
def test_what_is_no_recording_is_refused(wave: np.ndarray) -> None:
    with pytest.raises(InputError, match="can't be recognised"):
        Recogniser(network(), "abc").transcribe([wave])


def test_silence_and_a_click_are_recognised_without_failing() -> None:
    recogniser = Recogniser(network(), "abc")
    texts = recogniser.transcribe([np.zeros(RATE, np.float32), np.ones(1, np.float32)])
    assert all(isinstance(text, str) for text in texts)


def test_it_comes_back_whole(tmp_path: Path) -> None:
    about = {"training": {"cer": 1.5}, "trained_on": {"corpus": "c"}}
    recogniser = Recogniser(network(), "abc", **about)
    identity = recogniser.save(tmp_path / "r")
    again = Recogniser.load(tmp_path / "r")
    assert again.id == identity == bundle_id(tmp_path / "r")
    assert (again.characters, again.training) == ("abc", {"cer": 1.5})
    assert again.trained_on == {"corpus": "c"}
    wave = say("abcd", np.random.default_rng(0))
    assert again.transcribe([wave]) == recogniser.transcribe([wave])
    write_bundle(tmp_path / "km", "kmeans", {}, {}, {})
    with pytest.raises(InputError, match="holds a kmeans, not a recogniser"):
        Recogniser.load(tmp_path / "km")


def task(texts: dict[str, str], seed: int = 0) -> RecogniserTask:
    rng = np.random.default_rng(0)
    features = Features.from_arrays(
        {n: rng.normal(size=(40 + 10 * i, 80)).astype(np.float32) for i, n in enumerate(texts)}
    )
    data = Transcribed(features, texts, "abc")
    config = Recipe(batch_size=2, seed=seed)
    return RecogniserTask(network(), data, data, config, "cpu")


def test_batches_depend_on_seed_step_and_process_alone() -> None:
    texts = {f"u{i}": "abc" for i in range(30)}
    one, again = (task(texts).batch(5, 0)["x"] for _ in range(2))
    assert torch.equal(one, again)
    for other in (task(texts).batch(6, 0), task(texts).batch(5, 1), task(texts, 1).batch(5, 0)):
        assert other["x"].shape != one.shape or not torch.equal(other["x"], one)


def test_validation_is_the_loss_a_character_whatever_the_grouping(monkeypatch: Any) -> None:
    trained = task({"u0": "ab", "u1": "cab", "u2": "a"})
    net = trained.networks["recogniser"].eval()
    net.requires_grad_(False)
    whole = trained.validate(net)
    losses = [trained._losses(net, trained._valid.batch([name])) for name in trained._valid.ids]
    assert whole["valid_loss"] == pytest.approx(float(sum(losses)) / 6, rel=1e-4)
    monkeypatch.setattr("zerochain.listeners.recogniser._BATCH_FRAMES", 1)
    assert trained.validate(net)["valid_loss"] == pytest.approx(whole["valid_loss"], rel=1e-4)


def test_it_learns_to_spell_tones(toned: Any, tmp_path: Path) -> None:
    corpus = toned(80)
    longer = QUICK.model_copy(update={"max_steps": 120, "learning_rate": 2e-2})
    config = RecogniserConfig(width=32, n_blocks=0)
    report = train_recogniser(corpus.folder, tmp_path / "r", config=config, recipe=longer)
    assert report.cer < 25
    assert report.n_held_out == round(0.1 * len(corpus.utterances))
    assert report.excluded == {}
    recogniser = Recogniser.load(tmp_path / "r")
    assert recogniser.characters == " abcd"
    assert recogniser.training["cer"] == report.cer
    rng = np.random.default_rng(7)
    texts = ["dab cad", "bad cab", "cc dd"]
    outputs = recogniser.transcribe([say(text, rng) for text in texts])
    assert error_rate(outputs, [[text] for text in texts]).value < 40
    assert (tmp_path / "r.training" / "checkpoint.safetensors").exists()


def test_what_has_no_text_or_too_much_of_it_is_left_out_and_counted(
    toned: Any, tmp_path: Path
) -> None:
    def change(i: int, text: str) -> str | None:
        return {3: None, 4: "?!", 5: text * 40}.get(i, text)

    corpus = toned(30, change)
    quick = QUICK.model_copy(update={"max_steps": 1})
    report = train_recogniser(corpus.folder, tmp_path / "r", config=TINY, recipe=quick)
    assert report.excluded == {"without_text": 2, "too_short": 1}
    assert report.n_utterances + report.n_held_out < len(corpus.utterances) - 3


def test_interrupted_training_goes_on_to_the_same_recogniser(toned: Any, tmp_path: Path) -> None:
    corpus = toned(20)
    recipe = QUICK.model_copy(update={"max_steps": 6, "validate_every": 2})
    options: Any = {"config": TINY, "recipe": recipe}
    train_recogniser(corpus.folder, tmp_path / "whole", **options)
    with interrupted(RecogniserTask, 4), pytest.raises(KeyboardInterrupt):
        train_recogniser(corpus.folder, tmp_path / "r", **options)
    assert not (tmp_path / "r").exists()
    other = TINY.model_copy(update={"held_out": 0.2})
    with pytest.raises(InputError, match="other data or other settings"):
        train_recogniser(corpus.folder, tmp_path / "r", config=other, recipe=recipe)
    train_recogniser(corpus.folder, tmp_path / "r", **options)
    assert bundle_id(tmp_path / "r") == bundle_id(tmp_path / "whole")


def test_recordings_of_one_text_are_held_out_together(toned: Any, tmp_path: Path) -> None:
    corpus = toned(30, lambda i, text: LETTERS[i % 4])
    quick = QUICK.model_copy(update={"max_steps": 1})
    report = train_recogniser(corpus.folder, tmp_path / "r", config=TINY, recipe=quick)
    n = len(corpus.utterances)
    assert report.n_held_out in {n // 4, n // 4 + 1}


@pytest.mark.parametrize(
    ("change", "found"),
    [(lambda i, t: None, "has no transcripts"), (lambda i, t: LETTERS[i % 2], "2 distinct texts")],
)
def test_a_corpus_that_teaches_nothing_is_refused(
    toned: Any, tmp_path: Path, change: Any, found: str
) -> None:
    with pytest.raises(InputError, match=found):
        train_recogniser(toned(8, change).folder, tmp_path / "r", config=TINY, recipe=QUICK)
    assert not (tmp_path / "r").exists()


def test_the_command_says_how_often_it_errs(toned: Any, tmp_path: Path) -> None:
    toned(20)
    out = tmp_path / "r"
    result = run(
        "recognise", "train", tmp_path / "tones", "--out", out, "--steps", 2, "--width", 8,
        "--blocks", 0, "--validate-every", 1,
    )  # fmt: skip
    assert "recordings of held-out texts" in " ".join(result.output.split()).replace(" │ │ │ ", " ")
    assert "recogniser" in run("show", out).output
    recipe = Recogniser.load(out).training["training"]
    asked_for = {"max_steps": 2, "validate_every": 1}
    assert recipe == {**RECIPE.model_dump(), **asked_for}
    assert recipe["ema_decay"] == 0.99
    run("recognise", "train", tmp_path / "nowhere", "--out", out, code=1)


def test_speech_is_log_mel() -> None:
    assert (SPEECH.kind, SPEECH.dim) == ("log-mel", 80)
