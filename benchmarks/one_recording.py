"""`zerochain invert convert` and `translate speech` of one recording, as whole processes.

What a user waits for: starting up, reading the models, encoding, speaking. Models have their usual
sizes and random weights (a few steps of training), since speed doesn't depend on them. Each command
runs several times; the least wall time and its CPU-seconds are printed, beside another build's on
the same files. Both builds have to make the same samples.

    python benchmarks/one_recording.py [--seconds 3] [--runs 5] [--before CHECKOUT]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from zerochain import audio

HERE = Path(__file__).resolve().parents[1]
N_UTTERANCES = 6
FEW = ["--steps", "2", "--validate-every", "2", "--batch-size", "2"]


def zerochain(checkout, *arguments):
    """Wall time and CPU-seconds of one command by the zerochain in `checkout`."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "zerochain", *map(str, arguments)]  # not that of the cwd
    begun = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    errors = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{checkout}: {' '.join(command[3:])}: {errors}")
    return time.monotonic() - begun, used.ru_utime + used.ru_stime


def voice(seconds, hz, seed):
    """Harmonics of a moving pitch, with noise: voiced enough for F0."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(16_000 * seconds)) / 16_000
    phase = 2 * np.pi * np.cumsum(hz * (1 + 0.2 * np.sin(2 * np.pi * 0.8 * t))) / 16_000
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    gain = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * t)
    return (0.1 * gain * tone + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def prepare(root, seconds, builder):
    """Recordings, and models of their usual sizes, made by the older build: both read them."""

    def run(*arguments):
        zerochain(builder, *arguments)

    for side, hz in (("source", 120), ("target", 180)):
        (root / side).mkdir()
        for i in range(N_UTTERANCES):
            audio.write(root / side / f"u{i}.wav", voice(2, hz, i))
        run("import", "folder", root / side, "--speaker-from", f"name:{side}",
            "--out", root / f"{side}-corpus")  # fmt: skip
        run("discover", "kmeans", root / f"{side}-corpus", "--units", 50, "--stride", 2,
            "--out", root / f"{side}-units-model")  # fmt: skip
        run("encode", root / f"{side}-units-model", root / f"{side}-corpus",
            "--out", root / f"{side}.parquet")  # fmt: skip
    audio.write(root / "in.wav", voice(seconds, 140, 99))
    given = (root / "target.parquet", root / "target-corpus")
    run("invert", "train", *given, *FEW, "--adversary", "none", "--prosody-steps", 2,
        "--out", root / "code2spec")  # fmt: skip
    run("invert", "train-neural", *given, *FEW, "--f0-steps", 2, "--prosody-steps", 2,
        "--out", root / "convnext")  # fmt: skip
    table, pairs = root / "pairs.tsv", root / "pairs.parquet"
    rows = "".join(f"u{i}\tu{i}\n" for i in range(N_UTTERANCES))
    table.write_text(f"source\ttarget\n{rows}")
    corpora = ("--source", root / "source-corpus", "--target", root / "target-corpus")
    run("import", "pairs", table, *corpora, "--out", pairs)
    run("extract", root / "source-corpus", "--out", root / "features")
    run("translate", "train", root / "features", root / "target.parquet", pairs, *FEW,
        "--out", root / "translator")  # fmt: skip


def commands(root):
    """Name → the command without its output."""
    recording, model = root / "in.wav", root / "target-units-model"
    return {
        "invert convert, code2spec": ("invert", "convert", root / "code2spec", model, recording),
        "invert convert, convnext": ("invert", "convert", root / "convnext", model, recording),
        "translate speech, convnext": (
            "translate", "speech", root / "translator", root / "convnext", recording,
        ),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of the recording")
    parser.add_argument("--runs", type=int, default=5, help="of each command; the least counts")
    parser.add_argument("--before", type=Path, help="a checkout of another build of zerochain")
    given = parser.parse_args()
    builds = {"this build": HERE} | ({"before": given.before.resolve()} if given.before else {})
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        prepare(root, given.seconds, list(builds.values())[-1])
        print(f"a recording of {given.seconds:g} s, one thread, the least of {given.runs} runs")
        for name, command in commands(root).items():
            times = {build: [] for build in builds}
            waves = {}
            for _ in range(given.runs):
                for build, checkout in builds.items():  # by turns: both meet the same load
                    out = root / f"{build}.wav"
                    times[build].append(zerochain(checkout, *command, out))
                    waves[build] = audio.read(out)
            for build in builds:
                np.testing.assert_allclose(waves[build], waves["this build"], atol=1e-4)
                wall, cpu = (min(values) for values in zip(*times[build], strict=True))
                print(f"{name:<28} {build:<12} {wall:>6.2f} s {cpu:>6.2f} CPU-s")


if __name__ == "__main__":
    main()
