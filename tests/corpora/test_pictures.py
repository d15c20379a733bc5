"""Pictures: each shows what its sentence says, and nothing that the sentence doesn't."""

from pathlib import Path

import numpy as np
import pytest
from chains import toned

from zerochain.corpora.grammar import draw, sentences
from zerochain.corpora.pictures import (
    PATCH,
    SIDE,
    draw_picture,
    draw_pictures,
    regions,
)
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, write_corpus


def test_different_sentences_have_different_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerochain.corpora.pictures._NOISE", 0)
    some = [s.en for s in draw(1500, seed=5)]
    pictures = {draw_picture(text, np.random.default_rng(0)).tobytes() for text in some}
    assert len(pictures) == len(some)


def test_every_sentence_of_the_grammar_can_be_drawn() -> None:
    for sentence in sentences()[::40]:
        picture = draw_picture(sentence.en, np.random.default_rng(0))
        assert picture.shape == (SIDE, SIDE, 3)
        assert picture.max() > 128


def test_pictures_of_one_sentence_vary() -> None:
    made = [
        draw_picture("The beach is near the hotel.", np.random.default_rng(i)) for i in (0, 0, 1)
    ]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_regions_are_the_pictures_patches() -> None:
    picture = np.arange(SIDE * SIDE * 3, dtype=np.uint32).reshape(SIDE, SIDE, 3).astype(np.uint8)
    found = regions(picture)
    n = SIDE // PATCH
    assert found.shape == (n * n, PATCH * PATCH * 3)
    patch = picture[PATCH : 2 * PATCH, 2 * PATCH : 3 * PATCH]  # in the second row, the third
    np.testing.assert_allclose(found[n + 2], patch.ravel() / 255, rtol=1e-6)


def test_the_features_of_a_corpus(tmp_path: Path) -> None:
    texts = ["Where is the hotel?", None, "I have bought two keys."]
    utterances = tuple(Utterance(f"u{i}", f"u{i}.wav", 1.0, text=t) for i, t in enumerate(texts))
    corpus = write_corpus(tmp_path / "c", Corpus("c", utterances, str(tmp_path)))
    made = draw_pictures(corpus, tmp_path / "p")
    assert made.ids == ["u0", "u2"]
    assert made["u0"].shape == (36, 192)
    assert 0 <= made.frames.min() < made.frames.max() <= 1
    again = draw_pictures(corpus, tmp_path / "q")
    assert np.array_equal(made.frames, again.frames)
    other = toned(tmp_path, ["ab", "ba"])
    with pytest.raises(InputError, match="2 texts can't be drawn"):
        draw_pictures(other, tmp_path / "x")
    none = toned(tmp_path, [None], "none")
    with pytest.raises(InputError, match="no texts to draw"):
        draw_pictures(none, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_sentences_of_others_are_refused_though_a_noun_is_known(tmp_path: Path) -> None:
    texts = ["The hotel and the beach.", "At the hotel behind.", "Where is the hotel?"]
    utterances = tuple(Utterance(f"u{i}", f"u{i}.wav", 1.0, text=t) for i, t in enumerate(texts))
    corpus = write_corpus(tmp_path / "c", Corpus("c", utterances, str(tmp_path)))
    with pytest.raises(InputError, match="2 texts can't be drawn: u0, u1"):
        draw_pictures(corpus, tmp_path / "p")
    with pytest.raises(InputError, match="can't be drawn"):
        draw_picture(texts[0], np.random.default_rng(0))
