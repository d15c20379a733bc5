"""Translation by example, from pieces of several examples: no training, for when pairs are few.

The nearest training source as a whole (`zerochain.translation.baselines`) is right only where the
whole sentence was said before. Here a source is explained by pieces of training sources, one after
the other, and the translation is the pieces of their targets: "where is the" of one example, "the
station" of another. The pieces are found by the one-pass dynamic programming of connected-word
recognition (Ney 1984), with all sentences in place of the words: at each frame the path goes on in
its example, by none, one or two frames, or leaves it for any frame of any example at the price of
a penalty. A path begins and ends where examples do.

Where the target of a piece begins and ends is read off the clock: a source that is left after 40 %
of its duration is left after 40 % of its target's. So the two languages need roughly one order of
words. The penalty is chosen on the training pairs, each translated without itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.features.normalisation import NormalisationKind
from zerochain.formats.identity import check_same_ids
from zerochain.kernels import compiled
from zerochain.machine import cores
from zerochain.metrics.abx_kernel import ANGULAR, Doubles, Floats, Ints, frame_distances
from zerochain.metrics.translation import unit_bleu
from zerochain.progress import track
from zerochain.translation.baselines import SPLICED, STEP_MS, Examples, averaged, read_examples
from zerochain.translation.pairs import UnitArray, merged

PENALTIES = (4.0, 3.0, 2.0, 1.5, 1.0, 0.7)
"""Tried in this order; of equally good ones the first is taken, with the longest pieces."""
_TUNED_ON = 200  # training pairs that the penalty is chosen on, at most
_SLACK_MS = 120.0  # of silence that may be missing where a path begins or ends
_LEFT = 3  # the step by which a path leaves an example; others are by so many frames


@dataclass(frozen=True)
class Spliced:
    """How sources were translated."""

    penalty: float
    tuned: dict[float, float]
    """Penalty → unit-BLEU (0 … 100) of training pairs; empty where it was given."""
    pieces: dict[str, list[str]]
    """Source → the training sources that its pieces are of, in order."""

    @property
    def n_pieces(self) -> float:
        """Pieces per source, on average."""
        return sum(map(len, self.pieces.values())) / len(self.pieces)


def spliced_translation(
    features: Path,
    targets: Path,
    pairs: Path,
    corpus: Path,
    out: Path,
    *,
    train_split: str = "train",
    split: str = "test",
    penalty: float | None = None,
    normalisation: NormalisationKind | None = None,
    step_ms: float = STEP_MS,
    jobs: int | None = None,
) -> Spliced:
    """Translate each source into pieces of the targets of training sources.

    Args:
        penalty: of another piece, in units of the distance of two frames (1 is opposite
            directions); None chooses one of `PENALTIES` on the training pairs.
        features, targets, pairs, corpus, out, train_split, split, normalisation, step_ms, jobs: as
            of `nearest_baseline`.

    Raises:
        InputError: as `nearest_baseline`, or a penalty that is not above 0.
    """
    if penalty is not None and not penalty > 0:
        raise InputError(f"penalty={penalty:g}, and has to be above 0")
    examples = read_examples(targets, pairs, corpus, train_split, split)
    frames, extractor = averaged(examples, features, normalisation, step_ms)
    splicer = Splicer.of(
        {name: frames[name] for name in examples.targets}, examples, _SLACK_MS / step_ms
    )
    with ThreadPoolExecutor(jobs or cores()) as pool:
        tuned: dict[float, float] = {}
        if penalty is None:
            tuned = splicer.tuned(pool)
            penalty = max(tuned, key=lambda one: tuned[one])
        chosen = penalty
        calls = pool.map(lambda name: splicer.path(frames[name], chosen), examples.queries)
        paths = list(track(calls, "Splicing", len(examples.queries)))
    found = dict(zip(examples.queries, paths, strict=True))
    method = f"{SPLICED} by DTW, {extractor}, penalty {penalty:g}"
    examples.write(out, {name: splicer.units(path) for name, path in found.items()}, method)
    pieces = {
        name: [splicer.names[piece.example] for piece in splicer.pieces(path)]
        for name, path in found.items()
    }
    return Spliced(penalty, tuned, pieces)


@dataclass(frozen=True)
class SourcePath:
    """The best path of a source of T frames through the examples."""

    frames: Ints
    """The example's frame of each of the source's, (T,), among the frames of all examples."""
    is_first: NDArray[np.bool_]
    """Whether a piece begins there (T,)."""


@dataclass(frozen=True)
class Piece:
    """A stretch of an example, as fractions of its duration."""

    example: int
    begin: float
    end: float


@dataclass(frozen=True, eq=False)
class Splicer:
    """The sources of examples laid end to end, and their targets."""

    names: Sequence[str]
    """Of the N examples' sources."""
    frames: Sequence[Floats]
    """Of each, as columns (R, T)."""
    targets: Sequence[tuple[UnitArray, UnitArray]]
    """Of each, the units without repeats and their durations (U,)."""
    groups: Sequence[str]
    """Of each, the target's id: examples of one target are translations of the same."""
    slack: int
    """Frames that a path may leave out at the beginning of its first and the end of its last
    example."""

    @classmethod
    def of(cls, frames: dict[str, Floats], examples: Examples, slack: float) -> Splicer:
        """Of the training sources' frames."""
        check_same_ids(examples.targets, frames, "pairs", "features")
        names = list(frames)
        groups = [examples.targets[name] for name in names]
        targets = [examples.units.segments(target) for target in groups]
        return cls(names, list(frames.values()), targets, groups, round(slack))

    @cached_property
    def _packed(self) -> Floats:
        return np.ascontiguousarray(np.concatenate(self.frames, axis=1))

    @cached_property
    def _lengths(self) -> Ints:
        return np.array([one.shape[1] for one in self.frames], np.int64)

    @cached_property
    def _example(self) -> Ints:
        """Of each frame, (S,)."""
        return np.repeat(np.arange(len(self.names)), self._lengths)

    @cached_property
    def _place(self) -> Ints:
        """Of each frame in its example, (S,)."""
        begins = np.cumsum(self._lengths) - self._lengths
        return np.arange(len(self._example)) - begins[self._example]

    def path(self, source: Floats, penalty: float, left_out: str | None = None) -> SourcePath:
        """The best path of a source (R, T).

        Args:
            left_out: a target whose examples the path must not use.
        """
        (path,) = self._paths(source, (penalty,), left_out)
        return path

    def _paths(
        self, source: Floats, penalties: Sequence[float], left_out: str | None
    ) -> list[SourcePath]:
        """The best path at each penalty; the distances of frames are the same for all."""
        local = np.empty((source.shape[1], len(self._example)), np.float32)
        frame_distances(ANGULAR, source, 0, len(local), self._packed, local)
        if left_out is not None:
            out = np.array([group == left_out for group in self.groups])
            local[:, out[self._example]] = np.inf
        remaining = self._lengths[self._example] - 1 - self._place
        return [
            SourcePath(*_best_path(local, self._place, remaining, self.slack, penalty))
            for penalty in penalties
        ]

    def tuned(self, pool: ThreadPoolExecutor) -> dict[float, float]:
        """Penalty → unit-BLEU of examples, each translated without those of its target."""
        some = range(min(len(self.names), _TUNED_ON))
        if len(set(self.groups)) < 2:  # nothing is left to translate by
            return {PENALTIES[0]: 0.0}
        calls = pool.map(
            lambda i: self._paths(self.frames[i], PENALTIES, self.groups[i]),
            some,
        )
        found = list(track(calls, "Choosing the penalty", len(some)))
        wanted = [self.targets[i][0].tolist() for i in some]
        return {
            penalty: unit_bleu([self.units(paths[k]).tolist() for paths in found], wanted)
            for k, penalty in enumerate(PENALTIES)
        }

    def pieces(self, path: SourcePath) -> list[Piece]:
        """The pieces of a path; the first begins, and the last ends, with its example."""
        begins = np.flatnonzero(path.is_first)
        last = np.append(begins[1:], len(path.frames)) - 1
        found = []
        for i, (a, b) in enumerate(zip(path.frames[begins], path.frames[last], strict=True)):
            example = int(self._example[a])
            length = int(self._lengths[example])
            begin = 0.0 if i == 0 else self._place[a] / length
            end = 1.0 if i == len(begins) - 1 else (self._place[b] + 1) / length
            found.append(Piece(example, float(begin), float(end)))
        return found

    def units(self, path: SourcePath) -> UnitArray:
        """The targets' units of a path's pieces, those whose middle is inside, without repeats."""
        parts, pieces = [], self.pieces(path)
        for piece in pieces:
            units, durations = self.targets[piece.example]
            middle = (np.cumsum(durations) - durations / 2) / durations.sum()
            parts.append(units[(middle >= piece.begin) & (middle < piece.end)])
        together = np.concatenate(parts).astype(np.int32)
        # Pieces can be shorter than a unit; a translation has at least one.
        return merged(together) if len(together) else self.targets[pieces[0].example][0][:1]


