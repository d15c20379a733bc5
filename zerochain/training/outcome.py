"""The outcome of a training: the few numbers that its bundle records and commands print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from zerochain.errors import counted
from zerochain.training.device import described

if TYPE_CHECKING:
    from torch import nn

    from zerochain.training.loop import Trained


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training, equal for a resumed one: it is part of the bundle's id."""

    n_parameters: int
    steps: int
    best_step: int
    best_valid_loss: float
    converged: bool | None
    """None if validation cannot decide, as in adversarial training."""
    computed_on: str = ""
    """"CPU, 2 threads" and, under torchrun, the number of processes; also the form, such as "bf16",
    unless it is float32. Other devices and forms round sums differently, so the same settings give
    a slightly different model there, with another id. Empty in bundles of older versions."""
    extended_at: tuple[int, ...] = ()
    """Steps from which training continued with another `max_steps`. Its learning rate and early
    stopping differ from those of a training with that `max_steps` from the start, and so does
    the id of its model."""

    @classmethod
    def of(cls, trained: Trained, network: nn.Module) -> Self:
        """From what `train` returned for a network."""
        from zerochain.training.precision import Form  # with torch, which printing does without

        # Float32 is not named, as bundles of older versions don't name it.
        as_computed = "" if trained.form == Form.FLOAT32 else f", {trained.form}"
        return cls(
            n_parameters=sum(p.numel() for p in network.parameters()),
            steps=int(trained.history[-1]["step"]),
            best_step=int(trained.best["step"]),
            best_valid_loss=trained.best["valid_loss"],
            converged=trained.converged,
            computed_on=described(next(network.parameters()).device.type) + as_computed,
            extended_at=trained.extended_at,
        )

    def __str__(self) -> str:
        where = f", computed on {self.computed_on}" if self.computed_on else ""
        steps = ", ".join(map(str, self.extended_at))
        extended = f", extended at step {steps}" if steps else ""
        return (
            f"{self.n_parameters:,} parameters, {counted(self.steps, 'step')}{extended} "
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
