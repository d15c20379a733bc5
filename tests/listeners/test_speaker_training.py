from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from interruption import interrupted

from zerochain.errors import InputError
from zerochain.formats.bundle import bundle_id, read_bundle
from zerochain.formats.corpus import Corpus, Utterance, read_corpus, write_corpus
from zerochain.listeners.speaker_encoder import (
    SpeakerConfig,
    SpeakerEncoder,
    SpeakerTask,
    SpeakerTraining,
    train_speaker_encoder,
)
from zerochain.training.recipe import Recipe

QUICK = Recipe(max_steps=40, batch_size=16, learning_rate=5e-3, validate_every=10, ema_decay=0.9)
TINY = {"width": 12, "dim": 8}


def resonant(rng: np.random.Generator, hz: float, seconds: float) -> np.ndarray:
    """Noise in bursts through a resonance: a voice that mean normalisation leaves a voice."""
    n = round(16_000 * seconds)
    spectrum = np.fft.rfft(rng.normal(size=n))
    bins = np.fft.rfftfreq(n, 1 / 16_000)
    wave = np.fft.irfft(spectrum * np.exp(-(((bins - hz) / 200) ** 2)), n)
    bursts = np.repeat(rng.random(n // 1600 + 1) > 0.5, 1600)[:n]
    return wave / np.abs(wave).max() / 2 * bursts + rng.normal(size=n) / 1000


def corpus_of(
    folder: Path, counts: list[int], seconds: float = 1.5, speakers: str = "abcdefghijklmnop"
) -> Path:
    """Speakers with resonances of their own, and so many utterances each."""
    rng, utterances = np.random.default_rng(0), []
    (folder / "audio").mkdir(parents=True)
    for i, count in enumerate(counts):
        for k in range(count):
            name = f"{speakers[i]}{k}"
            wave = resonant(rng, 400 + 450 * i, seconds)
            soundfile.write(folder / "audio" / f"{name}.wav", wave, 16_000)
            length = len(wave) / 16_000
            utterances.append(Utterance(name, f"{name}.wav", length, speakers[i]))
    made = Corpus("voices", tuple(utterances), audio_root=str(folder / "audio"))
    write_corpus(folder / "c", made)
    return folder / "c"


def trained(corpus: Path, out: Path, **changes: Any) -> SpeakerTraining:
    settings = {name: changes.pop(name) for name in ("held_out",) if name in changes}
    config = SpeakerConfig(**TINY, **settings)
    return train_speaker_encoder(corpus, out, **{"config": config, "recipe": QUICK, **changes})


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_of(tmp_path_factory.mktemp("twelve"), [4] * 12)


def test_it_tells_speakers_that_it_never_heard(twelve: Path, tmp_path: Path) -> None:
    report = trained(twelve, tmp_path / "s", held_out=0.3)
    test = report.verification
    assert test is not None
    assert report.held == "speakers"
    assert len(report.held_speakers) == test.n_speakers == 4
    assert report.n_speakers == 8
    assert report.n_utterances == 8 * 3  # one of each is for validation
    assert (test.n_targets, test.n_nontargets) == (4 * 6, 16 * 15 // 2 - 4 * 6)
    assert test.targets == "across recordings"
    assert test.eer < 0.2
    said = read_bundle(tmp_path / "s").config["training"]
    assert said["verification"]["eer"] == test.eer
    assert said["training"]["max_steps"] == 40
    assert (tmp_path / "s.training" / "checkpoint.safetensors").exists()  # for more steps
    assert (tmp_path / "s.training" / "log.csv").exists()


def test_another_seed_is_another_encoder_tested_on_the_same_speakers(
    twelve: Path, tmp_path: Path
) -> None:
    quick = QUICK.model_copy(update={"max_steps": 2})
    one, two = (
        trained(twelve, tmp_path / f"s{seed}", recipe=quick.model_copy(update={"seed": seed}))
        for seed in (0, 1)
    )
    assert one.held_speakers == two.held_speakers
    assert SpeakerEncoder.load(tmp_path / "s0").id != SpeakerEncoder.load(tmp_path / "s1").id


def test_interrupted_and_repeated(twelve: Path, tmp_path: Path) -> None:
    quick = QUICK.model_copy(update={"max_steps": 20})
    trained(twelve, tmp_path / "whole", recipe=quick)
    with interrupted(SpeakerTask, 15), pytest.raises(KeyboardInterrupt):
        trained(twelve, tmp_path / "s", recipe=quick)
    assert (tmp_path / "s.training" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "s").exists()
    with pytest.raises(InputError, match="other data or other settings"):
        trained(twelve, tmp_path / "s", recipe=quick, held_out=0.4)
    trained(twelve, tmp_path / "s", recipe=quick)
    assert bundle_id(tmp_path / "s") == bundle_id(tmp_path / "whole")


def test_few_speakers_are_tested_on_utterances_of_theirs(tmp_path: Path) -> None:
    report = trained(corpus_of(tmp_path, [8, 5, 2]), tmp_path / "s")
    test = report.verification
    assert test is not None
    assert (report.held, report.held_speakers) == ("utterances", ("a", "b"))
    assert report.n_speakers == 3
    assert (test.n_targets, test.n_nontargets) == (2, 4)


def test_too_few_utterances_leave_the_error_rate_undefined(tmp_path: Path) -> None:
    report = trained(corpus_of(tmp_path, [3, 2]), tmp_path / "s")
    assert report.verification is None
    assert read_bundle(tmp_path / "s").config["training"]["verification"] is None


def test_single_recordings_are_divided_in_time(tmp_path: Path) -> None:
    report = trained(corpus_of(tmp_path / "long", [1] * 11, seconds=4), tmp_path / "s")
    test = report.verification
    assert test is not None
    assert (test.targets, test.n_targets, test.n_nontargets) == ("within recordings", 3, 12)
    assert report.n_speakers == 8
    assert report.minutes == pytest.approx(8 * 3 / 60, abs=0.01)  # a second is for validation
    report = trained(corpus_of(tmp_path / "shorter", [1] * 11, seconds=3.2), tmp_path / "r")
    assert report.verification is None  # a piece each
    with pytest.raises(InputError, match="8 speakers has only one recording"):
        trained(corpus_of(tmp_path / "short", [1] * 11, seconds=1.0), tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    folder = corpus_of(tmp_path, [4, 4])
    for name, wave in (("short", np.ones(7_000) / 3), ("mute", np.zeros(16_000))):
        soundfile.write(tmp_path / "audio" / f"{name}.wav", wave, 16_000)
    others = (
        Utterance("short", "short.wav", 0.4375, "a"),
        Utterance("mute", "mute.wav", 1, "b"),
        Utterance("somebody", "a0.wav", 1.5, None),
    )
    corpus = read_corpus(folder)
    write_corpus(folder, replace(corpus, utterances=(*corpus.utterances, *others)))
    report = trained(folder, tmp_path / "s")
    assert report.excluded == {"under_0.5_s": 1, "silent": 1, "unknown_speaker": 1}


@pytest.mark.parametrize(
    ("speakers", "found"),
    [((None,), "has no known speaker"), (("ana",), r"on 1 known speaker \(ana\)")],
)
def test_one_speaker_or_none_is_refused(
    make_corpus: Callable[..., Corpus], tmp_path: Path, speakers: tuple[Any, ...], found: str
) -> None:
    folder = make_corpus(3, speakers=speakers).folder
    assert folder is not None
    with pytest.raises(InputError, match=found):
        trained(folder, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_recording_with_nan_is_refused(tmp_path: Path) -> None:
    folder = corpus_of(tmp_path, [3, 3])
    bad = np.full(24_000, np.nan, np.float32)
    soundfile.write(tmp_path / "audio" / "a1.wav", bad, 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"a1\.wav.*NaN"):
        trained(folder, tmp_path / "s")


def test_divergence_leaves_no_encoder(twelve: Path, tmp_path: Path) -> None:
    wild = QUICK.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(InputError, match="diverged"):
        trained(twelve, tmp_path / "s", recipe=wild)
    assert not (tmp_path / "s").exists()
