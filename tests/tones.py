"""A corpus of vowels in a row with gold phones: small, and easy to find units in."""

from pathlib import Path

import numpy as np
import soundfile

from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.phones import Phone, Phones

FORMANTS = {"a": (800, 1300), "i": (300, 2300), "u": (320, 800), "SIL": ()}
LINE = ["SIL", "a", "i", "a", "u", "a", "i", "a", "u", "a", "SIL"]
SPEAKERS = ("ana", "béa")


def said(rng: np.random.Generator, pitch: float) -> tuple[np.ndarray, list[Phone]]:
    """Vowels in a row, and when each of them sounds."""
    waves, phones, begin = [], [], 0.0
    for phone in LINE:
        n = round(rng.uniform(0.09, 0.14) * 16_000)
        time = np.arange(n) / 16_000
        wave = 0.003 * rng.standard_normal(n)
        for k in range(1, 25):
            gain = sum(np.exp(-(((k * pitch - f) / 150) ** 2)) for f in FORMANTS[phone])
            wave += 0.1 * gain * np.sin(2 * np.pi * k * pitch * time)
        waves.append(wave)
        phones.append(Phone(begin, begin + n / 16_000, phone))
        begin += n / 16_000
    return np.concatenate(waves), phones


def sayings(n: int) -> list[tuple[str, str, np.ndarray, list[Phone]]]:
    """Id, speaker, wave and phones of `n` utterances by two speakers in turn."""
    rng = np.random.default_rng(0)
    turns = [(f"u{i}", SPEAKERS[i % 2], 110 + 80 * (i % 2)) for i in range(n)]
    return [(name, speaker, *said(rng, pitch)) for name, speaker, pitch in turns]


def phone_corpus(folder: Path) -> Corpus:
    """Eight utterances by two speakers with gold phones; of each speaker two are for the test."""
    utterances, phones = [], {}
    audio = folder.parent / "recordings"
    audio.mkdir(parents=True)
    for i, (name, speaker, wave, line) in enumerate(sayings(8)):
        soundfile.write(audio / f"{name}.wav", wave, 16_000)
        split = "test" if i % 4 > 1 else "train"
        utterances.append(Utterance(name, f"{name}.wav", len(wave) / 16_000, speaker, split=split))
        phones[name] = line
    corpus = Corpus("tones", tuple(utterances), audio_root="../recordings")
    return write_corpus(folder, corpus, Phones(phones, "made"))
