"""Which phones are taken for which: ABX errors of pairs of phones as pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zerochain.formats.abx_cells import AbxCells
from zerochain.report import figures, style
from zerochain.report.drawings import Drawing
from zerochain.report.run import Run
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
