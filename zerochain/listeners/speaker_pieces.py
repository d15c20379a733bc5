"""Which pieces of recordings a speaker encoder is trained, validated and tested on.

Verification needs speakers that are unseen in training, and trials of pieces of similar length; a
corpus of few speakers can only be tested on other utterances of the same speakers. All choices
follow from hashes of names, so that encoders of any seed are tested on the same pieces.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from zerochain.errors import InputError, counted

Held = Literal["speakers", "utterances"]
_PIECE_FRAMES = 250
_MOST_PIECES = 40  # of a speaker in a test: the number of trials grows with the square
_ENOUGH_SPEAKERS, _FEWEST_HELD, _MOST_HELD = 10, 3, 100
_SPLIT_FRAMES = 300  # if a speaker's only recording is this long, its end is for validation


class Piece(NamedTuple):
    """A stretch of one utterance."""

    utterance: str
    speaker: str
    start: int
    """In the utterance, in frames."""
    n_frames: int


@dataclass(frozen=True)
class Division:
    """Pieces for training, for validation and for the test."""

    train: list[Piece]
    valid: list[Piece]
    test: list[Piece]
    held: Held
    """Whether the test is on speakers unseen in training, or on other utterances of known ones."""


def divide(utterances: Sequence[Piece], held_out: float) -> Division:
    """Divide whole utterances by the hashes of their ids, independently of any seed.

    With ten speakers or more, some of them are held out for the test: at most half of those with
    several recordings, so that enough of these remain for training. With fewer, the test gets a
    tenth of the utterances of each speaker who has four or more. Validation gets a twentieth of
    each speaker's remaining utterances, or the end of a single one.

    Args:
        held_out: fraction of the speakers held out for the test; they are at least three.

    Raises:
        InputError: fewer than two speakers, or all have a single recording below 3 s.
    """
    by_speaker: dict[str, list[Piece]] = defaultdict(list)
    for piece in sorted(utterances, key=lambda piece: _rank(piece.utterance)):
        by_speaker[piece.speaker].append(piece)
    _check_speakers(by_speaker)
    held: Held = "speakers" if len(by_speaker) >= _ENOUGH_SPEAKERS else "utterances"
    test: list[Piece] = []
    if held == "speakers":
        for speaker in _tested_speakers(by_speaker, held_out):
            test += by_speaker.pop(speaker)
    else:
        for speaker, own in by_speaker.items():
            n = max(2, round(len(own) / 10)) if len(own) >= 4 else 0
            test += own[:n]
            by_speaker[speaker] = own[n:]
    train: list[Piece] = []
    valid: list[Piece] = []
    for own in by_speaker.values():
        learned, kept = _without_end(own[0]) if len(own) == 1 else _without_some(own)
        train, valid = train + learned, valid + kept
    if not valid:
        raise InputError(
            f"each of the {len(by_speaker)} speakers has only one recording, shorter than 3 s",
            cause="the recordings were cut into words, or speakers were named by utterance",
            remedy="give several recordings of each speaker",
        )
    return Division(train, valid, test, held)


def _check_speakers(by_speaker: dict[str, list[Piece]]) -> None:
    if len(by_speaker) < 2:
        raise InputError(
            f"a speaker encoder can't be trained on {counted(len(by_speaker), 'known speaker')}"
            + "".join(f" ({name})" for name in by_speaker),
            cause="it learns to tell speakers apart, so it needs at least two; or the corpus was "
            "imported without speakers",
            remedy="give a corpus of several speakers, or import it with them ("
            "'zerochain import folder … --speaker-from', or a table)",
        )


def _tested_speakers(by_speaker: dict[str, list[Piece]], held_out: float) -> list[str]:
    n = min(max(round(held_out * len(by_speaker)), _FEWEST_HELD), _MOST_HELD)
    ranked = sorted(by_speaker, key=_rank)
    several = [speaker for speaker in ranked if len(by_speaker[speaker]) > 1]
    first = several[: min(n, len(several) // 2)]
    singles = [speaker for speaker in ranked if len(by_speaker[speaker]) == 1]
    return (first + singles + several[len(first) :])[:n]


def _without_some(own: list[Piece]) -> tuple[list[Piece], list[Piece]]:
    n = max(1, round(len(own) / 20))
    return own[n:], own[:n]


def _without_end(piece: Piece) -> tuple[list[Piece], list[Piece]]:
    """All but the last tenth (at least a second), and that; all of a short piece, and nothing."""
    if piece.n_frames < _SPLIT_FRAMES:
        return [piece], []
    n = max(100, piece.n_frames // 10)
    middle = piece.n_frames - n
    return [piece._replace(n_frames=middle)], [piece._replace(start=middle, n_frames=n)]


def trial_pieces(utterances: Sequence[Piece], seed: int = 0) -> list[Piece]:
    """Utterances cut into pieces of about 2.5 s, at most 40 random ones per speaker."""
    by_speaker: dict[str, list[Piece]] = defaultdict(list)
    for whole in utterances:
        n = max(1, round(whole.n_frames / _PIECE_FRAMES))
        edges = np.linspace(0, whole.n_frames, n + 1).astype(int).tolist()
        by_speaker[whole.speaker] += [
            whole._replace(start=whole.start + first, n_frames=end - first)
            for first, end in pairwise(edges)
        ]
    rng = np.random.default_rng(seed)
    drawn = [
        (own, rng.permutation(len(own))[:_MOST_PIECES].tolist()) for own in by_speaker.values()
    ]
    return [own[i] for own, chosen in drawn for i in sorted(chosen)]


def _rank(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
