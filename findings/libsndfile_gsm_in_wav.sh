#!/usr/bin/env bash
# How libsndfile reads GSM 6.10 in WAV, as answering machines and dictation programs write it.
#
# Surprising: if the number of blocks (65 bytes, 320 samples) is odd, the padding byte that follows
# every chunk of odd size is read as one more block. It is decoded with the rest of the buffer: the
# file becomes 320 samples (40 ms at 8 kHz) too long, and these samples were never recorded. So
# soundfile doesn't read back the length that it wrote itself.
#
# zerochain counts the complete blocks, and ends the recording after the last one.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.1.3
cat > try.py <<'PY'
import numpy as np
import soundfile

print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
sound = np.random.default_rng(0).standard_normal(320 * 10) * 0.1
for n_blocks in (7, 8, 9, 10):
    n = 320 * n_blocks
    soundfile.write("a.wav", sound[:n], 8000, "GSM610")
    read, _ = soundfile.read("a.wav")
    beyond = np.abs(read[n:]).max(initial=0.0)
    print(f"written {n}, read {len(read)}; the loudest of those beyond: {beyond:.2f}")
    assert len(read) == n + 320 * (n_blocks % 2)
    assert (beyond > 0.01) == (n_blocks % 2 == 1)
PY
venv/bin/python try.py
