import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.metrics.text import plain, tagged, untagged, with_tags


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
        ("می\u200cخواهم \u200fكتاب\u200e", "میخواهم كتاب"),
        ("क्\u200dष co\u00adoperate", "क्ष cooperate"),
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


LANGUAGES = ["en", "es"]


@pytest.mark.parametrize(
    ("text", "without", "normal"),
    [
        ("<en>Where is <es>el Mercado?", "where is el mercado", "<en>where is <es>el mercado"),
        ("<en>The beach<es>¿está lejos?", "the beach está lejos", "<en>the beach <es>está lejos"),
        ("<en>chat<es>ear", "chatear", "<en>chat<es>ear"),
        ("<en>one <en>two", "one two", "<en>one two"),
        ("one <es>dos", "one dos", "one <es>dos"),
        ("<en><es>hola <en>!", "hola", "<es>hola"),
        ("<fr>où <es>allí", "fr où allí", "fr où <es>allí"),
        ("<en>chat\u200c<es>\u200eear", "chatear", "<en>chat<es>ear"),
        ("<en>", "", ""),
    ],
)
def test_tags_give_each_character_a_language(text: str, without: str, normal: str) -> None:
    found = tagged(text, LANGUAGES)
    assert untagged(text, LANGUAGES) == without
    assert with_tags(found) == normal
    assert tagged(normal, LANGUAGES) == found
    assert all((character == " ") <= (language == "") for character, language in found)


@given(st.text(), st.sampled_from(LANGUAGES))
def test_text_of_one_language_is_plain_text(text: str, language: str) -> None:
    found = tagged(f"<{language}>{text.replace('<', ' ')}", LANGUAGES)
    assert "".join(c for c, _ in found) == plain(text.replace("<", " "))
    assert {of for c, of in found if c != " "} <= {language}


@given(st.text())
def test_without_languages_nothing_is_a_tag(text: str) -> None:
    assert untagged(f"<en>{text}", []) == plain(f"<en>{text}")
