"""`abx_cells.parquet`: the ABX score of every cell, for a closer look and for comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zerochain.formats.identity import file_id
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
    """Write cells atomically."""
    metadata = {
        "system": cells.system,
        "protocol": cells.protocol,
        "distance": cells.distance,
        "options": cells.options,
        "record": cells.inputs,
    }
    write_table(path, KIND, cells.table.cast(SCHEMA), metadata)


def read_cells(path: Path) -> AbxCells:
    """Read cells, from the file or from the folder that holds it.

    Raises:
        InputError: no such file, or not written by `write_cells`.
    """
    path = path / CELLS_FILE if path.is_dir() else path
    table, header = read_table(
        path, KIND, SCHEMA, "system", "protocol", "distance", "options", "record"
    )
    texts = {name: header[name] for name in ("system", "protocol", "distance")}
    return AbxCells(
        table, **texts, options=header["options"], inputs=header["record"], id=file_id(path)
    )
