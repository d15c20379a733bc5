"""Which utterances are held out for validation."""

from __future__ import annotations

import hashlib

from zerochain.errors import InputError, counted


def validation_ids(ids: list[str], fraction: float = 0.05) -> set[str]:
    """The utterances held out for validation, at least one, chosen by the hashes of their ids.

    They don't depend on a seed.

    Raises:
        InputError: fewer than two utterances.
    """
    if len(ids) < 2:
        raise InputError(
            f"a network can't be trained on {counted(len(ids), 'utterance')}",
            cause="training needs one utterance and validation another",
            remedy="give more recordings",
        )
    ranked = sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(ranked[: max(1, round(len(ids) * fraction))])
