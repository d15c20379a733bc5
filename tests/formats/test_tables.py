"""What every Parquet table refuses, seen through the unit file, and what the others add."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zerochain.errors import InputError
from zerochain.formats.headers import Header
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.tables import read_table, table_header, write_table
from zerochain.formats.units import UnitFile, read_units, write_units

HEADER = {"kind": "units", "version": 1, "model_id": "m", "n_units": 9, "step_ms": 10.0}
HEADER["method"] = "kmeans"
GOOD = {"id": ["a", "b"], "speaker": ["s", None], "units": [[1, 2], [3]], "durations": [None, None]}


def put(path: Path, columns: dict[str, Any], header: Any = HEADER) -> Path:
    """A units table as another program could leave it."""
    table = pa.table(columns)
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    pq.write_table(table.replace_schema_metadata({b"zerochain": text}), path)
    return path


def test_other_programs_types_are_cast(tmp_path: Path) -> None:
    columns = {**GOOD, "units": pa.array([[1, 2], [3]], pa.large_list(pa.int64()))}
    units = read_units(put(tmp_path / "u.parquet", columns))
    assert units.units["a"].tolist() == [1, 2]
    assert units.units["a"].dtype == np.int32


@pytest.mark.parametrize(
    ("columns", "header", "found"),
    [
        ({"id": ["a"]}, HEADER, "column 'speaker' is missing .there are id"),
        ({**GOOD, "units": ["x", "y"]}, HEADER, "wrong type"),
        ({**GOOD, "units": [[1, 2], [2**40]]}, HEADER, "wrong type"),
        ({**GOOD, "id": ["a", None]}, HEADER, "column 'id' holds 1 empty value"),
        ({**GOOD, "units": [[1], None]}, HEADER, "column 'units' holds 1 empty value"),
        ({**GOOD, "units": [[1, None], [2]]}, HEADER, "a unit is null"),
        ({**GOOD, "id": ["a", "a"]}, HEADER, "1 duplicate id: a"),
        ({**GOOD, "id": ["a", "../b"]}, HEADER, "can't be an utterance's id"),
        ({**GOOD, "durations": [[1, 1], None]}, HEADER, "some have none"),
        ({**GOOD, "durations": [[1, None], [1]]}, HEADER, "null"),
        ({**GOOD, "durations": [[1], [1]]}, HEADER, "'a': 2 units, 1 duration"),
        ({**GOOD, "durations": [[1, 0], [1]]}, HEADER, "'a': 2 units, 2 durations, or one shorter"),
        ({**GOOD, "units": [[1, 9], [3]]}, HEADER, "units outside 0 … 8 in 1 utterance: a"),
        ({**GOOD, "units": [[1], [-1]]}, HEADER, "units outside 0 … 8 in 1 utterance: b"),
        ({**GOOD, "units": [[], [1]]}, HEADER, "there are no units for 1 utterance: a"),
        ({k: v[:0] for k, v in GOOD.items()}, HEADER, "holds no utterance|wrong type"),
        (GOOD, {**HEADER, "version": 2}, "version 2; this zerochain reads version 1"),
        (GOOD, {**HEADER, "kind": "pairs"}, "kind 'pairs', not 'units'"),
        (GOOD, {**HEADER, "n_units": 0}, "is invalid: 'n_units' is 0"),
        (GOOD, {**HEADER, "step_ms": 0}, "is invalid: 'step_ms' is 0"),
        (GOOD, {**HEADER, "step_ms": float("nan")}, "is invalid: 'step_ms' is nan"),
        (GOOD, {k: v for k, v in HEADER.items() if k != "model_id"}, "lacks model_id"),
        (GOOD, {**HEADER, "n_units": "nine"}, "is invalid: 'n_units' is 'nine'"),
        (GOOD, {**HEADER, "step_ms": True, "method": 3}, "'step_ms' is True, 'method' is 3"),
        (GOOD, b"{not json", "is not JSON"),
        (GOOD, b"[]", "holds a JSON list"),
    ],
)
def test_refuses(tmp_path: Path, columns: dict[str, Any], header: Any, found: str) -> None:
    path = put(tmp_path / "u.parquet", columns, header)
    with pytest.raises(InputError, match=found) as caught:
        read_units(path)
    assert caught.value.path == path
    assert caught.value.remedy


def write(path: Path) -> Path:
    rng = np.random.default_rng(0)
    units = {f"u{i}": rng.integers(0, 50, 300) for i in range(50)}
    write_units(path, UnitFile(units, 50, 10.0, "m", "kmeans"))
    return path


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_table_is_refused(tmp_path: Path, kept: float) -> None:
    path = write(tmp_path / "u.parquet")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match="not a readable Parquet file") as caught:
        read_units(path)
    assert caught.value.path == path


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "u.parquet")
    content = bytearray(path.read_bytes())
    content[2000:6000] = b"\xa5" * 4000
    path.write_bytes(content)
    with pytest.raises(InputError, match="can't be decoded"):
        read_units(path)


def test_what_is_not_a_table_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        table_header(tmp_path / "none.parquet")
    text = tmp_path / "u.txt"
    text.write_text("u1|12 12 33\n")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        table_header(text)
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"id": ["a"]}), foreign)
    with pytest.raises(InputError, match="without zerochain's metadata"):
        table_header(foreign)


def test_a_folder_called_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "speaker=3"
    folder.mkdir()
    columns = {key: GOOD[key] for key in ("id", "units", "durations")}
    with pytest.raises(InputError, match="column 'speaker' is missing"):
        read_units(put(folder / "u.parquet", columns))


def test_metadata_comes_back_whatever_the_script(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("id", pa.string(), nullable=False)])
    table = pa.Table.from_pylist([{"id": "ɓ"}], schema=schema)
    write_table(tmp_path / "t.parquet", "units", table, {"method": "单位 ɛ̃"})
    read, header, _ = read_table(tmp_path / "t.parquet", "units", schema, Header)
    assert read.to_pylist() == [{"id": "ɓ"}]
    assert (header.kind, header.version) == ("units", 1)
    assert header.model_extra == {"method": "单位 ɛ̃"}


def test_swapped_arguments_are_named(tmp_path: Path) -> None:
    write_pairs(tmp_path / "p.parquet", Pairs((("a", "b"),), "1", "2"))
    with pytest.raises(InputError, match="kind 'pairs', not 'units'") as caught:
        read_units(tmp_path / "p.parquet")
    assert "swapped" in str(caught.value)
