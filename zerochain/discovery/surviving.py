"""How much of the information in units survives a change of voice: no labels are needed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.discovery.model import Frames, UnitModel
from zerochain.features.augmentation import Augmentation
from zerochain.formats.features import Features

_FRAMES = 100_000


def surviving_bits(model: UnitModel, features: Features, change: Augmentation, seed: int) -> float:
    """Mutual information, in bits a step, between the units of speech and of changed speech.

    Units that follow the voice, and units that carry nothing, both have little. A random sample
    of utterances is looked at; the changes are drawn from the seed, so that models compare.

    Args:
        change: of what the model's front end prepares; it keeps every frame at its time.
    """
    names = _sample(features, seed)
    generator = torch.Generator(change.offsets.device).manual_seed(seed)

    def changed(frames: Frames) -> Frames:
        x = torch.from_numpy(frames)[None].to(change.offsets)
        made: Frames = (
            change(x, torch.tensor([len(frames)]).to(x.device), generator)[0].cpu().numpy()
        )
        return made

    before = _units(model.costs(features, names))
    return mutual_information(before, _units(model.costs(features, names, changed)), model.n_units)


def mutual_information(a: NDArray[np.int64], b: NDArray[np.int64], k: int) -> float:
    """Of two sequences of units below `k`, both (N,), in bits.

    With Miller and Madow's (1955) correction: of few pairs, chance alone makes bits.
    """
    joint = np.bincount(a * k + b, minlength=k * k).reshape(k, k)
    return _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0)) - _entropy(joint.ravel())


def _entropy(counts: NDArray[np.int64]) -> float:
    present = counts[counts > 0]
    shares = present / present.sum()
    correction = (len(present) - 1) / (2 * present.sum())
    return float((correction - (shares * np.log(shares)).sum()) / np.log(2))


def _units(costs: Iterator[tuple[str, Frames]]) -> NDArray[np.int64]:
    return np.concatenate([c.argmin(axis=1) for _, c in costs]).astype(np.int64)


def _sample(features: Features, seed: int) -> list[str]:
    """Ids of random utterances, until they have `_FRAMES` or there are no more."""
    names, total = [], 0
    for i in np.random.default_rng(seed).permutation(len(features)):
        names.append(features.ids[i])
        total += features.index[names[-1]][1]
        if total >= _FRAMES:
            break
    return names
