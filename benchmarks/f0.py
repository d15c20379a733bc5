"""F0 of zerochain beside librosa.pyin: time, error where F0 is known, agreement on real speech.

The speech is synthesised here: glottal pulses with jitter, shimmer and breath through moving
formants, with frication, closures and silence between; voices of men, women and children. Both
trackers run on clean speech, and with white noise at 20 dB, with one thread each in this process,
after a warm-up.

    python benchmarks/f0.py [--utterances 12] [RECORDING …]
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

RATE, STEP = 16_000, 80
VOICES = ((75, 1.0), (110, 1.0), (140, 1.05), (190, 1.15), (250, 1.2), (330, 1.3))
VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)


def glottal_source(rng, f0):
    """Derivative of Rosenberg's pulse in each period of f0 (n,), with jitter, shimmer, breath."""
    wave, position = np.zeros(len(f0)), 0.0
    while position < len(f0) - 2:
        period = RATE / f0[int(position)] * (1 + 0.005 * rng.normal())
        n = int(period)
        t = np.arange(n) / period
        opened = np.where(t < 0.4, 0.5 - 0.5 * np.cos(np.pi * t / 0.4), 0)
        closing = np.where((t >= 0.4) & (t < 0.56), np.cos(np.pi / 2 * (t - 0.4) / 0.16), 0)
        pulse = np.diff(opened + closing, prepend=0) * period / 100 * (1 + 0.05 * rng.normal())
        begin = int(position)
        kept = min(n, len(f0) - begin)
        wave[begin : begin + kept] += pulse[:kept]
        position += period
    return wave + 0.01 * rng.normal(size=len(f0)) * np.abs(wave).max()


