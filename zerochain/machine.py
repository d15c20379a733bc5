"""How many cores there are to work with.

Processes that this one starts, and where those of Python look for modules.

`python -m`, as joblib starts its workers, looks into the folder where it was started first, before
its own library. Who stands in a folder of somebody else's recordings would run the random.py that
lies there.

Where the outer folders (pipelines/, evaluation/, data/) lie: in the wheel or the checkout.

Where libraries keep what they would otherwise make again.

Where no folder of the user's can be written, as in another user's container, they get a temporary
one for as long as the program runs; so do the programs that it starts.
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
    """The cores that this process may use, which a cluster's scheduler can make fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def resource(name: str) -> Path:
    """The path of e.g. "pipelines/demo": inside an installed wheel, else in the checkout."""
    package = Path(__file__).parent
    carried = package / "share" / name
    return carried if carried.exists() else package.parent / name


def writable(folder: Path) -> bool:
    """Whether a file can be made in a folder, which is made if it can be."""
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
        OSError: there is no place for one.
    """
    clear_abandoned(Path(tempfile.gettempdir()), SCRATCH)
    folder = tempfile.mkdtemp(prefix=owned(SCRATCH))
    hold(os.open(folder, os.O_RDONLY))  # until this process ends
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def spare_matplotlib_the_search() -> None:
    """Call before matplotlib is imported: it looks for a folder of its own and writes about it.

    Raises:
        OSError: there is no place for it, not even a temporary one.
    """
    if "MPLCONFIGDIR" in os.environ:
        places = [Path(os.environ["MPLCONFIGDIR"])]
    else:
        places = [_home("XDG_CONFIG_HOME", ".config"), _home("XDG_CACHE_HOME", ".cache")]
        places = [place / "matplotlib" for place in places]
    if not all(map(writable, places)):
        os.environ["MPLCONFIGDIR"] = str(temporary_cache() / "matplotlib")


def home_for_caches() -> None:
    """Call before a program is started that stops where it can't keep anything: Snakemake.

    Raises:
        OSError: there is no place for it, not even a temporary one.
    """
    if not writable(_home("XDG_CACHE_HOME", ".cache") / "snakemake"):
        os.environ["XDG_CACHE_HOME"] = str(temporary_cache())


def _home(variable: str, otherwise: str) -> Path:
    """One of the user's folders."""
    named = os.environ.get(variable, "").strip()
    return Path(named) if named else Path.home() / otherwise
