"""The first part of training our generator: the filters are the recordings' spectral envelopes.

A generator that starts from each unit's mean envelope has to learn what the units around a frame,
its pitch and its voice say about that frame's envelope. Losses on waveforms teach it slowly, as
phase and noise blur what they say; and a step through synthesis and several spectra costs four
times as much. So the log gains are first fitted to the log envelopes themselves, by least squares,
and training on waveforms begins where that ends.

From top to bottom: the recipe, where it starts, the fit, the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zerochain.audio import SAMPLE_RATE
from zerochain.modules.generators import SourceFilterGenerator
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, fit
from zerochain.training.task import Batch, Update

RECIPE = Recipe(
    max_steps=600,
    batch_size=16,
    learning_rate=2e-3,
    annealing="cosine",
    validate_every=100,
    patience=3,
    ema_decay=0.99,
)
"""Two minutes on a CPU."""
_CROP_S = 1.28
_LONG_CROPS, _LONG_CROP = 8, 400


def mean_envelopes(generator: SourceFilterGenerator, crops: Crops) -> Tensor:
    """Each unit's mean envelope, (n_units + 1, n_bins): of all frames where it never occurs."""
    n_units = generator.config.n_units
    sums = torch.zeros(n_units + 1, generator.transform.n_bins, dtype=torch.float64)
    counts = torch.zeros(n_units + 1, dtype=torch.float64)
    for batch in crops.all(_LONG_CROPS, _LONG_CROP):
        units, real = frame_units(batch, n_units)
        envelopes = generator.envelope(batch["waves"].flatten(1))[real].double()
        sums.index_add_(0, units[real], envelopes)
        counts += torch.bincount(units[real], minlength=n_units + 1)
    mean = sums.sum(dim=0) / counts.sum()
    return torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], mean).float()


def frame_units(batch: Batch, padding_unit: int) -> tuple[Tensor, Tensor]:
    """Units (B, T), padded beyond an utterance's end, and which frames are no padding (B, T)."""
    units = batch["units"]
    real = torch.arange(units.shape[1], device=units.device) < batch["lengths"][:, None]
    return torch.where(real, units, padding_unit), real


def fit_envelopes(
    generator: SourceFilterGenerator,
    learned: Crops,
    kept: Crops,
    recipe: Recipe,
    running: Running,
    *,
    inputs: Mapping[str, Any],
) -> Fitted:
    """Fit the generator's log gains to log envelopes; afterwards it has the kept weights.

    Args:
        learned, kept: crops with "units", "f0", "f0_units" and "waves", of which voices are known.
        inputs: as for `zerochain.training.run.fit`.

    Raises:
        InputError: divergence.
    """
    task = EnvelopeTask(generator, learned, kept, recipe, running.device)
    # How much weaker noise is in voiced frames can't be told from envelopes.
    generator.noise_where_voiced.requires_grad_(False)
    fitted = fit(task, recipe, running, inputs=inputs)
    generator.noise_where_voiced.requires_grad_(True)
    return fitted


class EnvelopeTask:
    """Mean square of the difference between both filters' log gains and the log envelope."""

    def __init__(
        self,
        generator: SourceFilterGenerator,
        learned: Crops,
        kept: Crops,
        recipe: Recipe,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"gains": _Gains(generator)}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "gains": torch.optim.AdamW(generator.parameters(), recipe.learning_rate)
        }
        self._generator, self._learned, self._kept = generator, learned, kept
        self._recipe, self._device = recipe, device
        self._n_frames = round(_CROP_S * SAMPLE_RATE / generator.config.hop)

    def batch(self, step: int, process: int) -> Batch:
        """Random crops of the training utterances."""
        seed = (self._recipe.seed, step, process)
        return self._learned.random(self._recipe.batch_size, self._n_frames, seed)

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step on a batch."""
        squares, n = self._squares(networks["gains"], batch)
        loss = squares / n
        update("gains", loss)
        return {"train_loss": loss}

    def validate(self, network: nn.Module) -> float:
        """The mean square over the held-out utterances."""
        total = n_values = 0.0
        for batch in self._kept.all(_LONG_CROPS, _LONG_CROP):
            here = {name: value.to(self._device) for name, value in batch.items()}
            squares, n = self._squares(network, here)
            total, n_values = total + float(squares), n_values + n
        return total / n_values

    def _squares(self, gains: nn.Module, batch: Batch) -> tuple[Tensor, int]:
        """The sum of squares over real frames, and of how many values."""
        units, real = frame_units(batch, self._generator.config.n_units)
        waves = batch["waves"].flatten(1)
        with torch.no_grad(), torch.autocast(waves.device.type, enabled=False):
            envelope = self._generator.envelope(waves)
        f0_units = batch["f0_units"] if self._generator.config.n_f0_units else None
        both = gains(units, f0_units, batch["f0"], batch["voices"])
        squares = sum((one - envelope)[real].square().sum() for one in both) / len(both)
        return squares, int(real.sum()) * envelope.shape[-1]


class _Gains(nn.Module):
    """A generator whose output is its filters' log gains, without the speech."""

    def __init__(self, generator: SourceFilterGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(
        self, units: Tensor, f0_units: Tensor | None, f0: Tensor, voices: Tensor
    ) -> tuple[Tensor, Tensor]:
        filters = self.generator.filters_of(units, f0_units, f0, voices)
        return filters.gain, filters.noise
