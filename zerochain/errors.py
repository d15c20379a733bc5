"""The one way zerochain refuses bad input: say what was found, where, why, and the way out."""

from __future__ import annotations

from functools import partial
from os import PathLike


class InputError(ValueError):
    """Input that zerochain can't use. The command line prints it and exits with code 1.

    Args:
        found: what was found, as a clause without a full stop.
        path: the file or folder it was found in.
        cause: the likeliest cause.
        remedy: the way out.
    """

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
        text = self.found if self.path is None else f"{self.path}: {self.found}"
        if self.cause:
            text += f"\n  likely cause: {self.cause}"
        if self.remedy:
            text += f"\n  way out: {self.remedy}"
        return text


class ModelMismatchError(InputError):
    """Units of one unit model were given to a stage that was trained on another's."""


def listed(names: list[str], limit: int = 10) -> str:
    """The first names of a list, and how many more there are: 'a, b, c and 4 more'."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
