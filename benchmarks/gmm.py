"""Diagonal Gaussian mixtures on 300 k × 39 frames, K = 256, beside scikit-learn.

Iterations of EM (an E-step and an M-step each) from the same start: wall-clock and CPU seconds per
iteration; peak memory beyond what the process held before, frames and libraries included; the
log-likelihood (of a DPGMM the lower bound) per frame. Each system runs in its own process (Linux).

    python benchmarks/gmm.py [--points 300000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path

import numpy as np

from measuring import apart, cost, mixture

K, DIM, FLOOR = 256, 39, 1e-6


def zerochain(x, variational=False):
    import torch

    from zerochain.discovery.em import clusters, em
    from zerochain.discovery.mixtures import DirichletProcess, MaximumLikelihood
    from zerochain.features.normalisation import Moments

    moments, floor = Moments.of(np.array_split(x, 10)), np.full(DIM, FLOOR)
    m_step = MaximumLikelihood(floor)
    if variational:
        mean, variance = moments.mean.astype(float), np.square(moments.deviation, dtype=float)
        m_step = DirichletProcess(1 / K, mean, variance * len(x) / (len(x) - 1), floor)
    start = clusters(x, torch.from_numpy(x[:K]), moments)
    return lambda n: em(x, start, m_step, moments, max_iterations=n, tolerance=0).bound


def sklearn(x, variational=False):
    from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

    model = GaussianMixture(K, covariance_type="diag", reg_covar=FLOOR)
    if variational:
        model = BayesianGaussianMixture(n_components=K, covariance_type="diag", reg_covar=FLOOR)
    norms = (x[:K] ** 2).sum(axis=1)
    nearest = [(norms - 2 * x[i : i + 1000] @ x[:K].T).argmin(1) for i in range(0, len(x), 1000)]
    model._check_parameters(x)
    model._initialize(x, np.eye(K, dtype=x.dtype)[np.concatenate(nearest)])

    def em(n):
        for _ in range(n):
            likelihood, log_shares = model._e_step(x)
            model._m_step(x, log_shares)
        bound = model._compute_lower_bound(log_shares, likelihood)
        return bound / len(x) if variational else bound

    return em


SYSTEMS = {
    "GMM zerochain": zerochain,
    "GMM sklearn float32": sklearn,
    "GMM sklearn float64": lambda x: sklearn(x.astype(float)),
    "DPGMM zerochain": lambda x: zerochain(x, variational=True),
    "DPGMM sklearn float64": lambda x: sklearn(x.astype(float), variational=True),
}


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def worker(system, file, rounds):
    x = np.load(file)
    SYSTEMS[system](x[:5000])(1)
    run, held = SYSTEMS[system](x), resident_mb()
    with cost() as spent:
        bound = run(rounds)
    times = spent.wall_s / rounds, spent.cpu_s / rounds
    print(json.dumps([*times, spent.peak_mb - held, float(bound)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=2, metavar=("SYSTEM", "FILE"))
    arguments = parser.parse_args()
    if arguments.worker:
        worker(*arguments.worker, arguments.rounds)
        return
    print(f"{arguments.points:,} × {DIM}, K = {K}, iterations of EM: {arguments.rounds}")
    print(f"{'':>22} {'wall s':>8} {'CPU s':>8} {'extra MB':>9} {'nats per frame':>14}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "points.npy"
        np.save(file, mixture(arguments.points, DIM))
        for system in SYSTEMS:
            words = ("--rounds", arguments.rounds, "--worker", system, file)
            wall, cpu, extra, bound = apart(__file__, *words)
            print(f"{system:>22} {wall:>8.2f} {cpu:>8.2f} {extra:>9.0f} {bound:>14.4f}")


if __name__ == "__main__":
    main()
