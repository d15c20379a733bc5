"""Hypothesis strategies that several tests share."""

import unicodedata

from hypothesis import strategies as st


def _is_id(text: str) -> bool:
    return (
        text == unicodedata.normalize("NFC", text)
        and text == text.strip()
        and text.isprintable()
        and "\\" not in text
        and all(part not in {"", ".", ".."} for part in text.split("/"))
    )


utterance_ids = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "M", "Zs")),
    min_size=1,
    max_size=20,
).filter(_is_id)
"""Ids as any language writes them, in composed form."""
