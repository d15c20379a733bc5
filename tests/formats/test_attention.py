from pathlib import Path

import numpy as np
import pytest

from commands import run
from edits import unsealed
from zerochain.errors import InputError
from zerochain.formats.attention import read_attention, write_attention
from zerochain.formats.kinds import find

MAPS = {"a/é": np.array([[1, 0], [0.25, 0.75]], np.float32), "b": np.ones((1, 1), np.float32)}
UNITS = {"a/é": np.array([3, 1], np.int32), "b": np.array([0], np.int32)}


def written(folder: Path, step_ms: float | None = 40.0) -> Path:
    write_attention(folder, MAPS, UNITS, translator_id="t" * 64, units_id="u" * 64, step_ms=step_ms)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    read = read_attention(written(tmp_path / "x"))
    assert (read.translator_id, read.units_id, read.step_ms) == ("t" * 64, "u" * 64, 40.0)
    assert read.ids == ("a/é", "b")
    for name, weights in MAPS.items():
        np.testing.assert_array_equal(read.map(name), weights)
    assert read_attention(written(tmp_path / "y", None)).step_ms is None
    assert [kind.name for _, kind in find(tmp_path).found] == ["attention", "attention"]


def test_it_is_shown(tmp_path: Path) -> None:
    shown = run("show", written(tmp_path / "x")).stdout
    for part in ("attention maps", "40 ms", "uuuuuuuuuuuu", "a/é"):
        assert part in shown


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_damaged_maps(tmp_path: Path, damage: bytes | None) -> None:
    read = read_attention(written(tmp_path / "x"))
    file = tmp_path / "x" / "b.npz"
    file.unlink() if damage is None else file.write_bytes(damage)
    with pytest.raises(InputError, match="holds no attention map"):
        read.map("b")


def test_ids_stay_in_the_folder(tmp_path: Path) -> None:
    written(tmp_path / "x")
    marker = tmp_path / "x" / "attention.json"
    unsealed(marker, ids=["a/é", "../b"])
    with pytest.raises(InputError, match=r"\.\./b"):
        read_attention(tmp_path / "x")
