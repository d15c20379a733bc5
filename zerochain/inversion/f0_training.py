"""Train an F0 VQ-VAE, and measure it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerochain.features.f0 import Contour, F0Statistics
from zerochain.inversion.contours import check_contour
from zerochain.inversion.cuts import Cuts
from zerochain.modules.encoder import mask_of
from zerochain.modules.f0_vqvae import F0Errors, F0Vqvae, n_units_of
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Trained, Update
from zerochain.training.outcome import Outcome

_CUT_FRAMES = 256  # 1.3 s: longer than what a unit sees
_LONG_CUTS, _LONG_CUT = 16, 2048


class F0Task:
    """Error of z and of voicing, each a mean over what is voiced or real, and the quantizer's."""

    def __init__(
        self, network: F0Vqvae, learned: Cuts, kept: Cuts, config: TrainingConfig, device: str
    ) -> None:
        self.networks: dict[str, nn.Module] = {"f0": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "f0": torch.optim.Adam(network.parameters(), config.learning_rate)
        }
        self._learned, self._kept, self._config, self._device = learned, kept, config, device
        self._start(network)

    def _start(self, network: F0Vqvae) -> None:
        """Codes begin where latents are, so that all are of use from the first step on."""
        batch = self.batch(0, 0)  # step 0 is no step of the training
        with torch.no_grad():
            latents = network.train().latents(batch["z"], batch["voiced"], batch["lengths"])
        flat = latents.flatten(0, 1)
        chosen = torch.randint(len(flat), (network.config.n_units,))
        network.quantizer.start(flat[chosen])

    def batch(self, step: int, process: int) -> Batch:
        """Random cuts of the training utterances."""
        seed = (self._config.seed, step, process)
        return self._learned.random(self._config.batch_size, _CUT_FRAMES, seed)

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of all parts."""
        made = networks["f0"](batch["z"], batch["voiced"], batch["lengths"])
        errors = _errors(made.z, made.voicing, batch)
        loss = errors.loss + made.quantized.loss
        update("f0", loss)
        return {
            "train_loss": loss,
            "z": errors.z / errors.n_voiced.clamp(min=1),
            "voicing": errors.voicing / errors.n_real,
            "perplexity": made.quantized.perplexity,
            "n_used": made.quantized.n_used,
        }

    def validate(self, network: nn.Module) -> float:
        """Error of z and voicing of the held-out utterances."""
        total: F0Errors | None = None
        for batch in _batches(self._kept, self._device):
            made = network(batch["z"], batch["voiced"], batch["lengths"])
            errors = _errors(made.z, made.voicing, batch)
            total = errors if total is None else total + errors
        assert total is not None
        return float(total.loss)


def frames_of(f0: Contour, statistics: F0Statistics, name: str) -> dict[str, NDArray[np.float32]]:
    """What the network sees of a contour: "z" and "voiced", (T,) each; `name` is for errors."""
    check_contour(f0, name)
    return {"z": statistics.normalised(f0), "voiced": (f0 > 0).astype(np.float32)}


def _errors(z: Tensor, voicing: Tensor, batch: Batch) -> F0Errors:
    real = mask_of(batch["lengths"], batch["z"].shape[1])
    return F0Errors.of(z, voicing, batch["z"], batch["voiced"], real)


def measured(
    network: F0Vqvae, learned: Cuts, kept: Cuts, trained: Trained, device: str
) -> dict[str, Any]:
    """How training went, what codes training speech uses, and what they keep of the held-out."""
    counts = np.zeros(network.config.n_units, np.int64)
    wrong = squares = 0.0
    with torch.inference_mode():
        for batch in _batches(learned, device):
            units = network.encode(batch["z"], batch["voiced"], batch["lengths"])
            real = mask_of(n_units_of(batch["lengths"]), units.shape[1]) > 0
            counts += np.bincount(units[real].cpu().numpy(), minlength=len(counts))
        for batch in _batches(kept, device):
            made = network(batch["z"], batch["voiced"], batch["lengths"])
            real = mask_of(batch["lengths"], batch["z"].shape[1]) > 0
            said, voiced = made.voicing > 0, batch["voiced"] > 0
            wrong += float(((said != voiced) & real).sum())
            squares += float((made.z - batch["z"])[voiced].square().sum())
    shares = counts[counts > 0] / counts.sum()
    n_voiced = float(kept.arrays["voiced"].sum())
    return {
        **asdict(Outcome.of(trained, network)),
        "voiced": float(learned.arrays["voiced"].mean()),
        "n_used": len(shares),
        "perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
        "held_out_voicing_error": wrong / len(kept.arrays["voiced"]),
        "held_out_z_rmse": (squares / n_voiced) ** 0.5 if n_voiced else None,
    }


def _batches(cuts: Cuts, device: str) -> Iterator[Batch]:
    """Everything once, in long cuts."""
    for batch in cuts.all(_LONG_CUTS, _LONG_CUT):
        yield {name: value.to(device) for name, value in batch.items()}
