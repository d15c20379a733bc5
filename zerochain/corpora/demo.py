"""The demonstration corpus: the same sentences in two languages, several voices, exact phones.

Parallel sentences for travellers in English and Spanish are drawn from a small grammar of our own
and spoken by espeak-ng (`espeak`), which also gives the phone boundaries. Everything follows from
the seed, so the same arguments give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, permutations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np

import zerochain
from zerochain import audio
from zerochain.corpora.build import UNKNOWN
from zerochain.corpora.espeak import PAUSE, Speech, Voice, speak
from zerochain.errors import InputError, counted
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus, Utterance, fill_corpus, read_corpus
from zerochain.formats.headers import write_json
from zerochain.formats.pairs import PAIRS_FILE, Pairs, write_pairs
from zerochain.formats.phones import Phone, Phones
from zerochain.progress import track

_MARK = "|"


class Sentence(NamedTuple):
    """A sentence in both languages."""

    en: str
    es: str

    @property
    def whole(self) -> Sentence:
        """It without the mark where its language can change."""
        return Sentence(*(text.replace(_MARK, "") for text in self))

    @property
    def parts(self) -> tuple[Sentence, Sentence]:
        """What is before the mark in both languages, and what is after it."""
        (en, en_end), (es, es_end) = (text.split(_MARK) for text in self)
        return Sentence(en, es), Sentence(en_end, es_end)


@dataclass(frozen=True)
class Noun:
    """A noun in both languages, with its plurals where it is counted."""

    en: str
    es: str
    feminine: bool
    en_plural: str = ""
    es_plural: str = ""

    @property
    def the(self) -> str:
        return f"{'la' if self.feminine else 'el'} {self.es}"

    def after(self, preposition: str) -> str:
        """The noun with its article after "a" or "… de", which contract with a masculine one."""
        return f"{preposition} {self.the}" if self.feminine else f"{preposition}l {self.es}"

    def agree(self, adjective: str) -> str:
        """An adjective's form: -o becomes -a with a feminine noun."""
        ends_in_o = self.feminine and adjective.endswith("o")
        return adjective[:-1] + "a" if ends_in_o else adjective

    def count(self, number: int) -> Sentence:
        """A number of them: "one ticket", "dos billetes"."""
        if number == 1:
            return Sentence(f"one {self.en}", f"{'una' if self.feminine else 'un'} {self.es}")
        en, es = NUMBERS[number - 1]
        return Sentence(f"{en} {self.en_plural}", f"{es} {self.es_plural}")


