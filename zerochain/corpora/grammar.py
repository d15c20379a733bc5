"""Parallel sentences in English and Spanish for travellers, from a small grammar of our own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from zerochain.errors import InputError


class Sentence(NamedTuple):
    """The same said in both languages."""

    en: str
    es: str


@dataclass(frozen=True)
class _Noun:
    en: str
    es: str
    feminine: bool
    en_plural: str = ""
    es_plural: str = ""

    @property
    def the(self) -> str:
        return f"{'la' if self.feminine else 'el'} {self.es}"

    def after(self, preposition: str) -> str:
        """The noun with its article after "a" or "… de", which swallow a masculine one."""
        return f"{preposition} {self.the}" if self.feminine else f"{preposition}l {self.es}"

    def agree(self, adjective: str) -> str:
        """An adjective's form: -o becomes -a with a feminine noun."""
        ends_in_o = self.feminine and adjective.endswith("o")
        return adjective[:-1] + "a" if ends_in_o else adjective

    def count(self, number: int) -> Sentence:
        """Some of it: "one ticket", "dos billetes"."""
        if number == 1:
            return Sentence(f"one {self.en}", f"{'una' if self.feminine else 'un'} {self.es}")
        en, es = _NUMBERS[number - 1]
        return Sentence(f"{en} {self.en_plural}", f"{es} {self.es_plural}")


_NUMBERS = (
    *(("one", "uno"), ("two", "dos"), ("three", "tres"), ("four", "cuatro"), ("five", "cinco")),
    *(("six", "seis"), ("seven", "siete"), ("eight", "ocho"), ("nine", "nueve"), ("ten", "diez")),
    *(("eleven", "once"), ("twelve", "doce")),
)
_THINGS = (
    _Noun("ticket", "billete", False, "tickets", "billetes"),
    _Noun("room", "habitación", True, "rooms", "habitaciones"),
    _Noun("table", "mesa", True, "tables", "mesas"),
    _Noun("coffee", "café", False, "coffees", "cafés"),
    _Noun("beer", "cerveza", True, "beers", "cervezas"),
    _Noun("map", "mapa", False, "maps", "mapas"),
    _Noun("key", "llave", True, "keys", "llaves"),
    _Noun("bottle of water", "botella de agua", True, "bottles of water", "botellas de agua"),
    _Noun("sandwich", "bocadillo", False, "sandwiches", "bocadillos"),
    _Noun("stamp", "sello", False, "stamps", "sellos"),
    _Noun("orange", "naranja", True, "oranges", "naranjas"),
    _Noun("suitcase", "maleta", True, "suitcases", "maletas"),
)
_PLACES = (
    _Noun("station", "estación", True),
    _Noun("museum", "museo", False),
    _Noun("beach", "playa", True),
    _Noun("airport", "aeropuerto", False),
    _Noun("market", "mercado", False),
    _Noun("church", "iglesia", True),
    _Noun("bridge", "puente", False),
    _Noun("library", "biblioteca", True),
    _Noun("castle", "castillo", False),
    _Noun("pharmacy", "farmacia", True),
    _Noun("restaurant", "restaurante", False),
    _Noun("bus stop", "parada de autobús", True),
    _Noun("park", "parque", False),
    _Noun("square", "plaza", True),
    _Noun("hotel", "hotel", False),
    _Noun("post office", "oficina de correos", True),
)
_CARRIERS = (
    _Noun("train", "tren", False),
    _Noun("bus", "autobús", False),
    _Noun("boat", "barco", False),
    _Noun("plane", "avión", False),
)
_CITIES = (
    *(("Madrid", "Madrid"), ("Lisbon", "Lisboa"), ("Paris", "París"), ("Rome", "Roma")),
    *(("Berlin", "Berlín"), ("Seville", "Sevilla"), ("Athens", "Atenas"), ("Geneva", "Ginebra")),
)
_DAYS = (
    *(("Monday", "lunes"), ("Tuesday", "martes"), ("Wednesday", "miércoles")),
    *(("Thursday", "jueves"), ("Friday", "viernes"), ("Saturday", "sábado"), ("Sunday", "domingo")),
)
_RELATIONS = (
    *(("next to", "al lado de"), ("behind", "detrás de"), ("in front of", "delante de")),
    *(("near", "cerca de"), ("far from", "lejos de")),
)
_STATES = (("open", "abierto"), ("closed", "cerrado"), ("empty", "vacío"), ("clean", "limpio"))
_QUALITIES = (("old", "antiguo"), ("new", "nuevo"), ("small", "pequeño"), ("big", "grande"))
_REQUESTS = (
    ("I would like {}, please.", "Quisiera {}, por favor."),
    ("Can you give me {}?", "¿Puede darme {}?"),
    ("We need {}.", "Necesitamos {}."),
    ("I have bought {}.", "He comprado {}."),
)


