"""JSON headers: what UTF-8 can't hold is spelled out, and checksums hold."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
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


def test_a_header_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    """A cut of one stretch, wherever it begins and ends, never gives another value."""
    path = tmp_path / "x.json"
    write_json(path, "thing", {"seconds": 12.5, "device": "CPU, 2 threads"})
    whole, value = path.read_bytes(), read_json(path, "thing")
    for begin in range(len(whole)):
        for end in range(begin + 1, len(whole) + 1):
            left = whole[:begin] + whole[end:]
            if b'"device"' not in left or b'"seconds"' not in left:
                continue  # a model of the header misses the key
            path.unlink()  # overwriting makes some file systems wait for the disk
            path.write_bytes(left)
            try:
                found = read_json(path, "thing")
            except InputError:
                continue
            assert {k: found[k] for k in value if k in found} == value
