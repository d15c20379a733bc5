"""Train a generator of waveforms: spectral losses, and an adversary where there is one.

A neural inverter: content units, pitch and voice → waveform, without a spectrogram between.

Disentangled resynthesis after Polyak et al. (Interspeech 2021): what is said comes as units, how
high as F0, who speaks as a voice, so that each can be exchanged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.errors import InputError
from zerochain.features.f0 import Contour
from zerochain.formats.bundle import Bundled
from zerochain.inversion.pitch import F0Quantizer, resampled
from zerochain.inversion.prosody import Prosody, frames_a_step
from zerochain.inversion.voices import Voice, check_n_reference, check_vector, named
from zerochain.modules.convnext import SourceFilterConfig, SourceFilterGenerator
from zerochain.modules.discriminators import (
    Discriminators,
    MelLoss,
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    MultiScaleDiscriminator,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    halves,
    multi_resolution_loss,
)
from zerochain.modules.excitation import Start, at, starts
from zerochain.modules.f0_vqvae import STRIDE
from zerochain.modules.hifigan import HiFiGANConfig, HiFiGANGenerator
from zerochain.training.config import TrainingConfig
from zerochain.training.crops import Crops
from zerochain.training.loop import Batch, Update
from zerochain.training.split import validation_ids

Generator = SourceFilterGenerator | HiFiGANGenerator
Adversary = Literal["none", "multi-resolution", "multi-period"]
_BETAS = (0.8, 0.99)  # of AdamW, as published for HiFi-GAN
_LONG_CROPS, _LONG_CROP = 8, 400
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
        """Random crops of the training utterances, and where their excitation starts."""
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
        """What the generator makes of a batch, and the recordings, but for the crops' edges."""
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


WaveformMethod = Literal["convnext", "hifigan"]
WAVEFORM_METHODS: tuple[WaveformMethod, ...] = ("convnext", "hifigan")
_CHUNK_S = 10.0


@dataclass(frozen=True, eq=False)
class NeuralInverter(Bundled):
    """Units → speech in any of its voices, at any pitch.

    Attributes:
        generator: units, F0 units, F0 and voice of each frame → samples.
        f0_quantizer: between F0 contours and F0 units.
        prosody: durations and F0 for units that come without any; knows the voices' F0 statistics.
        unit_model: id of the unit model whose units it speaks.
        step_ms: of one unit.
        voices: names, in the order of the generator's numbers.
        speaker_encoder_id: of the bundle whose vectors tell voices apart; empty if none do.
        training: how it was trained.
    """

    WHAT = "inverter"

    generator: Generator
    f0_quantizer: F0Quantizer
    prosody: Prosody
    unit_model: str
    n_units: Annotated[int, Field(ge=1)]
    step_ms: Annotated[float, Field(gt=0, le=1e6)]
    voices: Annotated[tuple[str, ...], Field(min_length=1)]
    speaker_encoder_id: str
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """What it is in a bundle: "convnext" or "hifigan"."""
        return self.MODEL

    @property
    def frames_a_step(self) -> int:
        return frames_a_step(self.step_ms)

    @property
    def frame_ms(self) -> float:
        return self.step_ms / self.frames_a_step

    def voice(self, name: str | None = None) -> Voice:
        """A voice by its name; None is the only one.

        Raises:
            InputError: no such voice, or several and none named.
        """
        number = named(self.voices, name)
        return Voice(self.voices[number], number, self.prosody.statistics[number])

    def check_n_reference(self) -> None:
        """Raise InputError unless voices can be told by a speaker encoder's vectors."""
        check_n_reference(self.generator.config.n_reference)

    def f0_of(self, steps: NDArray[np.int32], voice: Voice) -> Contour:
        """F0 that fits units which come without any: Hz a frame (N · frames_a_step,)."""
        self._check_voice(voice)
        return self.prosody.f0(steps, voice.told, voice.statistics)

    def stream(
        self,
        steps: NDArray[np.int32],
        voice: Voice,
        f0: Contour | None = None,
        seed: int = 0,
    ) -> Iterator[Waveform]:
        """The waveform of one utterance of any length, in chunks of at most 10 s.

        Each chunk is computed with all of its surroundings that matter, so the speech is the same
        as if it were computed at once; memory is that of one chunk.

        Args:
            steps: a unit for each step (N,).
            f0: Hz a frame (N · frames_a_step,), 0 where unvoiced; None: predicted from the units.
            seed: of the noise.

        Raises:
            InputError: no unit, one out of range, or another number of frames in F0.
        """
        f0 = self.f0_of(steps, voice) if f0 is None else f0
        return self.stream_frames(np.repeat(steps, self.frames_a_step), voice, f0, seed)

    def stream_frames(
        self, frames: NDArray[np.int32], voice: Voice, f0: Contour, seed: int = 0
    ) -> Iterator[Waveform]:
        """As `stream`, given the unit and the F0 of each frame (T,): T · hop samples."""
        self._check_voice(voice)
        self._check(frames, f0)
        reach, device = self.generator.reach, next(self.generator.parameters()).device
        # A gap is as silent as what lies beyond: the network sees the same there.
        padded = np.pad(frames.astype(np.int64), reach, constant_values=self.n_units)
        pitch = torch.from_numpy(np.pad(f0, reach))[None].to(device)
        codes = np.pad(self._f0_units(f0, voice), reach)
        start = starts(pitch, self.generator.config.hop, seed)
        told, n = voice.tensor(device), len(frames)
        chunk = round(_CHUNK_S * 1000 / self.frame_ms)
        for first in range(0, n, chunk):
            end = min(first + chunk, n)
            seen = slice(first, end + 2 * reach)
            with torch.inference_mode():
                wave = self.generator(
                    torch.from_numpy(padded[seen])[None].to(device),
                    torch.from_numpy(codes[seen])[None].to(device) if self._has_f0_units else None,
                    pitch[:, seen],
                    told,
                    at(start, first),
                )[0]
            hop = self.generator.config.hop
            yield wave[reach * hop : (reach + end - first) * hop].cpu().numpy()

    def synthesize(
        self, steps: NDArray[np.int32], voice: Voice, f0: Contour | None = None, seed: int = 0
    ) -> Waveform:
        """The waveform of one utterance: exactly a step's samples for each unit of `steps`."""
        return np.concatenate(list(self.stream(steps, voice, f0, seed)))

    def check(self) -> None:
        network, f0, prosody = self.generator.config, self.f0_quantizer, self.prosody
        same = {
            "units": (self.n_units, network.n_units, prosody.n_units),
            "F0 units": (network.n_f0_units or f0.n_units, f0.n_units),
            "voices": (len(self.voices), network.n_voices, len(prosody.statistics)),
            "dimensions of a voice": (network.n_reference, prosody.network.config.n_reference),
            "ms a step": (self.step_ms, prosody.step_ms),
            "samples a frame": (hop_of_frames(self.step_ms), network.hop),
        }
        for what, numbers in same.items():
            if len(set(numbers)) > 1:
                raise ValueError(f"its parts have different numbers of {what}: {numbers}")

    @property
    def _has_f0_units(self) -> bool:
        return self.generator.config.n_f0_units > 0

    def _f0_units(self, f0: Contour, voice: Voice) -> NDArray[np.int64]:
        """The F0 unit of each frame; zeros where the generator has none."""
        if not self._has_f0_units:
            return np.zeros(len(f0), np.int64)
        return frame_f0_units(self.f0_quantizer, f0, self.frame_ms, voice)

    def _check_voice(self, voice: Voice) -> None:
        if not isinstance(voice.told, int):
            check_vector(voice.told, self.generator.config.n_reference)

    def _check(self, frames: NDArray[np.int32], f0: Contour) -> None:
        if len(frames) == 0 or frames.min() < 0 or frames.max() >= self.n_units:
            raise InputError(
                f"{len(frames)} units, or some outside 0 … {self.n_units - 1}",
                cause="they are of another unit model",
                remedy="encode with the unit model that the inverter was trained on",
            )
        if f0.shape != frames.shape or not np.isfinite(f0).all() or f0.min() < 0:
            raise InputError(
                f"F0 of shape {f0.shape}, or with NaN or negative values, for {len(frames)} frames "
                f"of {self.frame_ms:g} ms",
                cause="it is of another utterance",
            )


