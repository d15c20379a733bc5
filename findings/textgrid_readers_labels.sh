#!/usr/bin/env bash
# Labels of TextGrids that Praat itself has written, and tiers of points.
#
# Surprising, and without an error but where one is named:
# 1. tgt and praat-textgrids cut a label at " = " in the long format: of "wa = na", with a clitic, tgt
#    keeps "w" and praat-textgrids "wa". A label of two lines is an IndexError in both.
# 2. praat-textgrids leaves quotation marks doubled, as the file has them, and drops those at either
#    end; and of two tiers of the same name it keeps one. DiscoPhon reads TextGrids with it.
# 3. textgrid and praat-textgrids refuse tiers of points in the short format (an AttributeError, a
#    ValueError); praatio leaves quotation marks of points doubled in the long format.
#
# zerochain reads labels as Praat does, with a space for a line end (zerochain/exchange/textgrid.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q praat-parselmouth==0.4.7 numpy==2.4.6 \
    praatio==6.2.2 praat-textgrids==1.4.0 textgrid==1.6.1 tgt==1.5
cat > try.py <<'PY'
from importlib.metadata import version

import parselmouth
import textgrid
import textgrids
import tgt
from parselmouth.praat import call
from praatio import textgrid as praatio

NAMES = ("praatio", "praat-textgrids", "textgrid", "tgt")
print(*(f"{name} {version(name)}" for name in ("praat-parselmouth", *NAMES)))


def by_praat(path):
    grid = parselmouth.read(path)
    return [
        [
            call(grid, f"Get label of {kind}", tier, i + 1)
            for i in range(call(grid, f"Get number of {kind}s", tier))
        ]
        for tier in range(1, call(grid, "Get number of tiers") + 1)
        for kind in [("point", "interval")[call(grid, "Is interval tier", tier)]]
    ]


def by_praatio(path):
    grid = praatio.openTextgrid(path, includeEmptyIntervals=True, duplicateNamesMode="rename")
    return [[entry.label for entry in tier.entries] for tier in grid.tiers]


def by_textgrids(path):
    return [[one.text for one in tier] for tier in textgrids.TextGrid(path).values()]


def by_textgrid(path):
    return [[one.mark for one in tier] for tier in textgrid.TextGrid.fromFile(path)]


def by_tgt(path):
    grid = tgt.io.read_textgrid(path, include_empty_intervals=True)
    return [[one.text for one in tier.annotations] for tier in grid.tiers]


def attempted(read, path):
    try:
        return read(path)
    except Exception as error:
        return type(error).__name__


def labelled(*tiers, points=False):
    names = " ".join(name for name, _ in tiers)
    grid = call("Create TextGrid", 0, 1, names, names if points else "")
    for number, (_, label) in enumerate(tiers, 1):
        if points:
            call(grid, "Insert point", number, 0.5, label)
        else:
            call(grid, "Insert boundary", number, 0.5)
            call(grid, "Set interval text", number, 1, label)
    return grid


grids = {
    "clitic": labelled(("words", "wa = na")),
    "quotation": labelled(("words", '"wa" na')),
    "quotation at the end": labelled(("words", 'wa "na"')),
    "two lines": labelled(("words", "wa\nna")),
    "two tiers": labelled(("words", "wa"), ("words", "na")),
    "point": labelled(("tones", "H"), points=True),
    "quoted point": labelled(("tones", '"H" L'), points=True),
}
found = {}
for name, grid in grids.items():
    for kind in ("long", "short"):
        call(grid, f"Save as {'' if kind == 'long' else 'short '}text file", "a.TextGrid")
        true = by_praat("a.TextGrid")
        print(f"{name}, {kind} format: Praat {true}")
        for library, read in zip(NAMES, (by_praatio, by_textgrids, by_textgrid, by_tgt)):
            if (labels := attempted(read, "a.TextGrid")) != true:
                found[name, kind, library] = labels
                print(f"    {library} {labels}")

expected = {
    ("clitic", "long", "tgt"): [["w", ""]],
    ("clitic", "long", "praat-textgrids"): [["wa", ""]],
    ("two lines", "long", "tgt"): "IndexError",
    ("two lines", "long", "praat-textgrids"): "IndexError",
    ("quotation", "long", "praat-textgrids"): [['wa"" na', ""]],
    ("quotation at the end", "long", "praat-textgrids"): [['wa ""na', ""]],
    ("two tiers", "long", "praat-textgrids"): [["na", ""]],
    ("point", "short", "textgrid"): "AttributeError",
    ("point", "short", "praat-textgrids"): "ValueError",
    ("quoted point", "long", "praatio"): [['""H"" L']],
}
for case, labels in expected.items():
    assert found.get(case) == labels, (case, found.get(case))
PY
venv/bin/python try.py
