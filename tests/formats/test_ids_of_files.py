"""Ids are checked where a file enters, so that nothing behind a reader has to check them again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edits import unsealed
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import read_features, write_features
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs
from zerochain.formats.phones import Phone, Phones, read_phones, write_phones
from zerochain.formats.units import UnitFile, read_units, write_units

Read = Callable[[Path], object]


def _units(folder: Path) -> tuple[Path, str, Read]:
    units = {"u0": np.array([0, 1]), "u1": np.array([1])}
    write_units(folder / "units.parquet", UnitFile(units, 2, 10.0, "m", "kmeans"))
    return folder / "units.parquet", "id", read_units


def _phones(folder: Path) -> tuple[Path, str, Read]:
    line = [Phone(0, 1, "a")]
    write_phones(folder / "phones.parquet", Phones({"u0": line, "u1": line}))
    return folder / "phones.parquet", "id", read_phones


def _pairs(folder: Path) -> tuple[Path, str, Read]:
    write_pairs(folder / "pairs.parquet", Pairs((("u0", "v0"), ("u1", "v1")), "", ""))
    return folder / "pairs.parquet", "source_id", read_pairs


def _features(folder: Path) -> tuple[Path, str, Read]:
    with write_features(
        folder / "f", extractor="x", options={}, step_ms=10, corpus_id=""
    ) as writer:
        for name in ("u0", "u1"):
            writer.add(name, np.ones((2, 2), np.float32))
    unsealed(folder / "f" / "features.json", without="index_sha256")
    return folder / "f" / "index.parquet", "id", lambda path: read_features(path.parent)


KINDS = [_units, _phones, _pairs, _features]


def renamed(path: Path, column: str, name: str) -> None:
    """Give the first row of a table another id, as a program that keeps metadata would."""
    table = pq.read_table(path)
    values = [name, *table[column].to_pylist()[1:]]
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, table.schema.field(column), pa.array(values)), path)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", ["../u", "/u", "", "u\0", "e\u0301"])
def test_readers_refuse_what_is_no_id(
    tmp_path: Path, make: Callable[[Path], tuple[Path, str, Read]], name: str
) -> None:
    path, column, read = make(tmp_path)
    read(path)
    renamed(path, column, name)
    with pytest.raises(InputError, match=r"can't be an utterance's id|composed form"):
        read(path)


@pytest.mark.parametrize("make", [_units, _features])
def test_readers_refuse_an_id_twice(
    tmp_path: Path, make: Callable[[Path], tuple[Path, str, Read]]
) -> None:
    path, column, read = make(tmp_path)
    renamed(path, column, "u1")
    with pytest.raises(InputError, match="1 duplicate id: u1"):
        read(path)


@pytest.mark.parametrize("name", ["../u", "u1", "e\u0301"])
def test_a_corpus_refuses_them_too(make_corpus: Callable[..., Corpus], name: str) -> None:
    folder = make_corpus(2).folder
    assert folder is not None
    renamed(folder / "utterances.parquet", "id", name)
    with pytest.raises(InputError, match=r"can't be an utterance's id|composed form|duplicate id"):
        read_corpus(folder)
