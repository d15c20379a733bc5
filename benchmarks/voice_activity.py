"""Voice activity: missed speech and false alarms in an hour of speech, pauses and noise; its cost.

Utterances of a corpus with gold phones are laid into an hour with pauses of half a second to many
seconds (exponential, 2 s on average), at levels that vary by 3 dB, and noise is added: white, pink,
or wind in gusts, each with mains hum of 50 Hz and its harmonics of the same power. The SNR is the
power of the speech over that of noise and hum.

Speech is, in frames of 10 ms, what lies in gold phones that aren't silence, shorter pauses than
0.3 s included; since aligners stretch phones over pauses, 0.3 s and more that are as quiet as the
utterance's gold silences are none. Missed: frames of speech outside the utterances found. False
alarms: other frames inside them, in all, and without a collar of 0.25 s around speech. Both
detectors cut with the same pauses and padding.

With --hours, the import of a stereo WAV at 48 kHz: CPU-seconds and memory, beside importing it as
one utterance.

    python benchmarks/voice_activity.py CORPUS --hours 0 [--shift-ms -60] [--noise pink:10]
    python benchmarks/voice_activity.py  # the import alone
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from long_recordings import write_apart

from measuring import ONE_THREAD, ROOT, apart, cost, run_build
from zerochain.audio import SAMPLE_RATE
from zerochain.features.voice_activity import VoiceActivityConfig, detect
from zerochain.formats.corpus import read_corpus
from zerochain.formats.phones import read_phones
from zerochain.metrics.silences import SILENCES

HOP = SAMPLE_RATE // 100
NOISES = ["none", "pink:20", "pink:10", "white:10", "wind:10", "pink:5", "pink:0"]
"""Kinds, with the SNR in dB."""
DETECTORS = ("energy", "silero")


def runs(mask):
    """First frames of runs that are True, and the frames after their last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return edges.reshape(-1, 2)


def spoken(wave, phones, shift_s, pause=30):
    """Which frames of an utterance are speech."""
    n = len(wave) // HOP
    speech = np.zeros(n, bool)
    for phone in phones:
        if phone.phone not in SILENCES:
            first, last = (round((t + shift_s) * 100) for t in (phone.onset, phone.offset))
            speech[max(0, first) : max(0, last)] = True
    if speech.all() or not speech.any():
        return speech
    level = np.square(wave[: n * HOP].reshape(n, HOP)).mean(axis=1)
    level = 10 * np.log10(np.convolve(level, np.ones(3) / 3, "same") + 1e-7)
    as_quiet = np.quantile(level[~speech], 0.9) + 3
    quiet = ~speech | (level < min(as_quiet, np.quantile(level[speech], 0.95) - 15))
    for first, last in runs(quiet):
        if last - first >= pause:
            speech[first:last] = False
    for first, last in runs(~speech):
        if last - first < pause and first > 0 and last < n:
            speech[first:last] = True
    return speech


def noise(kind, n, rng):
    """Noise with hum of the same power, of power 1, (n,)."""
    made = rng.standard_normal(n)
    if kind != "white":
        spectrum = np.fft.rfft(made)
        hertz = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE), 50)
        made = np.fft.irfft(spectrum / hertz ** (0.5 if kind == "pink" else 1.5), n)
    if kind == "wind":
        knots = np.arange(0, n + SAMPLE_RATE, SAMPLE_RATE)
        made *= np.interp(np.arange(n), knots, np.exp(0.7 * rng.standard_normal(len(knots))))
    time = np.arange(n) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * time + k) / k for k in range(1, 8))
    both = made / made.std() + hum / hum.std()
    return both / both.std()


