"""The training service, through which every method trains.

A method has a task (`zerochain.training.task.Task`), a `RECIPE` and a model. It trains by

    torch.manual_seed(recipe.seed)  # of the initial weights
    network = Encoder(config)
    task = RecogniserTask(network, train, valid, recipe, running.device)
    inputs = {"network": config.model_dump(), "corpus": corpus.id, "texts": texts}
    fitted = fit(task, recipe, running, inputs=inputs)

after which `network` has the kept weights. A stage (files → files) also chooses the training's
folder, and writes the trained model:

    running = running.beside(out)  # <out>.training; an error if `out` exists and is not a bundle
    fitted = fit(task, recipe, running, inputs=inputs)
    finish(fitted, out, lambda: model.save(out, trained_on, {**settings, **asdict(fitted.outcome)}))

Called again with the same recipe and inputs, `fit` continues where it was interrupted or, if
training has finished, returns the same result at once; with a larger `max_steps` it continues up to
that. Any other change is an error that names it, unless `restart` is set (see
`zerochain.training.origin`). A setting that is derived from `max_steps`, such as the step at which
adversarial training begins, belongs among the inputs.

In a training of several parts, each has its own folder. If a part is trained on the result of an
earlier one, `follows` identifies that result, and the part starts anew when it changes:

    running.discard()
    f0 = fit(f0_task, f0_recipe, running.part("f0"), inputs=f0_inputs)
    whole = fit(task, recipe, running, inputs=inputs, follows={"f0": weights_id(f0_network)})
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from torch import nn

from zerochain.errors import InputError
from zerochain.formats.atomic import check_replaceable, scratch
from zerochain.formats.bundle import MARKER, Fit, write_fit
from zerochain.training.checkpoint import CHECKPOINT, digest_of, training_folder
from zerochain.training.device import described, is_main_process, resolve_device
from zerochain.training.log import check_tensorboard
from zerochain.training.loop import Trained, train
from zerochain.training.outcome import Outcome
from zerochain.training.precision import Form
from zerochain.training.recipe import Recipe
from zerochain.training.task import Row, Task


@dataclass(frozen=True)
class Running:
    """How a training is run. None of these settings changes the model or is part of its id.

    Raises:
        InputError: device="cuda" without a GPU, or no package tensorboard.
    """

    device: str = "auto"
    """"auto", "cpu" or "cuda" as an argument; the attribute is "cpu" or "cuda"."""
    restart: bool | Literal["changed"] = False
    """Ignore any checkpoint and start anew; "changed" does so only if settings or data differ from
    the checkpoint's, which is otherwise an error."""
    tensorboard: bool = False
    """Log for TensorBoard as well as to log.csv."""
    folder: Path | None = None
    """For the checkpoint and log.csv, which stay there; None is a temporary folder: if training is
    interrupted, it starts anew."""
    name: str = "Training"
    """The name of the training in messages."""
    of: str = ""
    """Of several trainings that belong together, which one it is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", resolve_device(self.device))
        if self.tensorboard:
            check_tensorboard()

    def beside(self, out: Path) -> Self:
        """The training of what will be the bundle `out`: its folder is `<out>.training`.

        Raises:
            InputError: `out` exists and is not a bundle.
        """
        check_replaceable(out, MARKER)
        return replace(self, folder=training_folder(out))

    def part(self, name: str) -> Self:
        """One of several trainings that belong together, in a folder `name` inside this one's."""
        folder = None if self.folder is None else self.folder / name
        return replace(self, folder=folder, name=f"{self.name} {name}", of=name)

    def discard(self) -> None:
        """If `restart` is true, delete the checkpoints of this training and of all its parts.

        For trainings of several parts, before the first part: if it is interrupted again, no
        checkpoint of a later part is left from the previous training.
        """
        if self.restart is True and self.folder is not None and is_main_process():
            for checkpoint in self.folder.rglob(CHECKPOINT):
                checkpoint.unlink()

    @contextmanager
    def place(self) -> Iterator[Path]:
        """The folder, or a temporary one."""
        if self.folder is not None:
            yield self.folder
            return
        with scratch() as folder:
            yield folder


@dataclass(frozen=True)
class Fitted:
    """The result of a training; the weights are in the task's first network."""

    outcome: Outcome
    history: list[Row]
    """One row per validation."""
    best: Row
    """The validation whose weights were kept."""
    seconds: float
    """Wall time, in total if it was interrupted."""


def fit(
    task: Task,
    recipe: Recipe,
    running: Running,
    *,
    inputs: Mapping[str, Any],
    follows: Mapping[str, Any] | None = None,
    watch: Callable[[list[Row]], None] | None = None,
) -> Fitted:
    """Train a task, and leave the kept weights in its first network, in evaluation mode.

    Args:
        inputs: everything but the recipe that the weights depend on, as JSON values by name.
        follows: digests of the results of earlier parts of the same training.
        watch: called with the history after each validation, to warn of problems.

    Raises:
        InputError: as `train`.
    """
    with running.place() as folder, _in_part(running.of):
        trained = train(
            task,
            recipe,
            folder,
            inputs=inputs,
            follows=follows,
            device=running.device,
            restart=running.restart,
            tensorboard=running.tensorboard,
            watch=watch,
            name=running.name,
        )
    network = next(iter(task.networks.values()))
    network.load_state_dict(trained.weights)
    network.eval()
    return Fitted(_outcome(trained, network), trained.history, trained.best, trained.seconds)


@contextmanager
def _in_part(name: str) -> Iterator[None]:
    """Errors say in which of several trainings they were found, whose settings they name."""
    try:
        yield
    except InputError as error:
        error.part = name
        raise


def _outcome(trained: Trained, network: nn.Module) -> Outcome:
    # Float32 is not named, as bundles of older versions don't name it.
    as_computed = "" if trained.form == Form.FLOAT32 else f", {trained.form}"
    return Outcome(
        n_parameters=sum(p.numel() for p in network.parameters()),
        steps=int(trained.history[-1]["step"]),
        best_step=int(trained.best["step"]),
        best_valid_loss=trained.best["valid_loss"],
        converged=trained.converged,
        computed_on=described(next(network.parameters()).device.type) + as_computed,
        extended_at=trained.extended_at,
    )


def finish(
    fitted: Fitted, out: Path, write: Callable[[], object], *, seconds: float | None = None
) -> None:
    """Write the trained model's bundle and its fit.json, in the main process only.

    The checkpoint stays in the training's folder, so that training can be extended. It also means
    that after an error here, such as a full disk, the same call writes the bundle without training
    again.

    Args:
        write: saves the bundle `out`.
        seconds: duration of the whole fit, if it included more than this training.
    """
    if not is_main_process():
        return
    write()
    took = fitted.seconds if seconds is None else seconds
    write_fit(out, Fit(took, fitted.outcome.computed_on))


def weights_id(network: nn.Module) -> str:
    """SHA-256 of a network's weights, by which a later part detects that an earlier one changed."""
    return digest_of(network.state_dict())
