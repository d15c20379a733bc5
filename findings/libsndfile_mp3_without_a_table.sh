#!/usr/bin/env bash
# libsndfile reads about half of a variable-bit-rate MP3 that has no Xing/Info/VBRI table.
#
# Surprising: mpg123, libsndfile's decoder, plays the file to its end, and libsndfile itself scans
# ordinary files. Without the table, libsndfile takes the length that the bit rate of the first
# frame implies, and stops there: no error, no warning, although the remaining frames are intact.
# Such files come from encoders that write to a pipe, from cutting tools and from `cat`.
#
# zerochain walks the frames, and gives libsndfile a table with their number
# (zerochain/containers/streams.py; tests/test_containers.py::test_mp3_without_a_table_is_walked).
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
time = np.arange(20_000) / 16_000
noise = 0.1 * np.random.default_rng(0).uniform(-1, 1, len(time))
soundfile.write("whole.mp3", 0.3 * np.sin(2 * np.pi * 150 * time) + noise, 16_000)
content = open("whole.mp3", "rb").read()
second = content.index(b"\xff\xf3", 4)  # the first frame holds the table and no sound
open("bare.mp3", "wb").write(content[second:])

whole, bare = (len(soundfile.read(f"{name}.mp3")[0]) for name in ("whole", "bare"))
frames = content.count(b"\xff\xf3", second)
print(f"with the table    {whole} samples")
print(f"without the table {bare} samples, though about {frames} frames of 576 are there")
sys.exit(not (whole == 20_000 and bare < 0.75 * whole))
PY
venv/bin/python show.py 2> errors.txt || { echo "the behaviour has changed"; cat errors.txt; exit 1; }
