#!/usr/bin/env bash
# lhotse's export of Kaldi data directories.
#
# Surprising:
# 1. A supervision without a text or a speaker is written with the word "None", which every reader
#    of Kaldi directories takes as a transcript and as the name of one speaker.
# 2. Speech with perturbed speed is written with the perturbed durations and segments, but wav.scp
#    decodes the original file, to which these times don't apply. There is no warning.
# 3. Commands in wav.scp don't quote paths, so that a path with a space becomes two words.
#
# zerochain import kaldi treats "None" as missing and reports how often it occurs, compares reco2dur
# with the recordings and warns where they differ, and reads lhotse's unquoted paths as one path.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q lhotse==1.33.0 numpy soundfile torch urllib3
cat > try.py <<'PY'
import lhotse, numpy as np, soundfile
from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet
from lhotse.kaldi import export_to_kaldi
from pathlib import Path
print("lhotse", lhotse.__version__)
Path("a folder").mkdir()
noise = np.random.default_rng(0).normal(size=32_000) * 0.1
soundfile.write("u.wav", noise, 16_000)
soundfile.write("a folder/v.flac", noise, 16_000)
u, v = Recording.from_file("u.wav"), Recording.from_file("a folder/v.flac")
fast = u.perturb_speed(1.1)
export_to_kaldi(
    RecordingSet.from_recordings([u, v, fast]),
    SupervisionSet.from_segments([
        SupervisionSegment("u1", u.id, 0.0, 2.0),
        SupervisionSegment("v1", v.id, 0.0, 2.0, text="hello", speaker="ana"),
        SupervisionSegment("fast1", fast.id, 0.0, fast.duration, text="hello", speaker="ana"),
    ]),
    "kaldi",
)
files = {p.name: p.read_text() for p in sorted(Path("kaldi").iterdir())}
for name, text in files.items():
    print(f"--- {name}\n{text}", end="")
assert "u1 None\n" in files["text"] and "u1 None\n" in files["utt2spk"]
scp = dict(line.split(maxsplit=1) for line in files["wav.scp"].splitlines())
assert "-i a folder/v.flac " in scp["v"], "the path is quoted now"
assert f"{fast.id} 1.818" in files["reco2dur"] and "u.wav" in scp[fast.id]
assert not any(word in scp[fast.id] for word in ("speed", "tempo", "atempo", "asetrate"))
PY
venv/bin/python try.py
