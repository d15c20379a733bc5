#!/usr/bin/env bash
# soxr turns digital silence of 16-bit samples into noise.
#
# Surprising: soxr.resample keeps the type of its input, so that 16-bit samples can be resampled as
# they are, and a quarter of the zeros become -1 or 1: libsoxr dithers what it rounds to integers,
# and Python can't turn that off. A recorder's gaps, padding and muted channels aren't silent any
# more: a search for digital silence finds none, and a muted channel passes for a recorded one.
#
# As floating point, zeros stay zeros. zerochain resamples float32 only (zerochain/audio.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q soxr==1.1.0 numpy==2.4.6
cat > try.py <<'PY'
import numpy as np
import soxr

print("soxr", soxr.__version__, soxr.__libsoxr_version__)
silence = np.zeros(44_100, np.int16)
stereo = np.stack([np.full(44_100, 1000, np.int16), silence], axis=1)  # a muted channel
found = {
    "int16": soxr.resample(silence, 44_100, 16_000),
    "int16, as a stream": soxr.ResampleStream(44_100, 16_000, 1, dtype="int16").resample_chunk(
        silence, last=True
    ),
    "int16, the muted one of two channels": soxr.resample(stereo, 44_100, 16_000)[:, 1],
    "float32": soxr.resample(silence.astype(np.float32), 44_100, 16_000),
}
for name, samples in found.items():
    print(f"{name}: {np.count_nonzero(samples)} of {len(samples)} samples aren't 0, "
          f"values {np.unique(samples).tolist()}")
    if name == "float32":
        assert not samples.any()
    else:
        assert np.count_nonzero(samples) > 0.05 * len(samples)
        assert np.unique(samples).tolist() == [-1, 0, 1]
PY
venv/bin/python try.py
