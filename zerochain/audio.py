"""Read, write and resample sound files: the only place that touches them."""

from __future__ import annotations

import io
import os
import wave as wave_files
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file, explained

SAMPLE_RATE = 16_000
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"})
_UNKNOWN = 1 << 60  # libsndfile gives 2^63 - 1 samples for a FLAC of unknown length
_BLOCK = 1 << 16
_IN_MEMORY = 1 << 24
_WRITTEN = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
Waveform = NDArray[np.float32]
"""Mono samples (n,) between -1 and 1."""


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file's header says."""

    sample_rate: int
    n_channels: int
    n_samples: int

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate


class Part(NamedTuple):
    """A part of a recording; by default, all of it."""

    start: float | None = None
    """Seconds; None is the beginning."""
    end: float | None = None
    """Seconds; None is the end."""
    channel: int | None = None
    """Counted from 1; None is the mean of all channels."""


def info(path: Path) -> AudioInfo:
    """A sound file's header.

    Raises:
        InputError: missing, empty, or not a sound file that libsndfile reads.
    """
    if not os.path.isfile(path):
        raise InputError("no such file", path=path, remedy="check the path")
    if path.stat().st_size == 0:
        raise _unreadable(path, "the file is empty (0 bytes)", "copying it failed")
    try:
        header = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _unreadable(
            path, f"not a readable sound file ({_reason(error)})", "another format, or damaged"
        ) from error
    if header.frames <= 0 or header.samplerate <= 0:
        raise _unreadable(path, "the file holds no samples", "the recording was stopped at once")
    if header.frames > _UNKNOWN:
        raise _unreadable(
            path,
            "the header doesn't say how long it is",
            "it was written to a pipe; 'ffmpeg -i OLD.flac NEW.flac' writes the length",
        )
    return AudioInfo(header.samplerate, header.channels, header.frames)


