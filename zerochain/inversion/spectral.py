"""An inverter: a network from units to spectra, the transform, and a phase for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerochain.audio import Waveform
from zerochain.features.f0 import F0Statistics
from zerochain.formats.bundle import Bundle, opened_as, read_bundle, timeless, within, write_bundle
from zerochain.formats.weights import weights_of, with_weights
from zerochain.inversion.phase import Phase, stream
from zerochain.inversion.prosody import Prosody
from zerochain.inversion.spectrogram import SpectrogramOptions
from zerochain.inversion.voices import (
    InverterConfig,
    Vector,
    Voice,
    check_n_reference,
    check_vector,
    named,
)
from zerochain.modules.code2spec import REACH, Code2Spec, Code2SpecConfig

SpectralMethod = Literal["code2spec", "unit-means"]
SPECTRAL_METHODS: tuple[SpectralMethod, ...] = ("code2spec", "unit-means")


class _Config(InverterConfig):
    f0: list[dict[str, float]]
    phase: Phase


@dataclass(frozen=True, eq=False)
class Inverter:
    """Units → a voice.

    Attributes:
        network: units (B, T), and voices where there are several, → normalised spectrum
            (B, T, n_bins).
        options: the transform.
        mean, deviation: (n_bins,) of the scaled spectra that the network was trained on.
        unit_model: id of the unit model whose units it speaks.
        step_ms: of one unit.
        voices: names, in the order of the network's numbers.
        statistics: of the F0 of each voice.
        speaker_encoder_id: of the bundle whose vectors tell voices apart; empty if none do.
    """

    method: SpectralMethod
    network: nn.Module
    options: SpectrogramOptions
    mean: Tensor
    deviation: Tensor
    unit_model: str
    n_units: int
    step_ms: float
    voices: tuple[str, ...]
    statistics: tuple[F0Statistics, ...] = ()
    speaker_encoder_id: str = ""
    phase: Phase = "pghi-fgla"
    prosody: Prosody | None = None
    """For units that come without durations."""
    id: str = ""
    """Of the bundle that it was read from."""

    @property
    def frames_a_step(self) -> int:
        return round(self.step_ms * 16 / self.options.hop)

    def voice(self, name: str | None = None) -> Voice:
        """A voice by its name; None is the only one.

        Raises:
            InputError: no such voice, or several and none named.
        """
        number = named(self.voices, name)
        return Voice(self.voices[number], number, self.statistics[number])

    def check_n_reference(self) -> None:
        """Raise InputError unless voices can be told by a speaker encoder's vectors."""
        check_n_reference(self.n_reference)

    def _told(self, voice: str | Vector | None) -> Tensor | None:
        """What the network is told of who speaks, a batch of one."""
        if isinstance(voice, np.ndarray):
            check_vector(voice, self.n_reference)
            return torch.from_numpy(voice.astype(np.float32))[None].to(self.mean.device)
        number = named(self.voices, voice)
        return torch.tensor([number], device=self.mean.device) if self.has_voices else None

    @property
    def n_reference(self) -> int:
        """Dimensions of the vectors that voices may be told by; 0 if only names do."""
        return self.network.config.n_reference if isinstance(self.network, Code2Spec) else 0

    @property
    def has_voices(self) -> bool:
        """Whether the network is told who speaks."""
        return isinstance(self.network, Code2Spec) and self.network.config.has_voices

    def spectrogram(self, steps: NDArray[np.int32], voice: str | Vector | None = None) -> Tensor:
        """The magnitude spectrogram of one utterance.

        Args:
            steps: (N,), a unit for each step.
            voice: as `synthesize`.

        Returns:
            (N · frames_a_step, n_bins), linear magnitude.
        """
        frames = np.repeat(steps, self.frames_a_step)
        return self._magnitude(self._padded(frames), self._told(voice), 0, len(frames))

    def stream(
        self, steps: NDArray[np.int32], voice: str | Vector | None = None, seed: int = 0
    ) -> Iterator[Waveform]:
        """The waveform of one utterance of any length, in chunks of at most 10 s.

        What is computed depends on the utterance alone, and memory is that of one chunk.
        """
        return self.stream_frames(np.repeat(steps, self.frames_a_step), voice, seed)

    def stream_frames(
        self, frames: NDArray[np.int32], voice: str | Vector | None = None, seed: int = 0
    ) -> Iterator[Waveform]:
        """As `stream`, given the unit of each frame (T,): T · hop samples."""
        told, padded = self._told(voice), self._padded(frames)

        def magnitude(start: int, end: int) -> Tensor:
            return self._magnitude(padded, told, start, end)

        return stream(magnitude, len(frames), self.options, self.phase, seed=seed)

    def synthesize(
        self, steps: NDArray[np.int32], voice: str | Vector | None = None, seed: int = 0
    ) -> Waveform:
        """The waveform of one utterance: exactly a step's samples for each unit of `steps`.

        Args:
            voice: a name, a vector of the speaker encoder's (E,), or None for the only voice.
            seed: of the random phases.

        Raises:
            InputError: no such voice.
        """
        return np.concatenate(list(self.stream(steps, voice, seed)))

    def _padded(self, frames: NDArray[np.int32]) -> NDArray[np.int64]:
        """Nothing before and after."""
        return np.pad(frames.astype(np.int64), REACH, constant_values=self.n_units)

    def _magnitude(
        self, frames: NDArray[np.int64], told: Tensor | None, start: int, end: int
    ) -> Tensor:
        """Magnitudes (end - start, n_bins), as they are in the whole utterance."""
        seen = torch.from_numpy(frames[start : end + 2 * REACH]).to(self.mean.device)[None]
        given = (seen,) if told is None else (seen, told)
        with torch.inference_mode():
            spectrum = self.network(*given)[0, REACH : REACH + end - start]
            return self.options.unscaled(spectrum * self.deviation + self.mean)

    def save(self, folder: Path, trained_on: Mapping[str, str], training: Mapping[str, Any]) -> str:
        """Write a bundle and return its id; `training` says how it was trained."""
        config = {
            "network": self.network.config.model_dump()
            if isinstance(self.network, Code2Spec)
            else {},
            "spectrogram": self.options.model_dump(),
            "unit_model": self.unit_model,
            "n_units": self.n_units,
            "step_ms": self.step_ms,
            "voices": list(self.voices),
            "f0": [asdict(s) for s in self.statistics],
            "speaker_encoder_id": self.speaker_encoder_id,
            "phase": self.phase,
            "training": timeless(training),
        }
        weights = {f"network.{name}": w for name, w in weights_of(self.network).items()}
        weights |= {"mean": self.mean.cpu().numpy(), "deviation": self.deviation.cpu().numpy()}
        if self.prosody is not None:
            config["prosody"], held = self.prosody.parts()
            weights |= {f"prosody.{name}": w for name, w in held.items()}
        return write_bundle(folder, self.method, config, weights, trained_on)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """The inverter that `save` wrote.

        Raises:
            InputError: not a bundle of an inverter, or one that lacks something.
        """
        bundle = read_bundle(folder, *SPECTRAL_METHODS)
        with opened_as("inverter", folder, "train the inverter again"):
            return cls.from_bundle(bundle, device)

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """What a bundle holds; `load` says what is wrong with one that is damaged."""
        config, tensors = bundle.config, bundle.tensors
        known = _Config.model_validate(config)
        options = SpectrogramOptions(**config["spectrogram"])
        for name in ("mean", "deviation"):
            if tensors[name].shape != (options.n_bins,):
                raise ValueError(f"has a {name} of {len(tensors[name])} for {options.n_bins} bins")
        if bundle.model == "code2spec":
            sizes = Code2SpecConfig(**config["network"])
            mine = (known.n_units, options.n_bins, len(known.voices))
            if (sizes.n_units, sizes.n_bins, sizes.n_voices) != mine:
                raise ValueError("its network is of other units, bins or voices than it says")
        network: Callable[[], nn.Module] = (
            (lambda: Code2Spec(sizes))
            if bundle.model == "code2spec"
            else (lambda: nn.Embedding(known.n_units + 1, options.n_bins))
        )
        if known.step_ms * 16 < options.hop or len(known.f0) != len(known.voices):
            raise ValueError("its steps are shorter than frames, or its voices lack their F0")
        return cls(
            method="code2spec" if bundle.model == "code2spec" else "unit-means",
            network=with_weights(network, within("network", tensors), device),
            options=options,
            mean=torch.from_numpy(tensors["mean"]).to(device),
            deviation=torch.from_numpy(tensors["deviation"]).to(device),
            unit_model=known.unit_model,
            n_units=known.n_units,
            step_ms=known.step_ms,
            voices=tuple(known.voices),
            statistics=tuple(F0Statistics(**s) for s in config["f0"]),
            speaker_encoder_id=known.speaker_encoder_id,
            phase=known.phase,
            id=bundle.id,
            prosody=None
            if "prosody" not in config
            else Prosody.from_parts(config["prosody"], within("prosody", bundle.tensors), device),
        )
