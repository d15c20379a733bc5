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


@st.composite
def aligned_frames(draw: st.DrawFn) -> dict[str, list[tuple[str, int]]]:
    """Utterances as (phone, unit) frames of 10 ms; the phone "SIL" is a silence."""
    frame = st.tuples(st.sampled_from(["a", "b", "ŋ", "SIL"]), st.integers(0, 4))
    line = st.lists(frame, min_size=1, max_size=25)
    return draw(st.dictionaries(st.sampled_from("uvw"), line, min_size=1, max_size=3))
