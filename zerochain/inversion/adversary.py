"""What an inverter's adversary is to be, and when to say that it does no good."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from zerochain.training.loop import Row

_RECENT = 5  # validations
_WON = 0.98
_WORST_RATIO = 2.0


class AdversaryOptions(BaseModel):
    """A discriminator of spectrogram patches, and its part in the inverter's loss.

    The paper gives β = 1 and not α. Losses here are divided by α: Adam doesn't see the
    difference, and the clipping of gradients then doesn't either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    form: Literal["none", "lsgan", "wgan"] = "lsgan"
    alpha: float = Field(10.0, gt=0)
    """Weight of the mean squared error."""
    beta: float = Field(1.0, ge=0)
    """Weight of the generator's loss against the discriminator."""
    feature_matching: float = Field(0.0, ge=0)
    """Weight of the difference in the discriminator's inner layers."""
    from_step: int | None = Field(None, ge=1)
    """The first step with it; None: after a third of all steps."""
    width: int = Field(16, ge=1)
    """Channels of the discriminator's first layer."""
    n_frames: int = Field(32, ge=1)
    """In the middle of each training segment, that it looks at: it costs more than the inverter."""
    learning_rate: float = Field(4e-4, gt=0)

    def first_step(self, max_steps: int) -> int:
        """The first step with the adversary; beyond the last where there is none."""
        if self.form == "none":
            return max_steps + 1
        return self.from_step or max_steps // 3 + 1


class AdversaryWarning(UserWarning):
    """The adversary does no good."""


class AdversaryWatch:
    """Warns once of each thing that goes wrong."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, history: Sequence[Row]) -> None:
        """Look at the validations so far."""
        for kind, text in complaints(history).items():
            if kind not in self._said:
                self._said.add(kind)
                warnings.warn(text, AdversaryWarning, stacklevel=2)


def complaints(history: Sequence[Row]) -> dict[str, str]:
    """What to say of a training with an adversary, by what is wrong; empty if all is well.

    Two things can go wrong without a NaN. A discriminator that has won sees through every
    spectrum, whatever the inverter does. And an inverter may forget its units: one that draws
    spectra as they are distributed given the units has twice the least possible error, that of
    their mean, so only an error beyond that is none of texture.
    """
    against = [row for row in history if "accuracy" in row]
    if not against:
        return {}
    step, found = int(against[-1]["step"]), {}
    recent = [row["accuracy"] for row in against[-_RECENT:]]
    if len(recent) == _RECENT and min(recent) > _WON:
        found["won"] = (
            f"at step {step} the discriminator has won: for {_RECENT} validations it has told at "
            f"least {math.floor(100 * min(recent))} % of the patches rightly, so that the inverter "
            "learns little from it. Way out: a narrower one (--adversary-width), a later one "
            "(--adversary-from), more speech, or --adversary none"
        )
    # The mean spectrum, for every frame the same, has an error of 1.
    least = min((row["valid_loss"] for row in history if "accuracy" not in row), default=1.0)
    now = against[-1]["valid_loss"]
    if not now <= _WORST_RATIO * least:
        found["error"] = (
            f"at step {step} the adversary has driven the error on held-out speech to {now:.3f}, "
            f"more than twice the {least:.3f} before it: the inverter no longer follows its units. "
            "Way out: a larger --alpha, a lower --learning-rate, or --adversary none"
        )
    return found
