"""What commands print for people: facts, tables, how a training went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 160


def console() -> Console:
    """Standard output; texts mean what they say, and pipes are wide."""
    from rich.console import Console

    made = Console(markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def print_facts(what: str, facts: Mapping[str, str]) -> None:
    """A heading and, a line each, what is known of it; facts that are empty are left out."""
    from rich.table import Table

    out = console()
    out.print(plain(what), style="bold")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(plain(name), plain(value))
    if table.row_count:
        out.print(table)


def print_table(
    title: str, header: Iterable[str], rows: Iterable[Iterable[str]], most: int | None = None
) -> None:
    """A table with a title, of the first `most` rows; nothing where there are none."""
    from rich import box
    from rich.table import Table

    rows = list(rows)
    if not rows:
        return
    out = console()
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="italic")
    for name in header:
        table.add_column(plain(name), overflow="fold")
    for row in rows[:most]:
        table.add_row(*(plain(cell) for cell in row))
    out.print(table)
    if most is not None and len(rows) > most:
        out.print(f"  … and {len(rows) - most} more rows")


def training_text(report: Mapping[str, Any], reached: str = "") -> str:
    """How a training went, from what its report says.

    Args:
        reached: what it came to; by default its validation loss.
    """
    from zerochain.training.outcome import ending

    device = f" on {report['device']}" if "device" in report else ""
    reached = reached or f"validation loss {report['best_valid_loss']:.4f}"
    return (
        f"{report['n_parameters']:,} parameters, {report['steps']} steps in "
        f"{report['seconds']:.0f} s{device} ({ending(report['converged'])}); {reached} at step "
        f"{report['best_step']}"
    )


def plain(text: str) -> str:
    """The text without the control characters by which a file could steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
