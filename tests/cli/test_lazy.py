"""The table of commands: what is imported for it, and that it agrees with the commands."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from commands import every_command, run
from zerochain.cli import main
from zerochain.cli.common import Command
from zerochain.cli.lazy import LazyGroup, one_line

SLOW = {"torch", "numpy", "scipy", "pydantic", "yaml", "rich", "numba", "pyarrow", "sklearn"}


def groups(group: LazyGroup, *names: str) -> Iterator[tuple[tuple[str, ...], LazyGroup]]:
    """A group and all groups in it, with their names."""
    yield names, group
    for name, command in group.commands.items():
        if isinstance(command, LazyGroup):
            yield from groups(command, *names, name)


GROUPS = dict(groups(main))  # type: ignore[arg-type]
ENTRIES = [(names, name) for names, group in GROUPS.items() for name in group.commands]


def loaded_by(code: str) -> set[str]:
    """The modules that a process has imported after some Python."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(("group", "name"), ENTRIES, ids=str)
def test_the_table_agrees_with_the_command(group: tuple[str, ...], name: str) -> None:
    command = GROUPS[group].commands[name]
    assert command.name == name
    assert GROUPS[group].lazy.line(name) == one_line(command)
    assert isinstance(command, Command | LazyGroup)


def test_help_of_groups_imports_no_command() -> None:
    """Nor anything that takes long, as numpy does; nor does completion by Tab."""
    code = f"""
from click.testing import CliRunner
from zerochain.cli import main
for names in {list(GROUPS)!r}:
    result = CliRunner().invoke(main, [*names, "--help"])
    assert result.exit_code == 0 and "Commands:" in result.output, result.output
    assert CliRunner().invoke(main, [*names, "nosuchcommand"]).exit_code == 2
context = main.make_context("zerochain", [], resilient_parsing=True)
assert [one.value for one in main.shell_complete(context, "dis")] == ["discover"]
group = main.get_command(context, "discover")
inner = group.make_context("discover", [], parent=context, resilient_parsing=True)
offered = group.shell_complete(inner, "d")
assert [(one.value, one.help) for one in offered] == [("dpgmm", group.lazy.line("dpgmm"))]
"""
    loaded = loaded_by(code)
    assert not {name.partition(".")[0] for name in loaded} & SLOW
    ours = {name for name in loaded if name.startswith("zerochain.cli.")}
    assert ours == {"zerochain.cli.common", "zerochain.cli.ending", "zerochain.cli.lazy"}


NO_NETWORK = ("score abx", "score bitrate", "score quality", "score compare", "score beside")
NO_NETWORK += ("import folder", "show", "report", "export textgrid", "run")


def test_commands_that_run_no_network_do_not_load_torch() -> None:
    loaded = loaded_by(f"""
from click.testing import CliRunner
from zerochain.cli import main
for line in {NO_NETWORK}:
    result = CliRunner().invoke(main, [*line.split(), "--help"])
    assert result.exit_code == 0 and "Example" in result.output, result.output
""")
    assert "zerochain.scoring.abx" in loaded
    assert "torch" not in loaded


def test_help_lists_commands_in_the_order_of_the_work() -> None:
    lines = run("discover", "--help").output.partition("Commands:\n")[2].splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert listed == ["kmeans", "gmm", "dpgmm", "vqvae", "vqcpc", "selftrain", "topline"]


def test_help_cuts_no_line_short() -> None:
    for names, group in GROUPS.items():
        output = " ".join(run(*names, "--help").output.split())
        for name in group.commands:
            assert f" {name} {group.lazy.line(name)}" in output


def test_a_mistyped_command_is_corrected() -> None:
    error = run("discover", "vqva", code=2).stderr
    assert "No such command 'vqva'" in error
    assert "Did you mean 'vqvae'?" in error


def test_a_command_can_be_added_and_taken_out() -> None:
    group = LazyGroup("group", commands={"gone": ("nowhere:gone", "Never imported.")})

    @group.command()
    def added() -> None:
        """Say hello. And more."""
        click.echo("hello")

    assert group.lazy.line("added") == "Say hello."
    assert CliRunner().invoke(group, ["added"]).output == "hello\n"
    assert len(group.commands) == 2
    del group.commands["gone"]
    assert list(group.commands) == ["added"]


MODULE = """
import click, gc
COLLECTS = gc.isenabled()
@click.command()
def shown(): click.echo(f"{COLLECTS} {gc.isenabled()}")
"""


def test_garbage_is_collected_again_after_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "that_imports.py").write_text(MODULE)
    (tmp_path / "that_fails.py").write_text("raise ImportError('nothing there')")
    monkeypatch.syspath_prepend(tmp_path)
    lines = {"shown": ("that_imports:shown", "Show."), "fails": ("that_fails:none", "Fail.")}
    group = LazyGroup("group", commands=lines)
    frozen = gc.get_freeze_count()
    assert CliRunner().invoke(group, ["shown"]).output == "False True\n"
    assert gc.get_freeze_count() > frozen  # not looked through again, not even at the end
    with pytest.raises(ImportError, match="nothing there"):
        group.commands["fails"]
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("names", "command"), [pytest.param(*found, id=" ".join(found[0])) for found in every_command()]
)
def test_every_option_says_what_it_is(names: tuple[str, ...], command: Command) -> None:
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, (names, option.opts)
