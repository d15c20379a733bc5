"""How much of what units say survives a change of voice: a criterion that needs no transcripts.

Units of speech and of the same speech with another vocal tract are compared by their mutual
information. It falls if units follow the voice, and if they carry little of what is said.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.discovery.front_end import augmentation_of
from zerochain.discovery.model import Frames, UnitModel
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.formats.features import Features

_OTHER_VOICE = AugmentationOptions(warp=0.15, tilt_db=0, noise=0, n_masks=0)
_SURVIVAL_FRAMES = 100_000  # of speech, on which survival is measured


def surviving_bits(
    model: UnitModel, features: Features, reference: UnitModel, seed: int
) -> float | None:
    """How much information in a reference's units survives a change of voice in the model's.

    Mutual information, in bits per frame, between the reference's units of speech and the model's
    units of the same speech with other vocal tracts. Units that follow the voice have little, and
    so have units that carry little of what is said: the reference stays the same for all models
    that are compared. Measured on a random sample of utterances, which follows from the seed
    alone, as do their changes.

    Returns:
        None for features whose frequencies are unknown.
    """
    assert model.front_end is not None
    try:
        voices = augmentation_of(model.front_end, features, _OTHER_VOICE)
    except InputError:
        return None
    names = _sample(features, seed)
    before = _units(reference, features, names)
    changed = _units(model, features, names, _changing(voices, seed))
    return mutual_information(before, changed, max(reference.n_units, model.n_units))


def mutual_information(a: NDArray[np.int64], b: NDArray[np.int64], k: int) -> float:
    """Of two sequences of units below `k`, both (N,), in bits.

    With the correction of Miller and Madow (1955), as few pairs share some bits by chance: for
    independent sequences it is 0 on average, and may be a little below.
    """
    return _entropy(a) + _entropy(b) - _entropy(a * k + b)


def _changing(change: Augmentation, seed: int) -> Callable[[Frames], Frames]:
    """The change of one utterance after the other, each drawn by its number alone."""
    numbers = count()

    def changed(frames: Frames) -> Frames:
        own = np.random.SeedSequence((seed, next(numbers))).generate_state(1)
        generator = torch.Generator().manual_seed(int(own[0]))
        made: Frames = change(torch.tensor(frames)[None], torch.tensor([len(frames)]), generator)[
            0
        ].numpy()
        return made

    return changed


def _entropy(values: NDArray[np.int64]) -> float:
    """In bits, of values (N,)."""
    counts = np.unique(values, return_counts=True)[1]
    shares = counts / len(values)
    correction = (len(counts) - 1) / (2 * len(values))
    return float((correction - (shares * np.log(shares)).sum()) / np.log(2))


def _units(
    model: UnitModel,
    features: Features,
    names: list[str],
    change: Callable[[Frames], Frames] | None = None,
) -> NDArray[np.int64]:
    """The model's unit at every frame of these utterances."""
    frames_per_step = round(model.step_ms / features.step_ms)
    units = (
        np.repeat(costs.argmin(axis=1), frames_per_step)[: features.index[name][1]]
        for name, costs in model.costs(features, names, change)
    )
    return np.concatenate(list(units)).astype(np.int64)


def _sample(features: Features, seed: int) -> list[str]:
    """Ids of random utterances, until they have `_SURVIVAL_FRAMES` or there are no more."""
    names, total = [], 0
    for i in np.random.default_rng(seed).permutation(len(features)):
        names.append(features.ids[i])
        total += features.index[names[-1]][1]
        if total >= _SURVIVAL_FRAMES:
            break
    return names
