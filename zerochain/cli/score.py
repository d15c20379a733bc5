"""What the commands of `zerochain score` share: options, and showing and appending scores.

Also a system's rank among the published ones: `score beside`, and `--beside` of other scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from zerochain.cli.common import FILE, Command, as_options
from zerochain.cli.printing import console
from zerochain.errors import InputError, listed, printable
from zerochain.formats.basis import ENOUGH, interval_of, meanings, no_interval, shortfall
from zerochain.formats.scores import Score, append_scores, read_scores
from zerochain.metrics.names import ABX_ACROSS, BITRATE
from zerochain.report.published import PROTOCOL, SIMILAR_BITRATE, Place, places
from zerochain.scoring.common import Scored

system_option = click.option("--system", help="The name of the system in tables.")
out_option = click.option(
    "--out", type=FILE, required=True, help="The scores.jsonl to append the scores to."
)


def save_scores(scored: Scored, out: Path, beside: str | None = None) -> None:
    """Append the scores to the file, and show them.

    The text to show is made first: if that fails, nothing is appended.

    Args:
        beside: `--beside`, the published systems to show them among.
    """
    if not scored.scores:  # a judge's package is missing, which a note says
        for line in scored.notes:
            click.echo(printable(line, lines=True))
        click.echo(f"nothing was scored; {out} is as it was")
        return
    screen = console()
    with screen.capture() as captured:
        screen.print(_table(scored.scores))
    published = text_beside(out, beside, scored.scores)
    append_scores(out, scored.scores)
    click.echo(captured.get(), nl=False)
    for line in [*_basis(scored), *scored.notes]:
        click.echo(printable(line, lines=True))
    click.echo(f"appended to {out}")
    click.echo(published, nl=False)


def _basis(scored: Scored) -> list[str]:
    """Meanings that names don't tell, too little data, and intervals that are missing or narrow."""
    command = click.get_current_context().command
    options = command.options if isinstance(command, Command) else {}
    lines = meanings(scored.scores)
    lines += [as_options(text, options) for text in scored.shortfalls]
    for score in scored.scores:
        if shortfall(score):
            continue
        if over := interval_of(score):
            lines.append(
                f"{score.metric}: the interval is {over}, too few to say how others would differ"
            )
        elif why := no_interval(score):
            lines.append(f"{score.metric}: no interval: {why}")
    return lines


def _table(scores: list[Score]) -> Table:
    protocols = "; ".join(dict.fromkeys(one.protocol for one in scores))
    table = Table(title=printable(f"{scores[0].system} ({protocols})"), title_justify="left")
    with_chance = any("chance" in one.options for one in scores)
    system = scores[0].system
    for column in ("metric", "value", "95 % interval", "n", *["chance"] * with_chance):
        table.add_column(column, no_wrap=column != "n")  # the column that is narrowed first
    for one in scores:
        if one.system != system:  # the recordings' own scores, beside those of the WAVS
            system = one.system
            table.add_section()
            table.add_row(f"of {printable(system)}:", "", "", "", *[""] * with_chance)
        enough = not shortfall(one)
        interval = _interval(*one.interval) if one.interval is not None and enough else ""
        count = f"{one.n:,} {one.options['n_of']}"
        value = f"{one.value:.{_decimals(one.value)}f}" if enough else "too little data"
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


F = TypeVar("F", bound=Callable[..., Any])
PUBLISHED = {"published": "english", "published-surprise": "surprise"}


def beside_option(function: F) -> F:
    """`--beside`: compare with published systems."""
    return click.option(
        "--beside",
        type=click.Choice(list(PUBLISHED)),
        help="Also show the system among those of ZeroSpeech 2019 and 2020, on English or on the "
        "surprise language; needs both ABX and bit rate in the scores.jsonl.",
    )(function)


def text_beside(out: Path, beside: str | None, scores: Sequence[Score]) -> str:
    """A system's place among the published ones, if `beside` asks for it.

    Args:
        out: the scores.jsonl, which may have other scores of the system and may not exist yet.
        scores: of the system, to be appended to it.

    Raises:
        InputError: `out` or the published results can't be read.
    """
    if beside is None:
        return ""
    system = scores[0].system
    there = read_scores(out) if out.exists() else []
    mine = [score for score in there if score.system == system]
    both = [*mine, *scores]
    found = places(both, PUBLISHED[beside])
    if not found:
        short = _refused(both)
        why = f"{short[0]}\n" if short else f"{out} lacks either ABX or bit rate of {system!r}\n"
        return f"--beside: {why}"
    return _text(found, PUBLISHED[beside])


