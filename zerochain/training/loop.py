"""The one training loop: any task, any device, exact resume, EMA weights, early stop."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file
from zerochain.progress import track
from zerochain.training.checkpoint import load_checkpoint, save_checkpoint
from zerochain.training.config import TrainingConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT = "checkpoint.safetensors"
"""For the caller to delete, once what was trained is saved."""
_TRAININGS = itertools.count()  # of this process, numbered alike in all that torchrun started
_CHECK_EVERY = 25  # steps; reading a number makes a GPU wait for it
Batch = dict[str, Tensor]
Row = dict[str, float]


def training_folder(out: Path) -> Path:
    """Where the checkpoint and the log of what becomes `out` stand: beside it."""
    return out.parent / f"{out.name}.training"


class Task(Protocol):
    """What is trained. Networks stand by name: a discriminator is one more, with its optimiser.

    The first network is the one that training is for: its EMA weights are validated and kept.
    """

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]

    def batch(self, step: int, process: int) -> Batch:
        """The batch of a step: the same for the same numbers, so that a resumed run sees it."""

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


@dataclass(frozen=True)
class Trained:
    """What training came to."""

    weights: dict[str, Tensor]
    """EMA weights of the validation `best`, on the CPU."""
    history: list[Row]
    """One row a validation: step, seconds, train_loss, valid_loss and the task's other losses,
    from the step on from which the task returns them."""
    converged: bool | None
    """Whether it stopped because validation no longer improved, not because steps ran out; None
    where validation is no judge of that, and the last weights are kept."""
    best: Row
    """The validation whose weights are kept."""

    @property
    def seconds(self) -> float:
        """Of all runs, if it was interrupted."""
        return round(self.history[-1]["seconds"], 1)


def train(
    task: Task,
    config: TrainingConfig,
    folder: Path,
    *,
    fingerprint: str,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
    watch: Callable[[list[Row]], None] | None = None,
) -> Trained:
    """Train until validation stops improving, or for `config.max_steps`.

    Args:
        folder: for checkpoint.safetensors, log.csv and, if wanted, TensorBoard's events.
        fingerprint: names data and settings; a checkpoint with another one is refused.
        restart: ignore a checkpoint.
        watch: is shown the history after each validation, to warn of what goes wrong.

    Raises:
        InputError: the loss is NaN or infinite (the last good checkpoint stays), the
            checkpoint in `folder` is of another run, fp16 without a GPU, or no tensorboard.
    """
    accelerator = _accelerator(device, config.precision)
    if tensorboard:
        _check_tensorboard()
    run = _Run(task, config, accelerator)
    checkpoint = folder / CHECKPOINT
    if checkpoint.exists() and not restart:
        run.restore(load_checkpoint(checkpoint, fingerprint))
    steps = range(run.step + 1, config.max_steps + 1)
    for step in track(() if run.stopped else steps, "Training", total=len(steps)):
        run.advance(step)
        if step % config.validate_every and step != config.max_steps:
            continue
        run.validate()
        if accelerator.is_main_process:
            save_checkpoint(checkpoint, {"fingerprint": fingerprint, **run.state()})
            write_log(folder, run.history, tensorboard)
            if watch is not None:
                watch(run.history)
        if run.stopped:
            break
    run.end()
    converged = run.stopped if config.keep == "best" else None
    return Trained(run.best_weights, run.history, converged, run.kept)


class _Run:
    """Everything that changes while training, and that a checkpoint therefore holds."""

    def __init__(self, task: Task, config: TrainingConfig, accelerator: Accelerator) -> None:
        torch.manual_seed(config.seed)
        self.task, self.config, self.accelerator = task, config, accelerator
        names = list(task.networks)
        prepared = accelerator.prepare(
            *task.networks.values(), *(task.optimisers[name] for name in names)
        )
        self.networks = dict(zip(names, prepared[: len(names)], strict=True))
        self.optimisers = dict(zip(names, prepared[len(names) :], strict=True))
        self.rates = {
            name: [group["lr"] for group in optimiser.param_groups]
            for name, optimiser in self.optimisers.items()
        }
        self.update = Update(accelerator, self.networks, self.optimisers, config.max_gradient_norm)
        main = accelerator.unwrap_model(self.networks[names[0]])
        self.main = main
        self.ema = AveragedModel(main, multi_avg_fn=_ema(config.ema_decay), use_buffers=True)
        self.step, self.seconds, self.misses = 0, 0.0, 0
        self.best, self.best_weights = math.inf, _on_cpu(main.state_dict())
        self.history: list[Row] = []
        self.losses: list[dict[str, Tensor]] = []
        self.norms: list[dict[str, Tensor]] = []

    @property
    def stopped(self) -> bool:
        return self.config.keep == "best" and self.misses >= self.config.patience

    @property
    def kept(self) -> Row:
        """The row of the weights that are kept."""
        if self.config.keep == "last":
            return self.history[-1]
        return min(self.history, key=lambda row: row["valid_loss"])

    def advance(self, step: int) -> None:
        begun = time.monotonic()
        for network in self.networks.values():
            network.train()
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * self.config.rate(step)
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
        """Raise InputError where a loss or a gradient of the steps since was not finite."""
        # A scaled fp16 gradient may overflow: its step is then skipped and the scale lowered.
        overflows = self.config.precision == "fp16"
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
                    cause="too high a learning rate, or a recording that isn't speech",
                    remedy="lower --learning-rate; the last good checkpoint is kept, and --restart "
                    "starts anew",
                )
        self.norms = []

    def validate(self) -> None:
        begun = time.monotonic()
        self.check()
        self.ema.eval()
        with torch.inference_mode():
            found = self.task.validate(self.ema.module)
        measured = dict(found) if isinstance(found, Mapping) else {"valid_loss": found}
        loss = measured["valid_loss"] = self._agreed(measured["valid_loss"])
        rows = _read(self.losses)
        means = {name: _mean([row[name] for row in rows if name in row]) for name in _names(rows)}
        self.losses = []
        better = loss < self.best
        if better:
            self.best, self.misses = loss, 0
        else:
            self.misses += 1
        if better or self.config.keep == "last":
            self.best_weights = _on_cpu(self.ema.module.state_dict())
        self.seconds += time.monotonic() - begun
        row = {"step": self.step, "seconds": self.seconds, **means, **measured}
        self.history.append(row)

    def _agreed(self, loss: float) -> float:
        """The main process's loss: all have to stop at the same step."""
        if self.accelerator.num_processes == 1:
            return loss
        from accelerate.utils import broadcast

        mine = torch.tensor(loss, dtype=torch.float32, device=self.accelerator.device)
        return float(broadcast(mine))

    def state(self) -> dict[str, Any]:
        return {
            "networks": {n: self.accelerator.unwrap_model(m).state_dict() for n, m in self._nets},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
            "ema": self.ema.state_dict(),
            "best_weights": self.best_weights,
            "random": _random_states(self.accelerator.device),
            "scaler": {} if self._scaler is None else self._scaler.state_dict(),
            "history": self.history,
            "progress": [self.step, self.seconds, self.misses, self.best],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, network in self._nets:
            self.accelerator.unwrap_model(network).load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.ema.load_state_dict(state["ema"])
        self.best_weights, self.history = state["best_weights"], state["history"]
        self.step, self.seconds, self.misses, self.best = state["progress"]
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"][0])
        if len(state["random"]) > 1:
            torch.cuda.set_rng_state(state["random"][1], self.accelerator.device)

    def end(self) -> None:
        """Part from the other processes: one that holds on to those who left would hang."""
        self._share_best_weights()
        self.accelerator.wait_for_everyone()
        self.networks.clear()
        self.accelerator.free_memory()
        self.accelerator.end_training()

    def _share_best_weights(self) -> None:
        """All take the main process's: the running means of normalisations are each one's own."""
        if self.accelerator.num_processes == 1:
            return
        from accelerate.utils import broadcast

        device = self.accelerator.device
        mine = {name: w.to(device).contiguous() for name, w in self.best_weights.items()}
        self.best_weights = _on_cpu(broadcast(mine))

    @property
    def _scaler(self) -> Any:
        """fp16's scale of the loss; None in other precisions."""
        return self.accelerator.scaler

    @property
    def _nets(self) -> list[tuple[str, nn.Module]]:
        return list(self.networks.items())


def write_log(folder: Path, history: list[Row], tensorboard: bool = False) -> None:
    """Write log.csv, one row a validation, and the newest row for TensorBoard."""
    with atomic_file(folder / "log.csv") as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, _names(history))
        writer.writeheader()
        writer.writerows(history)
    if tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(folder / "tensorboard")) as board:
            for name, value in history[-1].items():
                board.add_scalar(name, value, int(history[-1]["step"]))


