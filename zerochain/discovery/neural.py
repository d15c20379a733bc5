"""What all learned unit models have in common: an encoder, and a codebook over its latents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from zerochain.discovery.model import Frames, UnitModel, squared_distances

_BATCH_FRAMES = 8_192  # of a padded batch: activations of 256 channels take 8 MB a layer


class NeuralUnits(UnitModel):
    """Units that are the nearest codebook vectors of an encoder's latents.

    `encoder` maps features (B, T, D) and lengths (B,) to latents (B, ⌈T / stride⌉, E); the front
    end in front of it has stride 1.

    Attributes:
        stride: frames that one unit lasts: the encoder's.
        training_folder: where the checkpoint and log.csv of the fit stand; None is a temporary
            folder, and an interrupted fit starts anew.
    """

    stride: int
    encoder: nn.Module
    training_folder: Path | None = None

    def latents_of(self, utterances: list[Frames]) -> list[Frames]:
        """Latents (T', E) of utterances that the front end has prepared, each (T, D)."""
        return encoded(self.encoder, utterances, self.stride, self.device)

    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        assert self.codebook is not None
        return squared_distances(self.latents_of(utterances), self.codebook, self.device)

    @property
    def step_ms(self) -> float:
        """How long one step of units lasts."""
        return self._fitted.step_ms * self.stride


def encoded(encoder: nn.Module, utterances: list[Frames], stride: int, device: str) -> list[Frames]:
    """An encoder's latents of utterances (T, D), padded in batches of like lengths."""
    encoder.to(device).eval()
    results: list[Frames | None] = [None] * len(utterances)
    with torch.inference_mode():
        for batch in _batches([len(u) for u in utterances]):
            lengths = torch.tensor([len(utterances[i]) for i in batch])
            x = torch.zeros(len(batch), int(lengths.max()), utterances[0].shape[1])
            for row, i in enumerate(batch):
                x[row, : lengths[row]] = torch.from_numpy(utterances[i])
            y = encoder(x.to(device), lengths.to(device)).cpu().numpy()
            for row, i in enumerate(batch):
                results[i] = y[row, : -(-len(utterances[i]) // stride)]
    return [r for r in results if r is not None]


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Indices in groups of like lengths, each of at most `_BATCH_FRAMES` frames with padding."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if group and lengths[i] * (len(group) + 1) > _BATCH_FRAMES:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
