import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edits import unsealed
from strategies import utterance_ids
from zerochain.errors import InputError
from zerochain.formats.features import Features, read_features, write_features

Arrays = dict[str, np.ndarray]


def write(folder: Path, arrays: Arrays, speakers: dict[str, str] | None = None) -> None:
    with write_features(
        folder, extractor="mfcc", options={"n_mels": 40}, step_ms=10.0, corpus_id="c"
    ) as writer:
        for name, array in arrays.items():
            writer.add(name, array, (speakers or {}).get(name))


@st.composite
def arrays(draw: st.DrawFn) -> Arrays:
    names = draw(st.lists(utterance_ids, min_size=1, max_size=5, unique=True))
    dim = draw(st.integers(1, 12))
    finite = st.floats(-1e9, 1e9, width=32)
    return {
        name: draw(npst.arrays(np.float32, (draw(st.integers(1, 9)), dim), elements=finite))
        for name in names
    }


@given(arrays=arrays())
def test_reads_what_was_written(tmp_path_factory: Any, arrays: Arrays) -> None:
    folder = tmp_path_factory.mktemp("f") / "feats"
    write(folder, arrays)
    read = read_features(folder)
    memory = Features.from_arrays(arrays)
    assert read.ids == memory.ids == list(arrays)
    assert (read.extractor, read.options, read.step_ms) == ("mfcc", {"n_mels": 40}, 10.0)
    assert read.dim == memory.dim
    for name, array in arrays.items():
        assert np.array_equal(read[name], array)
        assert np.array_equal(memory[name], array)
    # What numpy itself reads and writes, byte for byte.
    assert np.array_equal(np.load(folder / "frames.npy"), np.concatenate(list(arrays.values())))


def test_frames_stay_on_the_disk(tmp_path: Path) -> None:
    write(tmp_path / "f", {"a": np.ones((3, 2))})
    assert isinstance(read_features(tmp_path / "f").frames, np.memmap)


def test_the_id_follows_the_frames(tmp_path: Path) -> None:
    for i, value in enumerate([1.0, 1.0, 2.0]):
        write(tmp_path / str(i), {"a": np.full((3, 2), value)})
    ids = [read_features(tmp_path / str(i)).id for i in range(3)]
    assert ids[0] == ids[1] != ids[2]


def test_double_precision_any_order_and_speakers(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6, dtype=np.float64).reshape(3, 2))
    write(tmp_path / "f", {"a": array}, {"a": "béa"})
    read = read_features(tmp_path / "f")
    assert np.array_equal(read["a"], array)
    assert read.speakers == {"a": "béa"}


BAD = [
    ({}, "there are no features"),
    ({"a": np.ones((0, 3))}, r"shape \(0, 3\)"),
    ({"a": np.ones((3, 0))}, r"shape \(3, 0\)"),
    ({"a": np.ones(3)}, r"shape \(3,\)"),
    ({"a": np.float32(3)}, r"shape \(\)"),
    ({"a": np.ones((2, 3)), "b": np.ones((2, 4))}, r"'b' has features of shape \(2, 4\)"),
    ({"a": np.array([[1.0, np.nan]])}, "'a' has 1 NaN or infinite"),
    ({"a": np.array([[1.0, -np.inf]])}, "'a' has 1 NaN or infinite"),
]


@pytest.mark.parametrize(("arrays", "found"), BAD)
def test_refuses(tmp_path: Path, arrays: Arrays, found: str) -> None:
    with pytest.raises(InputError, match=found):
        Features.from_arrays(arrays)
    with pytest.raises(InputError, match=found) as caught:
        write(tmp_path / "f", arrays)
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_number_too_large_for_single_precision(tmp_path: Path) -> None:
    with np.errstate(over="ignore"), pytest.raises(InputError, match="1 NaN or infinite"):
        write(tmp_path / "f", {"a": np.array([[1e300]])})


def test_refuses_the_same_id_twice(tmp_path: Path) -> None:
    def write_twice() -> None:
        with write_features(
            tmp_path / "f", extractor="x", options={}, step_ms=10.0, corpus_id="c"
        ) as writer:
            writer.add("a", np.ones((2, 2), np.float32))
            writer.add("a", np.ones((2, 2), np.float32))

    with pytest.raises(InputError, match="1 duplicate id: a"):
        write_twice()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "f", {"a": np.ones((30, 4)), "b": np.zeros((20, 4))})
    return tmp_path / "f"


def test_truncated_frames_are_refused(folder: Path) -> None:
    content = (folder / "frames.npy").read_bytes()
    for kept in (0, 50, len(content) - 4):
        (folder / "frames.npy").write_bytes(content[:kept])
        with pytest.raises(InputError, match="can't be memory-mapped") as caught:
            read_features(folder)
        assert caught.value.path == folder / "frames.npy"
    (folder / "frames.npy").unlink()
    with pytest.raises(InputError, match="can't be memory-mapped"):
        read_features(folder)


@pytest.mark.parametrize(
    "frames",
    [np.ones((49, 4), np.float32), np.ones(50, np.float32), np.ones((50, 4), np.float64)],
)
def test_frames_of_another_extraction_are_refused(folder: Path, frames: np.ndarray) -> None:
    np.save(folder / "frames.npy", frames)
    with pytest.raises(InputError, match=r"index\.parquet covers 50 frames in 2 utterances"):
        read_features(folder)


def test_nan_put_in_later_is_refused(folder: Path) -> None:
    frames = np.load(folder / "frames.npy")
    frames[35, 2] = np.nan
    np.save(folder / "frames.npy", frames)
    with pytest.raises(InputError, match="utterance 'b' has 1 NaN"):
        read_features(folder)


def test_an_edited_index_is_refused(folder: Path) -> None:
    unsealed(folder / "features.json")
    table = pq.read_table(folder / "index.parquet")
    for offsets, counts in (([0, 31], [30, 20]), ([0, 60], [60, -10]), ([30, 0], [20, 30])):
        edited = table.set_column(2, table.schema.field(2), pa.array(offsets))
        edited = edited.set_column(3, table.schema.field(3), pa.array(counts))
        pq.write_table(edited, folder / "index.parquet")
        with pytest.raises(InputError, match="covers"):
            read_features(folder)


def test_a_header_without_a_key_is_refused(folder: Path) -> None:
    header = json.loads((folder / "features.json").read_text())
    del header["step_ms"]
    (folder / "features.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match="lacks step_ms") as caught:
        read_features(folder)
    assert caught.value.path == folder / "features.json"


def test_pickled_frames_are_never_loaded(folder: Path) -> None:
    np.save(folder / "frames.npy", np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="can't be memory-mapped"):
        read_features(folder)
