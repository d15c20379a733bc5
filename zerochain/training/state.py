"""The state of a training: everything that changes from step to step, and a checkpoint stores."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zerochain.errors import InputError
from zerochain.training.log import columns_of
from zerochain.training.recipe import Fall, Recipe
from zerochain.training.task import Row, Task, Update

if TYPE_CHECKING:
    from accelerate import Accelerator

_CHECK_EVERY = 25  # steps; reading a number from a GPU waits until it has computed it


class TrainingState:
    """A training at one step, from which it can continue.

    Attributes:
        ema: moving average of the main network's weights.
        step, seconds: steps done and time spent so far, including earlier runs.
        misses: validations since the best one.
        history: one row per validation.
        extended_at: steps from which training continued with another `max_steps`.
        mark: the validation loss of which improvements are counted.
        fall: the last steps, in which the learning rate falls, once they have begun (annealing
            plateau).
        losses, norms: of the steps since they were last read; on the device until then.
    """

    def __init__(self, task: Task, recipe: Recipe, accelerator: Accelerator) -> None:
        torch.manual_seed(recipe.seed)
        self.task, self.recipe, self.accelerator = task, recipe, accelerator
        names = list(task.networks)
        prepared = accelerator.prepare(
            *task.networks.values(), *(task.optimisers[name] for name in names)
        )
        self.networks = dict(zip(names, prepared[: len(names)], strict=True))
        # Only fp16 needs Accelerate's own, which search the disk for a package at every step.
        own = [task.optimisers[name] for name in names]
        optimisers = prepared[len(names) :] if accelerator.scaler else own
        self.optimisers = dict(zip(names, optimisers, strict=True))
        self.rates = {
            name: [group["lr"] for group in optimiser.param_groups]
            for name, optimiser in self.optimisers.items()
        }
        self.update = Update(accelerator, self.networks, self.optimisers, recipe.max_gradient_norm)
        main = accelerator.unwrap_model(self.networks[names[0]])
        self.main = main
        self.ema = AveragedModel(main, multi_avg_fn=_ema(recipe.ema_decay), use_buffers=True)
        self.step, self.seconds, self.misses = 0, 0.0, 0
        self.best, self.best_weights = math.inf, _on_cpu(main.state_dict())
        self.mark = math.inf
        self.history: list[Row] = []
        self.extended_at: list[int] = []
        self.fall: Fall | None = None
        self.losses: list[dict[str, Tensor]] = []
        self.norms: list[dict[str, Tensor]] = []

    @property
    def stopped(self) -> bool:
        """Whether validation has stopped improving, and the learning rate has fallen if it does."""
        if self.recipe.annealing == "plateau":
            return self.fall is not None and self.fall.found and self.step >= self.fall.end
        return self.recipe.keep == "best" and self.misses >= self.recipe.patience

    @property
    def kept(self) -> Row:
        """The row of the weights that are kept."""
        if self.recipe.keep == "last":
            return self.history[-1]
        return min(self.history, key=lambda row: row["valid_loss"])

    def advance(self, step: int) -> None:
        """Do one step."""
        begun = time.monotonic()
        for network in self.networks.values():
            network.train()
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * self.recipe.rate(step, self.fall)
        batch = self.task.batch(step, self.accelerator.process_index)
        batch = {name: value.to(self.accelerator.device) for name, value in batch.items()}
        with self.accelerator.autocast():
            losses = self.task.training_step(self.networks, batch, self.update)
        self.ema.update_parameters(self.main)
        self.losses.append({name: value.detach() for name, value in losses.items()})
        self.norms.append(dict(self.update.norms))
        self.step = step
        if step % _CHECK_EVERY == 0:
            self.check()
        self.seconds += time.monotonic() - begun

    def check(self) -> None:
        """Raise InputError if a loss or gradient since the last check was not finite."""
        # A scaled fp16 gradient may overflow: its step is then skipped and the scale lowered.
        overflows = self.recipe.precision == "fp16"
        newest = self.losses[len(self.losses) - len(self.norms) :]
        rows = [
            {**losses, **({} if overflows else norms)}
            for losses, norms in zip(newest, self.norms, strict=True)
        ]
        for step, row in enumerate(_read(rows), start=self.step - len(rows) + 1):
            wrong = [name for name, value in row.items() if not math.isfinite(value)]
            if wrong:
                raise InputError(
                    f"training diverged at step {step}: {wrong[0]} is {row[wrong[0]]}",
                    cause="the learning rate is too high, or a recording is not speech",
                    remedy=f"lower learning_rate={self.recipe.learning_rate:g}; the last good "
                    "checkpoint is kept, and restart=True starts anew",
                )
        self.norms = []

    def validate(self) -> None:
        """Add a row to the history, and keep the weights if they are the best so far."""
        begun = time.monotonic()
        self.check()
        self.ema.eval()
        with torch.inference_mode():
            found = self.task.validate(self.ema.module)
        measured = dict(found) if isinstance(found, Mapping) else {"valid_loss": found}
        loss = measured["valid_loss"] = self._agreed(measured["valid_loss"])
        rows = _read(self.losses)
        names = columns_of(rows)
        means = {name: _mean([row[name] for row in rows if name in row]) for name in names}
        self.losses = []
        if loss < self.mark * (1 - self.recipe.min_improvement):
            self.mark, self.misses = loss, 0
        else:
            self.misses += 1
        better, self.best = loss < self.best, min(loss, self.best)
        if better or self.recipe.keep == "last":
            self.best_weights = _on_cpu(self.ema.module.state_dict())
        self.seconds += time.monotonic() - begun
        row = {"step": self.step, "seconds": self.seconds, **means, **measured}
        self.history.append(row)
        if self.fall is None:
            improving = self.misses < self.recipe.patience
            self.fall = self.recipe.fall_from(self.step, improving=improving)

    def _agreed(self, loss: float) -> float:
        """The main process's loss, so that all processes stop at the same step."""
        if self.accelerator.num_processes == 1:
            return loss
        mine = torch.tensor(loss, dtype=torch.float32, device=self.accelerator.device)
        return float(_of_main_process(mine))

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to continue as if training had never stopped."""
        return {
            "networks": {n: self.accelerator.unwrap_model(m).state_dict() for n, m in self._nets},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
            "ema": self.ema.state_dict(),
            "best_weights": self.best_weights,
            "random": _random_states(self.accelerator.device),
            "scaler": {} if self._scaler is None else self._scaler.state_dict(),
            "history": self.history,
            "extended_at": self.extended_at,
            "mark": self.mark,
            "fall": None if self.fall is None else list(self.fall),
            "progress": [self.step, self.seconds, self.misses, self.best],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        for name, network in self._nets:
            self.accelerator.unwrap_model(network).load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.ema.load_state_dict(state["ema"])
        self.best_weights, self.history = state["best_weights"], state["history"]
        self.step, self.seconds, self.misses, self.best = state["progress"]
        self.extended_at = list(state.get("extended_at", []))  # older versions couldn't extend
        self.mark = state.get("mark", self.best)  # older versions counted every improvement
        fall = state.get("fall")
        self.fall = None if fall is None else Fall(int(fall[0]), int(fall[1]), bool(fall[2]))
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"][0])
        if len(state["random"]) > 1:
            torch.cuda.set_rng_state(state["random"][1], self.accelerator.device)

    def extend(self) -> None:
        """Note that training continues to another last step; a rate that fell for it rises."""
        self.extended_at.append(self.step)
        if self.fall is not None and not self.fall.found:
            self.fall = None

    def end(self) -> None:
        """Leave the process group; a process that still used it after others left would hang."""
        self._share_best_weights()
        self.accelerator.wait_for_everyone()
        self.networks.clear()
        # Alone on a CPU, nothing else waits for the memory; to look for what is free in everything
        # that was imported takes longer than a short training.
        if self.accelerator.num_processes > 1 or self.accelerator.device.type != "cpu":
            self.accelerator.free_memory()
        self.accelerator.end_training()

    def _share_best_weights(self) -> None:
        """Take the main process's weights: batch normalisation's means differ by process."""
        if self.accelerator.num_processes == 1:
            return
        device = self.accelerator.device
        mine = {name: w.to(device).contiguous() for name, w in self.best_weights.items()}
        self.best_weights = _on_cpu(_of_main_process(mine))

    @property
    def _scaler(self) -> Any:
        """fp16's scale of the loss; None in other precisions."""
        return self.accelerator.scaler

    @property
    def _nets(self) -> list[tuple[str, nn.Module]]:
        return list(self.networks.items())


def _ema(decay: float) -> Any:
    """An exponential moving average whose decay rises to `decay`, so that early weights fade."""

    def average(averaged: Any, current: Any, n: Tensor | int) -> None:
        step_decay = min(decay, (1 + int(n)) / (10 + int(n)))
        get_ema_multi_avg_fn(step_decay)(averaged, current, n)  # type: ignore[no-untyped-call]

    return average


def _of_main_process(mine: Any) -> Any:
    """The main process's tensor, or dictionary of tensors, in every process."""
    import accelerate.utils  # loaded by the accelerator; what doesn't train does without

    return accelerate.utils.broadcast(mine)


def _on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in weights.items()}


def _random_states(device: torch.device) -> list[Tensor]:
    """The CPU's, and the GPU's if one is used."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _read(rows: list[dict[str, Tensor]]) -> list[Row]:
    """Tensors as numbers, read in one transfer."""
    if not rows:
        return []
    values = iter(torch.stack([v.float() for row in rows for v in row.values()]).tolist())
    return [{name: next(values) for name in row} for row in rows]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
