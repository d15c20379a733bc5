"""The one training loop: any task, any device, exact resume, averaged weights, early stopping.

Read `train` from top to bottom: it starts anew or continues from a checkpoint, does steps, and
every `validate_every` steps measures the loss on held-out utterances, keeps the weights if they are
the best so far, and writes a checkpoint. Methods call it through `zerochain.training.run.fit`.

The weights that are validated and kept are an exponential moving average (EMA) over steps, as in
Polyak and Juditsky (1992): smoother than those of any single step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from zerochain.errors import counted
from zerochain.progress import track
from zerochain.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from zerochain.training.device import accelerator_of, check_precision
from zerochain.training.log import Display, check_tensorboard, write_log
from zerochain.training.origin import Origin, OtherTrainingError
from zerochain.training.precision import Choice, Form, choose, computing_in
from zerochain.training.recipe import Recipe
from zerochain.training.state import TrainingState
from zerochain.training.task import Row, Task


@dataclass(frozen=True)
class Trained:
    """The kept weights, and how training went."""

    weights: dict[str, Tensor]
    """EMA weights of the validation `best`, on the CPU."""
    history: list[Row]
    """One row per validation: step, seconds, train_loss, valid_loss and the task's other losses.
    A loss is missing in rows before the first step at which the task returned it."""
    converged: bool | None
    """Whether training stopped because validation no longer improved, rather than at the last
    step; None if validation cannot decide that, and the last weights are kept."""
    best: Row
    """The validation whose weights are kept."""
    extended_at: tuple[int, ...] = ()
    """Steps from which training continued with another `max_steps`."""
    form: Form = Form.FLOAT32
    """How it was computed."""

    @property
    def seconds(self) -> float:
        """Time spent training, in total if it was interrupted."""
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
    """Train until validation stops improving, or for `recipe.max_steps` steps.

    If `folder` contains a checkpoint, training continues from it, in the form (see
    `zerochain.training.precision`) that it began with, and ends with bit-identical weights. A
    finished training with the same `max_steps` does no further step and returns the same result.
    With another `max_steps` it continues to the new last step, and `extended_at` records from
    where; an annealed learning rate then follows the new schedule from the step that was reached,
    so it may rise again. A training that had stopped improving stays stopped.

    Args:
        folder: for checkpoint.safetensors, log.csv and, if enabled, TensorBoard's events.
        inputs: everything but the recipe that the weights depend on (settings, ids), as JSON
            values; a checkpoint with other inputs is refused.
        follows: digests of the results of earlier parts of the same training; a checkpoint with
            others is ignored.
        device: "cpu" or "cuda".
        restart: ignore any checkpoint; "changed" ignores one with other settings or data, which is
            otherwise refused.
        watch: called with the history after each validation, to warn of problems.
        name: of the network that is trained, for messages.

    Raises:
        InputError: the loss is NaN or infinite (the last good checkpoint stays), the checkpoint
            in `folder` is that of another training or beyond `max_steps`, fp16 without a GPU, or
            the package tensorboard is missing.
    """
    check_precision(device, recipe.precision)
    if tensorboard:
        check_tensorboard()
    origin = Origin(recipe, inputs, follows or {})
    checkpoint = folder / CHECKPOINT
    before, resumed = _earlier(origin, checkpoint, restart)
    if before is None:
        choice = choose(recipe.precision, task.networks, recipe.batch_size, device)
    else:
        choice = Choice(_form_of(before, recipe))
    accelerator = accelerator_of(device, choice.form.mixed_precision)
    with computing_in(choice.form, task.networks):
        run = TrainingState(task, recipe, accelerator)
        if before is not None:
            resumed = _continue(run, origin, before)
        display = Display(name, run.step, recipe.max_steps, mute=not accelerator.is_main_process)
        if resumed:
            display.tell(f"{resumed} ({checkpoint})")
        if choice.reason:
            display.tell(choice.reason)
        if accelerator.num_processes > 1:
            display.tell(
                f"takes {counted(recipe.batch_size, 'example')} per step in each of "
                f"{accelerator.num_processes} processes, "
                f"{recipe.batch_size * accelerator.num_processes} together"
            )
        record = {**origin.record(), "form": choice.form.value}
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
    extended_at = tuple(run.extended_at)
    return Trained(run.best_weights, run.history, converged, run.kept, extended_at, choice.form)


def _earlier(
    origin: Origin, checkpoint: Path, restart: bool | Literal["changed"]
) -> tuple[dict[str, Any] | None, str]:
    """The state to continue from; or None, and why training starts anew where there is one."""
    if restart is True or not checkpoint.exists():
        return None, ""
    state = load_checkpoint(checkpoint)
    try:
        origin.check(state, checkpoint)
        if not origin.still_follows(state):
            return None, "starts anew, as an earlier part of it has changed since its checkpoint"
        _check_steps(origin, state, checkpoint)
    except OtherTrainingError as error:
        if not restart:
            raise
        changes = error.found.partition(": ")[2] or error.found
        return None, f"starts anew, as something changed: {changes}"
    return state, ""


def _check_steps(origin: Origin, state: Mapping[str, Any], checkpoint: Path) -> None:
    last, done = origin.recipe.max_steps, int(state["progress"][0])
    if done > last:
        raise OtherTrainingError(
            f"is the checkpoint of a training that has done {counted(done, 'step')}, more than "
            f"max_steps={last}",
            path=checkpoint,
            cause="it is to do fewer steps than before",
            remedy=f"use max_steps={done} or more, or restart=True to start anew",
        )


def _form_of(state: Mapping[str, Any], recipe: Recipe) -> Form:
    """The form that a training began with; older versions recorded the precision alone."""
    if "form" in state:
        return Form(state["form"])
    precision = state.get("recipe", {}).get("precision", recipe.precision)
    return Form.FLOAT32 if precision in {"no", "auto"} else Form(precision)


def _continue(run: TrainingState, origin: Origin, state: Mapping[str, Any]) -> str:
    """Continue from the state of a checkpoint; returns from where, in words."""
    before, last = origin.max_steps_of(state), origin.recipe.max_steps
    run.restore(state)
    if run.stopped:
        more = f", so the {last - run.step} more steps are not done" if last > before else ""
        return f"had stopped improving before step {run.step}{more}"
    if last != before:
        run.extend()
    if run.step == last:
        return f"is already finished at step {last}"
    return f"continues from step {run.step} of {last}"
