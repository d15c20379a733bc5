"""Files and folders that appear whole or not at all, whatever happens to the process.

A file is written under a temporary name in the same folder, synced and renamed; a folder likewise,
and an old one in its place is exchanged in one step. Whoever reads several files of a folder does
so through `one_version`, which reads again if the folder was replaced meanwhile. Refusals of the
operating system become errors that give the cause and the fix.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from zerochain.errors import FULL, InputError, refusal
from zerochain.formats.inside import resolved
from zerochain.leftovers import REPLACED, SCRATCH, WRITING, clear_abandoned, hold, owned


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_parents(path: Path) -> None:
    """Make the folders above a path that don't exist, each synced into its own parent."""
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into an error that gives the fix."""
    try:
        yield
    except FileNotFoundError:  # of something that was being read meanwhile
        raise
    except OSError as error:
        raise refusal(error, path, writing=True) from error
    except Exception as error:  # safetensors has an error of its own for what the disk refuses
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None or isinstance(error, InputError):
            raise
        refused = OSError(int(number[1]), os.strerror(int(number[1])))
        raise refusal(refused, path, writing=True) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` once written and synced.

    Raises:
        InputError: the disk is full or the folder can't be written.
    """
    with explained(path):
        make_parents(path)
        clear_abandoned(path.parent)
        handle, name = tempfile.mkstemp(prefix=owned(WRITING), suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        try:
            hold(handle)
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def atomic_folder(path: Path, marker: str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` once written and synced.

    A folder already at `path` is replaced only if it holds `marker`, the JSON file that every
    folder of this kind has, so that a mistyped path never deletes somebody's own files.

    Raises:
        InputError: `path` is something else, the disk is full or the folder can't be written.
    """
    path = resolved(path)
    with explained(path):
        check_replaceable(path, marker)
        make_parents(path)
        clear_abandoned(path.parent)
        temporary = Path(tempfile.mkdtemp(prefix=owned(WRITING), dir=path.parent))
        handle = os.open(temporary, os.O_RDONLY)
        try:
            hold(handle)
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            for entry in (*sorted(temporary.rglob("*")), temporary):
                sync(entry)
            _swap_in(temporary, path)
        except InputError as error:
            if error.path is not None and temporary in (inner := Path(error.path)).parents:
                error.path = path / inner.relative_to(temporary)  # the name that the user knows
            elif error.path == temporary:
                error.path = path
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            os.close(handle)


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder inside TMPDIR, deleted afterwards.

    Raises:
        InputError: there is no such folder, or it is full.
    """
    remedy = "set TMPDIR to a folder that can be written and has more room"
    try:
        root = Path(tempfile.gettempdir())
        clear_abandoned(root, SCRATCH)
        place = Path(tempfile.mkdtemp(prefix=owned(SCRATCH), dir=root))
    except OSError as error:
        why = error.strerror or error
        raise InputError(
            f"no folder for temporary files: {why}", path=error.filename, remedy=remedy
        ) from error
    handle = os.open(place, os.O_RDONLY)
    try:
        hold(handle)
        yield place
    except OSError as error:
        if error.errno not in FULL:
            raise
        full = refusal(error, place, writing=True)
        raise InputError(full.found, path=root, remedy=remedy) from error
    except InputError as error:
        inside = error.path is not None and place in Path(error.path).parents
        if inside and isinstance(error.__cause__, OSError):
            raise InputError(error.found, path=root, remedy=remedy) from error
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(handle)


def check_replaceable(path: Path, marker: str) -> None:
    """Refuse to replace anything but a folder without files or with zerochain's `marker`."""
    if path.is_dir() and (_is_ours(path / marker) or all(p.is_dir() for p in path.rglob("*"))):
        return
    if resolved(path).is_symlink():
        raise InputError(
            "is a link that leads back to itself", path=path, remedy="remove it, or choose another"
        )
    if path.exists():
        raise InputError(
            f"exists and is not a folder that zerochain made (it has no {marker})",
            path=path,
            remedy="choose another path, or move it away first",
        )


def _is_ours(marker: Path) -> bool:
    """Other programs write a config.json too; only zerochain's names its kind and version."""
    try:
        value = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and {"kind", "version"} <= value.keys()


def _swap_in(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.rename(path)
    elif not _exchange(temporary, path):
        retired = Path(tempfile.mkdtemp(prefix=owned(REPLACED), dir=path.parent))
        path.rename(retired / path.name)
        temporary.rename(path)
        sync(path.parent)  # before the old one is gone
        shutil.rmtree(retired)
    sync(path.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, so that a kill never leaves none; False where Linux can't."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return renameat2 is not None and not renameat2(
        here, os.fsencode(one), here, os.fsencode(other), exchange
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
        cause="another process keeps writing it",
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
