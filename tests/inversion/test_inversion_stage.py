"""Train and synthesise through files, on a small corpus."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from zerochain import audio
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import discover, encode
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus
from zerochain.formats.headers import read_json
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.inversion.code2spec import AdversaryOptions
from zerochain.inversion.speaking import synthesize
from zerochain.inversion.spectral import Inverter
from zerochain.inversion.spectrogram import SpectrogramOptions
from zerochain.inversion.stage import train_inverter
from zerochain.inversion.voice_data import voice_data
from zerochain.training.config import TrainingConfig

QUICK = TrainingConfig(max_steps=40, validate_every=20, batch_size=4)
NONE = AdversaryOptions(form="none")


@pytest.fixture
def prepared(make_corpus: Callable[..., Corpus], tmp_path: Path) -> tuple[Corpus, Path]:
    """A corpus and the unit file of all of it, stride 2."""
    corpus = make_corpus(n_utterances=9, seconds=1.0)
    assert corpus.folder is not None
    model = KMeansUnits(12, 2)
    discover(model, corpus.folder, tmp_path / "km", features=SpectralOptions(), split="train")
    encode(tmp_path / "km", corpus.folder, tmp_path / "units.parquet")
    return corpus, tmp_path / "units.parquet"


def trained(prepared: tuple[Corpus, Path], out: Path, **options: object) -> Inverter:
    corpus, units = prepared
    settings = {
        "voices": ["ana"],
        "split": "train",
        "width": 16,
        "adversary": NONE,
        "training": QUICK,
        **options,
    }
    inverter, _ = train_inverter(units, corpus.folder, out, **settings)  # type: ignore[arg-type]
    return inverter


@pytest.mark.parametrize("method", ["code2spec", "unit-means"])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_every_wav_is_exactly_as_long_as_its_units(
    prepared: tuple[Corpus, Path], tmp_path: Path, method: str, scale: str
) -> None:
    trained(prepared, tmp_path / "inverter", method=method, scale=scale)
    ids = synthesize(tmp_path / "inverter", prepared[1], tmp_path / "wavs")
    units = read_units(prepared[1])
    assert ids == units.ids
    for name in ids:
        wave, rate = soundfile.read(tmp_path / "wavs" / f"{name}.wav")
        assert rate == 16_000
        assert len(wave) == len(units.units[name]) * 320
    marker = read_json(tmp_path / "wavs" / "synthesis.json", "synthesis")
    assert marker["inverter_id"] == bundle_id(tmp_path / "inverter")
    assert marker["units_id"] == units.id
    assert marker["voice"] == "ana"


def test_what_was_trained_survives_a_disk_that_is_full_at_the_end(
    prepared: tuple[Corpus, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise InputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("zerochain.inversion.spectral.write_bundle", full)
        with pytest.raises(InputError, match="full"):
            trained(prepared, tmp_path / "x")
    checkpoint = tmp_path / "x.training" / "checkpoint.safetensors"
    assert checkpoint.exists()
    log = (tmp_path / "x.training" / "log.csv").read_bytes()
    trained(prepared, tmp_path / "x")
    assert (tmp_path / "x.training" / "log.csv").read_bytes() == log
    assert not checkpoint.exists()


def test_saved_and_loaded_speaks_the_same(prepared: tuple[Corpus, Path], tmp_path: Path) -> None:
    inverter = trained(prepared, tmp_path / "inverter")
    again = Inverter.load(tmp_path / "inverter")
    steps = read_units(prepared[1]).steps("u0")
    np.testing.assert_allclose(inverter.synthesize(steps), again.synthesize(steps), atol=1e-6)


@pytest.mark.parametrize("steps", [[3], [3, 3], list(range(12)) * 60])
def test_one_unit_or_many(prepared: tuple[Corpus, Path], tmp_path: Path, steps: list[int]) -> None:
    inverter = trained(prepared, tmp_path / "inverter", method="unit-means")
    inverter = replace(inverter, phase="pghi")
    wave = inverter.synthesize(np.array(steps, np.int32))
    assert len(wave) == len(steps) * 320
    assert np.isfinite(wave).all()


def test_unit_means_are_means(prepared: tuple[Corpus, Path], tmp_path: Path) -> None:
    corpus, units = prepared
    inverter = trained(prepared, tmp_path / "inverter", method="unit-means", scale="linear")
    part = corpus.select(split="train", speaker="ana")
    data = voice_data(read_units(units), part, SpectrogramOptions(scale="linear"), ["ana"])
    whole = next(data.train.all_segments(1, len(data.train)))
    magnitude = data.train.options.magnitude(whole["waves"])[0]
    unit = int(np.bincount(data.train.units)[:12].argmax())
    expected = magnitude[data.train.units == unit].mean(0)
    one = np.array([unit], np.int32)
    np.testing.assert_allclose(inverter.spectrogram(one)[0], expected, rtol=1e-3, atol=1e-4)


def test_units_of_another_model_are_refused(prepared: tuple[Corpus, Path], tmp_path: Path) -> None:
    trained(prepared, tmp_path / "inverter", method="unit-means")
    units = read_units(prepared[1])
    other = UnitFile(
        units=units.units,
        n_units=units.n_units,
        step_ms=units.step_ms,
        model_id="f" * 64,
        method="other",
    )
    write_units(tmp_path / "other.parquet", other)
    with pytest.raises(ModelMismatchError, match="f" * 12) as caught:
        synthesize(tmp_path / "inverter", tmp_path / "other.parquet", tmp_path / "wavs")
    assert units.model_id[:12] in str(caught.value)
    assert not (tmp_path / "wavs").exists()


def test_an_unknown_voice_is_refused(prepared: tuple[Corpus, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ana, béa"):
        trained(prepared, tmp_path / "inverter", voices=["carl"])
    with pytest.raises(InputError, match="--voice"):
        trained(prepared, tmp_path / "inverter", voices=())


def test_units_that_lack_an_utterance_are_refused(
    prepared: tuple[Corpus, Path], tmp_path: Path
) -> None:
    units = read_units(prepared[1])
    fewer = replace(units, units={k: v for k, v in units.units.items() if k != "u0"})
    write_units(tmp_path / "fewer.parquet", fewer)
    with pytest.raises(InputError, match="u0"):
        trained((prepared[0], tmp_path / "fewer.parquet"), tmp_path / "inverter")


def test_units_of_another_cut_are_refused(prepared: tuple[Corpus, Path], tmp_path: Path) -> None:
    units = read_units(prepared[1])
    longer = replace(units, units={k: np.repeat(v, 2) for k, v in units.units.items()})
    write_units(tmp_path / "longer.parquet", longer)
    with pytest.raises(InputError, match=r"has units for .* s, but its recording lasts"):
        trained((prepared[0], tmp_path / "longer.parquet"), tmp_path / "inverter")


def test_one_utterance_is_too_little(
    make_corpus: Callable[..., Corpus], prepared: tuple[Corpus, Path], tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=1, name="one")
    assert corpus.folder is not None
    encode(tmp_path / "km", corpus.folder, tmp_path / "one.parquet")
    with pytest.raises(InputError, match="more recordings"):
        train_inverter(tmp_path / "one.parquet", corpus.folder, tmp_path / "x", voices=["ana"])


def test_silent_recordings_are_spoken_silently(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(n_utterances=4, speakers=("quiet",), name="silent")
    assert corpus.folder is not None
    for u in corpus.utterances:
        soundfile.write(corpus.audio_path(u), np.zeros(round(u.duration * 16_000)), 16_000)
    discover(KMeansUnits(2, 2), corpus.folder, tmp_path / "km", features=SpectralOptions())
    encode(tmp_path / "km", corpus.folder, tmp_path / "u.parquet")
    train_inverter(tmp_path / "u.parquet", corpus.folder, tmp_path / "i", width=8, training=QUICK)
    synthesize(tmp_path / "i", tmp_path / "u.parquet", tmp_path / "wavs")
    assert np.abs(audio.read(tmp_path / "wavs" / "u0.wav")).max() < 1e-2


def test_killed_training_goes_on_to_the_same_inverter(
    prepared: tuple[Corpus, Path], tmp_path: Path
) -> None:
    """SIGKILL in the middle of training against an adversary, then the same command again."""
    corpus, units = prepared
    config = TrainingConfig(max_steps=24, validate_every=6, batch_size=2)
    adversary = AdversaryOptions(from_step=8, feature_matching=1.0, width=4)
    trained(prepared, tmp_path / "whole", training=config, adversary=adversary)
    script = f"""
        import os, signal
        from pathlib import Path
        from zerochain.inversion import stage, train
        from zerochain.inversion.code2spec import AdversaryOptions
        from zerochain.training.config import TrainingConfig
        batch = train.Code2SpecTask.batch
        def deadly(self, step, process):
            if step == 15:
                os.kill(os.getpid(), signal.SIGKILL)
            return batch(self, step, process)
        train.Code2SpecTask.batch = deadly
        stage.train_inverter(
            Path({str(units)!r}), Path({str(corpus.folder)!r}), Path({str(tmp_path / "broken")!r}),
            voices=["ana"], split="train", width=16,
            training=TrainingConfig(max_steps=24, validate_every=6, batch_size=2),
            adversary=AdversaryOptions(from_step=8, feature_matching=1.0, width=4),
        )
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "broken").exists()
    trained(prepared, tmp_path / "broken", training=config, adversary=adversary)
    log = (tmp_path / "broken.training" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log[1:]] == ["6", "12", "18", "24"]
    weights = [
        (tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "broken")
    ]
    assert weights[0] == weights[1]