def read(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    channel: int | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> Waveform:
    """A sound file, or the part from `start` to `end` seconds, mono and resampled (soxr, HQ).

    Args:
        channel: counted from 1; None is the mean of all channels.

    Raises:
        InputError: unreadable, truncated, empty, NaN in it, `start` … `end` outside it, or a
            channel that it lacks.
    """
    header = info(path)
    first = 0 if start is None else round(start * header.sample_rate)
    last = header.n_samples if end is None else round(end * header.sample_rate)
    if not 0 <= first < last <= header.n_samples + header.sample_rate // 100:
        raise _unreadable(
            path,
            f"{start} … {end} s asked for, but it lasts {header.duration_s:.3f} s",
            "the table of segments belongs to another recording",
        )
    last = min(last, header.n_samples)
    _check_size(path)
    try:
        samples, _ = soundfile.read(
            str(path), start=first, stop=last, dtype="float32", always_2d=True
        )
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _unreadable(path, f"can't be decoded ({_reason(error)})", "damaged") from error
    # MP3 has no exact length in the header and may end a little early.
    loose = path.suffix.lower() == ".mp3"
    slack = (last - first) * 0.01 + header.sample_rate * 0.1 if loose else 0
    if len(samples) < last - first - slack:
        raise _unreadable(
            path,
            f"the header promises {last - first} samples, {len(samples)} could be read",
            "the file was cut short while it was copied",
        )
    if channel is not None and not 1 <= channel <= samples.shape[1]:
        raise _unreadable(
            path,
            f"channel {channel} asked for, but it has {samples.shape[1]}",
            "the table of channels belongs to another recording",
        )
    if channel is None:
        mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    else:
        mono = np.ascontiguousarray(samples[:, channel - 1])
    if not np.isfinite(mono).all():
        raise _unreadable(
            path, f"{int((~np.isfinite(mono)).sum())} samples are NaN or infinite", "bad processing"
        )
    wave = resample(mono, header.sample_rate, sample_rate)
    if len(wave) == 0:
        raise _unreadable(path, f"no sample is left at {sample_rate} Hz", "too short a segment")
    return wave


def read_parts(
    path: Path, parts: Sequence[Part], *, sample_rate: int = SAMPLE_RATE
) -> Iterator[Waveform]:
    """Parts of a sound file in the order given, each as `read` gives it.

    Raises:
        InputError: as `read`.
    """
    for start, end, channel in parts:
        yield read(path, start=start, end=end, channel=channel, sample_rate=sample_rate)


def resample(wave: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Change the sample rate with soxr at high quality."""
    if from_rate == to_rate:
        return wave
    import soxr

    return np.asarray(soxr.resample(wave, from_rate, to_rate, quality="HQ"), np.float32)


def write(path: Path, wave: Waveform, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono 16-bit audio atomically; the suffix (.wav, .flac, .ogg) chooses the format.

    Raises:
        InputError: as `encoded`, another suffix, or the disk is full.
    """
    data = encoded(path, wave, sample_rate)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_chunks(path: Path, chunks: Iterable[Waveform], sample_rate: int = SAMPLE_RATE) -> None:
    """Write a WAV atomically from samples that come chunk by chunk, however long it becomes.

    The same file as `write` makes of all of them. Only its end tells how loud the sound is, so
    that samples wait: the first minutes in memory, the rest in a nameless file beside `path`.

    Raises:
        InputError: as `write`, and any suffix but .wav.
    """
    if path.suffix.lower() != ".wav":
        raise InputError("only .wav is written chunk by chunk", path=path, remedy="write .wav")
    peak, n = 1.0, 0
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with SpooledTemporaryFile(_IN_MEMORY, dir=str(path.parent)) as waiting:
            for chunk in chunks:
                _check_samples(path, chunk)
                peak, n = max(peak, float(np.abs(chunk).max())), n + len(chunk)
                waiting.write(chunk.astype(np.float32).tobytes())
            if n == 0:
                raise InputError("there are no samples to write", path=path)
            waiting.seek(0)
            with atomic_file(path) as temporary, wave_files.open(str(temporary), "wb") as file:
                file.setparams((1, 2, sample_rate, n, "NONE", ""))
                while block := waiting.read(4 * _BLOCK):
                    samples = np.frombuffer(block, np.float32) / np.float32(peak)
                    file.writeframes(_container(samples, sample_rate, "RAW", "PCM_16"))


def encoded(path: Path, wave: Waveform, sample_rate: int = SAMPLE_RATE) -> bytes:
    """The bytes of the sound file that `path`'s suffix (.wav, .flac, .ogg) asks for.

    Louder than full scale is turned down as a whole rather than clipped.

    Raises:
        InputError: no samples, NaN, or another suffix.
    """
    if path.suffix.lower() not in _WRITTEN:
        raise InputError(
            f"sound is not written as {path.suffix!r}",
            path=path,
            remedy="write .wav, .flac or .ogg",
        )
    _check_samples(path, wave)
    peak = float(np.abs(wave).max())
    data = wave / peak if peak > 1 else wave
    return _container(data, sample_rate, *_WRITTEN[path.suffix.lower()])


def _container(data: Waveform, sample_rate: int, kind: str, subtype: str) -> bytes:
    buffer = io.BytesIO()  # a full disk then fails in Python, which says so, not in libsndfile
    with soundfile.SoundFile(buffer, "w", sample_rate, 1, subtype, format=kind) as file:
        for start in range(0, len(data), _BLOCK):  # libsndfile 1.2 crashes on minutes of Vorbis
            file.write(data[start : start + _BLOCK])
    return buffer.getvalue()


def _check_samples(path: Path, wave: Waveform) -> None:
    if wave.ndim != 1 or len(wave) == 0 or not np.isfinite(wave).all():
        raise InputError(
            f"samples of shape {wave.shape} with NaN or without a sample can't be written",
            path=path,
            cause="the model that made them diverged",
            remedy="train it again",
        )


def _check_size(path: Path) -> None:
    """libsndfile quietly shortens a truncated WAV or Ogg; their headers know the true size."""
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] == b"OggS":
            stream.seek(max(0, path.stat().st_size - _BLOCK))  # a page has at most 65,307 bytes
            _check_last_page(path, stream.read())
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    promised = int.from_bytes(head[4:8], "little") + 8
    streamed = {0xFFFFFFFF + 8, 8, 0x7FFFFFFF + 8}  # written to a pipe: the size was never known
    if promised > path.stat().st_size + 1 and promised not in streamed:
        raise _unreadable(
            path,
            f"the header promises {promised} bytes, the file has {path.stat().st_size}",
            "the file was cut short while it was copied",
        )


def _check_last_page(path: Path, tail: bytes) -> None:
    page = tail[tail.rfind(b"OggS") :]
    n_segments = page[26] if len(page) > 26 else 0
    promised = 27 + n_segments + sum(page[27 : 27 + n_segments])
    if len(page) < promised:
        raise _unreadable(
            path,
            f"its last Ogg page promises {promised} bytes and has {len(page)}",
            "the file was cut short while it was copied",
        )


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".")


def _unreadable(path: Path, found: str, cause: str) -> InputError:
    return InputError(
        found, path=path, cause=cause, remedy="mend or remove it (imports take --skip-bad)"
    )
