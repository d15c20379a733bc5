"""K-Means on 1 M × 39 points, K = 256, beside scikit-learn and, where it is installed, faiss.

Wall-clock and CPU seconds after a warm-up on a small set; inertia is the mean squared distance of
all points to their nearest centroids. Each system runs in its own process.

    python benchmarks/kmeans.py [--points 1000000]
"""

from __future__ import annotations

import argparse
import importlib.util
import json

import numpy as np

from measuring import apart, cost, mixture

K, DIM = 256, 39


def zerochain(x):
    from zerochain.discovery.front_end import FrontEndOptions
    from zerochain.discovery.kmeans import KMeansConfig, KMeansUnits
    from zerochain.formats.features import Features

    features, options = Features.from_arrays({"all": x}), FrontEndOptions(normalisation="none")
    return (
        KMeansUnits(K, options=options, config=KMeansConfig(max_frames=len(x)))
        .fit(features)
        .codebook
    )


def sklearn(x):
    from sklearn.cluster import KMeans

    part = x[np.random.default_rng(0).choice(len(x), min(len(x), 100_000), replace=False)]
    return KMeans(K, n_init=1, random_state=0).fit(part).cluster_centers_


def faiss(x):
    import faiss

    model = faiss.Kmeans(DIM, K, niter=25, seed=0, max_points_per_centroid=len(x))
    model.train(x)
    return model.centroids


SYSTEMS = {"zerochain": zerochain, "faiss": faiss, "sklearn": sklearn}


def inertia(x, centroids):
    norms = (centroids**2).sum(axis=1)
    parts = (x[i : i + 20_000] for i in range(0, len(x), 20_000))
    return sum(
        float(((p**2).sum(axis=1) + (norms - 2 * p @ centroids.T).min(axis=1)).sum()) for p in parts
    ) / len(x)


def worker(system, n):
    x = mixture(n, DIM)
    SYSTEMS[system](x[:5000])
    with cost() as spent:
        centroids = SYSTEMS[system](x)
    loss = inertia(x, np.asarray(centroids))
    print(json.dumps([spent.wall_s, spent.cpu_s, spent.peak_mb, loss]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--worker", choices=SYSTEMS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.points)
        return
    print(f"K-Means, {arguments.points:,} × {DIM}, K = {K} (sklearn: Lloyd on 100,000 of them)")
    print(f"{'':>10} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'inertia':>9}")
    for system in SYSTEMS:
        if importlib.util.find_spec(system) is None:
            print(f"{system:>10} not installed")
            continue
        words = ("--points", arguments.points, "--worker", system)
        wall, cpu, peak, loss = apart(__file__, *words)
        print(f"{system:>10} {wall:>8.1f} {cpu:>8.1f} {peak:>8.0f} {loss:>9.4f}")


if __name__ == "__main__":
    main()
