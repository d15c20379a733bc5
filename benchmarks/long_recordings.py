"""Importing long recordings beside an older build: memory, CPU-seconds, and MP3 beside FLAC.

1. One whole stereo WAV of two hours at 48 kHz: peak memory of the process and its CPU-seconds.
2. 400 segments of an hour of MP3, and of the same hour in FLAC: how many times as long the MP3
   takes. Both are mono, at 44.1 kHz.

Each import runs in its own process with one thread. The older build is given as a checkout.

    git worktree add ../before TAG
    python benchmarks/long_recordings.py [--before ../before] [--hours 2] [--segments 400]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from measuring import ROOT, run_build


def minute(rate, channels, seed):
    """Speech-like sound (n, channels): a voice with pauses, and some noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(60 * rate) / rate
    phase = 2 * np.pi * np.cumsum(140 * (1 + 0.2 * np.sin(2 * np.pi * 1.3 * time_s))) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 10)) * np.sin(2 * np.pi * 0.4 * time_s) ** 2
    noise = 0.005 * rng.standard_normal((len(time_s), channels))
    return (0.15 * voice[:, None] + noise).astype(np.float32)


def write(path, rate, channels, minutes):
    """Write a recording minute by minute; it repeats after ten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, channels) as file:
        different = [minute(rate, channels, seed) for seed in range(min(10, minutes))]
        for i in range(minutes):
            file.write(different[i % len(different)])


def write_apart(*arguments):
    """`write` in its own process: a child's peak memory would start at its parent's."""
    process = multiprocessing.get_context("spawn").Process(target=write, args=arguments)
    process.start()
    process.join()


def import_whole(build, folder, out):
    return run_build(build, "import", "folder", folder, "--out", out, "--jobs", 1)


def import_segments(build, folder, kind, out):
    return run_build(
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
    builds = {"this build": ROOT}
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
            print(f"{name:<12} {done.wall_s:>8.1f} {done.cpu_s:>7.1f} {done.peak_mb:>8.0f}")
        # Start-up isn't counted below.
        empty = {name: run_build(build, "--help").cpu_s for name, build in builds.items()}
        print(f"\n{options.segments} segments of {options.minutes} min, CPU-s")
        print(f"{'':<12} {'FLAC':>8} {'MP3':>7} {'MP3 / FLAC':>11}")
        for name, build in builds.items():
            flac, mp3 = (
                import_segments(build, folder, kind, folder / f"{kind} {name}").cpu_s - empty[name]
                for kind in ("flac", "mp3")
            )
            print(f"{name:<12} {flac:>8.2f} {mp3:>7.2f} {mp3 / flac:>11.2f}")


if __name__ == "__main__":
    main()
