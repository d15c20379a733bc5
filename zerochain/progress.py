"""Progress bars: only on a terminal, and only for work that takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
_PATIENCE_S = 2.0


def track(
    items: Iterable[T], what: str | Callable[[], str], total: int | None = None
) -> Iterator[T]:
    """Yield the items, with a progress bar that shows the time left after two seconds.

    Args:
        what: the bar's label, or a function that returns the current one after each item.
        total: number of items; None for that of a sized `items`, or unknown.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich import console, progress  # slow, and only a terminal needs them

    total = len(items) if total is None and isinstance(items, Sized) else total
    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console.Console(stderr=True),
        transient=True,
    )
    label = what if callable(what) else lambda: what
    task = bar.add_task(label(), total=total)
    begun = time.monotonic()
    try:
        for item in items:
            if not bar.live.is_started and time.monotonic() - begun > _PATIENCE_S:
                bar.start()
            yield item
            bar.update(task, advance=1, description=label())
    finally:
        if bar.live.is_started:
            bar.stop()
