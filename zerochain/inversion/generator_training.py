"""Train a generator of waveforms: spectral losses, and an adversary where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.features.f0 import Contour
from zerochain.inversion.cuts import Cuts
from zerochain.modules.adversarial import (
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    halves,
)
from zerochain.modules.convnext import SourceFilterGenerator
from zerochain.modules.excitation import Start
from zerochain.modules.hifigan import HiFiGANGenerator
from zerochain.modules.spectral_losses import MelLoss, multi_resolution_loss
from zerochain.modules.wave_discriminators import (
    Discriminators,
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    MultiScaleDiscriminator,
)
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Update
from zerochain.training.split import validation_ids

Generator = SourceFilterGenerator | HiFiGANGenerator
Adversary = Literal["none", "multi-resolution", "multi-period"]
_BETAS = (0.8, 0.99)  # of AdamW, as published for HiFi-GAN
_LONG_CUTS, _LONG_CUT = 8, 400
_EDGE_FRAMES = 4  # of a cut, whose neighbours the generator doesn't see


class GeneratorLosses(BaseModel):
    """What a generator is trained on. The weights are those of HiFi-GAN (Kong et al. 2020)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    adversary: Adversary = "none"
    """`multi-period` is the published one: five periods and three scales."""
    adversary_width: float = Field(1.0, gt=0, le=1)
    """Scales the discriminators' channels."""
    adversary_from: int = Field(0, ge=0)
    """The last step without the adversary."""
    mel_weight: float = Field(45.0, gt=0)
    feature_matching_weight: float = Field(2.0, ge=0)

    def check_begins(self, max_steps: int) -> None:
        """Raise InputError if the adversary would begin after the last step."""
        if self.adversary != "none" and self.adversary_from >= max_steps:
            raise InputError(
                f"the adversary would begin at step {self.adversary_from + 1}, and training ends "
                f"at step {max_steps}",
                remedy="lower --adversary-from, or take --adversary none",
            )

    def discriminators(self) -> Discriminators | None:
        """None without an adversary."""
        width = self.adversary_width
        match self.adversary:
            case "none":
                return None
            case "multi-resolution":
                return Discriminators(MultiResolutionDiscriminator(width=width))
            case "multi-period":
                return Discriminators(
                    MultiPeriodDiscriminator(width=width), MultiScaleDiscriminator(width=width)
                )


@dataclass(frozen=True, eq=False)
class Utterance:
    """One utterance as a generator's training sees it."""

    units: NDArray[np.int32]
    """One a frame (T,)."""
    f0: Contour
    """(T,) Hz, 0 where unvoiced."""
    f0_units: NDArray[np.int64]
    """One a frame (T,)."""
    wave: Waveform
    """At most T · hop samples; the rest is silence."""
    voice: int

    def arrays(self, hop: int) -> dict[str, NDArray[np.generic]]:
        """What `Cuts` lays end to end; samples are rows of `hop`."""
        n = len(self.units) * hop
        wave = np.zeros(n, np.float32)
        wave[: len(self.wave)] = self.wave[:n]
        return {
            "units": self.units.astype(np.int64),
            "f0": self.f0,
            "f0_units": self.f0_units,
            "waves": wave.reshape(-1, hop),
        }


def training_cuts(utterances: Mapping[str, Utterance], hop: int) -> tuple[Cuts, Cuts]:
    """What to train on, and what to validate on.

    Raises:
        InputError: fewer than two utterances.
    """
    held_out = validation_ids(list(utterances))
    sides = (
        [u for name, u in utterances.items() if name not in held_out],
        [u for name, u in utterances.items() if name in held_out],
    )
    learned, kept = (Cuts.of([u.arrays(hop) for u in s], [u.voice for u in s]) for s in sides)
    return learned, kept


def unit_means(generator: SourceFilterGenerator, cuts: Cuts) -> Tensor:
    """Each unit's mean log spectrum, (n_units + 1, n_bins): of all frames where it never occurs."""
    n_units = generator.config.n_units
    sums = torch.zeros(n_units + 1, generator.transform.n_bins, dtype=torch.float64)
    counts = torch.zeros(n_units + 1, dtype=torch.float64)
    for batch in cuts.all(_LONG_CUTS, _LONG_CUT):
        units, real = _units(batch, n_units)
        spectra = generator.log_magnitude(batch["waves"].flatten(1))[real].double()
        sums.index_add_(0, units[real], spectra)
        counts += torch.bincount(units[real], minlength=n_units + 1)
    mean = sums.sum(dim=0) / counts.sum()
    return torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], mean).float()


