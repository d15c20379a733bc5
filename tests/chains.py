"""A corpus whose letters are tones, and settings of small chains."""

from pathlib import Path

import numpy as np
import soundfile

from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.modules.joint_recogniser import RecogniserSizes
from zerochain.modules.synthesiser import SynthesiserSizes
from zerochain.speechchain.chain import Recipes
from zerochain.training.recipe import Recipe

RATE = 16_000
LETTERS = "abcd"
QUICK = Recipe(
    max_steps=60,
    batch_size=8,
    learning_rate=1e-2,
    annealing="cosine",
    validate_every=30,
    ema_decay=0.9,
)
FEW = QUICK.model_copy(update={"max_steps": 4, "validate_every": 2, "learning_rate": 1e-3})
RECIPES = Recipes(QUICK, FEW, FEW)
ASR = RecogniserSizes(width=32, n_layers=1)
TTS = SynthesiserSizes(width=16, n_encoder_blocks=1, n_decoder_blocks=1)


def say(text: str, rng: np.random.Generator) -> np.ndarray:
    """Each letter a tone of its own, each space a pause."""
    parts = []
    for letter in f" {text} ":
        n = round(RATE * rng.uniform(0.1, 0.14))
        hz = 0 if letter == " " else 400 * 2 ** LETTERS.index(letter)
        tone = np.sin(2 * np.pi * hz * np.arange(n) / RATE) * np.hanning(n)
        parts.append(tone + 0.003 * rng.normal(size=n))
    return np.concatenate(parts).astype(np.float32) / 2


def toned(root: Path, texts: list[str | None], name: str = "tones") -> Corpus:
    """A corpus of these texts; of None it has the recording alone."""
    rng = np.random.default_rng(0)
    (root / name).mkdir(parents=True)
    utterances = []
    for i, text in enumerate(texts):
        wave = say(text or "dab", rng)
        soundfile.write(root / name / f"u{i}.wav", wave, RATE)
        split = "test" if i % 6 == 5 else "train"
        utterances.append(
            Utterance(f"u{i}", f"u{i}.wav", len(wave) / RATE, "ana", split=split, text=text)
        )
    corpus = Corpus(name, tuple(utterances), str((root / name).absolute()))
    return write_corpus(root / f"{name}-corpus", corpus)


def texts_of(n: int) -> list[str | None]:
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list(LETTERS), rng.integers(1, 4))) for _ in range(2 * n)]
    return [f"{a} {b}" for a, b in zip(words[::2], words[1::2], strict=True)]
