"""Utterances of any length as batches of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def like_lengths(lengths: Sequence[int], n_frames: int) -> Iterator[list[int]]:
    """Indices in groups of like lengths, each of at most `n_frames` frames with padding."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if group and lengths[i] * (len(group) + 1) > n_frames:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def padded(utterances: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Utterances (T, D) as (B, longest T, D), zero beyond their ends, and their lengths (B,)."""
    lengths = torch.tensor([len(frames) for frames in utterances])
    x = torch.zeros(len(utterances), int(lengths.max()), utterances[0].shape[1])
    for row, frames in enumerate(utterances):
        x[row, : len(frames)] = torch.from_numpy(np.array(frames))
    return x, lengths
