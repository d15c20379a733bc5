"""ABX beside fastabx and beside a plain Python loop, on one synthetic set.

20 phones × 10 speakers × 10 tokens of 10 … 30 frames, any context, across speakers: all of the 34.2
million triples. Four representations: frames of 39 and of 256 dimensions under the angular
distance, 39 posteriors under the symmetrised KL divergence, and units (K = 100) that are the same
or not. Each system runs in its own process, after a warm-up on a small set: compilation and imports
aren't timed. The plain loop scores a subset.

    python benchmarks/abx.py [--peer PYTHON] [--only KIND …]

fastabx needs Python ≥ 3.12: where this Python can't import it, give one that can with --peer or
ZEROCHAIN_FASTABX_PYTHON. Without one, its rows are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

from measuring import apart, cost

KINDS = {"D=39": "angular", "D=256": "angular", "KL": "kl_symmetric", "units": "identical"}
"""Representation → distance."""
FULL = (20, 10, 10)
PART = (4, 3, 3)


def tokens(kind, n_phones, n_speakers, n_tokens):
    """(phone, speaker, frames) of each token: the phone's trajectory, a speaker's offset, noise."""
    rng = np.random.default_rng(0)
    dim = {"D=39": 39, "D=256": 256, "KL": 39, "units": 8}[kind]
    courses = rng.normal(size=(n_phones, 30, dim)).astype(np.float32)
    shifts = rng.normal(size=(n_speakers, dim)).astype(np.float32)
    codebook = rng.normal(size=(100, dim)).astype(np.float32)
    made = []
    for p in range(n_phones):
        for s in range(n_speakers):
            for _ in range(n_tokens):
                n = int(rng.integers(10, 31))
                at = np.linspace(0, 29, n).astype(int)
                noise = rng.normal(size=(n, dim)).astype(np.float32)
                frames = courses[p, at] + shifts[s] + 2 * noise
                if kind == "KL":
                    frames = np.exp(frames / 2) / np.exp(frames / 2).sum(axis=1, keepdims=True)
                if kind == "units":
                    distances = ((frames[:, None] - codebook[None]) ** 2).sum(axis=2)
                    frames = distances.argmin(axis=1)[:, None].astype(np.float32)
                made.append((f"p{p:02}", f"s{s:02}", frames))
    return made


def ours(kind, made):
    from zerochain.formats.features import Features
    from zerochain.formats.units import UnitFile
    from zerochain.metrics.abx import abx
    from zerochain.metrics.abx_plan import Protocol
    from zerochain.metrics.items import Item

    items, arrays = [], {}
    for i, (phone, speaker, frames) in enumerate(made):
        name = f"{i:06}"
        arrays[name] = frames
        items.append(Item(name, 0.0, len(frames) / 100, phone, "", "", speaker))
    if kind == "units":
        units = {name: frames[:, 0].astype(np.int32) for name, frames in arrays.items()}
        given = UnitFile(units, 100, 10.0, "model", "benchmark")
    else:
        given = Features.from_arrays(arrays, step_ms=10.0)
    everything = Protocol("all", span="phone", context="any")
    result = abx(given, items, mode="across", distance=KINDS[kind], protocol=everything)
    return result.value, result.n_triples


def fastabx(kind, made):
    import polars
    import torch
    from fastabx import Dataset, Score, Task
    from fastabx.accessor import InMemoryAccessor

    ends = np.cumsum([len(frames) for _, _, frames in made])
    spans = {i: (int(end) - len(made[i][2]), int(end)) for i, end in enumerate(ends)}
    data = torch.from_numpy(np.concatenate([frames for _, _, frames in made]))
    labels = polars.DataFrame({"phone": [t[0] for t in made], "speaker": [t[1] for t in made]})
    dataset = Dataset(labels=labels, accessor=InMemoryAccessor(spans, data, torch.device("cpu")))
    task = Task(dataset, on="phone", across=["speaker"])
    score = Score(task, KINDS[kind], progress=False)
    return 100 * score.collapse(levels=["speaker"]), int(score.cells["size"].sum())


def plain(kind, made):
    """The definition as a loop over triples, with cached distances; numpy for frame distances."""
    distances = {}

    def distance(x, y):
        if (x, y) not in distances:
            a, b = made[x][2], made[y][2]
            if kind == "units":
                local = (a != b.T).astype(float)
            elif kind == "KL":
                p, q = a[:, None].astype(float), b[None].astype(float)
                ratio = np.log((p + 1e-6) / (q + 1e-6))
                local = 0.5 * (p * ratio - q * ratio).sum(axis=2)
            else:
                norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
                local = np.arccos(np.clip(a @ b.T / norms, -1, 1)) / np.pi
            distances[x, y] = dtw(local)
        return distances[x, y]

    cells, n = {}, 0
    for x, (phone, speaker, _) in enumerate(made):
        for a, (phone_a, speaker_a, _) in enumerate(made):
            if phone_a != phone or speaker_a == speaker:
                continue
            for b, (phone_b, speaker_b, _) in enumerate(made):
                if phone_b == phone or speaker_b != speaker_a:
                    continue
                score = 0.5 * (1 + np.sign(distance(x, b) - distance(x, a)))
                cells.setdefault((phone, phone_b, speaker_a, speaker), []).append(score)
                n += 1
    return 100 * (1 - np.mean([np.mean(scores) for scores in cells.values()])), n


def dtw(local):
    n, m = local.shape
    cost = np.empty((n, m))
    cost[0] = np.cumsum(local[0])
    cost[:, 0] = np.cumsum(local[:, 0])
    for i in range(1, n):
        for j in range(1, m):
            before = min(cost[i - 1, j], cost[i - 1, j - 1], cost[i, j - 1])
            cost[i, j] = local[i, j] + before
    i, j, length = n - 1, m - 1, 1
    while i > 0 and j > 0:
        diagonal, left, up = cost[i - 1, j - 1], cost[i, j - 1], cost[i - 1, j]
        if diagonal <= left and diagonal <= up:
            i, j = i - 1, j - 1
        elif left <= up:
            j -= 1
        else:
            i -= 1
        length += 1
    return cost[-1, -1] / (length + i + j)


SYSTEMS = {"zerochain": ours, "fastabx": fastabx, "plain": plain}


def measure(system, kind, size):
    """One run, in this process, as JSON on standard output."""
    SYSTEMS[system](kind, tokens(kind, 3, 3, 2))
    made = tokens(kind, *size)
    with cost() as spent:
        value, n = SYSTEMS[system](kind, made)
    row = {"value": float(value), "triples": n, "wall": spent.wall_s, "cpu": spent.cpu_s}
    added_mb = spent.peak_mb - spent.peak_before_mb
    print(json.dumps({**row, "peak_mb": spent.peak_mb, "added_mb": added_mb}))


def run(python, system, kind, size):
    return apart(__file__, "--measure", system, kind, *size, python=python, may_fail=True)


def report(kind, size, rows):
    print(f"\n{kind}, {size[0]} phones × {size[1]} speakers × {size[2]} tokens")
    print(
        f"{'':10} {'error %':>12} {'triples':>12} {'s':>8} {'CPU-s':>8} {'peak MB':>8} {'added':>7}"
    )
    for system, row in rows.items():
        print(
            f"{system:10} {row['value']:12.7f} {row['triples']:12,} {row['wall']:8.2f} "
            f"{row['cpu']:8.2f} {row['peak_mb']:8.0f} {row['added_mb']:7.0f}"
        )
    mine = rows["zerochain"]
    for system, row in rows.items():
        if system != "zerochain":
            print(
                f"  beside {system}: {row['cpu'] / mine['cpu']:.1f} × less CPU time, "
                f"{row['wall'] / mine['wall']:.1f} × faster, "
                f"scores differ by {abs(row['value'] - mine['value']):.1e}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=os.environ.get("ZEROCHAIN_FASTABX_PYTHON"))
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--measure", nargs=5)
    options = parser.parse_args()
    if options.measure:
        system, kind, *size = options.measure
        measure(system, kind, tuple(map(int, size)))
        return
    peer = options.peer or sys.executable
    if not Path(peer).exists():
        parser.error(f"{peer}: no such Python")
    for kind in options.only:
        for size, others in ((FULL, {"fastabx": peer}), (PART, {"plain": sys.executable})):
            rows = {"zerochain": run(sys.executable, "zerochain", kind, size)}
            rows |= {system: run(python, system, kind, size) for system, python in others.items()}
            report(kind, size, {system: row for system, row in rows.items() if row})


if __name__ == "__main__":
    main()
