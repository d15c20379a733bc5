"""How a training went, in the few numbers that a bundle records and people are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from zerochain.training.device import described

if TYPE_CHECKING:
    from torch import nn

    from zerochain.training.loop import Trained


@dataclass(frozen=True)
class Outcome:
    """How a training went: the same for a resumed one, so that it can be part of a bundle's id."""

    n_parameters: int
    steps: int
    best_step: int
    best_valid_loss: float
    converged: bool | None
    """None where validation can't decide, as with an adversary."""
    computed_on: str = ""
    """"CPU, 2 threads" and, under torchrun, how many processes: sums are rounded otherwise on
    others, so the same settings give another model there, with another id. Empty in bundles of
    earlier versions."""
    extended_at: tuple[int, ...] = ()
    """Steps at which another number of steps was asked for. The learning rate and the early stop
    were other ones than in a training with that number from the start, so the model has another
    id as well."""

    @classmethod
    def of(cls, trained: Trained, network: nn.Module) -> Self:
        """What `train` returned for a network."""
        return cls(
            n_parameters=sum(p.numel() for p in network.parameters()),
            steps=int(trained.history[-1]["step"]),
            best_step=int(trained.best["step"]),
            best_valid_loss=trained.best["valid_loss"],
            converged=trained.converged,
            computed_on=described(next(network.parameters()).device.type),
            extended_at=trained.extended_at,
        )

    def __str__(self) -> str:
        where = f", computed on {self.computed_on}" if self.computed_on else ""
        steps = ", ".join(map(str, self.extended_at))
        extended = f", extended at step {steps}" if steps else ""
        return (
            f"{self.n_parameters:,} parameters, {self.steps} steps{extended} "
            f"({ending(self.converged)}), "
            f"validation loss {self.best_valid_loss:.4f} at step {self.best_step}{where}"
        )


def ending(converged: bool | None) -> str:
    """Why a training ended, in words."""
    return {
        True: "stopped improving",
        False: "NOT CONVERGED: steps ran out",
        None: "all steps, as an adversary has no end of its own",
    }[converged]
