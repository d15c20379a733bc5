"""JSON headers: what UTF-8 can't hold is spelled out, and checksums hold."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zerochain.formats.headers import json_text, parse_json, read_json, write_json


@given(st.dictionaries(st.text(), st.text(st.characters(exclude_categories=()))))
def test_any_text_can_be_written_and_read(value: dict[str, str]) -> None:
    wanted = {
        name: "".join(rf"\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
        for name, text in value.items()
    }
    assert parse_json(json_text(value).encode(), "x") == wanted


def test_paths_that_are_no_text_in_headers(tmp_path: Path) -> None:
    for editable in (False, True):
        write_json(tmp_path / "x.json", "thing", {"path": "caf\udce9"}, editable=editable)
        assert read_json(tmp_path / "x.json", "thing")["path"] == r"caf\udce9"
