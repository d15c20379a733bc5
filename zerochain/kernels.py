"""Loops compiled by numba, kept on the disk between runs wherever that is possible.

numba keeps what it compiled beside the source or in the user's cache folder. It raises an error
when neither can be written, as in another user's container, and when a full disk or a damaged
file gets in the way later. None of this is a reason to stop: a kernel is then compiled anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
_NOTED = "ZEROCHAIN_COMPILES_ANEW"
"""Set in the environment once the note was shown: processes that this one starts keep quiet."""


def compiled(*, error_model: str = "python", fastmath: Collection[str] = ()) -> Callable[[F], F]:
    """A decorator: compile a function that doesn't hold Python's lock, with numba's options."""

    def decorate(function: F) -> F:
        kernel = numba.njit(nogil=True, error_model=error_model, fastmath=set(fastmath))(function)
        try:
            kernel.enable_caching()
        except (RuntimeError, OSError):  # "no locator available"
            _note("no folder for compiled code can be written")
        else:
            _forgive(kernel._cache)
        return cast(F, kernel)

    return decorate


def _forgive(cache: Any) -> None:
    """Have a kernel compiled anew where its cache can't be read, and not kept where it is full."""
    load, save = cache.load_overload, cache.save_overload

    def load_if_possible(*args: Any) -> Any:
        try:
            return load(*args)
        except Exception:  # a damaged pickle raises whatever it likes
            return None

    def save_if_possible(*args: Any) -> None:
        try:
            save(*args)
        except OSError as error:
            _note(f"compiled code can't be kept in {cache.cache_path} ({error.strerror})")
        except Exception:  # the index that is there already is damaged
            cache.flush()

    cache.load_overload, cache.save_overload = load_if_possible, save_if_possible


def _note(what: str) -> None:
    if _NOTED in os.environ:
        return
    os.environ[_NOTED] = "1"
    sys.stderr.write(
        f"Note: {what}, so every run compiles it again, which takes some seconds; "
        "fix: set NUMBA_CACHE_DIR to a folder of yours that can be written.\n"
    )
