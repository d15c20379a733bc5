"""The one interface of all inverters: the unit of each frame, a voice and, for some, F0 → speech.

An inverter speaks the units of one unit model, in the voices that it was trained on or, with a
speaker encoder, in any. Those that predict spectrograms (`zerochain.inversion.spectral`) speak at
the pitch that their units imply; those that predict waveforms (`zerochain.inversion.waveform`) are
conditioned on F0 as well (`has_pitch`). `stream` yields an utterance of any length in chunks that
join without a seam; `synthesize` is all of them at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from zerochain.audio import Waveform
from zerochain.errors import InputError, counted
from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.bundle import Bundled
from zerochain.inversion.pitch import F0Quantizer
from zerochain.inversion.prosody import Prosody, frames_per_step
from zerochain.inversion.voices import Voice, check_n_reference, check_vector, voice_number

if TYPE_CHECKING:
    from zerochain.inversion.phase import Phase


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
