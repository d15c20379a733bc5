"""Anonymous memory of `extract` and `encode` as the speech grows, beside an older build's.

Of 10, 60 and 240 minutes by default, each command runs in its own process (with its worker
processes, where `--jobs` asks for some). Its anonymous memory, what the system can't take back by
forgetting pages of a file, is read from /proc every few milliseconds; the peak is printed, and by
how much it grows per minute of speech from the shortest corpus to the longest. Corpora are files
of five seconds by ten speakers; after ten minutes their sound repeats. Both builds have to write
the same frames and units. Linux only.

    git worktree add ../before TAG
    python benchmarks/growth.py [--before ../before] [--minutes 10 60 240] [--jobs 1]
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from long_recordings import minute

from measuring import ROOT
from zerochain import audio
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.units import read_units

SECONDS, RATE, SPEAKERS = 5, 16_000, 10
PER_MINUTE = 60 // SECONDS
DIFFERENT_MINUTES = 10
EVERY_S = 0.005


def record(folder, n):
    """Write n recordings; those that repeat earlier ones are other names of the same files."""
    written = []
    for i in range(-(-min(n, DIFFERENT_MINUTES * PER_MINUTE) // PER_MINUTE)):
        sound = minute(RATE, 1, seed=i)[:, 0]
        for begin in range(0, len(sound), SECONDS * RATE):
            written.append(folder / name_of(len(written)))
            audio.write(written[-1], sound[begin : begin + SECONDS * RATE])
    for i in range(len(written), n):
        (folder / name_of(i)).hardlink_to(written[i % len(written)])


def name_of(i):
    return f"u{i:06}.wav"


def corpus_of(folder, recordings, minutes):
    """A corpus of the first recordings."""
    utterances = [
        Utterance(Path(name_of(i)).stem, name_of(i), SECONDS, speaker=f"s{i % SPEAKERS}")
        for i in range(round(PER_MINUTE * minutes))
    ]
    write_corpus(folder, Corpus("growth", tuple(utterances), audio_root=str(recordings)))
    return folder


def tree(pid):
    """A process and those that it started, as far as they are still there."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from tree(int(child))


def anonymous_kb(pid):
    """The anonymous memory of a process at this moment; 0 once it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def now_kb(pid):
    """The anonymous memory of a process and those that it started."""
    total = 0
    try:
        for one in tree(pid):
            total += anonymous_kb(one)
    except (FileNotFoundError, ProcessLookupError):  # one has ended meanwhile
        pass
    return total


def peak_mb(checkout, *words):
    """The most anonymous memory that a command of a checkout holds at any moment, in MB."""
    command = [sys.executable, "-P", "-m", "zerochain", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None:
            peak = max(peak, now_kb(process.pid))
            time.sleep(EVERY_S)
    if process.returncode:
        sys.exit(f"{checkout}: {' '.join(map(str, words))}: exit code {process.returncode}")
    return peak / 1024


def measured(build, corpus, model, place, jobs):
    """Command → peak, and what was written: frames and units."""
    features, units = place / "features", place / "units.parquet"
    rest = ("--device", "cpu", "--jobs", jobs)
    peaks = {
        "extract": peak_mb(build, "extract", corpus, "--out", features, *rest),
        "encode": peak_mb(build, "encode", model, corpus, "--out", units, *rest),
    }
    given = ("--features", features, "--out", place / "again.parquet")
    peaks["encode --features"] = peak_mb(build, "encode", model, corpus, *given, *rest)
    return peaks, (features / "frames.npy", units)


def same(one, other):
    """Whether two builds wrote the same frames and the same units."""
    (frames, units), (others, other_units) = one, other
    mine, theirs = read_units(units).units, read_units(other_units).units
    return (
        filecmp.cmp(frames, others, shallow=False)
        and list(mine) == list(theirs)
        and all((mine[name] == theirs[name]).all() for name in mine)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="a checkout of an older build")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60, 240])
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    builds = {"this build": ROOT}
    if options.before:
        builds = {"before": options.before.resolve(), **builds}
    minutes = sorted(options.minutes)
    with tempfile.TemporaryDirectory(prefix="zerochain-benchmark-") as place:
        folder = Path(place)
        recordings, model = folder / "recordings", folder / "model"
        recordings.mkdir()
        record(recordings, round(PER_MINUTE * minutes[-1]))
        corpora = {n: corpus_of(folder / f"{n:g} min", recordings, n) for n in minutes}
        fitted = ("--units", options.units, "--stride", options.stride, "--device", "cpu")
        oldest = next(iter(builds.values()))
        peak_mb(oldest, "discover", "kmeans", corpora[minutes[0]], *fitted, "--out", model)
        peaks, written = {}, {}
        for name, build in builds.items():
            for n, corpus in corpora.items():
                out = folder / name / f"{n:g}"
                out.mkdir(parents=True)
                found, written[name, n] = measured(build, corpus, model, out, options.jobs)
                peaks |= {(command, name, n): peak for command, peak in found.items()}
        commands = list(dict.fromkeys(command for command, _, _ in peaks))
        print(
            f"peak of anonymous memory, MB; --jobs {options.jobs}, K-Means of {options.units} "
            f"units at stride {options.stride}"
        )
        header = "".join(f"{f'{n:g} min':>10}" for n in minutes)
        print(f"{'':<30}{header}{'kB / min':>11}")
        for command in commands:
            for name in builds:
                row = [peaks[command, name, n] for n in minutes]
                more = minutes[-1] - minutes[0]
                growth = f"{1024 * (row[-1] - row[0]) / more:>11.0f}" if more else f"{'–':>11}"
                print(f"{f'{command}, {name}':<30}" + "".join(f"{p:>10.1f}" for p in row) + growth)
        if options.before:
            equal = all(same(written["before", n], written["this build", n]) for n in minutes)
            print("the same frames and units" if equal else "THE FRAMES OR UNITS DIFFER")


if __name__ == "__main__":
    main()
