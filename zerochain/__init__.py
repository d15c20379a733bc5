"""Discover, score, invert and translate discrete units of speech, without transcripts."""

import os

# OpenMP threads that spin while they wait ruin a busy machine with few cores; both variables
# are read once, when the runtime loads, so they are set before torch or numba can be imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

__version__ = "0.1.0"