def laid(corpus, phones, minutes, shift_s, rng):
    """Utterances with pauses between them, and which frames are speech."""
    wave = np.zeros(round(minutes * 60) * SAMPLE_RATE, np.float32)
    speech = np.zeros(len(wave) // HOP, bool)
    place, n = SAMPLE_RATE, 0
    while True:
        if n % len(corpus.utterances) == 0:
            order = rng.permutation(len(corpus.utterances))
        utterance = corpus.utterances[order[n % len(order)]]
        said = corpus.wave(utterance)
        if place + len(said) + SAMPLE_RATE > len(wave):
            return wave, speech, n
        level = 0.05 * 10 ** (rng.normal(0, 3) / 20)
        wave[place : place + len(said)] = said * (level / max(1e-6, said.std()))
        here = spoken(said, phones[utterance.id], shift_s)
        speech[place // HOP : place // HOP + len(here)] = here
        place += (len(said) + round(SAMPLE_RATE * (0.5 + rng.exponential(2)))) // HOP * HOP
        n += 1


def rates(speech, stretches):
    """Missed speech, false alarms, and those beyond the collar, in percent."""
    found = np.zeros(len(speech), bool)
    for one in stretches:
        found[round(one.start * 100) : round(one.end * 100)] = True
    near = np.convolve(speech, np.ones(51), "same") > 0.5
    return (
        100 * (speech & ~found).sum() / speech.sum(),
        100 * (~speech & found).sum() / (~speech).sum(),
        100 * (~near & found).sum() / (~near).sum(),
    )


def measure(kind, snr, options):
    """Both detectors on one scene."""
    corpus = read_corpus(options.corpus)
    phones = read_phones(options.corpus / "phones.parquet").by_id
    if options.split:
        corpus = corpus.select(split=options.split)
    rng = np.random.default_rng(options.seed)
    wave, speech, n = laid(corpus, phones, options.minutes, options.shift_ms / 1000, rng)
    if kind != "none":
        power = np.square(wave[: len(speech) * HOP].reshape(-1, HOP))[speech].mean()
        wave += noise(kind, len(wave), rng).astype(np.float32) * np.sqrt(power / 10 ** (snr / 10))
    rows = {}
    blocks = np.array_split(wave, max(1, len(wave) // 57_600))
    for name in options.detector or DETECTORS:
        with cost() as spent:
            found = detect(blocks, VoiceActivityConfig(detector=name))
        rows[name] = [*map(float, rates(speech, found)), len(found), spent.cpu_s]
    return {"n": n, "share": float(speech.mean()), "rows": rows}


def compare(options):
    """A row for each scene and detector."""
    print(f"{options.minutes:g} min of utterances of {options.corpus.name}, with pauses; %")
    print(
        f"{'noise':<6} {'SNR, dB':>7}  {'detector':<9} {'missed':>7} {'false alarms':>13} "
        f"{'beyond 0.25 s':>14} {'utterances':>11} {'CPU-s':>6}"
    )
    given = [options.corpus, "--minutes", options.minutes, "--shift-ms", options.shift_ms]
    given += ["--seed", options.seed, *(["--split", options.split] if options.split else [])]
    given += [word for name in options.detector or [] for word in ("--detector", name)]
    for scene in options.noise or NOISES:
        kind, _, snr = scene.partition(":")
        done = apart(__file__, "--scene", scene, *given, environment=ONE_THREAD)
        for name, (missed, false, beyond, n, cpu_s) in done["rows"].items():
            many = f"{n} of {done['n']}"
            print(
                f"{kind:<6} {snr:>7}  {name:<9} {missed:>7.2f} "
                f"{false:>13.2f} {beyond:>14.2f} {many:>11} {cpu_s:>6.1f}"
            )


def import_long(hours):
    """The import of a long stereo recording, cut and whole."""
    with tempfile.TemporaryDirectory(prefix="zerochain-benchmark-") as place:
        folder = Path(place)
        write_apart(folder / "long" / "a.wav", 48_000, 2, round(hours * 60))
        print(f"{hours:g} h of 48 kHz stereo, one thread")
        print(f"{'':<22} {'seconds':>8} {'CPU-s':>7} {'peak MB':>8}")
        for name, words in (
            ("import folder", ["folder"]),
            ("import recordings", ["recordings"]),
            ("… --channel each", ["recordings", "--channel", "each"]),
        ):
            out = folder / "-".join(words)
            done = run_build(
                ROOT, "import", words[0], folder / "long", *words[1:], "--out", out, "--jobs", 1
            )
            print(f"{name:<22} {done.wall_s:>8.1f} {done.cpu_s:>7.1f} {done.peak_mb:>8.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, nargs="?", help="with gold phones")
    parser.add_argument("--split")
    parser.add_argument("--shift-ms", type=float, default=0, help="added to the phones' times")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=2, help="of the stereo WAV; 0 for none")
    parser.add_argument("--noise", action="append", choices=NOISES, help="only this one")
    parser.add_argument("--detector", action="append", choices=DETECTORS, help="only this one")
    parser.add_argument("--scene", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scene:
        kind, _, snr = options.scene.partition(":")
        print(json.dumps(measure(kind, float(snr or 0), options)))
        return
    if options.hours:
        import_long(options.hours)
    if options.corpus:
        compare(options)


if __name__ == "__main__":
    main()
