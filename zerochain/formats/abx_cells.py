"""`abx_cells.parquet`: the ABX score of every cell, for a closer look and for comparisons.

A cell is one contrast of two phones in one context, by one speaker (within) or two (across). A
system's score is an average of its cells, in the order of averaging that its protocol defines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict

from zerochain.errors import InputError
from zerochain.formats.description import FIRST, Description, FileKind, Table
from zerochain.formats.headers import Header
from zerochain.formats.tables import read_table, write_table

KIND = "abx-cells"
CELLS_FILE = "abx_cells.parquet"
KEYS = ("phone_a", "phone_b", "speaker", "speaker_x", "previous", "next")
"""The columns that name a cell of one mode."""
SCHEMA = pa.schema(
    [pa.field("mode", pa.string(), nullable=False)]
    + [pa.field(name, pa.string(), nullable=False) for name in KEYS]
    + [pa.field("score", pa.float64(), nullable=False), pa.field("n", pa.int64(), nullable=False)]
)
"""mode: "within" or "across"; speaker: of A and B; previous, next: "" where the context is any;
score: 0 … 1, the mean over n triples."""
MODES = ("within", "across")


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    system: str
    protocol: str
    distance: str
    options: dict[str, Any]
    record: dict[str, str]


@dataclass(frozen=True, eq=False)
class AbxCells:
    """The cells of one system under one protocol."""

    table: pa.Table
    """As `SCHEMA`."""
    system: str
    protocol: str
    distance: str
    options: dict[str, Any]
    """As in the scores."""
    inputs: dict[str, str]
    """Name of an input ("units", "corpus", …) → its id."""
    id: str = ""

    def of_mode(self, mode: str) -> pa.Table:
        """The cells within or across speakers."""
        return self.table.filter(pc.equal(self.table["mode"], mode))


def write_cells(path: Path, cells: AbxCells) -> None:
    """Write cells atomically.

    Raises:
        InputError: as `read_cells`.
    """
    table = cells.table.cast(SCHEMA)
    _check(table, path)
    metadata = {
        "system": cells.system,
        "protocol": cells.protocol,
        "distance": cells.distance,
        "options": cells.options,
        "record": cells.inputs,
    }
    write_table(path, KIND, table, metadata)


def read_cells(path: Path) -> AbxCells:
    """Read cells, from the file or from the folder that holds it.

    Raises:
        InputError: no such file, not written by `write_cells`, a score outside 0 … 1, an
            unknown mode, or a cell without a triple.
    """
    path = path / CELLS_FILE if path.is_dir() else path
    table, header, identity = read_table(path, KIND, SCHEMA, _Header)
    _check(table, path)
    return AbxCells(
        table,
        system=header.system,
        protocol=header.protocol,
        distance=header.distance,
        options=header.options,
        inputs=header.record,
        id=identity,
    )


def _check(table: pa.Table, path: Path) -> None:
    scores, counts = table["score"].to_numpy(), table["n"].to_numpy()
    modes = set(table["mode"].unique().to_pylist())
    wrong = {
        "scores that aren't from 0 to 1": int((~((scores >= 0) & (scores <= 1))).sum()),
        "counts below 1": int((counts < 1).sum()),
        f"modes other than {' and '.join(MODES)}": len(modes - set(MODES)),
    }
    found = [f"{n} {what}" for what, n in wrong.items() if n]
    if found:
        raise InputError(
            f"holds {' and '.join(found)}",
            path=path,
            cause="the table was edited or damaged, or percentages were written as fractions",
            remedy="score again ('zerochain score abx … --tables FOLDER')",
        )


def _describe(cells: AbxCells) -> Description:
    first = [list(map(str, row.values())) for row in cells.table.slice(0, FIRST).to_pylist()]
    return Description(
        "the ABX score of every cell",
        {
            "system": cells.system,
            "protocol": f"{cells.protocol}, {cells.distance}",
            "cells": f"{cells.table.num_rows:,}",
            "triples": f"{sum(cells.table['n'].to_pylist()):,}",
        },
        (Table("first cells", cells.table.column_names, first),),
    )


FILE_KIND: FileKind[AbxCells] = FileKind(KIND, CELLS_FILE, read_cells, _describe)
