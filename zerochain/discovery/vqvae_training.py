"""Train a conditional VQ-VAE on prepared speech."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zerochain.discovery.codebook import CollapseWatch
from zerochain.discovery.segments import Speech
from zerochain.modules.encoder import mask_of
from zerochain.modules.vqvae import ConditionalVqvae, Reconstruction
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Update

_SEGMENTS_A_BATCH, _LONG_SEGMENT = 8, 512


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
        self._n_units, self._watch = len(network.quantizer.usage), CollapseWatch()
        self._n_used = torch.tensor(self._n_units)

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
        self._n_used = made.quantized.n_used
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
        self._watch(int(self._n_used), self._n_units)
        return total / n


def squared_error(x: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sum over real frames of the squared error's mean over dimensions, and their number."""
    real = mask_of(batch["lengths"], batch["x"].shape[1])
    errors = (x.float() - batch["x"]).square().mean(dim=2)
    return (errors * real).sum(), real.sum()
