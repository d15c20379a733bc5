"""Snakemake without what it prints of an interruption.

At Ctrl-C it prints the whole command of each step that ends, as an error, and so does the Snakemake
of each run within a run; `zerochain run` says the one thing that matters.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
from types import FrameType

_INTERRUPTED = 128 + signal.SIGINT
_OF_CTRL_C = re.compile(
    rf"died with <Signals\.SIGINT|returned non-zero exit status {_INTERRUPTED}\b"
)
"""In the words of subprocess.CalledProcessError."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Stop once: a second request, while steps end, would break off what is cleaned up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()
    raise KeyboardInterrupt


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Whether it isn't the error of a step that Ctrl-C ended, which may come before `_interrupt`:
    that waits for the main thread's turn."""
    return not _OF_CTRL_C.search(record.getMessage())


def main() -> None:
    """Run Snakemake with the arguments of this process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, _interrupt)
    try:
        from snakemake import cli
        from snakemake import logging as messages

        messages.logger.addFilter(_is_of_interest)
        cli.main()
    except KeyboardInterrupt:  # before there are steps
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
