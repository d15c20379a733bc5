"""The frames that a unit model is fitted on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerochain.discovery.front_end import FrontEnd
from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.progress import track


def sample_frames(
    features: Features, front_end: FrontEnd, max_frames: int, seed: int
) -> NDArray[np.float32]:
    """All frames after the front end, or a random `max_frames` of them, in order: (N, D)."""
    lengths = [front_end.n_steps(n) for _, n in features.index.values()]
    total = sum(lengths)
    keep = np.ones(total, bool)
    if total > max_frames:
        keep[np.random.default_rng(seed).permutation(total)[max_frames:]] = False
    frames = np.empty((keep.sum(), front_end.dim(features.dim)), np.float32)
    masks = np.split(keep, np.cumsum(lengths)[:-1])
    row = 0
    for name, mask in zip(track(features.ids, "Reading features"), masks, strict=True):
        if mask.any():
            chosen = front_end(features, name)[mask]
            frames[row : row + len(chosen)] = chosen
            row += len(chosen)
    return frames


def check_enough(
    frames: NDArray[np.float32], n_units: int, features: Features, stride: int
) -> None:
    """Raise InputError where there are fewer frames than units."""
    if len(frames) < n_units:
        raise InputError(
            f"{n_units} units can't be found in {len(frames)} frames",
            cause=f"{len(features)} utterances at stride {stride} are too little speech",
            remedy=f"give more recordings, or ask for at most {len(frames)} units",
        )
