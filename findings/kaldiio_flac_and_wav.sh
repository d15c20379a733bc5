#!/usr/bin/env bash
# kaldiio reads one recording at two scales, as WAV and as FLAC.
#
# Surprising: of a WAV in wav.scp it gives 16-bit integers up to 32768, Kaldi's scale, and of a FLAC
# the same samples as float64 up to 1. Where a corpus has both, or was compressed between two
# runs, recordings differ by a factor of 32768 (90 dB), without an error: log energies are shifted, and
# a dither meant for 16 bits drowns the speech. A WAV of floating-point samples is a ValueError.
#
# zerochain gives all formats at one scale, up to 1 (zerochain/audio.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q kaldiio==2.18.1 soundfile==0.14.0 numpy==2.4.6
cat > try.py <<'PY'
from importlib.metadata import version
from pathlib import Path

import kaldiio
import numpy as np
import soundfile

print("kaldiio", version("kaldiio"), "soundfile", soundfile.__version__)
sound = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000)
sound = np.round(sound * 32_768).astype(np.int16)
KINDS = {"a.wav": "PCM_16", "a.flac": "PCM_16", "float.wav": "FLOAT"}
for name, subtype in KINDS.items():
    soundfile.write(name, sound, 16_000, subtype)
Path("wav.scp").write_text("".join(f"{name} {name}\n" for name in KINDS))
recordings, found = kaldiio.load_scp("wav.scp"), {}
for name in KINDS:
    try:
        rate, found[name] = recordings[name]
        largest = np.abs(found[name]).max()
        print(f"{name}: {rate} Hz, {found[name].dtype}, the largest sample {largest:.5g}")
    except ValueError as error:
        print(f"{name}: ValueError: {error}")
assert found["a.wav"].dtype == np.int16
assert np.array_equal(found["a.wav"], 32_768 * found["a.flac"])
assert "float.wav" not in found
PY
venv/bin/python -W ignore try.py
