"""Many files that can't be used for one and the same cause, as one line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from zerochain.errors import listed

_ALIKE = 4
"""From so many on they are one line."""
_SHOWN = 3
_DETAIL = re.compile(r"'[^']*'|\d+(?:\.\d+)?")


def grouped(bad: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each file and why it can't be used, or for many of one cause.

    Causes that differ only in numbers and in what stands in quotation marks are one; the first
    file's is shown.

    Args:
        bad: files and reasons, in the order to be shown.
    """
    causes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for file, reason in bad:
        causes[_DETAIL.sub("…", reason)].append((file, reason))
    lines = []
    for entries in causes.values():
        if len(entries) < _ALIKE:
            lines += [f"{file}: {reason}" for file, reason in entries]
            continue
        same = len({reason for _, reason in entries}) == 1
        files = list(dict.fromkeys(file for file, _ in entries))
        if len(files) == 1:
            lines.append(f"{files[0]}: {entries[0][1]}, and {len(entries) - 1} more like it")
            continue
        like = "" if same else ", such as the first of them"
        lines.append(f"{len(files)} files{like}: {entries[0][1]} ({listed(files, _SHOWN)})")
    return lines