def formants(rng, source, scale):
    """Cascade of resonances that glide from vowel to vowel, updated every 5 ms."""
    n_blocks = -(-len(source) // STEP)
    targets = np.array([VOWELS[i] for i in rng.integers(len(VOWELS), size=2 + n_blocks // 25)])
    at = np.linspace(0, len(targets) - 1, n_blocks)
    tracks = [np.interp(at, np.arange(len(targets)), column) * scale for column in targets.T]
    tracks.append(np.full(n_blocks, 3500 * scale))
    out = source
    for track, bandwidth in zip(tracks, (70, 100, 130, 200), strict=True):
        pole = np.exp(-np.pi * bandwidth / RATE + 2j * np.pi * np.minimum(track, 7000) / RATE)
        state, parts = np.zeros(2), []
        for i, p in enumerate(pole):
            a = [1, -2 * p.real, abs(p) ** 2]
            part, state = lfilter([sum(a)], a, out[i * STEP : (i + 1) * STEP], zi=state)
            parts.append(part)
        out = np.concatenate(parts)
    return out


def voiced(rng, base, scale):
    """A voiced interval and its F0: a contour that moves by up to half an octave."""
    n = int(rng.uniform(0.08, 0.6) * RATE)
    t = np.arange(n) / RATE
    drift = rng.uniform(-0.3, 0.3) + rng.uniform(-0.8, 0.8) * (t - t[-1] / 2)
    f0 = base * 2 ** np.clip(drift + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 4) * t), -0.5, 0.5)
    ramp = np.minimum(1, np.minimum(t, t[-1] - t) / 0.02 + 0.1)
    wave = formants(rng, glottal_source(rng, f0), scale) * ramp * 10 ** rng.uniform(-0.5, 0)
    return wave, f0


def unvoiced(rng, loud):
    """Frication, an aspirated stop, or silence; no F0."""
    n = int(rng.uniform(0.04, 0.2) * RATE)
    low = rng.choice([800, 2000, 4000])
    noise = sosfilt(
        butter(2, [low, min(low * 2.5, 7500)], "bandpass", fs=RATE, output="sos"),
        rng.normal(size=n),
    )
    kind = rng.integers(3)
    if kind == 0:
        return np.zeros(n)
    if kind == 1:
        noise[: n // 2] = 0
    return noise / noise.std() * loud * 10 ** rng.uniform(-1.2, -0.4)


def utterance(seed, noise_db=None):
    """Waveform, and its F0 in Hz at every 5 ms, 0 where it is unvoiced."""
    rng = np.random.default_rng(seed)
    base, scale = VOICES[seed % len(VOICES)]
    waves, contours = [np.zeros(RATE // 5)], [np.zeros(RATE // 5)]
    for _ in range(10):
        wave, f0 = voiced(rng, base, scale)
        rest = unvoiced(rng, wave.std())
        waves += [wave, rest]
        contours += [f0, np.zeros(len(rest))]
    wave, f0 = np.concatenate(waves), np.concatenate(contours)
    level = wave[f0 > 0].std()
    wave = wave + 10 ** (-(noise_db or 60) / 20) * level * rng.normal(size=len(wave))
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32), f0[::STEP]


def pyin(wave):
    import librosa

    f0, is_voiced, _ = librosa.pyin(
        wave, fmin=60, fmax=500, sr=RATE, hop_length=STEP, frame_length=1024
    )
    return np.where(is_voiced, np.nan_to_num(f0), 0)[: -(-len(wave) // STEP)]


def ours(wave):
    from zerochain.features.f0 import F0Options, track_f0

    return track_f0(wave, F0Options(low_hz=60, high_hz=500))


SYSTEMS = {"librosa.pyin": pyin, "zerochain": ours}


def errors(found, known):
    """Shares in %: voicing wrong; more than 20 % off where both are voiced; either; and cents."""
    both = (found > 0) & (known > 0)
    ratio = np.log2(found[both] / known[both])
    off = np.abs(np.exp2(ratio) - 1) > 0.2
    wrong = (found > 0) != (known > 0)
    fine = 1200 * np.sqrt(np.mean(ratio[~off] ** 2))
    return 100 * wrong.mean(), 100 * off.mean(), 100 * (wrong.sum() + off.sum()) / len(known), fine


def run(system, waves):
    begun = time.process_time()
    found = [SYSTEMS[system](wave) for wave in waves]
    return time.process_time() - begun, found


def synthesised(n, noise_db):
    waves, known = zip(*(utterance(seed, noise_db) for seed in range(n)), strict=True)
    seconds = sum(map(len, waves)) / RATE
    print(f"\nutterances: {n}, {seconds:.0f} s, {noise_db or 60} dB signal-to-noise ratio")
    print(f"{'':14}{'CPU s':>8}{'× real time':>13}{'VDE %':>8}{'GPE %':>8}{'FFE %':>8}{'cents':>8}")
    spent = {}
    for system in SYSTEMS:
        spent[system], found = run(system, waves)
        scores = errors(np.concatenate(found), np.concatenate(known))
        print(f"{system:14}{spent[system]:8.2f}{spent[system] / seconds:13.4f}", end="")
        print("".join(f"{score:8.2f}" for score in scores))
    print(f"pyin takes {spent['librosa.pyin'] / spent['zerochain']:.0f} times as long")


def real(paths):
    from zerochain import audio

    print("\nreal speech: agreement of the two trackers")
    columns = ("CPU s", "ours", "voiced %", "ours", "voicing differs %", "within 20 % %")
    print("".join(f"{column:>19}" for column in columns))
    for path in paths:
        wave = audio.read(path)
        theirs, (a,) = run("librosa.pyin", [wave])
        mine, (b,) = run("zerochain", [wave])
        both = (a > 0) & (b > 0)
        near = np.mean(np.abs(b[both] / a[both] - 1) <= 0.2) if both.any() else np.nan
        shares = np.mean(a > 0), np.mean(b > 0), np.mean((a > 0) != (b > 0)), near
        print(f"{theirs:19.2f}{mine:19.3f}", end="")
        print("".join(f"{100 * share:19.2f}" for share in shares), "", path.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=12)
    parser.add_argument("recordings", nargs="*", type=Path, metavar="RECORDING")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for system in SYSTEMS:
        run(system, [utterance(0)[0][:RATE]])
    for noise_db in (None, 20):
        synthesised(arguments.utterances, noise_db)
    if arguments.recordings:
        real(arguments.recordings)


if __name__ == "__main__":
    main()
