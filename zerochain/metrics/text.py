"""Text as a recogniser writes it, and as recognised text is compared."""

from __future__ import annotations

import unicodedata

_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'"})
NORMALISATION = "NFC, lower case, letters, marks, digits and inner apostrophes alone"
"""What `plain` does, for whoever reads a score."""


def plain(text: str) -> str:
    """Text in lower case and without punctuation, its words one space apart.

    In Unicode's composed form. Letters, their marks and digits stay; an apostrophe stays between
    two letters ("don't", "l'eau"); anything else ends a word. Digits are not spelled out.
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
