"""Pairs of utterances as training sees them: read, held out, drawn, padded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.errors import InputError
from zerochain.modules.unit_decoder import begin_of, end_of
from zerochain.training.loop import Batch
from zerochain.training.split import validation_ids
from zerochain.translation.source import Array

UnitArray = NDArray[np.int32]
IGNORED = -100
_SPREAD = 0.15  # by how much sizes are changed when pairs of like sizes are put together


@dataclass(frozen=True, eq=False)
class Pair:
    """A source, the target's units with repeats merged, and the source's own units likewise."""

    source: Array
    """As the corpus has it: frames (T, D), or units (T,), one a step."""
    target: UnitArray
    own: UnitArray | None
    names: tuple[str, str]
    """Of the utterances, told apart from those of the same name in other corpora."""
    pseudo: bool = False
    """Whether one side was made up by a machine; where it is a source of units, it gets a tag."""


def held_out(pairs: Sequence[Pair], fraction: float) -> tuple[list[Pair], list[Pair]]:
    """What to train on, and the pairs by which to see when training is done.

    Pairs that share an utterance, and those that share one with them, stay together: what is
    held out is never heard or said in training.

    Raises:
        InputError: all pairs hang together, as a single one does.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    names = [name for pair in pairs for name in (f"> {pair.names[0]}", f"< {pair.names[1]}")]
    _, codes = np.unique(names, return_inverse=True)
    ones, size = np.ones(len(pairs)), int(codes.max()) + 1
    graph = coo_matrix((ones, (codes[::2], codes[1::2])), shape=(size, size))
    n_groups, group = connected_components(graph, directed=False)
    if n_groups < 2:
        what = "is 1 pair" if len(pairs) == 1 else f"are {len(pairs)} pairs that share utterances"
        raise InputError(
            f"there {what}: none can be held out to see when training is done",
            cause="the pairs were restricted too much, or one utterance is in all of them",
            remedy="give more pairs; a few hundred are the least from which anything is learned",
        )
    # By a name rather than by order, so that more pairs don't change who is held out.
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
    """Batches of pairs of like sizes, equally large in all, drawn anew in every epoch.

    Args:
        sizes: of each pair (N,), whole numbers.
        batch_size: pairs in a batch, on average; a batch is at least as large as the largest pair.
    """

    sizes: NDArray[np.int64]
    batch_size: int

    @property
    def n_batches(self) -> int:
        """In an epoch."""
        share = max(self.batch_size * self.sizes.mean(), int(self.sizes.max()))
        return max(1, int(self.sizes.sum() / share))

    def indices(self, step: int, seed: Sequence[int]) -> NDArray[np.int64]:
        """The pairs of a step, from 1: the same for the same numbers. None of a batch is empty."""
        epoch, place = divmod(step - 1, self.n_batches)
        rng = np.random.default_rng([*seed, epoch])
        order = np.argsort(self.sizes * rng.uniform(1 - _SPREAD, 1 + _SPREAD, len(self.sizes)))
        before = np.cumsum(self.sizes[order]) - self.sizes[order]
        batch = before * self.n_batches // self.sizes.sum()
        chosen: NDArray[np.int64] = order[batch == rng.permutation(self.n_batches)[place]]
        return chosen


def joined(first: Pair, second: Pair, prepared: Callable[[Pair], Array]) -> tuple[Array, Pair]:
    """Two pairs, one after the other: the prepared source, and the pair of both."""
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
    """Prepared sources and what is to be predicted of them, padded.

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


def taught(units: Tensor, lengths: Tensor, n_units: int) -> tuple[Tensor, Tensor]:
    """What a decoder is fed, and what is to follow each token of it, both (B, U + 1).

    Args:
        units: (B, U), whatever beyond the lengths (B,).
        n_units: how many units there are.
    """
    real = torch.arange(units.shape[1], device=units.device) < lengths[:, None]
    units = units.masked_fill(~real, end_of(n_units))
    begin = units.new_full((len(units), 1), begin_of(n_units))
    labels = torch.cat([units, units.new_full((len(units), 1), end_of(n_units))], dim=1)
    beyond = torch.arange(labels.shape[1], device=units.device) > lengths[:, None]
    return torch.cat([begin, units], dim=1), labels.masked_fill(beyond, IGNORED)


def steps_needed(pairs: Sequence[tuple[int, int]], subsampling: int) -> int:
    """How many steps CTC needs for one of the encoder, over pairs of input and output lengths."""
    return max(math.ceil(said / math.ceil(heard / subsampling)) for heard, said in pairs)
