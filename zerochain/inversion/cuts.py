"""Utterances end to end, from which training cuts its batches: arrays over the same time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.training.loop import Batch


@dataclass(frozen=True, eq=False)
class Cuts:
    """Many utterances of several arrays each.

    A cut holds each of the arrays by its name, (B, T, …) with zeros beyond an utterance's end, and
    "lengths" and "voices", (B,).
    """

    arrays: Mapping[str, NDArray[Any]]
    """Each (N, …), all utterances one after the other."""
    bounds: NDArray[np.int64]
    """(U + 1,)"""
    voices: NDArray[np.int64]
    """(U,)"""

    @classmethod
    def of(cls, utterances: Sequence[Mapping[str, NDArray[Any]]], voices: Sequence[int]) -> Self:
        """Lay utterances one after the other; within each, arrays have one length."""
        names = list(utterances[0])
        lengths = [len(u[names[0]]) for u in utterances]
        return cls(
            {name: np.concatenate([u[name] for u in utterances]) for name in names},
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.asarray(voices, np.int64),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of everything: a checkpoint of other data is another training's."""
        total = hashlib.sha256()
        for values in (*self.arrays.values(), self.bounds, self.voices):
            total.update(np.ascontiguousarray(values).tobytes())
        return total.hexdigest()

    def random(self, n: int, longest: int, seed: Sequence[int]) -> Batch:
        """`n` cuts of at most `longest`, every frame as likely as another to be in one.

        The same for the same seed, whatever came before.
        """
        rng = np.random.default_rng(list(seed))
        lengths = np.diff(self.bounds)
        chosen = rng.choice(len(lengths), n, p=lengths / lengths.sum())
        slack = np.maximum(lengths[chosen] - longest, 0)
        return self._cut(chosen, self.bounds[chosen] + rng.integers(0, slack + 1), longest)

    def all(self, n: int, longest: int) -> Iterator[Batch]:
        """Everything once, like lengths together, in batches of at most `n` cuts."""
        cuts = [
            (u, start)
            for u in np.argsort(np.diff(self.bounds), kind="stable")
            for start in range(self.bounds[u], self.bounds[u + 1], longest)
        ]
        for first in range(0, len(cuts), n):
            part = np.array(cuts[first : first + n])
            yield self._cut(part[:, 0], part[:, 1], longest)

    def _cut(self, utterances: NDArray[np.int64], starts: NDArray[np.int64], longest: int) -> Batch:
        lengths = np.minimum(self.bounds[utterances + 1] - starts, longest)
        batch = {
            "lengths": torch.from_numpy(lengths),
            "voices": torch.from_numpy(self.voices[utterances]),
        }
        for name, values in self.arrays.items():
            padded = np.zeros((len(starts), lengths.max(), *values.shape[1:]), values.dtype)
            for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
                padded[row, :length] = values[start : start + length]
            batch[name] = torch.from_numpy(padded)
        return batch
