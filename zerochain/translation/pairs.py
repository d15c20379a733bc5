"""Pairs of a source and its target in memory, as a training takes them.

They are divided into training and validation (`held_out`), drawn into batches of like lengths
(`Buckets`), concatenated (`joined`) and padded (`collated`). A target is the units of an utterance
with repeats merged: only their order is translated, and an inverter predicts their durations. The
source may come with its own units, for an auxiliary loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy  # scipy.sparse is loaded where it is used
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.errors import InputError, counted
from zerochain.modules.decoders import end_of
from zerochain.training.recipe import validation_ids
from zerochain.training.task import Batch

Array = NDArray[Any]
UnitArray = NDArray[np.int32]
_SPREAD = 0.15  # random change of sizes before pairs are sorted by them, so that batches differ


@dataclass(frozen=True, eq=False)
class Pair:
    """A source, the target's units with repeats merged, and the source's own units likewise."""

    source: Array
    """As its file has it: frames (T, D), or units (T,), one per step."""
    target: UnitArray
    own: UnitArray | None
    names: tuple[str, str]
    """Corpus and id of the source, and of the target, with a space between: unique over corpora."""
    pseudo: bool = False
    """Whether a machine made one side; a source of units then gets a tag."""
    variants: tuple[Array, ...] = ()
    """The source as other voices would have spoken it, of the same kind."""

    @property
    def source_id(self) -> str:
        """The source's id alone: utterances of several corpora may have the same."""
        return self.names[0].split(" ", 1)[1]

    @property
    def source_corpus(self) -> str:
        """The source's corpus; "" where its file names none."""
        return self.names[0].split(" ", 1)[0]

    def in_some_voice(self, rng: np.random.Generator) -> Pair:
        """The pair with its source, or one of the variants in its place: each equally likely."""
        if not self.variants:
            return self
        return replace(
            self, source=(self.source, *self.variants)[rng.integers(len(self.variants) + 1)]
        )


def held_out(pairs: Sequence[Pair], fraction: float) -> tuple[list[Pair], list[Pair]]:
    """The pairs to train on, and those to validate on.

    Pairs that share an utterance stay together, and so do those that share one with them: no
    utterance that is held out is used in training.

    Raises:
        InputError: all pairs are connected, as a single one is.
    """
    names = [name for pair in pairs for name in (f"> {pair.names[0]}", f"< {pair.names[1]}")]
    _, codes = np.unique(names, return_inverse=True)
    ones, size = np.ones(len(pairs)), int(codes.max()) + 1
    graph = scipy.sparse.coo_matrix((ones, (codes[::2], codes[1::2])), shape=(size, size))
    n_groups, group = scipy.sparse.csgraph.connected_components(graph, directed=False)
    if n_groups < 2:
        what = counted(len(pairs), "pair")
        raise InputError(
            f"{what} can't be divided into training and validation"
            + ("" if len(pairs) == 1 else ": all are connected by shared utterances"),
            cause="the pairs were restricted too much, or one utterance is in all of them",
            remedy="give more pairs; at least a few hundred are needed to learn anything",
        )
    # By a name rather than by order, so that more pairs don't change which are held out.
    label: dict[int, str] = {}
    for name, code in zip(names, codes, strict=True):
        label[group[code]] = min(name, label.get(group[code], name))
    chosen = validation_ids(list(label.values()), fraction)
    of_pair = [label[group[code]] in chosen for code in codes[::2]]
    return (
        [pair for pair, valid in zip(pairs, of_pair, strict=True) if not valid],
        [pair for pair, valid in zip(pairs, of_pair, strict=True) if valid],
    )


@dataclass(frozen=True, eq=False)
class Buckets:
    """Batches of examples of like sizes and of about equal total size, drawn anew in every epoch.

    An example is a pair, or two of them concatenated. Which are concatenated is drawn before they
    are divided into batches: one that is twice as long as the others would double the padding of
    its whole batch.

    Args:
        sizes: of each pair (N,), whole numbers.
        batch_size: pairs per batch, on average; a batch is at least as large as the largest
            example.
        concatenated: fraction of the pairs that are concatenated with another one.
    """

    sizes: NDArray[np.int64]
    batch_size: int
    concatenated: float = 0.0

    @property
    def n_batches(self) -> int:
        """Per epoch."""
        largest = int(self.sizes.max()) * (2 if self.concatenated else 1)
        share = max(self.batch_size * self.sizes.mean(), largest)
        return max(1, int(self.sizes.sum() / share))

    def examples(
        self, step: int, seed: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The examples of a step, from 1: the same for the same seed. No batch is empty.

        Returns:
            The pairs (n,), and the pair that each is concatenated with (n,), -1 if with none.
        """
        epoch, place = divmod(step - 1, self.n_batches)
        rng, n = np.random.default_rng([*seed, epoch]), len(self.sizes)
        noise = rng.uniform(1 - _SPREAD, 1 + _SPREAD, n)
        second = np.full(n, -1)
        if self.concatenated:
            second = np.where(rng.random(n) < self.concatenated, rng.integers(n, size=n), second)
        sizes = self.sizes + np.where(second >= 0, self.sizes[second], 0)
        order = np.argsort(sizes * noise)
        before = np.cumsum(sizes[order]) - sizes[order]
        batch = before * self.n_batches // sizes.sum()
        chosen: NDArray[np.int64] = order[batch == rng.permutation(self.n_batches)[place]]
        return chosen, second[chosen]


def joined(first: Pair, second: Pair, prepared: Callable[[Pair], Array]) -> tuple[Array, Pair]:
    """Two pairs concatenated: the prepared source, and the pair of both."""
    source = np.concatenate([prepared(first), prepared(second)])
    own = None
    if first.own is not None and second.own is not None:
        own = merged(np.concatenate([first.own, second.own]))
    target = merged(np.concatenate([first.target, second.target]))
    return source, Pair(source, target, own, first.names)


def merged(units: UnitArray) -> UnitArray:
    """Units without repeats."""
    return units[np.flatnonzero(np.diff(units, prepend=-1))]


def collated(sources: Sequence[Array], pairs: Sequence[Pair], n_units: int) -> Batch:
    """Prepared sources and their targets, padded.

    Returns:
        "x" (B, T, D) or (B, T), "lengths" (B,), "targets" (B, U) and "n_targets" (B,), and, where
        there are any, the source's own units "own" (B, V) and "n_own" (B,).
    """
    x, lengths = padded(sources)
    targets, n_targets = padded([pair.target for pair in pairs], fill=end_of(n_units))
    batch = {"x": x, "lengths": lengths, "targets": targets, "n_targets": n_targets}
    own = [pair.own for pair in pairs if pair.own is not None]
    if own:
        batch["own"], batch["n_own"] = padded(own)
    return batch


def padded(sequences: Sequence[Array], fill: int = 0) -> tuple[Tensor, Tensor]:
    """Frames (T, D) or units (T,) of several as one tensor (B, longest T, …), and lengths (B,)."""
    lengths = torch.tensor([len(one) for one in sequences])
    first = sequences[0]
    dtype = torch.float32 if first.dtype.kind == "f" else torch.int64
    x = torch.full((len(sequences), int(lengths.max()), *first.shape[1:]), fill, dtype=dtype)
    for row, one in enumerate(sequences):
        x[row, : len(one)] = torch.from_numpy(np.array(one))
    return x, lengths


def ctc_steps_needed(lengths: Sequence[tuple[int, int]], subsampling: int) -> int:
    """CTC's steps per step of the encoder, so that all (source, target) lengths fit."""
    return max(math.ceil(target / math.ceil(source / subsampling)) for source, target in lengths)