@click.command(cls=Command, example="zerochain score beside scores.jsonl --system 'kmeans K=256'")
@click.argument("scores", type=FILE)
@click.option("--system", help="Only this system.  [default: all]")
@click.option(
    "--among",
    type=click.Choice(list(PUBLISHED)),
    default="published",
    show_default=True,
    help="Results on English, or on the surprise language.",
)
def beside(scores: Path, system: str | None, among: str) -> None:
    """Show the systems of a SCORES.jsonl among those of ZeroSpeech 2019 and 2020.

    By another ABX protocol than theirs (zs2019) there is no rank, and none for what rests on too
    little data.
    """
    rows = [score for score in read_scores(scores) if system in {None, score.system}]
    found = places(rows, PUBLISHED[among])
    refused = _refused(rows)
    if not found and refused:
        raise InputError(
            "; ".join(refused),
            path=scores,
            cause=f"a rank takes a score, and {ENOUGH}",
            remedy="score more speech, or single phones ('zerochain score abx --protocol phone')",
        )
    if not found:
        raise InputError(
            "no system has both an ABX error across speakers and a bit rate; there are "
            + (", ".join(sorted({f"{row.metric} of {row.system}" for row in rows})) or "no scores"),
            path=scores,
            cause="one was not scored yet, or with another --split, --corpus or --system",
            remedy="run 'zerochain score abx' and 'zerochain score bitrate' with the same --system",
        )
    click.echo(_text(found, PUBLISHED[among]), nl=False)
    for line in refused:
        click.echo(f"no rank: {line}")


def _refused(scores: Sequence[Score]) -> list[str]:
    """The ABX errors and bit rates that rest on too little data, in words."""
    return [
        f"{one.metric} of {one.system} rests on too little data: {short}"
        for one in scores
        if one.metric in {ABX_ACROSS.key, BITRATE.key} and (short := shortfall(one))
    ]


def _text(found: Sequence[Place], language: str) -> str:
    """Each ranked system in a table of its own, those without a rank below one table."""
    ranked = [[place] for place in found if place.is_challenge]
    unranked = [place for place in found if not place.is_challenge]
    return "".join(_table_beside(group, language) for group in [*ranked, unranked] if group)


def _table_beside(group: Sequence[Place], language: str) -> str:
    """The published systems, and one of ours at its rank or several of ours that have none."""
    title = group[0].ours.name if group[0].is_challenge else "systems without a rank"
    table = Table(title=f"{title} among ZeroSpeech 2019/2020, {language}")
    for column in ("rank", "system", "year", "ABX %", "bit/s", "distance"):
        is_number = column in {"rank", "ABX %", "bit/s"}
        # Long names are wrapped, so that numbers are never cut off.
        table.add_column(
            column, justify="right" if is_number else "left", no_wrap=column != "system"
        )
    rows = [(s.abx, s.bitrate, s.name, str(s.year), s.distance, False) for s in group[0].systems]
    ours = [
        (one.abx.value, one.bitrate.value, one.name, "", f"{one.abx.options.get('distance', '')}")
        for one in (place.ours for place in group)
    ]
    if group[0].is_challenge:
        rows = sorted([*rows, (*ours[0], True)], key=lambda row: row[:2])
    for abx, bits, name, year, how, is_ours in rows:
        rank = str(1 + sum(row[0] < abx for row in rows))
        _add_row(table, rank, abx, bits, name, year, how, is_ours=is_ours)
    if not group[0].is_challenge:
        table.add_section()
        for row in ours:
            _add_row(table, "–", *row, is_ours=True)
    console = Console(highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    lines = dict.fromkeys(line for place in group for line in summary(place))
    return captured.get() + "".join(f"{line}\n" for line in lines)


def _add_row(
    table: Table,
    rank: str,
    abx: float,
    bits: float,
    name: str,
    year: str,
    distance: str,
    *,
    is_ours: bool,
) -> None:
    cells = [rank, f"▶ {name}" if is_ours else name, year, f"{abx:.2f}", f"{bits:.2f}", distance]
    table.add_row(*cells, style="bold reverse" if is_ours else None)


def summary(place: Place) -> list[str]:
    """A system's place in words."""
    ours, n = place.ours, len(place.systems)
    names = list(dict.fromkeys(f"{s.name} {s.year}" for s in place.better))
    better = f"{len(place.better)} of {n} ({listed(names)})"
    if place.is_challenge:
        lines = [
            f"rank by ABX: {place.rank} of {n + 1}; among those with at most {SIMILAR_BITRATE:g} "
            f"times the bit rate: {place.rank_as_cheap} of {len(place.as_cheap) + 1}",
            f"better in both: {better if names else 'none, so it is on the Pareto front'}; worse "
            f"in both: {len(place.worse)} of {n}",
        ]
    else:
        lines = [
            f"no rank: the ABX error of {ours.name} is by protocol {ours.abx.protocol}, published "
            f"ones are by {PROTOCOL}. Fix: score it by 'zerochain score abx --protocol {PROTOCOL}'"
        ]
    if ours.timed is not None and ours.timed.value > ours.bitrate.value:
        lines.append(
            f"with durations: {ours.timed.value:.0f} bit/s; if its units are segments, this is the "
            "rate to compare"
        )
    lines.append(
        f"protocol {ours.abx.protocol} on {ours.abx.options.get('n_items', '?')} items of another "
        "corpus than that of the published systems: only trends compare, unless recordings and "
        "protocol (zs2019) are the same"
    )
    return lines
