import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from zerochain.errors import InputError
from zerochain.formats.bundle import bundle_id, read_bundle, write_bundle

tensors = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=10),
    npst.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.bool_]),
        npst.array_shapes(min_dims=0, max_dims=3, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    max_size=4,
)
valid = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | valid,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(valid, inner, max_size=3),
    max_leaves=6,
)


@given(tensors=tensors, config=st.dictionaries(valid, json_values, max_size=4))
def test_reads_what_was_written(tmp_path_factory: Any, tensors: Any, config: Any) -> None:
    folder = tmp_path_factory.mktemp("b") / "model"
    identity = write_bundle(folder, "kmeans", config, tensors, {"corpus": "c"})
    read = read_bundle(folder, "kmeans")
    assert (read.model, read.config, read.trained_on) == ("kmeans", config, {"corpus": "c"})
    assert read.id == identity == bundle_id(folder)
    assert set(read.tensors) == set(tensors)
    for name, value in tensors.items():
        assert read.tensors[name].dtype == value.dtype
        assert read.tensors[name].shape == value.shape
        assert np.array_equal(read.tensors[name], value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "m", "kmeans", {"k": 2}, {"centres": np.eye(2)}, {})
    return tmp_path / "m"


def test_views_and_other_orders_come_back_as_they_look(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    tensors = {"t": array.T, "f": np.asfortranarray(array), "s": array[:, ::2]}
    write_bundle(tmp_path / "m", "x", {}, tensors, {})
    read = read_bundle(tmp_path / "m").tensors
    assert all(np.array_equal(read[name], value) for name, value in tensors.items())


def test_the_id_follows_config_and_weights(tmp_path: Path, folder: Path) -> None:
    same = write_bundle(tmp_path / "1", "kmeans", {"k": 2}, {"centres": np.eye(2)}, {})
    config = write_bundle(tmp_path / "2", "kmeans", {"k": 3}, {"centres": np.eye(2)}, {})
    weights = write_bundle(tmp_path / "3", "kmeans", {"k": 2}, {"centres": 2 * np.eye(2)}, {})
    assert bundle_id(folder) == same
    assert len({same, config, weights}) == 3


def test_another_model_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="holds a kmeans, not a code2spec or vocoder") as caught:
        read_bundle(folder, "code2spec", "vocoder")
    assert caught.value.path == folder


def test_damaged_weights_are_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    for damaged in (b"", content[:5], content[:-3], b"\xff" * 64):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="can't be read") as caught:
            read_bundle(folder)
        assert caught.value.path == path
        assert caught.value.remedy
    path.unlink()
    with pytest.raises(InputError, match="can't be read"):
        read_bundle(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_neither_written_nor_read(folder: Path, value: float) -> None:
    from safetensors.numpy import save_file

    before = bundle_id(folder)
    with pytest.raises(InputError, match="tensor 'w' holds NaN") as caught:
        write_bundle(folder, "kmeans", {}, {"w": np.array([1.0, value])}, {})
    assert caught.value.path == folder
    assert bundle_id(folder) == before
    save_file({"w": np.array([1.0, value])}, folder / "weights.safetensors")
    with pytest.raises(InputError, match="tensor 'w' holds NaN") as caught:
        read_bundle(folder)
    assert caught.value.path == folder / "weights.safetensors"


def test_a_header_without_a_key_is_refused(folder: Path) -> None:
    header = json.loads((folder / "config.json").read_text())
    del header["trained_on"]
    (folder / "config.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match="lacks trained_on"):
        read_bundle(folder)


def test_somebody_elses_model_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "hubert"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "hubert"}')
    (other / "model.bin").write_bytes(b"precious")
    with pytest.raises(InputError, match="not a folder that zerochain made") as caught:
        write_bundle(other, "kmeans", {}, {}, {})
    assert caught.value.path == other
    assert (other / "model.bin").read_bytes() == b"precious"
    assert [p.name for p in tmp_path.iterdir()] == ["hubert"]
    with pytest.raises(InputError, match="holds a None, not a 'bundle'"):
        read_bundle(other)
