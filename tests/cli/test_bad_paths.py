"""Every command, given a path that can't be what it should: a message, and never a traceback."""

import os
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from commands import every_command
from zerochain.cli import main
from zerochain.formats.corpus import Corpus

COMMANDS = dict(every_command())


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | str]:
    root = tmp_path_factory.mktemp("bad")
    (root / "folder").mkdir()
    (root / "file").write_text("hello\n")
    (root / "loop").symlink_to("loop2")
    (root / "loop2").symlink_to("loop")
    return {
        "folder": root / "folder",
        "file": root / "file",
        "below a file": root / "file" / "x",
        "long": root / ("x" * 300),
        "long inside": root / ("x" * 300) / "x.parquet",
        "loop": root / "loop",
        "loop inside": root / "loop" / "x.parquet",
        "no path": "",
    }


def filled(command: click.Command, path: Path | str, out: Path | str) -> list[str]:
    """Arguments for all that the command needs: paths are `path`, what is written is `out`."""
    options, arguments = [], []
    for parameter in command.params:
        kind = parameter.type
        if parameter.name == "out":
            text = str(out)
        elif isinstance(kind, click.Path) and parameter.name != "config":
            text = str(path)
        elif not parameter.required:
            continue
        elif isinstance(kind, click.Choice):
            text = kind.choices[0]
        else:
            text = "10" if isinstance(kind, click.FloatRange) else "chain"
        if isinstance(parameter, click.Argument):
            arguments.append(text)
        else:
            options += [parameter.opts[0], text]
    return [*options, "--", *arguments] if arguments != ["chain"] else [*arguments, *options]


def refused(arguments: list[str]) -> str:
    result = CliRunner().invoke(main, arguments)
    assert isinstance(result.exception, SystemExit), (arguments, result.exception)
    assert result.exit_code in (1, 2), (arguments, result.output)
    assert "Error: " in result.stderr
    return result.stderr


ONLY_OUT = {("corpus", "demo"), ("corpus", "switching"), ("run",)}  # take no other path


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_no_path_ends_in_a_traceback(
    names: tuple[str, ...], bad: dict[str, Path | str], tmp_path: Path
) -> None:
    for path in bad.values():
        if names not in ONLY_OUT:
            refused([*names, *filled(COMMANDS[names], path, tmp_path / "out")])
    for kind in ("below a file", "long", "long inside", "loop inside", "no path"):
        refused([*names, *filled(COMMANDS[names], tmp_path / "none", bad[kind])])
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_no_circle_of_links(
    bad: dict[str, Path | str], make_corpus: Callable[..., Corpus]
) -> None:
    corpus = make_corpus(n_utterances=2, seconds=0.3)
    for command in ("import folder", "extract", "corpus change --by noise", "discover kmeans"):
        source = corpus.home / corpus.audio_root if command == "import folder" else corpus.home
        said = refused([*command.split(), str(source), "--out", str(bad["loop"])])
        assert "link" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_locked(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / "x").touch()
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0)
    locked.chmod(0)
    try:
        for names, command in COMMANDS.items():
            for path in (locked, locked / "x", tmp_path / "file"):
                refused([*names, *filled(command, path, locked / "out")])
    finally:
        locked.chmod(0o700)


def test_config_files_hold_texts_that_paths_can_hold(tmp_path: Path) -> None:
    for text in (r'"a\0b"', r'"\ud83d"'):
        (tmp_path / "c.yaml").write_text(f"corpus: {text}\n")
        arguments = ["score", "bitrate", "u", "--config", str(tmp_path / "c.yaml")]
        assert "--corpus can't be" in refused(arguments)
