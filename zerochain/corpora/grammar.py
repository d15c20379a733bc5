"""The demonstration corpus's grammar: travellers' sentences in English, Spanish and Portuguese.

Every sentence is there in all three languages, and each says the same. A mark shows where a
sentence can change its language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from zerochain.errors import InputError, counted

_MARK = "|"


class Sentence(NamedTuple):
    """A sentence, or a part of one, in every language."""

    en: str
    es: str
    pt: str

    @property
    def whole(self) -> Sentence:
        """It without the marks where its language can change."""
        return Sentence(*(text.replace(_MARK, "") for text in self))

    @property
    def parts(self) -> tuple[Sentence, Sentence]:
        """What is before the mark in each language, and what is after it."""
        starts, ends = zip(*(text.split(_MARK) for text in self), strict=True)
        return Sentence(*starts), Sentence(*ends)


@dataclass(frozen=True)
class Romance:
    """A noun of Spanish or Portuguese, with its plural where it is counted."""

    noun: str
    feminine: bool
    plural: str = ""

    def agree(self, adjective: str) -> str:
        """An adjective's form: -o becomes -a with a feminine noun."""
        ends_in_o = self.feminine and adjective.endswith("o")
        return adjective[:-1] + "a" if ends_in_o else adjective


class Spanish(Romance):
    """How a Spanish noun is joined to other words."""

    @property
    def the(self) -> str:
        return f"{'la' if self.feminine else 'el'} {self.noun}"

    def after(self, preposition: str) -> str:
        """The noun with its article after "a" or "… de", which contract with a masculine one."""
        return f"{preposition} {self.the}" if self.feminine else f"{preposition}l {self.noun}"

    def count(self, number: int) -> str:
        """A number of them: "dos billetes"."""
        if number == 1:
            return f"{'una' if self.feminine else 'un'} {self.noun}"
        return f"{NUMBERS[number - 1].es} {self.plural}"


class Portuguese(Romance):
    """How a Portuguese noun is joined to other words."""

    @property
    def the(self) -> str:
        return f"{'a' if self.feminine else 'o'} {self.noun}"

    def after(self, preposition: str) -> str:
        """The noun with its article after "a" or "… de", which contract with either."""
        if preposition == "a":
            return f"{'à' if self.feminine else 'ao'} {self.noun}"
        return f"{preposition[:-1]}{self.the}"

    def count(self, number: int) -> str:
        """A number of them: "dois bilhetes", "duas mesas"."""
        if number == 1:
            return f"{'uma' if self.feminine else 'um'} {self.noun}"
        said = NUMBERS[number - 1].pt
        return f"{_FEMININE.get(said, said) if self.feminine else said} {self.plural}"


@dataclass(frozen=True)
class Noun:
    """A noun in every language."""

    en: str
    es: Spanish
    pt: Portuguese
    en_plural: str = ""

    def count(self, number: int) -> Sentence:
        """A number of them, from 1."""
        en = f"one {self.en}" if number == 1 else f"{NUMBERS[number - 1].en} {self.en_plural}"
        return Sentence(en, self.es.count(number), self.pt.count(number))


def _nouns(*table: str) -> tuple[Noun, ...]:
    """Nouns from lines of words, each "en, es, pt", or "en/plural, …"; f: or m: before a noun."""
    return tuple(_noun(*line.split(", ")) for line in table)


def _noun(en: str, es: str, pt: str) -> Noun:
    forms = [text.split("/") for text in (en, es[2:], pt[2:])]
    (en, *en_plural), (es_noun, *es_plural), (pt_noun, *pt_plural) = forms
    return Noun(
        en,
        Spanish(es_noun, es[0] == "f", *es_plural),
        Portuguese(pt_noun, pt[0] == "f", *pt_plural),
        *en_plural,
    )


def _words(*table: str) -> tuple[Sentence, ...]:
    """Words or phrases from lines "en, es, pt"."""
    return tuple(Sentence(*line.split(", ")) for line in table)


