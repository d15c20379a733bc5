"""Augmentation: features made to sound like other speakers, rooms and microphones, without audio.

A warp of the frequencies is another vocal tract (`vtln.py`); a gain and a tilt of the spectrum are
another distance and microphone; noise and masks (SpecAugment; Park et al. 2019) are what they are.
All act on batches (B, T, D) of log-mel or MFCC features, normalised or not, and take their random
numbers from a generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Generator, Tensor

from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.features.normalisation import TONE, n_tone
from zerochain.features.spectral import SpectralOptions
from zerochain.features.vtln import warp_matrix
from zerochain.modules.mel import cosines

WARPED = frozenset({"mfcc", "log-mel", TONE})
"""Kinds of features whose frequencies are known, so that they can be warped."""
_N_WARPS = 33  # of a grid: finer steps can't be heard


class AugmentationOptions(Config):
    """How strongly features are changed; 0 leaves a change out."""

    warp: float = Field(0.15, ge=0, lt=1)
    """Frequencies are multiplied by up to 1 + this, or divided by it: vocal tracts differ so."""
    tilt_db: float = Field(6.0, ge=0)
    """Standard deviation of the gain of a segment, and of its top band over its lowest."""
    noise: float = Field(0.1, ge=0)
    """Standard deviation of noise on every feature, in the feature's own deviations."""
    n_masks: int = Field(1, ge=0)
    """Stretches of time that are masked (Park et al. 2019)."""
    mask_frames: int = Field(10, ge=1)
    """Frames of a mask, at most."""


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Random changes to segments that a front end has prepared."""

    options: AugmentationOptions
    warps: Tensor
    """(W, D, D): what frames are multiplied by to warp their frequencies, over a grid."""
    offsets: Tensor
    """(2, D): what a gain of one dB, and a tilt of one dB, add to a frame."""

    @classmethod
    def of(
        cls,
        options: AugmentationOptions,
        extractor: str,
        spectral: Mapping[str, Any],
        deviation: NDArray[np.float32] | None = None,
        device: str = "cpu",
    ) -> Self:
        """Augmentation of what was extracted with these options.

        Args:
            deviation: (D,), what normalisation divided features by; None for none.

        Raises:
            InputError: the features are neither MFCC nor log-mel.
        """
        if extractor not in WARPED:
            raise InputError(
                f"features of kind {extractor!r} can't be warped",
                cause="only the frequencies of MFCC and log-mel features are known",
                remedy="use augmentation=None, or features=mfcc or log-mel",
            )
        spared = n_tone(extractor, spectral)
        made = SpectralOptions(**(spectral["spectral"] if spared else spectral))
        scale = np.ones(made.dim + spared) if deviation is None else deviation.astype(np.float64)
        factors = np.geomspace(1 / (1 + options.warp), 1 + options.warp, _N_WARPS)
        warps = np.tile(np.eye(made.dim + spared), (_N_WARPS, 1, 1))  # tone isn't changed
        warps[:, : made.dim, : made.dim] = [warp_matrix(float(f), made) for f in factors]
        # Features that were divided by their deviation are warped between its two sides.
        scaled = warps * scale[:, None] / scale
        offsets = np.zeros((2, made.dim + spared))
        shapes = np.stack([np.ones(made.n_mels), np.linspace(-0.5, 0.5, made.n_mels)])
        if made.kind == "mfcc":
            offsets[:, : made.n_mfcc] = shapes @ cosines(made.n_mels)[: made.n_mfcc].T
        else:
            offsets[:, : made.dim] = shapes
        return cls(
            options,
            torch.from_numpy(scaled).float().to(device),
            torch.from_numpy(offsets / scale).float().to(device),
        )

    @classmethod
    def without_frequencies(
        cls, options: AugmentationOptions, dim: int, device: str = "cpu"
    ) -> Self:
        """Noise and masks alone, for features (T, D) whose frequencies are unknown."""
        return cls(options, torch.eye(dim, device=device)[None], torch.zeros(2, dim, device=device))

    def through(self, matrix: NDArray[np.float32]) -> Augmentation:
        """The same changes after a projection of C stacked frames: matrix (C · D, D').

        What the projection dropped can't be warped back into what it kept.
        """
        n_stacked = len(matrix) // self.offsets.shape[1]
        kept, back = (torch.from_numpy(m).to(self.warps) for m in (matrix, np.linalg.pinv(matrix)))
        blocks = torch.eye(n_stacked).to(self.warps)
        warps = [back @ torch.kron(blocks, warp) @ kept for warp in self.warps]
        offsets = self.offsets.repeat(1, n_stacked) @ kept
        return Augmentation(self.options, torch.stack(warps), offsets)

    def __call__(self, x: Tensor, lengths: Tensor, generator: Generator) -> Tensor:
        """x (B, T, D) changed, each segment in another way; zero beyond its length (B,)."""
        real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        y = warped(x, self.warps, generator)
        y = tilted(y, self.offsets * self.options.tilt_db, generator)
        y = noisy(y, self.options.noise, generator)
        y = masked(y, lengths, self.options.n_masks, self.options.mask_frames, generator)
        return y * real[..., None]


def warped(x: Tensor, warps: Tensor, generator: Generator) -> Tensor:
    """x (B, T, D), each segment multiplied by one of the matrices (W, D, D)."""
    chosen = torch.randint(len(warps), (len(x),), generator=generator, device=x.device)
    return x @ warps[chosen]


def tilted(x: Tensor, offsets: Tensor, generator: Generator) -> Tensor:
    """x (B, T, D), each segment with a random multiple of each of the offsets (O, D) added."""
    amounts = torch.randn(len(x), len(offsets), generator=generator, device=x.device)
    return x + (amounts @ offsets)[:, None]


def noisy(x: Tensor, deviation: float, generator: Generator) -> Tensor:
    """x with Gaussian noise."""
    return x + deviation * torch.randn(x.shape, generator=generator, device=x.device)


def masked(
    x: Tensor, lengths: Tensor, n_masks: int, mask_frames: int, generator: Generator
) -> Tensor:
    """x (B, T, D) with stretches of up to `mask_frames` frames at the segment's mean.

    A segment that is shorter than twice the longest mask stays as it is.
    """
    times = torch.arange(x.shape[1], device=x.device)
    real = (times < lengths[:, None])[..., None]
    mean = (x * real).sum(dim=1, keepdim=True) / lengths.clamp(min=1)[:, None, None]
    for _ in range(n_masks):
        dice = torch.rand(2, len(x), generator=generator, device=x.device)
        size = (dice[0] * (mask_frames + 1)).floor() * (lengths >= 2 * mask_frames)
        start = (dice[1] * (lengths - size + 1)).floor()
        inside = (times >= start[:, None]) & (times < (start + size)[:, None])
        x = torch.where(inside[..., None], mean, x)
    return x


def spans(n: int, lengths: Tensor, fraction: float, span: int, generator: Generator) -> Tensor:
    """Which frames of a batch to mask, (B, n): stretches of `span` frames or, overlapping, more.

    As in wav2vec 2.0 (Baevski et al. 2020) any frame may begin one, here with the probability for
    which each frame is masked with probability `fraction`, those at the edges too. An utterance
    that is shorter than two spans has none, so that there is always something to predict from.

    Args:
        n: frames of the padded batch.
        lengths: (B,)
    """
    begins = 1 - (1 - fraction) ** (1 / span)
    dice = torch.rand(len(lengths), n + span - 1, generator=generator, device=lengths.device)
    inside = torch.nn.functional.max_pool1d((dice < begins).float()[:, None], span, stride=1)[:, 0]
    real = torch.arange(n, device=lengths.device) < lengths[:, None]
    return (inside > 0) & real & (lengths >= 2 * span)[:, None]
