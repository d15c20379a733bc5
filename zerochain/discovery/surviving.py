"""How much of the information in units survives a change of voice: no labels are needed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.discovery.augmentation import augmentation_of
from zerochain.discovery.model import Frames, UnitModel
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.formats.features import Features

_OTHER_VOICE = AugmentationOptions(warp=0.15, tilt_db=0, noise=0, n_masks=0)
_FRAMES = 100_000


def surviving_bits(
    model: UnitModel, features: Features, reference: UnitModel, seed: int
) -> float | None:
    """What units of speech in other voices still say of what a reference heard in the first one.

    Mutual information, in bits a frame, between the reference's units of speech and the model's
    of the same speech as other vocal tracts would have said it. Units that follow the voice have
    little, and so have units that carry nothing, or less and less of what was said: the reference
    stays the same for all models that are compared. A random sample of utterances is looked at;
    they and their changes follow from the seed alone.

    Returns:
        None for features of which nobody knows the frequencies.
    """
    assert model.front_end is not None
    try:
        voices = augmentation_of(model.front_end, features, _OTHER_VOICE)
    except InputError:
        return None
    names = _sample(features, seed)
    heard = _units(reference, features, names)
    changed = _units(model, features, names, _changing(voices, seed))
    return mutual_information(heard, changed, max(reference.n_units, model.n_units))


def mutual_information(a: NDArray[np.int64], b: NDArray[np.int64], k: int) -> float:
    """Of two sequences of units below `k`, both (N,), in bits.

    With Miller and Madow's (1955) correction: of few pairs, chance alone makes bits. Of
    independent sequences it comes to zero on average, and may lie a little below.
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
    frames_a_step = round(model.step_ms / features.step_ms)
    units = (
        np.repeat(costs.argmin(axis=1), frames_a_step)[: features.index[name][1]]
        for name, costs in model.costs(features, names, change)
    )
    return np.concatenate(list(units)).astype(np.int64)


def _sample(features: Features, seed: int) -> list[str]:
    """Ids of random utterances, until they have `_FRAMES` or there are no more."""
    names, total = [], 0
    for i in np.random.default_rng(seed).permutation(len(features)):
        names.append(features.ids[i])
        total += features.index[names[-1]][1]
        if total >= _FRAMES:
            break
    return names
