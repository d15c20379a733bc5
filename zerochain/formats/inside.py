"""Files in folders that somebody else made: no link in one may lead out of it.

Whoever hands in a folder chooses what its links point to, and whoever reads it may have access to
more of the disk than they do. Only regular files count: reading a pipe would wait for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from zerochain.errors import InputError


def resolved(path: Path) -> Path:
    """The absolute path with its links followed, as far as they can be.

    Path.resolve raises a RuntimeError at links in a circle before Python 3.13.
    """
    return Path(os.path.realpath(path))


def file_content(path: Path) -> bytes:
    """What a file holds.

    Raises:
        OSError: it can't be read; FileNotFoundError too where it is a pipe or a device, which may
            have no end.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FileNotFoundError(errno.ENOENT, "is neither a file nor a folder", str(path))
    return path.read_bytes()


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, its links followed, lies in the folder `root`."""
    return resolved(path).is_relative_to(resolved(root))


def check_inside(path: Path, root: Path, what: str = "folder") -> None:
    """Raise InputError if a path leads out of `root` by a link, or isn't a file or folder."""
    if not is_inside(path, root):
        raise InputError(
            f"is a link out of the {what}",
            path=path,
            cause="whoever made the folder linked to a file of their own, or to one of yours",
            remedy=f"copy what is meant into the {what}",
        )
    if not path.is_file() and not path.is_dir():
        raise InputError(
            "is neither a file nor a folder",
            path=path,
            cause="it is a broken link, a pipe or a device",
            remedy="remove it",
        )


def files_inside(root: Path) -> Iterator[Path]:
    """All files in a folder and its folders, sorted.

    Raises:
        InputError: one is a link out of the folder or a link to a folder, which could run in
            circles; or neither a file nor a folder.
    """
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in (*subfolders, *sorted(names)):
            path = Path(folder, name)
            check_inside(path, root)
            if path.is_symlink() and path.is_dir():
                raise InputError(
                    "is a link to a folder", path=path, remedy="copy the folder there instead"
                )
        yield from (Path(folder, name) for name in sorted(names))
