"""Removal of temporary files and folders that killed runs left behind.

A temporary name contains the owner's machine and process, and the owner locks it while it runs. The
next writer in the same folder deletes those without a lock whose process is gone. What another
machine wrote, such as a container, is deleted if it has no lock and has not changed for a day.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock: nothing is locked or cleared there
    fcntl = None  # type: ignore[assignment]

WRITING, REPLACED, SCRATCH = ".writing-", ".replaced-", "zerochain-"
_DAY_S = 86_400


def owned(prefix: str) -> str:
    """The prefix of the names of this process's temporary files."""
    return f"{prefix}{_machine()}-{os.getpid()}-"


def hold(handle: int) -> None:
    """Lock an open file or folder until it is closed or this process ends."""
    if fcntl is not None:
        with suppress(OSError):  # a network share without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, after whoever holds it now."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def clear_abandoned(folder: Path, *prefixes: str) -> None:
    """Delete what killed runs of this user left in a folder, as far as it can be deleted."""
    prefixes = prefixes or (WRITING, REPLACED)
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(prefixes)]
    except OSError:
        return
    for name in names:
        _clear(folder / name, name[len(next(p for p in prefixes if name.startswith(p))) :])


def _clear(path: Path, owner: str) -> None:
    if fcntl is None:
        return
    try:
        machine, pid, _ = owner.split("-", 2)
        here = machine == _machine()
        if here and _lives(int(pid)):
            return
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (ValueError, OSError):  # unknown owner, a link, or gone already
        return
    try:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid():
            return
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not here and time.time() - _changed(path, status) < _DAY_S:
            return
        if stat.S_ISDIR(status.st_mode):
            if path.name.startswith(REPLACED):
                _put_back(path)
            shutil.rmtree(path, ignore_errors=True)
        elif stat.S_ISREG(status.st_mode):
            path.unlink(missing_ok=True)
    except OSError:  # locked, so its owner is running; or the file system has no locks
        return
    finally:
        os.close(handle)


def _put_back(path: Path) -> None:
    """Restore a folder whose writer was killed between moving it away and replacing it."""
    for old in path.iterdir():
        if not os.path.lexists(path.parent / old.name):
            old.rename(path.parent / old.name)


def _changed(path: Path, status: os.stat_result) -> float:
    """When a file, or anything in a folder, was last changed."""
    inside = path.rglob("*") if stat.S_ISDIR(status.st_mode) else ()
    return max([status.st_mtime, *(one.lstat().st_mtime for one in inside)])


def _lives(pid: int) -> bool:
    """Whether a process of this machine is running, and not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in {b"Z", b"X"}


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode("utf-8", "replace")).hexdigest()[:8]
