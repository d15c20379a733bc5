#!/usr/bin/env bash
# How fastabx names the recordings in a JSONL file of units, and DiscoPhon's ABX, which calls it.
#
# Surprising:
# 1. A name is reduced to the part between its last slash and its last dot, but the names in the
#    .item file are not. An id with a dot ("s01.u1") under the key "file", which DiscoPhon's ABX
#    reads, becomes "s01", and its recording isn't found.
# 2. If two lines have the same name after that, the last one is used for both, without a warning:
#    the units of one recording are scored as those of the other.
# 3. DiscoPhon's other scores read the same file by the full name.
#
# zerochain export units also writes "audio", with a suffix to be removed; it warns about names with
# folders or dots, and with --ids name it refuses names that would clash, as export items does.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3.12}" -m venv venv  # both need Python 3.12
venv/bin/pip install -q fastabx==0.9.0 discophon==0.2.0
cat > try.py <<'PY'
import json
from importlib.metadata import version
from pathlib import Path
from discophon.data import read_submitted_units
from fastabx import Dataset

print("fastabx", version("fastabx"), "discophon", version("discophon"))
head = "#file onset offset #phone prev-phone next-phone speaker\n"

def units_of(name: str, rows: list[dict], key: str) -> list[int]:
    Path("u.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("i.item").write_text(head + f"{name} 0.0 0.03 a b c s\n")
    data = Dataset.from_item_and_units(
        "i.item", "u.jsonl", 100, audio_key=key, device="cpu", progress=False
    )
    return data.accessor[0].flatten().tolist()

dotted = [{"file": "s01.u1", "audio": "s01.u1.wav", "units": [1, 2, 3]}]
print("by audio:", units_of("s01.u1", dotted, "audio"))
assert units_of("s01.u1", dotted, "audio") == [1, 2, 3]
try:
    units_of("s01.u1", dotted, "file")
    raise SystemExit("names keep their dots now")
except FileNotFoundError as error:
    print("by file:", error)
twice = [{"file": "ana/u1", "units": [1, 2, 3]}, {"file": "bea/u1", "units": [7, 8, 9]}]
print("u1 of two folders:", units_of("u1", twice, "file"))
assert units_of("u1", twice, "file") == [7, 8, 9]
print("DiscoPhon's other scores:", read_submitted_units("u.jsonl"))
assert read_submitted_units("u.jsonl") == {"ana/u1": [1, 2, 3], "bea/u1": [7, 8, 9]}
PY
venv/bin/python try.py
