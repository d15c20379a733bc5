"""Phones by units as pictures, of systems whose corpus has gold phones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from zerochain.errors import InputError
from zerochain.formats.phones import Phones
from zerochain.formats.units import UnitFile
from zerochain.metrics.quality import align_frames
from zerochain.metrics.silences import chosen
from zerochain.report import figures, style
from zerochain.report.drawings import Drawing
from zerochain.report.examples import scored_units
from zerochain.report.run import Run
from zerochain.report.score_tables import ScoreTable

_MOST = 3


def phone_maps(run: Run, table: ScoreTable | None) -> Iterator[Drawing]:
    """Heatmaps of at most three systems, those with scores beside gold phones first.

    Silences and shifts are as they were scored.
    """
    options = {
        score.inputs["units"]: score.options
        for score in run.scores
        if "silences" in score.options and "frame_ms" in score.options
    }
    found = [named for named in scored_units(run, table) if run.corpus_of(named[1])]
    found.sort(key=lambda named: named[1].id not in options)
    drawn = 0
    for name, units in found:
        corpus = run.corpus_of(units)
        phones = None if corpus is None else run.phones_of(corpus)
        if phones is None or drawn == _MOST:
            continue
        drawing = _phone_map(name, units, phones, options.get(units.id, {}))
        if drawing is not None:
            drawn += 1
            yield drawing


def _phone_map(
    name: str, units: UnitFile, phones: Phones, options: Mapping[str, Any]
) -> Drawing | None:
    """None where no frame lies in a phone."""
    known = [one for one in units.ids if one in phones.by_id]
    silences = chosen(options.get("silences"))
    try:
        aligned = align_frames(
            units.restrict(known), phones, silences=silences, shift_ms=options.get("shift_ms", 0.0)
        )
    except InputError:
        return None
    frames = aligned.table.sum(axis=0)
    shares = aligned.table[:, frames > 0] / frames[frames > 0]
    best = shares.argmax(axis=0)
    order = np.lexsort((-shares.max(axis=0), best))
    rows = [*aligned.names, "no phone"]
    figure = figures.phone_units(shares[:, order], rows, name)
    n_spoken = len(set(best.tolist()) - {len(aligned.names)})
    caption = (
        f"What each of {len(order)} units is, in frames of 10 ms: {n_spoken} of "
        f"{len(aligned.names)} phones are the most frequent one of some unit."
    )
    return Drawing(style.inline_svg(figure, f"{name}: {caption}", f"phones-{units.id}"), caption)