def _best_path(
    local: Floats, place: Ints, remaining: Ints, slack: int, penalty: float
) -> tuple[Ints, NDArray[np.bool_]]:
    """The cheapest path through the examples (T,), and where it enters one (T,).

    Args:
        local: distance of each frame of the source to each of the examples (T, S).
        place, remaining: of the examples' frames, how many of the same one are before and behind.
    """
    costs, steps, left = _costs(local, place, slack, penalty)
    ends = np.where(remaining <= slack, costs, np.inf)
    # A source of a frame or two can't cross an example, so it ends anywhere.
    s = int(np.argmin(ends if ends.min() < np.inf else costs))
    frames, is_first = np.empty(len(local), np.int64), np.zeros(len(local), np.bool_)
    for i in range(len(local) - 1, -1, -1):
        frames[i], step = s, steps[i, s]
        is_first[i] = i == 0 or step == _LEFT
        s = int(left[i]) if step == _LEFT else s - int(step)
    return frames, is_first


@compiled()
def _costs(
    local: Floats, place: Ints, slack: int, penalty: float
) -> tuple[Doubles, NDArray[np.int8], Ints]:
    """The cheapest paths to all frames of the examples.

    Returns:
        Their costs (S,); the step to each frame (T, S), by so many frames or `_LEFT`; and the frame
        that a path leaves for another example before each frame of the source (T,).
    """
    n, width = local.shape
    cost = np.full(width, np.inf)
    new = np.empty(width)
    steps = np.zeros((n, width), np.int8)
    left = np.zeros(n, np.int64)
    for s in range(width):
        if place[s] <= slack:
            cost[s] = local[0, s]
    for i in range(1, n):
        left[i] = np.argmin(cost)
        entering = cost[left[i]] + penalty
        for s in range(width):
            best, step = cost[s], 0
            if place[s] >= 1 and cost[s - 1] <= best:
                best, step = cost[s - 1], 1
            if place[s] >= 2 and cost[s - 2] < best:
                best, step = cost[s - 2], 2
            if entering < best:
                best, step = entering, _LEFT
            new[s] = best + local[i, s]
            steps[i, s] = step
        cost, new = new, cost
    return cost, steps, left
