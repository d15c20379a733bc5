"""Unit files spoken by inverters of every kind, through files."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from inverters import VOICES, speaker_encoder, three_voices, trained_neural, untrained_neural
from zerochain import audio
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.f0 import F0Statistics, track_f0
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus, read_corpus, write_corpus
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.units import read_units, write_units
from zerochain.inversion.inverter import NeuralInverter, SpectralInverter
from zerochain.inversion.speaking import Manner, Speaking, load_inverter, moved, synthesize
from zerochain.inversion.stage import train_inverter
from zerochain.inversion.voices import Voice
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.training.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore::zerochain.modules.vqvae.CollapseWarning")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`three_voices`; flat/ speaks as ana and béa, its excitation unfiltered; means/ as ana."""
    root = three_voices(tmp_path_factory.mktemp("speaking"))
    untrained_neural(flat=True, unit_model=bundle_id(root / "km")).save(root / "flat")
    corpus, few = root / "tiny", Recipe(max_steps=4, validate_every=2, batch_size=2)
    train = {"voices": ["ana"], "method": "unit-means"}
    train_inverter(root / "units.parquet", corpus, root / "means", **train, prosody=None)  # type: ignore[arg-type]
    train_inverter(root / "units.parquet", corpus, root / "timed", **train, prosody=few)  # type: ignore[arg-type]
    return root


@pytest.fixture(scope="module")
def by_encoder(prepared: Path) -> Path:
    """A neural inverter of two voices, conditioned on a speaker encoder's vectors."""
    speakers = prepared / "speakers"
    trained_neural(prepared, prepared / "by_encoder", voices=["ana", "béa"], speakers=speakers)
    return prepared / "by_encoder"


def spoken(
    prepared: Path, out: Path, speaking: Speaking, inverter: str = "flat"
) -> dict[str, np.ndarray]:
    """The wavs by id."""
    ids = synthesize(prepared / inverter, prepared / "units.parquet", out, speaking)
    return {name: audio.read(out / f"{name}.wav") for name in ids}


def pitch_of(wave: np.ndarray) -> F0Statistics:
    return F0Statistics.of([track_f0(wave)])


def test_every_wav_is_as_long_as_its_units_and_says_what_spoke_it(
    prepared: Path, tmp_path: Path
) -> None:
    waves, units = (
        spoken(prepared, tmp_path / "w", Speaking("béa")),
        read_units(prepared / "units.parquet"),
    )
    assert list(waves) == units.ids
    assert {i: len(w) for i, w in waves.items()} == {
        i: 320 * len(units.steps(i)) for i in units.ids
    }
    made = read_synthesis(tmp_path / "w")
    assert (made.method, made.voice, made.speaker_encoder_id) == ("convnext", "béa", None)
    assert made.inverter_id == bundle_id(prepared / "flat")
    assert (made.units_id, made.step_ms) == (units.id, 20)


def test_an_inverter_of_any_kind_is_loaded(prepared: Path) -> None:
    assert isinstance(load_inverter(prepared / "flat"), NeuralInverter)
    assert isinstance(load_inverter(prepared / "means"), SpectralInverter)
    with pytest.raises(
        InputError, match="holds a kmeans, not a code2spec or unit-means or convnext"
    ):
        load_inverter(prepared / "km")


def test_merged_units_with_durations_are_the_same_speech(prepared: Path, tmp_path: Path) -> None:
    units = read_units(prepared / "units.parquet")
    segments = {name: units.segments(name) for name in units.ids}
    merged = replace(
        units,
        units={name: line for name, (line, _) in segments.items()},
        durations={name: lasts for name, (_, lasts) in segments.items()},
    )
    write_units(tmp_path / "merged.parquet", merged)
    waves = spoken(prepared, tmp_path / "a", Speaking("ana"))
    synthesize(prepared / "flat", tmp_path / "merged.parquet", tmp_path / "b", Speaking("ana"))
    for name, wave in waves.items():
        np.testing.assert_array_equal(audio.read(tmp_path / "b" / f"{name}.wav"), wave)


