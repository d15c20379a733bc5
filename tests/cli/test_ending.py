"""How commands end at SIGTERM: with their workers, and without half-written files."""

import os
import signal
import time
from pathlib import Path

import click
import joblib

from children import start
from zerochain.cli.common import Command
from zerochain.cli.lazy import Program
from zerochain.formats.atomic import atomic_file


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_command_at_sigterm_ends_its_workers_and_removes_what_it_began(tmp_path: Path) -> None:
    working = tmp_path / "workers"
    working.mkdir()
    out = tmp_path / "made" / "out.txt"
    out.parent.mkdir()

    def work(folder: Path) -> None:
        (folder / str(os.getpid())).touch()
        time.sleep(600)

    @click.command("work", cls=Command)
    def command() -> None:
        """Work."""
        with atomic_file(out) as temporary:
            temporary.write_text("half")
            calls = (joblib.delayed(work)(working) for _ in range(2))
            list(joblib.Parallel(n_jobs=2, return_as="generator")(calls))

    def program() -> None:
        group = Program("zerochain")
        group.add_command(command)
        group.main(["work"], prog_name="zerochain")

    process = start(program)
    while len(pids := [int(path.name) for path in working.iterdir()]) < 2:
        assert process.is_alive()
        time.sleep(0.05)
    process.terminate()
    process.join()
    assert process.exitcode == 128 + signal.SIGTERM
    while any(lives(pid) for pid in pids):  # whoever takes them over may be late to notice
        time.sleep(0.05)
    assert list(out.parent.iterdir()) == []
