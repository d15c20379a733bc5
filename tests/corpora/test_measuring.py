"""Recordings measured block by block: what comes out is what the whole array gives."""

import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import voice
from zerochain import audio
from zerochain.corpora import measuring
from zerochain.corpora.measuring import Job, Measured, Meter, full_scale_noise, measure_file
from zerochain.corpora.sounds import Bad
from zerochain.errors import InputError
from zerochain.formats.corpus import Utterance

NAN = float("nan")
HEADER = audio.AudioInfo(16_000, 1, 16_000)


def whole_noise(wave: audio.Waveform) -> tuple[float, float]:
    """The definition: windows of 400 samples as loud and as random as out-of-step bytes."""
    n = len(wave) // 400
    windows = wave[: n * 400].reshape(n, 400)
    power = np.mean(windows**2, axis=1)
    alike = np.mean(windows[:, 1:] * windows[:, :-1], axis=1)
    noisy = (power > 0.4**2) & (np.abs(alike) < 0.3 * power)
    return float(noisy.sum() * 400 / 16_000), float(noisy.argmax() * 400 / 16_000) if n else 0.0


def waves() -> Iterable[audio.Waveform]:
    rng = np.random.default_rng(0)
    speech = voice(rng, 1.0, 120)
    noise = rng.uniform(-1, 1, 8000).astype(np.float32)
    yield speech
    yield np.concatenate([speech[:4321], noise, speech])
    yield np.concatenate([noise, speech, noise])
    yield np.clip(20 * speech, -1, 1)
    yield np.zeros(5000, np.float32)
    yield speech[:399]
    yield noise[:401]


@pytest.mark.parametrize("size", [1, 399, 400, 401, 1000, 100_000])
def test_blocks_change_nothing(size: int) -> None:
    for wave in (one[: 1000 * size] for one in waves()):
        whole, meter = Meter(), Meter()
        whole.add(wave)
        for start in range(0, len(wave), size):
            meter.add(wave[start : start + size])
        assert list(meter.oddities(HEADER, 1.0)) == list(whole.oddities(HEADER, 1.0))
        assert meter.duration == len(wave) / 16_000
        assert meter.peak == np.abs(wave).max()
        assert full_scale_noise(wave) == pytest.approx(whole_noise(wave), abs=1e-9)


@pytest.mark.parametrize(
    ("wave", "what"),
    [
        (np.full(16_000, 0.5), "silent, at a constant 0.5 of full scale"),
        (np.full(16_000, 1e-4), "silent (never above -60 dB)"),
        (2.0**15 * voice(np.random.default_rng(0), 1.0, 120), "times as loud as full scale"),
    ],
)
def test_levels_that_are_no_speech(wave: audio.Waveform, what: str) -> None:
    meter = Meter()
    meter.add(wave.astype(np.float32))
    (found,) = meter.oddities(HEADER, 1.0)
    assert what in found


def file_of(folder: Path, name: str, rate: int = 16_000, seconds: float = 3.0) -> Path:
    rng = np.random.default_rng(0)
    sides = [voice(rng, seconds, pitch, rate) for pitch in (120, 210)]
    path = folder / name
    soundfile.write(path, np.stack(sides, 1), rate)
    return path


def cut(id: str, start: float | None, end: float | None, channel: int | None = 1) -> Utterance:
    return Utterance(id, "x", NAN, start=start, end=end, channel=channel)