def _accelerator(device: str, precision: str) -> Accelerator:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if precision == "fp16" and device == "cpu":
        raise InputError(
            "--precision fp16 needs a GPU", remedy="use --precision no or bf16, or --device cuda"
        )
    # It is one for a process: an earlier training's device and precision would be in the way.
    AcceleratorState._reset_state(reset_partial_state=True)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _join_others(device)
    return Accelerator(cpu=device == "cpu", mixed_precision=precision)


def _join_others(device: str) -> None:
    """Form the group of torchrun's processes, under names of this training's own.

    What an earlier training left in their common store would be taken for this one's.
    """
    from torch.distributed.distributed_c10d import PrefixStore, init_process_group
    from torch.distributed.rendezvous import rendezvous

    store, rank, n_processes = next(rendezvous("env://"))
    init_process_group(
        "nccl" if device == "cuda" else "gloo",
        store=PrefixStore(f"training-{next(_TRAININGS)}", store),
        rank=rank,
        world_size=n_processes,
    )


def _check_tensorboard() -> None:
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "--tensorboard needs the package tensorboard, which is not installed",
            remedy="pip install 'zerochain[tensorboard]', or read log.csv",
        )


def _ema(decay: float) -> Any:
    """An exponential moving average that starts as a plain one, so that early weights fade."""

    def average(averaged: Any, current: Any, n: Tensor | int) -> None:
        step_decay = min(decay, (1 + int(n)) / (10 + int(n)))
        get_ema_multi_avg_fn(step_decay)(averaged, current, n)  # type: ignore[no-untyped-call]

    return average


def _on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in weights.items()}


def _random_states(device: torch.device) -> list[Tensor]:
    """The CPU's, and the GPU's where there is one in use."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _read(rows: list[dict[str, Tensor]]) -> list[Row]:
    """Tensors as numbers, read all at once."""
    if not rows:
        return []
    values = iter(torch.stack([v.float() for row in rows for v in row.values()]).tolist())
    return [{name: next(values) for name in row} for row in rows]


def _names(rows: Iterable[Mapping[str, float]]) -> list[str]:
    """The names in all rows, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
