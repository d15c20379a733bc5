"""Importing long recordings beside an older build: memory, CPU-seconds, and MP3 beside FLAC.

1. One stereo WAV of two hours at 48 kHz, whole: peak memory of the process and its CPU-seconds.
2. 400 segments out of one hour of MP3, and out of the same in FLAC: how many times as long the MP3
   takes. Both are of 44.1 kHz, mono.

Each import is a process of its own with one thread. The older build is a checkout of it.

    git worktree add ../before TAG
    python benchmarks/long_recordings.py [--before ../before] [--hours 2] [--segments 400]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parents[1]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Run(NamedTuple):
    """What an import took."""

    seconds: float
    cpu_s: float
    peak_mb: float
    status: int


def minute(rate, channels, seed):
    """Speech-like sound (n, channels): a voice that comes and goes, and some noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(60 * rate) / rate
    phase = 2 * np.pi * np.cumsum(140 * (1 + 0.2 * np.sin(2 * np.pi * 1.3 * time_s))) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 10)) * np.sin(2 * np.pi * 0.4 * time_s) ** 2
    noise = 0.005 * rng.standard_normal((len(time_s), channels))
    return (0.15 * voice[:, None] + noise).astype(np.float32)


def write(path, rate, channels, minutes):
    """Write so many minutes, one at a time: the same ten over and over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        different = [minute(rate, channels, seed) for seed in range(min(10, minutes))]
        for i in range(minutes):
            file.write(different[i % len(different)])


def write_apart(*arguments):
    """`write` in a process of its own: what it holds would count as the imports' memory."""
    process = multiprocessing.get_context("spawn").Process(target=write, args=arguments)
    process.start()
    process.join()


def run(build, *words):
    """Run the command line of a checkout, and measure it."""
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(build)}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "zerochain", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=build,
    )
    errors = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        print(errors.decode()[-300:])
    seconds = time.perf_counter() - begun
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, process.returncode)


def import_whole(build, folder, out):
    return run(build, "import", "folder", folder, "--out", out, "--jobs", 1)


def import_segments(build, folder, kind, out):
    return run(
        build, "import", "folder", folder / kind, "--table", folder / f"{kind}.tsv",
        "--out", out, "--jobs", 1,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="a checkout of an older build")
    parser.add_argument("--hours", type=float, default=2, help="of stereo WAV")
    parser.add_argument("--minutes", type=int, default=60, help="of MP3 and FLAC")
    parser.add_argument("--segments", type=int, default=400)
    options = parser.parse_args()
    builds = {"this build": HERE}
    if options.before:
        builds = {"before": options.before.resolve(), **builds}
    with tempfile.TemporaryDirectory(prefix="zerochain-benchmark-") as place:
        folder = Path(place)
        write_apart(folder / "long" / "a.wav", 48_000, 2, round(options.hours * 60))
        step = 60 * options.minutes / options.segments
        for kind in ("flac", "mp3"):
            write_apart(folder / kind / f"a.{kind}", 44_100, 1, options.minutes)
            rows = [
                f"a.{kind}\t{i * step:.3f}\t{(i + 0.5) * step:.3f}" for i in range(options.segments)
            ]
            (folder / f"{kind}.tsv").write_text("\n".join(["file\tstart\tend", *rows]) + "\n")
        print(f"{options.hours:g} h of 48 kHz stereo, {os.cpu_count()} cores, one thread")
        print(f"{'':<12} {'seconds':>8} {'CPU-s':>7} {'peak MB':>8}")
        for name, build in builds.items():
            done = import_whole(build, folder / "long", folder / f"whole {name}")
            print(f"{name:<12} {done.seconds:>8.1f} {done.cpu_s:>7.1f} {done.peak_mb:>8.0f}")
        empty = {
            name: run(build, "--help").cpu_s for name, build in builds.items()
        }  # to start, which isn't counted below
        print(f"\n{options.segments} segments out of {options.minutes} min, CPU-s")
        print(f"{'':<12} {'FLAC':>8} {'MP3':>7} {'MP3 / FLAC':>11}")
        for name, build in builds.items():
            flac, mp3 = (
                import_segments(build, folder, kind, folder / f"{kind} {name}").cpu_s - empty[name]
                for kind in ("flac", "mp3")
            )
            print(f"{name:<12} {flac:>8.2f} {mp3:>7.2f} {mp3 / flac:>11.2f}")


if __name__ == "__main__":
    main()
