"""Prepared speech as training sees it: random segments, straight out of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.discovery.front_end import FrontEnd, sample_frames
from zerochain.formats.features import Features
from zerochain.training.loop import Batch
from zerochain.training.split import validation_ids

_VALIDATION_FRAMES = 60_000
NO_LABEL = -100  # of what lies beyond an utterance's end


@dataclass(frozen=True, eq=False)
class Speech:
    """Frames that the front end has prepared, (N, D), and where utterances begin and end."""

    frames: NDArray[np.float32]
    bounds: NDArray[np.int64]
    """(U + 1,)"""
    speakers: NDArray[np.int64]
    """(U,) numbers of the speakers in `speaker_names`; one that is unknown has the number L."""
    speaker_names: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    """(N,): what a teacher says of each frame."""

    @classmethod
    def of(
        cls, features: Features, front_end: FrontEnd, names: Sequence[str] | None = None
    ) -> Speech:
        """Prepare all utterances; `names` are the speakers to number, else those found."""
        if names is None:
            names = sorted({s for s in features.speakers.values() if s is not None})
        number: dict[str | None, int] = {name: i for i, name in enumerate(names)}
        lengths = [front_end.n_steps(n) for _, n in features.index.values()]
        return cls(
            frames=sample_frames(features, front_end, sum(lengths), seed=0),
            bounds=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            speakers=np.array([number.get(features.speakers[n], len(names)) for n in features.ids]),
            speaker_names=tuple(names),
        )

    def sample(self, n_frames: int, seed: int) -> list[NDArray[np.float32]]:
        """Random whole utterances, (T, D) each, until they have `n_frames` or there are no more."""
        chosen = np.random.default_rng(seed).permutation(len(self.speakers))
        before = np.concatenate([[0], np.cumsum(np.diff(self.bounds)[chosen])[:-1]])
        kept = np.sort(chosen[before < n_frames])
        return [self.frames[self.bounds[u] : self.bounds[u + 1]] for u in kept]

    def random_segments(self, n: int, n_frames: int, seed: Sequence[int]) -> Batch:
        """`n` segments of `n_frames`, every frame as likely as another to be in one.

        Shorter utterances come whole, with zeros after them.

        Returns:
            "x" (n, n_frames, D), "lengths" (n,), "speakers" (n,), "utterances" (n,), and "labels"
            (n, n_frames) where there are any.
        """
        rng = np.random.default_rng(list(seed))
        lengths = np.diff(self.bounds)
        chosen = rng.choice(len(lengths), n, p=lengths / lengths.sum())
        return self._cut(chosen, [self._start(rng, u, n_frames) for u in chosen], n_frames)

    def all_segments(self, n: int, n_frames: int) -> Iterator[Batch]:
        """Everything once, in order, as `random_segments` gives it."""
        cuts = [
            (u, start)
            for u in range(len(self.speakers))
            for start in range(self.bounds[u], self.bounds[u + 1], n_frames)
        ]
        for first in range(0, len(cuts), n):
            part = cuts[first : first + n]
            yield self._cut(np.array([u for u, _ in part]), [s for _, s in part], n_frames)

    def groups(self, numbers: NDArray[np.int64], shortest: int = 1) -> Groups:
        """Utterances of at least `shortest` frames, grouped by a number of each, (U,)."""
        lengths = np.diff(self.bounds)
        kept = np.flatnonzero(lengths >= shortest)
        utterances = kept[np.argsort(numbers[kept], kind="stable")]
        ends = np.cumsum(lengths[utterances])
        last = np.flatnonzero(np.diff(numbers[utterances], append=-1))
        return Groups(utterances, ends, np.concatenate([[0], ends[last]]))

    def group_segments(
        self, groups: Groups, n_groups: int, n_per_group: int, n_frames: int, seed: Sequence[int]
    ) -> Batch:
        """Segments as `random_segments` gives them, those of a group one after the other.

        Groups are drawn as often as they have frames, and a group's segments from all over it.
        """
        rng = np.random.default_rng(list(seed))
        total = groups.bounds[-1]
        group = np.searchsorted(groups.bounds, rng.integers(0, total, n_groups), "right") - 1
        place = (np.arange(n_per_group) + rng.random((n_groups, n_per_group))) / n_per_group
        first, last = groups.bounds[group][:, None], groups.bounds[group + 1][:, None]
        frames = (first + place * (last - first)).astype(np.int64).ravel()
        chosen = groups.utterances[np.searchsorted(groups.ends, frames, "right")]
        return self._cut(chosen, [self._start(rng, u, n_frames) for u in chosen], n_frames)

    def _start(self, rng: np.random.Generator, utterance: int, n_frames: int) -> int:
        first, end = self.bounds[utterance : utterance + 2]
        return int(rng.integers(first, max(first, end - n_frames) + 1))

    def _cut(self, utterances: NDArray[np.int64], starts: list[int], n_frames: int) -> Batch:
        x = np.zeros((len(starts), n_frames, self.frames.shape[1]), np.float32)
        lengths = np.minimum(self.bounds[utterances + 1] - starts, n_frames)
        labels = np.full(x.shape[:2], NO_LABEL)
        for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            x[row, :length] = self.frames[start : start + length]
            if self.labels is not None:
                labels[row, :length] = self.labels[start : start + length]
        return {
            **({} if self.labels is None else {"labels": torch.from_numpy(labels)}),
            "x": torch.from_numpy(x),
            "lengths": torch.from_numpy(lengths),
            "speakers": torch.from_numpy(self.speakers[utterances]),
            "utterances": torch.from_numpy(utterances),
        }


@dataclass(frozen=True, eq=False)
class Groups:
    """Utterances in groups, their frames counted through from the first group to the last."""

    utterances: NDArray[np.int64]
    """(U',)"""
    ends: NDArray[np.int64]
    """(U',): where each utterance ends."""
    bounds: NDArray[np.int64]
    """(G + 1,): where groups begin and end."""


def held_out(features: Features) -> tuple[Features, Features]:
    """What to train on, and the utterances by which to see when training is done.

    Those are a twentieth of all, and less of a large corpus: they are looked at many times.

    Raises:
        InputError: fewer than two utterances.
    """
    n_frames = sum(n for _, n in features.index.values())
    ids = validation_ids(features.ids, min(0.05, _VALIDATION_FRAMES / n_frames))
    return (
        features.restrict([name for name in features.ids if name not in ids]),
        features.restrict([name for name in features.ids if name in ids]),
    )
