"""The same translation for everything: what scores without any hearing at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from zerochain.errors import InputError


def most_frequent(targets: Sequence[Sequence[Hashable]]) -> int:
    """The place of the most frequent target; of equally frequent ones the most central.

    Units of speech hardly ever repeat themselves, so mostly the second rule decides: the least
    edit distance to the other targets, over the length of the longer.

    Raises:
        InputError: there is none.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    if not targets:
        raise InputError("there is no training target", remedy="choose another training split")
    keys = [tuple(target) for target in targets]
    counts = Counter(keys)
    distinct, most = list(counts), max(counts.values())
    tied = [key for key in distinct if counts[key] == most]
    distances = cdist(tied, distinct, scorer=Levenshtein.normalized_distance, dtype=np.float64)
    weights = np.array([counts[key] for key in distinct])
    return keys.index(tied[int(np.argmin(distances @ weights))])
