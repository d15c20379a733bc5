"""How many cores there are to work with."""

from __future__ import annotations

import os


def cores() -> int:
    """The cores that this process may use, which a cluster's scheduler can make fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
