"""The normal form of text in which recognisers are trained and recognised text is compared.

Text that switches between languages is tagged: "<en>where is the <es>mercado" is English up to
"the" and Spanish from there on. Which tags count is said with each call, as texts can hold other
words in angle brackets.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'"})
NORMALISATION = "NFC, lower case, letters, marks, digits and inner apostrophes alone"
"""What `plain` does, recorded with scores."""


def plain(text: str) -> str:
    """Text in lower case and without punctuation, with single spaces between words.

    In Unicode's composed form (NFC). Letters, their marks and digits are kept, and apostrophes
    between two letters ("don't", "l'eau"); anything else separates words, but for characters that
    only say how others are drawn (joiners of Persian and of Indian scripts, soft hyphens, marks of
    direction), which are left out. Digits are not spelled out.
    """
    composed = unicodedata.normalize("NFC", _seen(text)).lower().translate(_APOSTROPHES)
    edged = f" {unicodedata.normalize('NFC', composed)} "
    kept = [
        c if _belongs(c) or (c == "'" and _belongs(before) and _belongs(after)) else " "
        for before, c, after in zip(edged, edged[1:], edged[2:], strict=False)
    ]
    return " ".join("".join(kept).split())


Tagged = list[tuple[str, str]]
"""The characters of a text and the language of each: "" of a space, and before the first tag."""


def tagged(text: str, languages: Collection[str]) -> Tagged:
    """The characters of `plain` text, and the language of each.

    A tag within a word leaves it one word.
    """
    pieces = re.split(_tags(languages), _seen(text))
    found: Tagged = []
    inside = False
    for language, piece in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        run = plain(piece)
        if run and found and not (inside and _belongs(piece[0])):
            found.append((" ", ""))
        found += [(character, "" if character == " " else language) for character in run]
        if piece:
            inside = _belongs(piece[-1])
    return found


def untagged(text: str, languages: Collection[str]) -> str:
    """`plain` text without the tags of these languages."""
    return "".join(character for character, _ in tagged(text, languages))


def with_tags(characters: Iterable[tuple[str, str]]) -> str:
    """The text of characters and their languages, each tag before the first letter it is for."""
    parts, last = [], ""
    for character, language in characters:
        if language not in ("", last):
            parts.append(f"<{language}>")
            last = language
        parts.append(character)
    return "".join(parts)


def _seen(text: str) -> str:
    """Without characters that have no shape of their own (Unicode's category Cf)."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def _tags(languages: Collection[str]) -> str:
    """A pattern of the tags, whose group is the language."""
    return f"<({'|'.join(map(re.escape, languages)) or '(?!)'})>"


def _belongs(character: str) -> bool:
    """Whether it is a letter, a mark or a digit."""
    return unicodedata.category(character)[0] in "LMN"
