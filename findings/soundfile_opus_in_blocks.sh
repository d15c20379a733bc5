#!/usr/bin/env bash
# Reading an Opus file in blocks gives different samples from reading it at once.
#
# Surprising: SoundFile.read(n) in a loop, and SoundFile.blocks(), look like plain sequential
# reading. But after every read soundfile seeks to the current position, and libsndfile's Opus
# decoder restarts on seeks that it can't serve from its buffer. The sound then depends on the size
# of the blocks: here there is no difference for 4096, and one of .4 of full scale for 777.
#
# zerochain presents the file to soundfile as not seekable (zerochain/containers/reader.py; tests:
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


class Sequential(soundfile.SoundFile):
    def seekable(self):
        return False


def in_blocks(kind, n):
    blocks = []
    with kind("a.opus") as file:
        while len(block := file.read(n)):
            blocks.append(block)
    return np.concatenate(blocks)


wave = np.random.default_rng(0).uniform(-0.3, 0.3, 60_000)
soundfile.write("a.opus", wave, 16_000, format="OGG", subtype="OPUS")
whole, _ = soundfile.read("a.opus")
differ = {}
for n in (777, 4096):
    blocks, plain = in_blocks(soundfile.SoundFile, n), in_blocks(Sequential, n)
    differ[n] = np.abs(blocks - whole).max()
    print(f"blocks of {n:>4}: largest difference to the whole {differ[n]:.4f}, "
          f"without the seeks {np.abs(plain - whole).max():.4f}")
sys.exit(not (max(differ.values()) > 0 and np.array_equal(in_blocks(Sequential, 777), whole)))
PY
venv/bin/python show.py || { echo "the behaviour has changed"; exit 1; }
