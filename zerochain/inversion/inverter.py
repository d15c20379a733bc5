"""An inverter: a network from units to spectra, the transform, and a phase for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerochain.audio import Waveform
from zerochain.formats.bundle import read_bundle, write_bundle
from zerochain.inversion.code2spec import REACH, Code2Spec, Code2SpecConfig
from zerochain.inversion.phase import griffin_lim
from zerochain.inversion.spectrogram import SpectrogramOptions

Method = Literal["code2spec", "unit-means"]
METHODS: tuple[Method, ...] = ("code2spec", "unit-means")


@dataclass(frozen=True, eq=False)
class Inverter:
    """Units → a voice.

    Attributes:
        network: units (B, T) → normalised spectrum (B, T, n_bins).
        options: the transform.
        mean, deviation: (n_bins,) of the scaled spectra that the network was trained on.
        unit_model: id of the unit model whose units it speaks.
        step_ms: of one unit.
    """

    method: Method
    network: nn.Module
    options: SpectrogramOptions
    mean: Tensor
    deviation: Tensor
    unit_model: str
    n_units: int
    step_ms: float
    voice: str
    n_iterations: int = 32

    @property
    def frames_a_step(self) -> int:
        return round(self.step_ms * 16 / self.options.hop)

    def spectrogram(self, steps: NDArray[np.int32]) -> Tensor:
        """The magnitude spectrogram of one utterance.

        Args:
            steps: (N,), a unit for each step.

        Returns:
            (N · frames_a_step, n_bins), linear magnitude.
        """
        frames = np.repeat(steps.astype(np.int64), self.frames_a_step)
        padded = np.pad(frames, REACH, constant_values=self.n_units)
        with torch.inference_mode():
            spectrum = self.network(torch.from_numpy(padded).to(self.mean.device)[None])[0]
        kept = spectrum[REACH : REACH + len(frames)]
        return self.options.unscaled(kept * self.deviation + self.mean)

    def synthesize(self, steps: NDArray[np.int32], seed: int = 0) -> Waveform:
        """The waveform of one utterance: exactly a step's samples for each unit of `steps`."""
        magnitude = self.spectrogram(steps)
        with torch.inference_mode():
            wave = griffin_lim(magnitude, self.options, n_iterations=self.n_iterations, seed=seed)
        return np.asarray(wave.cpu().numpy(), np.float32)

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
            "voice": self.voice,
            "n_iterations": self.n_iterations,
            "training": dict(training),
        }
        weights = {f"network.{k}": v.cpu().numpy() for k, v in self.network.state_dict().items()}
        weights |= {"mean": self.mean.cpu().numpy(), "deviation": self.deviation.cpu().numpy()}
        return write_bundle(folder, self.method, config, weights, trained_on)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """The inverter that `save` wrote.

        Raises:
            InputError: not a bundle of an inverter.
        """
        bundle = read_bundle(folder, *METHODS)
        config, tensors = bundle.config, {k: torch.from_numpy(v) for k, v in bundle.tensors.items()}
        options = SpectrogramOptions(**config["spectrogram"])
        network: nn.Module
        if bundle.model == "code2spec":
            network = Code2Spec(Code2SpecConfig(**config["network"]))
        else:
            network = nn.Embedding(config["n_units"] + 1, options.n_bins)
        prefix = "network."
        network.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        return cls(
            method="code2spec" if bundle.model == "code2spec" else "unit-means",
            network=network.eval().to(device),
            options=options,
            mean=tensors["mean"].to(device),
            deviation=tensors["deviation"].to(device),
            unit_model=config["unit_model"],
            n_units=config["n_units"],
            step_ms=config["step_ms"],
            voice=config["voice"],
            n_iterations=config["n_iterations"],
        )