NUMBERS = (
    *(("one", "uno"), ("two", "dos"), ("three", "tres"), ("four", "cuatro"), ("five", "cinco")),
    *(("six", "seis"), ("seven", "siete"), ("eight", "ocho"), ("nine", "nueve"), ("ten", "diez")),
    *(("eleven", "once"), ("twelve", "doce")),
)
THINGS = (
    Noun("ticket", "billete", False, "tickets", "billetes"),
    Noun("room", "habitación", True, "rooms", "habitaciones"),
    Noun("table", "mesa", True, "tables", "mesas"),
    Noun("coffee", "café", False, "coffees", "cafés"),
    Noun("beer", "cerveza", True, "beers", "cervezas"),
    Noun("map", "mapa", False, "maps", "mapas"),
    Noun("key", "llave", True, "keys", "llaves"),
    Noun("bottle of water", "botella de agua", True, "bottles of water", "botellas de agua"),
    Noun("sandwich", "bocadillo", False, "sandwiches", "bocadillos"),
    Noun("stamp", "sello", False, "stamps", "sellos"),
    Noun("orange", "naranja", True, "oranges", "naranjas"),
    Noun("suitcase", "maleta", True, "suitcases", "maletas"),
)
PLACES = (
    Noun("station", "estación", True),
    Noun("museum", "museo", False),
    Noun("beach", "playa", True),
    Noun("airport", "aeropuerto", False),
    Noun("market", "mercado", False),
    Noun("church", "iglesia", True),
    Noun("bridge", "puente", False),
    Noun("library", "biblioteca", True),
    Noun("castle", "castillo", False),
    Noun("pharmacy", "farmacia", True),
    Noun("restaurant", "restaurante", False),
    Noun("bus stop", "parada de autobús", True),
    Noun("park", "parque", False),
    Noun("square", "plaza", True),
    Noun("hotel", "hotel", False),
    Noun("post office", "oficina de correos", True),
)
CARRIERS = (
    Noun("train", "tren", False),
    Noun("bus", "autobús", False),
    Noun("boat", "barco", False),
    Noun("plane", "avión", False),
)
CITIES = (
    *(("Madrid", "Madrid"), ("Lisbon", "Lisboa"), ("Paris", "París"), ("Rome", "Roma")),
    *(("Berlin", "Berlín"), ("Seville", "Sevilla"), ("Athens", "Atenas"), ("Geneva", "Ginebra")),
)
DAYS = (
    *(("Monday", "lunes"), ("Tuesday", "martes"), ("Wednesday", "miércoles")),
    *(("Thursday", "jueves"), ("Friday", "viernes"), ("Saturday", "sábado"), ("Sunday", "domingo")),
)
RELATIONS = (
    *(("next to", "al lado de"), ("behind", "detrás de"), ("in front of", "delante de")),
    *(("near", "cerca de"), ("far from", "lejos de")),
)
_STATES = (("open", "abierto"), ("closed", "cerrado"), ("empty", "vacío"), ("clean", "limpio"))
_QUALITIES = (("old", "antiguo"), ("new", "nuevo"), ("small", "pequeño"), ("big", "grande"))
_REQUESTS = (
    ("I would like |{}, please.", "Quisiera |{}, por favor."),
    ("Can you give me |{}?", "¿Puede darme |{}?"),
    ("We need |{}.", "Necesitamos |{}."),
    ("I have bought |{}.", "He comprado |{}."),
)


def draw(n: int, seed: int = 0) -> list[Sentence]:
    """`n` different sentences, deterministic from the seed, as `draw_marked`."""
    return [sentence.whole for sentence in draw_marked(n, seed)]


def draw_marked(n: int, seed: int = 0) -> list[Sentence]:
    """`n` different sentences that are marked where their language can change.

    The kinds of sentence take turns, in another order each round, so that every nth sentence
    covers all kinds.

    Raises:
        InputError: fewer than one is asked for, or more than the grammar has.
    """
    kinds = [list(kind) for kind in _kinds()]
    total = sum(len(kind) for kind in kinds)
    if not 1 <= n <= total:
        raise InputError(
            f"{counted(n, 'sentence')} asked for; the grammar has {total}",
            remedy=f"ask for 1 to {total}",
        )
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(kind)) for kind in kinds]
    drawn: list[Sentence] = []
    for turn in range(max(len(kind) for kind in kinds)):
        left = [(k, o) for k, o in zip(kinds, orders, strict=True) if turn < len(k)]
        drawn += [left[i][0][left[i][1][turn]] for i in rng.permutation(len(left))]
    return drawn[:n]


def sentences() -> list[Sentence]:
    """Every sentence of the grammar, each once."""
    return [sentence.whole for kind in _kinds() for sentence in kind]


