"""The outcome of a training: the few numbers that its bundle records and commands print."""

from __future__ import annotations

from dataclasses import dataclass

from zerochain.errors import counted


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
