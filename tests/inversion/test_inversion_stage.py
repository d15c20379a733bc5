"""Train and synthesise through files, on a small corpus."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from zerochain import audio
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import discover, encode
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus, CorpusWarning
from zerochain.formats.headers import read_json
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.inversion import Method, spectral
from zerochain.inversion.inverter import SpectralInverter
from zerochain.inversion.phase import SpectrogramOptions
from zerochain.inversion.speaking import synthesize
from zerochain.inversion.spectral import AdversaryConfig, SpectralConfig
from zerochain.inversion.stage import train_inverter
from zerochain.inversion.voice_data import Material, voice_data
from zerochain.training.recipe import Recipe

QUICK = Recipe(max_steps=40, validate_every=20, batch_size=4)
FEW = Recipe(max_steps=8, validate_every=4, batch_size=2)
"""Where nothing has to be learned."""
NONE = AdversaryConfig(form="none")


@pytest.fixture
def prepared(make_corpus: Callable[..., Corpus], tmp_path: Path) -> tuple[Corpus, Path]:
    """A corpus and the unit file of all of it, stride 2."""
    corpus = make_corpus(n_utterances=9, seconds=1.0)
    assert corpus.folder is not None
    model = KMeansUnits(12, 2)
    discover(model, corpus.folder, tmp_path / "km", features=SpectralOptions(), split="train")
    encode(tmp_path / "km", corpus.folder, tmp_path / "units.parquet")
    return corpus, tmp_path / "units.parquet"


def trained(
    prepared: tuple[Corpus, Path],
    out: Path,
    method: Method = "code2spec",
    recipe: Recipe = FEW,
    voices: Sequence[str] = ("ana",),
    **options: Any,
) -> SpectralInverter:
    corpus, units = prepared
    assert corpus.folder is not None
    config = SpectralConfig(**{"width": 16, "adversary": NONE, **options})
    inverter, _ = train_inverter(
        units,
        corpus.folder,
        out,
        method=method,
        voices=voices,
        split="train",
        config=config,
        recipe=recipe,
        prosody=None,
    )
    assert isinstance(inverter, SpectralInverter)
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
        patch.setattr("zerochain.formats.bundle.write_bundle", full)
        with pytest.raises(InputError, match="full"):
            trained(prepared, tmp_path / "x")
    checkpoint = tmp_path / "x.training" / "checkpoint.safetensors"
    assert checkpoint.exists()
    log = (tmp_path / "x.training" / "log.csv").read_bytes()
    trained(prepared, tmp_path / "x")
    assert (tmp_path / "x.training" / "log.csv").read_bytes() == log
    assert checkpoint.exists()  # for more steps


def test_saved_and_loaded_speaks_the_same(prepared: tuple[Corpus, Path], tmp_path: Path) -> None:
    inverter = trained(prepared, tmp_path / "inverter")
    again = SpectralInverter.load(tmp_path / "inverter")
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
    assert corpus.folder is not None
    material = Material.read(units, corpus.folder, ["ana"], None, "train", "cpu")
    data = voice_data(material, SpectrogramOptions(scale="linear"))
    (whole,) = data.train.all(1, int(data.train.lengths[0]))
    magnitude, present = data.scaled(whole)[0], data.train.arrays["units"]
    unit = int(np.bincount(present)[:12].argmax())
    expected = magnitude[present == unit].mean(0)
    one = np.array([unit], np.int32)
    np.testing.assert_allclose(inverter.magnitudes(one)[0], expected, rtol=1e-3, atol=1e-4)


def test_units_of_another_corpus_are_told(prepared: tuple[Corpus, Path], tmp_path: Path) -> None:
    corpus, units = prepared
    write_units(tmp_path / "other.parquet", replace(read_units(units), corpus_id="0" * 64))
    with pytest.warns(CorpusWarning, match="the units were made of corpus 000000000000, not of"):
        Material.read(tmp_path / "other.parquet", corpus.home, ["ana"], None, "train", "cpu")


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
    with pytest.raises(InputError, match="voices=SPEAKER"):
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
    config = SpectralConfig(width=8)
    files = tmp_path / "u.parquet", corpus.folder, tmp_path / "i"
    train_inverter(*files, config=config, recipe=QUICK, prosody=None)
    synthesize(tmp_path / "i", tmp_path / "u.parquet", tmp_path / "wavs")
    assert np.abs(audio.read(tmp_path / "wavs" / "u0.wav")).max() < 1e-2


@pytest.mark.usefixtures("warm")
def test_killed_training_goes_on_to_the_same_inverter(
    prepared: tuple[Corpus, Path], tmp_path: Path
) -> None:
    """SIGKILL in the middle of training against an adversary, then the same command again."""
    corpus, units = prepared
    config = Recipe(max_steps=24, validate_every=6, batch_size=2)
    adversary = AdversaryConfig(from_step=8, feature_matching=1.0, width=4)
    trained(prepared, tmp_path / "whole", recipe=config, adversary=adversary)
    script = f"""
        import os, signal
        from pathlib import Path
        from zerochain.inversion import spectral, stage
        from zerochain.inversion.spectral import AdversaryConfig, SpectralConfig
        from zerochain.training.recipe import Recipe
        batch = spectral.Code2SpecTask.batch
        def deadly(self, step, process):
            if step == 15:
                os.kill(os.getpid(), signal.SIGKILL)
            return batch(self, step, process)
        spectral.Code2SpecTask.batch = deadly
        stage.train_inverter(
            Path({str(units)!r}), Path({str(corpus.folder)!r}), Path({str(tmp_path / "broken")!r}),
            voices=["ana"], split="train", prosody=None,
            recipe=Recipe(max_steps=24, validate_every=6, batch_size=2),
            config=SpectralConfig(
                width=16, adversary=AdversaryConfig(from_step=8, feature_matching=1.0, width=4)
            ),
        )
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "broken").exists()
    trained(prepared, tmp_path / "broken", recipe=config, adversary=adversary)
    log = (tmp_path / "broken.training" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log[1:]] == ["6", "12", "18", "24"]
    weights = [
        (tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "broken")
    ]
    assert weights[0] == weights[1]


def test_more_steps_go_on_with_the_adversary(
    prepared: tuple[Corpus, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adversary = AdversaryConfig(width=4)
    recipe = Recipe(max_steps=6, validate_every=3, batch_size=2)
    trained(prepared, tmp_path / "i", recipe=recipe, adversary=adversary)
    updated = []
    monkeypatch.setattr(spectral.Update, "__call__", lambda self, name, loss: updated.append(name))
    more = recipe.model_copy(update={"max_steps": 30})  # a third of which is beyond the first six
    inverter = trained(prepared, tmp_path / "i", recipe=more, adversary=adversary)
    assert list(inverter.training["extended_at"]) == [6]
    assert updated == ["discriminator", "inverter"] * 24