def draw(n: int, seed: int = 0) -> list[Sentence]:
    """`n` different sentences, deterministic from the seed.

    The kinds of sentence take turns, in another order each round, so that whoever takes every
    nth sentence gets all kinds.

    Raises:
        InputError: fewer than one is asked for, or more than the grammar has.
    """
    kinds = [list(kind) for kind in _kinds()]
    total = sum(len(kind) for kind in kinds)
    if not 1 <= n <= total:
        raise InputError(
            f"{n} sentences asked for; the grammar has {total}", remedy=f"ask for 1 to {total}"
        )
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(kind)) for kind in kinds]
    drawn: list[Sentence] = []
    for turn in range(max(len(kind) for kind in kinds)):
        left = [(k, o) for k, o in zip(kinds, orders, strict=True) if turn < len(k)]
        drawn += [left[i][0][left[i][1][turn]] for i in rng.permutation(len(left))]
    return drawn[:n]


def sentences() -> list[Sentence]:
    """Every sentence that the grammar has, each once."""
    return [sentence for kind in _kinds() for sentence in kind]


def _kinds() -> Iterator[list[Sentence]]:
    """The sentences, by kind."""
    yield [Sentence(f"Where is the {p.en}?", f"¿Dónde está {p.the}?") for p in _PLACES]
    yield [Sentence(f"How far is the {p.en}?", f"¿A qué distancia está {p.the}?") for p in _PLACES]
    yield list(_requests())
    yield [
        Sentence(f"The {p.en} is {en} the {q.en}.", f"{_up(p.the)} está {q.after(es)}.")
        for p, q in permutations(_PLACES, 2)
        for en, es in _RELATIONS
    ]
    yield [
        Sentence(f"The {p.en} {en} {time.en}.", f"{_up(p.the)} {es} {time.es}.")
        for p, (en, es), time in product(
            _PLACES, (("opens", "abre"), ("closes", "cierra")), list(_times())
        )
    ]
    yield [
        Sentence(f"The {c.en} to {en} leaves {time.en}.", f"{_up(c.the)} a {es} sale {time.es}.")
        for c, (en, es), time in product(_CARRIERS, _CITIES, list(_times()))
    ]
    yield [
        Sentence(f"I want to go to the {p.en} {time.en}.", f"Quiero ir {p.after('a')} {time.es}.")
        for p, time in product(_PLACES, [*_times(), *_days()])
    ]
    yield [
        Sentence(f"Is the {p.en} {en} {day.en}?", f"¿Está {p.agree(es)} {p.the} {day.es}?")
        for p, (en, es), day in product(_PLACES, _STATES[:2], list(_days()))
    ]
    yield [
        Sentence(f"The {p.en} is very {en}.", f"{_up(p.the)} {verb} muy {p.agree(es)}.")
        for verb, words in (("está", _STATES[2:]), ("es", _QUALITIES))
        for p, (en, es) in product(_PLACES, words)
    ]
    yield [
        Sentence(f"The {t.en} costs {en} euros.", f"{_up(t.the)} cuesta {es} euros.")
        for t, (en, es) in product(_THINGS, _NUMBERS[1:])
    ]


def _requests() -> Iterator[Sentence]:
    for thing, number, (en, es) in product(_THINGS, range(1, len(_NUMBERS) + 1), _REQUESTS):
        some = thing.count(number)
        yield Sentence(en.format(some.en), es.format(some.es))


def _times() -> Iterator[Sentence]:
    for en, es in _NUMBERS:
        hour = "a la una" if en == "one" else f"a las {es}"
        yield Sentence(f"at {en} o'clock", hour)
        yield Sentence(f"at a quarter past {en}", f"{hour} y cuarto")
        yield Sentence(f"at half past {en}", f"{hour} y media")


def _days() -> Iterator[Sentence]:
    return (Sentence(f"on {en}", f"el {es}") for en, es in _DAYS)


def _up(text: str) -> str:
    return text[0].upper() + text[1:]
