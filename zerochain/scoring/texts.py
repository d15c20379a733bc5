"""Transcripts of a corpus's utterances, for whatever is scored against text."""

from __future__ import annotations

from collections.abc import Sequence

from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import check_same_ids


def transcripts(corpus: Corpus, names: Sequence[str]) -> dict[str, str]:
    """The texts of some utterances, as they stand in the corpus.

    Raises:
        InputError: the corpus lacks an utterance or its text.
    """
    check_same_ids(names, corpus.ids, "utterances", f"corpus {corpus.name}")
    texts = {u.id: u.text for u in corpus.utterances}
    without = [name for name in names if not texts[name]]
    if without:
        raise InputError(
            f"{len(without)} of {len(names)} utterances have no text: {listed(without)}",
            path=corpus.folder,
            cause="the corpus was imported without transcripts",
            remedy="import it again with a table that has a column 'text'",
        )
    return {name: str(texts[name]) for name in names}
