"""ABX: how often a token X is nearer to a token B of another phone than to A of its own.

A triple scores 1 where d(X, A) < d(X, B), ½ where they are equal, else 0; the error is 100 · (1 -
mean score), and 50 is chance (Schatz et al. 2013, Interspeech). "Within" speakers, all three tokens
are by one speaker; "across", X is by another speaker than A and B. Triples that share their labels
make a cell; cells are averaged level by level, over contexts, speakers and pairs of phones, in the
order that a protocol of ZeroSpeech fixes (`abx_plan`), so that frequent phones do not dominate.

`abx_plan` chooses the cells, `abx_engine` cuts them into chunks for the threads, `abx_kernel` and
`abx_lanes` compute the distances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zerochain.errors import InputError, counted
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile
from zerochain.metrics import abx_kernel as kernel
from zerochain.metrics.abx_engine import (
    UNIT_KINDS,
    VECTOR_KINDS,
    Direction,
    Distance,
    Sequences,
    check_finite,
    distance_table,
    score_plan,
)
from zerochain.metrics.abx_plan import (
    TRIPHONE,
    Conditions,
    Ints,
    Labels,
    Levels,
    Mode,
    NoCellsError,
    Plan,
    Protocol,
    plan,
)
from zerochain.metrics.bootstrap import collapse, pigeonhole_interval
from zerochain.metrics.items import Exclusions, FrameRule, Item, item_frames


@dataclass(frozen=True, eq=False)
class AbxResult:
    """An ABX error in per cent, and the data behind it."""

    conditions: Conditions
    distance: Distance
    value: float
    interval: tuple[float, float] | None
    """95 %, over phones and speakers; None for a single pair of phones."""
    n_items: int
    """Items with frames, after the protocol's random draw."""
    n_compared: int
    """Those of them that are in a cell; the others have no match to be compared with."""
    n_items_per_side: int
    """Items that are A, B or X in some cell, on the side with the fewest."""
    n_cells: int
    n_triples: int
    cells: pa.Table
    """Labels of each cell (phone_a, phone_b, speaker of A and B, speaker_x, previous, next; or
    those of other conditions), score, n (triples)."""
    exclusions: Exclusions
    """Reason why items could not be used → their number."""


def abx(
    representation: Features | UnitFile,
    items: Sequence[Item],
    *,
    mode: Mode = "across",
    distance: Distance | None = None,
    codebook: NDArray[np.float32] | None = None,
    protocol: Protocol = TRIPHONE,
    seed: int = 0,
    jobs: int | None = None,
) -> AbxResult:
    """The ABX error of features or units over items, by a protocol.

    Args:
        items: their `file` is an utterance's id in the representation.
        mode: X by the same speaker as A and B ("within"), or by another ("across").
        distance: between frames, under DTW: "angular" (arccos / π), "euclidean", "kl" (of
            ZeroSpeech 2019) or "kl_symmetric" (of Libri-Light) for features, and for units with a
            codebook; "identical" (0 or 1) for units and for features; or "levenshtein" between
            sequences of them, without DTW. None: angular where there are vectors, else identical.
        codebook: the units' vectors (K, D).
        seed: of the tokens that a protocol draws, and of the interval's replicates.
        jobs: threads; None takes all cores.

    Raises:
        NoCellsError: no A, B and X can be chosen (for example across, with one speaker).
        InputError: items of files that the representation lacks, a distance that does not apply,
            NaN, a mode that the protocol lacks.
    """
    return abx_on(
        representation,
        items,
        protocol.conditions(mode),
        distance=distance,
        codebook=codebook,
        direction=protocol.direction,
        levels=protocol.collapse,
        max_tokens=protocol.max_tokens,
        max_x=protocol.max_speakers,
        frames=protocol.frames,
        seed=seed,
        jobs=jobs,
    )


