"""Recognition by a program of the user's own."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from zerochain.errors import InputError
from zerochain.processes import users_environment

PLACE = "{wav}"
_MOST_SHOWN = 500


def parsed(command: str) -> list[str]:
    """A command's words, of which one at least holds {wav}.

    Raises:
        InputError: quotes that don't end, or nowhere to put the recording.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"the command {command!r} can't be read: {error}") from error
    if not words or not any(PLACE in word for word in words[1:]):
        raise InputError(
            f"the command {command!r} doesn't say where the recording goes",
            remedy="write {wav} there: \"my-recogniser --text-only '{wav}'\"",
        )
    return words


def transcribe_by(words: list[str], wav: Path, timeout_s: float) -> str:
    """What a program writes to its standard output about a recording; no shell is involved.

    Raises:
        InputError: no such program, it failed, took too long, or wrote something else than UTF-8.
    """
    called = [words[0], *(word.replace(PLACE, str(wav)) for word in words[1:])]
    try:
        done = subprocess.run(
            called,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env=users_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{words[0]} took more than {timeout_s:g} s",
            path=wav,
            remedy="give it more time with --timeout-s, or see why it hangs",
        ) from error
    except OSError as error:
        raise InputError(
            f"{words[0]} can't be run ({error.strerror})",
            path=wav,
            cause="it is not installed, or not on the PATH",
            remedy="give the program's whole path",
        ) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-_MOST_SHOWN:]
        raise InputError(
            f"{words[0]} failed with exit code {done.returncode}: {said or 'it says nothing'}",
            path=wav,
            remedy=f"try it by hand: {shlex.join(called)}",
        )
    try:
        return done.stdout.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{words[0]} wrote something that isn't UTF-8 ({error})",
            path=wav,
            remedy="have it write text alone to its standard output",
        ) from error