def _kinds() -> Iterator[list[Sentence]]:
    """The sentences, by kind, with the mark where their language can change."""
    yield [Sentence(f"Where is |the {p.en}?", f"¿Dónde está |{p.the}?") for p in PLACES]
    yield [Sentence(f"How far is |the {p.en}?", f"¿A qué distancia está |{p.the}?") for p in PLACES]
    yield list(_requests())
    yield [
        Sentence(f"The {p.en} |is {en} the {q.en}.", f"{_up(p.the)} |está {q.after(es)}.")
        for p, q in permutations(PLACES, 2)
        for en, es in RELATIONS
    ]
    yield [
        Sentence(f"The {p.en} |{en} {time.en}.", f"{_up(p.the)} |{es} {time.es}.")
        for p, (en, es), time in product(
            PLACES, (("opens", "abre"), ("closes", "cierra")), list(_times())
        )
    ]
    yield [
        Sentence(f"The {c.en} to {en} |leaves {time.en}.", f"{_up(c.the)} a {es} |sale {time.es}.")
        for c, (en, es), time in product(CARRIERS, CITIES, list(_times()))
    ]
    yield [
        Sentence(f"I want to go to the {p.en} |{time.en}.", f"Quiero ir {p.after('a')} |{time.es}.")
        for p, time in product(PLACES, [*_times(), *_days()])
    ]
    yield [
        Sentence(f"Is the {p.en} {en} |{day.en}?", f"¿Está {p.agree(es)} {p.the} |{day.es}?")
        for p, (en, es), day in product(PLACES, _STATES[:2], list(_days()))
    ]
    yield [
        Sentence(f"The {p.en} |is very {en}.", f"{_up(p.the)} |{verb} muy {p.agree(es)}.")
        for verb, words in (("está", _STATES[2:]), ("es", _QUALITIES))
        for p, (en, es) in product(PLACES, words)
    ]
    yield [
        Sentence(f"The {t.en} |costs {en} euros.", f"{_up(t.the)} |cuesta {es} euros.")
        for t, (en, es) in product(THINGS, NUMBERS[1:])
    ]


def _requests() -> Iterator[Sentence]:
    for thing, number, (en, es) in product(THINGS, range(1, len(NUMBERS) + 1), _REQUESTS):
        some = thing.count(number)
        yield Sentence(en.format(some.en), es.format(some.es))


def _times() -> Iterator[Sentence]:
    for en, es in NUMBERS:
        hour = "a la una" if en == "one" else f"a las {es}"
        yield Sentence(f"at {en} o'clock", hour)
        yield Sentence(f"at a quarter past {en}", f"{hour} y cuarto")
        yield Sentence(f"at half past {en}", f"{hour} y media")


def _days() -> Iterator[Sentence]:
    return (Sentence(f"on {en}", f"el {es}") for en, es in DAYS)


def _up(text: str) -> str:
    return text[0].upper() + text[1:]


_KIND, _MARKER = "demo", "demo.json"
_MARGIN_S = 0.1
_ROOM = 5e-4
"""Standard deviation of the noise: a quiet room rather than digital silence, at -66 dB."""
_TEST_EVERY = 5
_UNSEEN_VOICES = 4
"""One of this many source voices is in split "test" alone."""

VOICES: dict[str, dict[str, Voice]] = {
    "en": {
        "en-m3": Voice("en-us+m3", 150, 45),
        "en-f1": Voice("en-us+f1", 160, 55),
        "en-m1": Voice("en-us+m1", 170, 40),
        "en-anika": Voice("en-us+anika", 150, 60),
        "en-m7": Voice("en-us+m7", 140, 50),
        "en-linda": Voice("en-us+linda", 165, 45),
        "en-ed": Voice("en-us+ed", 155, 35),
        "en-belinda": Voice("en-us+belinda", 145, 50),
    },
    "es": {
        "es-f1": Voice("es+f1", 150, 50),
        "es-m3": Voice("es+m3", 160, 40),
        "es-annie": Voice("es+Annie", 155, 55),
        "es-m8": Voice("es+m8", 145, 45),
        "es-steph": Voice("es+steph", 165, 50),
        "es-gene": Voice("es+Gene", 150, 40),
        "es-f4": Voice("es+f4", 140, 60),
        "es-mario": Voice("es+Mario", 160, 45),
    },
}
"""The speakers of each language; the first one speaks half of the sentences."""
_LANGUAGES = {"en": "English", "es": "Spanish"}


