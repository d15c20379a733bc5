"""The one interface of all inverters, and the four: the unit of each frame, a voice, F0 → speech.

An inverter speaks the units of one unit model, in the voices that it was trained on or, with a
speaker encoder, in any. Those that predict spectrograms (trained in `zerochain.inversion.spectral`)
speak at the pitch that their units imply; those that predict waveforms (`inversion.waveform`) are
conditioned on F0 as well (`has_pitch`). `stream` yields an utterance of any length in chunks that
join without a seam; `synthesize` is all of them at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AliasChoices, Field
from torch import Tensor

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.errors import InputError, counted
from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.bundle import Bundled
from zerochain.inversion.phase import Phase, SpectrogramOptions, stream
from zerochain.inversion.pitch import F0Quantizer, resampled
from zerochain.inversion.prosody import Prosody, frames_per_step
from zerochain.inversion.voices import Voice, check_n_reference, check_vector, voice_number
from zerochain.modules.code2spec import (
    REACH,
    Code2Spec,
    UnitMeans,
)
from zerochain.modules.hifigan import HiFiGANGenerator
from zerochain.modules.source_filter import (
    SourceFilterGenerator,
    at,
    starts,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Inverter(Bundled, ABC):
    """Units → speech in one of its voices.

    Attributes:
        unit_model: id of the unit model whose units it speaks.
        step_ms: of one unit.
        voices: names, in the order of the network's numbers.
        speaker_encoder_id: of the bundle whose vectors the voices are known by; "" if they are
            known by their numbers.
        prosody: durations and F0 for units that come without any.
        training: how it was trained.
    """

    WHAT = "inverter"
    has_pitch: ClassVar[bool]
    """Whether it is conditioned on F0, so that pitch can be changed."""

    unit_model: str
    n_units: Annotated[int, Field(ge=1)]
    step_ms: Annotated[float, Field(gt=0, le=1e6)]
    voices: Annotated[tuple[str, ...], Field(min_length=1)]
    speaker_encoder_id: str
    prosody: Annotated[Prosody | None, Field(default=None)]
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """What it is in a bundle: "code2spec", "unit-means", "convnext" or "hifigan"."""
        return self.MODEL

    @property
    def frames_per_step(self) -> int:
        """Frames that the network predicts for each step of a unit."""
        return frames_per_step(self.step_ms)

    @property
    def frame_ms(self) -> float:
        """How long a frame lasts."""
        return self.step_ms / self.frames_per_step

    @property
    @abstractmethod
    def statistics(self) -> Sequence[F0Statistics]:
        """Of the F0 of each voice."""

    @property
    @abstractmethod
    def n_reference(self) -> int:
        """Dimensions of the vectors that voices may be given by; 0 if only names do."""

    @property
    def pitch_quantizer(self) -> F0Quantizer | None:
        """Between F0 contours and F0 units; None where the inverter has no pitch."""
        return None

    def voice(self, name: str | None = None) -> Voice:
        """A voice by its name; None is the only one.

        Raises:
            InputError: no such voice, or several and none named.
        """
        number = voice_number(self.voices, name)
        return Voice(self.voices[number], number, self.statistics[number])

    def check_n_reference(self) -> None:
        """Raise InputError unless voices can be given by a speaker encoder's vectors."""
        check_n_reference(self.n_reference)

    @abstractmethod
    def stream(
        self,
        frames: NDArray[np.int32],
        voice: Voice,
        f0: Contour | None = None,
        seed: int = 0,
    ) -> Iterator[Waveform]:
        """The waveform of one utterance of any length, in chunks of at most 10 s.

        Each chunk is computed with all of its surroundings that matter, so the speech is the same
        as if it were computed at once; memory is that of one chunk.

        Args:
            frames: the unit of each frame (T,).
            f0: Hz (T,), 0 where unvoiced; None where the inverter has no pitch.
            seed: of random phases or noise.

        Raises:
            InputError: no unit, one out of range, a vector of another speaker encoder, or F0 that
                doesn't fit.
        """

    def synthesize(
        self,
        steps: NDArray[np.int32],
        voice: Voice | str | None = None,
        f0: Contour | None = None,
        seed: int = 0,
    ) -> Waveform:
        """The waveform of one utterance: exactly a step's samples for each unit.

        Args:
            steps: the unit of each step (N,).
            voice: itself or its name; None is the only one.
            f0: Hz (N · frames_per_step,), 0 where unvoiced; None: as `f0_of`.
            seed: of random phases or noise.

        Raises:
            InputError: as `stream` and `voice`.
        """
        voice = voice if isinstance(voice, Voice) else self.voice(voice)
        if f0 is None and self.has_pitch:
            f0 = self.f0_of(steps, voice)
        frames = np.repeat(steps, self.frames_per_step)
        return np.concatenate(list(self.stream(frames, voice, f0, seed)))

    def durations(self, units: NDArray[np.int32], voice: Voice) -> NDArray[np.int32]:
        """Steps that each of the merged units (N,) lasts, as is usual for them.

        Raises:
            InputError: the inverter was trained without prosody.
        """
        return self._prosody.durations(units, voice.speaker)

    def f0_of(self, steps: NDArray[np.int32], voice: Voice) -> Contour:
        """F0 that suits units which come without any: Hz (N · frames_per_step,).

        Raises:
            InputError: the inverter was trained without prosody.
        """
        self.check_voice(voice)
        return self._prosody.f0(steps, voice.speaker, voice.statistics)

    def with_phase(self, phase: Phase) -> Self:
        """The same inverter, which finds the phase of its spectrograms in another way.

        Raises:
            InputError: it predicts no spectrograms.
        """
        raise InputError(
            f"a {self.method} inverter predicts waveforms: there is no phase to find "
            f"(phase={phase!r})",
            remedy="leave phase= out",
        )

    def check_pitch(self) -> None:
        """Raise InputError unless pitch can be changed."""
        if not self.has_pitch:
            raise InputError(
                f"a {self.method} inverter speaks at the pitch that its units imply",
                remedy="train a neural inverter ('zerochain invert train-neural') to change pitch",
            )

    def check_voice(self, voice: Voice) -> None:
        """Raise InputError if a voice is given by a vector that the network doesn't take."""
        if not isinstance(voice.speaker, int):
            check_vector(voice.speaker, self.n_reference)

    def check_units(self, units: NDArray[np.int32]) -> None:
        """Raise InputError unless there are units, and all are the unit model's."""
        if len(units) == 0 or units.min() < 0 or units.max() >= self.n_units:
            raise InputError(
                f"{counted(len(units), 'unit')}, or some outside 0 … {self.n_units - 1}",
                cause="they are of another unit model",
                remedy="encode with the unit model that the inverter was trained on",
            )

    @property
    def _prosody(self) -> Prosody:
        if self.prosody is None:
            raise InputError(
                "the inverter can't predict how long units last",
                cause="it was trained without prosody ('zerochain invert train … "
                "--prosody-steps 0')",
                remedy="train it with prosody, or give units with their durations",
            )
        return self.prosody


