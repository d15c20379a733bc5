"""Loops compiled by numba and cached on disk between runs if possible.

numba caches compiled code beside the source or in the user's cache folder. It raises an error if
neither is writable, as in a container of another user, and later if the disk is full or a cached
file is damaged. None of this is a reason to stop: the kernel is then compiled again, and cached
in a temporary folder while the program runs.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numba

from zerochain.machine import temporary_cache, writable

F = TypeVar("F", bound=Callable[..., Any])
_config: Any = numba.config  # untyped: its settings are created at import
_NOTED = "ZEROCHAIN_COMPILES_ANEW"
"""Set in the environment once the note was shown, so that child processes don't repeat it."""


def compiled(
    *, error_model: Literal["python", "numpy"] = "python", fastmath: Collection[str] = ()
) -> Callable[[F], F]:
    """A decorator: compile a function, which releases the GIL, with numba's options."""

    def decorate(function: F) -> F:
        kernel: Any = numba.njit(nogil=True, error_model=error_model, fastmath=set(fastmath))(
            function
        )
        for _ in range(2):
            try:
                kernel.enable_caching()
            except (RuntimeError, OSError):  # "no locator available"
                if not _keep_for_now():
                    break
            else:
                _tolerate_damage(kernel._cache)
                break
        return cast(F, kernel)

    return decorate


def allow_kernels_of(package: str) -> None:
    """Make importing a package that caches its own kernels (librosa) work without a cache.

    To be called before the import.
    """
    if _config.CACHE_DIR:
        places = [Path(_config.CACHE_DIR)]
    else:
        appdirs: Any = importlib.import_module("numba.misc.appdirs")
        spec = importlib.util.find_spec(package)
        folders = [Path(f) for f in (spec and spec.submodule_search_locations) or ()]
        places = [*(f / "core" / "__pycache__" for f in folders)]
        places.append(Path(appdirs.AppDirs(appname="numba", appauthor=False).user_cache_dir))
    if not any(map(writable, places)):
        _keep_for_now()


def _keep_for_now() -> bool:
    """Make numba cache compiled code in a temporary folder, in child processes too."""
    _note("no folder for compiled code is writable")
    try:
        folder = temporary_cache() / "numba"
    except OSError:
        return False
    _config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


def _tolerate_damage(cache: Any) -> None:
    """Compile a kernel again if its cache can't be read, and go on if it can't be written."""
    load, save = cache.load_overload, cache.save_overload

    def load_if_possible(*args: Any) -> Any:
        try:
            return load(*args)
        except Exception:  # a damaged pickle can raise anything
            return None

    def save_if_possible(*args: Any) -> None:
        try:
            save(*args)
        except OSError as error:
            _note(f"compiled code can't be cached in {cache.cache_path} ({error.strerror})")
        except Exception:  # the existing index is damaged
            cache.flush()

    cache.load_overload, cache.save_overload = load_if_possible, save_if_possible


def _note(what: str) -> None:
    if _NOTED in os.environ:
        return
    os.environ[_NOTED] = "1"
    sys.stderr.write(
        f"Note: {what}, so every run compiles it again, which takes a few seconds; "
        "fix: set NUMBA_CACHE_DIR to a folder that you can write to.\n"
    )
