"""Pictures of the demonstration's sentences, drawn on the spot.

A picture is a scene of small drawings: each noun has its own symmetric sprite and each city its
flag; relations between places are arrangements; numbers are rows of dots, times a clock with two
hands, days one of seven bars; and a sprite of its own stands for the rest of the sentence, for
example that something is asked for or is closed. So a picture shows what its sentence says, in any
language. Places within the picture, brightness and noise vary from picture to picture.

Captioning learns from image features, here the picture's patches: (regions, values) per picture, as
any features are stored. Features of real pictures come in by `zerochain import features`.
"""

from __future__ import annotations

import colorsys
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerochain.corpora.grammar import CARRIERS, CITIES, DAYS, NUMBERS, PLACES, RELATIONS, THINGS
from zerochain.errors import InputError, counted, listed
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import Features, read_features, write_features
from zerochain.progress import track

Picture = NDArray[np.uint8]
"""(48, 48, 3), red, green and blue."""
EXTRACTOR = "pictures"
SIDE, PATCH = 48, 8
_SLOT = SIDE // 3  # the scene has three rows of three places
_JITTER = 2  # pixels by which a drawing is off its place at most
_NOISE = 0.05
_SPRITE = 7  # cells a side, of two pixels each
_FIRST, _MARK, _BESIDE, _CLOCK, _WEEK = (1, 0), (0, 0), (1, 1), (0, 2), (2, 2)
"""Row and column of what a scene can have."""
_SECOND = {"next to": (1, 1), "behind": (0, 1), "in front of": (2, 0), "near": (2, 1)}
_FAR = (1, 2)


