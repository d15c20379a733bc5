"""`log.csv`: how a training went, one row per validation, the columns named by the header.

It is plain CSV without a header of ours, so that any program can plot it while training runs.
"""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from pathlib import Path

from zerochain.errors import InputError, counted
from zerochain.formats.description import FIRST, Description, FileKind, Table

KIND, MARKER = "training", "log.csv"
TrainingLog = dict[str, list[float]]
"""Column → its values, all of one length; "step" is among the columns, NaN an empty cell."""


def read_training_log(folder: Path) -> TrainingLog:
    """The log in a training's folder. Columns that hold text are left out.

    Raises:
        InputError: no such file, not CSV with a column "step", no row, rows of other lengths, or
            impossible steps or seconds.
    """
    path = folder / MARKER
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            header, *rows = [row for row in csv.reader(stream) if row] or [[]]
    except FileNotFoundError as error:
        raise InputError("no such file", path=path, remedy="check the path") from error
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise _broken(path, f"is not CSV ({error})") from error
    if "step" not in header or not rows:
        raise _broken(
            path, f"has {counted(len(rows), 'row')} under the columns {', '.join(header) or 'none'}"
        )
    if len(set(header)) < len(header):
        raise _broken(path, f"has a column twice: {', '.join(header)}")
    if any(len(row) != len(header) for row in rows):
        raise _broken(path, "has rows longer or shorter than its header")
    columns = {
        name: [_number(cell) for cell in cells]
        for name, cells in zip(header, zip(*rows, strict=True), strict=True)
    }
    log = {
        name: [v for v in values if v is not None]
        for name, values in columns.items()
        if None not in values
    }
    steps = log.get("step", [math.nan])
    if not all(math.isfinite(step) and step >= 0 for step in steps):
        raise _broken(path, 'column "step" holds something other than numbers ≥ 0')
    if any(later < earlier for earlier, later in pairwise(steps)):
        raise _broken(path, 'column "step" runs backwards')
    if any(seconds < 0 for seconds in log.get("seconds", [])):
        raise _broken(path, 'column "seconds" holds a negative number')
    return log


def _number(cell: str) -> float | None:
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        return None


def _broken(path: Path, found: str) -> InputError:
    return InputError(
        found,
        path=path,
        cause="it is not a training log, or was cut short while it was copied",
        remedy="train again, or move it out of the run's folder",
    )


def _describe(log: TrainingLog) -> Description:
    rows = [[f"{value:g}" for value in row] for row in zip(*log.values(), strict=True)]
    return Description(
        "training log",
        {"rows": f"{len(log['step'])}"},
        (Table("last rows", list(log), rows[-FIRST:]),),
    )


FILE_KIND: FileKind[TrainingLog] = FileKind(KIND, MARKER, read_training_log, _describe)
