#!/usr/bin/env bash
# If FLAC, Ogg or MP3 files are joined with `cat`, libsndfile reads only the first one.
#
# Surprising: chained streams are part of the Ogg specification, and MP3 and FLAC players play
# joined streams to the end, so joining such files with cat is a known trick. libsndfile reports the
# length of the first stream as that of the whole file, and the rest is lost without an error. A WAV
# whose recorder lost power (its header has sizes of an earlier moment) is cut in the same way.
#
# zerochain reads all of them, with a warning (zerochain/containers/; tests/test_containers.py).
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
wave = 0.3 * np.sin(2 * np.pi * 150 * np.arange(16_000) / 16_000)
found = {}
for suffix in ("flac", "ogg", "mp3"):
    soundfile.write(f"one.{suffix}", wave, 16_000)
    content = open(f"one.{suffix}", "rb").read()
    open(f"two.{suffix}", "wb").write(content * 2)
    found[suffix] = len(soundfile.read(f"two.{suffix}")[0])
    print(f"cat one.{suffix} one.{suffix}: {found[suffix]} of 32000 samples")
soundfile.write("stale.wav", wave, 16_000)
content = bytearray(open("stale.wav", "rb").read())
content[40:44] = (8000).to_bytes(4, "little")
open("stale.wav", "wb").write(content)
found["stale"] = len(soundfile.read("stale.wav")[0])
print(f"a header of an earlier moment: {found['stale']} of 16000 samples")
sys.exit(not (all(n == 16_000 for k, n in found.items() if k != "stale") and found["stale"] == 4000))
PY
venv/bin/python show.py 2> errors.txt || { echo "the behaviour has changed"; cat errors.txt; exit 1; }
