"""invert train-neural, synthesize and convert: from units to a voice, and what goes wrong."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import run
from inverters import N_UNITS, speaker_encoder, three_voices, untrained_neural
from zerochain import audio
from zerochain.formats.bundle import bundle_id, read_bundle, write_bundle
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import read_units

pytestmark = pytest.mark.filterwarnings("ignore::zerochain.modules.vqvae.CollapseWarning")
QUICK = ("--steps", 4, "--validate-every", 2, "--batch-size", 2, "--width", 8)
QUICK = (*QUICK, "--f0-steps", 2, "--prosody-steps", 2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`three_voices`, and all/, an inverter of all of them."""
    root = three_voices(tmp_path_factory.mktemp("commands"))
    run(
        "invert",
        "train-neural",
        root / "units.parquet",
        root / "tiny",
        "--all-voices",
        *QUICK,
        "--out",
        root / "all",
    )
    return root


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(prepared: Path, *options: object, code: int = 0) -> Any:
    command = ("invert", "train-neural", prepared / "units.parquet", prepared / "tiny")
    return run(*command, *options, code=code)


def speak(prepared: Path, *options: object, code: int = 0) -> Any:
    units = prepared / "units.parquet"
    return run("invert", "synthesize", prepared / "all", units, "--out", "w", *options, code=code)


def test_train_says_how_it_went(prepared: Path) -> None:
    said = train(prepared, "--voice", "ana", *QUICK, "--out", "i").stdout
    assert said.startswith("i: convnext from 2.4 s of speech\n")
    assert "4 steps in " in said
    assert "NOT CONVERGED: steps ran out" in said
    assert re.search(r"\n  WARNING: predictions of .* no better than each unit's mean", said)
    assert "codebook of F0" not in said  # in so little speech most F0 units are unused by chance
    assert read_bundle(Path("i")).config["voices"] == ["ana"]
    assert read_training_log(Path("i.training"))["step"] == [2, 4]
    assert Path("i/sample.wav").is_file()
    # The option of the part whose setting is meant.
    error = train(prepared, "--voice", "ana", *QUICK, "--f0-steps", 1, "--out", "i", code=1).stderr
    assert "more than --f0-steps 1" in error


def test_train_hifigan_against_its_adversary(prepared: Path) -> None:
    options = ("--generator", "hifigan", "--width", 32, "--adversary", "multi-period")
    options = (*options, "--adversary-width", 0.03, "--adversary-from", 2, "--split", "train")
    said = train(prepared, "--voice", "ana", *QUICK, *options, "--out", "i").stdout
    assert said.startswith("i: hifigan from ")
    assert "all steps, as an adversary has no end of its own" in said
    log = read_training_log(Path("i.training"))
    assert np.isnan(log["discriminator"]).tolist() == [True, False]
    config = read_bundle(Path("i")).config
    assert config["training"]["losses"]["adversary"] == "multi-period"
    assert config["training"]["training"]["keep"] == "last"


def test_synthesize_in_all_manners(prepared: Path) -> None:
    units = read_units(prepared / "units.parquet")
    n = len(units.steps("u0"))
    assert speak(prepared, "--voice", "béa").output == "w: 9 wavs\n"
    assert read_synthesis(Path("w")).voice == "béa"
    plain = audio.read(Path("w/u0.wav"))
    assert len(plain) == 320 * n
    for options, same_length in (
        (("--semitones", -3), True),
        (("--flatten",), True),
        (("--pitch-of", prepared / "tiny"), True),
        (("--pitch-of", prepared / "tiny", "--pitch", "exact"), True),
        (("--seed", 3), True),
        (("--rate", 2), False),
        (("--durations", "predicted"), False),
    ):
        speak(prepared, "--voice", "béa", *options)
        wave = audio.read(Path("w/u0.wav"))
        assert (len(wave) == len(plain)) == same_length
        assert not np.array_equal(wave, plain)


@pytest.mark.parametrize(
    ("options", "said", "code"),
    [
        ((), "choose one of its voices with --voice: ana, béa, carl", 1),
        (("--voice", "dora"), "no voice 'dora'", 1),
        (("--voice", "ana", "--phase", "pghi"), "leave --phase out", 1),
        (("--voice", "ana", "--pitch", "exact"), "--pitch-of", 1),
        (("--voice", "ana", "--pitch-of", "none"), "corpus.json", 1),
        (("--voice", "ana", "--rate", "inf"), "inf is not a finite number", 2),
        (("--voice", "ana", "--rate", "nan"), "nan is not a finite number", 2),
        (("--voice", "ana", "--rate", 0), "--rate", 2),
        (("--voice", "ana", "--semitones", 61), "--semitones", 2),
        (("--voice", "ana", "--semitones", "nan"), "--semitones", 2),
        (("--like", "x.wav"), "--like requires --speakers", 2),
        (("--like", "x.wav", "--speakers", "y", "--voice", "ana"), "excludes --voice", 2),
    ],
)
def test_what_can_not_be_spoken(
    prepared: Path, options: tuple[object, ...], said: str, code: int
) -> None:
    assert said in speak(prepared, *options, code=code).stderr
    assert not Path("w").exists()