@dataclass(frozen=True, eq=False, kw_only=True)
class SpectralInverter(Inverter):
    """Units → magnitudes → speech.

    Attributes:
        spectrogram: the transform.
        mean, deviation: (n_bins,) of the scaled spectra that the network was trained on.
        f0: statistics of the F0 of each voice.
        phase: how phases are found.
        network: units (B, T), and voices where there are several, → normalised spectrum
            (B, T, n_bins).
    """

    has_pitch = False

    network: Code2Spec | UnitMeans
    spectrogram: SpectrogramOptions
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    f0: tuple[F0Statistics, ...]
    phase: Phase = "pghi-fgla"

    @property
    def frames_per_step(self) -> int:
        """Frames that the network predicts for each step of a unit."""
        return round(self.step_ms * 16 / self.spectrogram.hop)

    @property
    def statistics(self) -> Sequence[F0Statistics]:
        """Of the F0 of each voice."""
        return self.f0

    @property
    def n_reference(self) -> int:
        """Dimensions of the vectors that voices may be given by; 0 if only names do."""
        return self.network.config.n_reference

    def with_phase(self, phase: Phase) -> Self:
        """The same inverter, which finds the phase of its spectrograms in another way."""
        return replace(self, phase=phase)

    def magnitudes(self, steps: NDArray[np.int32], voice: Voice | str | None = None) -> Tensor:
        """The spectrogram of one utterance.

        Args:
            steps: the unit of each step (N,).
            voice: itself or its name; None is the only one.

        Returns:
            (N · frames_per_step, n_bins), linear magnitude.
        """
        frames = np.repeat(steps, self.frames_per_step)
        voice = voice if isinstance(voice, Voice) else self.voice(voice)
        return self._magnitudes(_padded(frames, self.n_units), self._speaker(voice), 0, len(frames))

    def stream(
        self,
        frames: NDArray[np.int32],
        voice: Voice,
        f0: Contour | None = None,
        seed: int = 0,
    ) -> Iterator[Waveform]:
        """As `Inverter.stream`: T · hop samples, which depend on the utterance alone."""
        if f0 is not None:
            self.check_pitch()
        self.check_units(frames)
        speaker, padded = self._speaker(voice), _padded(frames, self.n_units)

        def magnitudes(start: int, end: int) -> Tensor:
            return self._magnitudes(padded, speaker, start, end)

        return stream(magnitudes, len(frames), self.spectrogram, self.phase, seed=seed)

    def check(self) -> None:
        sizes, n_bins = self.network.config, self.spectrogram.n_bins
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            if values.shape != (n_bins,):
                raise ValueError(f"has a {name} of {len(values)} for {n_bins} bins")
        mine = (self.n_units, n_bins, len(self.voices))
        if (sizes.n_units, sizes.n_bins, sizes.n_voices) != mine:
            raise ValueError("its network is of other units, bins or voices than the inverter")
        if self.step_ms * 16 < self.spectrogram.hop or len(self.f0) != len(self.voices):
            raise ValueError("its steps are shorter than frames, or its voices lack their F0")

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _speaker(self, voice: Voice) -> Tensor | None:
        """What the network is conditioned on, a batch of one; None if it has a single voice."""
        self.check_voice(voice)
        return voice.tensor(self._device) if self.network.config.has_voices else None

    def _magnitudes(
        self, frames: NDArray[np.int64], speaker: Tensor | None, start: int, end: int
    ) -> Tensor:
        """Magnitudes (end - start, n_bins), as they are in the whole utterance."""
        seen = torch.from_numpy(frames[start : end + 2 * REACH]).to(self._device)[None]
        given = (seen,) if speaker is None else (seen, speaker)
        mean, deviation = (
            torch.from_numpy(x).to(self._device) for x in (self.mean, self.deviation)
        )
        with torch.inference_mode():
            spectrum = self.network(*given)[0, REACH : REACH + end - start]
            return self.spectrogram.unscaled(spectrum * deviation + mean)


