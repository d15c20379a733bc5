#!/usr/bin/env bash
# How lhotse and pyannote.database read RTTM, NIST's format for who speaks when.
#
# A file may have lines of other types beside those of turns (SPEAKER): speakers (SPKR-INFO, which
# NIST's own references have), words (LEXEME), noises (NON-SPEECH); and comments, which begin with ;;.
#
# Surprising:
# 1. lhotse takes every line for a turn: a noise is speech of a speaker "<NA>", and each word
#    is a further turn. SPKR-INFO is a ValueError, a comment an AssertionError.
# 2. pyannote.database skips what is no turn, but joins the channels of a recording, so that both
#    sides of a call are in one. A speaker called "NA" becomes a missing value (pandas).
#
# zerochain keeps turns and their channels, and leaves other lines out (zerochain/exchange/rttm.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q lhotse==1.33.0 urllib3==2.8.0 pyannote.database==6.1.1
cat > try.py <<'PY'
from importlib.metadata import version
from pathlib import Path

from lhotse import SupervisionSet
from pyannote.database.util import load_rttm

print("lhotse", version("lhotse"), "pyannote.database", version("pyannote.database"))
TURNS = """\
SPEAKER call 1 0.50 1.00 <NA> <NA> ana <NA> <NA>
LEXEME call 1 0.60 0.20 hello lex ana <NA> <NA>
NON-SPEECH call 1 1.50 0.40 <NA> noise <NA> <NA> <NA>
SPEAKER call 2 0.70 1.00 <NA> <NA> NA <NA> <NA>
"""
FILES = {
    "turns": TURNS,
    "speakers": "SPKR-INFO call 1 <NA> <NA> <NA> adult_female ana <NA> <NA>\n" + TURNS,
    "comment": ";; a comment\n" + TURNS,
}


def by_lhotse(path):
    try:
        found = SupervisionSet.from_rttm(path)
    except Exception as error:
        return type(error).__name__
    return [(one.channel, one.start, one.duration, one.speaker) for one in found]


def by_pyannote(path):
    turns = load_rttm(path)["call"].itertracks(yield_label=True)
    return [(round(t.start, 3), round(t.duration, 3), str(speaker)) for t, _, speaker in turns]


found = {}
for name, text in FILES.items():
    Path("a.rttm").write_text(text)
    found[name] = by_lhotse("a.rttm"), by_pyannote("a.rttm")
    print(name, "lhotse", found[name][0], "pyannote", found[name][1], sep="\n    ")
assert found["turns"][0] == [
    (1, 0.5, 1.0, "ana"), (1, 0.6, 0.2, "ana"), (1, 1.5, 0.4, "<NA>"), (2, 0.7, 1.0, "NA")
]
assert found["speakers"][0] == "ValueError"
assert found["comment"][0] == "AssertionError"
for _, turns in found.values():
    assert turns == [(0.5, 1.0, "ana"), (0.7, 1.0, "nan")]
PY
venv/bin/python try.py
