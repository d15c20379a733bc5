"""A waveform for the magnitudes of real speech, beside librosa.griffinlim: CPU time and quality.

The transform is that of our inverters: 2048 points, a Hann window of 1024 samples, every 160. Each
system is a process of its own with one thread, after a warm-up. Quality is of the waveform beside
the recording (ESTOI, log-spectral distance LSD) and of its spectrogram beside the one asked for
(spectral convergence in dB: the lower, the nearer).

    python benchmarks/phase.py RECORDINGS [--seconds 60]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def speech(folder, seconds):
    """Recordings spread over the folder, of about so many seconds together."""
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

    from zerochain.inversion.spectrogram import SpectrogramOptions

    options = SpectrogramOptions()
    n_frames = len(wave) // options.hop + extra
    padded = np.zeros((n_frames - 1) * options.hop + options.n_fft, np.float32)
    padded[options.n_fft // 2 :][: len(wave)] = wave[: len(padded) - options.n_fft // 2]
    return options.magnitude(torch.from_numpy(padded)[None])[0]


def ours(method):
    from zerochain.inversion.phase import reconstruct
    from zerochain.inversion.spectrogram import SpectrogramOptions

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

    # librosa's frames are centred too, and one lies at the end.
    run, extra = SYSTEMS[system](), int(system.startswith("librosa"))
    waves = speech(folder, seconds)
    targets = [magnitude(wave, extra) for wave in waves]
    run(targets[0][:100])
    begun = time.process_time()
    made = [run(target) for target in targets]
    cpu = time.process_time() - begun
    scores = []
    for wave, again in zip(waves, made, strict=True):
        target = magnitude(wave)
        distance = (magnitude(again[: len(wave)]) - target).norm() / target.norm()
        distances = log_spectral_distance(wave, again[: len(wave)]), 20 * float(distance.log10())
        scores.append([estoi(wave, again[: len(wave)]), *distances])
    total_s = sum(map(len, waves)) / 16_000
    print(json.dumps([cpu, total_s, *np.mean(scores, axis=0)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="A folder of recordings.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--worker", choices=SYSTEMS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.recordings, arguments.seconds)
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(arguments.recordings), "--seconds"]
    for i, system in enumerate(SYSTEMS):
        if system.startswith("librosa") and importlib.util.find_spec("librosa") is None:
            print(f"{system:<30} not installed")
            continue
        output = subprocess.run(
            [*command, str(arguments.seconds), "--worker", system],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        ).stdout
        cpu, total_s, intelligibility, distance, convergence = json.loads(output)
        if i == 0:
            print(f"{total_s:.0f} s of speech from {arguments.recordings}, one thread")
            print(f"{'':<30} CPU s  × real time   ESTOI  LSD dB  convergence dB")
        print(
            f"{system:<30} {cpu:>5.2f} {cpu / total_s:>12.4f} {intelligibility:>7.4f} "
            f"{distance:>7.2f} {convergence:>15.1f}"
        )


if __name__ == "__main__":
    main()
