"""How well units spell the phones: each unit stands for the phone that it is most often in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import Phones
from zerochain.formats.units import UnitFile, run_lengths
from zerochain.metrics.quality import Aligned
from zerochain.metrics.silences import SILENCES
from zerochain.metrics.translation import Estimate, error_rate


@dataclass(frozen=True, eq=False)
class PhoneMap:
    """Which phone each unit stands for: many units to one phone."""

    names: tuple[str, ...]
    of_unit: NDArray[np.int64]
    """(K,) codes into `names`; their number stands for no phone."""
    unseen: frozenset[int]
    """Units that nothing was learned of, which stand for no phone."""

    def steps(self, unit_file: UnitFile, name: str) -> NDArray[np.int64]:
        """Codes of the phones of an utterance's steps (T,)."""
        return self.of_unit[unit_file.steps(name)]

    def spelled(self, unit_file: UnitFile, name: str) -> list[str]:
        """The phones of an utterance: runs are merged, then what is no phone is left out."""
        codes, _ = run_lengths(self.steps(unit_file, name).astype(np.int32))
        return [self.names[code] for code in codes if code < len(self.names)]


def many_to_one(aligned: Aligned) -> PhoneMap:
    """Map each unit to its most frequent phone, or to none if it is mostly in silence.

    Of phones that are equally frequent the first in the alphabet is taken.
    """
    table = aligned.table
    seen = table.sum(axis=0) > 0
    of_unit = np.where(seen, table.argmax(axis=0), len(aligned.names))
    return PhoneMap(aligned.names, of_unit, frozenset(np.flatnonzero(~seen).tolist()))


def phone_error_rate(
    unit_file: UnitFile,
    phones: Phones,
    mapping: PhoneMap,
    *,
    silences: Collection[str] = SILENCES,
    seed: int = 0,
) -> Estimate:
    """Levenshtein distance of mapped units and gold phones over the number of gold phones, in %.

    Runs of one phone are merged in the units and not in the gold string, where two neighbours of
    one kind are two phones. Insertions can take it above 100.

    Raises:
        InputError: an utterance without an alignment, or no phone at all.
    """
    check_same_ids(unit_file.ids, phones.by_id, "units", "alignments")
    gold = [
        [[p.phone for p in phones.by_id[name] if p.phone not in silences]] for name in unit_file.ids
    ]
    spelled = [mapping.spelled(unit_file, name) for name in unit_file.ids]
    return error_rate(spelled, gold, seed=seed)
