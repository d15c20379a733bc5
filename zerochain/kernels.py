"""Loops compiled by numba and cached on disk between runs if possible.

numba caches compiled code beside the source or in the user's cache folder. It raises an error if
neither is writable, as in a container of another user, and later if the disk is full or a cached
file is damaged. None of this is a reason to stop: the kernel is then compiled again, and cached
in a temporary folder while the program runs.

numba itself is imported when the first kernel is called: it and a cached kernel take longer to load
than a loop in NumPy takes for one recording (`Kernel.pays`).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Collection
from functools import update_wrapper
from pathlib import Path
from threading import Lock
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from zerochain.machine import temporary_cache, writable

P = ParamSpec("P")
R = TypeVar("R")
_NOTED = "ZEROCHAIN_COMPILES_ANEW"
"""Set in the environment once the note was shown, so that child processes don't repeat it."""


def compiled(
    *, error_model: Literal["python", "numpy"] = "python", fastmath: Collection[str] = ()
) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """A decorator: compile a function, which releases the GIL, with numba's options."""

    def decorate(function: Callable[P, R]) -> Kernel[P, R]:
        return Kernel(function, {"error_model": error_model, "fastmath": set(fastmath)})

    return decorate


_loading = Lock()  # one for all: a kernel is loaded once, and numba by one thread


class Kernel(Generic[P, R]):
    """A function that is compiled, or read from the cache, when it is first called."""

    def __init__(self, function: Callable[P, R], options: dict[str, Any]) -> None:
        update_wrapper(self, function)
        self._function, self._options = function, options
        self._dispatcher: Any = None
        self._spared = 0

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return (self._dispatcher or self._loaded())(*args, **kwargs)  # type: ignore[no-any-return]

    @property
    def _numba_type_(self) -> Any:
        """What another kernel that calls this one takes it for."""
        return self._loaded()._numba_type_

    def __reduce__(self) -> str:
        """Pickled by name, like a function."""
        return self._function.__qualname__

    def pays(self, n: int, n_spared: int) -> bool:
        """Whether the kernel is worth loading for the next `n` steps of a loop.

        False while numba isn't loaded and the steps that this process was asked for are no more
        than `n_spared`, which an equal, slower function does in less time than loading takes.
        """
        if self._dispatcher is None and "numba.core" not in sys.modules:
            self._spared += n
            return self._spared > n_spared
        return True

    def _loaded(self) -> Any:
        with _loading:
            if self._dispatcher is None:
                self._dispatcher = _dispatcher(self._function, self._options)
        return self._dispatcher


def _dispatcher(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """What numba makes of a function: compiled for each combination of types it is called with."""
    kernel = _numba().njit(nogil=True, **options)(function)
    for _ in range(2):
        try:
            kernel.enable_caching()
        except (RuntimeError, OSError):  # "no locator available"
            if not _keep_for_now():
                break
        else:
            _tolerate_damage(kernel._cache)
            break
    return kernel


def _numba() -> Any:
    import numba  # half a second, with what it imports

    return numba


def allow_kernels_of(package: str) -> None:
    """Make importing a package that caches its own kernels (librosa) work without a cache.

    To be called before the import.
    """
    if _numba().config.CACHE_DIR:
        places = [Path(_numba().config.CACHE_DIR)]
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
    _numba().config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = str(folder)
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
