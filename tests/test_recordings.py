"""One recording through a unit model and an inverter."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands import leftovers, run
from conftest import voice
from inverters import FEW, three_voices, untrained_neural
from zerochain import audio
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import discover, encode
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.f0 import F0Statistics, track_f0
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance, write_corpus
from zerochain.formats.units import read_units
from zerochain.inversion.speaking import Manner, Speaking, synthesize
from zerochain.inversion.stage import train_inverter
from zerochain.recordings import convert, respeak


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`three_voices`; flat/ speaks as ana and béa, its excitation unfiltered; means/ as ana."""
    root = three_voices(tmp_path_factory.mktemp("recordings"))
    untrained_neural(flat=True, unit_model=bundle_id(root / "km")).save(root / "flat")
    train = {"voices": ["ana"], "method": "unit-means", "prosody": FEW}
    train_inverter(root / "units.parquet", root / "tiny", root / "means", **train)  # type: ignore[arg-type]
    return root


def someone_else(path: Path, seconds: float = 1.3, rate: int = 16_000, channels: int = 1) -> Path:
    """Somebody at 130 Hz whom no model ever met."""
    wave = voice(np.random.default_rng(7), seconds, 130, rate)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
    return path


def test_it_speaks_what_is_said_at_the_pitch_of_the_voice(prepared: Path, tmp_path: Path) -> None:
    recording, out = someone_else(tmp_path / "in.wav"), tmp_path / "new" / "out.wav"
    speaking = Speaking("béa", manner=Manner(pitch="exact"))
    made = convert(prepared / "flat", prepared / "km", recording, out, speaking)
    wave = audio.read(out)
    assert len(wave) == 66 * 320 == made.duration_s * 16_000
    assert made.real_time_factor == made.seconds / made.duration_s > 0
    before, after = track_f0(audio.read(recording)), track_f0(wave)
    assert np.exp(F0Statistics.of([after]).log_mean) == pytest.approx(160, rel=0.05)
    both = (before > 0) & (after[: len(before)] > 0)
    assert both.sum() > 0.8 * (before > 0).sum()
    moves = [np.log(f0[: len(before)][both]) for f0 in (before, after)]
    assert np.corrcoef(*moves)[0, 1] > 0.9
    assert not leftovers(tmp_path)


def test_it_is_encode_and_synthesize(prepared: Path, tmp_path: Path) -> None:
    """A spectral inverter makes the same of a corpus of that one recording."""
    recording = someone_else(tmp_path / "in.wav")
    convert(prepared / "means", prepared / "km", recording, tmp_path / "out.wav")
    alone = Utterance("u", "in.wav", audio.info(recording).duration_s, "x")
    write_corpus(tmp_path / "c", Corpus("c", (alone,), audio_root=str(tmp_path)))
    encode(prepared / "km", tmp_path / "c", tmp_path / "u.parquet")
    synthesize(prepared / "means", tmp_path / "u.parquet", tmp_path / "w")
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "w" / "u.wav").read_bytes()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("in.wav", {"seconds": 0.02}),
        ("in.wav", {"seconds": 1 / 16_000}),
        ("stereo 8 kHz.flac", {"rate": 8000, "channels": 2}),
        ("ŋá мир.ogg", {"rate": 48_000}),
        ("-x.wav", {}),
    ],
)
def test_recordings_of_any_kind(
    prepared: Path,
    tmp_path: Path,
    name: str,
    options: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    someone_else(tmp_path / name, **options)
    monkeypatch.chdir(tmp_path)
    made = convert(prepared / "flat", prepared / "km", Path(name), Path("out.wav"), Speaking("ana"))
    recorded = len(audio.read(Path(name))) / 16_000
    assert made.duration_s == pytest.approx(recorded, abs=0.021)
    assert np.isfinite(audio.read(Path("out.wav"))).all()


def test_a_channel_of_a_call(prepared: Path, tmp_path: Path) -> None:
    models = prepared / "flat", prepared / "km"
    left = audio.read(someone_else(tmp_path / "left.wav"))
    right = np.random.default_rng(0).uniform(-0.3, 0.3, len(left))
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], axis=1), 16_000)
    made = [tmp_path / "made.wav", tmp_path / "expected.wav"]
    convert(*models, tmp_path / "call.wav", made[0], Speaking("ana"), channel="left")
    convert(*models, tmp_path / "left.wav", made[1], Speaking("ana"))
    assert np.array_equal(*map(audio.read, made))
    with pytest.warns(CorpusWarning, match=r"call\.wav: its channels differ"):
        convert(*models, tmp_path / "call.wav", made[0], Speaking("ana"))
    for channel, found in [("3", "channel 3 asked for, but it has 2"), ("each", "not a channel")]:
        with pytest.raises(InputError, match=found):
            convert(*models, tmp_path / "call.wav", made[0], Speaking("ana"), channel=channel)


