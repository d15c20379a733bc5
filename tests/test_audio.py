from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from zerochain import audio
from zerochain.errors import InputError


def tone(rate: int, seconds: float = 1.0, frequency: float = 440.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, n).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "WAV", "aiff"])
def test_reads_what_others_wrote(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ŋ a.{suffix}"
    soundfile.write(path, tone(16_000), 16_000)
    wave = audio.read(path)
    assert wave.dtype == np.float32
    header = audio.info(path)
    assert (header.sample_rate, header.n_channels) == (16_000, 1)
    assert header.duration_s == pytest.approx(1, abs=0.1)
    middle = wave[4000:12_000] * np.hanning(8000)
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 440 * 8000 // 16_000
    assert np.abs(wave).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate), rate, subtype="FLOAT")
    wave = audio.read(tmp_path / "a.wav")
    assert len(wave) == 16_000
    assert np.allclose(wave[800:-800], tone(16_000)[800:-800], atol=1e-3)
    assert len(audio.read(tmp_path / "a.wav", sample_rate=rate)) == rate


def test_what_is_above_the_new_nyquist_is_gone(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(44_100, frequency=12_000), 44_100)
    assert np.abs(audio.read(tmp_path / "a.wav")[800:-800]).max() < 1e-3


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = noise(1000, 1), noise(1000, 2)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 16_000, subtype="FLOAT")
    assert np.allclose(audio.read(tmp_path / "a.wav"), (left + right) / 2, atol=1e-6)
    assert audio.info(tmp_path / "a.wav").n_channels == 2


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_segment_is_that_part_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(16_000), 16_000)
    whole = audio.read(path)
    assert np.array_equal(audio.read(path, start=0.25, end=0.5), whole[4000:8000])
    assert np.array_equal(audio.read(path, end=0.5), whole[:8000])
    assert np.array_equal(audio.read(path, start=0.5), whole[8000:])
    assert np.array_equal(audio.read(path, start=0.5, end=1.005), whole[8000:])  # rounded times


@pytest.mark.parametrize(
    ("start", "end"), [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.0, 1.1), (2, 3)]
)
def test_a_segment_outside_the_file_is_refused(tmp_path: Path, start: float, end: float) -> None:
    soundfile.write(tmp_path / "a.wav", noise(16_000), 16_000)
    with pytest.raises(InputError, match=r"asked for, (but it lasts 1\.000 s|which)") as caught:
        audio.read(tmp_path / "a.wav", start=start, end=end)
    assert caught.value.path == tmp_path / "a.wav"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused(tmp_path: Path, value: float) -> None:
    wave = noise(1000)
    wave[10:12] = value
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match="NaN or infinity in 2 samples"):
        audio.read(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        (b"", r"the file is empty \(0 bytes\)"),
        (b"hello, this is text", "not a readable sound file"),
        (b"RIFF\x24\x00\x00\x00WAVE", "not a readable sound file"),
        (b"OggS", "not a readable sound file"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path: Path, content: bytes | None, found: str) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    for reader in (audio.info, audio.read):
        with pytest.raises(InputError, match=found) as caught:
            reader(path)
        assert caught.value.path == path
        assert caught.value.remedy


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        audio.read(tmp_path)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_no_samples_are_refused(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", np.zeros(0), 16_000)
    with pytest.raises(InputError, match=r"holds no samples|is empty"):
        audio.read(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99, 0.9999])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(60_000), 16_000)
    assert len(audio.read(path)) == 60_000
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(
        InputError, match=r"promises|can't be decoded|not a readable|no samp"
    ) as caught:
        audio.read(path)
    assert caught.value.path == path


def test_a_truncated_mp3_is_refused_where_much_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(60_000), 16_000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="promises"):
        audio.read(path)


def test_a_wav_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), 16_000)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(audio.read(path)) == 1000


def test_a_flac_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(10_000), 16_000)
    whole = audio.read(path)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # "unknown" number of samples
    path.write_bytes(content)
    assert audio.info(path).n_samples == 10_000
    assert np.array_equal(audio.read(path), whole)
    assert np.array_equal(audio.read(path, start=0.5, end=0.6), whole[8000:9600])


def test_silence_and_a_single_sample_are_sound(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.zeros(16_000, np.float32))
    assert not audio.read(tmp_path / "a.wav").any()
    audio.write(tmp_path / "b.wav", np.array([0.5], np.float32))
    assert audio.read(tmp_path / "b.wav") == pytest.approx(0.5, abs=1e-4)


