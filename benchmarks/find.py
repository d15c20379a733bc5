"""Query by example in hours of speech, beside plain DTW of MFCCs (librosa.sequence.dtw).

MFCC-39 of a features folder (--features), or smooth random ones, are repeated until they last
--hours, as utterances on the disk; units of 40 ms are the nearest of 256 of their frames. Each
system opens the files and searches for one query of half a second, which is what the first columns
have, then for that one and ten more at once: "further" is what each of the ten costs. librosa
aligns the query with every utterance of the last --peer-minutes, and its time is multiplied up. CPU
seconds count, wall seconds depend on what else the machine does. Recall is the share of the ten
best hits of one exact pass over all frames that two passes find.

    python benchmarks/find.py [--hours 10] [--features FOLDER]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from measuring import ONE_THREAD, apart, cost

QUERY_S, N_MORE, N_UNITS, POOL = 0.5, 10, 256, 4
SYSTEMS = ("librosa", "exact", "frames", "index", "units")
WORDS = {
    "librosa": "librosa: DTW of MFCC",
    "exact": "MFCC, one pass over all frames",
    "frames": "MFCC, first pass 40 ms",
    "index": "MFCC, units as the index",
    "units": "units alone",
}


def prepare(folder, hours, given):
    """Features and units that last so long, and the utterances that queries are cut from."""
    from zerochain.formats.features import read_features, write_features
    from zerochain.formats.units import UnitFile, write_units

    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    if given is not None:
        features = read_features(given)
        arrays = [features[name] for name in features.ids]
    else:
        walks = rng.normal(size=(300, 400, 39)).cumsum(axis=1)
        arrays = [(w - w.mean(axis=0)).astype(np.float32) for w in walks]
    frames = np.concatenate([pooled(a) for a in arrays])
    frames = (frames - frames.mean(axis=0)) / frames.std(axis=0)
    codebook = frames[rng.choice(len(frames), N_UNITS, replace=False)]
    nearest = (frames @ codebook.T - (codebook**2).sum(axis=1) / 2).argmax(axis=1)
    ends = np.cumsum([len(a) // POOL for a in arrays])
    of_each = np.split(nearest.astype(np.int32), ends[:-1])
    np.save(folder / "codebook.npy", codebook)
    kept, n_frames, i = {}, 0, 0
    with write_features(
        folder / "features", extractor="mfcc", options={}, step_ms=10.0, corpus_id=""
    ) as writer:
        while n_frames < hours * 360_000:
            array = arrays[i % len(arrays)]
            if len(array) >= POOL:
                writer.add(f"u{i:06}", array, f"s{i % 7}")
                kept[f"u{i:06}"] = of_each[i % len(arrays)]
                n_frames += len(array)
            i += 1
    units = UnitFile(kept, N_UNITS, 10.0 * POOL, "0" * 64, "nearest of 256 frames")
    write_units(folder / "units.parquet", units)


def pooled(array):
    return array[: len(array) // POOL * POOL].reshape(-1, POOL, array.shape[1]).mean(axis=1)


def opened(system, folder):
    """What is searched, and the first pass's view of it."""
    from zerochain.formats.features import read_features
    from zerochain.formats.units import read_units
    from zerochain.search.sources import (
        DERIVATIVES,
        FrameSource,
        PooledSource,
        UnitSource,
        unit_distances,
    )

    units = None
    if system in {"index", "units"}:
        table = unit_distances(np.load(folder / "codebook.npy"), N_UNITS)
        units = UnitSource(read_units(folder / "units.parquet"), table)
    if system == "units":
        return units, None
    features = read_features(folder / "features", verified=system != "index")
    frames = FrameSource(features, derivatives=DERIVATIVES)
    return frames, PooledSource(frames, POOL) if system == "frames" else units


