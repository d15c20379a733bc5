"""A recipe: how to train and for how long, with the same fields for every method.

Each trainable method has a `RECIPE`, an instance with values that suit it. The options of its
command, their help and their defaults are derived from it: a field's docstring is the help text.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal, NamedTuple

from pydantic import Field

from zerochain.config import Config
from zerochain.errors import InputError, counted

Precision = Literal["auto", "no", "bf16", "fp16"]
"""What a training computes in; `zerochain.training.precision` chooses for "auto"."""
_WARM_UP_STEPS = 100
_FALL = 0.25  # of the steps done before: Hägele et al. 2024 find 10 to 20 % of all enough


class Fall(NamedTuple):
    """The last steps of a training with annealing plateau, in which the learning rate falls."""

    begin: int
    """The last step with the whole rate."""
    end: int
    """The last step of the training; the rate would be 0 at the next."""
    found: bool
    """Whether it begins because validation stopped improving, not because steps run out."""


class Recipe(Config):
    """Settings of the training loop. Bundles record them by these names."""

    max_steps: int = Field(3000, ge=1)
    """Maximum number of training steps. A finished training continues if this is raised."""
    batch_size: int = Field(16, ge=1)
    """Examples per step; under torchrun, in each of its processes."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate of the main network's optimiser."""
    annealing: Literal["none", "cosine", "plateau"] = "none"
    """The learning rate: none is constant; cosine rises for 100 steps and falls along a cosine to
    0 at the last step; plateau rises for 100 steps, is constant until validation stops improving
    (`patience`), and then falls linearly to 0 over a further quarter of the steps."""
    validate_every: int = Field(100, ge=1)
    """Steps between validations; each validation writes a checkpoint and a row of log.csv."""
    patience: int = Field(8, ge=1)
    """Validations without improvement before training stops or, with annealing plateau, before
    the learning rate begins to fall."""
    min_improvement: float = Field(0.0, ge=0, lt=1)
    """Relative decrease of the validation loss that counts as an improvement for `patience`."""
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: those with the lowest validation loss, or those of the last step,
    for methods whose validation loss does not tell which are better; these ignore `patience`."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Decay per step of the moving average of the weights that is validated and kept."""
    max_gradient_norm: float = Field(1.0, gt=0)
    """Maximum norm of the gradients, which are clipped to it."""
    precision: Precision = "auto"
    """Mixed precision: no, bfloat16, float16 (needs a GPU), or auto: on CPUs the fastest form by a
    short measurement, on GPUs no."""
    seed: int = 0
    """Random seed for initial weights, batches and dropout."""

    def rate(self, step: int, fall: Fall | None = None) -> float:
        """The factor by which the learning rate is multiplied at a step, 1 … `max_steps`.

        Args:
            fall: with annealing plateau, the steps over which the rate falls, once it does.
        """
        if self.annealing == "none":
            return 1.0
        warm_up = min(1.0, step / min(_WARM_UP_STEPS, self.max_steps))
        if self.annealing == "cosine":
            return warm_up * 0.5 * (1 + math.cos(math.pi * (step - 1) / self.max_steps))
        if fall is None or step <= fall.begin:
            return warm_up
        return warm_up * (fall.end - step + 1) / (fall.end - fall.begin)

    def fall_from(self, step: int, *, improving: bool) -> Fall | None:
        """After validation at `step`: the fall that begins there, if one does.

        With annealing plateau it begins when validation stopped improving, or when as many steps
        are left as it takes.

        Args:
            improving: whether validation improved within the last `patience` validations.
        """
        if self.annealing != "plateau" or step >= self.max_steps:
            return None
        every = self.validate_every
        n_steps = max(1, round(step * _FALL / every)) * every
        last = step + n_steps + every > self.max_steps  # the next validation would be too late
        if improving and not last:
            return None
        return Fall(step, min(step + n_steps, self.max_steps), not improving)


def validation_ids(ids: list[str], fraction: float = 0.05) -> set[str]:
    """The utterances held out for validation, at least one, chosen by the hashes of their ids.

    Raises:
        InputError: fewer than two utterances.
    """
    if len(ids) < 2:
        raise InputError(
            f"a network can't be trained on {counted(len(ids), 'utterance')}",
            cause="training needs one utterance and validation another",
            remedy="give more recordings",
        )
    ranked = sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(ranked[: max(1, round(len(ids) * fraction))])
