"""Tasks in processes of their own that start at once: forks of a server that has no threads.

A fork of the tests' own process would be one of a process with threads (torch's, numba's,
pyarrow's), which may hold locks that nobody lets go of in the child.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import cloudpickle

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["pytest", "zerochain.audio", "zerochain.formats.features", "zerochain.formats.scores"]
)


def start(task: Callable[[], object]) -> BaseProcess:
    """Start a function of no arguments, with what it closes over."""
    process = _CONTEXT.Process(target=_call, args=(cloudpickle.dumps(task),))
    process.start()
    return process


def exit_code(task: Callable[[], object]) -> int:
    """The exit code of a task; negative for the signal that killed it."""
    process = start(task)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _call(task: bytes) -> None:
    cloudpickle.loads(task)()
