from dataclasses import replace
from pathlib import Path

import pytest

from zerochain.errors import InputError
from zerochain.formats.transcripts import Transcripts, read_transcripts, write_transcripts

TEXTS = {"a": "buenos días", "b/c": ""}
MADE = Transcripts(TEXTS, {"a": 0.9, "b/c": 0.0}, "1" * 64, "2" * 64)


def test_they_come_back(tmp_path: Path) -> None:
    write_transcripts(tmp_path / "t.parquet", MADE)
    again = read_transcripts(tmp_path / "t.parquet")
    assert replace(again, id="") == MADE
    assert again.id


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"texts": {}, "confidence": {}}, "holds no transcript"),
        ({"confidence": {"a": 1.5, "b/c": 0.0}}, "has a confidence of 1.5"),
        ({"confidence": {"a": float("nan"), "b/c": 0.0}}, "has a confidence of nan"),
        ({"texts": {"../a": "x"}, "confidence": {"../a": 0.1}}, "'../a'"),
    ],
)
def test_impossible_ones_are_refused(tmp_path: Path, change: dict, found: str) -> None:
    with pytest.raises(InputError, match=found):
        write_transcripts(tmp_path / "t.parquet", replace(MADE, **change))
    assert not (tmp_path / "t.parquet").exists()
