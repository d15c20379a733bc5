"""Training of inverters that predict waveforms: units, pitch and voice → samples.

Disentangled resynthesis after Polyak et al. (Interspeech 2021): content comes as units, pitch as
F0 (and its units), the voice as a vector, so that each can be exchanged. Two generators: ours, a
ConvNeXt that filters a harmonic excitation, which spectral losses alone can train; and HiFi-GAN
(Kong et al. 2020) as published, on F0 units as well. Training takes three parts: F0 units,
prosody, the generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.features.f0 import Contour
from zerochain.inversion import WaveformMethod
from zerochain.inversion.inverter import (
    ConvNextInverter,
    Generator,
    HiFiGANInverter,
    NeuralInverter,
    frame_f0_units,
    hop_of_frames,
)
from zerochain.inversion.pitch import F0Quantizer, resampled
from zerochain.inversion.prosody import fit_prosody, frames_per_step
from zerochain.inversion.voice_data import Material
from zerochain.inversion.voices import F0
from zerochain.modules.discriminators import (
    Discriminators,
    MelLoss,
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    MultiResolutionPatchDiscriminator,
    MultiScaleDiscriminator,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    halves,
    multi_resolution_loss,
)
from zerochain.modules.hifigan import HiFiGANConfig, HiFiGANGenerator
from zerochain.modules.source_filter import (
    SourceFilterConfig,
    SourceFilterGenerator,
    Start,
)
from zerochain.modules.vqvae import F0VqvaeConfig
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe, validation_ids
from zerochain.training.run import Fitted, Running, fit, weights_id
from zerochain.training.task import Batch, Update

RECIPE = Recipe(
    max_steps=4000,
    batch_size=16,
    learning_rate=1e-3,
    validate_every=200,
    patience=5,
)
"""A voice of half an hour in an hour on a CPU, with our generator and without an adversary.

The learning rate is constant: the moving average of the weights takes annealing's place
(`evaluation/inversion`).
"""
_F0_UNITS = 256  # of our inverter
_STRIDES: dict[int, Literal[4, 8, 16]] = {20: 4, 40: 8, 80: 16}  # frames of 5 ms
_BETAS = (0.8, 0.99)  # of AdamW, as published for HiFi-GAN
_CROP_S = 0.64
_LONG_CROPS, _LONG_CROP = 8, 400
_EDGE_FRAMES = 4  # of a crop, whose neighbours the generator doesn't see


class WaveformConfig(Config):
    """A generator and what it is trained on; the weights are those of HiFi-GAN (Kong 2020)."""

    width: int | None = Field(
        None, ge=1, json_schema_extra={"default": "256; of hifigan the published 512"}
    )
    """Channels per layer; for hifigan, of the first one."""
    f0_units: int | None = Field(
        None, ge=2, le=2**20, json_schema_extra={"default": "256; of hifigan the published 20"}
    )
    """Number of F0 units.

    Ours follows the pitch that it is given, so what F0 units lose is lost in its speech: by the 20
    published ones it is off by more than a semitone."""
    f0_unit_ms: Literal[20, 40, 80] = 80
    """How long an F0 unit lasts in ms; shorter ones follow the pitch more closely, in more bits."""
    adversary: Literal["none", "patches", "multi-resolution", "multi-period"] = "none"
    """Discriminators; patches (of spectra) are for CPUs, multi-period is the published one.

    The published one has five periods and three scales, for GPUs. With an adversary, all steps are
    taken, and the last weights are kept."""
    adversary_width: float = Field(1.0, gt=0, le=1)
    """Factor of the discriminators' numbers of channels."""
    adversary_from: int | None = Field(
        None, ge=0, json_schema_extra={"default": "0; of patches, four fifths of the steps"}
    )
    """Number of steps before training with the adversary begins."""
    mel_weight: float = Field(45.0, gt=0, json_schema_extra={"option": None})
    """Of the log-mel distance."""
    feature_matching_weight: float = Field(2.0, ge=0, json_schema_extra={"option": None})
    """Of the differences inside the discriminators."""

    @property
    def losses(self) -> dict[str, Any]:
        """What a generator is trained on, as bundles record it."""
        return self.model_dump(exclude={"width", "f0_units", "f0_unit_ms"})

    def n_f0_units(self, method: WaveformMethod) -> int:
        """Number of F0 units of a method's inverter."""
        if self.f0_units is not None:
            return self.f0_units
        return F0VqvaeConfig().n_units if method == "hifigan" else _F0_UNITS

    def steps_before(self, max_steps: int) -> int:
        """Number of steps before training with the adversary begins."""
        if self.adversary_from is None:
            return max_steps * 4 // 5 if self.adversary == "patches" else 0
        return self.adversary_from

    def check_begins(self, max_steps: int) -> None:
        """Raise InputError if the adversary would begin after the last step."""
        begin = self.steps_before(max_steps)
        if self.adversary != "none" and begin >= max_steps:
            raise InputError(
                f"the adversary would begin at step {begin + 1}, and training ends "
                f"at step {max_steps}",
                remedy="lower adversary_from=, or use adversary='none'",
            )

    def discriminators(self) -> Discriminators | None:
        """None without an adversary."""
        width = self.adversary_width
        match self.adversary:
            case "none":
                return None
            case "patches":
                return Discriminators(MultiResolutionPatchDiscriminator(width=width))
            case "multi-resolution":
                return Discriminators(MultiResolutionDiscriminator(width=width))
            case "multi-period":
                return Discriminators(
                    MultiPeriodDiscriminator(width=width), MultiScaleDiscriminator(width=width)
                )