def abx_on(
    representation: Features | UnitFile,
    items: Sequence[Item],
    conditions: Conditions,
    *,
    labels: Labels | None = None,
    distance: Distance | None = None,
    codebook: NDArray[np.float32] | None = None,
    direction: Direction = "xa",
    levels: Levels | None = None,
    max_tokens: int | None = None,
    max_x: int | None = None,
    frames: FrameRule = "middle",
    seed: int = 0,
    jobs: int | None = None,
) -> AbxResult:
    """The ABX error on, by and across any labels.

    Args:
        items, distance, codebook, seed, jobs: as `abx`.
        conditions: labels: "phone", "previous", "next", "speaker", "file", or one of `labels`.
        labels: further labels, one for each item.
        direction: DTW(X, A) or DTW(A, X).
        levels: columns of cells to average over, in this order: "<on>_a", "<on>_b", those of `by`
            and `across`, "<across>_x". The remaining ones are averaged over at the end. None:
            first `by` and X's labels, then `across`.
        max_tokens, max_x: as `plan`.
        frames: which frames belong to an item.

    Raises:
        NoCellsError, InputError: as `abx`; a label that the items lack.
    """
    sequences, name = _sequences(representation, distance, codebook)
    files = dict.fromkeys(item.file for item in items)
    check_same_ids(list(files), list(sequences.index), "ABX items", "units or features")
    labels = _labels(items, labels or {})
    # Sorted, so that random draws do not depend on the order in which items are listed.
    order = sorted(range(len(items)), key=lambda i: (items[i], [v[i] for v in labels.values()]))
    kept, spans, exclusions = _usable(items, order, sequences, frames)
    if items and not kept:
        raise _no_frames(len(items), exclusions)
    todo = plan(
        {column: [values[i] for i in kept] for column, values in labels.items()},
        conditions,
        max_tokens=max_tokens,
        max_x=max_x,
        seed=seed,
    )
    scores = score_plan(todo, spans, sequences, direction, jobs)
    keys = cell_codes(todo)
    if levels is None:
        levels = ((*conditions.by, *(f"{c}_x" for c in conditions.across)), conditions.across)
    levels = (*levels, tuple(keys))
    interval = pigeonhole_interval(scores, keys, levels, sampled=_sampled(conditions), seed=seed)
    return AbxResult(
        conditions=conditions,
        distance=name,
        value=_error(collapse(scores, keys, levels)),
        interval=None if interval is None else (_error(interval[1]), _error(interval[0])),
        n_items=len(todo.order),
        n_compared=int(todo.sizes[np.unique(todo.cells)].sum()),
        n_items_per_side=min(int(todo.sizes[np.unique(side)].sum()) for side in todo.cells.T),
        n_cells=len(scores),
        n_triples=int(todo.n_triples.sum()),
        cells=_table(todo, scores),
        exclusions=exclusions,
    )


def cell_codes(todo: Plan) -> dict[str, Ints]:
    """Column of the cells → each cell's index into the column's names (C,)."""
    a, b, x = todo.cells.T
    on, by, across = todo.conditions.on, todo.conditions.by, todo.conditions.across
    return {
        f"{on}_a": todo.codes[on][a],
        f"{on}_b": todo.codes[on][b],
        **{column: todo.codes[column][a] for column in (*across, *by)},
        **{f"{column}_x": todo.codes[column][x] for column in across},
    }


def _sampled(conditions: Conditions) -> dict[str, str]:
    """What the interval resamples: phones, and speakers where they are a condition."""
    on, across = conditions.on, conditions.across
    both = {**{c: c for c in across}, **{f"{c}_x": c for c in across}}
    within = {"speaker": "speaker"} if "speaker" in conditions.by else {}
    return {f"{on}_a": on, f"{on}_b": on, **both, **within}


def _labels(items: Sequence[Item], more: Labels) -> dict[str, Sequence[str]]:
    names = ("file", "phone", "previous", "next", "speaker")
    for column, values in more.items():
        if len(values) != len(items) or column in names:
            raise InputError(
                f"items already have a label {column!r}"
                if column in names
                else f"{len(values)} values of label {column!r} for {counted(len(items), 'item')}",
                remedy="give one value for each item, under a new name",
            )
    return {name: [getattr(item, name) for item in items] for name in names} | dict(more)


