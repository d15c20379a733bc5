"""A system among the published ones, on the command line: `score beside`, `score … --beside`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zerochain.cli.common import FILE, Command

if TYPE_CHECKING:
    from zerochain.formats.scores import Score
    from zerochain.report.published import Place

F = TypeVar("F", bound=Callable[..., Any])
PUBLISHED = {"published": "english", "published-surprise": "surprise"}


def beside_option(function: F) -> F:
    """`--beside published`."""
    return click.option(
        "--beside",
        type=click.Choice(list(PUBLISHED)),
        help="Then show the system among those of ZeroSpeech 2019 and 2020, on English or on the "
        "surprise language; it needs ABX and bit rate in the scores.jsonl.",
    )(function)


def text_beside(out: Path, beside: str | None, scores: Sequence[Score]) -> str:
    """A system's place among the published ones, if that is asked for.

    Args:
        out: the scores.jsonl, which may hold other scores of the system and may not exist yet.
        scores: of the system, to be appended to it.

    Raises:
        InputError: `out` or the published results can't be read.
    """
    from zerochain.formats.scores import read_scores
    from zerochain.report.published import places

    if beside is None:
        return ""
    system = scores[0].system
    there = read_scores(out) if out.exists() else []
    mine = [score for score in there if score.system == system]
    found = places([*mine, *scores], PUBLISHED[beside])
    if not found:
        return f"--beside: {out} has not yet both ABX and bit rate of {system!r}\n"
    return "".join(_text(place, PUBLISHED[beside]) for place in found)


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
    """Show the systems of a SCORES.jsonl among those of ZeroSpeech 2019 and 2020."""
    from zerochain.errors import InputError
    from zerochain.formats.scores import read_scores
    from zerochain.report.published import places

    rows = [score for score in read_scores(scores) if system in {None, score.system}]
    found = places(rows, PUBLISHED[among])
    if not found:
        raise InputError(
            "no system has both an ABX error across speakers and a bit rate; there are "
            + (", ".join(sorted({f"{row.metric} of {row.system}" for row in rows})) or "no scores"),
            path=scores,
            cause="one was not scored yet, or for another --split, --corpus or --system",
            remedy="run 'zerochain score abx' and 'zerochain score bitrate' with the same --system",
        )
    for place in found:
        click.echo(_text(place, PUBLISHED[among]), nl=False)


def _text(place: Place, language: str) -> str:
    from rich.console import Console
    from rich.table import Table

    ours = place.ours
    table = Table(title=f"{ours.name} beside ZeroSpeech 2019/2020, {language}")
    for column in ("rank", "system", "year", "ABX %", "bit/s", "distance"):
        is_number = column in {"rank", "ABX %", "bit/s"}
        # A long name goes on in the next line, rather than that numbers are cut off.
        table.add_column(
            column, justify="right" if is_number else "left", no_wrap=column != "system"
        )
    rows = [(s.abx, s.bitrate, s.name, str(s.year), s.distance, False) for s in place.systems]
    distance = str(ours.abx.options.get("distance", ""))
    rows.append((ours.abx.value, ours.bitrate.value, ours.name, "", distance, True))
    for abx, bits, name, year, how, is_ours in sorted(rows, key=lambda row: row[:2]):
        rank = 1 + sum(row[0] < abx for row in rows)
        style = "bold reverse" if is_ours else None
        cells = [str(rank), f"▶ {name}" if is_ours else name, year, f"{abx:.2f}", f"{bits:.2f}"]
        table.add_row(*cells, how, style=style)
    console = Console(highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get() + "".join(f"{line}\n" for line in summary(place))


def summary(place: Place) -> list[str]:
    """A system's place in words."""
    ours, n = place.ours, len(place.systems)
    better = ", ".join(f"{s.name} {s.year}" for s in place.better)
    lines = [
        f"by ABX: {place.rank} of {n + 1}; among those of at most 1.1 times as many bit/s: "
        f"{place.rank_as_cheap} of {len(place.as_cheap) + 1}",
        f"better in both: {better or 'nobody, so it is on the front'}; worse in both: "
        f"{len(place.worse)} of {n}",
    ]
    if ours.timed is not None and ours.timed.value > ours.bitrate.value:
        lines.append(
            f"with durations it takes {ours.timed.value:.0f} bit/s: where its units are segments, "
            "that is the number to compare"
        )
    lines.append(
        f"scored by the protocol {ours.abx.protocol} on {ours.abx.options.get('n_items', '?')} "
        "items of its own corpus; the published ones by the challenge on its recordings: compare "
        "in trend, unless the recordings and the protocol (zs2019) are the same"
    )
    return lines
