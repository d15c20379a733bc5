"""Processes that this one starts, and where those of Python look for modules.

`python -m`, as joblib starts its workers, looks into the folder where it was started first, before
its own library. Who stands in a folder of somebody else's recordings would run the random.py that
lies there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "PYTHONSAFEPATH"
_OURS = "zerochain"  # to Python any text is as good as "1"


@contextmanager
def safe_path() -> Iterator[None]:
    """While it lasts, Python processes take no modules from the folder they are started in."""
    is_new = _VARIABLE not in os.environ
    os.environ.setdefault(_VARIABLE, _OURS)
    try:
        yield
    finally:
        if is_new:
            os.environ.pop(_VARIABLE, None)


def users_environment() -> dict[str, str]:
    """The environment for programs that aren't ours, without what `safe_path` adds to it.

    A program in Python may well import what lies beside it.
    """
    return {name: text for name, text in os.environ.items() if (name, text) != (_VARIABLE, _OURS)}