NUMBERS = _words(
    *("one, uno, um", "two, dos, dois", "three, tres, três", "four, cuatro, quatro"),
    *("five, cinco, cinco", "six, seis, seis", "seven, siete, sete", "eight, ocho, oito"),
    *("nine, nueve, nove", "ten, diez, dez", "eleven, once, onze", "twelve, doce, doze"),
)
_FEMININE = {"um": "uma", "dois": "duas"}
"""Portuguese numbers of feminine nouns and of hours."""
THINGS = _nouns(
    "ticket/tickets, m:billete/billetes, m:bilhete/bilhetes",
    "room/rooms, f:habitación/habitaciones, m:quarto/quartos",
    "table/tables, f:mesa/mesas, f:mesa/mesas",
    "coffee/coffees, m:café/cafés, m:café/cafés",
    "beer/beers, f:cerveza/cervezas, f:cerveja/cervejas",
    "map/maps, m:mapa/mapas, m:mapa/mapas",
    "key/keys, f:llave/llaves, f:chave/chaves",
    "bottle of water/bottles of water, f:botella de agua/botellas de agua, "
    "f:garrafa de água/garrafas de água",
    "sandwich/sandwiches, m:bocadillo/bocadillos, m:sanduíche/sanduíches",
    "stamp/stamps, m:sello/sellos, m:selo/selos",
    "orange/oranges, f:naranja/naranjas, f:laranja/laranjas",
    "suitcase/suitcases, f:maleta/maletas, f:mala/malas",
)
PLACES = _nouns(
    "station, f:estación, f:estação",
    "museum, m:museo, m:museu",
    "beach, f:playa, f:praia",
    "airport, m:aeropuerto, m:aeroporto",
    "market, m:mercado, m:mercado",
    "church, f:iglesia, f:igreja",
    "bridge, m:puente, f:ponte",
    "library, f:biblioteca, f:biblioteca",
    "castle, m:castillo, m:castelo",
    "pharmacy, f:farmacia, f:farmácia",
    "restaurant, m:restaurante, m:restaurante",
    "bus stop, f:parada de autobús, f:parada de ônibus",
    "park, m:parque, m:parque",
    "square, f:plaza, f:praça",
    "hotel, m:hotel, m:hotel",
    "post office, f:oficina de correos, f:agência dos correios",
)
CARRIERS = _nouns(
    "train, m:tren, m:trem",
    "bus, m:autobús, m:ônibus",
    "boat, m:barco, m:barco",
    "plane, m:avión, m:avião",
)
CITIES = _words(
    *("Madrid, Madrid, Madri", "Lisbon, Lisboa, Lisboa", "Paris, París, Paris"),
    *("Rome, Roma, Roma", "Berlin, Berlín, Berlim", "Seville, Sevilla, Sevilha"),
    *("Athens, Atenas, Atenas", "Geneva, Ginebra, Genebra"),
)
DAYS = _words(
    *("Monday, lunes, segunda-feira", "Tuesday, martes, terça-feira"),
    *("Wednesday, miércoles, quarta-feira", "Thursday, jueves, quinta-feira"),
    *("Friday, viernes, sexta-feira", "Saturday, sábado, sábado", "Sunday, domingo, domingo"),
)
RELATIONS = _words(
    *("next to, al lado de, ao lado de", "behind, detrás de, atrás de"),
    *("in front of, delante de, diante de", "near, cerca de, perto de"),
    "far from, lejos de, longe de",
)
_STATES = _words(
    *("open, abierto, aberto", "closed, cerrado, fechado"),
    *("empty, vacío, vazio", "clean, limpio, limpo"),
)
_QUALITIES = _words(
    *("old, antiguo, antigo", "new, nuevo, novo"),
    *("small, pequeño, pequeno", "big, grande, grande"),
)
_OPENS = _words("opens, abre, abre", "closes, cierra, fecha")
_REQUESTS = (
    Sentence("I would like |{}, please.", "Quisiera |{}, por favor.", "Eu queria |{}, por favor."),
    Sentence("Can you give me |{}?", "¿Puede darme |{}?", "Pode me dar |{}?"),
    Sentence("We need |{}.", "Necesitamos |{}.", "Precisamos de |{}."),
    Sentence("I have bought |{}.", "He comprado |{}.", "Eu comprei |{}."),
)


def check_number(n: int) -> None:
    """Check that the grammar has `n` different sentences.

    Raises:
        InputError: it has fewer, or `n` is below 1.
    """
    total = len(sentences())
    if not 1 <= n <= total:
        raise InputError(
            f"{counted(n, 'sentence')} asked for; the grammar has {total}",
            remedy=f"ask for 1 to {total}",
        )


def draw(n: int, seed: int = 0) -> list[Sentence]:
    """`n` different sentences, deterministic from the seed, as `draw_marked`."""
    return [sentence.whole for sentence in draw_marked(n, seed)]