class GeneratorTask:
    """Log-mel distance and, for our own generator, several resolutions of log magnitudes.

    With an adversary, the published sum for the generator: adversarial + feature matching + mel.
    """

    def __init__(
        self,
        generator: Generator,
        learned: Cuts,
        kept: Cuts,
        losses: GeneratorLosses,
        config: TrainingConfig,
        *,
        n_frames: int,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"generator": generator}
        discriminators = losses.discriminators()
        if discriminators is not None:
            self.networks["discriminators"] = discriminators
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.AdamW(network.parameters(), config.learning_rate, _BETAS)
            for name, network in self.networks.items()
        }
        self._losses, self._config = losses, config
        self._learned, self._kept = learned, kept
        self._n_frames, self._device = n_frames, device
        self._nothing, self._hop = generator.config.n_units, generator.config.hop
        self._has_f0_units = generator.config.n_f0_units > 0
        self._source_filter = isinstance(generator, SourceFilterGenerator)
        self._mel = MelLoss().to(device)

    def batch(self, step: int, process: int) -> Batch:
        """Random cuts of the training utterances, and where their excitation starts."""
        seed = (self._config.seed, step, process)
        batch = self._learned.random(self._config.batch_size, self._n_frames, seed)
        start = Start.random(len(batch["voices"]), int(np.random.default_rng(seed).integers(2**31)))
        begun = torch.tensor(step > self._losses.adversary_from)
        return {**batch, "phase": start.phase, "noise": start.noise, "adversary": begun}

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of the discriminators, if there are any by now, and one of the generator."""
        made, real = self._made(networks["generator"], batch)
        reconstruction = self._reconstruction(made, real)
        loss, said = self._losses.mel_weight * reconstruction, {"train_loss": reconstruction}
        if "discriminators" in networks and bool(batch["adversary"]):
            against, told = self._against(real, made, networks["discriminators"], update)
            loss, said = loss + against, {**said, **told}
        update("generator", loss)
        return said

    def validate(self, network: nn.Module) -> float:
        """The spectral loss on the held-out utterances."""
        total, n = 0.0, 0
        for batch in self._kept.all(_LONG_CUTS, _LONG_CUT):
            here = {name: value.to(self._device) for name, value in batch.items()}
            made, real = self._made(network, here)
            size = int(batch["lengths"].sum())
            total, n = total + float(self._reconstruction(made, real)) * size, n + size
        return total / n

    def _against(
        self, real: Tensor, made: Tensor, judges: nn.Module, update: Update
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Train the discriminators; return the generator's loss against them, and what to log."""
        told = discriminator_loss(*halves(judges(torch.cat([real, made.detach()]))))
        update("discriminators", told)
        # Without DDP's wrapping, whose gradients all have to be asked for.
        judge = update.accelerator.unwrap_model(judges).requires_grad_(False)
        with torch.no_grad():
            true = judge(real)
        seen = judge(made)
        judge.requires_grad_(True)
        adversarial, matching = generator_loss(seen), feature_matching_loss(true, seen)
        values = {"discriminator": told, "adversarial": adversarial, "matching": matching}
        return adversarial + self._losses.feature_matching_weight * matching, values

    def _made(self, generator: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the generator makes of a batch, and the recordings, but for the cuts' edges."""
        units, _ = _units(batch, self._nothing)
        start = Start(batch["phase"], batch["noise"]) if "phase" in batch else None
        f0_units = batch["f0_units"] if self._has_f0_units else None
        made = generator(units, f0_units, batch["f0"], batch["voices"], start)
        edge = self._hop * min(_EDGE_FRAMES, (units.shape[1] - 1) // 2)
        inside = slice(edge, made.shape[1] - edge)
        return made[:, inside], batch["waves"].flatten(1)[:, inside]

    def _reconstruction(self, made: Tensor, real: Tensor) -> Tensor:
        mel: Tensor = self._mel(made, real)
        return mel + multi_resolution_loss(made, real) if self._source_filter else mel


def _units(batch: Batch, nothing: int) -> tuple[Tensor, Tensor]:
    """Units (B, T), nothing beyond an utterance's end, and where there is something (B, T)."""
    units = batch["units"]
    real = torch.arange(units.shape[1], device=units.device) < batch["lengths"][:, None]
    return torch.where(real, units, nothing), real
