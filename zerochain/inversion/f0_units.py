"""F0 units: what a voice's pitch does, free of who speaks, in 20 units at 12.5 Hz."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from zerochain.errors import InputError
from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.atomic import scratch
from zerochain.formats.bundle import Bundled
from zerochain.formats.units import UnitFile
from zerochain.inversion.cuts import Cuts
from zerochain.inversion.f0_training import F0Task, frames_of, measured
from zerochain.modules.f0_vqvae import STRIDE, F0Vqvae, F0VqvaeConfig
from zerochain.modules.quantizer import CollapseWarning
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import train
from zerochain.training.split import validation_ids

TRAINING = TrainingConfig(max_steps=1500, batch_size=32, ema_decay=0.99)
_COLLAPSED = 0.25  # the part of the codes in use below which pitch is hardly told


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    voiced: float = Field(ge=0)
    n_used: int = Field(ge=0)


@dataclass(frozen=True, eq=False)
class F0Quantizer(Bundled):
    """F0 contours ↔ F0 units, of any voice whose F0 statistics are known.

    Attributes:
        step_ms: of a frame of F0; a unit lasts 16 frames.
        report: how it was trained, and what its units keep of held-out utterances.
    """

    MODEL = "f0-vqvae"
    WHAT = "F0 quantizer"

    network: F0Vqvae
    step_ms: Annotated[float, Field(gt=0)]
    report: Mapping[str, Any]

    def check(self) -> None:
        _Report.model_validate(self.report)

    @classmethod
    def fit(
        cls,
        f0: Mapping[str, Contour],
        voices: Mapping[str, int],
        statistics: Sequence[F0Statistics],
        *,
        config: F0VqvaeConfig | None = None,
        training: TrainingConfig = TRAINING,
        step_ms: float = 5.0,
        folder: Path | None = None,
        device: str = "cpu",
        restart: bool = False,
        tensorboard: bool = False,
    ) -> Self:
        """Learn F0 units.

        Args:
            f0: contours of the training speech, Hz (T,) each, 0 where unvoiced.
            voices: of the same utterances, the number of who speaks.
            statistics: of each voice, by its number.
            folder: of this fit's own, for the checkpoint and log.csv; None: nothing is kept, and
                an interrupted fit starts anew.

        Raises:
            InputError: fewer than two utterances, a contour with NaN, or divergence.
        """
        utterances = {
            name: frames_of(contour, statistics[voices[name]], name) for name, contour in f0.items()
        }
        held_out = validation_ids(list(f0))
        sides = [i for i in f0 if i not in held_out], [i for i in f0 if i in held_out]
        learned, kept = (
            Cuts.of([utterances[i] for i in ids], [voices[i] for i in ids]) for ids in sides
        )
        config = config or F0VqvaeConfig()
        torch.manual_seed(training.seed)
        network = F0Vqvae(config)
        task = F0Task(network, learned, kept, training, device)
        settings = {
            "network": config.model_dump(),
            "training": training.model_dump(),
            "data": [learned.digest, kept.digest],
        }
        with nullcontext(folder) if folder else scratch() as place:
            trained = train(
                task,
                training,
                Path(place),
                fingerprint=fingerprint(settings),
                device=device,
                restart=restart,
                tensorboard=tensorboard,
            )
        network.load_state_dict(trained.weights)
        network.to(device).eval()
        report = measured(network, learned, kept, trained, device)
        quantizer = cls(network, step_ms, report)
        for finding in quantizer.findings:
            warnings.warn(finding, CollapseWarning, stacklevel=2)
        return quantizer

    @property
    def n_units(self) -> int:
        return self.network.config.n_units

    @property
    def unit_step_ms(self) -> float:
        """How long a unit lasts: 80 ms."""
        return STRIDE * self.step_ms

    @property
    def findings(self) -> list[str]:
        """What deserves a look."""
        if self.report["voiced"] == 0:
            return [
                "no frame of the training speech is voiced (whispered, or silent): F0 units say "
                "nothing, and all contours come back unvoiced"
            ]
        if self.report["n_used"] < _COLLAPSED * self.n_units:
            return [_collapse(self.report["n_used"], self.n_units)]
        return []

    def units(self, f0: Contour, statistics: F0Statistics) -> NDArray[np.int32]:
        """The F0 units of an utterance.

        Args:
            f0: Hz (T,), 0 where unvoiced.
            statistics: of whoever speaks.

        Returns:
            (⌈T / 16⌉,)

        Raises:
            InputError: no frame, or NaN.
        """
        frames = frames_of(f0, statistics, "given")
        z, voiced = (torch.from_numpy(frames[n])[None].to(self._device) for n in ("z", "voiced"))
        with torch.inference_mode():
            return self.network.encode(z, voiced)[0].cpu().numpy().astype(np.int32)

    def contour(
        self, units: NDArray[np.int32], statistics: F0Statistics, n_frames: int | None = None
    ) -> Contour:
        """F0 in the voice that has these statistics.

        Args:
            units: (N ≥ 1,).
            n_frames: at most 16 · N, which is the default.

        Returns:
            Hz (n_frames,), 0 where unvoiced.

        Raises:
            InputError: no unit, one out of range, or more frames than the units last.
        """
        n_frames = STRIDE * len(units) if n_frames is None else n_frames
        self._check(units, n_frames)
        with torch.inference_mode():
            codes = torch.from_numpy(units.astype(np.int64))[None].to(self._device)
            z, voiced = (x[0, :n_frames].cpu().numpy() for x in self.network.decode(codes))
        # Where nothing voiced was ever seen, what the network says of voicing is chance.
        return statistics.restored(z, (voiced > 0.5) & (self.report["voiced"] > 0))

    def encode(
        self,
        f0: Mapping[str, Contour],
        voices: Mapping[str, int],
        statistics: Sequence[F0Statistics],
        model_id: str,
        *,
        speakers: Mapping[str, str | None] | None = None,
        corpus_id: str = "",
    ) -> UnitFile:
        """The F0 units of many utterances as a unit file; `model_id` is the quantizer's bundle."""
        return UnitFile(
            units={name: self.units(f0[name], statistics[voices[name]]) for name in f0},
            n_units=self.n_units,
            step_ms=self.unit_step_ms,
            model_id=model_id,
            method=f"{self.MODEL} K={self.n_units}",
            speakers=speakers or {},
            corpus_id=corpus_id,
        )

    @property
    def _device(self) -> torch.device:
        return self.network.quantizer.codebook.device

    def _check(self, units: NDArray[np.int32], n_frames: int) -> None:
        if len(units) == 0 or units.min() < 0 or units.max() >= self.n_units:
            raise InputError(
                f"{len(units)} F0 units, or some outside 0 … {self.n_units - 1}",
                cause="they are units of content, or of another F0 quantizer",
                remedy="make them with this quantizer",
            )
        if not 1 <= n_frames <= STRIDE * len(units):
            raise InputError(
                f"{len(units)} F0 units last {STRIDE * len(units)} frames of {self.step_ms:g} ms, "
                f"but {n_frames} were asked for",
                cause="the units are of another utterance",
                remedy="make the F0 units of this utterance",
            )


def _collapse(n_used: int, n_units: int) -> str:
    return (
        f"the codebook of F0 has collapsed: {n_used} of {n_units} units are in use. Way out: more "
        "or livelier speech, F0 that is tracked better (look at some contours), a lower learning "
        "rate, or fewer units"
    )