def _padded(frames: NDArray[np.int32], padding_unit: int) -> NDArray[np.int64]:
    return np.pad(frames.astype(np.int64), REACH, constant_values=padding_unit)


@dataclass(frozen=True, eq=False, kw_only=True)
class Code2SpecInverter(SpectralInverter):
    """A multi-scale convolutional network, of one or several voices."""

    MODEL = "code2spec"
    network: Code2Spec


@dataclass(frozen=True, eq=False, kw_only=True)
class UnitMeansInverter(SpectralInverter):
    """The baseline: each unit's mean spectrum, of one voice."""

    MODEL = "unit-means"
    network: UnitMeans

    @classmethod
    def from_parts(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, NDArray[Any]],
        device: str = "cpu",
        **given: Any,
    ) -> Self:
        """As `Bundled.from_parts`; version 1 left the sizes of the table out."""
        if not config["network"]:
            options = SpectrogramOptions.model_validate(config["spectrogram"])
            sizes = {"n_units": config["n_units"], "n_bins": options.n_bins}
            config = {**config, "network": sizes}
        return super().from_parts(config, tensors, device, **given)


Generator = SourceFilterGenerator | HiFiGANGenerator
_CHUNK_S = 10.0


@dataclass(frozen=True, eq=False, kw_only=True)
class NeuralInverter(Inverter):
    """Units → speech in any of its voices, at any pitch.

    Attributes:
        generator: units, F0 units, F0 and voice of each frame → samples.
        f0_quantizer: between F0 contours and F0 units.
        prosody: durations and F0 for units that come without any; knows the voices' F0 statistics.
    """

    has_pitch = True

    generator: Generator
    f0_quantizer: F0Quantizer
    prosody: Prosody

    @property
    def statistics(self) -> tuple[F0Statistics, ...]:
        """Of the F0 of each voice."""
        return self.prosody.statistics

    @property
    def n_reference(self) -> int:
        """Dimensions of the vectors that voices may be given by; 0 if only names do."""
        return self.generator.config.n_reference

    @property
    def pitch_quantizer(self) -> F0Quantizer:
        """Between F0 contours and F0 units."""
        return self.f0_quantizer

    def stream(
        self,
        frames: NDArray[np.int32],
        voice: Voice,
        f0: Contour | None = None,
        seed: int = 0,
    ) -> Iterator[Waveform]:
        """As `Inverter.stream`: T · hop samples."""
        if f0 is None:
            raise InputError(
                f"a {self.method} inverter needs the F0 of each frame",
                remedy="give f0=, or take the one that `f0_of` predicts",
            )
        self.check_voice(voice)
        self.check_units(frames)
        self._check_f0(f0, len(frames))
        reach, device = self.generator.reach, next(self.generator.parameters()).device
        # Padding is as silent as what lies beyond it: the network sees the same there.
        padded = np.pad(frames.astype(np.int64), reach, constant_values=self.n_units)
        pitch = torch.from_numpy(np.pad(f0, reach))[None].to(device)
        codes = np.pad(self._f0_units(f0, voice), reach)
        start = starts(pitch, self.generator.config.hop, seed)
        speaker, n = voice.tensor(device), len(frames)
        chunk = round(_CHUNK_S * 1000 / self.frame_ms)
        for first in range(0, n, chunk):
            end = min(first + chunk, n)
            seen = slice(first, end + 2 * reach)
            with torch.inference_mode():
                wave = self.generator(
                    torch.from_numpy(padded[seen])[None].to(device),
                    torch.from_numpy(codes[seen])[None].to(device) if self._has_f0_units else None,
                    pitch[:, seen],
                    speaker,
                    at(start, first),
                )[0]
            hop = self.generator.config.hop
            yield wave[reach * hop : (reach + end - first) * hop].cpu().numpy()

    def check(self) -> None:
        network, f0, prosody = self.generator.config, self.f0_quantizer, self.prosody
        same = {
            "units": (self.n_units, network.n_units, prosody.n_units),
            "F0 units": (network.n_f0_units or f0.n_units, f0.n_units),
            "voices": (len(self.voices), network.n_voices, len(prosody.statistics)),
            "dimensions of a voice": (network.n_reference, prosody.network.config.n_reference),
            "ms per step": (self.step_ms, prosody.step_ms),
            "samples per frame": (hop_of_frames(self.step_ms), network.hop),
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

    def _check_f0(self, f0: Contour, n_frames: int) -> None:
        if f0.shape != (n_frames,) or not np.isfinite(f0).all() or f0.min() < 0:
            raise InputError(
                f"F0 of shape {f0.shape}, or with NaN or negative values, for {n_frames} frames "
                f"of {self.frame_ms:g} ms",
                cause="it is of another utterance",
            )


_NAMES = AliasChoices("generator", "network")
"""Of the generator's configuration; the second in version 1."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvNextInverter(NeuralInverter):
    """Ours: filters on a harmonic excitation, which a ConvNeXt predicts."""

    MODEL = "convnext"
    generator: Annotated[SourceFilterGenerator, Field(validation_alias=_NAMES)]


@dataclass(frozen=True, eq=False, kw_only=True)
class HiFiGANInverter(NeuralInverter):
    """HiFi-GAN as published."""

    MODEL = "hifigan"
    generator: Annotated[HiFiGANGenerator, Field(validation_alias=_NAMES)]


def frame_f0_units(
    quantizer: F0Quantizer, f0: Contour, frame_ms: float, voice: Voice
) -> NDArray[np.int64]:
    """The F0 unit that each frame lies in, (T,), for F0 in Hz per frame (T,)."""
    n = math.ceil(len(f0) * frame_ms / quantizer.step_ms - 1e-9)
    fine = resampled(f0, frame_ms, quantizer.step_ms, max(n, 1))
    units = quantizer.units(fine, voice.statistics).astype(np.int64)
    place = np.arange(len(f0)) * frame_ms / quantizer.unit_step_ms
    return units[np.minimum(place.astype(np.int64), len(units) - 1)]


def hop_of_frames(step_ms: float) -> int:
    """Samples per frame of a neural inverter.

    Raises:
        InputError: a frame is no whole number of samples.
    """
    hop = step_ms / frames_per_step(step_ms) * SAMPLE_RATE / 1000
    if hop != round(hop):
        raise InputError(
            f"a unit of {step_ms:g} ms can't be divided into frames of whole samples",
            cause="the unit model's features have an unusual step",
            remedy="use features with a step of 10 ms",
        )
    return round(hop)
