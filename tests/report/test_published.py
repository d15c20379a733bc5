import csv

import pytest

from zerochain.errors import InputError
from zerochain.machine import resource
from zerochain.report.published import published_systems, tjandra2019


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
