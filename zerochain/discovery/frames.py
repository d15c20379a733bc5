"""The frames that a unit model is fitted on, in memory or, where they are many, on the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from zerochain.discovery.front_end import FrontEnd
from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.progress import track

IN_MEMORY_BYTES = 1 << 29
"""Frames beyond this size lie in a temporary file: a fit reads them from there every round."""


def sample_frames(
    features: Features, front_end: FrontEnd, max_frames: int, seed: int
) -> NDArray[np.float32]:
    """All frames after the front end, or a random `max_frames` of them, in order: (N, D).

    Where they are large they are a memory-mapped file in the folder for temporary files
    (TMPDIR), which is gone from the disk once nobody holds the array any more.

    Raises:
        InputError: no space left for that file.
    """
    lengths = [front_end.n_steps(n) for _, n in features.index.values()]
    n_frames, dim = min(sum(lengths), max_frames), front_end.dim(features.dim)
    blocks = _blocks(features, front_end, _masks(lengths, n_frames, seed))
    if n_frames * dim * 4 > IN_MEMORY_BYTES:
        return _on_disk(blocks, n_frames, dim)
    frames = np.empty((n_frames, dim), np.float32)
    row = 0
    for block in blocks:
        frames[row : row + len(block)] = block
        row += len(block)
    return frames


def _masks(lengths: list[int], n_frames: int, seed: int) -> list[NDArray[np.bool_]]:
    """Which frames of each utterance to keep, `n_frames` of all of them."""
    keep = np.ones(sum(lengths), bool)
    if len(keep) > n_frames:
        keep[np.random.default_rng(seed).permutation(len(keep))[n_frames:]] = False
    return np.split(keep, np.cumsum(lengths)[:-1])


def _blocks(
    features: Features, front_end: FrontEnd, masks: list[NDArray[np.bool_]]
) -> Iterator[NDArray[np.float32]]:
    for name, mask in zip(track(features.ids, "Reading features"), masks, strict=True):
        if mask.any():
            yield front_end(features, name)[mask]


def _on_disk(blocks: Iterator[NDArray[np.float32]], n_frames: int, dim: int) -> NDArray[np.float32]:
    """The blocks as one array, mapped from a file without a name: a killed process leaves none."""
    try:  # around the whole: closing the file writes what is left, and can fail as well
        with tempfile.TemporaryFile(prefix="zerochain-") as file:
            for block in blocks:
                file.write(block.tobytes())
            file.flush()
            return np.memmap(file, np.float32, mode="r+", shape=(n_frames, dim))
    except OSError as error:
        raise InputError(
            f"{n_frames} frames can't be written ({error.strerror})",
            path=tempfile.gettempdir(),
            cause=f"they need {n_frames * dim * 4 / 1e9:.1f} GB on the disk while they last",
            remedy="set TMPDIR to a folder with more room, or lower --max-frames",
        ) from error


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