@pytest.mark.parametrize("name", ["x.wav", "x.mp3", "x.ogg"])
def test_one_pass_gives_what_each_alone_does(tmp_path: Path, name: str) -> None:
    path = file_of(tmp_path, name, 44_100)
    utterances = (
        cut("late", 2.0, 2.5),
        cut("beyond", 2.5, 9.0),
        cut("early", 0.1, 0.7),
        cut("overlapping", 0.5, 2.2, 2),
        cut("all", None, None, None),
        cut("no channel", 0.0, 1.0, 3),
    )
    copies = tmp_path / "copies"
    files = {u.id: copies / f"{u.id}.flac" for u in utterances}
    found = measure_file(Job(path, utterances, files))
    assert set(found) == {u.id for u in utterances}
    for u in utterances:
        one = found[u.id]
        if u.id in {"beyond", "no channel"}:
            assert isinstance(one, Bad)
            assert one.id == u.id
            assert not (copies / f"{u.id}.flac").exists()
            continue
        assert isinstance(one, Measured)
        alone = audio.read(path, **u.part._asdict())
        assert one.duration == len(alone) / 16_000
        np.testing.assert_allclose(audio.read(copies / f"{u.id}.flac"), alone, atol=2 / 32768)


def test_long_copies_are_those_of_short_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Louder than full scale as well: a copy is turned down as a whole."""
    rng = np.random.default_rng(0)
    loud = np.concatenate([voice(rng, 2.0, 120), 3 * voice(rng, 1.0, 120)])
    soundfile.write(tmp_path / "loud.wav", loud, 16_000, subtype="FLOAT")
    job = Job(tmp_path / "loud.wav", (cut("u", None, None),), {"u": tmp_path / "short" / "u.flac"})
    measure_file(job)
    monkeypatch.setattr(measuring, "_LONG_S", 0.5)
    measure_file(Job(job.path, job.utterances, {"u": tmp_path / "long" / "u.flac"}))
    short, long = (audio.read(tmp_path / place / "u.flac") for place in ("short", "long"))
    np.testing.assert_array_equal(short, long)
    np.testing.assert_allclose(short, loud / np.abs(loud).max(), atol=2 / 32768)


@pytest.mark.parametrize("copies", [False, True])
def test_memory_does_not_grow_with_the_recording(
    tmp_path: Path, copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_LONG_S", 5.0)
    path = tmp_path / "x.wav"
    minute = np.random.default_rng(0).normal(0, 3000, (60 * 48_000, 2)).astype("<i2")
    with soundfile.SoundFile(path, "w", 48_000, 2, "PCM_16") as file:
        file.write(minute)
    del minute
    files = {"u": tmp_path / "copies" / "u.flac"} if copies else None
    job = Job(path, (Utterance("u", "x.wav", NAN),), files)
    measure_file(job)  # what is imported and cached on the way
    tracemalloc.start()
    found = measure_file(job)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found["u"], Measured)
    assert found["u"].duration == pytest.approx(60.0)
    assert peak < 8e6  # its samples are 11.5 MB, as 32-bit numbers 23


class UnheardOfError(Exception):
    """What no decoder is known to raise."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory"),
        (PermissionError(13, "Permission denied"), "can't be opened (Permission denied)"),
        (soundfile.LibsndfileError(2), "can't be decoded"),
        (OverflowError("too large"), "OverflowError: too large"),
        (UnheardOfError("so"), "UnheardOfError: so"),
        (InputError("is odd"), "is odd"),
    ],
)
def test_whatever_goes_wrong_is_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    path = file_of(tmp_path, "x.wav")
    blocks = audio.blocks

    def failing(*arguments: object, **options: object) -> Iterable[audio.Block]:
        yield from [one for one in blocks(*arguments, **options) if one.part == 0]
        raise error

    monkeypatch.setattr(audio, "blocks", failing)
    found = measure_file(Job(path, (cut("a", 0, 1), cut("b", 1, 2), cut("c", 2, 3))))
    assert isinstance(found["a"], Measured)
    for name in "bc":
        bad = found[name]
        assert isinstance(bad, Bad)
        assert (bad.file, bad.id) == ("x", name)
        assert said in bad.reason


def test_a_copy_that_cannot_be_written_is_not_the_recordings_fault(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x.wav")
    (tmp_path / "copies").touch()
    with pytest.raises(OSError, match="copies"):
        measure_file(Job(path, (cut("a", 0, 1),), {"a": tmp_path / "copies" / "a.flac"}))
