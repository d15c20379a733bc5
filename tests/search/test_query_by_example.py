"""Where something is said again, on recordings whose words are known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eaf import eaf
from zerochain import audio
from zerochain.errors import InputError, ModelMismatchError
from zerochain.exchange.textgrid import textgrid_text
from zerochain.formats.corpus import Corpus, Utterance, read_corpus, write_corpus
from zerochain.formats.features import Features
from zerochain.formats.spans import LabelledSpan, Spans, clock, write_spans
from zerochain.formats.units import UnitFile
from zerochain.search.alignment import best_paths
from zerochain.search.find import FindConfig, Hit, Place, find, query_at
from zerochain.search.queries import check_audible, examples
from zerochain.search.sources import (
    FrameSource,
    FusedSource,
    PooledSource,
    Source,
    UnitSource,
    unit_distances,
)

WORD_FRAMES, DIM = 40, 12
EVERYTHING = FindConfig(min_score=-100.0, most=1000)


def recordings(extractor: str = "latents", n: int = 12) -> tuple[Features, list[Place]]:
    """Utterances of noise; a word is said in every third, at another speed each time."""
    rng = np.random.default_rng(0)
    steady = rng.normal(size=(WORD_FRAMES // 8, DIM))
    word = np.repeat(steady, 8, axis=0)
    arrays, places = {}, []
    for i in range(n):
        around = [np.repeat(rng.normal(size=(20, DIM)), 8, axis=0) for _ in range(2)]
        speed = (1.0, 0.8, 1.3)[i // 3 % 3]
        said = word[(np.arange(round(WORD_FRAMES / speed)) * speed).astype(int)]
        middle = said if i % 3 == 0 else np.empty((0, DIM))
        if i % 3 == 0:
            places.append(Place(f"s/u{i}", 1.6, 1.6 + len(said) / 100))
        frames = np.concatenate([around[0], middle, around[1]])
        frames = frames + 0.2 * rng.normal(size=frames.shape)
        if extractor == "posteriors":
            frames = np.exp(3 * frames) / np.exp(3 * frames).sum(axis=1, keepdims=True)
        arrays[f"s/u{i}"] = frames.astype(np.float32)
    speakers = {name: "a" if int(name[3:]) % 2 else "b" for name in arrays}
    return Features.from_arrays(arrays, extractor=extractor, speakers=speakers), places


def overlaps(hit: Hit, place: Place) -> bool:
    shared = min(hit.place.end_s, place.end_s) - max(hit.place.start_s, place.start_s)
    return hit.place.id == place.id and shared > 0.8 * (place.end_s - place.start_s)


def units_of(features: Features) -> UnitFile:
    units = {name: features[name].argmax(axis=1).astype(np.int32) for name in features.ids}
    return UnitFile(units, DIM, 10.0, "m" * 64, "test", dict(features.speakers))


def sources(kind: str) -> tuple[Source, Source | None, list[Place]]:
    features, places = recordings(kind if kind in {"mfcc", "posteriors"} else "latents")
    frames = FrameSource(features)
    if kind == "units":
        return UnitSource(units_of(features), unit_distances(np.eye(DIM), DIM)), None, places
    if kind == "index":
        units = UnitSource(units_of(features), unit_distances(None, DIM))
        return frames, units, places
    return frames, PooledSource(frames, 4), places


@pytest.mark.parametrize("kind", ["latents", "mfcc", "posteriors", "units", "index"])
def test_a_word_is_found_wherever_it_is_said(kind: str) -> None:
    source, coarse, places = sources(kind)
    query = query_at(source, coarse, places[0], label="word")
    hits = find([query], source, coarse, EVERYTHING).hits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    first = hits[: len(places) - 1]  # all of them before anything else, the query itself left out
    assert {place.id for place in places[1:]} == {hit.place.id for hit in first}
    assert all(any(overlaps(hit, place) for place in places[1:]) for hit in first)
    assert hits[2].score > hits[3].score + 0.5
    assert not any(hit.is_own or overlaps(hit, places[0]) for hit in hits)


def test_the_query_itself_is_flagged_where_it_is_kept() -> None:
    source, coarse, places = sources("latents")
    query = query_at(source, coarse, places[0], label="word")
    config = EVERYTHING.model_copy(update={"keep_own": True})
    first, *others = find([query], source, coarse, config).hits
    assert first.is_own
    assert first.cost == pytest.approx(0, abs=1e-5)
    assert overlaps(first, places[0])
    assert not any(hit.is_own for hit in others)


def test_two_passes_find_what_one_finds() -> None:
    source, coarse, places = sources("latents")
    query = query_at(source, coarse, places[0], label="word")
    both = find([query], source, coarse, EVERYTHING).hits
    one = find([query], source, None, EVERYTHING).hits
    assert [hit.place for hit in both[:3]] == [hit.place for hit in one[:3]]
    # Not to the last bit: on some CPUs a product of fewer rows is rounded in another way.
    assert [hit.score for hit in both[:3]] == pytest.approx([hit.score for hit in one[:3]])


def test_a_long_recording_is_searched_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    source, coarse, places = sources("latents")
    query = query_at(source, coarse, places[0], label="word")
    whole = find([query], source, None, EVERYTHING).hits
    monkeypatch.setattr("zerochain.search.find._BLOCK_FRAMES", 50)
    pieces = find([query], source, None, EVERYTHING).hits
    assert [hit.place for hit in pieces[:3]] == [hit.place for hit in whole[:3]]


def test_examples_of_one_word_are_merged_and_others_are_not() -> None:
    source, coarse, places = sources("latents")
    both = [query_at(source, coarse, place, label="word") for place in places[:2]]
    hits = find(both, source, coarse, EVERYTHING).hits
    assert {hit.place.id for hit in hits[:2]} == {place.id for place in places[2:]}
    assert len({(hit.place.id, round(hit.place.start_s, 1)) for hit in hits}) == len(hits)
    other = replace(both[1], label="other")
    apart = find([both[0], other], source, coarse, EVERYTHING).hits
    assert [hit.label for hit in apart] == sorted((hit.label for hit in apart), reverse=True)


def test_scores_do_not_depend_on_the_scale_of_costs() -> None:
    _, _, places = sources("units")
    table = unit_distances(None, DIM)
    features, _ = recordings()
    scores = []
    for factor in (1.0, 7.0):
        scaled = UnitSource(units_of(features), np.asarray(table * factor, np.float32))
        query = query_at(scaled, None, places[0], label="word")
        scores.append([hit.score for hit in find([query], scaled, None, EVERYTHING).hits])
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4)


def test_a_query_from_elsewhere_is_normalised_like_the_recordings() -> None:
    features, places = recordings("mfcc")
    source = FrameSource(features)
    clip = features.restrict([places[0].id])
    made = source.like(replace(clip, corpus_id=""))
    query = query_at(made, None, places[0], label="word", own=False)
    hits = find([query], source, None, EVERYTHING).hits
    assert {hit.place.id for hit in hits[:4]} == {place.id for place in places}
    with pytest.raises(InputError, match="the query is latents of 12 numbers"):
        source.like(replace(clip, extractor="latents"))


def test_a_query_of_another_corpus_knows_no_speaker_by_name() -> None:
    """The same name may be another speaker there."""
    features, places = recordings("mfcc")
    source = FrameSource(replace(features, corpus_id="here"))
    clip = replace(features.restrict([places[0].id]), corpus_id="there")
    unknown = replace(clip, speakers={places[0].id: "nobody"})
    one, other = (source.like(each).frames(places[0].id) for each in (clip, unknown))
    np.testing.assert_array_equal(one, other)
    assert not np.allclose(one, source.frames(places[0].id), atol=1e-3)


@pytest.mark.parametrize("kinds", [("mfcc", "posteriors"), ("posteriors", "latents")])
def test_two_kinds_of_features_are_at_the_mean_of_their_distances(kinds: tuple[str, str]) -> None:
    one, other = (FrameSource(recordings(kind)[0]) for kind in kinds)
    _, places = recordings(kinds[0])
    both = FusedSource(one, other, 0.5)
    name, begin, end = places[0].id, 160, 190
    apart = [s.local(s.frames(name), s.frames(name, begin, end)) for s in (one, other)]
    together = both.local(both.frames(name), both.frames(name, begin, end))
    np.testing.assert_allclose(together, (2 * apart[0] + apart[1]) / 3, atol=1e-5)
    query = query_at(both, PooledSource(one, 4), places[0], label="word")
    hits = find([query], both, PooledSource(one, 4), EVERYTHING).hits
    assert {hit.place.id for hit in hits[:3]} == {place.id for place in places[1:]}


def test_derivatives_of_mfccs_count_more() -> None:
    features, places = recordings("mfcc")
    alike = replace(features, options={"n_mfcc": 4, "n_deltas": 1})
    name = places[0].id
    plain, weighted = FrameSource(alike), FrameSource(alike, derivatives=2.0)
    expected = plain.normalised(name) * np.repeat(np.float32([1, 2, 1]), 4)  # tone is the last
    np.testing.assert_allclose(weighted.normalised(name), expected, rtol=1e-6)
    np.testing.assert_array_equal(weighted.like(alike).frames(name), weighted.frames(name))
    for other in (replace(alike, extractor="latents"), features):
        kept = FrameSource(other, derivatives=2.0)
        np.testing.assert_array_equal(kept.frames(name), FrameSource(other).frames(name))


def test_two_kinds_of_features_are_of_the_same_frames() -> None:
    features, _ = recordings()
    source = FrameSource(features)
    for other, message in (
        (features.restrict(features.ids[1:]), "lack 1 utterance: s/u0"),
        (replace(features, step_ms=20.0), "steps of 20 ms beside steps of 10 ms"),
        (
            Features.from_arrays({n: features[n][:-1] for n in features.ids}),
            "another number of frames in 12 utterances",
        ),
    ):
        with pytest.raises(InputError, match=message):
            FusedSource(source, FrameSource(other), 0.5)


def test_scores_are_measured_against_windows_without_the_query() -> None:
    """Beside a plain loop over all windows, of which there are fewer than are asked for."""
    rng = np.random.default_rng(1)
    array = rng.normal(size=(150, DIM)).astype(np.float32)
    source = FrameSource(Features.from_arrays({"u": array}, extractor="latents", speakers={}))
    query = query_at(source, None, Place("u", 0.2, 0.4), label="x")
    costs = []
    for begin in range(150 - 40 + 1):
        if begin >= 40 or begin + 40 <= 20:
            local = source.local(source.frames("u", begin, begin + 40), query.frames)
            ends, starts = np.empty(40, np.float32), np.empty(40, np.int32)
            best_paths(local, ends, starts)
            costs.append(ends.min())
    hits = find([query], source, None, EVERYTHING).hits
    assert hits
    for hit in hits:
        assert hit.score == pytest.approx((np.mean(costs) - hit.cost) / np.std(costs), rel=1e-3)


def test_distances_of_units_are_those_of_their_centred_vectors() -> None:
    """Vectors that all point in one direction are no nearer to each other for that."""
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(6, 4))
    table = unit_distances(vectors + 100, 6)
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(table, (1 - centred @ centred.T) / 2, atol=1e-4)


def test_no_hit_is_no_error() -> None:
    source, coarse, places = sources("latents")
    query = query_at(source, coarse, places[0], label="word")
    found = find([query], source, coarse, FindConfig(min_score=50.0))
    assert found.hits == []
    assert "no hit with a score of min_score=50" in found.notes[-1]


def test_bad_queries() -> None:
    source, coarse, places = sources("latents")
    place = places[0]
    with pytest.raises(InputError, match="lasts 50 ms, shorter than 100 ms"):
        query_at(source, coarse, place._replace(end_s=place.start_s + 0.05), label="x")
    with pytest.raises(InputError, match="no query from 90 to 91 s: 's/u0' lasts"):
        query_at(source, coarse, Place("s/u0", 90, 91), label="x")
    with pytest.raises(InputError, match="from 1 to 91 s reaches beyond 's/u0', which lasts"):
        query_at(source, coarse, Place("s/u0", 1, 91), label="x")
    with pytest.raises(InputError, match="no utterance 'u99'"):
        query_at(source, coarse, Place("u99", 0, 1), label="x")
    short = Features.from_arrays({"only": np.random.default_rng(0).random((40, DIM), np.float32)})
    query = query_at(source, coarse, Place("s/u0", 0, 3), label="x")
    with pytest.raises(InputError, match="can't be said in any of them"):
        find([query], FrameSource(short), None)
    with pytest.raises(InputError, match=r"to measure the scores of .* against"):
        find([query_at(source, None, Place("s/u0", 0, 0.7), label="x")], FrameSource(short), None)
    with pytest.raises(InputError, match="there is no query"):
        find([], source, coarse)
    with pytest.raises(InputError, match="is silent"):
        check_audible("clip", np.zeros(16_000, np.float32))


def test_short_and_constant_queries_are_noted() -> None:
    source, coarse, places = sources("latents")
    name, start_s, _ = places[0]
    query = query_at(source, coarse, Place(name, start_s, start_s + 0.15), label="x")
    notes = find([query], source, coarse).notes
    assert any("shorter than 300 ms" in note for note in notes)
    assert any("without a first pass" in note for note in notes)
    still = Features.from_arrays({"hum": np.ones((90, DIM), np.float32)}, extractor="latents")
    hum = query_at(FrameSource(still), None, Place("hum", 0, 0.5), label="hum", own=False)
    assert any("silence or a hum" in note for note in find([hum], source, None).notes)


def test_units_of_other_models_and_other_utterances_are_refused() -> None:
    features, places = recordings()
    units = units_of(features)
    source = UnitSource(units, unit_distances(None, DIM))
    with pytest.raises(ModelMismatchError):
        source.like(replace(units, model_id="n" * 64))
    part = UnitSource(units.restrict(features.ids[1:]), unit_distances(None, DIM))
    frames = FrameSource(features)
    query = query_at(frames, None, places[0], label="x")
    with pytest.raises(InputError, match="the first pass lacks 1 utterance: s/u0"):
        find([query], frames, part)


def rows(path: Path, *rows: tuple[str, float, float, str]) -> Path:
    write_spans(path, Spans(tuple(LabelledSpan(*row) for row in rows)))
    return path


def test_queries_as_they_are_written(tmp_path: Path) -> None:
    ids: Sequence[str] = ["s/u0", "s/u1"]
    [span] = examples("s/u1:0.20-0.85", ids)
    assert (span.label, span.place) == ("u1:0.20-0.85", Place("s/u1", 0.2, 0.85))
    table = rows(tmp_path / "q.csv", ("s/u0", 0, 1, "a"), ("s/u1", 1, 2, "b"), ("s/u0", 2, 3, "b"))
    assert [one.label for one in examples(str(table), ids)] == ["a", "b", "b"]
    assert [one.place.id for one in examples(str(table), ids, word="b") if one.place] == [
        "s/u1",
        "s/u0",
    ]
    with pytest.raises(InputError, match="no row with the label 'c'"):
        examples(str(table), ids, word="c")
    with pytest.raises(InputError, match="1 row of recordings that are not searched: s/u1"):
        examples(str(table), ids[:1])
    with pytest.raises(InputError, match="ends before it starts"):
        examples("s/u1:0.9-0.2", ids)
    with pytest.raises(InputError, match="similar ones are s/u1"):
        examples("s/u11:0.1-0.2", ids)
    with pytest.raises(InputError, match="only applies to a table"):
        examples("s/u1:0.20-0.85", ids, word="a")


def test_annotations_of_elan_and_praat_are_queries(tmp_path: Path) -> None:
    """Of a recording called like the file, or else like an .eaf's media; each place once."""
    parts = [Utterance(f"s_{i}", "d/s.wav", 4.0, start=5.0 * i, end=5.0 * i + 4) for i in (0, 1)]
    corpus = Corpus("c", tuple(parts))
    segments = [(1.0, 1.5, "nde"), (6.0, 6.5, "nde"), (7.5, 8.0, "x")]
    elan = tmp_path / "old.eaf"
    elan.write_text(eaf({"ana": segments, "béa": segments[:1]}, ["s.wav"]), encoding="utf-8")
    praat = tmp_path / "s.TextGrid"
    praat.write_text(textgrid_text(9.0, {"w": segments, "again": segments}), encoding="utf-8")
    for path in (elan, praat):
        found = examples(str(path), corpus.ids, corpus, word="nde")
        assert {one.place for one in found} == {Place("s_0", 1.0, 1.5), Place("s_1", 1.0, 1.5)}
        assert len(found) == 2
        with pytest.raises(InputError, match="all of them would be searched for"):
            examples(str(path), corpus.ids, corpus)
        with pytest.raises(InputError, match="no row with the label 'ndo'"):
            examples(str(path), corpus.ids, corpus, word="ndo")


