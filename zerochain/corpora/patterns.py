"""Speakers and splits that stand in the files' names or folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from zerochain.corpora.bad import printable
from zerochain.errors import InputError, listed
from zerochain.formats.identity import composed


def labels_from(
    pattern: str, ids: Sequence[str], what: str, *, skip_bad: bool = False
) -> list[str | None]:
    """The speaker (`what`) of every id, an id being a path without its suffix.

    `name:ana` says that all are ana. `folder:1` takes the name of the first folder, `folder:-1`
    that of the innermost. Anything else is a regular expression whose group named `what` (or
    whose only group) is the speaker: `(?P<speaker>[^_]+)_`. It is matched from the
    beginning of the file's name, or of the whole path if the pattern has a slash. Names and
    pattern are compared in Unicode's composed form, and labels are returned in it.

    Args:
        skip_bad: give None for an id that the pattern doesn't match, as long as it matches one.

    Raises:
        InputError: a bad pattern, or ids that it doesn't match, which are listed.
    """
    pattern, ids = composed(pattern), [composed(name) for name in ids]
    found: list[str | None]
    if pattern.startswith("name:"):
        found = [pattern.removeprefix("name:").strip() or None] * len(ids)
    elif pattern.startswith("folder:"):
        found = [_folder(name, _level(pattern, what)) for name in ids]
    else:
        expression, group = _compile(pattern, what)
        whole = "/" in pattern
        matches = [expression.match(name if whole else name.split("/")[-1]) for name in ids]
        found = [match[group] if match else None for match in matches]
    unmatched = [printable(name) for name, label in zip(ids, found, strict=True) if not label]
    if unmatched and not (skip_bad and len(unmatched) < len(ids)):
        raise InputError(
            f"--{what}-from {pattern!r} finds no {what} in {len(unmatched)} of {len(ids)} files: "
            f"{listed(unmatched)}",
            cause="it is matched from the beginning of the file's name, or of the path within the "
            "recordings' folder if the pattern has a slash",
            remedy=f"fix the pattern, or give a --table with a column {what!r}",
        )
    return [label or None for label in found]


def hashed_split(name: str, test_fraction: float) -> str:
    """ "test" for that fraction of ids, else "train"; more recordings don't move the others."""
    digest = hashlib.sha256(name.encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") < test_fraction * 2**64 else "train"


def _level(pattern: str, what: str) -> int:
    try:
        level = int(pattern.removeprefix("folder:"))
    except ValueError:
        level = 0
    if level == 0:
        raise InputError(
            f"--{what}-from {pattern!r} is not a folder's level",
            remedy="folder:1 is the first folder below the recordings, folder:-1 the innermost",
        )
    return level


def _folder(name: str, level: int) -> str | None:
    folders = name.split("/")[:-1]
    if not 1 <= abs(level) <= len(folders):
        return None
    return folders[level - 1 if level > 0 else level]


def _compile(pattern: str, what: str) -> tuple[re.Pattern[str], str | int]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"--{what}-from {pattern!r} is not a regular expression: {error}",
            remedy=f"for example '(?P<{what}>[^_]+)_', or folder:1",
        ) from error
    if what in expression.groupindex:
        return expression, what
    if expression.groups != 1:
        raise InputError(
            f"--{what}-from {pattern!r} has {expression.groups} groups and none is named {what!r}",
            remedy=f"put (?P<{what}>…) around the {what}",
        )
    return expression, 1