def test_units_of_another_model_are_refused(prepared: Path, tmp_path: Path) -> None:
    units = read_units(prepared / "units.parquet")
    write_units(tmp_path / "other.parquet", replace(units, model_id="f" * 64))
    with pytest.raises(ModelMismatchError, match="f" * 12) as error:
        synthesize(prepared / "flat", tmp_path / "other.parquet", tmp_path / "w", Speaking("ana"))
    assert units.model_id[:12] in str(error.value)
    assert not (tmp_path / "w").exists()


def test_the_voice_has_to_be_chosen_and_known(
    prepared: Path, by_encoder: Path, tmp_path: Path
) -> None:
    like, speakers = prepared / "tiny-audio" / "u2.wav", prepared / "speakers"
    for said, speaking in {
        "2 voices, and none was chosen": Speaking(),
        "no voice 'carl'": Speaking("carl"),
        "like= requires speakers=, and excludes voice=": Speaking(like=like),
        "and excludes voice=": Speaking("ana", like=like, speakers=speakers),
        "by name, not from recordings": Speaking(like=like, speakers=speakers),
    }.items():
        with pytest.raises(InputError, match=said):
            spoken(prepared, tmp_path / "w", speaking)
    speaker_encoder(tmp_path / "other", seed=1)
    with pytest.raises(ModelMismatchError, match=bundle_id(tmp_path / "other")[:12]):
        spoken(
            prepared, tmp_path / "w", Speaking(like=like, speakers=tmp_path / "other"), "by_encoder"
        )
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    with pytest.raises(InputError, match="can't be used to represent a voice"):
        spoken(
            prepared,
            tmp_path / "w",
            Speaking(like=tmp_path / "silent.wav", speakers=speakers),
            "by_encoder",
        )
    assert not (tmp_path / "w").exists()


def test_like_a_recording(prepared: Path, by_encoder: Path, tmp_path: Path) -> None:
    """Of carl, who is unseen in training: his vector, and the mean of his pitch."""
    like, speakers = prepared / "tiny-audio" / "u2.wav", prepared / "speakers"
    waves = spoken(prepared, tmp_path / "w", Speaking(like=like, speakers=speakers), "by_encoder")
    made = read_synthesis(tmp_path / "w")
    assert (made.voice, made.speaker_encoder_id) == ("like u2.wav", bundle_id(speakers))
    model, wave = NeuralInverter.load(by_encoder), audio.read(like)
    vector = SpeakerEncoder.load(speakers).embed(wave)
    carl = Voice("carl", vector, pitch_of(wave))
    assert np.exp(carl.statistics.log_mean) == pytest.approx(220, rel=0.05)
    steps = read_units(prepared / "units.parquet").steps("u0")
    expected = model.synthesize(steps, carl)
    np.testing.assert_allclose(waves["u0"], expected, atol=1e-4)
    assert not np.allclose(expected, model.synthesize(steps, model.voice("ana")), atol=1e-3)


def test_resynthesis_at_the_recordings_own_pitch(prepared: Path, tmp_path: Path) -> None:
    """Copied exactly in each speaker's own voice, it is by_encoder again."""
    corpus = prepared / "tiny"
    exact = Manner(pitch="exact")
    waves = spoken(prepared, tmp_path / "w", Speaking("ana", pitch_of=corpus, manner=exact))
    for name in ("u0", "u3"):  # ana's
        f0 = track_f0(audio.read(prepared / "tiny-audio" / f"{name}.wav"))
        again = track_f0(waves[name])[: len(f0)]
        both = (f0 > 0) & (again > 0)
        assert both.sum() > 0.8 * (f0 > 0).sum()
        # ana's statistics in the inverter are invented: mean 100 Hz, deviation 0.2
        moved = np.log(again[both] / 100) / 0.2
        own = F0Statistics.of(
            [track_f0(audio.read(prepared / "tiny-audio" / f"u{i}.wav")) for i in (0, 3, 6)]
        )
        assert np.median(np.abs(moved - own.normalised(f0)[both])) < 0.15


