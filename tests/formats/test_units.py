import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from strategies import utterance_ids
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.units import UnitFile, read_units, write_units


@st.composite
def unit_files(draw: st.DrawFn) -> UnitFile:
    names = draw(st.lists(utterance_ids, min_size=1, max_size=6, unique=True))
    n_units = draw(st.integers(1, 5000))
    lengths = [draw(st.integers(1, 30)) for _ in names]

    def sequences(low: int, high: int) -> dict[str, Any]:
        values = st.integers(low, high)
        return {
            name: draw(npst.arrays(np.int32, length, elements=values))
            for name, length in zip(names, lengths, strict=True)
        }

    return UnitFile(
        units=sequences(0, n_units - 1),
        n_units=n_units,
        step_ms=draw(st.floats(0.1, 1000)),
        model_id=draw(st.text(st.characters(codec="utf-8"))),
        method=draw(st.text(st.characters(codec="utf-8"))),
        speakers={n: draw(st.none() | st.text(st.characters(codec="utf-8"))) for n in names},
        durations=draw(st.none() | st.just(sequences(1, 1000))),
        corpus_id="c",
    )


@given(unit_file=unit_files())
def test_reads_what_was_written(tmp_path_factory: Any, unit_file: UnitFile) -> None:
    path = tmp_path_factory.mktemp("u") / "units.parquet"
    write_units(path, unit_file)
    read = read_units(path)
    for field in ("n_units", "step_ms", "model_id", "method", "speakers", "corpus_id", "ids"):
        assert getattr(read, field) == getattr(unit_file, field)
    assert (read.durations is None) == (unit_file.durations is None)
    for name in unit_file.ids:
        assert np.array_equal(read.units[name], unit_file.units[name])
        assert np.array_equal(read.steps(name), unit_file.steps(name))
        seconds = len(unit_file.steps(name)) * unit_file.step_ms / 1000
        assert read.duration_s(name) == pytest.approx(seconds)


def unit_file(**changes: Any) -> UnitFile:
    defaults = {"units": {"a": np.array([0, 1])}, "n_units": 2, "step_ms": 10.0}
    return UnitFile(**{**defaults, "model_id": "m", "method": "kmeans", **changes})


def test_steps_repeat_units_for_as_long_as_they_last() -> None:
    units = unit_file(durations={"a": np.array([2, 3])})
    assert units.steps("a").tolist() == [0, 0, 1, 1, 1]
    assert units.duration_s("a") == pytest.approx(0.05)
    assert unit_file().steps("a").tolist() == [0, 1]
    assert unit_file().duration_s("a") == pytest.approx(0.02)


def test_the_id_follows_the_content(tmp_path: Path) -> None:
    ids = []
    for i, units in enumerate([[0, 1], [0, 1], [1, 1]]):
        write_units(tmp_path / f"{i}.parquet", unit_file(units={"a": np.array(units)}))
        ids.append(read_units(tmp_path / f"{i}.parquet").id)
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"units": {}}, "holds no utterance"),
        ({"units": {"a": np.array([], int)}}, "there are no units for 1 utterance: a"),
        ({"units": {"a": np.array([0, 2])}}, "units outside 0 … 1 in 1 utterance: a"),
        ({"units": {"a": np.array([-1])}}, "units outside 0 … 1 in 1 utterance: a"),
        ({"units": {"../a": np.array([1])}}, "can't be an utterance's id"),
        ({"durations": {}}, "1 of 1 id of the units is missing in the durations: a"),
        ({"durations": {"a": np.array([1])}}, "2 units, 1 duration"),
        (
            {"durations": {"a": np.array([1, 0])}},
            "2 units, 2 durations, or one shorter than a step",
        ),
        ({"durations": {"a": np.array([], int)}}, "2 units, 0 durations"),
        ({"step_ms": -1.0}, "are impossible"),
    ],
)
def test_refuses_to_write(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        write_units(tmp_path / "u.parquet", unit_file(**changes))
    assert list(tmp_path.iterdir()) == []


def test_units_of_another_model_are_refused_naming_both() -> None:
    unit_file(model_id="a" * 64).check_model("a" * 64, "inverter")
    with pytest.raises(ModelMismatchError, match=r"a{12}.*inverter was trained on units of b{12}"):
        unit_file(model_id="a" * 64).check_model("b" * 64, "inverter")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=12))
def test_segments_are_the_runs_of_the_steps(pairs: list[tuple[int, int]]) -> None:
    units, durations = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    made = UnitFile({"u": units}, 3, 10, "m", "x", durations={"u": durations})
    runs = [(unit, len(list(run))) for unit, run in itertools.groupby(made.steps("u").tolist())]
    merged, lasts = made.segments("u")
    assert list(zip(merged.tolist(), lasts.tolist(), strict=True)) == runs
    assert merged.dtype == lasts.dtype == np.int32
