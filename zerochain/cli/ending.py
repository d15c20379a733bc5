"""How commands, and programs that they wait for, end at Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    import subprocess

STEP = "ZEROCHAIN_STEP"
"""The environment variable of the steps of a run: they leave it to the run to say how it ended."""


def interrupted(what_now: str = "") -> NoReturn:
    """End this process as one that Ctrl-C ended, with one line.

    Args:
        what_now: what the user may do.

    Raises:
        SystemExit: with 128 + the number of the signal, as a shell has it.
    """
    if STEP not in os.environ:
        # The terminal shows ^C in the line where the cursor was.
        click.echo(f"\nInterrupted{what_now and ': '}{what_now}", err=True)
    sys.exit(128 + signal.SIGINT)


@contextmanager
def ending_at_sigterm() -> Iterator[None]:
    """Within, SIGTERM ends this process as an exception does: files and workers are cleaned up.

    Left to itself it would end this process alone, and workers would be there for minutes.

    Raises:
        SystemExit: at a SIGTERM, with 128 + the number of the signal, as a shell has it.
    """
    is_main = threading.current_thread() is threading.main_thread()  # no other receives signals
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _end_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_once(number: int, frame: FrameType | None) -> None:
    # Python drops what is raised within a destructor: then a second one ends this process at once.
    signal.signal(number, signal.SIG_DFL)
    _raise(number)


@contextmanager
def ending_together(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Within, a request to end (SIGTERM, or Ctrl-C) ends Snakemake and its steps too.

    Ctrl-C in a terminal reaches them all, and what is left to do is to wait for them; `kill`
    reaches this process alone, and they would work on for hours. Snakemake is interrupted, since at
    a SIGTERM it waits for its steps.

    Args:
        process: Snakemake, as `quiet_snakemake` runs it: it may be interrupted twice.

    Raises:
        KeyboardInterrupt: at Ctrl-C, once Snakemake has ended.
        SystemExit: at a SIGTERM, with 128 + the number of the signal, as a shell has it.
    """
    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if number == signal.SIGTERM or not _reached_all():
            _end(process)
        _raise(number)

    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, end)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        before[signal.SIGINT] = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:  # again: Python drops what is raised within a destructor, or an import's callback
            process.wait()  # Popen itself doesn't wait longer at a KeyboardInterrupt
            _raise(asked[0])


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _reached_all() -> bool:
    """Whether Ctrl-C is of the terminal, which gives it to all processes of a command."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt Snakemake and terminate its steps."""
    import psutil  # comes with Snakemake

    with suppress(psutil.NoSuchProcess):  # it ends just now
        steps = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        for step in steps:
            with suppress(psutil.NoSuchProcess):
                step.terminate()
