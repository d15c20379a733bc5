"""Which phones are taken for which: ABX errors of pairs of phones as pictures.

Phones by units as pictures, of systems whose corpus has gold phones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from zerochain.errors import InputError
from zerochain.formats.abx_cells import AbxCells
from zerochain.formats.phones import Phones
from zerochain.formats.units import UnitFile
from zerochain.metrics.quality import align_frames
from zerochain.metrics.silences import chosen
from zerochain.report import figures, style
from zerochain.report.drawings import Drawing
from zerochain.report.examples import scored_units
from zerochain.report.run import Run
from zerochain.report.score_tables import ScoreTable
from zerochain.scoring.abx_tables import PairError, phone_errors

_MOST, _WORST = 6, 3
_FEW = 10
"""Cells: the error of a pair of phones that rests on fewer is mostly chance."""


def abx_maps(run: Run) -> Iterator[Drawing]:
    """A matrix of phones by phones for each of at most six systems, across speakers if scored."""
    for cells in run.abx_cells[:_MOST]:
        modes = set(cells.table["mode"].to_pylist())
        if modes:
            yield _abx_map(cells, "across" if "across" in modes else "within")


def _abx_map(cells: AbxCells, mode: str) -> Drawing:
    pairs = phone_errors(cells, mode)
    phones = sorted({phone for _, *both, _, _, _ in pairs for phone in both})
    place = {phone: i for i, phone in enumerate(phones)}
    errors = np.full((len(phones), len(phones)), np.nan)
    for _, a, b, error, _, _ in pairs:
        errors[place[a], place[b]] = error
    title = f"{cells.system}: ABX {mode} speakers ({cells.protocol}, {cells.distance})"
    caption = (
        f"{len(pairs)} pairs of phones; a row is what was said (A and X), a column what it is "
        "taken for (B); 50 % is chance, empty squares were not compared." + _worst(pairs)
    )
    figure = figures.phone_confusions(errors, phones, title)
    return Drawing(
        style.inline_svg(figure, f"{title}. {caption}", f"abx-{cells.id}-{mode}"), caption
    )


def _worst(pairs: list[PairError]) -> str:
    """The pairs of most errors among those that rest on enough, in words."""
    firm = [pair for pair in pairs if pair[4] >= _FEW]
    if not firm:
        return f" None rests on {_FEW} cells: take them for hints."
    worst = sorted(firm, key=lambda pair: -pair[3])[:_WORST]
    named = ", ".join(f"{a} as {b} {error:.0f} % ({n} cells)" for _, a, b, error, n, _ in worst)
    few = f"; {len(pairs) - len(firm)} rest on fewer" if len(firm) < len(pairs) else ""
    return f" The worst of {len(firm)} pairs that rest on {_FEW} cells or more: {named}{few}."


_MOST_UNITS = 3


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
        if phones is None or drawn == _MOST_UNITS:
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
