"""A training that is interrupted, for the tests of what happens afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def interrupted(task: type[Any], at_step: int) -> Iterator[None]:
    """Trainings of this task stop with a KeyboardInterrupt when they draw the batch of a step."""
    batch = task.batch

    def broken(self: Any, step: int, process: int) -> Any:
        if step == at_step:
            raise KeyboardInterrupt
        return batch(self, step, process)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "batch", broken)
        yield
