"""The machine that zerochain runs on: cores, processes that it starts, resources, caches.

`python -m`, as joblib starts its workers, looks for modules in the folder where it was started
before its own library: started among somebody else's recordings, it would run a random.py that is
there. `safe_path` prevents that. Libraries with caches get a temporary folder where no folder of
the user's can be written, as in another user's container.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from zerochain.leftovers import SCRATCH, clear_abandoned, hold, owned


def cores() -> int:
    """The number of cores that this process may use, which a cluster's scheduler may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_VARIABLE = "PYTHONSAFEPATH"
_OURS = "zerochain"  # for Python any text means the same as "1"


@contextmanager
def safe_path() -> Iterator[None]:
    """While it lasts, Python processes don't import from the folder they are started in."""
    is_new = _VARIABLE not in os.environ
    os.environ.setdefault(_VARIABLE, _OURS)
    try:
        yield
    finally:
        if is_new:
            os.environ.pop(_VARIABLE, None)


def users_environment() -> dict[str, str]:
    """The environment for programs that aren't ours, without what `safe_path` adds.

    Such a program in Python may well import modules from its own folder.
    """
    return {name: text for name, text in os.environ.items() if (name, text) != (_VARIABLE, _OURS)}


def resource(name: str) -> Path:
    """The path of an outer folder such as "pipelines/demo", in the wheel or the checkout."""
    package = Path(__file__).parent
    carried = package / "share" / name
    return carried if carried.exists() else package.parent / name


def writable(folder: Path) -> bool:
    """Whether a file can be created in a folder, which is created if possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


@cache
def temporary_cache() -> Path:
    """A temporary folder, the same until this process ends.

    Raises:
        OSError: no temporary folder can be made.
    """
    clear_abandoned(Path(tempfile.gettempdir()), SCRATCH)
    folder = tempfile.mkdtemp(prefix=owned(SCRATCH))
    hold(os.open(folder, os.O_RDONLY))  # until this process ends
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def spare_matplotlib_the_search() -> None:
    """Call before importing matplotlib, which warns where it can't write its own folders.

    Raises:
        OSError: no folder can be written, not even a temporary one.
    """
    if "MPLCONFIGDIR" in os.environ:
        places = [Path(os.environ["MPLCONFIGDIR"])]
    else:
        places = [_home("XDG_CONFIG_HOME", ".config"), _home("XDG_CACHE_HOME", ".cache")]
        places = [place / "matplotlib" for place in places]
    if not all(map(writable, places)):
        os.environ["MPLCONFIGDIR"] = str(temporary_cache() / "matplotlib")


def home_for_caches() -> None:
    """Call before starting Snakemake, which stops where it can't write its cache.

    Raises:
        OSError: no folder can be written, not even a temporary one.
    """
    if not writable(_home("XDG_CACHE_HOME", ".cache") / "snakemake"):
        os.environ["XDG_CACHE_HOME"] = str(temporary_cache())


def _home(variable: str, otherwise: str) -> Path:
    """A folder of the user's, by its environment variable or its default."""
    named = os.environ.get(variable, "").strip()
    return Path(named) if named else Path.home() / otherwise
