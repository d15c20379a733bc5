"""The output of commands: facts, tables, the summary of a training.

Text is printed literally: names in files are not markup, and their control characters, which could
steer a terminal, are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from zerochain.errors import counted, printable
from zerochain.training.outcome import ending

_PIPE_WIDTH = 160
_PLURAL = re.compile(r"\b(text|transcript|pair)s\b")


def console() -> Console:
    """Standard output, without markup, and wide unless it is a terminal."""
    made = Console(markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def print_facts(what: str, facts: Mapping[str, str]) -> None:
    """Print a heading, then one fact per line, without empty ones."""
    out = console()
    out.print(printable(what), style="bold")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(printable(name), printable(value))
    if table.row_count:
        out.print(table)


def print_table(
    title: str, header: Iterable[str], rows: Iterable[Iterable[str]], most: int | None = None
) -> None:
    """Print a table with a title and at most `most` rows; if there are no rows, print nothing."""
    rows = list(rows)
    if not rows:
        return
    out = console()
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="italic")
    for name in header:
        table.add_column(printable(name), overflow="fold")
    for row in rows[:most]:
        table.add_row(*(printable(cell) for cell in row))
    out.print(table)
    if most is not None and len(rows) > most:
        out.print(f"  … and {counted(len(rows) - most, 'more row')}")


def parts_text(parts: Iterable[Mapping[str, Any]]) -> str:
    """How each of several trainings ended: "recogniser 900 steps (converged), …"."""
    return ", ".join(
        f"{one['part']} {counted(one['steps'], 'step')} ({ending(one['converged'])})"
        for one in parts
    )


def training_text(report: Mapping[str, Any], reached: str = "") -> str:
    """The summary of a training, from its report.

    Args:
        reached: the result of the training; by default the validation loss.
    """
    device = f" on {report['device']}" if "device" in report else ""
    reached = reached or f"validation loss {report['best_valid_loss']:.4f}"
    return (
        f"{report['n_parameters']:,} parameters, {counted(report['steps'], 'step')} in "
        f"{report['seconds']:.0f} s{device} ({ending(report['converged'])}); {reached} at step "
        f"{report['best_step']}"
    )


def equal_error_rate_text(held: str, verification: Mapping[str, Any] | None) -> str:
    """An equal error rate and what it rests on, from what a bundle says of its test."""
    if verification is None:
        return "undefined: too few utterances to hold out pairs of one speaker and of two"
    of = "held-out speakers" if held == "speakers" else "known speakers"
    return (
        f"{100 * verification['eer']:.1f} % on {verification['n_speakers']} {of}: "
        f"{verification['n_targets']:,} pairs of pieces of one speaker "
        f"({verification['targets']}), {verification['n_nontargets']:,} of two"
    )


def left_out_text(excluded: Mapping[str, int]) -> str:
    """How much was left out, and why; empty where nothing was."""
    reasons = ((n, why.replace("_", " ")) for why, n in excluded.items())
    words = ((n, _PLURAL.sub(r"\1", why) if n == 1 else why) for n, why in reasons)
    return ", ".join(f"{n} {why}" for n, why in words)
