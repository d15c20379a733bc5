"""Importing long recordings, beside another build of zerochain: CPU time and memory.

Two hours of 48 kHz stereo, in one file; and 400 segments out of an hour's MP3, beside the same out
of a FLAC. Every import is a process of its own; memory is the most that it held.

    python benchmarks/importing.py [--beside FOLDER] [--hours 2] [--segments 400] [--jobs 1]

FOLDER is a checkout of the other build, which has to run in this environment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

MINUTE_S = 60


def minute(rate: int, channels: int) -> np.ndarray:
    """A minute of syllables under slowly moving pitch, (n, channels), the channels nearly alike."""
    t = np.arange(MINUTE_S * rate) / rate
    phase = 2 * np.pi * np.cumsum(150 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * t))) / rate
    wave = sum(np.sin(k * phase) / k for k in range(1, 12)) * (0.5 + 0.5 * np.sin(6 * np.pi * t))
    hiss = np.random.default_rng(0).standard_normal((len(t), channels))
    return (0.1 * wave[:, None] + 0.003 * hiss).astype(np.float32)


def write(path: Path, minutes: int, rate: int, channels: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = minute(rate, channels)
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        for _ in range(minutes):
            file.write(wave)
    return path.parent


def write_table(path: Path, file: str, minutes: int, n: int) -> Path:
    """A table of `n` segments, evenly over the file, half of it together."""
    step = minutes * MINUTE_S / n
    rows = [f"{file}\t{i * step:.3f}\t{(i + 0.5) * step:.3f}\n" for i in range(n)]
    path.write_text("file\tstart\tend\n" + "".join(rows))
    return path


def measured(build: Path, jobs: int, *arguments: object) -> tuple[float, float]:
    """CPU seconds and MB of an import."""
    with tempfile.TemporaryDirectory() as place:
        words = [
            "import",
            "folder",
            *map(str, arguments),
            "--out",
            f"{place}/c",
            "--jobs",
            str(jobs),
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "zerochain", *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(build), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
    if status:
        return float("nan"), float("nan")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--segments", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    builds = {"this build": Path(__file__).parents[1].resolve()}
    if given.beside:
        builds["the other"] = given.beside.resolve()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        long = write(root / "long" / "a.wav", round(60 * given.hours), 48_000, 2)
        cut = {kind: write(root / kind / f"a.{kind}", 60, 44_100, 1) for kind in ("mp3", "flac")}
        tables = {
            kind: write_table(root / f"{kind}.tsv", f"a.{kind}", 60, given.segments) for kind in cut
        }
        print(f"{'':40s} {'CPU s':>8s} {'MB':>8s}")
        for name, build in builds.items():
            for what, arguments in {
                f"{given.hours:g} h of 48 kHz stereo": [long],
                "the same, --copy": [long, "--copy"],
                f"{given.segments} segments of a FLAC": [cut["flac"], "--table", tables["flac"]],
                f"{given.segments} segments of an MP3": [cut["mp3"], "--table", tables["mp3"]],
            }.items():
                seconds, megabytes = measured(build, given.jobs, *arguments)
                print(f"{name + ': ' + what:40s} {seconds:8.1f} {megabytes:8.0f}", flush=True)


if __name__ == "__main__":
    main()