KINDS: Mapping[WaveformMethod, type[NeuralInverter]] = {
    "convnext": ConvNextInverter,
    "hifigan": HiFiGANInverter,
}


def make_generator(method: WaveformMethod, **sizes: Any) -> Generator:
    """A generator with random weights; `sizes` are fields of its config."""
    if method == "hifigan":
        return HiFiGANGenerator(HiFiGANConfig(**sizes))
    return SourceFilterGenerator(SourceFilterConfig(**sizes))


def train_waveform(
    method: WaveformMethod,
    material: Material,
    config: WaveformConfig,
    recipe: Recipe,
    running: Running,
    *,
    f0: Recipe,
    prosody: Recipe,
) -> tuple[NeuralInverter, Fitted]:
    """Train an inverter that predicts waveforms: its F0 units, its prosody, its generator.

    Raises:
        InputError: too little speech, an adversary that would begin after the last step, or
            divergence.
    """
    if config.adversary != "none":
        recipe = recipe.model_copy(update={"keep": "last"})
    durations = {u.id: u.duration for u in material.corpus.utterances}
    material.units.check_durations(durations, "corpus")
    torch.manual_seed(recipe.seed)
    f0_config = F0VqvaeConfig(n_units=config.n_f0_units(method), stride=_STRIDES[config.f0_unit_ms])
    generator = _untrained(method, material, config.width, f0_config.n_units)
    if material.references is not None:
        generator.conditioning.voice.references.copy_(torch.from_numpy(material.references))
    speech = material.contours, material.numbers, material.statistics
    quantizer = F0Quantizer.fit(*speech, config=f0_config, recipe=f0, running=running.part("f0"))
    predictor = fit_prosody(
        material.units,
        *speech,
        references=material.references,
        recipe=prosody,
        running=running.part("prosody"),
    )
    hop = generator.config.hop
    learned, kept = training_crops(_utterances(material, quantizer), hop)
    if isinstance(generator, SourceFilterGenerator):
        generator.start_from(mean_spectra(generator, learned))
    # Again: how many random numbers the other parts drew depends on whether they were resumed.
    torch.manual_seed(recipe.seed)
    n_frames = round(_CROP_S * SAMPLE_RATE / hop)
    task = GeneratorTask(
        generator, learned, kept, config, recipe, n_frames=n_frames, device=running.device
    )
    inputs = {
        "network": generator.config.model_dump(),
        "losses": config.losses,
        "units": material.units.id,
        "corpus": material.corpus_id,
        "ids": material.corpus.ids,
        "voices": list(material.names),
        "speakers": material.speaker_encoder_id,
    }
    follows = {"f0": weights_id(quantizer.network)} if generator.config.n_f0_units else {}
    fitted = fit(task, recipe, running, inputs=inputs, follows=follows)
    report = {
        **material.report,
        "losses": config.losses,
        "training": recipe.model_dump(),
        "device": running.device,
        **asdict(fitted.outcome),
        "complaints": [*quantizer.findings, *predictor.findings],
    }
    inverter = KINDS[method](
        generator=generator.to(running.device),
        f0_quantizer=quantizer,
        prosody=predictor,
        training=report,
        **material.fields,
    )
    return inverter, fitted


