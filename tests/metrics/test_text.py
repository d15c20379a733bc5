import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.metrics.text import plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("¿Dónde está la playa?", "dónde está la playa"),
        ("Don't  —  stop, o’clock!", "don't stop o'clock"),
        ("'quoted' rock 'n' roll's", "quoted rock n roll's"),
        ("well-known\tA.B. 15%", "well known a b 15"),
        ("ĐÂY là", "đây là"),
        ("e\u0301te\u0301", "été"),
        ("नमस्ते।", "नमस्ते"),
        ("…!? ", ""),
        ("", ""),
    ],
)
def test_what_is_kept(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(st.text())
def test_plain_text_stays_as_it_is(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert once == unicodedata.normalize("NFC", once)
    assert once == once.strip()
    assert "  " not in once


@given(st.text())
def test_the_form_in_unicode_does_not_matter(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    assert plain(unicodedata.normalize("NFD", composed)) == plain(composed)
