"""Batches of utterances of any length: random crops for training, everything once for validation.

`Crops` stores many utterances end to end, as memory-mapped or plain arrays over one time axis, so
that a crop is a slice. A crop never extends into the next utterance; shorter utterances are padded.
Each batch depends on its seed alone, so that a resumed training gets the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Batch = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Groups:
    """Utterances sorted by group, their frames numbered from the first group to the last."""

    utterances: NDArray[np.int64]
    """(U',)"""
    ends: NDArray[np.int64]
    """(U',): where each utterance ends."""
    bounds: NDArray[np.int64]
    """(G + 1,): where groups begin and end."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Utterances end to end, in one or more arrays over the same time axis.

    A batch of crops contains each array under its name, (B, T, …), padded after an utterance's
    end; each of the utterances' numbers under its name, (B,); and "lengths" and "utterances", (B,).
    """

    arrays: Mapping[str, NDArray[Any]]
    """Name → (N, …), all utterances one after the other."""
    bounds: NDArray[np.int64]
    """(U + 1,): utterance u is `bounds[u]:bounds[u + 1]`."""
    numbers: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    """Name → (U,), one number per utterance: that of its speaker, for instance."""
    padding: Mapping[str, int] = field(default_factory=dict)
    """Name of an array → the value that pads it, if that is not 0."""

    @classmethod
    def of(cls, utterances: Sequence[Mapping[str, NDArray[Any]]], **numbers: Sequence[int]) -> Self:
        """Concatenate utterances; within each, all arrays have the same length."""
        names = list(utterances[0])
        return cls(
            {name: np.concatenate([u[name] for u in utterances]) for name in names},
            bounds_of([len(u[names[0]]) for u in utterances]),
            {name: np.asarray(values, np.int64) for name, values in numbers.items()},
        )

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self.bounds) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(U,)."""
        return np.diff(self.bounds)

    @property
    def digest(self) -> str:
        """SHA-256 of all the data, by which a checkpoint tells that they have changed."""
        total = hashlib.sha256()
        for values in (*self.arrays.values(), self.bounds, *self.numbers.values()):
            total.update(np.ascontiguousarray(values).tobytes())
        return total.hexdigest()

    def with_array(self, name: str, values: NDArray[Any], padding: int = 0) -> Self:
        """The same utterances with an array over their time added, or replaced."""
        return replace(
            self,
            arrays={**self.arrays, name: values},
            padding={**self.padding, name: padding},
        )

    def utterance(self, name: str, u: int) -> NDArray[Any]:
        """One utterance of the array `name`, (T, …)."""
        return self.arrays[name][self.bounds[u] : self.bounds[u + 1]]

    def sample(self, n_frames: int, seed: int) -> list[int]:
        """Random whole utterances, with `n_frames` frames in total or all that there are."""
        chosen = np.random.default_rng(seed).permutation(len(self))
        before = np.concatenate([[0], np.cumsum(self.lengths[chosen])[:-1]])
        return [int(u) for u in np.sort(chosen[before < n_frames])]

    def random(self, n: int, longest: int, seed: Sequence[int]) -> Batch:
        """`n` crops of at most `longest` frames, from utterances in proportion to their lengths.

        They depend on the seed alone, not on earlier calls.
        """
        rng = np.random.default_rng(list(seed))
        chosen = rng.choice(len(self), n, p=self.lengths / self.lengths.sum())
        return self._crop(chosen, self._starts(rng, chosen, longest), longest)

    def all(self, n: int, longest: int) -> Iterator[Batch]:
        """Everything once, in batches of at most `n` crops of similar length."""
        crops = [
            (u, start)
            for u in np.argsort(self.lengths, kind="stable")
            for start in range(self.bounds[u], self.bounds[u + 1], longest)
        ]
        for first in range(0, len(crops), n):
            part = np.array(crops[first : first + n])
            yield self._crop(part[:, 0], part[:, 1], longest)

    def groups(self, numbers: NDArray[np.int64], shortest: int = 1) -> Groups:
        """Utterances of at least `shortest` frames, grouped by one number per utterance, (U,).

        Utterances with a negative number belong to no group.
        """
        kept = np.flatnonzero((self.lengths >= shortest) & (numbers >= 0))
        utterances = kept[np.argsort(numbers[kept], kind="stable")]
        ends = np.cumsum(self.lengths[utterances])
        last = np.flatnonzero(np.diff(numbers[utterances], append=-1))
        return Groups(utterances, ends, np.concatenate([[0], ends[last]]))

    def grouped(
        self,
        groups: Groups,
        n_groups: int,
        n_per_group: int,
        longest: int,
        seed: Sequence[int],
        *,
        balanced: bool = False,
    ) -> Batch:
        """Crops as `random` returns them, those of each group next to each other.

        Groups are drawn in proportion to their numbers of frames or, if `balanced`, with equal
        probability. The crops of a group are spread over the whole of it.
        """
        rng = np.random.default_rng(list(seed))
        if balanced:
            group = rng.integers(0, len(groups.bounds) - 1, n_groups)
        else:
            frame = rng.integers(0, groups.bounds[-1], n_groups)
            group = np.searchsorted(groups.bounds, frame, "right") - 1
        place = (np.arange(n_per_group) + rng.random((n_groups, n_per_group))) / n_per_group
        first, last = groups.bounds[group][:, None], groups.bounds[group + 1][:, None]
        frames = (first + place * (last - first)).astype(np.int64).ravel()
        chosen = groups.utterances[np.searchsorted(groups.ends, frames, "right")]
        return self._crop(chosen, self._starts(rng, chosen, longest), longest)

    def _starts(
        self, rng: np.random.Generator, utterances: NDArray[np.int64], longest: int
    ) -> NDArray[np.int64]:
        slack = np.maximum(self.lengths[utterances] - longest, 0)
        return self.bounds[utterances] + rng.integers(0, slack + 1)

    def _crop(
        self, utterances: NDArray[np.int64], starts: NDArray[np.int64], longest: int
    ) -> Batch:
        lengths = np.minimum(self.bounds[utterances + 1] - starts, longest)
        batch = {
            "lengths": torch.from_numpy(lengths),
            "utterances": torch.from_numpy(np.asarray(utterances, np.int64)),
            **{name: torch.from_numpy(v[utterances]) for name, v in self.numbers.items()},
        }
        for name, values in self.arrays.items():
            shape = (len(starts), lengths.max(), *values.shape[1:])
            crops = np.full(shape, self.padding.get(name, 0), values.dtype)
            for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
                crops[row, :length] = values[start : start + length]
            batch[name] = torch.from_numpy(crops)
        return batch


def bounds_of(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Where concatenated utterances of these lengths, (U,), begin and end: (U + 1,)."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def like_lengths(lengths: Sequence[int], n_frames: int) -> Iterator[list[int]]:
    """Indices in groups of similar length, each of at most `n_frames` frames with padding."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if group and lengths[i] * (len(group) + 1) > n_frames:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def padded(utterances: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Utterances (T, D) as (B, longest T, D), padded with zeros, and their lengths (B,)."""
    lengths = torch.tensor([len(frames) for frames in utterances])
    x = torch.zeros(len(utterances), int(lengths.max()), utterances[0].shape[1])
    for row, frames in enumerate(utterances):
        x[row, : len(frames)] = torch.from_numpy(np.array(frames))
    return x, lengths
