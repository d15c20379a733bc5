"""A voice is found however Unicode writes its name."""

import unicodedata
from collections.abc import Callable

import pytest

from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.inversion.voice_data import chosen_voices
from zerochain.inversion.voices import voice_number

NFC, NFD = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))


def test_of_an_inverter() -> None:
    assert voice_number(["ana", NFC], NFD) == voice_number(["ana", NFC], NFC) == 1
    assert voice_number([NFD, NFC], NFC) == 1  # exactly so before all others
    with pytest.raises(InputError, match="no voice 'Jose'"):
        voice_number(["ana", NFC], "Jose")


def test_of_a_corpus(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(speakers=("ana", NFC))
    assert chosen_voices(corpus, [NFD]) == (NFC,)
    assert chosen_voices(corpus, [NFD, NFC, "ana"]) == tuple(sorted(["ana", NFC]))
    with pytest.raises(InputError, match="has no speaker Jose"):
        chosen_voices(corpus, ["Jose"])
