"""What the benchmarks share: processes of their own, and what a piece of work costs.

A system that is measured runs in its own process, so that no other system's memory, threads or
caches count as its own: the script calls itself with `apart`, and its worker prints JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PASSIVE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
"""Threads that spin while they wait distort the times on a busy machine."""


def apart(script, *words, python=sys.executable, environment=None, may_fail=False):
    """The JSON on the last line that a script prints when it is run in its own process.

    With `may_fail`, a script that fails gives None, and the reason is printed.
    """
    command = [str(python), str(Path(script).resolve()), *map(str, words)]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    if not done.returncode:
        return json.loads(done.stdout.splitlines()[-1])
    if not may_fail:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    reason = "".join(done.stderr.splitlines()[-1:])
    print(f"{' '.join(map(str, words)).removeprefix('--measure ')}: not measured ({reason})")
    return None


@dataclass
class Cost:
    """What a piece of work cost in this process; memory in MB (2^20 bytes)."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_before_mb: float = 0.0
    peak_mb: float = 0.0


@contextmanager
def cost():
    """Measure what happens inside: `with cost() as spent: …`."""
    before, begun, spent = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), Cost()
    yield spent
    spent.wall_s, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    spent.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spent.peak_before_mb, spent.peak_mb = before.ru_maxrss / 1024, after.ru_maxrss / 1024


def run_build(checkout, *words):
    """Run the command line of a checkout of zerochain; one that fails ends the benchmark."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(checkout)}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "zerochain", *map(str, words)],
        stdout=subprocess.DEVNULL,
        env=environment,
        cwd=checkout,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{checkout}: {' '.join(map(str, words))}: exit code {process.returncode}")
    return Cost(
        wall_s=time.perf_counter() - begun,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mb=used.ru_maxrss / 1024,
    )


def mixture(n, dim):
    """Frames (n, dim) that overlap as much as those of speech: 500 broad, unequal components."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(500, dim))
    weights = rng.dirichlet(np.full(500, 0.5))
    made = centres[rng.choice(500, n, p=weights)] + 0.7 * rng.normal(size=(n, dim))
    return made.astype(np.float32)
