"""What the commands of `zerochain score` share: options, and showing and appending scores."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from zerochain.cli.common import FILE
from zerochain.cli.printing import console, plain
from zerochain.cli.score_beside import text_beside
from zerochain.formats.scores import Score, append_scores
from zerochain.scoring.common import Scored

system_option = click.option("--system", help="The name of the system in tables.")
shift_option = click.option(
    "--shift-ms",
    type=float,
    default=0.0,
    show_default=True,
    help="Added to the times of gold phones or items: automatic alignments can be late.",
)
out_option = click.option(
    "--out", type=FILE, required=True, help="The scores.jsonl to append the scores to."
)


def save_scores(scored: Scored, out: Path, beside: str | None = None) -> None:
    """Append the scores to the file, and show them.

    The text to show is made first: if that fails, nothing is appended.

    Args:
        beside: `--beside`, the published systems to show them among.
    """
    screen = console()
    with screen.capture() as captured:
        screen.print(_table(scored.scores))
    published = text_beside(out, beside, scored.scores)
    append_scores(out, scored.scores)
    click.echo(captured.get(), nl=False)
    for note in scored.notes:
        click.echo(note)
    click.echo(f"appended to {out}")
    click.echo(published, nl=False)


def _table(scores: list[Score]) -> Table:
    protocols = "; ".join(dict.fromkeys(one.protocol for one in scores))
    table = Table(title=plain(f"{scores[0].system} ({protocols})"), title_justify="left")
    with_chance = any("chance" in one.options for one in scores)
    for column in ("metric", "value", "95 % interval", "n", *["chance"] * with_chance):
        table.add_column(column, no_wrap=column != "n")  # the column that is narrowed first
    for one in scores:
        interval = "" if one.interval is None else _interval(*one.interval)
        count = f"{one.n:,} {one.options['n_of']}"
        value = f"{one.value:.{_decimals(one.value)}f}"
        table.add_row(one.metric, value, interval, count, *_chance(one, with_chance))
    return table


def _interval(low: float, high: float) -> str:
    decimals = _decimals(max(abs(low), abs(high)))
    return f"{low:.{decimals}f} … {high:.{decimals}f}"


def _decimals(value: float) -> int:
    return 3 if abs(value) <= 1 else 2 if abs(value) < 100 else 1


def _chance(one: Score, with_chance: bool) -> list[str]:
    """The cell with the chance level, in tables that have such a column."""
    chance = one.options.get("chance")
    return ["" if chance is None else f"{chance:.{_decimals(chance)}f}"] * with_chance