@dataclass(frozen=True)
class _Line:
    """A sentence, who speaks it, and in which split."""

    text: str
    speaker: str
    split: str


def make_demo(
    out: Path, *, n_pairs: int = 240, n_voices: int = 8, into: str | None = None, seed: int = 0
) -> Pairs:
    """Write two corpora, `out`/en and `out`/es, with gold phones, and `out`/pairs.parquet.

    The pairs are different sentences and every fifth is in split "test", so train and test share
    none. The first voice of a language speaks half of the sentences, enough to train an inverter
    on (over three minutes of split "train" with 240 pairs); the others take turns at the rest.
    The same arguments give the same bytes.

    Args:
        into: the language of a translation, "en" or "es". Its first voice speaks all of it, as
            an interpreter does; the other language's voices take turns, a quarter of them in
            split "test" alone, so that neither sentences nor voices are known there.

    Raises:
        InputError: espeak-ng isn't installed, no such language, more voices or sentences than
            there are, or too few sentences for every voice to be in both splits.
    """
    most = min(len(voices) for voices in VOICES.values())
    if not 1 <= n_voices <= most:
        raise InputError(f"{counted(n_voices, 'voice')} asked for", remedy=f"ask for 1 to {most}")
    if into not in (None, *VOICES) or (into and n_voices < 2):
        raise InputError(
            f"translation into {into!r} by {counted(n_voices, 'voice')}",
            remedy=f"choose one of {', '.join(VOICES)}, and two voices or more",
        )
    least = _TEST_EVERY * max(1, 2 * (n_voices - 1))
    if n_pairs < least:
        raise InputError(
            f"{counted(n_pairs, 'pair')} for {counted(n_voices, 'voice')}: too few for each "
            "voice to be in both splits",
            remedy=f"ask for at least {least} pairs, or for fewer voices",
        )
    sentences = draw(n_pairs, seed)
    options = {"n_pairs": n_pairs, "n_voices": n_voices, "into": into, "seed": seed}
    with atomic_folder(out, _MARKER) as temporary:
        sides = [
            _write_side(temporary / language, sentences, n_voices, into, seed)
            for language in VOICES
        ]
        pairs = Pairs(tuple(zip(*(c.ids for c in sides), strict=True)), *(c.id for c in sides))
        write_pairs(temporary / PAIRS_FILE, pairs)
        write_json(temporary / _MARKER, _KIND, options)
    return pairs


def _write_side(
    folder: Path, sentences: list[Sentence], n_voices: int, into: str | None, seed: int
) -> Corpus:
    language = folder.name
    voices = dict(list(VOICES[language].items())[:n_voices])
    texts = [getattr(s, language) for s in sentences]
    if into is None:
        lines = _assign(texts, list(voices), language == "es")
    else:
        lines = _cast(texts, list(voices), interpreted=language == into)
    spoken = speak((line.text, voices[line.speaker]) for line in lines)
    named = [
        Utterance(f"{language}{i:04d}", "", UNKNOWN, line.speaker, split=line.split, text=line.text)
        for i, line in enumerate(lines)
    ]
    corpus = Corpus(
        name=f"demo-{language}",
        utterances=tuple(named),
        language=_LANGUAGES[language],
        source=f"espeak-ng; {_main_speaker(lines)}",
    )
    fill_spoken(folder, corpus, track(spoken, f"Speaking {_LANGUAGES[language]}", len(lines)), seed)
    return read_corpus(folder)


