"""What messages make of names from other people's files."""

import pytest

from zerochain.errors import InputError, counted, listed, printable, speech_time

MARKED = "\u0646\u0645\u06cc\u200c\u0634\u0648\u062f"  # Persian, which is written with a non-joiner


@pytest.mark.parametrize("text", ["béa → ŋ", "e\u0301", "a\xa0b", MARKED, "क\u094d\u200dष"])
def test_text_of_any_script_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone\x07", r"\x1b[2Jgone\x07"),
        ("a\tb\nc\r", r"a\tb\nc\r"),
        ("caf\udce9.wav", r"caf\udce9.wav"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
    ],
)
def test_what_moves_the_cursor_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    assert listed([text, "b"], 1) == f"{shown} and 1 more"


def test_errors_keep_their_own_lines_alone() -> None:
    error = InputError("two\nlines \x1b[2J", path="a\nb", cause="c\r", remedy="\x07")
    lines = ["a\\nb: two", "lines \\x1b[2J", "  likely cause: c\\r", "  fix: \\x07"]
    assert str(error).splitlines() == lines
    assert error.found == "two\nlines \x1b[2J"


def test_numbers_and_nouns() -> None:
    words = [counted(n, "unit") for n in (0, 1, 2, 2400)]
    assert words == ["0 units", "1 unit", "2 units", "2,400 units"]
    assert counted(1, "box", "boxes") == "1 box"
    assert counted(2, "box", "boxes") == "2 boxes"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (6.25, "6.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1.0 min"),
        (60, "1.0 min"),
        (4000, "66.7 min"),
    ],
)
def test_lengths_of_speech(seconds: float, said: str) -> None:
    assert speech_time(seconds) == said