def test_like_a_recording_takes_a_speaker_encoder(prepared: Path) -> None:
    like = ("--like", prepared / "tiny-audio" / "u2.wav", "--speakers", prepared / "speakers")
    assert "trained without a speaker encoder" in speak(prepared, *like, code=1).stderr
    by_vector = untrained_neural(n_reference=6, unit_model=bundle_id(prepared / "km"))
    encoder_id = bundle_id(prepared / "speakers")
    replace(by_vector, speaker_encoder_id=encoder_id).save(Path("i"))
    said = ("invert", "synthesize", "i", prepared / "units.parquet", "--out", "w")
    run(*said, *like)
    assert read_synthesis(Path("w")).voice == "like u2.wav"
    speaker_encoder(Path("other"), seed=1)
    error = run(*said, *like[:-1], "other", code=1).stderr
    assert bundle_id(Path("other"))[:12] in error
    assert encoder_id[:12] in error


def test_convert_a_recording(prepared: Path) -> None:
    recording = prepared / "tiny-audio" / "u2.wav"
    command = ("invert", "convert", prepared / "all", prepared / "km", recording)
    said = run(*command, "out.wav", "--voice", "ana", "--semitones", 2).output
    assert said.startswith("out.wav: 1.30 s of speech in ")
    assert "real-time factor " in said
    assert audio.info(Path("out.wav")).n_samples == 65 * 320
    assert "is not called .wav" in run(*command, "out.flac", "--voice", "ana", code=1).stderr
    assert "3 voices, and none was chosen" in run(*command, "o.wav", code=1).stderr
    assert "is a directory" in run(*command, prepared, "--voice", "ana", code=2).stderr
    Path("link.wav").hardlink_to(recording)
    before = recording.read_bytes()
    error = run(*command, "link.wav", "--voice", "ana", code=1).stderr
    assert "is the recording itself, which would be lost" in error
    assert recording.read_bytes() == before
    assert (
        "choose channel 1"
        in run(*command, "o.wav", "--voice", "ana", "--channel", 3, code=1).stderr
    )
    audio.write(Path("silent.wav"), np.zeros(16_000, np.float32))
    silent = run(*command[:-1], "silent.wav", "s.wav", "--voice", "ana")
    assert "the recording is silent" in silent.stderr
    assert not Path("o.wav").exists()


def test_show_says_what_an_inverter_is(prepared: Path) -> None:
    text = run("show", prepared / "all").output
    for part in (
        "model of kind 'convnext'",
        f"{N_UNITS} units of 20 ms",
        bundle_id(prepared / "km")[:12],
        "on 9.4 s of speech, 4 steps (NOT CONVERGED: steps ran out); validation loss",
        "sample.wav",
        "trained on units",
    ):
        assert part in text
    assert "damaged" not in text
    assert re.search(r"ana \(\d+ Hz\), béa \(\d+ Hz\), carl \(\d+ Hz\)", text)
    bundle = read_bundle(prepared / "all")
    config = {name: value for name, value in bundle.config.items() if name != "voices"}
    write_bundle(Path("edited"), "hifigan", config, {"x": np.ones(2)}, {})
    assert "its configuration lacks 'voices'" in run("show", "edited").output


def test_show_says_it_of_spectral_inverters_too(prepared: Path) -> None:
    command = ("invert", "train", prepared / "units.parquet", prepared / "tiny", "--voice", "béa")
    run(*command, "--method", "unit-means", "--prosody-steps", 0, "--out", "means")
    text = run("show", "means").output
    assert re.search(r"voices +béa \(\d+ Hz\)", text)
    assert re.search(r"trained +on \d(\.\d)? s of speech *\n", text)


@pytest.mark.parametrize(
    ("options", "said", "code"),
    [
        (("--generator", "vocoder"), "vocoder", 2),
        (("--width", 0), "--width", 2),
        (("--adversary", "gan"), "--adversary", 2),
        (("--adversary-width", 2), "--adversary-width", 2),
        (("--f0-steps", 0), "--f0-steps", 2),
        (("--learning-rate", "nan"), "--learning-rate", 2),
        (("--voice", "ana", "--all-voices"), "exclude each other", 2),
        ((), "3 known speakers: ana, béa, carl", 1),
        (("--voice", "ana", "--generator", "hifigan", "--width", 8), "width", 1),
        (("--voice", "ana", "--speakers", "km"), "needs no speaker encoder", 1),
        (
            ("--voice", "ana", "--adversary", "multi-period", "--adversary-from", 4000),
            "begin at step 4001, and training ends at step 4000",
            1,
        ),
    ],
)
def test_what_can_not_be_trained(
    prepared: Path, options: tuple[object, ...], said: str, code: int
) -> None:
    assert said in train(prepared, *options, "--out", "i", code=code).stderr
    assert not Path("i").exists()
    assert not Path("i.training").exists()
