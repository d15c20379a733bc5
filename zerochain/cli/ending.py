"""What becomes of other programs when a command that waits for them is told to end."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def ending_together(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Within, a request to end (SIGTERM) ends Snakemake and its steps too.

    Ctrl-C reaches them all; `kill` reaches this process alone, and they would work on for hours.
    Snakemake is interrupted, since at a SIGTERM it waits for its steps.

    Args:
        process: Snakemake.

    Raises:
        SystemExit: with 128 + the number of the signal, as a shell has it.
    """
    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        import psutil  # comes with Snakemake

        asked.append(number)
        with suppress(psutil.NoSuchProcess):  # it ends just now
            steps = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            for step in steps:
                with suppress(psutil.NoSuchProcess):
                    step.terminate()
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if asked:  # again: Python drops what is raised within a destructor, or an import's callback
            raise SystemExit(128 + asked[0])
