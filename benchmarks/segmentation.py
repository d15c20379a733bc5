"""Segmentation with a penalty, beside numpy and librosa's Viterbi: frames per second on one core.

Costs change slowly, as those of speech do, in utterances of 4 s. Each system's segments have to
have the same cost as ours; a warm-up isn't timed. librosa's Viterbi takes any transition matrix, so
it compares K² pairs of units per step; numpy's is our recursion with the running minimum, in a
Python loop over steps.

    python benchmarks/segmentation.py [--frames 20000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

PRICE, LONGEST, STEPS = 4.0, 15, 400


def make_costs(n_units, seed):
    """Smooth noise: the cheapest unit changes every few frames."""
    rng = np.random.default_rng(seed)
    slow = rng.normal(size=(STEPS + 9, n_units)).cumsum(axis=0)
    return (10 + slow[9:] - slow[:-9] + rng.normal(size=(STEPS, n_units))).astype(np.float32)


def zerochain(costs):
    from zerochain.discovery.segmentation import segment

    return segment(costs, PRICE)


def zerochain_limited(costs):
    from zerochain.discovery.segmentation import segment

    return segment(costs, PRICE, 1, LONGEST)


def numpy_viterbi(costs):
    n_frames, n_units = costs.shape
    stayed = np.ones((n_frames, n_units), bool)
    before = np.zeros(n_frames, np.int64)
    total = costs[0].astype(float)
    for t in range(1, n_frames):
        before[t] = total.argmin()
        enter = total[before[t]] + PRICE
        stayed[t] = total <= enter
        total = np.minimum(total, enter) + costs[t]
    path = np.empty(n_frames, np.int64)
    path[-1] = total.argmin()
    for t in range(n_frames - 1, 0, -1):
        path[t - 1] = path[t] if stayed[t, path[t]] else before[t]
    return runs(path)


def numpy_sums(costs):
    """Sums over all segments of up to LONGEST frames, as in Kamper and van Niekerk's own code."""
    n_frames = len(costs)
    best, start, unit = np.zeros(n_frames + 1), np.zeros(n_frames + 1, int), np.zeros(n_frames + 1)
    for end in range(1, n_frames + 1):
        sums = costs[max(0, end - LONGEST) : end][::-1].cumsum(axis=0, dtype=float)
        totals = best[end - len(sums) : end][::-1] + sums.min(axis=1) + PRICE
        n = totals.argmin()
        best[end], start[end], unit[end] = totals[n], end - n - 1, sums[n].argmin()
    units, durations, end = [], [], n_frames
    while end > 0:
        units.append(unit[end])
        durations.append(end - start[end])
        end = start[end]
    return np.array(units[::-1], int), np.array(durations[::-1])


def librosa_viterbi(costs):
    import librosa

    n_units = costs.shape[1]
    probabilities = np.exp(-(costs - costs.min(axis=1, keepdims=True)).astype(float))
    transition = np.full((n_units, n_units), np.exp(-PRICE)) + (1 - np.exp(-PRICE)) * np.eye(
        n_units
    )
    transition /= transition.sum(axis=1, keepdims=True)
    return runs(librosa.sequence.viterbi(probabilities.T, transition))


def runs(path):
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    return path[starts], np.diff(starts, append=len(path))


def cost(utterances, results):
    """The cost of all segments."""
    total = 0.0
    for costs, segments in zip(utterances, results, strict=True):
        steps = np.repeat(*segments)
        total += costs[np.arange(len(costs)), steps].sum(dtype=float) + PRICE * len(segments[0])
    return total


FORMS = {
    "any duration": [zerochain, numpy_viterbi, librosa_viterbi],
    f"at most {LONGEST} steps": [zerochain_limited, numpy_sums],
}


def seconds(system, utterances, repeats=3):
    system(utterances[0])
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        results = [system(costs) for costs in utterances]
        taken.append(time.perf_counter() - begun)
    return min(taken), results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20_000)
    n_frames = parser.parse_args().frames
    for n_units in (64, 256, 512):
        utterances = [make_costs(n_units, seed) for seed in range(max(n_frames // STEPS, 1))]
        for form, systems in FORMS.items():
            ours = None
            for system in systems:
                name = system.__name__.replace("_", " ")
                taken, results = seconds(system, utterances)
                ours = ours or (taken, cost(utterances, results))
                assert abs(cost(utterances, results) - ours[1]) <= 1e-6 * ours[1], name
                speed = STEPS * len(utterances) / taken / 1e3
                print(
                    f"K={n_units:<4} {form:<18} {name:<18} {speed:>8.0f} k frames/s "
                    f"{taken / ours[0]:>7.1f} × our time"
                )


if __name__ == "__main__":
    main()
