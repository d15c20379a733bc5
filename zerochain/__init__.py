"""Discover, score, invert and translate discrete units of speech, without transcripts.

`from zerochain import KMeansUnits, read_features`: what is public stands in __init__.pyi.
"""

import os
from pathlib import Path

import lazy_loader

# OpenMP threads that spin while they wait ruin a busy machine with few cores; both variables
# are read once, when the runtime loads, so they are set before torch or numba can be imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

# Where neither HOME nor the list of users tells a home, librosa can't be imported, and others make
# a folder called "~". Containers give "/" to users whom they don't know.
try:
    Path.home()
except RuntimeError:
    os.environ["HOME"] = os.sep

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
