"""Synthetic speech with exact phone boundaries, from espeak-ng in a process of its own.

espeak-ng is GPL-3, so it is never loaded into this process: `espeak_server.py` speaks for it.
Its phoneme events give the boundaries, moved to where hand-made alignments would have them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.formats.phones import Phone

PAUSE = "SIL"
_STRESS = str.maketrans("", "", "ˈˌ")
_SERVER = Path(__file__).with_name("espeak_server.py")
_SHORTEST_S = 1e-3
"""Anything shorter is an artefact between two phones of espeak-ng, not a phone."""
_SILENT = 3
"""In 16-bit steps: espeak-ng's silence is digital, up to its rounding."""


@dataclass(frozen=True)
class Voice:
    """An espeak-ng voice: language and variant ("en-us+f2"), words per minute, pitch, its range."""

    voice: str
    rate: int
    pitch: int
    range: int = 50


@dataclass(frozen=True)
class Speech:
    """A spoken text: mono samples (n,) between -1 and 1, and its phones in IPA without stress."""

    wave: Waveform
    sample_rate: int
    phones: list[Phone]


def speak(lines: Iterable[tuple[str, Voice]]) -> Iterator[Speech]:
    """Speak (text, voice) pairs; the same pair gives the same samples every time.

    Raises:
        InputError: espeak-ng isn't installed, this system can't fork, or it has no such voice.
    """
    library, data = _locate()
    # Run inside the data's folder, so that its path is ".": espeak-ng cuts paths at 160 bytes.
    with subprocess.Popen(
        [sys.executable, "-I", str(_SERVER), library],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=data.parent,
    ) as server:
        if server.stdin is None or server.stdout is None:
            raise AssertionError("both are pipes")
        for text, voice in lines:
            request = json.dumps({"text": text, **asdict(voice)}).encode() + b"\n"
            with contextlib.suppress(
                BrokenPipeError
            ):  # a dead server sends no answer, which is reported below
                server.stdin.write(request)
                server.stdin.flush()
            yield _receive(server.stdout, text)


def _locate() -> tuple[str, Path]:
    try:
        import espeakng_loader  # optional
    except ImportError as error:
        raise InputError(
            "the speech synthesiser espeak-ng is not installed",
            remedy="pip install 'zerochain[demo]' (its licence is GPL-3)",
        ) from error
    if not hasattr(os, "fork"):
        raise InputError(
            "the demonstration corpus needs a system that can fork",
            remedy="make it on Linux, macOS or WSL; the result can be copied anywhere",
        )
    return espeakng_loader.get_library_path(), Path(espeakng_loader.get_data_path())


def _receive(stream: IO[bytes], text: str) -> Speech:
    header: dict[str, Any] = json.loads(stream.readline() or b'{"error": "espeak-ng ended"}')
    if "error" in header:
        raise InputError(
            f"{text!r} could not be spoken: {header['error']}",
            remedy="install it again: pip install --force-reinstall espeakng-loader",
        )
    samples = np.frombuffer(stream.read(header["n_bytes"]), dtype="<i2")
    phones = phones_of(samples, header["events"], header["sample_rate"])
    return Speech(samples.astype(np.float32) / np.float32(32768), header["sample_rate"], phones)


def phones_of(
    samples: NDArray[np.int16], events: list[tuple[int, str]], sample_rate: int
) -> list[Phone]:
    """Phones from espeak-ng's events (first sample, IPA name), which mark where a burst begins.

    The silence before a burst, the closure of a stop, belongs to the phone by the convention of
    hand-made alignments, so the onset moves back over it. Adjacent pauses are joined.
    """
    onsets: list[int] = []
    names: list[str] = []
    for sample, raw in events:
        name = raw.translate(_STRESS) or PAUSE
        if names and name == names[-1] == PAUSE:
            continue
        first = onsets[-1] if onsets else 0
        pausing = PAUSE in (name, names[-1] if names else PAUSE)
        onsets.append(sample if pausing else sample - _silence_before(samples[first:sample]))
        names.append(name)
    ends = [*onsets[1:], len(samples)]
    return [
        Phone(onset / sample_rate, end / sample_rate, name)
        for onset, end, name in zip(onsets, ends, names, strict=True)
        if end - onset > _SHORTEST_S * sample_rate
    ]


def _silence_before(samples: NDArray[np.int16]) -> int:
    """How many samples at the end are silent; none where all are."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _SILENT)
    return len(samples) - 1 - int(loud[-1]) if len(loud) else 0
