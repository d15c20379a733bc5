"""ABX: how often a token X is nearer to a token of another phone (B) than of its own (A).

Error = 100 · (1 - mean score), a triple scoring 1 where d(X, A) < d(X, B), ½ where equal, else 0;
50 is chance. Schatz et al. 2013 (Interspeech); ZeroSpeech 2019 and 2021 for what is averaged
with what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile
from zerochain.metrics import abx_kernel as kernel
from zerochain.metrics.abx_engine import (
    UNIT_KINDS,
    VECTOR_KINDS,
    Distance,
    Sequences,
    distance_table,
    score_plan,
)
from zerochain.metrics.abx_plan import TRIPHONE, Mode, Plan, Protocol, plan
from zerochain.metrics.bootstrap import collapse, pigeonhole_interval
from zerochain.metrics.items import Exclusions, Item, frame_span


@dataclass(frozen=True, eq=False)
class AbxResult:
    """An ABX error in per cent, and what it rests on."""

    mode: Mode
    distance: Distance
    value: float
    interval: tuple[float, float] | None
    """95 %, over phones and speakers; None where there is a single pair of phones."""
    n_items: int
    n_cells: int
    n_triples: int
    cells: pa.Table
    """phone_a, phone_b, speaker (of A and B), speaker_x, previous, next, score, n (triples)."""
    exclusions: Exclusions
    """Items that could not be used: why → how many."""


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
    """The ABX error of features or units over items.

    Args:
        items: their `file` is an utterance's id in the representation.
        mode: X of the same speaker as A and B ("within"), or of another ("across").
        distance: between frames, under DTW: "angular" (arccos / π), "euclidean", "kl" for
            features, and for units with a codebook; "identical" (0 or 1) for units; or
            "levenshtein" between unit sequences, without DTW. None: angular where there are
            vectors, else identical.
        codebook: the units' vectors (K, D).
        seed: draws the tokens that a protocol keeps, and the interval's replicates.
        jobs: threads; None takes all cores.

    Raises:
        NoCellsError: no A, B and X can be chosen (one speaker across, say).
        InputError: items of files that the representation lacks, a distance that doesn't fit,
            NaN.
    """
    sequences, name = _sequences(representation, distance, codebook)
    files = dict.fromkeys(item.file for item in items)
    check_same_ids(list(files), list(sequences.index), "ABX items", "units or features")
    # Sorted, so that no random draw depends on the order in which items are listed.
    usable, spans, exclusions = _usable(sorted(items), sequences)
    todo = plan(usable, mode, protocol, seed)
    scores = score_plan(todo, spans, sequences, protocol, jobs)
    keys = _keys(todo, mode)
    interval = pigeonhole_interval(scores, keys, protocol.collapse, seed=seed)
    return AbxResult(
        mode=mode,
        distance=name,
        value=_error(collapse(scores, keys, protocol.collapse)),
        interval=None if interval is None else (_error(interval[1]), _error(interval[0])),
        n_items=len(todo.order),
        n_cells=len(scores),
        n_triples=int(todo.n_triples.sum()),
        cells=_table(todo, scores),
        exclusions=exclusions,
    )


def _error(score: float) -> float:
    return 100 * (1 - score)


def _sequences(
    representation: Features | UnitFile,
    distance: Distance | None,
    codebook: NDArray[np.float32] | None,
) -> tuple[Sequences, Distance]:
    if isinstance(representation, Features):
        name = distance or "angular"
        if name not in VECTOR_KINDS:
            raise InputError(
                f"distance {name!r} compares units, and these are features",
                remedy=f"choose {', '.join(VECTOR_KINDS)}, or score a unit file",
            )
        features = representation
        kind = VECTOR_KINDS[name]
        return Sequences(features.frames, features.index, features.step_ms, kind), name
    name = distance or ("identical" if codebook is None else "angular")
    if name in UNIT_KINDS:
        return _unit_sequences(representation, UNIT_KINDS[name], None), name
    if codebook is None:
        raise InputError(
            f"distance {name!r} compares vectors, and units alone have none",
            cause="the unit model was not given",
            remedy=f"give --model, or choose {' or '.join(UNIT_KINDS)}",
        )
    if len(codebook) < representation.n_units:
        raise InputError(
            f"the codebook has {len(codebook)} vectors for {representation.n_units} units",
            cause="it is of another unit model",
            remedy="give the model that the units were encoded with",
        )
    table = distance_table(codebook, name)
    return _unit_sequences(representation, kernel.TABLE, table), name


def _unit_sequences(unit_file: UnitFile, kind: int, table: NDArray[np.float32] | None) -> Sequences:
    if unit_file.n_units > 1 << 24:  # the kernel holds units in float32
        raise InputError(f"{unit_file.n_units} units are more than the 16,777,216 that ABX takes")
    index: dict[str, tuple[int, int]] = {}
    steps, start = [], 0
    for name in unit_file.ids:
        steps.append(unit_file.steps(name))
        index[name] = (start, len(steps[-1]))
        start += len(steps[-1])
    frames = np.concatenate(steps)[:, None]
    return Sequences(frames, index, unit_file.step_ms, kind, table)


def _usable(
    items: list[Item], sequences: Sequences
) -> tuple[list[Item], NDArray[np.int64], Exclusions]:
    """The items with frames, their spans (I, 2), and how many of the others there are and why."""
    kept, spans, excluded = [], [], Counter[str]()
    for item in items:
        start, n_frames = sequences.index[item.file]
        first, last = frame_span(item.onset, item.offset, sequences.step_ms)
        if first == last:
            excluded["without_a_frame"] += 1
        elif first < 0 or last > n_frames:
            excluded["outside_the_audio"] += 1
        else:
            kept.append(item)
            spans.append((start + first, last - first))
    return kept, np.array(spans, np.int64).reshape(-1, 2), dict(excluded)


def _keys(todo: Plan, mode: Mode) -> Mapping[str, NDArray[np.int64]]:
    a, b, x = todo.cells.T
    keys = {
        "context": todo.context[a],
        "speaker": todo.speaker[a],
        "phone_a": todo.phone[a],
        "phone_b": todo.phone[b],
    }
    return keys if mode == "within" else {**keys, "speaker_x": todo.speaker[x]}


def _table(todo: Plan, scores: NDArray[np.float64]) -> pa.Table:
    a, b, x = todo.cells.T
    previous, following = [c[0] for c in todo.contexts], [c[1] for c in todo.contexts]
    columns = {
        "phone_a": (todo.phone[a], todo.phones),
        "phone_b": (todo.phone[b], todo.phones),
        "speaker": (todo.speaker[a], todo.speakers),
        "speaker_x": (todo.speaker[x], todo.speakers),
        "previous": (todo.context[a], previous),
        "next": (todo.context[a], following),
    }
    named = {
        name: pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(labels))
        for name, (codes, labels) in columns.items()
    }
    return pa.table({**named, "score": scores, "n": todo.n_triples})
