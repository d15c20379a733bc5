"""What a speech chain learns from: pairs, texts alone, and speech alone.

A text is a sequence of symbols, which are its characters or discovered units. Where texts switch
between languages, a symbol is a character of one language, so that both are predicted together
(Nakayama et al. 2018 predict the language beside the character). The pairs are split
by their texts, so that what decides when to stop, the held-out pairs, shares none with training.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.audio import Waveform
from zerochain.errors import InputError, counted
from zerochain.metrics.text import plain, tagged, with_tags
from zerochain.modules.joint_recogniser import FRAMES_PER_STEP
from zerochain.speechchain.ctc import Ints, steps_needed
from zerochain.training.crops import like_lengths, padded
from zerochain.training.recipe import validation_ids
from zerochain.training.task import Batch

Frames = NDArray[np.float32]
"""Log-mel frames in dB, (T, D)."""
_POOL = 8  # a batch is drawn from this many times its size, for similar lengths
_VALID = 0.1
BATCH_FRAMES = 16_384
_SLACK = 1.5  # of the rates of nearly all pairs
_TAGGED = re.compile(r"(.)<(.+)>")


@dataclass(frozen=True, eq=False)
class Symbols:
    """The symbols of texts: characters, characters of a language, or units by their numbers.

    Attributes:
        names: each symbol as it is written; "a<en>" is an English a, while spaces are of no
            language.
        unit_model: id of the unit model; "" for characters.
    """

    names: tuple[str, ...]
    unit_model: str = ""

    @cached_property
    def _place(self) -> Mapping[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    @property
    def are_units(self) -> bool:
        return bool(self.unit_model)

    def read(self, text: str) -> Ints | None:
        """The symbols of a text, or None if some are unknown.

        Characters are normalised by `metrics.text.plain`, which `metrics.text.tagged` applies
        between tags; units are separated by spaces.
        """
        parts = self._parts(text)
        if any(part not in self._place for part in parts):
            return None
        return np.array([self._place[part] for part in parts], np.int64)

    def knows(self, text: str) -> bool:
        """Whether all symbols of a text are among these; without tags, in any language."""
        if self.languages and not text.startswith("<"):
            letters = {found[1] for name in self.names if (found := _TAGGED.match(name))}
            return letters.issuperset(plain(text).replace(" ", ""))
        return self.read(text) is not None

    def without_unknown(self, text: str) -> Ints:
        """The symbols of a text that are among these."""
        return np.array([self._place[p] for p in self._parts(text) if p in self._place], np.int64)

    def unknown(self, text: str) -> list[str]:
        """The symbols of a text that are not among these, each once."""
        return sorted({part for part in self._parts(text) if part not in self._place})

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Of the characters; none where they have no language."""
        if self.are_units:
            return ()
        return tuple(sorted({found[2] for name in self.names if (found := _TAGGED.match(name))}))

    def _parts(self, text: str) -> Sequence[str]:
        if self.are_units:
            return text.split()
        return tagged_names(text, self.languages) if self.languages else plain(text)

    def write(self, symbols: Ints) -> str:
        """The text of symbols; for characters with single spaces, and with tags of languages."""
        parts = [self.names[i] for i in symbols]
        if self.are_units:
            return " ".join(parts)
        if self.languages:
            split = (_TAGGED.match(name) for name in parts)
            text = with_tags((m[1], m[2]) if m else (" ", "") for m in split)
        else:
            text = "".join(parts)
        return " ".join(text.split())


def tagged_names(text: str, languages: Collection[str]) -> list[str]:
    """The names of a tagged text's symbols; letters before the first tag have "" as theirs."""
    return [c if c == " " else f"{c}<{language}>" for c, language in tagged(text, languages)]


class Rates(NamedTuple):
    """The fewest and the most symbols per step of 20 ms that are plausible."""

    low: float
    high: float

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """From nearly all pairs, with some slack."""
        rates = [
            len(text) / n_steps(len(frames))
            for text, frames in zip(pairs.texts, pairs.speech.frames, strict=True)
        ]
        low, high = np.quantile(rates, [0.01, 0.99])
        return cls(float(low / _SLACK), float(high * _SLACK))

    def allow(self, n_symbols: int, steps: int) -> bool:
        """Whether a text and its speech fit each other."""
        return n_symbols > 0 and self.low <= n_symbols / max(steps, 1) <= self.high


