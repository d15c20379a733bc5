"""Which utterances training holds out to see when it is done."""

from __future__ import annotations

import hashlib

from zerochain.errors import InputError


def validation_ids(ids: list[str], fraction: float = 0.05) -> set[str]:
    """The utterances that training never sees, chosen by their ids' hashes: at least one.

    Raises:
        InputError: fewer than two utterances.
    """
    if len(ids) < 2:
        raise InputError(
            f"a network can't be trained on {len(ids)} utterance",
            cause="training needs one utterance and validation another",
            remedy="give more recordings",
        )
    ranked = sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(ranked[: max(1, round(len(ids) * fraction))])
