#!/usr/bin/env bash
# pystoi 0.4.1: the ESTOI of speech that is silent for a while is random.
#
# Surprising: a score of two recordings has nothing to draw. But stoi(…, extended=True) adds noise of
# 1e-16 from NumPy's global generator, and then normalises each stretch of 0.4 s by its own level.
# Where the processed speech is digitally silent, as at the end of a synthesis that was padded to
# the length of its recording, the noise is all there is, and becomes as loud as speech. The
# score differs from call to call, here by some thousandths, and moves the generator on.
#
# zerochain calls it with the generator in one state, and restores the state of before
# (zerochain/metrics/resynthesis.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q pystoi==0.4.1 numpy==2.4.6 scipy==1.17.1
cat > try.py <<'PY'
from importlib.metadata import version

import numpy as np
from pystoi import stoi

print("pystoi", version("pystoi"))
draw = np.random.default_rng(0)
loudness = 0.2 + np.abs(np.sin(2 * np.pi * 2 * np.arange(48_000) / 16_000))
recording = 0.1 * loudness * draw.normal(size=48_000)
whole = recording + 0.05 * draw.normal(size=48_000)
early = np.where(np.arange(48_000) < 36_000, whole, 0)


def spread(processed, extended):
    found = [float(stoi(recording, processed, 16_000, extended=extended)) for _ in range(20)]
    return min(found), max(found)


scores = {
    "ESTOI": spread(whole, True),
    "STOI, the last 0.75 s silent": spread(early, False),
    "ESTOI, the last 0.75 s silent": spread(early, True),
}
for name, (least, most) in scores.items():
    print(f"{name}: {least:.5f} … {most:.5f} in 20 calls")
*steady, (least, most) = scores.values()
assert all(b - a < 1e-9 for a, b in steady)
assert most - least > 5e-4
PY
venv/bin/python try.py
