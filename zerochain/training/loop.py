"""The one training loop: any task, any device, exact resume, averaged weights, early stop.

Read `train` from top to bottom: it starts or continues from a checkpoint, does steps, and every
`validate_every` of them measures the loss on held-out utterances, keeps the weights if they are
the best, and writes a checkpoint. Methods call it through `zerochain.training.run.fit`.

The weights that are validated and kept are an exponential moving average (EMA) over steps, as in
Polyak and Juditsky (1992): smoother than those of any single step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from zerochain.progress import track
from zerochain.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from zerochain.training.device import accelerator_of
from zerochain.training.log import Display, check_tensorboard, write_log
from zerochain.training.origin import Origin, OtherTrainingError
from zerochain.training.recipe import Recipe
from zerochain.training.state import TrainingState
from zerochain.training.task import Row, Task


@dataclass(frozen=True)
class Trained:
    """The kept weights, and how training went."""

    weights: dict[str, Tensor]
    """EMA weights of the validation `best`, on the CPU."""
    history: list[Row]
    """One row a validation: step, seconds, train_loss, valid_loss and the task's other losses,
    from the step on from which the task returns them."""
    converged: bool | None
    """Whether it stopped because validation no longer improved, not because steps ran out; None
    where validation can't decide that, and the last weights are kept."""
    best: Row
    """The validation whose weights are kept."""
    extended_at: tuple[int, ...] = ()
    """Steps at which another `max_steps` was asked for."""

    @property
    def seconds(self) -> float:
        """Of all runs, if it was interrupted."""
        return round(self.history[-1]["seconds"], 1)


def train(
    task: Task,
    recipe: Recipe,
    folder: Path,
    *,
    inputs: Mapping[str, Any],
    follows: Mapping[str, Any] | None = None,
    device: str = "cpu",
    restart: bool | Literal["changed"] = False,
    tensorboard: bool = False,
    watch: Callable[[list[Row]], None] | None = None,
    name: str = "Training",
) -> Trained:
    """Train until validation stops improving, or for `recipe.max_steps`.

    Where `folder` holds a checkpoint, training continues from there, to bit-identical weights. A
    finished training with the same `max_steps` does no further step and returns the same. With
    another one it continues to the new last step, and `extended_at` records where; a learning rate
    that is annealed then follows the new schedule from the step that was reached, so it may rise
    again. A training that had stopped improving stays stopped.

    Args:
        folder: for checkpoint.safetensors, log.csv and, if wanted, TensorBoard's events.
        inputs: what it is made from beside the recipe (settings, ids), as JSON values; a
            checkpoint with others is refused.
        follows: digests of what earlier parts of the same training made; a checkpoint with others
            is ignored.
        device: "cpu" or "cuda".
        restart: ignore a checkpoint; "changed" ignores one of other settings or data, which is
            otherwise refused.
        watch: is given the history after each validation, to warn of what goes wrong.
        name: what people are told is being trained.

    Raises:
        InputError: the loss is NaN or infinite (the last good checkpoint stays), the checkpoint
            in `folder` is of another training or beyond `max_steps`, fp16 without a GPU, or no
            tensorboard.
    """
    accelerator = accelerator_of(device, recipe.precision)
    if tensorboard:
        check_tensorboard()
    origin = Origin(recipe, inputs, follows or {})
    run = TrainingState(task, recipe, accelerator)
    checkpoint = folder / CHECKPOINT
    record = origin.record()
    resumed = ""
    if checkpoint.exists() and restart is not True:
        try:
            resumed = _resume(run, origin, checkpoint)
        except OtherTrainingError as error:
            if not restart:
                raise
            resumed = f"starts anew: {error.found}"
    display = Display(name, run.step, recipe.max_steps, mute=not accelerator.is_main_process)
    if resumed:
        display.tell(f"{resumed} ({checkpoint})")
    steps = range(run.step + 1, recipe.max_steps + 1)
    for step in track(() if run.stopped else steps, display.label, total=len(steps)):
        run.advance(step)
        if step % recipe.validate_every and step != recipe.max_steps:
            continue
        run.validate()
        if accelerator.is_main_process:
            save_checkpoint(checkpoint, {**record, **run.state()})
            write_log(folder, run.history, tensorboard)
            display.validated(run.history[-1])
            if watch is not None:
                watch(run.history)
        if run.stopped:
            display.tell(f"stopped improving at step {int(run.kept['step'])}")
            break
    run.end()
    converged = run.stopped if recipe.keep == "best" else None
    return Trained(run.best_weights, run.history, converged, run.kept, tuple(run.extended_at))


def _resume(run: TrainingState, origin: Origin, checkpoint: Path) -> str:
    """Continue from a checkpoint, or not where an earlier part changed; returns which, in words."""
    state = load_checkpoint(checkpoint)
    origin.check(state, checkpoint)
    if not origin.still_follows(state):
        return "starts anew, as an earlier part of it has changed since its checkpoint"
    before, last = origin.max_steps_of(state), origin.recipe.max_steps
    done = int(state["progress"][0])
    if done > last:
        raise OtherTrainingError(
            f"is the checkpoint of a training that has done {done} steps, and max_steps={last}",
            path=checkpoint,
            cause="fewer steps are asked for than before",
            remedy=f"use max_steps={done} or more, or restart=True to start anew",
        )
    run.restore(state)
    if run.stopped:
        more = f", so the {last - run.step} more steps are not done" if last > before else ""
        return f"had stopped improving before step {run.step}{more}"
    if last != before:
        run.extended_at.append(run.step)
    if run.step == last:
        return f"is already finished at step {last}"
    return f"continues from step {run.step} of {last}"
