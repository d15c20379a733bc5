"""Train neural inverters through files, on a small corpus."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from interruption import interrupted
from torch import Tensor, nn

from inverters import FEW, N_UNITS, VOICES, three_voices, trained_neural
from zerochain import audio
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import discover, encode
from zerochain.errors import InputError
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.bundle import bundle_id, read_bundle, within
from zerochain.formats.corpus import Corpus
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import read_units, write_units
from zerochain.inversion.inverter import Inverter, NeuralInverter
from zerochain.inversion.stage import train_inverter
from zerochain.inversion.waveform import GeneratorTask, WaveformConfig
from zerochain.modules.vqvae import CollapseWarning
from zerochain.training.loop import Trained, train
from zerochain.training.task import Batch, Update

pytestmark = pytest.mark.filterwarnings("ignore::zerochain.modules.vqvae.CollapseWarning")
AGAINST = {"adversary": "multi-resolution", "adversary_width": 0.125, "adversary_from": 2}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_voices(tmp_path_factory.mktemp("neural"))


@pytest.fixture(scope="module")
def many(prepared: Path) -> Path:
    """All voices, by name."""
    trained_neural(prepared, prepared / "many")
    return prepared / "many"


def steps_of(prepared: Path, name: str = "u0") -> np.ndarray:
    return read_units(prepared / "units.parquet").steps(name)


def test_the_bundle_knows_voices_pitches_and_units(prepared: Path, many: Path) -> None:
    bundle, units = read_bundle(many), read_units(prepared / "units.parquet")
    assert (bundle.model, tuple(bundle.config["voices"])) == ("convnext", VOICES)
    pitches = [np.exp(s["log_mean"]) for s in bundle.config["prosody"]["statistics"]]
    assert pitches == pytest.approx([100, 160, 220], rel=0.05)  # as the fixture speaks
    assert bundle.config["unit_model"] == units.model_id == bundle_id(prepared / "km")
    assert bundle.config["n_units"] == N_UNITS
    assert set(bundle.trained_on) == {"units", "corpus"}
    report = bundle.config["training"]
    assert (report["steps"], report["converged"], report["n_utterances"]) == (4, False, 9)
    assert any("F0" in complaint for complaint in report["complaints"])


def test_a_sample_stands_beside_the_weights(many: Path) -> None:
    sample = audio.read(many / "sample.wav")
    assert 0 < len(sample) <= 5 * 16_000
    assert sample.std() > 1e-3
    whole = bundle_id(many)
    before = (many / "sample.wav").read_bytes()
    (many / "sample.wav").write_bytes(b"another")
    assert bundle_id(many) == whole
    (many / "sample.wav").write_bytes(before)


def test_checkpoints_and_logs_stay(many: Path) -> None:
    logs = sorted(
        p.relative_to(many.parent).as_posix() for p in many.parent.rglob("many.training/**/*.csv")
    )
    assert logs == [f"many.training/{part}log.csv" for part in ("f0/", "", "prosody/")]
    checkpoints = many.parent.rglob("many.training/**/checkpoint.safetensors")
    assert sorted(p.parent for p in checkpoints) == sorted(
        (many.parent / log).parent for log in logs
    )
    assert read_training_log(many.parent / "many.training")["step"] == [2, 4]


def test_voices_are_what_they_were_told(prepared: Path, many: Path) -> None:
    """What was trained and what was saved say the same, and voices differ."""
    model, steps = NeuralInverter.load(many), steps_of(prepared)
    assert model.f0_quantizer.n_units == 256
    waves = [model.synthesize(steps, model.voice(name), seed=1) for name in VOICES]
    assert {len(w) for w in waves} == {320 * len(steps)}
    assert not np.allclose(waves[0], waves[1], atol=1e-3)


def test_by_a_speaker_encoders_vectors(prepared: Path, tmp_path: Path) -> None:
    speakers = prepared / "speakers"
    model = trained_neural(prepared, tmp_path / "i", voices=["béa", "ana"], speakers=speakers)
    again, steps = NeuralInverter.load(tmp_path / "i"), steps_of(prepared)
    assert again.voices == ("ana", "béa")
    assert again.speaker_encoder_id == bundle_id(speakers)
    assert read_bundle(tmp_path / "i").trained_on["speakers"] == bundle_id(speakers)
    references = again.generator.conditioning.voice.references.numpy()
    np.testing.assert_allclose(np.linalg.norm(references, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(references, again.prosody.network.voices.references.numpy())
    for name in again.voices:
        np.testing.assert_allclose(
            again.synthesize(steps, again.voice(name)),
            model.synthesize(steps, model.voice(name)),
            atol=1e-6,
        )


def test_hifigan_is_conditioned_on_f0_units(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Trained] = []

    def watched(*arguments: Any, **options: Any) -> Trained:
        kept.append(train(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr("zerochain.training.run.train", watched)
    model = trained_neural(prepared, tmp_path / "i", method="hifigan", width=32, voices=["ana"])
    bundle = read_bundle(tmp_path / "i")
    for name, weight in within("generator", bundle.tensors).items():
        np.testing.assert_array_equal(weight, kept[-1].weights[name])  # of the averaged network
    config = bundle.config
    assert config["generator"]["n_f0_units"] == model.f0_quantizer.n_units == 20
    assert config["generator"]["hop"] == 160
    wave = NeuralInverter.load(tmp_path / "i").synthesize(steps_of(prepared), model.voice())
    np.testing.assert_allclose(wave, model.synthesize(steps_of(prepared), model.voice()), atol=1e-6)


def test_interrupted_and_repeated_gives_the_same_inverter(prepared: Path, tmp_path: Path) -> None:
    trained_neural(prepared, tmp_path / "whole", losses=AGAINST)
    with interrupted(GeneratorTask, 3), pytest.raises(KeyboardInterrupt):
        trained_neural(prepared, tmp_path / "i", losses=AGAINST)
    assert not (tmp_path / "i").exists()
    assert len(list(tmp_path.rglob("i.training/**/checkpoint.safetensors"))) == 3
    with pytest.raises(InputError, match="other data or other settings"):
        trained_neural(prepared, tmp_path / "i", losses=AGAINST, width=16)
    trained_neural(prepared, tmp_path / "i", losses=AGAINST)
    for file in ("weights.safetensors", "sample.wav"):
        whole, resumed = ((tmp_path / name / file).read_bytes() for name in ("whole", "i"))
        assert whole == resumed
    assert read_bundle(tmp_path / "i").config["training"]["converged"] is None


def test_nan_in_training_is_an_error_and_no_inverter(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = GeneratorTask.training_step

    def poisoned(
        self: GeneratorTask, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        return step(self, networks, {**batch, "waves": batch["waves"] * np.nan}, update)

    monkeypatch.setattr(GeneratorTask, "training_step", poisoned)
    with pytest.raises(InputError, match="training diverged at step 1"):
        trained_neural(prepared, tmp_path / "i")
    assert not (tmp_path / "i").exists()


def test_choices_that_make_no_sense(prepared: Path, tmp_path: Path) -> None:
    def refused(said: str, **options: Any) -> None:
        with pytest.raises(InputError, match=said):
            trained_neural(prepared, tmp_path / "i", **options)

    refused("needs no speaker encoder", voices=["ana"], speakers=prepared / "speakers")
    refused(
        "begin at step 9, and training ends at step 4",
        losses={**AGAINST, "adversary_from": 8},
    )
    refused("no speaker dora", voices=["dora"])
    refused("3 known speakers", voices=())
    refused("a hifigan generator can't be made: width=8 is invalid", method="hifigan")
    refused("speaker 'ana'", split="test")  # only the last utterance, carl's
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "thesis.tex").write_text("years of work")
    refused("not a folder that zerochain made")
    assert [p.name for p in tmp_path.iterdir()] == ["i"]  # all before any work


def test_units_that_do_not_fit(prepared: Path, tmp_path: Path) -> None:
    units, out = read_units(prepared / "units.parquet"), tmp_path / "i"
    for said, changed in {
        "u0": replace(units, units={k: v for k, v in units.units.items() if k != "u0"}),
        "units of another length": replace(
            units, units={k: np.repeat(v, 2) for k, v in units.units.items()}
        ),
        "can't be divided into frames": replace(units, step_ms=20.01),
    }.items():
        write_units(tmp_path / "u.parquet", changed)
        with pytest.raises(InputError, match=said):
            train_inverter(
                tmp_path / "u.parquet", prepared / "tiny", out, method="convnext", voices=None
            )
    assert [p.name for p in tmp_path.iterdir()] == ["u.parquet"]


def made_of(root: Path, corpus: Corpus) -> Inverter:
    """Units and an inverter of one speaker's corpus."""
    assert corpus.folder is not None
    discover(KMeansUnits(2, 2), corpus.folder, root / "km", features=SpectralOptions())
    encode(root / "km", corpus.folder, root / "units.parquet")
    few = {"f0": FEW, "prosody": FEW, "recipe": FEW, "config": WaveformConfig(width=8)}
    files = root / "units.parquet", corpus.folder, root / "i"
    return train_inverter(*files, method="convnext", **few)[0]  # type: ignore[arg-type]


