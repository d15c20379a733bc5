import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.formats.arrays import LIST, Appended, Sequences

numbers = st.dictionaries(st.text(), st.lists(st.integers(-(2**31), 2**31 - 1)), min_size=1)


@given(
    numbers, st.randoms(use_true_random=False), st.sampled_from(["dict", "column", "one by one"])
)
def test_they_are_the_mapping_that_they_were_made_of(made, random, source):
    arrays = {name: np.array(line, np.int32) for name, line in made.items()}
    one = Sequences.of(arrays)
    if source == "one by one":
        appended = Appended()
        for name, array in arrays.items():
            appended.add(name, array)
        one = appended.sequences
    if source == "column":  # a slice, in two chunks
        column = pa.chunked_array([pa.array([[7], *made.values()], LIST)]).slice(1)
        half = len(made) // 2
        parts = pa.chunked_array([*column.slice(0, half).chunks, *column.slice(half).chunks])
        one = Sequences.of_column(list(made), parts)
    chosen = random.sample(sorted(made), random.randint(0, len(made)))
    for some in (one, one.restrict(chosen)):
        names = list(some)
        assert names == (list(made) if some is one else chosen)
        assert [some[name].tolist() for name in names] == [made[name] for name in names]
        assert some.end_to_end().tolist() == [n for name in names for n in made[name]]
        assert some.column().to_pylist() == [made[name] for name in names]
        assert all(some[name].flags.writeable and some[name].dtype == np.int32 for name in names)
    assert "nobody" not in Sequences.of({"a": np.zeros(1, np.int32)})


def test_a_null_is_no_number():
    with pytest.raises(ValueError, match="null"):
        Sequences.of_column(["a"], pa.chunked_array([pa.array([[1, None]], LIST)]))


def test_what_a_column_of_a_table_can_t_hold_is_refused():
    with pytest.raises(pa.ArrowInvalid):
        Sequences.of({"a": np.array([2**40])}).column()
