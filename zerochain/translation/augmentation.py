"""What the source of a pair goes through in training: SpecAugment, warps, hidden units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from zerochain.features.augmentation import Augmentation, AugmentationOptions, masked
from zerochain.features.normalisation import Moments
from zerochain.modules.unit_translator import hidden_of
from zerochain.translation.config import TranslationConfig
from zerochain.translation.source import Array, SourceKind

_SPECTRAL = ("mfcc", "log-mel")
_MEASURED = 200  # utterances


@dataclass(frozen=True, eq=False)
class SourceAugmentation:
    """Random changes to a batch of prepared sources."""

    config: TranslationConfig
    source: SourceKind
    spectral: Augmentation | None
    """Where it is known which frequencies features hold."""

    @classmethod
    def of(
        cls, config: TranslationConfig, source: SourceKind, frames: Sequence[Array], device: str
    ) -> SourceAugmentation:
        """For sources such as these, before normalisation."""
        if source.name not in _SPECTRAL or source.hears_units:
            return cls(config, source, None)
        measured = [Moments.of([array]).deviation for array in frames[:_MEASURED]]
        options = AugmentationOptions(
            warp=config.warp,
            tilt_db=config.tilt_db,
            noise=0.0,
            n_masks=config.n_time_masks,
            mask_frames=config.time_mask,
        )
        deviation = np.mean(measured, axis=0)
        spectral = Augmentation.of(options, source.name, source.options, deviation, device)
        return cls(config, source, spectral)

    def __call__(self, x: Tensor, lengths: Tensor, generator: Generator) -> Tensor:
        """x (B, T, D) or units (B, T), changed."""
        config = self.config
        if self.source.hears_units:
            dice = torch.rand(x.shape, generator=generator, device=x.device)
            return torch.where(dice < config.hidden_units, hidden_of(self.source.n_in), x)
        if self.spectral is None:
            return masked(x, lengths, config.n_time_masks, config.time_mask, generator)
        x = self.spectral(x, lengths, generator)
        if self.source.name != "log-mel":
            return x
        return bands_masked(x, config.n_band_masks, config.band_mask, generator)


def bands_masked(x: Tensor, n_masks: int, most: int, generator: Generator) -> Tensor:
    """x (B, T, D), normalised, with up to `most` neighbouring bands at zero (Park et al. 2019)."""
    bands = torch.arange(x.shape[2], device=x.device)
    for _ in range(n_masks):
        dice = torch.rand(2, len(x), 1, generator=generator, device=x.device)
        size = (dice[0] * (min(most, x.shape[2]) + 1)).floor()
        start = (dice[1] * (x.shape[2] - size + 1)).floor()
        inside = (bands >= start) & (bands < start + size)
        x = x.masked_fill(inside[:, None], 0.0)
    return x
