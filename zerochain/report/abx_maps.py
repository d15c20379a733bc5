"""Which phones are taken for which: ABX errors of pairs of phones as pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zerochain.formats.abx_cells import AbxCells
from zerochain.report import figures, style
from zerochain.report.drawings import Drawing
from zerochain.report.run import Run
from zerochain.scoring.abx_tables import phone_errors

_MOST, _WORST = 6, 3


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
    worst = sorted(pairs, key=lambda pair: -pair[3])[:_WORST]
    title = f"{cells.system}: ABX {mode} speakers ({cells.protocol}, {cells.distance})"
    caption = (
        f"{len(pairs)} pairs of phones; a row is what was said (A and X), a column what it is "
        "taken for (B); 50 % is chance, empty squares were not compared. The worst: "
        + ", ".join(f"{a} as {b} {error:.0f} %" for _, a, b, error, _, _ in worst)
        + "."
    )
    figure = figures.phone_confusions(errors, phones, title)
    return Drawing(
        style.inline_svg(figure, f"{title}. {caption}", f"abx-{cells.id}-{mode}"), caption
    )
