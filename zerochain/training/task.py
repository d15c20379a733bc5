"""What the training loop trains: a method's networks, optimisers, batches and losses.

A task says what one step is; the loop does everything else (device, precision, averaging of
weights, validation, checkpoints). Networks and optimisers are named: a discriminator is one more
network with an optimiser of its own. The first network is the one that training is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn, optim

if TYPE_CHECKING:
    from accelerate import Accelerator

Batch = dict[str, Tensor]
Row = dict[str, float]
"""One validation: step, seconds, train_loss, valid_loss and the task's other losses."""


class Task(Protocol):
    """What is trained. The moving average of the first network's weights is validated and kept."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, optim.Optimizer]
    """One for each network, by its name."""

    def batch(self, step: int, process: int) -> Batch:
        """The batch of a step: a function of the two numbers, so that a resumed run sees it."""

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """Compute losses, hand each to `update` with its optimiser's name, and return them."""

    def validate(self, network: nn.Module) -> float | Row:
        """The loss on held-out utterances; or "valid_loss" and what else is to be logged."""


@dataclass(frozen=True)
class Update:
    """One optimiser's step on a loss, with gradient clipping."""

    accelerator: Accelerator
    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, Any]
    max_gradient_norm: float
    norms: dict[str, Tensor] = field(default_factory=dict)
    """Of the newest gradients, before they were clipped."""

    def __call__(self, name: str, loss: Tensor) -> None:
        """Minimise `loss` by the network and the optimiser called `name`."""
        self.optimisers[name].zero_grad()
        self.accelerator.backward(loss)
        self.norms[f"the gradient of {name}"] = self.accelerator.clip_grad_norm_(
            self.networks[name].parameters(), self.max_gradient_norm
        )
        self.optimisers[name].step()