def test_voice_conversion_reaches_the_voices_pitch(prepared: Path, tmp_path: Path) -> None:
    """carl speaks at 220 Hz, béa at 160."""
    speaking = Speaking("béa", pitch_of=prepared / "tiny", manner=Manner(pitch="exact"))
    wave = spoken(prepared, tmp_path / "w", speaking)["u2"]
    assert np.exp(pitch_of(wave).log_mean) == pytest.approx(160, rel=0.06)


def test_voice_conversion_through_f0_units(prepared: Path, tmp_path: Path) -> None:
    waves = spoken(prepared, tmp_path / "w", Speaking("béa", pitch_of=prepared / "tiny"))
    model = NeuralInverter.load(prepared / "flat")
    recorded = {
        name: track_f0(audio.read(prepared / "tiny-audio" / f"{name}.wav"))
        for name in ("u2", "u5", "u8")  # carl's
    }
    carl, bea = F0Statistics.of(recorded.values()), model.voice("béa")
    steps = read_units(prepared / "units.parquet").steps("u2")
    places_ms = 10.0 * np.arange(2 * len(steps))
    f0 = moved(recorded["u2"], 5.0, carl, bea, model.f0_quantizer, places_ms)
    np.testing.assert_allclose(waves["u2"], model.synthesize(steps, bea, f0), atol=1e-4)


def test_pitch_conversion_of_recordings(prepared: Path, tmp_path: Path) -> None:
    corpus = prepared / "tiny"
    flat = Speaking("ana", pitch_of=corpus, manner=Manner(flatten=True, semitones=7, pitch="exact"))
    f0 = track_f0(spoken(prepared, tmp_path / "w", flat)["u0"])
    assert np.median(f0[f0 > 0]) == pytest.approx(100 * 2 ** (7 / 12), rel=0.01)
    assert 0 < (f0 > 0).mean() < 1  # pauses stay


def test_faster_with_the_recordings_pitch(prepared: Path, tmp_path: Path) -> None:
    """The contour follows its units to where they are now."""
    corpus = prepared / "tiny"
    slow, fast = (
        spoken(
            prepared,
            tmp_path / f"{rate}",
            Speaking("ana", pitch_of=corpus, manner=Manner(rate=rate, pitch="exact")),
        )["u0"]
        for rate in (1.0, 0.5)
    )
    assert len(fast) == pytest.approx(2 * len(slow), abs=320)
    before, after = track_f0(slow), track_f0(fast)[::2]
    n = min(len(before), len(after))
    both = (before[:n] > 0) & (after[:n] > 0)
    assert both.sum() > 0.7 * (before > 0).sum()
    assert np.median(np.abs(np.log(after[:n][both] / before[:n][both]))) < 0.03


def test_whispered_recordings_have_no_pitch_to_take(
    prepared: Path, tmp_path: Path, make_corpus: Callable[..., Corpus]
) -> None:
    whispered = make_corpus(9, speakers=VOICES, seconds=0.8, name="whispered")
    rng = np.random.default_rng(0)
    for u in whispered.utterances:
        noise = 0.1 * rng.standard_normal(round(u.duration * 16_000))
        soundfile.write(whispered.audio_path(u), noise, 16_000)
    waves = spoken(prepared, tmp_path / "w", Speaking("ana", pitch_of=whispered.folder))
    assert (track_f0(waves["u0"]) > 0).mean() < 0.2
    assert waves["u0"].std() > 1e-3


