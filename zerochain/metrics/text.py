"""The normal form of text in which recognisers are trained and recognised text is compared."""

from __future__ import annotations

import unicodedata

_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'"})
NORMALISATION = "NFC, lower case, letters, marks, digits and inner apostrophes alone"
"""What `plain` does, recorded with scores."""


def plain(text: str) -> str:
    """Text in lower case and without punctuation, with single spaces between words.

    In Unicode's composed form (NFC). Letters, their marks and digits are kept, and apostrophes
    between two letters ("don't", "l'eau"); anything else separates words. Digits are not spelled
    out.
    """
    composed = unicodedata.normalize("NFC", text).lower().translate(_APOSTROPHES)
    edged = f" {unicodedata.normalize('NFC', composed)} "
    kept = [
        c if _belongs(c) or (c == "'" and _belongs(before) and _belongs(after)) else " "
        for before, c, after in zip(edged, edged[1:], edged[2:], strict=False)
    ]
    return " ".join("".join(kept).split())


def _belongs(character: str) -> bool:
    """Whether it is a letter, a mark or a digit."""
    return unicodedata.category(character)[0] in "LMN"
