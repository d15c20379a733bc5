"""Scores ABX cells in chunks of bounded memory, in threads.

A chunk is a run of cells whose distances and frames fit into a cache; cells that share distances
are neighbours in the plan, so that few are computed twice. The kernels release Python's lock, and
the result does not depend on the chunks or on the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted
from zerochain.machine import cores
from zerochain.metrics import abx_kernel as kernel
from zerochain.metrics.abx_kernel import Doubles, Floats, Ints
from zerochain.metrics.abx_lanes import string_distances
from zerochain.metrics.abx_plan import Plan
from zerochain.progress import track

Distance = Literal["angular", "euclidean", "kl", "kl_symmetric", "identical", "levenshtein"]
Direction = Literal["xa", "ax"]
VECTOR_KINDS = {
    "angular": kernel.ANGULAR,
    "euclidean": kernel.EUCLIDEAN,
    "kl": kernel.KL,
    "kl_symmetric": kernel.KL_SYMMETRIC,
}
UNIT_KINDS = {"identical": kernel.IDENTICAL, "levenshtein": kernel.LEVENSHTEIN}
_PAIRS = 100_000
"""Item pairs per chunk: 1.6 MB of distances, about 0.2 s of work."""
_BYTES = 16_000_000
"""Bytes of frames per chunk."""
_NO_TABLE = np.zeros((1, 1), np.float32)
_EPSILON = 1e-6
"""Added under every logarithm of "kl_symmetric", as Libri-Light and fastabx do."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """Vectors (N, D), or units (N, 1) with an optional table (K, K) of their distances."""

    frames: NDArray[np.float32] | NDArray[np.int32]
    index: Mapping[str, tuple[int, int]]
    """Utterance → its first frame and its number of frames."""
    step_ms: float
    kind: int
    table: Floats | None = None


def score_plan(
    plan: Plan,
    spans: Ints,
    sequences: Sequences,
    direction: Direction = "xa",
    jobs: int | None = None,
) -> Doubles:
    """The mean score of each cell, (C,).

    Args:
        spans: first frame and number of frames (≥ 1) of every item, (I, 2).
        direction: DTW(X, A) or DTW(A, X).
        jobs: threads; None takes the cores that this process may use.
    """
    chunks = _chunks(plan, spans, sequences.frames.shape[1])

    def score(cells: Ints) -> Doubles:
        return _score_chunk(cells, plan, spans, sequences, direction)

    with ThreadPoolExecutor(jobs or cores()) as pool:
        try:
            return np.concatenate(list(track(pool.map(score, chunks), "ABX", len(chunks))))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def distance_table(codebook: Floats, distance: Distance) -> Floats:
    """Distances between all vectors of a codebook: (K, D) → (K, K).

    Raises:
        InputError: NaN, or vectors that are no probabilities under KL.
    """
    rows = prepared(np.ascontiguousarray(codebook, np.float32), VECTOR_KINDS[distance])
    table = np.empty((len(rows), len(rows)), np.float32)
    columns = np.ascontiguousarray(rows.T)
    kernel.frame_distances(VECTOR_KINDS[distance], columns, 0, len(rows), columns, table)
    return table


def prepared(frames: NDArray[np.float32], kind: int) -> Floats:
    """Frames (T, D) in the layout of the kernel, (T, R): see `abx_kernel.frame_distances`.

    Raises:
        InputError: NaN or infinity; negative or all-zero frames under KL.
    """
    check_finite(frames)
    if kind in {kernel.KL, kernel.KL_SYMMETRIC}:
        return _with_logarithms(frames, kind)
    if kind == kernel.ANGULAR:
        frames = unit_vectors(frames)
    return np.pad(frames, ((0, 0), (0, -frames.shape[1] % 4)))


def check_finite(frames: NDArray[np.float32]) -> None:
    """Refuse NaN and infinity in frames (T, D)."""
    if not np.isfinite(frames).all():
        raise InputError(
            f"{counted(int((~np.isfinite(frames)).any(axis=1).sum()), 'frame')} with NaN or "
            "infinity",
            cause="features were normalised by a zero deviation, or the recording holds NaN",
            remedy="extract the features again",
        )


def unit_vectors(frames: NDArray[np.float32]) -> Floats:
    """Frames (T, D) of length 1, with one more column: 2 for all-zero frames, 0 for the others.

    All-zero frames have no direction, but ZeroSpeech 2019 wants them at angle 0 from each other and
    at 1 from all others. The extra column does that without a branch in the kernel: it puts them
    farther from unit vectors than these can be from each other.
    """
    norms = np.sqrt(np.einsum("td,td->t", frames, frames, dtype=np.float64))
    silent = norms == 0
    unit = (frames / np.where(silent, 1, norms)[:, None]).astype(np.float32)
    return np.concatenate([unit, np.where(silent, np.float32(2), np.float32(0))[:, None]], axis=1)


def _with_logarithms(frames: NDArray[np.float32], kind: int) -> Floats:
    """Probabilities followed by their logarithms: (T, 2 D).

    KL as in ZeroSpeech 2019: renormalised, float64's epsilon added, renormalised. KL_SYMMETRIC as
    in Libri-Light: not renormalised, 1e-6 added under the logarithm.
    """
    p: Doubles = frames.astype(np.float64)
    sums = p.sum(axis=1, keepdims=True)
    if (p < 0).any() or (sums == 0).any():
        raise InputError(
            "frames that are negative or all zero are not probabilities, which KL needs",
            cause="the features are not posteriors",
            remedy="score them with distance='angular'",
        )
    if kind == kernel.KL_SYMMETRIC:
        return np.concatenate([p, np.log(p + _EPSILON)], axis=1).astype(np.float32)
    p = p / sums + np.finfo(np.float64).eps
    p /= p.sum(axis=1, keepdims=True)
    return np.concatenate([p, np.log(p)], axis=1).astype(np.float32)


def _chunks(plan: Plan, spans: Ints, dim: int) -> list[Ints]:
    """Cut the cells where the distances or the frames that they need have filled a chunk."""
    cells, sizes, n_groups = plan.cells, plan.sizes, len(plan.sizes)
    pairs = cells[:, [2, 2]] * n_groups + cells[:, :2]
    low, high = np.sort(plan.across[cells[:, [0, 2]]], axis=1).T
    n_across = int(plan.across.max()) + 1
    family = (plan.by[cells[:, 0]] * n_across + low) * n_across + high
    frames = np.add.reduceat(spans[plan.order, 1], plan.bounds[:-1])
    load = _first_seen(pairs, sizes[cells[:, 2], None] * sizes[cells[:, :2]]) / _PAIRS
    load += _first_seen(family[:, None] * n_groups + cells, frames[cells]) * dim * 4 / _BYTES
    return np.split(cells, np.flatnonzero(np.diff(np.cumsum(load) // 1)) + 1)


def _first_seen(keys: Ints, costs: Ints) -> Doubles:
    """The costs of each row; those of a key count where it first appears: (C, k) → (C,)."""
    _, first = np.unique(keys, return_index=True)
    counted = np.zeros(keys.size)
    counted[first] = costs.ravel()[first]
    return np.asarray(counted.reshape(keys.shape).sum(axis=1))


def _score_chunk(
    cells: Ints, plan: Plan, spans: Ints, sequences: Sequences, direction: Direction
) -> Doubles:
    groups, local = np.unique(cells, return_inverse=True)
    local = local.reshape(cells.shape)
    sizes = plan.sizes[groups]
    items = np.concatenate([plan.order[plan.bounds[g] : plan.bounds[g + 1]] for g in groups])
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    x = local[:, [2, 2]]
    keys = np.minimum(x, local[:, :2]) * len(groups) + np.maximum(x, local[:, :2])
    keys, pair = np.unique(keys, return_inverse=True)
    pair = pair.reshape(-1, 2)
    pairs = np.stack(np.divmod(keys, len(groups)), axis=1)
    pair_bounds = np.concatenate([[0], np.cumsum(sizes[pairs].prod(axis=1))])
    distances = _distances(spans[items], bounds, pairs, pair_bounds, sequences)
    xa, xb = (
        _places(local[:, 2], local[:, side], pair[:, side], sizes, pair_bounds, direction)
        for side in (0, 1)
    )
    scores = np.empty(len(cells))
    kernel.score_cells(xa, xb, cells[:, 0] == cells[:, 2], distances, scores)
    return scores


def _distances(
    spans: Ints,
    bounds: Ints,
    pairs: Ints,
    pair_bounds: Ints,
    sequences: Sequences,
) -> Doubles:
    """The chunk's distances: rows DTW(g, h) of every pair of groups, then all DTW(h, g)."""
    lengths = spans[:, 1].copy()
    ends = np.cumsum(lengths)
    where = np.arange(ends[-1]) + np.repeat(spans[:, 0] - ends + lengths, lengths)
    if sequences.kind in UNIT_KINDS.values():
        units = sequences.frames[where, 0]
        kind = sequences.kind
        return string_distances(kind, units, lengths, bounds, pairs, pair_bounds).ravel()
    frames = np.asarray(sequences.frames[where], np.float32)
    if sequences.kind in VECTOR_KINDS.values():
        frames = prepared(frames, sequences.kind)
    packed = np.empty(frames.size, np.float32)
    kernel.pack(frames, np.add.reduceat(lengths, bounds[:-1]), packed)
    both = np.empty((2, pair_bounds[-1]))
    kernel.group_distances(
        sequences.kind,
        packed,
        frames.shape[1],
        _NO_TABLE if sequences.table is None else sequences.table,
        lengths,
        bounds,
        pairs,
        pair_bounds,
        *both,
    )
    if not np.isfinite(both).all():
        raise InputError(
            "distances between frames overflow",
            cause="the features have values beyond 1e18",
            remedy="normalise them, or score them with distance='angular'",
        )
    return both.ravel()


def _places(
    x: Ints, other: Ints, pair: Ints, sizes: Ints, pair_bounds: Ints, direction: Direction
) -> Ints:
    """The positions of each cell's distances, for `abx_kernel.score_cells`: (C, 5)."""
    swapped = other < x  # the pair is stored with the other group's items as rows
    backward = swapped != (direction == "ax")
    start = pair_bounds[pair] + np.where(backward, pair_bounds[-1], 0)
    x_step = np.where(swapped, 1, sizes[other])
    other_step = np.where(swapped, sizes[x], 1)
    return np.stack([start, x_step, other_step, sizes[x], sizes[other]], axis=1)
