"""`zerochain score bitrate` of many utterances: CPU-seconds and peak memory, beside another build.

Units are runs of geometric length, drawn from a skewed distribution. Each build runs in its own
process on the same files, start-up and reading included; the bit rates have to agree.

    python benchmarks/bitrate.py [--utterances 100000] [--units 40] [--before CHECKOUT]
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from measuring import ROOT, run_build
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.scores import read_scores
from zerochain.formats.units import UnitFile, write_units

N_UNITS, STEP_MS = 256, 40.0


def make(folder, n_utterances, mean_units):
    """A corpus without recordings, and its units."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(mean_units // 2, mean_units * 3 // 2 + 1, n_utterances)
    codes = rng.choice(N_UNITS, lengths.sum(), p=rng.dirichlet(np.ones(N_UNITS)))
    steps = np.repeat(codes, rng.geometric(0.5, len(codes)))[: len(codes)].astype(np.int32)
    ids = [f"u{i:07}" for i in range(n_utterances)]
    utterances = tuple(
        Utterance(id=name, audio=f"{name}.wav", duration=n * STEP_MS / 1000)
        for name, n in zip(ids, lengths.tolist(), strict=True)
    )
    write_corpus(folder / "corpus", Corpus("synthetic", utterances))
    units = dict(zip(ids, np.split(steps, np.cumsum(lengths)[:-1]), strict=True))
    write_units(folder / "units.parquet", UnitFile(units, N_UNITS, STEP_MS, "m", "kmeans"))


def measure(checkout, folder, scores):
    """The cost of one run by the zerochain in `checkout`."""
    units, corpus = folder / "units.parquet", folder / "corpus"
    return run_build(checkout, "score", "bitrate", units, "--corpus", corpus, "--out", scores)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=100_000)
    parser.add_argument("--units", type=int, default=40, help="per utterance, on average")
    parser.add_argument("--before", type=Path, help="a checkout of another build of zerochain")
    given = parser.parse_args()
    builds = {"this build": ROOT} | ({"before": given.before.resolve()} if given.before else {})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # In a process of its own: a child starts with its parent's peak of memory as its own.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
            apart.submit(make, folder, given.utterances, given.units).result()
        rates = {}
        print(f"{given.utterances} utterances of {given.units} units on average, K={N_UNITS}")
        for name, checkout in builds.items():
            spent = measure(checkout, folder, folder / f"{name}.jsonl")
            rates[name] = [one.value for one in read_scores(folder / f"{name}.jsonl")]
            print(f"{name:<12} {spent.cpu_s:>7.1f} CPU-s {spent.peak_mb:>7.0f} MB")
        for values in rates.values():
            np.testing.assert_allclose(values, rates["this build"], rtol=1e-9)


if __name__ == "__main__":
    main()
