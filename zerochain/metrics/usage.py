"""How much of its codebook a unit model uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zerochain.formats.units import UnitFile
from zerochain.metrics.bitrate import entropy


@dataclass(frozen=True)
class Usage:
    """Codebook usage over a whole unit file, each unit counted for as many steps as it lasts."""

    usage: float
    """The fraction of the units that occur at all."""
    perplexity: float
    """2^H: the number of units that would give this entropy if all were equally frequent."""
    n_used: int
    n_units: int
    n_steps: int


def codebook_usage(unit_file: UnitFile) -> Usage:
    """Usage and perplexity of the units in a file.

    Perplexity far below the number of units used tells of a few units that take most of the
    time; usage far below 1, of a codebook that has collapsed or is too large for the speech.
    """
    counts = np.zeros(unit_file.n_units)
    for name in unit_file.ids:
        counts += np.bincount(unit_file.steps(name), minlength=unit_file.n_units)
    n_used = int((counts > 0).sum())
    return Usage(
        usage=n_used / unit_file.n_units,
        perplexity=float(2 ** entropy(counts)),
        n_used=n_used,
        n_units=unit_file.n_units,
        n_steps=int(counts.sum()),
    )
