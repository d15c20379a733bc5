"""Prosody for units that come without any: how long each lasts, and its F0, in a known voice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from zerochain.errors import InputError
from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.bundle import Bundled
from zerochain.modules.prosody import ProsodyNet

Voice = int | NDArray[np.float32] | None
"""The number of a voice, what a speaker encoder hears in one (n_reference,), or any voice."""
_FRAME_MS = 10.0
_MEASURES = {"duration_rmse": "durations", "voicing_error": "voicing", "z_rmse": "F0"}


@dataclass(frozen=True, eq=False)
class Prosody(Bundled):
    """Durations and F0 of units.

    Attributes:
        step_ms: of the units' steps.
        statistics: of the F0 of each known voice.
        scale: of duration + 1, so that speech is as long as it should be as a whole.
        report: how it was trained, and its errors on held-out utterances beside the baseline's.
    """

    network: ProsodyNet
    step_ms: Annotated[float, Field(gt=0, le=1e6)]
    statistics: tuple[F0Statistics, ...]
    scale: Annotated[float, Field(gt=0)]
    report: Mapping[str, Any]

    @property
    def n_units(self) -> int:
        return self.network.config.n_units

    @property
    def frame_ms(self) -> float:
        """The step of predicted F0: that of units, or the largest part of it up to 10 ms."""
        return self.step_ms / frames_a_step(self.step_ms)

    @property
    def findings(self) -> list[str]:
        """What deserves a look."""
        whispered = [] if self._is_voiced else ["nothing is voiced, and neither is predicted F0"]
        return whispered + [
            f"predicted {what} of held-out utterances are no better than each unit's mean "
            f"({self.report[name]:.3f} against {self.report[name + '_baseline']:.3f}): too little "
            "speech, or the units say nothing of them"
            for name, what in _MEASURES.items()
            if self.report[name] is not None
            and self.report[name] >= self.report[name + "_baseline"] > 0
        ]

    def durations(
        self, units: NDArray[np.int32], voice: Voice = None, rate: float = 1.0
    ) -> NDArray[np.int32]:
        """How many steps each unit lasts.

        Args:
            units: merged (N,).
            voice: who speaks; None is any voice.
            rate: above 1 speaks faster.

        Returns:
            (N,), each at least 1; together what all last at rate 1 divided by `rate`, or N.

        Raises:
            InputError: no unit, one out of range, an unknown voice, or a rate that isn't positive.
        """
        self._check(units)
        if not (0 < rate < math.inf):
            raise InputError(f"a rate of {rate} is not positive", remedy="1.2 is a fifth faster")
        with torch.inference_mode():
            logs = self.network.log_durations(*self._batch(units), self._voice(voice))[0]
            expected = (self.scale * logs.double().exp() - 1).clamp(min=1).cpu().numpy()
        return whole_steps(expected, expected.sum() / rate)

    def f0(
        self,
        steps: NDArray[np.int32],
        voice: Voice = None,
        statistics: F0Statistics | None = None,
    ) -> Contour:
        """F0 of units that have their durations.

        Args:
            steps: the unit of each step (N,).
            voice: who speaks; None is any voice.
            statistics: of a voice that isn't known by its number; without them, the known voices'
                mean.

        Returns:
            Hz every `frame_ms` (N · frames_a_step,), 0 where unvoiced.

        Raises:
            InputError: no unit, one out of range, or an unknown voice.
        """
        self._check(steps)
        frames = np.repeat(steps, frames_a_step(self.step_ms))
        with torch.inference_mode():
            z, voicing = (
                x[0].cpu().numpy()
                for x in self.network.f0(*self._batch(frames), self._voice(voice))
            )
        # Where nothing voiced was ever seen, what the network says of voicing is chance.
        voiced = (voicing > 0) & self._is_voiced
        return (statistics or self._statistics(voice)).restored(z, voiced)

    @property
    def _is_voiced(self) -> bool:
        return any(s.n_voiced for s in self.statistics)

    def _batch(self, units: NDArray[np.int32]) -> tuple[Tensor, Tensor]:
        device = next(self.network.parameters()).device
        codes = torch.from_numpy(units.astype(np.int64))[None].to(device)
        return codes, torch.tensor([len(units)], device=device)

    def _voice(self, voice: Voice) -> Tensor | None:
        config, device = self.network.config, next(self.network.parameters()).device
        if isinstance(voice, np.ndarray):
            if voice.shape != (config.n_reference,) or not np.isfinite(voice).all():
                raise InputError(
                    f"a voice's vector has shape {voice.shape}, or NaN; "
                    f"({config.n_reference},) was expected",
                    cause="it is of another speaker encoder"
                    if config.n_reference
                    else "voices are known by their numbers alone here",
                )
            return self.network.voice(torch.from_numpy(voice.astype(np.float32))[None].to(device))
        if voice is None:
            return None
        if not 0 <= voice < len(self.statistics):
            raise InputError(
                f"voice {voice} is unknown: there are {len(self.statistics)}, counted from 0"
            )
        return self.network.voice(torch.tensor([voice], device=device))

    def _statistics(self, voice: Voice) -> F0Statistics:
        if isinstance(voice, int):
            return self.statistics[voice]
        return F0Statistics(
            float(np.mean([s.log_mean for s in self.statistics])),
            float(np.mean([s.log_deviation for s in self.statistics])),
            sum(s.n_voiced for s in self.statistics),
        )

    def _check(self, units: NDArray[np.int32]) -> None:
        if len(units) == 0 or units.min() < 0 or units.max() >= self.n_units:
            raise InputError(
                f"{len(units)} units, or some outside 0 … {self.n_units - 1}",
                cause="they are of another unit model",
                remedy="encode with the unit model that this was trained on",
            )


def whole_steps(durations: NDArray[np.float64], total: float) -> NDArray[np.int32]:
    """Durations (N,), each at least 1, as whole steps that together last `total`, or N.

    All are scaled alike, but none to less than 1; what rounding leaves is carried to the next.
    """
    scaled = durations * _factor(durations, max(total, len(durations)))
    # Halves go up, all of them: to even numbers, 1.5 and 2.5 would both become 2.
    ends = np.floor(np.cumsum(np.maximum(scaled, 1)) + 0.5).astype(np.int64)
    return np.asarray(np.diff(ends, prepend=0), np.int32)


def frames_a_step(step_ms: float) -> int:
    """Into how many frames of at most 10 ms a step is parted."""
    return math.ceil(step_ms / _FRAME_MS)


def _factor(durations: NDArray[np.float64], total: float) -> float:
    """c such that Σ max(1, c · durations) = total ≥ N: the shortest first reach 1."""
    longest_first = np.sort(durations)[::-1]
    sums, n = np.cumsum(longest_first), np.arange(1, len(durations) + 1)
    # With the n longest above 1 and the others at 1; right where the n-th is still above 1.
    factors = (total - (len(durations) - n)) / sums
    right = np.flatnonzero(factors * longest_first >= 1 - 1e-12)
    return float(factors[right[-1]])