def test_silence_is_spoken_silently(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus(3, speakers=("quiet",), seconds=0.5)
    for u in corpus.utterances:
        soundfile.write(corpus.audio_path(u), np.zeros(round(u.duration * 16_000)), 16_000)
    with pytest.warns(CollapseWarning, match="whispered, or silent"):
        model = made_of(tmp_path, corpus)
    assert model.voice().statistics.n_voiced == 0
    assert np.abs(model.synthesize(np.array([0, 1, 1], np.int32), model.voice())).max() < 1e-3


def test_whispered_speech_is_spoken_as_a_whisper(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(3, speakers=("hoarse",), seconds=0.5)
    rng = np.random.default_rng(0)
    for u in corpus.utterances:
        noise = 0.1 * rng.standard_normal(round(u.duration * 16_000))
        soundfile.write(corpus.audio_path(u), noise, 16_000)
    model = made_of(tmp_path, corpus)
    steps, voice = read_units(tmp_path / "units.parquet").steps("u0"), model.voice()
    assert (model.f0_of(steps, voice) > 0).mean() < 0.2
    wave = model.synthesize(steps, voice)
    assert len(wave) == 320 * len(steps)
    assert wave.std() == pytest.approx(0.1, rel=0.3)  # as loud as it was


@pytest.mark.filterwarnings("ignore:the units were made of corpus")
def test_a_recording_with_nan_is_named(
    make_corpus: Callable[..., Corpus], prepared: Path, tmp_path: Path
) -> None:
    corpus = make_corpus(9, speakers=VOICES, seconds=0.8)
    path = corpus.audio_path(corpus.utterances[4])
    wave, _ = soundfile.read(path)
    wave[77] = np.nan
    soundfile.write(path, wave, 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"u4\.wav: NaN or infinity in 1 sample"):
        train_inverter(
            prepared / "units.parquet",
            corpus.home,
            tmp_path / "i",
            method="convnext",
            voices=None,
            f0=FEW,
        )