def _error(score: float) -> float:
    return 100 * (1 - score)


def _sequences(
    representation: Features | UnitFile,
    distance: Distance | None,
    codebook: NDArray[np.float32] | None,
) -> tuple[Sequences, Distance]:
    if isinstance(representation, Features):
        name = distance or "angular"
        features = representation
        if name in UNIT_KINDS:
            frames = _same_or_not(features.frames)
            return Sequences(frames, features.index, features.step_ms, UNIT_KINDS[name]), name
        kind = VECTOR_KINDS[name]
        return Sequences(features.frames, features.index, features.step_ms, kind), name
    name = distance or ("identical" if codebook is None else "angular")
    if name in UNIT_KINDS:
        return _unit_sequences(representation, UNIT_KINDS[name], None), name
    if codebook is None:
        raise InputError(
            f"distance {name!r} compares vectors, but units without a codebook have none",
            cause="the unit model was not given",
            remedy="give the unit model, or "
            + " or ".join(f"distance={kind!r}" for kind in UNIT_KINDS),
        )
    if len(codebook) < representation.n_units:
        raise InputError(
            f"the codebook has {counted(len(codebook), 'vector')} for "
            f"{counted(representation.n_units, 'unit')}",
            cause="it belongs to another unit model",
            remedy="give the model that the units were encoded with",
        )
    table = distance_table(codebook, name)
    return _unit_sequences(representation, kernel.TABLE, table), name


def _same_or_not(frames: NDArray[np.float32]) -> NDArray[np.int32]:
    """Numbers (T, 1) that are equal where frames (T, D) are."""
    check_finite(frames)
    rows = np.ascontiguousarray(frames + np.float32(0))  # -0 is 0
    _, codes = np.unique(rows.view(f"V{rows[0].nbytes}").ravel(), return_inverse=True)
    return codes.astype(np.int32)[:, None]


def _unit_sequences(unit_file: UnitFile, kind: int, table: NDArray[np.float32] | None) -> Sequences:
    if unit_file.n_units > 1 << 24:  # the kernel holds units in float32
        raise InputError(f"ABX takes 16,777,216 different units at most, not {unit_file.n_units:,}")
    index: dict[str, tuple[int, int]] = {}
    steps, start = [], 0
    for name in unit_file.ids:
        steps.append(unit_file.steps(name))
        index[name] = (start, len(steps[-1]))
        start += len(steps[-1])
    frames = np.concatenate(steps)[:, None]
    return Sequences(frames, index, unit_file.step_ms, kind, table)


def _usable(
    items: Sequence[Item], order: Sequence[int], sequences: Sequences, rule: FrameRule
) -> tuple[list[int], Ints, Exclusions]:
    """The items with frames, their spans (I, 2), and the numbers of the others by reason."""
    kept, spans, excluded = [], [], Counter[str]()
    for i in order:
        start, n_frames = sequences.index[items[i].file]
        found = item_frames(items[i], n_frames, sequences.step_ms, rule)
        if isinstance(found, str):
            excluded[found] += 1
        else:
            kept.append(i)
            spans.append((start + found[0], found[1] - found[0]))
    return kept, np.array(spans, np.int64).reshape(-1, 2), dict(excluded)


def _no_frames(n_items: int, exclusions: Exclusions) -> NoCellsError:
    reasons = ", ".join(f"{n:,} {why.replace('_', ' ')}" for why, n in exclusions.items())
    return NoCellsError(
        f"ABX is undefined: {counted(n_items, 'item')}, and none has a frame ({reasons})",
        cause="their times are in another unit than seconds, as milliseconds, or of other "
        "recordings, or are shifted too far",
        remedy="give times in seconds from the beginning of each recording",
    )


def _table(todo: Plan, scores: NDArray[np.float64]) -> pa.Table:
    columns = {}
    for column, codes in cell_codes(todo).items():
        stem = column if column in todo.names else column.rpartition("_")[0]
        names = pa.array(todo.names[stem], pa.string())
        columns[column] = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), names)
    return pa.table({**columns, "score": scores, "n": todo.n_triples})
