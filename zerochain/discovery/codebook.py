"""Codebooks of learned units: where they begin, how they are used, and whether they collapse."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zerochain.discovery.kmeans import draft, lloyd
from zerochain.modules.encoder import mask_of
from zerochain.modules.quantizer import CollapseWarning, Quantizer
from zerochain.training.loop import Batch

COLLAPSED = 0.1
"""The part of the codes in use below which a codebook has collapsed."""
_LATENTS_A_UNIT = 64  # that the codebook's first k-means looks at


class CollapseWatch:
    """Warns once that a codebook has collapsed."""

    def __init__(self) -> None:
        self._warned = False

    def __call__(self, n_used: int, n_units: int) -> None:
        """Look at how many codes are in use."""
        if n_used < COLLAPSED * n_units and not self._warned:
            self._warned = True
            warnings.warn(collapse(n_used, n_units), CollapseWarning, stacklevel=3)


def collapse(n_used: int, n_units: int) -> str:
    """What to say of a codebook that has collapsed."""
    return (
        f"the codebook has collapsed: {n_used} of {n_units} units are in use. Way out: a moving-"
        "average codebook that restarts (--ema, --restart-below), a lower learning rate, or fewer "
        "units"
    )


def start_codebook(
    encoder: nn.Module,
    quantizer: Quantizer,
    batch: Callable[[int, int], Batch],
    seed: int,
    device: str,
) -> None:
    """K-Means on the latents that the encoder gives, in training mode, as it will be.

    Args:
        batch: gives what is trained on, by step and process.
    """
    latents: list[Tensor] = []
    encoder.to(device).train()
    n_units, process = len(quantizer.usage), 0
    with torch.no_grad():
        while sum(map(len, latents)) < n_units * _LATENTS_A_UNIT:
            part = batch(0, process)  # step 0 is no step of the training
            z = encoder(part["x"].to(device), part["lengths"].to(device)).cpu()
            stride = -(-part["x"].shape[1] // z.shape[1])
            latents.append(z[mask_of(-(-part["lengths"] // stride), z.shape[1]) > 0])
            process += 1
    frames = torch.cat(latents)
    codebook = draft(frames.numpy(), n_units, seed, "cpu")
    quantizer.start(torch.from_numpy(lloyd(frames, codebook, 20, 1e-3)[0]))
