#!/usr/bin/env bash
# Times before zero, and times with an exponent, in TextGrids that Praat itself has written.
#
# Praat writes -5.55e-17 where times were shifted back and forth, 1e-05 for a boundary close to
# zero, and times below zero where a part was extracted with zero at an event.
#
# Surprising:
# 1. pympi-ling reads the last digits of a line: -5.55…e-17 becomes 17, 1e-05 becomes 5 and -0.25
#    becomes 0.25, without an error. It sorts the intervals by these times.
# 2. praatio reads the short format correctly, but in the long one it loses the minus of tiers,
#    intervals and points, without an error, and refuses exponents.
#
# zerochain reads numbers as Praat does (zerochain/exchange/textgrid.py).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q praat-parselmouth==0.4.7 praatio==6.2.2 pympi-ling==1.71 numpy==2.4.6
cat > try.py <<'PY'
from importlib.metadata import version

import parselmouth
from parselmouth.praat import call
from praatio import textgrid
from pympi.Praat import TextGrid

print(*(f"{name} {version(name)}" for name in ("praat-parselmouth", "praatio", "pympi-ling")))
FORMATS = {"long": "Save as text file", "short": "Save as short text file"}


def by_praat(path):
    grid = parselmouth.read(path)
    return [
        call(grid, "Get start time of interval", 1, i + 1)
        for i in range(call(grid, "Get number of intervals", 1))
    ]


def by_praatio(path):
    try:
        tier = textgrid.openTextgrid(path, includeEmptyIntervals=True).tiers[0]
    except Exception as error:
        return type(error).__name__
    return [entry.start for entry in tier.entries]


def by_pympi(path):
    return [start for start, _, _ in TextGrid(path).get_tier(1).get_all_intervals()]


def made(start, end, boundary, *shifts):
    grid = call("Create TextGrid", start, end, "phones", "")
    call(grid, "Insert boundary", 1, boundary)
    for shift in shifts:
        call(grid, "Shift times by", shift)
    return grid


grids = {
    "below zero": made(-0.25, 1, 0.5),
    "shifted": made(0, 0.3, 0.2, -0.1, -0.2, 0.3),
    "close to zero": made(0, 1, 0.00001),
}
found = {}
for name, grid in grids.items():
    for kind, command in FORMATS.items():
        call(grid, command, "a.TextGrid")
        times = [read("a.TextGrid") for read in (by_praat, by_praatio, by_pympi)]
        print(f"{name}, {kind} format: Praat {times[0]}, praatio {times[1]}, pympi {times[2]}")
        found[name, kind] = times
for kind in FORMATS:
    tiny = found["shifted", kind][0][0]
    assert -1e-15 < tiny < 0
    assert found["shifted", kind][2][-2] == 17
    assert found["below zero", kind][0] == [-0.25, 0.5]
    assert found["below zero", kind][2] == [0.25, 0.5]
    assert found["close to zero", kind][0] == [0, 1e-05]
    assert found["close to zero", kind][2] == [0, 5]
assert [found[name, "long"][1] for name in grids] == [[0.25, 0.5], "ParsingError", "ParsingError"]
assert all(found[name, "short"][1] == found[name, "short"][0] for name in grids)
PY
venv/bin/python try.py
