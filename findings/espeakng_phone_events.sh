#!/usr/bin/env bash
# espeak-ng's phoneme events as an alignment of its speech, and the same text spoken again.
#
# Surprising:
# 1. The event of a stop marks its burst. The closure before it, of some 35 ms, is within the phone
#    before: by events alone, a vowel ends in silence and a stop is half as long as by the
#    convention of alignments made by hand.
# 2. What is spoken depends on what was spoken before in the process: the same text by the same voice
#    has another number of samples and other events each time.
#
# zerochain moves a stop's onset back over the silence, and speaks each utterance in a process of its
# own (zerochain/corpora/espeak.py, espeak_server.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q espeakng-loader==0.2.4 numpy==2.4.6
cat > try.py <<'PY'
import ctypes
import os

import espeakng_loader
import numpy as np

PHONEME, SYNCHRONOUS, PHONEME_EVENTS, AS_IPA, UTF8 = 7, 2, 1, 2, 1


class Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("position", ctypes.c_int),
        ("length", ctypes.c_int), ("time_ms", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("name", ctypes.c_char * 8),
    ]


blocks, events = [], []


@ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event)
)
def collect(samples, n_samples, event):
    if samples and n_samples:
        blocks.append(np.ctypeslib.as_array(samples, (n_samples,)).astype(float))
    i = 0
    while event[i].type:
        if event[i].type == PHONEME:
            events.append((event[i].name.decode(), event[i].sample))
        i += 1
    return 0


os.chdir(espeakng_loader.get_data_path())
espeak = ctypes.CDLL(str(espeakng_loader.get_library_path()))
espeak.espeak_Info.restype = ctypes.c_char_p
rate = espeak.espeak_Initialize(SYNCHRONOUS, 0, b".", PHONEME_EVENTS | AS_IPA)
espeak.espeak_SetSynthCallback(collect)
print("espeak-ng", espeak.espeak_Info(None).decode(), rate, "Hz")


def spoken(text):
    blocks.clear(), events.clear()
    assert espeak.espeak_SetVoiceByName(b"en") == 0
    text = text.encode() + b"\0"
    assert espeak.espeak_Synth(text, len(text), 0, 1, 0, UTF8, None, None) == 0
    espeak.espeak_Synchronize()
    return np.concatenate(blocks), list(events)


samples, phones = spoken("a papa")
closures = {}
for (before, start), (name, end) in zip(phones, phones[1:]):
    if not before:  # a pause
        continue
    silent = np.flatnonzero(np.abs(samples[start:end]) > 2)[-1] + 1
    closure_ms = 1000 * (end - start - silent) / rate
    print(f"{before} {start / rate:.3f} … {end / rate:.3f} s, the last {closure_ms:.0f} ms silent")
    if name == "p":
        closures[end] = closure_ms
assert len(closures) == 2 and min(closures.values()) > 25, closures

again = [spoken("hello there") for _ in range(4)]
print("'hello there' four times:", [len(one) for one, _ in again], "samples")
assert len({len(one) for one, _ in again}) > 1
assert len({str(events) for _, events in again}) > 1
PY
venv/bin/python try.py
