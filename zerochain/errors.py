"""The one way zerochain refuses bad input: what was found, where, the likely cause, and the fix.

What the operating system refuses, as an error that says the likely cause and the fix.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from functools import partial
from os import PathLike
from pathlib import Path


class InputError(ValueError):
    """Input that zerochain can't use. The command line prints it and exits with code 1.

    Args:
        found: what was found, as a clause without a full stop.
        path: the file or folder it was found in.
        cause: the likeliest cause.
        remedy: how to fix it.

    Attributes:
        part: of a training of several parts, in which of them it was found.
    """

    part: str = ""

    def __init__(
        self,
        found: str,
        *,
        path: str | PathLike[str] | None = None,
        cause: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.found, self.path, self.cause, self.remedy = found, path, cause, remedy
        super().__init__(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        """Worker processes hand their errors back whole."""
        rebuild = partial(type(self), path=self.path, cause=self.cause, remedy=self.remedy)
        return rebuild, (self.found,)

    def __str__(self) -> str:
        found = printable(self.found, lines=True)
        text = found if self.path is None else f"{printable(str(self.path))}: {found}"
        if self.cause:
            text += f"\n  likely cause: {printable(self.cause, lines=True)}"
        if self.remedy:
            text += f"\n  fix: {printable(self.remedy, lines=True)}"
        return text


class ModelMismatchError(InputError):
    """Units of one unit model were given to a stage that was trained on another's."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""Text with escapes for what isn't text or moves the cursor: `caf\udce9.wav`, `a\x1b[2J`.

    Names and texts come from files of others: printed as they are, their control characters would
    steer the terminal, and their line breaks and overrides of the writing direction imitate other
    output. Joiners, which some scripts are written with, stay.

    Args:
        lines: keep line breaks, of a text that is made of lines.
    """
    if text.isprintable():
        return text
    kept = {*_JOINERS, "\n"} if lines else _JOINERS
    return "".join(
        c
        if c.isprintable() or c in kept or unicodedata.category(c) == "Zs"
        else c.encode("unicode_escape").decode()
        for c in text
    )


_JOINERS = {"\N{ZERO WIDTH NON-JOINER}", "\N{ZERO WIDTH JOINER}"}


def listed(names: list[str], limit: int = 10) -> str:
    """The first names of a list, and how many more there are: 'a, b, c and 4 more'."""
    shown = ", ".join(map(printable, names[:limit]))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def counted(n: int, one: str, several: str = "") -> str:
    """A number and its noun: "1 unit", "2,400 units", "2 boxes" (of "box", "boxes")."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def speech_time(seconds: float) -> str:
    """How long recordings are: "12.3 min", and below a minute "41 s" or "6.2 s"."""
    if seconds >= 59.5:  # what rounds to 60 s
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FIXES: dict[int, tuple[str | None, str]] = {
    errno.EROFS: (
        "it is on a disk or in a container that is mounted read-only",
        "choose a folder that can be written",
    ),
    errno.EACCES: (
        "it belongs to somebody else",
        "choose another path, or fix the permissions of the file and its folders (chmod, chown)",
    ),
    errno.EPERM: ("the file system or a sandbox forbids it", "choose another path"),
    errno.ENAMETOOLONG: (
        "an id or a path of more than 255 bytes, which non-Latin letters reach sooner",
        "give it a shorter name",
    ),
    errno.EMFILE: (
        "too many files are open at once in this process",
        "raise the limit ('ulimit -n 4096') or use fewer processes (jobs=)",
    ),
    errno.ENFILE: ("too many files are open on this machine", "close other programs"),
    errno.EIO: (
        "the disk, the network share or the cable is failing",
        "copy the file from its source again, and check the disk",
    ),
    errno.ESTALE: ("the network share was mounted anew", "give the same command again"),
    errno.ELOOP: ("links that lead to each other", "give the path of the file itself"),
    errno.EISDIR: ("a folder was given where a file is meant", "give the path of a file"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the path"),
    errno.ENOENT: ("it was moved, or the path is mistyped", "check the path"),
    errno.EEXIST: ("something of this name is in the way", "choose another path"),
    errno.EBUSY: ("another program holds it", "close that program, or choose another path"),
    errno.EXDEV: ("it is on another disk", "choose a folder on the same disk"),
    errno.ENOMEM: (
        "there is not enough memory",
        "close other programs, or use fewer processes (jobs=)",
    ),
    errno.ENOLCK: (
        "the network share gives no locks",
        "write to a disk of this machine and copy the result",
    ),
}


def refusal(error: OSError, path: Path | None = None, *, writing: bool | None = None) -> InputError:
    """An operating system's error as one that says the cause and the fix.

    Args:
        path: what the work was on; None takes the path that the error names.
        writing: whether `path` was being written; None where nobody knows.
    """
    named = error.filename2 or error.filename  # a rename has two: what is in the way counts
    named = os.fsdecode(named) if isinstance(named, str | bytes | os.PathLike) else None
    what = {True: "could not be written", False: "can't be read", None: "can't be used"}[writing]
    where = path if path is not None else named
    if error.errno in FULL or "No space left" in str(error):
        return InputError(
            "could not be written: the disk (or the quota) is full",
            path=where,
            cause=f"it writes to {place}" if (place := _elsewhere(named, where)) else None,
            remedy="free some space or choose another out=; nothing was left half-written",
        )
    if "No usable temporary directory" in str(error):  # tempfile's, with the number of "not found"
        return InputError(
            "no folder for temporary files can be written",
            cause="neither TMPDIR nor /tmp nor the current folder can be",
            remedy="set TMPDIR to a folder that can be written",
        )
    cause, remedy = _FIXES.get(error.errno or 0, (None, "check the path, its disk and its rights"))
    also = f" ({named})" if path is not None and named else ""
    return InputError(
        f"{what}: {error.strerror or error}{also}", path=where, cause=cause, remedy=remedy
    )


def _elsewhere(named: str | None, path: str | Path | None) -> str | None:
    """The file that an error names, if it lies elsewhere than what the work was on."""
    if named is None or path is None or Path(named).parent == Path(path).parent:
        return None
    return named if Path(path) not in Path(named).parents else None