_NAMES = AliasChoices("generator", "network")
"""Of the generator's configuration; the second in version 1."""


@dataclass(frozen=True, eq=False)
class ConvNextInverter(NeuralInverter):
    """Ours: filters on a harmonic excitation, which a ConvNeXt predicts."""

    MODEL = "convnext"
    generator: Annotated[SourceFilterGenerator, Field(validation_alias=_NAMES)]


@dataclass(frozen=True, eq=False)
class HiFiGANInverter(NeuralInverter):
    """HiFi-GAN as published."""

    MODEL = "hifigan"
    generator: Annotated[HiFiGANGenerator, Field(validation_alias=_NAMES)]


KINDS: Mapping[WaveformMethod, type[NeuralInverter]] = {
    "convnext": ConvNextInverter,
    "hifigan": HiFiGANInverter,
}


def make_generator(method: WaveformMethod, config: Mapping[str, Any]) -> Generator:
    """The generator of a bundle's config, untrained."""
    if method == "hifigan":
        return HiFiGANGenerator(HiFiGANConfig(**config["network"]))
    return SourceFilterGenerator(SourceFilterConfig(**config["network"]))


def frame_f0_units(
    quantizer: F0Quantizer, f0: Contour, frame_ms: float, voice: Voice
) -> NDArray[np.int64]:
    """The F0 unit that each frame lies in, (T,), for F0 in Hz a frame (T,)."""
    n = math.ceil(len(f0) * frame_ms / quantizer.step_ms - 1e-9)
    fine = resampled(f0, frame_ms, quantizer.step_ms, max(n, 1))
    units = quantizer.units(fine, voice.statistics).astype(np.int64)
    place = np.arange(len(f0)) * frame_ms / (quantizer.step_ms * STRIDE)
    return units[np.minimum(place.astype(np.int64), len(units) - 1)]


def hop_of_frames(step_ms: float) -> int:
    """Samples in a frame of a neural inverter.

    Raises:
        InputError: a frame is no whole number of samples.
    """
    hop = step_ms / frames_a_step(step_ms) * SAMPLE_RATE / 1000
    if hop != round(hop):
        raise InputError(
            f"a unit of {step_ms:g} ms can't be parted into frames of whole samples",
            cause="the unit model's features have an unusual step",
            remedy="use features of --step-ms 10",
        )
    return round(hop)
