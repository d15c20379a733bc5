"""Published results, and the place of a system among them."""

import csv
from dataclasses import replace

import pytest

from zerochain.errors import InputError
from zerochain.formats.scores import Score
from zerochain.machine import resource
from zerochain.report.published import places, published_systems, tjandra2019


@pytest.mark.parametrize("language", ["english", "surprise"])
def test_every_system_once_with_numbers_that_make_sense(language):
    systems = published_systems(language)
    assert len({(s.name, s.abx, s.bitrate) for s in systems}) == len(systems)
    assert {s.year for s in systems} == {2019, 2020}
    assert all(0 < s.abx < 50 and 10 < s.bitrate < 2000 for s in systems)
    assert sum(s.name == "Baseline" for s in systems) == 1
    assert {s.language for s in systems} == {language}


def test_the_file_holds_every_entry_in_both_languages():
    path = resource("evaluation/zerospeech2019") / "published.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    entries = {2019: set(range(1, 22)), 2020: {1, 2, *range(6, 16), *range(17, 24)}}
    there = {(int(r["challenge"]), int(r["submission"]), r["language"]) for r in rows}
    assert there == {
        (year, n, language)
        for year, numbers in entries.items()
        for n in numbers
        for language in ("english", "surprise")
    }


def test_the_corner_that_nobody_reached():
    assert not [s for s in published_systems("english") if s.abx < 20 and s.bitrate < 200]


def test_missing_numbers_are_none_and_known_ones_are_there():
    best = min(published_systems("english"), key=lambda s: s.abx)
    assert (best.name, best.abx, best.bitrate, best.mos) == ("Liu*", 13.35, 408.37, None)
    topline = next(s for s in published_systems("surprise") if s.name == "Topline")
    assert (topline.abx, topline.mos, topline.cer, topline.year) == (16.09, 3.92, 0.28, 2019)


def test_an_unknown_language_is_an_error():
    with pytest.raises(InputError, match="choose english or surprise"):
        published_systems("klingon")


def test_the_paper_s_tables():
    rows = tjandra2019()
    assert len(rows) == 38
    vqvae = [r for r in rows if (r.system, r.n_units) == ("VQ-VAE", 256)]
    assert [(r.stride, r.abx) for r in vqvae] == [(1, 27.63), (2, 24.37), (4, 24.17), (8, 30.51)]
    assert {r.table for r in vqvae} == {5}
    assert [(r.n_units, r.stride) for r in rows if r.table == 2] == [(None, 1)] * 2


def scores(abx, bitrate, *, system="ours", split=None, protocol="triphone", distance="angular"):
    inputs, options = {"corpus": "c"}, {"split": split}
    return [
        Score(
            "abx_across_%",
            abx,
            None,
            900,
            protocol,
            system,
            inputs,
            {**options, "distance": distance},
        ),
        Score("bitrate_bit/s", bitrate, None, 900, "zs2019", system, inputs, options),
    ]


def test_every_published_system_among_themselves():
    """A system with the numbers of a published one shares its rank, and is better than none."""
    for language in ("english", "surprise"):
        systems = published_systems(language)
        for one in systems:
            (place,) = places(scores(one.abx, one.bitrate), language)
            assert len(place.systems) == len(systems)
            assert place.rank == 1 + sum(s.abx < one.abx for s in systems)
            assert one in place.as_cheap
            assert one not in place.better
            assert one not in place.worse
            assert all(s.abx <= one.abx and s.bitrate <= one.bitrate for s in place.better)
            assert place.rank_as_cheap <= place.rank


def test_the_open_corner_is_the_front():
    (place,) = places(scores(19.0, 150.0), "english")
    assert place.better == []
    assert place.rank_as_cheap == 1
    assert {s.name for s in place.as_cheap} >= {"Cho et al.", "Pandia et al."}
    assert all(s.abx >= 19 and s.bitrate >= 150 for s in place.worse)
    assert any(s.name == "Chen et al." for s in place.worse)
    (bad,) = places(scores(49.0, 2000.0), "english")
    assert bad.rank == len(bad.systems) + 1
    assert len(bad.better) == len(bad.systems)


def test_scores_are_joined_by_system_corpus_and_split():
    rows = scores(20, 100, split="test") + scores(30, 50, system="other")[:1]
    rows += scores(21, 101, split="test")  # scored again: the later ones count
    rows += scores(25, 1, split="test", distance="identical")[:1]
    found = places(rows, "english")
    assert [(p.ours.abx.value, p.ours.bitrate.value) for p in found] == [(21, 101), (25, 101)]
    assert places(rows[:1], "english") == []
    assert places(scores(20, 100)[:1] + scores(20, 100, split="test")[1:], "english") == []
    with pytest.raises(InputError, match="english or surprise"):
        places(rows, "klingon")


def test_too_little_data_has_no_place():
    abx, rate = scores(20, 100)
    assert places([replace(abx, n=6), rate], "english") == []
    few = replace(rate, options={**rate.options, "n_utterances": 2})
    assert places([abx, few], "english") == []
    assert len(places([abx, rate], "english")) == 1
