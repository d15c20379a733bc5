"""The progress that a training reports while it runs.

log.csv has one row per validation; TensorBoard's events hold the same numbers. On a terminal a
progress bar shows the latest losses; elsewhere (a cluster's log, a pipeline) lines on stderr do:

    Training: step 300 of 3000, loss 0.8312, validation 0.9120, 14.2 steps/s, 3 min left
"""

from __future__ import annotations

import csv
import importlib.util
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file

if TYPE_CHECKING:
    from zerochain.training.task import Row  # which imports torch

_N_LINES = 50  # in a whole training, however often it validates


def write_log(folder: Path, history: list[Row], tensorboard: bool = False) -> None:
    """Write log.csv, one row per validation, and the latest row for TensorBoard."""
    with atomic_file(folder / "log.csv") as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns_of(history))
        writer.writeheader()
        writer.writerows(history)
    if tensorboard:
        from torch.utils.tensorboard import SummaryWriter  # optional

        with SummaryWriter(str(folder / "tensorboard")) as board:
            for name, value in history[-1].items():
                board.add_scalar(name, value, int(history[-1]["step"]))


def check_tensorboard() -> None:
    """Raise InputError where TensorBoard's package is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "tensorboard=True needs the package tensorboard, which is not installed",
            remedy="pip install 'zerochain[tensorboard]', or read log.csv",
        )


def columns_of(rows: Iterable[Mapping[str, float]]) -> list[str]:
    """The names in all rows, in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


class Display:
    """Shows the progress of a training: the label of a progress bar on a terminal, else lines.

    Lines depend on the number of steps and not on the clock, so that a training always prints
    the same ones: at the first validation, about 50 times after that, and at the last.

    Args:
        name: of the network that is trained, which lines begin with.
        first: the step from which training continues; 0 at its start.
        last: the last step.
        mute: print nothing; true in all processes of torchrun but one.
    """

    def __init__(self, name: str, first: int, last: int, *, mute: bool = False) -> None:
        self._name, self._first, self._last, self._mute = name, first, last, mute
        self._begun, self._due = time.monotonic(), 0
        self._losses = ""

    def label(self) -> str:
        """The progress bar's label."""
        return f"{self._name}{self._losses}"

    def tell(self, text: str) -> None:
        """Print a line, on terminals too."""
        if not self._mute:
            _print(f"{self._name} {text}")

    def validated(self, row: Row) -> None:
        """Show a validation."""
        self._losses = f", validation {row['valid_loss']:.4f}"
        if "train_loss" in row:
            self._losses = f", loss {row['train_loss']:.4f}{self._losses}"
        step = int(row["step"])
        if sys.stderr.isatty() or self._mute or not (step >= self._due or step == self._last):
            return
        self._due = step + self._last // _N_LINES
        rate = (step - self._first) / max(time.monotonic() - self._begun, 1e-9)
        left = f", {duration((self._last - step) / rate)} left" if step < self._last else ""
        where = f"step {step} of {self._last}"
        _print(f"{self._name}: {where}{self._losses}, {rate:.3g} steps/s{left}")


def _print(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """Seconds in a readable unit: "40 s", "12 min", "3 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
