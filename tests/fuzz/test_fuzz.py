"""200 damaged files for each reader; `make fuzz` reads 10,000."""

import pytest
from fuzzing import fuzzed
from samples import GROUPS

N_FILES = 200


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("group", GROUPS)
def test_damaged_files_are_read_or_refused(group: str) -> None:
    rows = fuzzed(list(GROUPS[group]), N_FILES)
    assert [row["reader"] for row in rows] == list(GROUPS[group])
    assert not [failure for row in rows for failure in row["failures"]]
    assert all(row["read"] + row["refused"] == N_FILES for row in rows)
    assert all(row["refused"] > 0 for row in rows), rows