def _either(words: list[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_NAMES = {
    name: noun.en
    for noun in (*PLACES, *THINGS, *CARRIERS)
    for name in (noun.en, noun.en_plural)
    if name
}
_HOURS = {n.en: i + 1 for i, n in enumerate(NUMBERS)}
_NOUN = re.compile(rf"\b({_either(list(_NAMES))})\b")
_CITY = re.compile(rf"\b({_either([city.en for city in CITIES])})\b")
_TIME = re.compile(rf"\bat (a quarter past |half past )?({_either(list(_HOURS))})( o'clock)?\b")
_DAY = re.compile(rf"\bon ({_either([day.en for day in DAYS])})\b")
_NUMBER = re.compile(rf"\b({_either(list(_HOURS))})\b")
_RELATION = re.compile(rf"\b({_either([near.en for near in RELATIONS])})\b")


def draw_pictures(corpus: Corpus, out: Path, *, seed: int = 0) -> Features:
    """Write the features `out` with a picture of each text of an English demonstration corpus.

    Raises:
        InputError: no texts, or some that are not the demonstration's.
    """
    texts = {u.id: u.text for u in corpus.utterances if u.text}
    strange = [name for name, text in texts.items() if _Scene.of(text) is None]
    if strange or not texts:
        raise InputError(
            f"{counted(len(strange), 'text')} can't be drawn: {listed(strange)}"
            if texts
            else "there are no texts to draw",
            path=corpus.folder,
            cause="it is not the English side of the demonstration corpus",
            remedy="draw that of 'zerochain corpus demo', or import features of your own pictures",
        )
    options = {"side": SIDE, "patch": PATCH, "seed": seed}
    with write_features(
        out, extractor=EXTRACTOR, options=options, step_ms=1.0, corpus_id=corpus.id
    ) as writer:
        for i, (name, text) in enumerate(track(list(texts.items()), "Drawing")):
            writer.add(name, regions(draw_picture(text, np.random.default_rng([seed, i]))))
    return read_features(out)


class _Scene(NamedTuple):
    """What a sentence says, as far as pictures show it."""

    times: list[re.Match[str]]
    days: list[re.Match[str]]
    relations: list[str]
    """Between each two nouns."""
    cities: list[str]
    nouns: list[str]
    numbers: list[str]
    rest: str

    @classmethod
    def of(cls, sentence: str) -> _Scene | None:
        """The scene of a sentence; None if it isn't one of the demonstration's English ones."""
        rest = sentence

        def taken(pattern: re.Pattern[str]) -> list[re.Match[str]]:
            """What the sentence says of one kind, which the rest then leaves out."""
            nonlocal rest
            found = list(pattern.finditer(rest))
            rest = pattern.sub("", rest)
            return found

        times, days = taken(_TIME), taken(_DAY)
        relations, cities, nouns, numbers = (
            [one[1] for one in taken(pattern)] for pattern in (_RELATION, _CITY, _NOUN, _NUMBER)
        )
        if len(nouns) != len(relations) + 1:
            return None
        return cls(times, days, relations, cities, nouns, numbers, " ".join(rest.split()))


def draw_picture(sentence: str, rng: np.random.Generator) -> Picture:
    """A picture of an English sentence of the demonstration.

    Raises:
        InputError: another sentence.
    """
    scene = _Scene.of(sentence)
    if scene is None:
        raise InputError(
            f"{sentence!r} can't be drawn",
            cause="it is not an English sentence of the demonstration corpus",
            remedy="draw its own sentences",
        )
    canvas = np.zeros((SIDE, SIDE, 3))
    for time in scene.times:
        minutes = {"half past ": 30, "a quarter past ": 15}.get(time[1] or "", 0)
        _put(canvas, _clock(_HOURS[time[2]], minutes), _CLOCK, rng)
    for day in scene.days:
        _put(canvas, _bars([day.en for day in DAYS].index(day[1])), _WEEK, rng)
    for city in scene.cities:
        _put(canvas, _flag(city), _BESIDE, rng)
    first, *others = [_NAMES[noun] for noun in scene.nouns]
    _put(canvas, _sprite(first), _FIRST, rng)
    for other, relation in zip(others, scene.relations, strict=True):
        _put(canvas, _sprite(other), _SECOND.get(relation, _FAR), rng)
    for number in scene.numbers:
        _put(canvas, _dots(_HOURS[number]), _BESIDE, rng)
    _put(canvas, _sprite(scene.rest), _MARK, rng)
    light = rng.uniform(0.8, 1.0)
    canvas = light * canvas + _NOISE * rng.standard_normal(canvas.shape)
    return np.round(255 * canvas.clip(0, 1)).astype(np.uint8)


def regions(picture: Picture) -> NDArray[np.float32]:
    """A picture's patches in reading order: (36, 192), between 0 and 1."""
    n = SIDE // PATCH
    cut = picture.reshape(n, PATCH, n, PATCH, 3).transpose(0, 2, 1, 3, 4)
    return cut.reshape(n * n, -1).astype(np.float32) / np.float32(255)


def _put(
    canvas: NDArray[np.float64],
    drawing: NDArray[np.float64],
    place: tuple[int, int],
    rng: np.random.Generator,
) -> None:
    """Draw (h, w, 3) at a place of the scene, somewhat off it."""
    height, width, _ = drawing.shape
    room = _SLOT - max(height, width)
    top, left = (_SLOT * cell + rng.integers(min(room, _JITTER) + 1) for cell in place)
    canvas[top : top + height, left : left + width] += drawing


def _sprite(name: str) -> NDArray[np.float64]:
    """A symmetric drawing that depends on the name alone."""
    rng = _own(name)
    half = rng.random((_SPRITE, _SPRITE // 2 + 1)) < 0.5
    cells = np.concatenate([half, half[:, -2::-1]], axis=1)
    return np.kron(cells, np.ones((2, 2)))[..., None] * _colour(rng)


def _flag(name: str) -> NDArray[np.float64]:
    rng = _own(name)
    bands = np.stack([_colour(rng) for _ in range(3)])
    return np.broadcast_to(bands.repeat(4, axis=0)[:, None], (12, 12, 3))


def _own(name: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 1.0), 1.0))


def _dots(n: int) -> NDArray[np.float64]:
    """Up to twelve squares, four in a row."""
    drawing = np.zeros((12, 16, 3))
    for i in range(n):
        row, column = 4 * (i // 4), 4 * (i % 4)
        drawing[row : row + 3, column : column + 3] = 1
    return drawing


def _bars(day: int) -> NDArray[np.float64]:
    """Seven bars, one of them bright."""
    heights = np.full(7, 0.25)
    heights[day] = 1.0
    return np.broadcast_to(heights.repeat(2)[None, :, None], (14, 14, 3))


def _clock(hour: int, minutes: int) -> NDArray[np.float64]:
    """A dial with an hour hand in red and a minute hand in green."""
    drawing = np.zeros((15, 15, 3))
    y, x = np.mgrid[-7:8, -7:8]
    drawing[np.abs(np.hypot(x, y) - 7) < 0.5] = 0.5
    for turn, length, colour in ((hour / 12, 5, 0), (minutes / 60, 7, 1)):
        for r in np.arange(0, length, 0.5):
            row = 7 - round(r * np.cos(2 * np.pi * turn))
            column = 7 + round(r * np.sin(2 * np.pi * turn))
            drawing[row, column, colour] = 1
    return drawing
