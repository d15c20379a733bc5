"""How much of its codebook a unit model uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zerochain.formats.units import UnitFile
from zerochain.metrics.bitrate import entropy, histograms_of, laid_out
from zerochain.metrics.bootstrap import histogram_interval

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Usage:
    """Codebook usage over a whole unit file, each unit counted for as many steps as it lasts."""

    usage: float
    """The fraction of the units that occur at all."""
    perplexity: float
    """2^H: the number of units that would give this entropy if all were equally frequent."""
    usage_interval: Interval
    perplexity_interval: Interval
    """95 %, over utterances; None for a single one."""
    n_used: int
    n_units: int
    n_steps: int


def codebook_usage(unit_file: UnitFile, *, seed: int = 0) -> Usage:
    """Usage and perplexity of the units in a file.

    Perplexity far below the number of units used tells of a few units that take most of the
    time; usage far below 1, of a codebook that has collapsed or is too large for the speech.
    """
    k = unit_file.n_units
    units, steps, lengths = laid_out(unit_file)
    histograms = histograms_of(units, lengths, k, steps)
    counts = np.asarray(histograms.sum(axis=0), np.float64)
    n_used = int((counts > 0).sum())
    usage, perplexity = n_used / k, float(2 ** entropy(counts))
    return Usage(
        usage=usage,
        perplexity=perplexity,
        usage_interval=histogram_interval(
            histograms, lambda drawn: (drawn > 0).mean(axis=1), usage, highest=1, seed=seed
        ),
        perplexity_interval=histogram_interval(
            histograms, lambda drawn: 2 ** entropy(drawn), perplexity, highest=k, seed=seed
        ),
        n_used=n_used,
        n_units=k,
        n_steps=int(counts.sum()),
    )
