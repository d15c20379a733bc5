#!/usr/bin/env bash
# speechmos 0.0.1.1 (DNSMOS): its network takes windows of 9.01 s, and a shorter recording is doubled
# until it is long enough: four seconds become sixteen, which take seven windows, at seven
# times the price; an empty recording is doubled for ever. The wheel declares no dependencies and
# imports onnxruntime, librosa and requests.
#
# zerochain repeats a short recording to exactly one window, refuses an empty or silent one, and
# lists the packages in its extra "quality" (zerochain/listeners/outside.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet speechmos==0.0.1.1
"$folder/venv/bin/python" -c "import speechmos.dnsmos" 2> "$folder/error" || tail -n 1 "$folder/error"
grep -q ModuleNotFoundError "$folder/error"
"$folder/venv/bin/pip" install --quiet onnxruntime==1.32.0 librosa==0.11.0 requests
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from speechmos import dnsmos

noise = np.random.default_rng(0).uniform(-0.1, 0.1, 16_000 * 10).astype(np.float32)
dnsmos.run(noise, 16_000)  # makes the sessions
judge, windows = dnsmos.dnsmos, 0
session = judge.onnx_sess


class Counting:
    def run(self, *arguments):
        global windows
        windows += 1
        return session.run(*arguments)


judge.onnx_sess = Counting()
found = {}
for seconds in (4, 4.6, 9.01):
    windows = 0
    dnsmos.run(noise[: int(seconds * 16_000)], 16_000)
    found[seconds] = windows
print("seconds → windows:", found)
assert found == {4: 7, 4.6: 1, 9.01: 1}, found
print("as found: four seconds take seven windows, 4.6 s one")
PYTHON
