import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zerochain.errors import InputError
from zerochain.exchange.feature_files import read_vectors, scan_vectors, vector_text

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=floats))
def test_every_float32_comes_back_exactly(tmp_path_factory, vectors):
    path = tmp_path_factory.getbasetemp() / "vectors.txt"
    path.write_text("".join(vector_text(v) + "\n" for v in vectors))
    np.testing.assert_array_equal(read_vectors(path).astype(np.float32), vectors)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("1 2\n3 x4\n", 2, "holds 'x4', which is not a number"),
        ("1 2\n3 1_0\n", 2, "holds '1_0', which is not a number"),
        ("1 2\n\n3 4\n", 2, "is blank"),
        ("1 2\n3 nan\n", 2, "NaN"),
        ("1 -inf\n", 1, "NaN or infinity"),
        ("1 2\n1 2 3\n", 2, "has 3 numbers, the lines before it 2"),
        ("1 2\n1 \xff\n", 2, "which is not a number"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, line, problem):
    path = tmp_path / "v.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=rf"v\.txt:{line}: .*{problem}"):
        read_vectors(path)


def test_spaces_are_single_only_where_it_is_asked_for(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("1 2\r\n1  2\n1\t2\n1 2 \n")
    assert read_vectors(path).shape == (4, 2)
    bad = [line.number for line in scan_vectors(path, single_spaces=True) if line.problem]
    assert bad == [2, 3, 4]


def test_empty_and_missing_files(tmp_path):
    (tmp_path / "v.txt").write_text("")
    with pytest.raises(InputError, match="is empty"):
        read_vectors(tmp_path / "v.txt")
    with pytest.raises(InputError, match="no such file"):
        read_vectors(tmp_path / "w.txt")