def test_silence(prepared: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(16_000), 16_000)
    convert(
        prepared / "flat", prepared / "km", tmp_path / "in.wav", tmp_path / "o.wav", Speaking("ana")
    )
    assert not (track_f0(audio.read(tmp_path / "o.wav")) > 0).all()
    assert audio.info(tmp_path / "o.wav").duration_s == pytest.approx(1, abs=0.021)


def test_it_may_replace_its_own_recording(prepared: Path, tmp_path: Path) -> None:
    recording = someone_else(tmp_path / "in.wav")
    before = recording.read_bytes()
    convert(prepared / "flat", prepared / "km", recording, recording, Speaking("ana"))
    assert recording.read_bytes() != before
    assert audio.info(recording).n_samples == 66 * 320


def test_bad_input_leaves_what_was_there(prepared: Path, tmp_path: Path) -> None:
    recording, out = someone_else(tmp_path / "in.wav"), tmp_path / "out.wav"
    out.write_text("dear")
    flat, km = prepared / "flat", prepared / "km"
    untrained_neural().save(tmp_path / "other")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(recording.read_bytes()[:999])
    anas = Speaking("ana")
    with pytest.raises(ModelMismatchError, match=bundle_id(km)[:12]):
        convert(tmp_path / "other", km, recording, out, anas)
    for said, arguments in {
        "2 voices, and none was chosen": (flat, km, recording, out, None),
        "holds a kmeans, not a code2spec": (km, km, recording, out, anas),
        "not a unit model": (flat, flat, recording, out, anas),
        "no such file": (flat, km, tmp_path / "none.wav", out, anas),
        "broken.wav": (flat, km, broken, out, anas),
        "is not called .wav": (flat, km, recording, tmp_path / "out.mp3", anas),
        "at the pitch that its units imply": (
            prepared / "means",
            km,
            recording,
            out,
            Speaking(manner=Manner(semitones=3)),
        ),
        "out.wav/x.wav: could not be written": (flat, km, recording, out / "x.wav", anas),
    }.items():
        with pytest.raises(InputError, match=said):
            convert(*arguments)
    assert out.read_text() == "dear"
    assert not leftovers(tmp_path)


def test_units_in_many_voices_are_what_a_normaliser_learns_from(
    prepared: Path, tmp_path: Path
) -> None:
    """Each file is what the commands make of a voice, one after the other."""
    arguments = (prepared / "flat", prepared / "km", prepared / "units.parquet")
    run("translate", "normaliser", "prepare", *arguments, "--out", tmp_path / "spoken")
    given = read_units(arguments[2])
    made = {path.stem: read_units(path) for path in (tmp_path / "spoken").glob("*.parquet")}
    assert sorted(made) == ["ana", "béa"]
    for name, units in made.items():
        assert (units.ids, units.model_id) == (given.ids, given.model_id)
        assert set(units.speakers.values()) == {name}
    wavs = tmp_path / "wavs"
    synthesize(prepared / "flat", arguments[2], wavs, Speaking("béa"))
    run("import", "folder", wavs, "--speaker-from", "name:béa", "--out", tmp_path / "c")
    encode(prepared / "km", tmp_path / "c", tmp_path / "u.parquet")
    expected = read_units(tmp_path / "u.parquet")
    for name in given.ids:
        np.testing.assert_array_equal(made["béa"].steps(name), expected.steps(name))


@pytest.mark.parametrize(
    ("inverter", "model", "voices", "said"),
    [
        ("means", "km", (), "ana is the only voice"),
        ("flat", "km", ("ana", "zoë"), "zoë"),
        ("flat", "km", ("ana", "ana"), "ana"),
        ("flat", "other", (), "are of unit model"),
    ],
)
def test_voices_that_make_no_sense(
    prepared: Path, tmp_path: Path, inverter: str, model: str, voices: tuple[str, ...], said: str
) -> None:
    if model == "other":
        discover(KMeansUnits(2), prepared / "tiny", tmp_path / "other", features=SpectralOptions())
    bundle = tmp_path / "other" if model == "other" else prepared / model
    units, out = prepared / "units.parquet", tmp_path / "spoken"
    with pytest.raises(InputError, match=said):
        respeak(prepared / inverter, bundle, units, out, voices)
    assert not out.exists()
