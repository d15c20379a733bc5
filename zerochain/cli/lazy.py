"""Groups whose commands are imported only when they are used.

A group knows each command's module and its line of help, so that `zerochain --help` and
`zerochain discover --help` import no command. A command's file may therefore import everything that
it needs at the top, torch included.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from zerochain.cli.common import Command
from zerochain.cli.ending import ending_at_sigterm, interrupted
from zerochain.machine import safe_path

Entry = tuple[str, str] | click.Group
"""A command's definition, "package.module:function", and its line of help; or a group."""
_WHOLE = 10_000  # characters: a line of help is not cut


@contextmanager
def importing() -> Iterator[None]:
    """What is imported meanwhile stays until the process ends; the garbage collector skips it.

    Classes and functions by the ten thousand make the garbage collector look through all of them
    again and again while they are created, and once more when the process ends, and none of them
    is garbage: that is a quarter of the time that imports take.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def one_line(command: click.Command) -> str:
    """The first sentence of a command's help."""
    return command.get_short_help_str(_WHOLE)


class LazyCommands(MutableMapping[str, click.Command]):
    """Name → command, imported when it is looked up; listing names imports nothing."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries: dict[str, Entry | click.Command] = dict(entries)
        self._lines = {
            name: entry[1] if isinstance(entry, tuple) else one_line(entry)
            for name, entry in entries.items()
        }

    def line(self, name: str) -> str:
        """A command's line of help."""
        return self._lines[name]

    def __getitem__(self, name: str) -> click.Command:
        entry = self._entries[name]
        if isinstance(entry, tuple):
            module, _, attribute = entry[0].partition(":")
            with importing():
                entry = self._entries[name] = getattr(import_module(module), attribute)
        return entry

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._entries[name], self._lines[name] = command, one_line(command)

    def __delitem__(self, name: str) -> None:
        del self._entries[name], self._lines[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class LazyGroup(click.Group):
    """A group that imports a command when it is run or its own help is shown."""

    command_class = Command

    def __init__(
        self, *args: Any, commands: Mapping[str, Entry] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = LazyCommands(commands or {})
        self.commands = self.lazy

    def list_commands(self, _: click.Context) -> list[str]:
        """In the order of the table, which is that of the workflow, not alphabetical."""
        return list(self.lazy)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands that `--help` ends with."""
        if self.lazy:
            with formatter.section("Commands"):
                formatter.write_dl([(name, self.lazy.line(name)) for name in self.lazy])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completions: commands that begin with `incomplete`, then the group's own options."""
        commands = [
            CompletionItem(name, help=self.lazy.line(name))
            for name in self.lazy
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


class Program(LazyGroup):
    """The whole command line: prints on any terminal, never imports from the current folder."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; characters that a terminal's encoding lacks are printed as escapes."""
        for stream in (sys.stdout, sys.stderr):
            # LC_ALL=C sets "surrogateescape", which also fails at such characters.
            if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
                stream.reconfigure(errors="backslashreplace")
        with safe_path():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Import a command and run it; Ctrl-C and SIGTERM end it, and what it started.

        Both are raised where the command is, so that temporary files are removed.
        """
        try:
            with ending_at_sigterm():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            interrupted()