def _untrained(
    method: WaveformMethod, material: Material, width: int | None, n_f0_units: int
) -> Generator:
    """A generator with random weights; HiFi-GAN, which has no excitation, takes F0 units too."""
    try:
        return make_generator(
            method,
            n_units=material.units.n_units,
            n_f0_units=n_f0_units if method == "hifigan" else 0,
            n_voices=len(material.names),
            n_reference=material.n_reference,
            hop=hop_of_frames(material.units.step_ms),
            **({} if width is None else {"width": width}),
        )
    except InputError as error:
        raise InputError(
            f"a {method} generator can't be made: {error.found}",
            remedy="leave width= out, or change it",
        ) from error


def _utterances(material: Material, quantizer: F0Quantizer) -> dict[str, Utterance]:
    repeat = frames_per_step(material.units.step_ms)
    frame_ms = material.units.step_ms / repeat
    utterances = {}
    for name, steps, wave in material.recordings():
        frames, number = np.repeat(steps, repeat), material.numbers[name]
        f0 = resampled(material.contours[name], F0.step_ms, frame_ms, len(frames))
        f0_units = frame_f0_units(quantizer, f0, frame_ms, material.voice(number))
        utterances[name] = Utterance(frames, f0, f0_units, wave, number)
    return utterances


@dataclass(frozen=True, eq=False)
class Utterance:
    """One utterance, frame by frame, as a generator is trained on it."""

    units: NDArray[np.int32]
    """(T,)."""
    f0: Contour
    """(T,) Hz, 0 where unvoiced."""
    f0_units: NDArray[np.int64]
    """(T,)."""
    wave: Waveform
    """At most T · hop samples; the rest is silence."""
    voice: int

    def arrays(self, hop: int) -> dict[str, NDArray[np.generic]]:
        """What `Crops` lays end to end; samples are rows of `hop`."""
        n = len(self.units) * hop
        wave = np.zeros(n, np.float32)
        wave[: len(self.wave)] = self.wave[:n]
        return {
            "units": self.units.astype(np.int64),
            "f0": self.f0,
            "f0_units": self.f0_units,
            "waves": wave.reshape(-1, hop),
        }


def training_crops(utterances: Mapping[str, Utterance], hop: int) -> tuple[Crops, Crops]:
    """What to train on, and what to validate on.

    Raises:
        InputError: fewer than two utterances.
    """
    held_out = validation_ids(list(utterances))
    sides = (
        [u for name, u in utterances.items() if name not in held_out],
        [u for name, u in utterances.items() if name in held_out],
    )
    learned, kept = (
        Crops.of([u.arrays(hop) for u in s], voices=[u.voice for u in s]) for s in sides
    )
    return learned, kept


