"""Lines of other people's text files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.formats.lines import read_lines, split_lines

pieces = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)


@given(st.lists(pieces), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_lines_end_at_line_feeds_and_carriage_returns_alone(
    lines: list[str], end: str, is_ended: bool
) -> None:
    text = end.join(lines) + (end if lines and is_ended else "")
    assert split_lines(text) == lines


def test_form_feeds_and_separators_are_no_line_ends() -> None:
    text = "a\fb\vc\x1cd\x85e\u2028f\u2029g\n\nh"
    assert split_lines(text) == [text[:-3], "", "h"]


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfe\xcc\x81\r\nb")
    assert read_lines(path) == ["é", "b"]
    path.write_bytes(b"a\rb\r\nc \xe9\n")
    with pytest.raises(InputError, match=r"line 3 is not UTF-8 .byte 0xe9."):
        read_lines(path)
    with pytest.raises(InputError, match="no such file"):
        read_lines(tmp_path / "gone")
