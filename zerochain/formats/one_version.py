"""Folders are replaced in one step, but read file by file: whoever reads gets one version."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from zerochain.errors import InputError

T = TypeVar("T")
_ATTEMPTS = 3


def one_version(folder: Path, read: Callable[[], T]) -> T:
    """What `read` makes of the files of a folder, all of which are of one version of it.

    Where another process put another folder in its place meanwhile, all is read again.

    Raises:
        InputError: as `read`, or the folder was replaced again and again.
    """
    for _ in range(_ATTEMPTS):
        with _held(folder) as is_the_same:
            try:
                result = read()
            except (InputError, FileNotFoundError):
                if is_the_same():
                    raise
                continue
            if is_the_same():
                return result
    raise InputError(
        "was replaced again and again while it was read",
        path=folder,
        cause="another process writes it all the time",
        remedy="wait until that process has ended",
    )


@contextmanager
def _held(folder: Path) -> Iterator[Callable[[], bool]]:
    """Whether the folder is still the one that it was at the beginning.

    It is held open, so that the system gives its number to no other folder.
    """
    try:
        # O_DIRECTORY, since to open a pipe waits until somebody writes to it.
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # there is none, or the system opens no folders
        handle = None
    try:
        before = identity(folder)
        yield lambda: identity(folder) == before
    finally:
        if handle is not None:
            os.close(handle)


def identity(folder: Path) -> tuple[int, int] | None:
    """The number that a file system gives to a folder; None where there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