def search(sources, n_queries):
    """The places of the ten best hits of each query."""
    from zerochain.search.find import FindConfig, Place, find, query_at

    source, coarse = sources
    names = [n for n in source.ids if source.n_frames(n) * source.step_ms > 1500]
    places = [Place(name, 0.4, 0.4 + QUERY_S) for name in names[::7][:n_queries]]
    queries = [query_at(source, coarse, place, label=place.id) for place in places]
    found = find(queries, source, coarse, FindConfig(min_score=-99.0, most=10))
    return {
        query.label: [(h.place.id, h.place.start_s) for h in found.hits if h.label == query.label]
        for query in queries
    }


def librosa(folder, minutes):
    """Plain subsequence DTW of one query with some minutes of the utterances; minutes done."""
    import librosa as peer

    from zerochain.formats.features import read_features

    features = read_features(folder / "features", verified=False)
    query, n_frames = np.asarray(features[features.ids[0]][40 : 40 + round(QUERY_S * 100)]).T, 0
    for name in reversed(features.ids):
        peer.sequence.dtw(query, np.asarray(features[name]).T, subseq=True, backtrack=True)
        n_frames += len(features[name])
        if n_frames >= minutes * 6000:
            break
    return n_frames / 6000


def worker(system, folder, minutes):
    small = folder / "small"  # compiles the kernels, or loads them
    if system == "librosa":
        librosa(small, 0.01)
        with cost() as spent:
            done = librosa(folder, minutes)
        print(json.dumps([spent.wall_s, spent.cpu_s, spent.peak_mb, done]))
        return
    search(opened(system, small), 1)
    with cost() as first:
        sources = opened(system, folder)
        search(sources, 1)
    with cost() as one:
        search(sources, 1)
    with cost() as all_of:
        found = search(sources, 1 + N_MORE)
    further = (all_of.cpu_s - one.cpu_s) / N_MORE
    print(json.dumps([first.wall_s, first.cpu_s, further, all_of.peak_mb, found]))


def recall(found, exact):
    """How many of the best hits of the exact search are there, to a tenth of a second."""
    shares = []
    for label, places in exact.items():
        mine = found[label]
        hits = [
            any(name == other and abs(start_s - s) < 0.1 for other, s in mine)
            for name, start_s in places
        ]
        shares.append(np.mean(hits))
    return float(np.mean(shares))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--features", type=Path, help="MFCC of real recordings, to be repeated.")
    parser.add_argument("--peer-minutes", type=float, default=6.0)
    parser.add_argument("--worker", choices=SYSTEMS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", choices=SYSTEMS[1:], nargs="+", default=SYSTEMS[1:])
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.folder, arguments.peer_minutes)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, arguments.hours, arguments.features)
        prepare(folder / "small", 0.02, None)
        measure(folder, arguments)


def measure(folder, arguments):
    words = ("--folder", folder, "--peer-minutes", arguments.peer_minutes)

    def run(system):
        return apart(__file__, *words, "--worker", system, environment=ONE_THREAD)

    wall, cpu, peak, minutes = run("librosa")
    by = arguments.hours * 60 / minutes
    print(
        f"One query of {QUERY_S} s in {arguments.hours:g} h; librosa: {minutes:.1f} min × {by:.0f}"
    )
    print(
        f"{'':>32} {'wall s':>8} {'CPU s':>8} {'further':>8} {'ratio':>7} {'MB':>6} {'recall':>7}"
    )
    print(f"{WORDS['librosa']:>32} {wall * by:>8.1f} {cpu * by:>8.1f} {cpu * by:>8.1f} {1:>7}")
    exact = None
    for system in arguments.only:
        first_wall, first, further, peak, found = run(system)
        exact = found if system == "exact" else exact
        has_recall = exact is not None and system != "units"
        share = f"{recall(found, exact):>7.2f}" if has_recall else ""
        print(
            f"{WORDS[system]:>32} {first_wall:>8.1f} {first:>8.1f} {further:>8.2f} "
            f"{cpu * by / further:>7.0f} {peak:>6.0f} {share}"
        )


if __name__ == "__main__":
    main()
