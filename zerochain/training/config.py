"""How long and how to train."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainingConfig(BaseModel):
    """Settings of the one training loop."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_steps: int = Field(3000, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    validate_every: int = Field(100, ge=1)
    patience: int = Field(8, ge=1)
    """Validations without a better loss after which training stops."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    max_gradient_norm: float = Field(1.0, gt=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0
