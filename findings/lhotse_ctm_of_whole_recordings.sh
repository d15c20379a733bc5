#!/usr/bin/env bash
# lhotse's SupervisionSet.with_alignment_from_ctm takes the ids of a CTM as recording ids, and its
# times as relative to the recording. Surprising, and without an exception or a warning:
#   - Kaldi writes utterance ids, and times relative to the utterance (before utils/convert_ctm.pl,
#     or with --use-segments false): such a CTM leaves every supervision with an empty alignment.
#   - A label that spans the boundary of two adjacent segments is in neither of them.
#   - Channels matter only with match_channel=True: by default both sides of a call get the labels of
#     both.
# zerochain distinguishes utterance ids from recording ids by names and times, and refuses a file
# that fits both. A label at a boundary goes to the side that has most of it. Channels always matter,
# and several without --channel are refused (zerochain/exchange/alignments.py, alignment_times.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet lhotse==1.33.0 urllib3==2.8.0
cat > show.py <<'PYTHON'
import logging
import warnings
from pathlib import Path

warnings.simplefilter("error", UserWarning)
import lhotse
from lhotse import SupervisionSegment, SupervisionSet


def labels(ctm, *segments, **options):
    Path("x.ctm").write_text(ctm)
    found = SupervisionSet.from_segments(segments).with_alignment_from_ctm("x.ctm", **options)
    return {s.id: [item.symbol for item in s.alignment["word"]] for s in found}


def segment(name, start, duration, channel=0):
    return SupervisionSegment(name, "call", start, duration, channel=channel)


class Loud(logging.Handler):
    def emit(self, record):
        assert record.levelno < logging.WARNING, record


logging.getLogger().addHandler(Loud())
print("lhotse", lhotse.__version__)
a, b = segment("u1", 0.9, 0.6), segment("u2", 1.5, 0.6)

by_utterance = labels("u1 1 0.10 0.25 p\nu1 1 0.35 0.25 a\n", a, b)
print("CTM by utterance, as Kaldi writes it:", by_utterance)
assert by_utterance == {"u1": [], "u2": []}

by_recording = labels("call 1 1.00 0.25 p\ncall 1 1.25 0.30 a\ncall 1 1.75 0.25 i\n", a, b)
print("'a' from 1.25 to 1.55 s, segments meet at 1.5 s:", by_recording)
assert by_recording == {"u1": ["p"], "u2": ["i"]}

sides = (segment("left", 0, 2, 0), segment("right", 0, 2, 1))
call = "call 0 0.10 0.25 p\ncall 1 0.50 0.25 t\n"
print("two channels, by default:", labels(call, *sides))
assert labels(call, *sides) == {"left": ["p", "t"], "right": ["p", "t"]}
print("with match_channel:", labels(call, *sides, match_channel=True))
assert labels(call, *sides, match_channel=True) == {"left": ["p"], "right": ["t"]}
PYTHON
venv/bin/python show.py
