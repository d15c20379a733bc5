"""The corpus of code-switching: its splits and texts, joins without pauses, the same bytes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from zerochain.corpora.espeak import PAUSE, Speech
from zerochain.corpora.grammar import draw, draw_marked
from zerochain.corpora.switching import BILINGUAL, CORPUS, TEXTS, joined, make_switching
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.phones import Phone, read_phones
from zerochain.metrics.text import untagged

SPLITS = ("train", "test-en", "test-es", "test-mixed")
SIZES = {"n_pairs": 4, "n_unpaired": 4, "n_test": 2, "n_voices": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    out = tmp_path_factory.mktemp("switching") / "s"
    make_switching(out, **SIZES)
    return out


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return read_corpus(folder / CORPUS)


def test_the_splits(corpus: Corpus, folder: Path) -> None:
    texts = {split: [u.text for u in corpus.utterances if u.split == split] for split in SPLITS}
    assert {split: len(found) for split, found in texts.items()} == dict(
        zip(SPLITS, (12, 2, 2, 2), strict=True)
    )
    assert texts["train"].count(None) == 4
    alone = (folder / TEXTS).read_text(encoding="utf-8").splitlines()
    assert len(alone) == 4
    for text in [*alone, *texts["test-mixed"]]:
        assert text.count("<en>") == text.count("<es>") == 1
    assert sum(text.startswith("<en>") for text in alone) == 2
    for language in ("en", "es"):
        assert all(t.startswith(f"<{language}>") for t in texts[f"test-{language}"])
    known = [t for found in texts.values() for t in found if t]
    plain = [untagged(text, ["en", "es"]) for text in [*known, *alone]]
    assert len(set(plain)) == len(plain)


def test_mixed_sentences_may_be_held_out(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    held = make_switching(tmp_path / "s", **SIZES, n_valid=2).select(split="valid-mixed")
    assert all(u.text and "<en>" in u.text and "<es>" in u.text for u in held.utterances)
    assert len(held.ids) == 2
    with pytest.raises(InputError, match="n_valid=-1"):
        make_switching(tmp_path / "t", **SIZES, n_valid=-1)


def test_every_voice_speaks_all_of_it(corpus: Corpus) -> None:
    assert set(corpus.speakers) == set(list(BILINGUAL)[:2])
    for kind in (None, "<en>", "<es>"):
        spoken = [u for u in corpus.utterances if (u.text is None) == (kind is None)]
        who = {u.speaker for u in spoken if kind is None or u.text.startswith(kind)}
        assert len(who) == 2
    for voices in BILINGUAL.values():
        (one, other) = voices.values()
        assert one.voice.partition("+")[2] == other.voice.partition("+")[2]
        assert (one.pitch, one.rate) == (other.pitch, other.rate)


def test_phones_cover_the_recordings(corpus: Corpus, folder: Path) -> None:
    phones = read_phones(folder / CORPUS / "phones.parquet").by_id
    for u in corpus.utterances:
        found = phones[u.id]
        assert found[0].onset == 0
        assert found[-1].offset == pytest.approx(u.duration, abs=1e-3)
        assert all(a.offset == pytest.approx(b.onset, abs=2e-3) for a, b in pairwise(found))


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    make_switching(tmp_path / "s", **SIZES)

    def files(root: Path) -> dict[Path, bytes]:
        return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    assert files(tmp_path / "s") == files(folder)


def test_sentences_are_the_demonstrations() -> None:
    marked = draw_marked(200, seed=3)
    assert [sentence.whole for sentence in marked] == draw(200, seed=3)
    for sentence in marked:
        before, after = sentence.parts
        assert all(before)
        assert all(after)
        assert sentence.whole == tuple(map(str.__add__, before, after))


def test_parts_meet_without_a_pause_but_for_the_closure_of_a_stop() -> None:
    def part(n: int, value: float) -> Speech:
        wave = np.full(n + 200, value, np.float32)
        wave[:100] = wave[-100:] = 0
        a, b = 0.1, 0.1 + n / 1000
        phones = [Phone(0, a, PAUSE), Phone(a, b, "a"), Phone(b, b + 0.1, PAUSE)]
        return Speech(wave, 1000, phones)

    made = joined([part(300, 0.5), part(200, -0.5)])
    assert len(made.wave) == 100 + 300 + 60 + 200 + 100
    assert [p.phone for p in made.phones] == [PAUSE, "a", "a", PAUSE]
    np.testing.assert_allclose([p.onset for p in made.phones], [0, 0.1, 0.4, 0.66])
    np.testing.assert_array_equal(made.wave[120:390], 0.5)
    np.testing.assert_array_equal(made.wave[399:460], 0)  # faded, so that nothing clicks
    np.testing.assert_array_equal(made.wave[460:660], -0.5)
    soon = part(200, -0.5)
    soon = Speech(soon.wave[90:], 1000, [Phone(0.01, 0.21, "a"), Phone(0.21, 0.31, PAUSE)])
    assert len(joined([part(300, 0.5), soon]).wave) == 100 + 300 + 10 + 200 + 100  # all there is
    one = part(300, 0.5)
    assert joined([one]) is one


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ({"n_voices": 0}, "0 voices"),
        ({"n_voices": 99}, "99 voices"),
        ({"n_test": 0}, "0 test sentences"),
        ({"n_pairs": 9000}, "the grammar has"),
    ],
)
def test_what_there_is_not_is_refused(tmp_path: Path, bad: dict[str, int], found: str) -> None:
    with pytest.raises(InputError, match=found):
        make_switching(tmp_path / "s", **{**SIZES, **bad})
    assert not (tmp_path / "s").exists()