def fill_spoken(folder: Path, corpus: Corpus, spoken: Iterable[Speech], seed: int) -> None:
    """Write a corpus of what was spoken, as recordings in `folder`/audio, with its phones.

    Args:
        corpus: its utterances without recordings, in the order of `spoken`.
        seed: of the rooms' noise.
    """
    (folder / "audio").mkdir(parents=True)
    utterances, phones = [], {}
    for i, (u, speech) in enumerate(zip(corpus.utterances, spoken, strict=True)):
        wave, phones[u.id] = recorded(speech, np.random.default_rng([seed, i]))
        path = folder / "audio" / f"{u.id}.flac"
        path.write_bytes(audio.encoded(path, wave))
        utterances.append(replace(u, audio=path.name, duration=len(wave) / audio.SAMPLE_RATE))
    filled = replace(
        corpus,
        utterances=tuple(utterances),
        audio_root="audio",
        licence="CC0: made on this machine",
        record={"zerochain": zerochain.__version__},
    )
    fill_corpus(folder, filled, Phones(phones, source="espeak-ng's phoneme events"))


def _assign(texts: Sequence[str], speakers: list[str], in_blocks: bool) -> list[_Line]:
    """Half of each split to the first speaker, the rest to the others in turn.

    The first speaker of one side takes every other sentence, that of the other side (`in_blocks`)
    two of every four, so that each speaks with and without the other.
    """
    turns = {"train": count(), "test": count()}
    rests = {"train": count(), "test": count()}

    def line(i: int, text: str) -> _Line:
        split = _split(i)
        turn = next(turns[split]) // (2 if in_blocks else 1)
        first = turn % 2 == 0 or len(speakers) == 1
        others = speakers[1:] or speakers
        speaker = speakers[0] if first else others[next(rests[split]) % len(others)]
        return _Line(text, speaker, split)

    return [line(i, text) for i, text in enumerate(texts)]


def _cast(texts: Sequence[str], speakers: list[str], *, interpreted: bool) -> list[_Line]:
    """All sentences to the first speaker, or to all in turn, the last ones in split "test" alone.

    Every split has its own turns: sentences of one kind come at regular places.
    """
    n_unseen = max(1, len(speakers) // _UNSEEN_VOICES)
    known, unseen = speakers[:-n_unseen], speakers[-n_unseen:]
    casts = {"train": known, "test": unseen}
    if interpreted:
        casts = dict.fromkeys(casts, speakers[:1])
    turns = {"train": count(), "test": count()}

    def line(i: int, text: str) -> _Line:
        cast = casts[_split(i)]
        return _Line(text, cast[next(turns[_split(i)]) % len(cast)], _split(i))

    return [line(i, text) for i, text in enumerate(texts)]


def _split(i: int) -> str:
    return "test" if i % _TEST_EVERY == _TEST_EVERY - 1 else "train"


def _main_speaker(lines: Sequence[_Line]) -> str:
    """The best speaker to train an inverter on, for people."""
    speaker, n = Counter(line.speaker for line in lines).most_common(1)[0]
    part = "all" if n == len(lines) else "half" if 2 * n >= len(lines) else counted(n, "sentence")
    return f"{speaker} speaks {part} of it (--voice {speaker})"


def recorded(speech: Speech, rng: np.random.Generator) -> tuple[audio.Waveform, list[Phone]]:
    """Speech at 16 kHz in a quiet room, with a margin before and after, and its phones."""
    wave = audio.resample(speech.wave, speech.sample_rate, audio.SAMPLE_RATE)
    margin = np.zeros(round(_MARGIN_S * audio.SAMPLE_RATE), np.float32)
    wave = np.concatenate([margin, wave, margin])
    wave += _ROOM * rng.standard_normal(len(wave), np.float32)
    phones = list(_shifted(speech.phones, len(wave) / audio.SAMPLE_RATE))
    return wave, phones


def _shifted(phones: list[Phone], duration: float) -> Iterator[Phone]:
    """The phones, with the margins joined to pauses that are already there."""
    inner = [Phone(p.onset + _MARGIN_S, p.offset + _MARGIN_S, p.phone) for p in phones]
    if inner[0].phone == PAUSE:
        inner = inner[1:]
    if inner[-1].phone == PAUSE:
        inner = inner[:-1]
    yield Phone(0.0, inner[0].onset, PAUSE)
    yield from inner
    yield Phone(inner[-1].offset, duration, PAUSE)