def test_recordings_that_are_not_those_of_the_units(
    prepared: Path, tmp_path: Path, make_corpus: Callable[..., Corpus]
) -> None:
    fewer = make_corpus(7, speakers=VOICES, seconds=0.8, name="fewer")
    with pytest.raises(InputError, match=r"2 of 9 ids of the unit file are missing.*u7, u8"):
        spoken(prepared, tmp_path / "w", Speaking("ana", pitch_of=fewer.folder))
    longer = make_corpus(9, speakers=VOICES, seconds=1.2, name="longer")
    with pytest.raises(InputError, match="units of another length than their recordings"):
        spoken(prepared, tmp_path / "w", Speaking("ana", pitch_of=longer.folder))
    assert not (tmp_path / "w").exists()


def test_pitch_of_unknown_speakers_is_that_of_their_recording(
    prepared: Path, tmp_path: Path
) -> None:
    known = read_corpus(prepared / "tiny")
    nobody = tuple(replace(u, speaker=None) for u in known.utterances)
    write_corpus(tmp_path / "c", replace(known, utterances=nobody))
    speaking = Speaking("béa", pitch_of=tmp_path / "c", manner=Manner(pitch="exact"))
    waves = spoken(prepared, tmp_path / "w", speaking)
    for name in ("u0", "u1", "u2"):  # at 100, 160 and 220 Hz
        assert np.exp(pitch_of(waves[name]).log_mean) == pytest.approx(160, rel=0.06)


@pytest.mark.parametrize(
    ("inverter", "speaking", "said"),
    [
        ("means", Speaking(manner=Manner(semitones=1)), "at the pitch that its units imply"),
        ("means", Speaking(manner=Manner(flatten=True)), "at the pitch that its units imply"),
        ("means", Speaking(manner=Manner(pitch="exact")), "at the pitch that its units imply"),
        ("means", Speaking(pitch_of=Path("tiny")), "at the pitch that its units imply"),
        (
            "means",
            Speaking(manner=Manner(durations="predicted")),
            "can't predict how long units",
        ),
        ("flat", Speaking("ana", phase="pghi"), "there is no phase to find"),
        ("flat", Speaking("ana", manner=Manner(pitch="exact")), "no pitch to copy exactly"),
    ],
)
def test_what_an_inverter_can_not_do(
    prepared: Path, tmp_path: Path, inverter: str, speaking: Speaking, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        spoken(prepared, tmp_path / "w", speaking, inverter)
    assert not (tmp_path / "w").exists()


def test_spectral_inverters_have_a_rate_too(prepared: Path, tmp_path: Path) -> None:
    units = read_units(prepared / "units.parquet")
    faster = Speaking(manner=Manner(rate=2), phase="pghi")
    for name, wave in spoken(prepared, tmp_path / "a", faster, "means").items():
        n, runs = len(units.steps(name)), len(units.segments(name)[0])
        assert len(wave) == pytest.approx(320 * max(n / 2, runs), abs=160)
    predicted = Speaking(manner=Manner(durations="predicted"), phase="pghi")
    prosody = load_inverter(prepared / "timed").prosody
    assert prosody is not None
    for name, wave in spoken(prepared, tmp_path / "b", predicted, "timed").items():
        assert len(wave) == 320 * prosody.durations(units.segments(name)[0], 0).sum()


def test_a_seed_decides_the_noise(prepared: Path, tmp_path: Path) -> None:
    one, same, other = (
        spoken(prepared, tmp_path / str(i), Speaking("ana", seed=seed))["u0"]
        for i, seed in enumerate((0, 0, 1))
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_damaged_recording_leaves_the_former_wavs(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared / "tiny-audio", tmp_path / "tiny-audio")
    corpus = replace(read_corpus(prepared / "tiny"), audio_root="../tiny-audio")
    write_corpus(tmp_path / "c", corpus)
    before = spoken(prepared, tmp_path / "w", Speaking("ana"))
    (tmp_path / "tiny-audio" / "u4.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"u4\.wav"):
        spoken(prepared, tmp_path / "w", Speaking("ana", pitch_of=tmp_path / "c"))
    for name, wave in before.items():
        np.testing.assert_array_equal(audio.read(tmp_path / "w" / f"{name}.wav"), wave)
