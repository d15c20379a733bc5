"""The interface between the training loop and a method: networks, optimisers, batches, losses.

A task defines one training step and one validation; the loop does everything else (device,
precision, averaging of weights, checkpoints). Networks and optimisers have names: a discriminator
is one more network with its own optimiser. The first network is the one that is averaged,
validated and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn, optim

if TYPE_CHECKING:
    from accelerate import Accelerator

Batch = dict[str, Tensor]
Row = dict[str, float]
"""One validation: step, seconds, train_loss, valid_loss and the task's other losses."""


class Task(Protocol):
    """A method's training. The moving average of the first network's weights is kept."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, optim.Optimizer]
    """One per network, under the same name."""

    def batch(self, step: int, process: int) -> Batch:
        """The batch of a step: it depends on the two numbers alone, for exact resume."""

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """Compute losses, hand each to `update` with its optimiser's name, and return them."""

    def validate(self, network: nn.Module) -> float | Row:
        """The loss on held-out utterances; or "valid_loss" with other values for the log."""


def single(
    name: str, network: nn.Module, optimiser: optim.Optimizer
) -> tuple[dict[str, nn.Module], dict[str, optim.Optimizer]]:
    """The `networks` and `optimisers` of a task that trains a single network, called `name`."""
    return {name: network}, {name: optimiser}


@dataclass(frozen=True)
class Update:
    """One optimiser's step on a loss, with gradient clipping."""

    accelerator: Accelerator
    networks: Mapping[str, nn.Module]
    optimisers: Mapping[str, Any]
    max_gradient_norm: float
    norms: dict[str, Tensor] = field(default_factory=dict)
    """Norms of the latest gradients, before clipping."""

    def __call__(self, name: str, loss: Tensor) -> None:
        """Minimise `loss` by the network and the optimiser called `name`."""
        self.optimisers[name].zero_grad()
        # Gradients are computed in the type of their operation, which autocast would change.
        with torch.autocast(loss.device.type, enabled=False):
            self.accelerator.backward(loss)
        self.norms[f"the gradient of {name}"] = self.accelerator.clip_grad_norm_(
            self.networks[name].parameters(), self.max_gradient_norm
        )
        self.optimisers[name].step()
