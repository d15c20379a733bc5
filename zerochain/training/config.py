"""How long and how to train."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_WARM_UP_STEPS = 100


class TrainingConfig(BaseModel):
    """Settings of the one training loop."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_steps: int = Field(3000, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    annealing: Literal["none", "cosine"] = "none"
    """Whether the learning rate falls to nothing at the last step, after a warm-up."""
    validate_every: int = Field(100, ge=1)
    patience: int = Field(8, ge=1)
    """Validations without a better loss after which training stops."""
    keep: Literal["best", "last"] = "best"
    """Which weights: those of the lowest validation loss, or, where that can't tell when to stop,
    those of the last step; `patience` then counts for nothing."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    max_gradient_norm: float = Field(1.0, gt=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0

    def rate(self, step: int) -> float:
        """The part of the learning rate that holds at a step, from 1 to `max_steps`."""
        if self.annealing == "none":
            return 1.0
        warm_up = min(1.0, step / min(_WARM_UP_STEPS, self.max_steps))
        return warm_up * 0.5 * (1 + math.cos(math.pi * (step - 1) / self.max_steps))