def test_a_recording_of_the_corpus_is_known_by_its_path(tmp_path: Path) -> None:
    """So that the place itself is no hit; across a pause it is a clip."""
    (tmp_path / "field" / "d").mkdir(parents=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(9 * 16_000)
    audio.write(tmp_path / "field" / "d" / "s.wav", noise.astype(np.float32))
    audio.write(tmp_path / "s.wav", noise.astype(np.float32))
    parts = [Utterance(f"s_{i}", "d/s.wav", 4.0, start=5.0 * i, end=5.0 * i + 4) for i in (0, 1)]
    write_corpus(tmp_path / "c", Corpus("c", tuple(parts), audio_root=str(tmp_path / "field")))
    corpus = read_corpus(tmp_path / "c")
    [one] = examples(f"{tmp_path}/field/d/s.wav:6-6.5", corpus.ids, corpus)
    assert one.place == Place("s_1", 1.0, 1.5)
    for text in (f"{tmp_path}/field/d/s.wav:3.5-5.5", f"{tmp_path}/s.wav:6-6.5"):
        [other] = examples(text, corpus.ids, corpus)
        assert other.place is None
        assert other.clip is not None


def test_a_part_of_a_clip_is_within_it(tmp_path: Path) -> None:
    clip = tmp_path / "word.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    audio.write(clip, noise.astype(np.float32))
    [one] = examples(f"{clip}:0.5-1.1", [])
    assert one.clip is not None
    assert len(one.clip) == 8000
    for span in ("0.5-1.4", "1.05-1.2"):
        with pytest.raises(InputError, match=r"reaches beyond the clip, which lasts 1.00 s"):
            examples(f"{clip}:{span}", [])


def test_a_query_of_a_recording_is_within_one_of_its_utterances() -> None:
    """Nothing is cut off in silence: a pause between utterances is said to be one."""
    parts = [
        Utterance("s_1", "d/s.wav", 3.0, start=1.0, end=4.0),
        Utterance("s_2", "d/s.wav", 2.0, start=5.0, end=7.0),
    ]
    corpus = Corpus("c", tuple(parts))
    for text, place in (
        ("s.wav:5.5-6.5", ("s_2", 0.5, 1.5)),
        ("d/s:0.9-2.0", ("s_1", 0.0, 1.0)),
        ("d/s.wav:3.0-4.2", ("s_1", 2.0, 3.2)),
    ):
        [one] = examples(text, corpus.ids, corpus)
        assert one.place is not None
        assert one.place.id == place[0]
        assert one.place[1:] == pytest.approx(place[1:])
    other = Corpus("c", (*parts, Utterance("e/s_1", "e/s.ogg", 9.0, start=0.0, end=9.0)))
    [one] = examples("s.ogg:5.5-6.5", other.ids, other)
    assert one.place == Place("e/s_1", 5.5, 6.5)
    decomposed = Corpus("c", (Utterance("m_1", "me\u0301.wav", 9.0, start=1.0, end=10.0),))
    [one] = examples("m\u00e9.wav:5.5-6.5", ["m_1"], decomposed)
    assert one.place == Place("m_1", 4.5, 5.5)
    with pytest.raises(InputError, match="'s' is the name of 2 recordings: d/s"):
        examples("s:5.5-6.5", other.ids, other)
    with pytest.raises(InputError, match=r"'радио' is neither .*; there are d/s, e/s"):
        examples("радио:1-2", other.ids, other)
    for text in ("d/s:2-6.5", "d/s:4.2-4.8", "d/s:6-9", "d/s:20-21"):
        with pytest.raises(InputError, match="is not within one utterance; the nearest is from"):
            examples(text, corpus.ids, corpus)


def test_times_of_a_query_are_also_written_as_players_show_them() -> None:
    """Equal to the same in seconds; a name that ends like a time keeps its meaning."""
    parts = [Utterance("s_1", "d/s.wav", 9000.0, start=1.0, end=9001.0)]
    corpus = Corpus("c", (*parts, Utterance("tape:1", "tape:1.wav", 90.0)))
    for clocked, plain in (
        ("d/s:0:05-0:06", "d/s:5-6"),
        ("s.wav:2:53.54-2:54.28", "s.wav:173.54-174.28"),
        ("s:1:02:03.5-1:02:04", "s:3723.5-3724"),
        ("s:59.5-1:00.5", None),
        ("s:0:5-0:6", None),
        ("tape:1:20-30", "tape:1:20-30"),
        ("tape:1:0:20-0:30", "tape:1:20-30"),
    ):
        if plain is None:
            with pytest.raises(InputError, match="is neither a sound file"):
                examples(clocked, corpus.ids, corpus)
            continue
        [one], [same] = (examples(text, corpus.ids, corpus) for text in (clocked, plain))
        assert one.place is not None
        assert one.place == same.place
    for seconds in (0.0, 59.99, 60.0, 3599.99, 3600.0, 7323.07):
        [one] = examples(f"s:{clock(seconds + 1)}-{clock(seconds + 2)}", corpus.ids, corpus)
        assert one.place is not None
        assert one.place[1:] == pytest.approx((seconds, seconds + 1))
    with pytest.raises(InputError, match="ends before it starts"):
        examples("s:1:20-1:10", corpus.ids, corpus)
