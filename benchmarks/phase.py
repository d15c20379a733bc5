"""Waveforms from magnitude spectrograms, beside librosa.griffinlim: CPU time and quality.

The transform is that of our inverters: 2048 points, a Hann window of 1024 samples, a hop of 160.
Each system runs in its own process with one thread, after a warm-up. The waveform is compared with
the recording (ESTOI, log-spectral distance LSD), and its spectrogram with the target (spectral
convergence in dB, lower is better).

    python benchmarks/phase.py [RECORDINGS] [--seconds 60]

RECORDINGS is a folder of real speech; without one, sentences are synthesised (extra `demo`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from measuring import ONE_THREAD, ROOT, apart, cost, run_build


def speech(folder, seconds):
    """Recordings from all over the folder, until they are `seconds` long together."""
    from zerochain import audio

    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in audio.SUFFIXES)
    order = np.random.default_rng(0).permutation(len(files))
    waves, total = [], 0.0
    for i in order:
        if total >= seconds:
            break
        wave = audio.read(files[i])
        waves.append(wave[: len(wave) // 160 * 160])
        total += len(wave) / audio.SAMPLE_RATE
    return waves


def magnitude(wave, extra=0):
    """(T + extra, n_bins): frame i is centred at sample i · 160."""
    import torch

    from zerochain.inversion.phase import SpectrogramOptions

    options = SpectrogramOptions()
    n_frames = len(wave) // options.hop + extra
    padded = np.zeros((n_frames - 1) * options.hop + options.n_fft, np.float32)
    padded[options.n_fft // 2 :][: len(wave)] = wave[: len(padded) - options.n_fft // 2]
    return options.magnitude(torch.from_numpy(padded)[None])[0]


def ours(method):
    from zerochain.inversion.phase import SpectrogramOptions, reconstruct

    return lambda target: reconstruct(target, SpectrogramOptions(), method)


def librosa(momentum):
    from librosa import griffinlim

    options = {"hop_length": 160, "win_length": 1024, "n_fft": 2048, "pad_mode": "constant"}

    def run(target):
        return griffinlim(target.numpy().T, n_iter=60, momentum=momentum, random_state=0, **options)

    return run


SYSTEMS = {
    "librosa, Griffin-Lim, 60": lambda: librosa(0.0),
    "librosa, fast Griffin-Lim, 60": lambda: librosa(0.99),
    "Griffin-Lim, 60": lambda: ours("griffin-lim"),
    "fast Griffin-Lim, 60": lambda: ours("fgla"),
    "PGHI": lambda: ours("pghi"),
    "PGHI, fast Griffin-Lim, 20": lambda: ours("pghi-fgla"),
}


def worker(system, folder, seconds):
    """Print CPU seconds, ESTOI, LSD and spectral convergence."""
    from zerochain.metrics.resynthesis import estoi, log_spectral_distance

    # librosa's frames are centred too, and it has one more at the end.
    run, extra = SYSTEMS[system](), int(system.startswith("librosa"))
    waves = speech(folder, seconds)
    targets = [magnitude(wave, extra) for wave in waves]
    run(targets[0][:100])
    with cost() as spent:
        made = [run(target) for target in targets]
    scores = []
    for wave, again in zip(waves, made, strict=True):
        target = magnitude(wave)
        distance = (magnitude(again[: len(wave)]) - target).norm() / target.norm()
        distances = log_spectral_distance(wave, again[: len(wave)]), 20 * float(distance.log10())
        scores.append([estoi(wave, again[: len(wave)]), *distances])
    total_s = sum(map(len, waves)) / 16_000
    print(json.dumps([spent.cpu_s, total_s, *np.mean(scores, axis=0)]))


def measure(recordings, seconds, source):
    """Print a row for each system."""
    words = (recordings, "--seconds", seconds, "--worker")
    for i, system in enumerate(SYSTEMS):
        cpu_s, total_s, *scores = apart(__file__, *words, system, environment=ONE_THREAD)
        if i == 0:
            print(f"{total_s:.0f} s of speech from {source}, one thread")
            print(f"{'':<30} CPU s  × real time   ESTOI  LSD dB  convergence dB")
        intelligibility, distance, convergence = scores
        print(
            f"{system:<30} {cpu_s:>5.2f} {cpu_s / total_s:>12.4f} {intelligibility:>7.4f} "
            f"{distance:>7.2f} {convergence:>15.1f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, nargs="?", help="A folder of recordings.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--worker", choices=SYSTEMS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.recordings, arguments.seconds)
    elif arguments.recordings:
        measure(arguments.recordings, arguments.seconds, arguments.recordings)
    else:
        with tempfile.TemporaryDirectory() as folder:
            # A pair has two sentences of 1 s or more; below 70, not every voice has enough.
            n = max(70, round(arguments.seconds / 2))
            run_build(ROOT, "corpus", "demo", "--pairs", n, "--out", folder)
            measure(Path(folder), arguments.seconds, "the demonstration corpus")


if __name__ == "__main__":
    main()
