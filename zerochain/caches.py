"""Where libraries keep what they would otherwise make again.

Where no folder of the user's can be written, as in another user's container, they get a temporary
one for as long as the program runs; so do the programs that it starts.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from zerochain.leftovers import SCRATCH, clear_abandoned, hold, owned


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
