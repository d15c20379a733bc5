"""The demonstration corpus: disjoint splits, every voice in both, the same bytes every time."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zerochain import audio
from zerochain.corpora.demo import SIDES, VOICES, make_demo
from zerochain.corpora.espeak import PAUSE, Voice, speak
from zerochain.errors import InputError
from zerochain.formats.corpus import read_corpus
from zerochain.formats.pairs import read_pairs
from zerochain.formats.phones import read_phones


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    out = tmp_path_factory.mktemp("demo") / "corpora"
    make_demo(out, n_pairs=30, n_voices=3)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_bytes_every_time(demo: Path, tmp_path: Path) -> None:
    make_demo(tmp_path / "again", n_pairs=30, n_voices=3)
    assert files(demo) == files(tmp_path / "again")
    make_demo(tmp_path / "other", n_pairs=30, n_voices=3, seed=1)
    assert files(demo) != files(tmp_path / "other")


def test_pairs_join_both_corpora(demo: Path) -> None:
    en, es = read_corpus(demo / "en"), read_corpus(demo / "es")
    pairs = read_pairs(demo / "pairs.parquet", en, es)
    assert (pairs.source_corpus, pairs.target_corpus) == (en.id, es.id)
    assert len(pairs.pairs) == 30
    for source, target in pairs.pairs:
        assert en.by_id[source].split == es.by_id[target].split
        assert ("?" in str(en.by_id[source].text)) == ("?" in str(es.by_id[target].text))


@pytest.mark.parametrize("language", ["en", "es"])
def test_splits_and_voices(demo: Path, language: str) -> None:
    corpus = read_corpus(demo / language)
    texts = {
        split: {u.text for u in corpus.select(split=split).utterances}
        for split in ("train", "test")
    }
    assert not texts["train"] & texts["test"]
    assert len(texts["train"]) == 24
    target, *others = list(VOICES[language])[:3]
    for split, half in (("train", 12), ("test", 3)):
        counts = Counter(u.speaker for u in corpus.select(split=split).utterances)
        assert set(counts) == {target, *others}
        assert counts[target] - half in {0, 1}
    assert target in corpus.source


def test_each_target_voice_speaks_with_and_without_the_other(demo: Path) -> None:
    en, es = read_corpus(demo / "en"), read_corpus(demo / "es")
    pairs = read_pairs(demo / "pairs.parquet").pairs
    firsts = next(iter(VOICES["en"])), next(iter(VOICES["es"]))
    met = {(en.by_id[a].speaker == firsts[0], es.by_id[b].speaker == firsts[1]) for a, b in pairs}
    assert len(met) == 4


@pytest.mark.parametrize("language", ["en", "es"])
def test_phones_cover_the_recordings(demo: Path, language: str) -> None:
    corpus = read_corpus(demo / language)
    phones = read_phones(demo / language / "phones.parquet").by_id
    pauses, vowels = [], []
    for u in corpus.utterances:
        wave = audio.read(corpus.audio_path(u))
        assert audio.info(corpus.audio_path(u)).sample_rate == 16_000
        assert len(wave) / 16_000 == u.duration
        line = phones[u.id]
        assert (line[0].onset, line[-1].offset) == (0, u.duration)
        assert line[0].phone == line[-1].phone == PAUSE
        for p in line:
            part = wave[round(p.onset * 16_000) : round(p.offset * 16_000)]
            (pauses if p.phone == PAUSE else vowels if p.phone[0] in "aeɛæɑɔ" else []).append(
                np.sqrt(np.mean(part**2))
            )
    # Pauses are as quiet as the room, vowels are not.
    assert np.median(pauses) < 1e-3 < 0.03 < np.quantile(vowels, 0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_voices": 0}, "0 voices"),
        ({"n_voices": 99}, "99 voices"),
        ({"n_pairs": 20}, "20 pairs for 8 voices: too few"),
        ({"n_pairs": 0, "n_voices": 1}, "too few"),
        ({"n_pairs": 10**6}, "the grammar has"),
    ],
)
def test_impossible_sizes_are_refused(tmp_path: Path, options: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_demo(tmp_path / "demo", **options)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    broken = {"es-f1": Voice("xx-none", 150, 50), **dict(list(VOICES["es"].items())[1:])}
    monkeypatch.setitem(VOICES, "es", broken)
    with pytest.raises(InputError, match="xx-none"):
        make_demo(tmp_path / "demo", n_pairs=5, n_voices=1)
    assert not list(tmp_path.iterdir())


def test_somebody_elses_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="not a folder that zerochain made"):
        make_demo(tmp_path, n_pairs=5, n_voices=1)


def test_every_voice_speaks() -> None:
    pytest.importorskip("espeakng_loader")
    for voices in VOICES.values():
        assert len(voices) >= 8
        waves = [
            s.wave
            for s in speak(
                ("uno, a, la", replace(voice, rate=150, pitch=50)) for voice in voices.values()
            )
        ]
        assert len({wave.tobytes() for wave in waves}) == len(voices)
        assert all(np.sqrt(np.mean(wave**2)) > 0.01 for wave in waves)


@pytest.mark.parametrize("into", ["en", "es"])
def test_for_translation_one_voice_interprets_and_test_voices_are_new(
    tmp_path: Path, into: str
) -> None:
    pytest.importorskip("espeakng_loader")
    make_demo(tmp_path / "d", n_pairs=35, n_voices=4, into=into)
    corpora = {language: read_corpus(tmp_path / "d" / language) for language in SIDES}
    source = corpora["es" if into == "en" else "en"]
    assert corpora[into].speakers == [next(iter(VOICES[into]))]
    train, test = (source.select(split=split) for split in ("train", "test"))
    assert len(train.speakers) == 3
    assert len(test.speakers) == 1
    assert not set(train.speakers) & set(test.speakers)
    assert max(Counter(u.speaker for u in train.utterances).values()) <= 10  # of 28
    assert "speaks all of it" in corpora[into].source
    assert [u.split for u in source.utterances] == [u.split for u in corpora[into].utterances]


def test_translation_needs_two_voices_and_a_language(tmp_path: Path) -> None:
    for bad in ({"into": "fr"}, {"into": "es", "n_voices": 1}):
        with pytest.raises(InputError, match="translation into"):
            make_demo(tmp_path / "d", n_pairs=30, **bad)  # type: ignore[arg-type]


def test_a_further_language_says_the_same_by_voices_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    made = make_demo(tmp_path / "d", n_pairs=15, n_voices=2, into="es", also="pt")
    make_demo(tmp_path / "without", n_pairs=15, n_voices=2, into="es")
    pt, es = (read_corpus(tmp_path / "d" / language) for language in ("pt", "es"))
    assert [path.name for path in made] == ["pairs.parquet", "pairs-pt.parquet"]
    pairs = read_pairs(tmp_path / "d" / "pairs-pt.parquet", pt, es)
    assert len(pairs.pairs) == 15
    assert all(pt.by_id[a].split == es.by_id[b].split for a, b in pairs.pairs)
    assert {u.speaker for u in pt.utterances} == set(list(VOICES["pt"])[:2])
    assert all(u.text and "ão" not in u.text for u in es.utterances)
    assert any("ão" in str(u.text) or "ê" in str(u.text) for u in pt.utterances)
    for language in SIDES:
        assert files(tmp_path / "d" / language) == files(tmp_path / "without" / language)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"also": "pt"}, "into no language"), ({"also": "es", "into": "es"}, "also translation")],
)
def test_a_further_language_is_one_to_translate_from(
    tmp_path: Path, options: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        make_demo(tmp_path / "d", n_pairs=30, **options)  # type: ignore[arg-type]
