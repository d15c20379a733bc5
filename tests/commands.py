"""zerochain's command line, run in this process or in one of its own."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner, Result

from zerochain.cli import main
from zerochain.cli.common import Command
from zerochain.formats.bundle import read_fit

_PYTHON = sys.executable  # not a stand-in that a fixture puts in its place


def every_command(
    group: click.Group = main, *names: str
) -> Iterator[tuple[tuple[str, ...], Command]]:
    """All commands of a group and of the groups in it, with their names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, *names, name)
        else:
            assert isinstance(command, Command)
            yield (*names, name), command


def run(*arguments: object, code: int = 0) -> Result:
    """Run a command and check its exit code; bad input ends in a message, never a traceback."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    if code:
        assert isinstance(result.exception, SystemExit), repr(result.exception)
        assert "Error: " in result.stderr
    return result


def run_apart(preparation: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, after some lines of Python.

    With the fixture `warm` it is a fork, except where it limits the size of files while coverage is
    measured.
    """
    script = textwrap.dedent(preparation) + "\nfrom zerochain.cli import main\nmain()\n"
    environment, python = {**os.environ, "PYTHONUTF8": "1"}, sys.executable
    is_measured = environment.get("COVERAGE_PROCESS_CONFIG")
    if "RLIMIT_FSIZE" in preparation and is_measured:  # its coverage could not be written
        del environment["COVERAGE_PROCESS_CONFIG"]
        python = _PYTHON
    return subprocess.run(
        [python, "-c", script, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
    )


def leftovers(folder: Path) -> list[Path]:
    """Temporary files and folders that somebody forgot."""
    return sorted([*folder.rglob(".writing-*"), *folder.rglob(".replaced-*")])


def contents(folder: Path) -> dict[str, object]:
    """What a folder's files hold, by name; of a fit, all but how long it took."""
    files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    held: dict[str, object] = {name: path.read_bytes() for name, path in files.items()}
    for name, path in files.items():
        if path.name == "fit.json":
            fit = read_fit(path.parent)
            held[name] = fit and fit.device
    return held


def settings(values: dict[str, object]) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def jobs(plan: str) -> dict[str, int]:
    """Rule → number of jobs, of Snakemake's table of a dry run."""
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", plan, re.MULTILINE)}
