"""MFCC-39 of an hour of speech-like sound beside librosa: seconds, ratios, largest difference.

With one process, and with two that take half of the utterances each, as the extraction of a corpus
does; librosa is run in the same way. Each process has one thread. A warm-up comes first: imports
and librosa's lazy loading aren't timed.

    python benchmarks/mfcc.py [--minutes 60]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

from measuring import ONE_THREAD

SECONDS = 4.0


def waves(minutes, part, parts):
    """Utterances of 4 s: noise through slowly moving resonances, with pauses."""
    from scipy.signal import lfilter

    made = []
    for i in range(part, round(minutes * 60 / SECONDS), parts):
        rng = np.random.default_rng(i)
        noise = rng.normal(size=round(SECONDS * 16_000)).astype(np.float32)
        pole = 0.97 * np.exp(2j * np.pi * rng.uniform(300, 3000) / 16_000)
        wave = lfilter([1.0], [1, -2 * pole.real, abs(pole) ** 2], noise)
        envelope = np.clip(np.sin(np.arange(len(wave)) / rng.uniform(1500, 4000)), 0.001, 1)
        made.append((0.05 * wave * envelope).astype(np.float32))
    return made


def ours():
    import torch

    from zerochain.features.spectral import SpectralExtractor, SpectralOptions

    torch.set_num_threads(1)
    extractor = SpectralExtractor(SpectralOptions())

    def run(utterances):
        return [f for i in range(0, len(utterances), 15) for f in extractor(utterances[i : i + 15])]

    return run


def librosa():
    from librosa.feature import delta, mfcc

    def one(wave):
        options = {"sr": 16_000, "n_mfcc": 13, "n_fft": 400, "hop_length": 160, "n_mels": 80}
        cepstra = mfcc(y=wave, **options)
        return np.concatenate([cepstra, delta(cepstra), delta(cepstra, order=2)]).T

    return lambda utterances: [one(wave) for wave in utterances]


SYSTEMS = {"librosa": librosa, "zerochain": ours}


def worker(system, minutes, part, parts):
    """Wait for a line on standard input, so that all parts start at once; print the seconds."""
    extract = SYSTEMS[system]()
    utterances = waves(minutes, part, parts)
    extract(utterances[:20])
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    frames = extract(utterances)
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "sample": frames[0].tolist()}), flush=True)


def measure(system, minutes, parts):
    environment = {**os.environ, **ONE_THREAD}
    command = [sys.executable, __file__, "--minutes", str(minutes), "--worker", system]
    processes = [
        subprocess.Popen(
            [*command, str(part), str(parts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for part in range(parts)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    results = [json.loads(process.communicate()[0]) for process in processes]
    return max(r["seconds"] for r in results), np.array(results[0]["sample"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--worker", nargs=3)
    arguments = parser.parse_args()
    if arguments.worker:
        system, part, parts = arguments.worker
        worker(system, arguments.minutes, int(part), int(parts))
        return
    print(f"MFCC-39 of {arguments.minutes:g} min, {os.cpu_count()} cores")
    print("processes  librosa s  zerochain s  × librosa on one  × librosa on as many")
    base = None
    for parts in (1, 2):
        theirs, expected = measure("librosa", arguments.minutes, parts)
        mine, sample = measure("zerochain", arguments.minutes, parts)
        base = base or theirs
        print(
            f"{parts:>10} {theirs:>10.2f} {mine:>12.2f} {base / mine:>17.1f} {theirs / mine:>7.1f}"
        )
    print(f"largest difference: {abs(sample - expected).max():.1e}")


if __name__ == "__main__":
    main()
