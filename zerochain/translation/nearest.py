"""Translation by example: the target of the training source that sounds most alike.

The baseline that a translator has to beat: it has learned nothing but where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from zerochain.cores import cores
from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids
from zerochain.kernels import compiled
from zerochain.metrics.abx_engine import prepared
from zerochain.metrics.abx_kernel import ANGULAR, Doubles, Floats, Ints, dtw, frame_distances
from zerochain.progress import track

STEP_MS = 40.0
"""Frames are averaged to steps of this length: DTW of shorter ones takes far longer."""


def nearest_sources(
    features: Features,
    queries: Sequence[str],
    examples: Sequence[str],
    *,
    step_ms: float = STEP_MS,
    jobs: int | None = None,
) -> dict[str, str]:
    """Each query's nearest example by DTW of angles between frames, over the path's length.

    Frames are averaged to `step_ms`. Of equally near examples the first is taken. A query that
    is among the examples is its own nearest; leave it out to find another.

    Args:
        features: of queries and examples; normalise them where speakers differ.
        jobs: threads; None takes the cores this process may use.

    Raises:
        InputError: no query, no example, or one without features.
    """
    if not queries or not examples:
        raise InputError(
            f"{len(queries)} utterances to translate and {len(examples)} examples",
            cause="no pair is in the training split, or nothing in the other",
            remedy="choose other splits",
        )
    wanted = list(dict.fromkeys([*queries, *examples]))
    check_same_ids(wanted, features.index, "pairs", "features")
    n_averaged = max(1, round(step_ms / features.step_ms))
    frames = {name: _columns(features[name], n_averaged) for name in wanted}
    packed, bounds = _packed([frames[name] for name in examples])

    def search(name: str) -> str:
        return examples[int(np.argmin(_distances(frames[name], packed, bounds)))]

    with ThreadPoolExecutor(jobs or cores()) as pool:
        try:
            found = track(pool.map(search, queries), "Nearest examples", len(queries))
            return dict(zip(queries, found, strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _columns(frames: NDArray[np.float32], n: int) -> Floats:
    """Every n of (T, D) frames averaged, at the end fewer, as the kernel takes them: (R, T / n)."""
    starts = np.arange(0, len(frames), n)
    sizes = np.diff(starts, append=len(frames))[:, None]
    means = np.add.reduceat(frames, starts, axis=0, dtype=np.float64) / sizes
    return np.ascontiguousarray(prepared(means.astype(np.float32), ANGULAR).T)


def _packed(examples: Sequence[Floats]) -> tuple[Floats, Ints]:
    """Examples one after the other, flat, and where each one's frames begin (n + 1,)."""
    bounds = np.concatenate([[0], np.cumsum([x.shape[1] for x in examples])]).astype(np.int64)
    return np.concatenate([x.ravel() for x in examples]), bounds


@compiled()
def _distances(query: Floats, packed: Floats, bounds: Ints) -> Doubles:
    """DTW of a query (R, T) to each example."""
    n_rows, length = query.shape
    widest = 0
    for i in range(len(bounds) - 1):
        widest = max(widest, bounds[i + 1] - bounds[i])
    local = np.empty((length, widest), np.float32)
    cost = np.empty((length, widest), np.float64)
    out = np.empty(len(bounds) - 1)
    for i in range(len(bounds) - 1):
        start, end = bounds[i], bounds[i + 1]
        example = packed[start * n_rows : end * n_rows].reshape((n_rows, end - start))
        frame_distances(ANGULAR, query, 0, length, example, local)
        out[i] = dtw(local, 0, end - start, length, cost)[0]
    return out