def mean_spectra(generator: SourceFilterGenerator, crops: Crops) -> Tensor:
    """Each unit's mean log spectrum, (n_units + 1, n_bins): of all frames where it never occurs."""
    n_units = generator.config.n_units
    sums = torch.zeros(n_units + 1, generator.transform.n_bins, dtype=torch.float64)
    counts = torch.zeros(n_units + 1, dtype=torch.float64)
    for batch in crops.all(_LONG_CROPS, _LONG_CROP):
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
        learned: Crops,
        kept: Crops,
        config: WaveformConfig,
        recipe: Recipe,
        *,
        n_frames: int,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"generator": generator}
        discriminators = config.discriminators()
        if discriminators is not None:
            self.networks["discriminators"] = discriminators
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.AdamW(network.parameters(), recipe.learning_rate, _BETAS)
            for name, network in self.networks.items()
        }
        self._config, self._recipe = config, recipe
        self._learned, self._kept = learned, kept
        self._n_frames, self._device = n_frames, device
        self._padding_unit, self._hop = generator.config.n_units, generator.config.hop
        self._has_f0_units = generator.config.n_f0_units > 0
        # HiFi-GAN's loss is as published.
        self._has_resolutions = isinstance(generator, SourceFilterGenerator)
        self._mel = MelLoss().to(device)

    def batch(self, step: int, process: int) -> Batch:
        """Random crops of the training utterances, and where their excitation starts."""
        seed = (self._recipe.seed, step, process)
        batch = self._learned.random(self._recipe.batch_size, self._n_frames, seed)
        start = Start.random(len(batch["voices"]), int(np.random.default_rng(seed).integers(2**31)))
        begun = torch.tensor(step > self._config.steps_before(self._recipe.max_steps))
        return {**batch, "phase": start.phase, "noise": start.noise, "adversary": begun}

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of the discriminators, if there are any by now, and one of the generator."""
        made, real = self._made(networks["generator"], batch)
        reconstruction = self._reconstruction(made, real)
        loss, log = self._config.mel_weight * reconstruction, {"train_loss": reconstruction}
        if "discriminators" in networks and bool(batch["adversary"]):
            against, values = self._against(real, made, networks["discriminators"], update)
            loss, log = loss + against, {**log, **values}
        update("generator", loss)
        return log

    def validate(self, network: nn.Module) -> float:
        """The spectral loss on the held-out utterances."""
        total, n = 0.0, 0
        for batch in self._kept.all(_LONG_CROPS, _LONG_CROP):
            here = {name: value.to(self._device) for name, value in batch.items()}
            made, real = self._made(network, here)
            size = int(batch["lengths"].sum())
            total, n = total + float(self._reconstruction(made, real)) * size, n + size
        return total / n

    def _against(
        self, real: Tensor, made: Tensor, judges: nn.Module, update: Update
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Train the discriminators; return the generator's loss against them, and what to log."""
        judged = discriminator_loss(*halves(judges(torch.cat([real, made.detach()]))))
        update("discriminators", judged)
        # Without DDP's wrapping, whose gradients all have to be asked for.
        judge = update.accelerator.unwrap_model(judges).requires_grad_(False)
        with torch.no_grad():
            true = judge(real)
        seen = judge(made)
        judge.requires_grad_(True)
        adversarial, matching = generator_loss(seen), feature_matching_loss(true, seen)
        values = {"discriminator": judged, "adversarial": adversarial, "matching": matching}
        return adversarial + self._config.feature_matching_weight * matching, values

    def _made(self, generator: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the generator makes of a batch, and the recordings, without the crops' edges."""
        units, _ = _units(batch, self._padding_unit)
        start = Start(batch["phase"], batch["noise"]) if "phase" in batch else None
        f0_units = batch["f0_units"] if self._has_f0_units else None
        made = generator(units, f0_units, batch["f0"], batch["voices"], start)
        edge = self._hop * min(_EDGE_FRAMES, (units.shape[1] - 1) // 2)
        inside = slice(edge, made.shape[1] - edge)
        return made[:, inside], batch["waves"].flatten(1)[:, inside]

    def _reconstruction(self, made: Tensor, real: Tensor) -> Tensor:
        mel: Tensor = self._mel(made, real)
        return mel + multi_resolution_loss(made, real) if self._has_resolutions else mel


def _units(batch: Batch, padding_unit: int) -> tuple[Tensor, Tensor]:
    """Units (B, T), padded beyond an utterance's end, and which frames are no padding (B, T)."""
    units = batch["units"]
    real = torch.arange(units.shape[1], device=units.device) < batch["lengths"][:, None]
    return torch.where(real, units, padding_unit), real
