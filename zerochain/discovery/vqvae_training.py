"""Train a conditional VQ-VAE on prepared speech."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zerochain.discovery.kmeans import draft, lloyd
from zerochain.discovery.segments import Speech
from zerochain.modules.encoder import mask_of
from zerochain.modules.vqvae import ConditionalVqvae, Reconstruction
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Update

COLLAPSED = 0.1
"""The part of the codes in use below which a codebook has collapsed."""
_SEGMENTS_A_BATCH, _LONG_SEGMENT = 8, 512
_LATENTS_A_UNIT = 64  # that the codebook's first k-means looks at


class CollapseWarning(UserWarning):
    """Most of a codebook is not in use."""


class VqvaeTask:
    """Squared error of the features from their codes and their speaker, and the quantizer's loss.

    Both are means over real frames and dimensions, −log p(x | z, s) of a Gaussian but for a
    factor. Validation sees the squared error alone, through the quantizer.

    Args:
        n_frames: length of a training segment.
    """

    def __init__(
        self,
        network: ConditionalVqvae,
        train: Speech,
        valid: Speech,
        config: TrainingConfig,
        *,
        n_frames: int,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"vqvae": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "vqvae": torch.optim.Adam(network.parameters(), config.learning_rate)
        }
        self._train, self._valid, self._config = train, valid, config
        self._n_frames, self._device = n_frames, device
        self._n_units, self._warned = len(network.quantizer.usage), False

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        return self._train.random_segments(
            self._config.batch_size, self._n_frames, (self._config.seed, step, process)
        )

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of all parts."""
        made: Reconstruction = networks["vqvae"](batch["x"], batch["lengths"], batch["speakers"])
        total, n = squared_error(made.x, batch)
        error = total / n
        loss = error + made.quantized.loss
        update("vqvae", loss)
        return {
            "train_loss": loss,
            "reconstruction": error,
            "quantization": made.quantized.loss,
            "perplexity": made.quantized.perplexity,
            "n_used": made.quantized.n_used,
        }

    def validate(self, network: nn.Module) -> float:
        """Mean squared error of the held-out utterances."""
        total, n = 0.0, 0.0
        for batch in self._valid.all_segments(_SEGMENTS_A_BATCH, _LONG_SEGMENT):
            here = {name: value.to(self._device) for name, value in batch.items()}
            made: Reconstruction = network(here["x"], here["lengths"], here["speakers"])
            part, count = squared_error(made.x, here)
            total, n = total + float(part), n + float(count)
        self._watch(int(made.quantized.n_used))
        return total / n

    def _watch(self, n_used: int) -> None:
        n_units = self._n_units
        if n_used < COLLAPSED * n_units and not self._warned:
            self._warned = True
            warnings.warn(collapse(n_used, n_units), CollapseWarning, stacklevel=2)


def collapse(n_used: int, n_units: int) -> str:
    """What to say of a codebook that has collapsed."""
    return (
        f"the codebook has collapsed: {n_used} of {n_units} units are in use. Way out: a moving-"
        "average codebook that restarts (--ema, --restart-below), a lower learning rate, or fewer "
        "units"
    )


def squared_error(x: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sum over real frames of the squared error's mean over dimensions, and their number."""
    real = mask_of(batch["lengths"], batch["x"].shape[1])
    errors = (x.float() - batch["x"]).square().mean(dim=2)
    return (errors * real).sum(), real.sum()


def start_codebook(
    network: ConditionalVqvae, task: VqvaeTask, n_units: int, seed: int, device: str
) -> None:
    """K-Means on the latents that the untrained encoder gives, in training mode, as it will be."""
    latents: list[Tensor] = []
    encoder = network.encoder.to(device).train()
    process = 0
    with torch.no_grad():
        while sum(map(len, latents)) < n_units * _LATENTS_A_UNIT:
            batch = task.batch(0, process)  # step 0 is no step of the training
            z = encoder(batch["x"].to(device), batch["lengths"].to(device)).cpu()
            stride = -(-batch["x"].shape[1] // z.shape[1])
            latents.append(z[mask_of(-(-batch["lengths"] // stride), z.shape[1]) > 0])
            process += 1
    frames = torch.cat(latents)
    codebook = draft(frames.numpy(), n_units, seed, "cpu")
    network.quantizer.start(torch.from_numpy(lloyd(frames, codebook, 20, 1e-3)[0]))
