"""Files and folders that appear whole or not at all, whatever happens to the process."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zerochain.errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sync(path: Path) -> None:
    """Flush a file's or a folder's content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into an error that says the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL or "No space left" in str(error):
            raise InputError(
                "could not be written: the disk (or the quota) is full",
                path=path,
                remedy="free some space or choose another --out; nothing was left half-written",
            ) from error
        if isinstance(
            error, (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
        ):
            name = error.filename2 or error.filename  # a rename has two: what is in the way counts
            where = f" ({name})" if name else ""
            raise InputError(
                f"could not be written: {error.strerror}{where}",
                path=path,
                remedy="choose another --out, or mend the folder's permissions",
            ) from error
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` once written and synced.

    Raises:
        InputError: the disk is full or the folder can't be written.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, marker: str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` once written and synced.

    A folder already at `path` is replaced only if it holds `marker`, the JSON file that every
    folder of this kind has, so that a mistyped --out never deletes somebody's own files.

    Raises:
        InputError: `path` is something else, the disk is full or the folder can't be written.
    """
    path = path.resolve()
    with explained(path):
        check_replaceable(path, marker)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
        try:
            yield temporary
            for file in sorted(temporary.rglob("*")):
                sync(file)
            temporary.chmod(0o777 & ~_umask())
            _swap_in(temporary, path)
        except InputError as error:
            if error.path is not None and temporary in (inner := Path(error.path)).parents:
                error.path = path / inner.relative_to(temporary)  # the name that people know
            elif error.path == temporary:
                error.path = path
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: Path, marker: str) -> None:
    """Refuse to replace anything but a folder without files or with zerochain's `marker`."""
    if path.is_dir() and (_is_ours(path / marker) or all(p.is_dir() for p in path.rglob("*"))):
        return
    if path.exists():
        raise InputError(
            f"exists and is not a folder that zerochain made (it has no {marker})",
            path=path,
            remedy="choose another --out, or move it away first",
        )


def _is_ours(marker: Path) -> bool:
    """Other programs write a config.json too; only zerochain's says its kind and version."""
    try:
        value = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and {"kind", "version"} <= value.keys()


def _swap_in(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.rename(path)
    elif not _exchange(temporary, path):
        retired = Path(tempfile.mkdtemp(prefix=".replaced-", dir=path.parent))
        path.rename(retired / "old")
        temporary.rename(path)
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
