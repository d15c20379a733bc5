"""Every `zerochain …` of the site and the README is a command line that zerochain takes."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from pages import DOCS, PAGES, ROOT, command_lines
from zerochain.cli import main


def commands(
    group: click.Group, context: click.Context, before: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, context, (*before, name))
        else:
            yield (*before, name)


DISCOVERY = ROOT / "evaluation" / "discovery" / "README.md"
ALL = list(commands(main, click.Context(main, info_name="zerochain", **main.context_settings)))


@pytest.fixture
def any_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths need not exist."""

    def convert(self: click.Path, value: Any, param: Any, ctx: Any) -> Any:
        return Path(value)

    for kind in (click.Path, *click.Path.__subclasses__()):
        monkeypatch.setattr(kind, "convert", convert)
    monkeypatch.setattr(Path, "exists", lambda self, **options: True)


def parse(words: list[str]) -> None:
    """Let click take the words of a command line, without running anything."""
    command: click.Command = main
    context = click.Context(main, info_name="zerochain", **main.context_settings)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        assert name is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    if words and words != ["…"]:  # else the command is only named
        with suppress(click.exceptions.Exit):  # of --help
            command.make_context(context.info_name, words, parent=context.parent)


@pytest.mark.usefixtures("any_path")
@pytest.mark.parametrize("page", [*PAGES, DISCOVERY], ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_are_taken(page: Path) -> None:
    for where, words in command_lines(page):
        try:
            parse(words)
        except click.ClickException as error:
            pytest.fail(f"{where}: zerochain {' '.join(words)}\n{error.format_message()}")


@pytest.mark.usefixtures("any_path")
@pytest.mark.parametrize(
    "line",
    ["discover kmean corpus --out m", "discover kmeans c --out m --unit-count 3", "encode m"],
)
def test_wrong_ones_are_not(line: str) -> None:
    with pytest.raises(click.ClickException):
        parse(line.split())


def test_every_command_stands_in_the_table_of_commands() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    given = {tuple(line.split()) for line in re.findall(r"`zerochain ([^`]+)`", text)}
    missing = [c for c in ALL if not any(line[: len(c)] == c for line in given)]
    assert missing == []