def test_too_short_to_resample_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1), 48_000)
    with pytest.raises(InputError, match="no sample remains at 16000 Hz"):
        audio.read(tmp_path / "a.wav")


waves = npst.arrays(np.float32, st.integers(1, 500), elements=st.floats(-1, 1, width=32))


@given(wave=waves, suffix=st.sampled_from(["wav", "flac"]))
def test_writes_and_reads_back(
    tmp_path_factory: pytest.TempPathFactory, wave: np.ndarray, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("a") / f"a.{suffix}"
    audio.write(path, wave)
    assert np.abs(audio.read(path) - wave).max() <= 2 / 32_767


def test_ogg_keeps_length_and_sound(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.ogg", tone(16_000))
    wave = audio.read(tmp_path / "a.ogg")
    assert len(wave) == 16_000
    assert np.abs(wave - tone(16_000)).max() < 0.05


def test_minutes_of_ogg_do_not_crash(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.ogg", np.tile(noise(16_000), 240))
    assert audio.info(tmp_path / "a.ogg").duration_s == pytest.approx(240)


def test_louder_than_full_scale_is_turned_down_as_a_whole(tmp_path: Path) -> None:
    wave = 6 * tone(16_000)
    audio.write(tmp_path / "a.wav", wave)
    assert np.allclose(audio.read(tmp_path / "a.wav"), wave / 3, atol=1e-4)


@pytest.mark.parametrize("gain", [1, 6])
@pytest.mark.parametrize("lengths", [[1], [100_000], [70_000, 1, 65_536, 9]])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_chunks_make_the_same_file_as_the_whole(
    tmp_path: Path, suffix: str, lengths: list[int], gain: float
) -> None:
    whole, parts = tmp_path / f"whole.{suffix}", tmp_path / f"chunks.{suffix}"
    chunks = [gain * noise(n, seed) for seed, n in enumerate(lengths)]
    audio.write(whole, np.concatenate(chunks))
    audio.write_chunks(parts, iter(chunks))
    assert parts.read_bytes() == whole.read_bytes()


def test_chunks_beyond_memory_wait_in_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "_IN_MEMORY", 1000)
    audio.write_chunks(tmp_path / "new" / "a.wav", (noise(500, i) for i in range(5)))
    assert len(audio.read(tmp_path / "new" / "a.wav")) == 2500
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        ([], "no samples"),
        ([noise(10), np.array([np.nan], np.float32)], "can't be written"),
        ([noise(10), np.zeros((2, 2), np.float32)], "can't be written"),
    ],
)
def test_bad_chunks_leave_no_file(tmp_path: Path, chunks: list[np.ndarray], found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        audio.write_chunks(tmp_path / "a.wav", chunks)
    assert caught.value.path == tmp_path / "a.wav"
    with pytest.raises(InputError, match="sound is not written as"):
        audio.write_chunks(tmp_path / "a.mp3", [noise(10)])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_stream_leaves_what_was_there(tmp_path: Path) -> None:
    def breaking() -> Iterator[np.ndarray]:
        yield noise(10)
        raise KeyboardInterrupt

    audio.write(tmp_path / "a.wav", noise(3))
    before = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        audio.write_chunks(tmp_path / "a.wav", breaking())
    assert (tmp_path / "a.wav").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "wave", [np.zeros(0), np.zeros((10, 2)), np.array([0.1, np.nan]), np.array([np.inf])]
)
def test_refuses_to_write(tmp_path: Path, wave: np.ndarray) -> None:
    with pytest.raises(InputError, match="can't be written") as caught:
        audio.write(tmp_path / "a.wav", wave.astype(np.float32))
    assert caught.value.path == tmp_path / "a.wav"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.mp3", "a", "a.txt"])
def test_refuses_another_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="sound is not written as"):
        audio.write(tmp_path / name, noise(10))


def test_upper_case_suffix(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.OGG", noise(1000))
    assert soundfile.info(tmp_path / "a.OGG").subtype == "VORBIS"


def test_real_recordings(real_corpora: object) -> None:
    folder = real_corpora("mboshi")  # type: ignore[operator]
    path = next((folder / "flac").rglob("*.flac"))
    wave = audio.read(path)
    assert len(wave) == audio.info(path).n_samples
    assert 0.001 < np.sqrt((wave**2).mean()) < 0.5