def draw_marked(n: int, seed: int = 0) -> list[Sentence]:
    """`n` different sentences that are marked where their language can change.

    The kinds of sentence take turns, in another order each round, so that every nth sentence
    covers all kinds.

    Raises:
        InputError: as `check_number`.
    """
    check_number(n)
    kinds = [list(kind) for kind in _kinds()]
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
    yield [
        Sentence(f"Where is |the {p.en}?", f"¿Dónde está |{p.es.the}?", f"Onde fica |{p.pt.the}?")
        for p in PLACES
    ]
    yield [
        Sentence(
            f"How far is |the {p.en}?",
            f"¿A qué distancia está |{p.es.the}?",
            f"A que distância fica |{p.pt.the}?",
        )
        for p in PLACES
    ]
    yield list(_requests())
    yield [
        Sentence(
            f"The {p.en} |is {near.en} the {q.en}.",
            f"{_up(p.es.the)} |está {q.es.after(near.es)}.",
            f"{_up(p.pt.the)} |fica {q.pt.after(near.pt)}.",
        )
        for p, q in permutations(PLACES, 2)
        for near in RELATIONS
    ]
    yield [
        Sentence(
            f"The {p.en} |{opens.en} {time.en}.",
            f"{_up(p.es.the)} |{opens.es} {time.es}.",
            f"{_up(p.pt.the)} |{opens.pt} {time.pt}.",
        )
        for p, opens, time in product(PLACES, _OPENS, list(_times()))
    ]
    yield [
        Sentence(
            f"The {c.en} to {city.en} |leaves {time.en}.",
            f"{_up(c.es.the)} a {city.es} |sale {time.es}.",
            f"{_up(c.pt.the)} para {city.pt} |sai {time.pt}.",
        )
        for c, city, time in product(CARRIERS, CITIES, list(_times()))
    ]
    yield [
        Sentence(
            f"I want to go to the {p.en} |{time.en}.",
            f"Quiero ir {p.es.after('a')} |{time.es}.",
            f"Quero ir {p.pt.after('a')} |{time.pt}.",
        )
        for p, time in product(PLACES, [*_times(), *_days()])
    ]
    yield [
        Sentence(
            f"Is the {p.en} {state.en} |{day.en}?",
            f"¿Está {p.es.agree(state.es)} {p.es.the} |{day.es}?",
            f"{_up(p.pt.the)} está {p.pt.agree(state.pt)} |{day.pt}?",
        )
        for p, state, day in product(PLACES, _STATES[:2], list(_days()))
    ]
    yield [
        Sentence(
            f"The {p.en} |is very {how.en}.",
            f"{_up(p.es.the)} |{es} muy {p.es.agree(how.es)}.",
            f"{_up(p.pt.the)} |{pt} muito {p.pt.agree(how.pt)}.",
        )
        for es, pt, words in (("está", "está", _STATES[2:]), ("es", "é", _QUALITIES))
        for p, how in product(PLACES, words)
    ]
    yield [
        Sentence(
            f"The {t.en} |costs {n.en} euros.",
            f"{_up(t.es.the)} |cuesta {n.es} euros.",
            f"{_up(t.pt.the)} |custa {n.pt} euros.",
        )
        for t, n in product(THINGS, NUMBERS[1:])
    ]


def _requests() -> Iterator[Sentence]:
    for thing, number, request in product(THINGS, range(1, len(NUMBERS) + 1), _REQUESTS):
        some = thing.count(number)
        yield Sentence(*(text.format(n) for text, n in zip(request, some, strict=True)))


def _times() -> Iterator[Sentence]:
    for n in NUMBERS:
        is_one = n.en == "one"
        es = "a la una" if is_one else f"a las {n.es}"
        hour = _FEMININE.get(n.pt, n.pt)
        pt = f"{'à' if is_one else 'às'} {hour}"
        hours = f"{pt} {'hora' if is_one else 'horas'}"
        yield Sentence(f"at {n.en} o'clock", es, hours)
        yield Sentence(f"at a quarter past {n.en}", f"{es} y cuarto", f"{pt} e quinze")
        yield Sentence(f"at half past {n.en}", f"{es} y media", f"{pt} e meia")


def _days() -> Iterator[Sentence]:
    for day in DAYS:
        weekend = day.en in {"Saturday", "Sunday"}
        yield Sentence(f"on {day.en}", f"el {day.es}", f"{'no' if weekend else 'na'} {day.pt}")


def _up(text: str) -> str:
    return text[0].upper() + text[1:]
