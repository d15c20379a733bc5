#!/usr/bin/env bash
# In the last page of an Ogg Vorbis file, a part that is read by start and stop begins late.
#
# Surprising: soundfile.read(path, start=a, stop=b) is documented as the slice [a:b], and it is that
# in most of the file. Near the end, libsndfile seeks past the requested sample, by up to 256
# samples (16 ms at 16 kHz; here 176), without an error: alignments of a recording's last words are off.
#
# zerochain decodes Vorbis from the start, all parts of a file in one pass (zerochain/audio.py;
# tests/test_containers.py::test_a_part_is_the_slice_of_the_whole).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.1.3

cat > show.py <<'PY'
import sys

import numpy as np
import soundfile

print("soundfile", soundfile.__version__, "libsndfile", soundfile.__libsndfile_version__)
wave = np.random.default_rng(0).uniform(-0.3, 0.3, 50_000)
soundfile.write("a.ogg", wave, 16_000)
whole, _ = soundfile.read("a.ogg")
n, late = 500, {}
for start in range(40_000, len(whole) - n - 600, 500):
    part, _ = soundfile.read("a.ogg", start=start, stop=start + n)
    if not np.array_equal(part, whole[start : start + n]):
        offsets = (k for k in range(-600, 601) if start + k >= 0)
        late[start] = next(
            (k for k in offsets if np.array_equal(part, whole[start + k : start + k + n])), None
        )
print(f"{len(late)} parts are not the slice; sample asked for: how much later the part begins")
for start, by in late.items():
    print(f"  {start:>6}: {by}")
sys.exit(not any(by is not None and by > 0 for by in late.values()))
PY
venv/bin/python show.py || { echo "the behaviour has changed"; exit 1; }
