"""A process of its own that speaks through espeak-ng, so that zerochain never loads it (GPL-3).

Run as `python -I espeak_server.py LIBRARY` in the folder that holds `espeak-ng-data`. It reads one
request per line (JSON: text, voice, rate, pitch, range) and answers each with a line of JSON
(sample_rate, n_bytes, events, or error) followed by n_bytes of 16-bit samples. Only the standard
library is imported, and every utterance is spoken by a fork: espeak-ng keeps state from one
utterance to the next, and initialising it again in one process hangs.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_SYNCHRONOUS = 2
_OPTIONS = 0x0001 | 0x0002 | 0x8000  # phoneme events, named in IPA; never exit()
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARACTER_POSITION, _UTF8 = 1, 1
_LIST_TERMINATED, _PHONEME = 0, 7
_PATIENCE_S = 60


class _Value(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("pointer", ctypes.c_char_p), ("name", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Value),
    )


def speak(library: str, request: dict[str, Any]) -> tuple[int, bytes, list[tuple[int, str]]]:
    """Sample rate in Hz, 16-bit samples, and (first sample, name) of each phone; "" is a pause."""
    espeak = ctypes.CDLL(library)
    sample_rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, b".", _OPTIONS)
    if sample_rate <= 0:
        raise OSError("espeak-ng finds no espeak-ng-data")
    # Initialising seeds the noise of breathy voices with the time of day.
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(1))
    blocks: list[bytes] = []
    events: list[tuple[int, str]] = []

    def collect(samples: Any, n_samples: int, event: Any) -> int:
        if samples and n_samples:
            blocks.append(ctypes.string_at(samples, 2 * n_samples))
        i = 0
        while event[i].type != _LIST_TERMINATED:
            if event[i].type == _PHONEME:
                events.append((event[i].sample, event[i].id.name.decode()))
            i += 1
        return 0

    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
    )
    callback = kind(collect)
    espeak.espeak_SetSynthCallback(callback)
    if espeak.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        raise OSError(f"espeak-ng has no voice {request['voice']!r}")
    for parameter, name in ((_RATE, "rate"), (_PITCH, "pitch"), (_RANGE, "range")):
        espeak.espeak_SetParameter(parameter, request[name], 0)
    text = request["text"].encode() + b"\0"
    espeak.espeak_Synth(text, len(text), 0, _CHARACTER_POSITION, 0, _UTF8, None, None)
    espeak.espeak_Synchronize()
    return sample_rate, b"".join(blocks), events


def answer(library: str, request: dict[str, Any]) -> bytes:
    """The whole answer to a request, ready to send."""
    try:
        sample_rate, samples, events = speak(library, request)
    except (OSError, AttributeError, UnicodeDecodeError) as error:
        return _line({"error": str(error)})
    return _line({"sample_rate": sample_rate, "n_bytes": len(samples), "events": events}) + samples


def answer_in_fork(library: str, request: dict[str, Any]) -> bytes:
    """As `answer`, from a forked process, so that every utterance finds espeak-ng fresh."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_PATIENCE_S)
        with os.fdopen(writer, "wb") as stream:
            stream.write(answer(library, request))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        reply = stream.read()
    _, status = os.waitpid(child, 0)
    return reply if status == 0 else _line({"error": f"espeak-ng crashed or hung ({status})"})


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def serve(library: str) -> None:
    """Answer requests from the standard input until it closes."""
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(answer_in_fork(library, json.loads(line)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve(str(Path(sys.argv[1])))