def n_steps(n_frames: int) -> int:
    """Steps of two frames."""
    return -(-n_frames // FRAMES_PER_STEP)


@dataclass(frozen=True, eq=False)
class Speech:
    """Utterances: names, frames of each, and the vector of each one's voice (n, E)."""

    names: tuple[str, ...]
    frames: list[Frames]
    voices: NDArray[np.float32]
    waves: list[Waveform] | None = None
    """The samples of each, where a synthesiser learns more of them than the frames."""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def order(self) -> Ints:
        """Rows from the shortest to the longest utterance."""
        return np.argsort([len(x) for x in self.frames], kind="stable")

    @property
    def minutes(self) -> float:
        return sum(map(len, self.frames)) / 6000

    def take(self, rows: Sequence[int]) -> Speech:
        """These utterances."""
        return Speech(
            tuple(self.names[i] for i in rows),
            [self.frames[i] for i in rows],
            self.voices[rows],
            None if self.waves is None else [self.waves[i] for i in rows],
        )

    def joined(self, other: Speech) -> Speech:
        """Both sets of utterances."""
        voices = np.concatenate([self.voices, other.voices])
        waves = None
        if self.waves is not None and other.waves is not None:
            waves = self.waves + other.waves
        return Speech(self.names + other.names, self.frames + other.frames, voices, waves)

    def random(self, n: int, rng: np.random.Generator) -> list[int]:
        """Rows of similar length, to keep padding low."""
        return _near(self.order, n, rng)

    def batch(self, rows: Sequence[int]) -> Batch:
        """ "x" (B, T, D) in dB, "lengths" (B,), "z" (B, E), and "waves" (B, N) if there are any."""
        x, lengths = padded([self.frames[i] for i in rows])
        batch = {"x": x, "lengths": lengths, "z": torch.from_numpy(self.voices[rows])}
        if self.waves is not None:
            waves = [torch.from_numpy(self.waves[i]) for i in rows]
            batch["waves"] = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
        return batch

    def groups(self) -> Iterator[list[int]]:
        """All rows once, in groups of similar length."""
        return like_lengths([len(x) for x in self.frames], BATCH_FRAMES)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Speech with its texts; pseudo pairs weigh less than 1, by the confidence in them."""

    speech: Speech
    texts: list[Ints]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(cls, speech: Speech, texts: Sequence[Ints]) -> Self:
        """True pairs."""
        return cls(speech, list(texts), np.ones(len(texts), np.float32))

    def take(self, rows: Sequence[int]) -> Pairs:
        """These pairs."""
        return Pairs(self.speech.take(rows), [self.texts[i] for i in rows], self.weights[rows])

    def batch(self, rows: Sequence[int]) -> Batch:
        """A batch of speech, with "symbols" (B, U), "counts" and "weights" (B,)."""
        return {
            **self.speech.batch(rows),
            **text_batch([self.texts[i] for i in rows]),
            "weights": torch.from_numpy(self.weights[rows]),
        }

    def joined(self, other: Pairs) -> Pairs:
        """Both sets of pairs."""
        weights = np.concatenate([self.weights, other.weights])
        return Pairs(self.speech.joined(other.speech), self.texts + other.texts, weights)


@dataclass(frozen=True, eq=False)
class Material:
    """All that a chain learns from.

    Attributes:
        valid: held-out pairs, which decide when to stop.
        texts: without speech.
        speech: without texts.
        excluded: reason → how many utterances or texts were left out.
    """

    symbols: Symbols
    train: Pairs
    valid: Pairs
    texts: list[Ints]
    speech: Speech
    excluded: Mapping[str, int]

    @cached_property
    def rates(self) -> Rates:
        """Of the pairs in training."""
        return Rates.of(self.train)

    @cached_property
    def _order(self) -> Ints:
        """Rows of the texts alone, from the shortest to the longest."""
        return np.argsort([len(text) for text in self.texts], kind="stable")

    def random_texts(self, n: int, rng: np.random.Generator) -> list[Ints]:
        """Texts alone, of similar length."""
        return [self.texts[i] for i in _near(self._order, n, rng)]


def text_batch(texts: Sequence[Ints]) -> Batch:
    """ "symbols" (B, U), 0 after the end of each, and "counts" (B,)."""
    counts = torch.tensor([len(text) for text in texts])
    symbols = torch.zeros(len(texts), max(1, int(counts.max())), dtype=torch.long)
    for row, text in enumerate(texts):
        symbols[row, : len(text)] = torch.from_numpy(text)
    return {"symbols": symbols, "counts": counts}


def divided(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """Pairs to train on, and held-out ones of other texts.

    Raises:
        InputError: fewer than two different texts.
    """
    keys = [" ".join(map(str, text)) for text in pairs.texts]
    distinct = sorted(set(keys))
    if len(distinct) < 2:
        raise InputError(
            f"{counted(len(pairs), 'pair')} of speech and text, with "
            f"{counted(len(distinct), 'different text')}",
            cause="training needs one and validation another",
            remedy="give more recordings with their texts",
        )
    held = validation_ids(distinct, _VALID)
    rows = (
        [i for i, key in enumerate(keys) if key not in held],
        [i for i, key in enumerate(keys) if key in held],
    )
    return pairs.take(rows[0]), pairs.take(rows[1])


def fits(text: Ints, frames: Frames) -> bool:
    """Whether CTC has enough steps for a text."""
    return n_steps(len(frames)) >= steps_needed(text)


def _near(order: Ints, n: int, rng: np.random.Generator) -> list[int]:
    """`n` random rows that are near each other in an order."""
    size = min(len(order), _POOL * n)
    start = int(np.clip(rng.integers(len(order)) - size // 2, 0, len(order) - size))
    return [int(order[start + i]) for i in rng.choice(size, min(n, size), replace=False)]
