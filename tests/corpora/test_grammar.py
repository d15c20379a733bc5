"""The grammar: enough sentences, all different, and Spanish and Portuguese that agree."""

import re
from collections import Counter

import pytest

from zerochain.corpora.grammar import Sentence, draw, sentences
from zerochain.errors import InputError

FEMININE = {
    "estación",
    "playa",
    "iglesia",
    "biblioteca",
    "farmacia",
    "parada",
    "plaza",
    "oficina",
    "habitación",
    "mesa",
    "cerveza",
    "llave",
    "botella",
    "naranja",
    "maleta",
}
MASCULINE = {
    "museo",
    "aeropuerto",
    "mercado",
    "puente",
    "castillo",
    "restaurante",
    "parque",
    "hotel",
    "billete",
    "café",
    "mapa",
    "bocadillo",
    "sello",
    "tren",
    "autobús",
    "barco",
    "avión",
}


def test_every_sentence_is_said_once_on_either_side() -> None:
    every = sentences()
    assert len(every) >= 2000
    for said in zip(*every, strict=True):
        assert len(set(said)) == len(every)


def test_articles_and_adjectives_agree() -> None:
    text = "\n".join(s.es.lower() for s in sentences())
    seen = set()
    for article, noun in re.findall(r"\b(el|la|del|al|un|una) (\w+)", text):
        if noun in MASCULINE or noun in FEMININE:
            seen.add(noun)
            assert (noun in FEMININE) == (article in {"la", "una"}), f"{article} {noun}"
    assert seen == FEMININE | MASCULINE
    assert not re.search(r"\b(de|a) el\b", text)
    for noun, ending in re.findall(r"\b(\w+)(?: de \w+)? (?:es|está) (?:muy )?\w+(o|a)\.", text):
        assert noun not in MASCULINE or ending == "o", noun
        assert noun not in FEMININE or ending == "a", noun


def test_numbers_take_plurals() -> None:
    for sentence in sentences():
        for noun in re.findall(r"\b(?:dos|tres|cuatro|doce) (\w+)", sentence.es):
            assert noun.endswith("s") or noun in {"y", "media"}, sentence.es
        assert not re.search(r"\bone \w+s\b", sentence.en.replace("one o'clock", "")), sentence.en


def test_translations_by_hand() -> None:
    every = set(sentences())
    for sentence in [
        ("Where is the station?", "¿Dónde está la estación?", "Onde fica a estação?"),
        (
            "The bridge is next to the castle.",
            "El puente está al lado del castillo.",
            "A ponte fica ao lado do castelo.",
        ),
        (
            "I would like one bottle of water, please.",
            "Quisiera una botella de agua, por favor.",
            "Eu queria uma garrafa de água, por favor.",
        ),
        ("We need two tables.", "Necesitamos dos mesas.", "Precisamos de duas mesas."),
        (
            "The train to Lisbon leaves at half past one.",
            "El tren a Lisboa sale a la una y media.",
            "O trem para Lisboa sai à uma e meia.",
        ),
        (
            "I want to go to the hotel on Sunday.",
            "Quiero ir al hotel el domingo.",
            "Quero ir ao hotel no domingo.",
        ),
        (
            "The library is very old.",
            "La biblioteca es muy antigua.",
            "A biblioteca é muito antiga.",
        ),
        (
            "Is the church open on Friday?",
            "¿Está abierta la iglesia el viernes?",
            "A igreja está aberta na sexta-feira?",
        ),
        ("The key costs two euros.", "La llave cuesta dos euros.", "A chave custa dois euros."),
    ]:
        assert Sentence(*sentence) in every


def test_portuguese_agrees() -> None:
    text = "\n".join(s.pt.lower() for s in sentences())
    assert not re.search(r"\b(de|a) (o|a) \w", text.replace("a a que", ""))
    feminine = {"estação", "praia", "igreja", "ponte", "praça", "chave", "mala", "agência", "mesa"}
    masculine = {"museu", "castelo", "quarto", "selo", "trem", "hotel", "bilhete", "avião"}
    seen = set()
    for article, noun in re.findall(r"\b(o|a|do|da|ao|à|um|uma) (\w+)", text):
        if noun in feminine | masculine:
            seen.add(noun)
            assert (noun in feminine) == (article in {"a", "da", "à", "uma"}), f"{article} {noun}"
    assert seen == feminine | masculine
    for noun, ending in re.findall(r"\b(\w+) (?:é|está) (?:muito )?(?!muito)\w+(o|a)\b", text):
        assert noun not in masculine or ending == "o", noun
        assert noun not in feminine or ending == "a", noun
    for number, noun in re.findall(r"\b(dois|duas) (\w+)", text):
        assert noun.rstrip("s") not in feminine or number == "duas", noun
        assert noun.rstrip("s") not in masculine or number == "dois", noun


def test_draws_are_different_mixed_and_repeatable() -> None:
    drawn = draw(300, seed=3)
    assert len(set(drawn)) == 300
    assert drawn == draw(300, seed=3)
    assert drawn != draw(300, seed=4)
    assert draw(100, seed=3) == drawn[:100]
    assert len({s.en.split()[0] for s in drawn[:20]}) >= 4
    assert set(draw(len(sentences()))) == set(sentences())


def test_every_nth_sentence_is_of_any_kind() -> None:
    drawn = draw(1000, seed=1)
    kinds = [Counter(sentence.en.split()[0] for sentence in drawn[i::5]) for i in range(5)]
    for kind, n in Counter(sentence.en.split()[0] for sentence in drawn).items():
        for part in kinds:
            assert n / 5 - 5 * n**0.5 < part[kind] < n / 5 + 5 * n**0.5
            assert part[kind] > 0 or n < 30


@pytest.mark.parametrize("n", [0, -1, 10**6])
def test_more_than_there_is_is_refused(n: int) -> None:
    with pytest.raises(InputError, match="the grammar has"):
        draw(n)
