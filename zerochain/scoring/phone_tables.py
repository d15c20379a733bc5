"""Tables of phones by units, for people and for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zerochain.formats.csv_files import write_csv
from zerochain.metrics.phone_errors import PhoneMap
from zerochain.metrics.quality import Aligned

NO_PHONE = "(no phone)"
_SHOWN = 3


def write_phone_tables(folder: Path, aligned: Aligned, mapping: PhoneMap) -> None:
    """Write two files into a folder, each atomically.

    phone_by_unit.csv holds frames, a row a phone and a column a unit; unit_to_phone.csv the phone
    that each unit stands for, its share of the unit's frames, and the next most frequent ones.
    Frames in silences and gaps count as phone "(no phone)".
    """
    names, table = [*aligned.names, NO_PHONE], aligned.table
    wide = [[name, *row.tolist()] for name, row in zip(names, table, strict=True)]
    write_csv(folder / "phone_by_unit.csv", ["phone", *range(aligned.n_units)], wide)
    header = ["unit", "phone", "frames", "share"]
    header += [f"{word}_{i}" for i in range(2, _SHOWN + 1) for word in ("phone", "share")]
    rows = [_unit_row(aligned, mapping, names, unit) for unit in range(aligned.n_units)]
    write_csv(folder / "unit_to_phone.csv", header, rows)


def _unit_row(aligned: Aligned, mapping: PhoneMap, names: Sequence[str], unit: int) -> list[object]:
    """A unit, the phone it stands for, its frames, and its most frequent other phones."""
    counts, chosen = aligned.table[:, unit], int(mapping.of_unit[unit])
    total = int(counts.sum())
    stands_for = [*mapping.names, NO_PHONE][chosen] if unit not in mapping.unseen else ""
    order = [int(p) for p in (-counts).argsort(kind="stable") if counts[p] > 0]
    others = [p for p in order if names[p] != stands_for][: _SHOWN - 1]
    share = sum(int(counts[p]) for p in order if names[p] == stands_for) / max(total, 1)
    row: list[object] = [unit, stands_for, total, f"{share:.4f}" if total else ""]
    for p in others:
        row += [names[p], f"{counts[p] / total:.4f}"]
    return row + [""] * (4 + 2 * (_SHOWN - 1) - len(row))
