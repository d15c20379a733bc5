"""ABX beyond one number: tables of cells and pairs, and the comparison of two systems.

Which phones a system confuses, and for which speakers it fails, is in the averages per pair. Two
systems are compared on the cells that both have: the interval is that of their difference, which is
narrower than their own intervals suggest, since the same phones are hard for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.abx_cells import CELLS_FILE, KEYS, SCHEMA, AbxCells, read_cells, write_cells
from zerochain.formats.scores import Score
from zerochain.formats.text_files import write_csv
from zerochain.metrics.abx import AbxResult
from zerochain.metrics.abx_plan import Mode
from zerochain.metrics.bootstrap import collapse, pigeonhole_interval
from zerochain.metrics.comparison import Comparison

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
PairError = tuple[str, str, str, float, int, int]
"""Mode, both labels, ABX error in %, cells, triples."""
PHONE_PAIRS, SPEAKER_PAIRS = "abx_phone_pairs.csv", "abx_speaker_pairs.csv"
_SAME = (
    "protocol", "span", "context", "direction", "collapse", "max_tokens", "max_speakers", "frames",
    "seed", "split", "silences", "shift_ms",
)  # fmt: skip
_SAME_INPUTS = ("corpus", "phones", "items")
"""Options and inputs that two systems must share to be compared."""
_PHONES, _SPEAKERS = ("phone_a", "phone_b"), ("speaker", "speaker_x")
_BY_SPEAKERS = (("previous", "next"), ("phone_a", "phone_b"))
"""The columns to average over for a pair of speakers."""


def write_abx_tables(
    folder: Path, results: Mapping[Mode, AbxResult], scores: Sequence[Score]
) -> None:
    """Write abx_cells.parquet, abx_phone_pairs.csv and abx_speaker_pairs.csv into a folder.

    Errors of a pair of phones (A's and X's, B's) are averaged as in the protocol; those of a pair
    of speakers (A's and B's, X's) over contexts, then over pairs of phones.

    Args:
        results: mode → its result.
        scores: one for each result.
    """
    cells = cells_of(results, scores[0])
    write_cells(folder / CELLS_FILE, cells)
    header = ("error_%", "cells", "triples")
    phones = [row for mode in results for row in phone_errors(cells, mode)]
    write_csv(folder / PHONE_PAIRS, ("mode", *_PHONES, *header), phones)
    speakers = [
        row for mode in results for row in _pair_errors(cells, mode, _SPEAKERS, _BY_SPEAKERS)
    ]
    write_csv(folder / SPEAKER_PAIRS, ("mode", *_SPEAKERS, *header), speakers)


def cells_of(results: Mapping[Mode, AbxResult], first: Score) -> AbxCells:
    """The cells of all modes; `first` is the score of one of them."""
    return AbxCells(
        table=pa.concat_tables([_as_rows(mode, result) for mode, result in results.items()]),
        system=first.system,
        protocol=first.protocol,
        distance=str(first.options["distance"]),
        options=dict(first.options),
        inputs=dict(first.inputs),
    )


def phone_errors(cells: AbxCells, mode: str) -> list[PairError]:
    """The ABX error of every ordered pair of phones, averaged as in the protocol."""
    levels = [level for level in cells.options["collapse"] if not {*level} & {*_PHONES}]
    return _pair_errors(cells, mode, _PHONES, levels)


def _pair_errors(
    cells: AbxCells, mode: str, columns: Sequence[str], levels: Iterable[Sequence[str]]
) -> list[PairError]:
    """The ABX error of every pair of labels.

    Args:
        columns: the two columns of the pair.
        levels: columns to average over, in this order.
    """
    table = cells.of_mode(mode)
    keys, names = _columns(table)
    scores, n = table["score"].to_numpy(), table["n"].to_numpy()
    pairs, pair = np.unique(np.stack([keys[c] for c in columns]), axis=1, return_inverse=True)
    pair = pair.ravel()
    order = np.argsort(pair, kind="stable")
    found: list[PairError] = []
    for i, part in enumerate(np.split(order, np.flatnonzero(np.diff(pair[order])) + 1)):
        inside = {c: codes[part] for c, codes in keys.items() if c not in columns}
        error = 100 * (1 - collapse(scores[part], inside, [*levels, tuple(inside)]))
        labels = [names[c][code] for c, code in zip(columns, pairs[:, i], strict=True)]
        found.append((mode, labels[0], labels[1], error, len(part), int(n[part].sum())))
    return found


@dataclass(frozen=True, kw_only=True)
class AbxComparison(Comparison):
    """ABX errors of two systems on the same cells, in per cent.

    The interval is over phones and speakers.
    """

    mode: str
    n_cells: int
    left_out: tuple[int, int]
    """Number of cells that only the first and only the second system has."""


def compare_abx(
    first: Path, second: Path, *, seed: int = 0
) -> tuple[list[AbxComparison], list[str]]:
    """Compare two systems on the cells that both have.

    Args:
        first, second: abx_cells.parquet, or the folders that hold them.

    Returns:
        A comparison for each mode that both have, and the systems' names, or the paths where both
        have the same name.

    Raises:
        InputError: different tokens, protocols or options; no cell in common.
    """
    both = read_cells(first), read_cells(second)
    _check_comparable(*both, second)
    modes = [set(cells.table["mode"].unique().to_pylist()) for cells in both]
    found = [
        _compare(mode, *both, seed) for mode in ("within", "across") if mode in modes[0] & modes[1]
    ]
    if not found:
        raise InputError(
            "the two have no mode in common", path=second, remedy="score both with the same mode"
        )
    names = [cells.system for cells in both]
    return found, names if names[0] != names[1] else [str(first), str(second)]


def difference_interval(
    first: AbxCells, second: AbxCells, mode: str, *, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of the difference of two ABX errors (%), first minus second, on equal cells.

    None where it can't be estimated, or the cells are of other tokens or another protocol.
    """
    try:
        _check_comparable(first, second, Path())
        return _compare(mode, first, second, seed).interval
    except InputError:
        return None


def _as_rows(mode: str, result: AbxResult) -> pa.Table:
    """The cells of a result, with all columns of a cells file."""
    there = {name: result.cells[name].cast(pa.string()) for name in result.cells.column_names[:-2]}
    there.setdefault("speaker_x", there["speaker"])
    empty = pa.array([""] * result.n_cells)
    columns = {name: there.get(name, empty) for name in KEYS}
    of_all = {"mode": [mode] * result.n_cells, **columns}
    return pa.table({**of_all, "score": result.cells["score"], "n": result.cells["n"]}).cast(SCHEMA)


def _columns(table: pa.Table) -> tuple[dict[str, Ints], dict[str, list[str]]]:
    """Codes (C,) and sorted names of every column that identifies a cell."""
    keys, names = {}, {}
    for column in KEYS:
        found, codes = np.unique(np.array(table[column].to_pylist(), str), return_inverse=True)
        keys[column], names[column] = codes.astype(np.int64), found.tolist()
    return keys, names


def _compare(mode: str, first: AbxCells, second: AbxCells, seed: int) -> AbxComparison:
    tables = [cells.of_mode(mode) for cells in (first, second)]
    keys, _ = _columns(pa.concat_tables(tables))
    _, cell = np.unique(np.stack(list(keys.values())), axis=1, return_inverse=True)
    ours, others = np.split(cell.ravel(), [len(tables[0])])
    _, mine, theirs = np.intersect1d(ours, others, assume_unique=True, return_indices=True)
    if len(mine) == 0:
        raise InputError(
            f"the two have no cell of mode {mode} in common",
            cause="they were scored on different tokens",
            remedy="score both on the same corpus, split and items",
        )
    scores = [tables[0]["score"].to_numpy()[mine], tables[1]["score"].to_numpy()[theirs]]
    keys = {column: codes[: len(tables[0])][mine] for column, codes in keys.items()}
    levels = [*map(tuple, first.options["collapse"]), tuple(keys)]
    errors = [100 * (1 - collapse(values, keys, levels)) for values in scores]
    ends = pigeonhole_interval(scores[1] - scores[0], keys, levels, seed=seed)
    return AbxComparison(
        mode=mode,
        first=errors[0],
        second=errors[1],
        interval=None if ends is None else (100 * ends[0], 100 * ends[1]),
        n_cells=len(mine),
        left_out=(len(tables[0]) - len(mine), len(tables[1]) - len(mine)),
    )


def _check_comparable(first: AbxCells, second: AbxCells, path: Path) -> None:
    """Refuse cells of different tokens, or with different averaging."""
    facts = [
        {**{name: c.options.get(name) for name in _SAME}, **c.inputs, "protocol": c.protocol}
        for c in (first, second)
    ]
    differ = [name for name in (*_SAME, *_SAME_INPUTS) if facts[0].get(name) != facts[1].get(name)]
    if differ:
        raise InputError(
            f"{first.system!r} and {second.system!r} were scored with different "
            + "; ".join(f"{n} ({facts[0].get(n)} and {facts[1].get(n)})" for n in differ),
            path=path,
            cause="a difference would mix the systems with how they were scored",
            remedy="score both with the same options, on the same corpus",
        )
