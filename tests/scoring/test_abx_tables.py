import csv
from dataclasses import replace
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from directions import assert_better
from zerochain.errors import InputError
from zerochain.formats.abx_cells import CELLS_FILE, read_cells, write_cells
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import write_features
from zerochain.formats.phones import Phone, Phones
from zerochain.metrics.abx_plan import PHONE, ZS2019
from zerochain.metrics.items import Item, write_items
from zerochain.metrics.names import ABX
from zerochain.scoring.abx import score_abx
from zerochain.scoring.abx_tables import compare_abx, difference_interval

LINE = "abacabcbd" * 3
SPEAKERS = ("ana", "béa", "çem")


@pytest.fixture
def corpus(tmp_path):
    """Six utterances by three speakers, and features that separate the phones, b and c badly."""
    rng = np.random.default_rng(0)
    names = {f"u{i}": SPEAKERS[i // 2] for i in range(6)}
    utterances = tuple(Utterance(u, f"{u}.wav", 1.35, speaker) for u, speaker in names.items())
    line = [Phone(0.05 * i, 0.05 * (i + 1), p) for i, p in enumerate(LINE)]
    whole = Corpus("c", utterances, audio_root=str(tmp_path))
    whole = write_corpus(tmp_path / "c", whole, Phones(dict.fromkeys(names, line), "gold"))
    centres = np.array([[4, 0, 0], [0, 4, 0], [0, 3, 1], [-2, 0, 3]])
    for name, noise in (("good", 0.7), ("bad", 2.5)):
        with write_features(
            tmp_path / name, extractor=name, options={}, step_ms=10, corpus_id=whole.id
        ) as writer:
            for u, speaker in names.items():
                frames = np.repeat(centres[["abcd".index(p) for p in LINE]], 5, axis=0)
                frames = frames + noise * rng.normal(size=frames.shape)
                writer.add(u, frames.astype(np.float32), speaker)
    return whole.folder


def tables(path):
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_both_modes_prefer_features_with_less_noise(corpus, tmp_path):
    assert_better(*(score_abx(tmp_path / name, corpus, protocol=PHONE) for name in ("good", "bad")))


def test_tables_average_to_the_score(corpus, tmp_path):
    scored = score_abx(tmp_path / "bad", corpus, protocol=PHONE, tables=tmp_path / "t")
    assert str(tmp_path / "t") in scored.notes[-1]
    cells = read_cells(tmp_path / "t")
    assert (cells.system, cells.protocol, cells.distance) == ("bad", "phone", "angular")
    for score in scored.scores:
        mode = {one.key: mode for mode, one in ABX.items()}[score.metric]
        pairs = [
            row for row in tables(tmp_path / "t" / "abx_phone_pairs.csv") if row["mode"] == mode
        ]
        assert {(r["phone_a"], r["phone_b"]) for r in pairs} == {
            (a, b) for a, b in product("abcd", repeat=2) if a != b
        }
        assert np.mean([float(r["error_%"]) for r in pairs]) == pytest.approx(score.value)
        assert sum(int(r["triples"]) for r in pairs) == score.n
        assert sum(int(r["cells"]) for r in pairs) == score.options["n_cells"]
        by_pair = {(r["phone_a"], r["phone_b"]): float(r["error_%"]) for r in pairs}
        assert by_pair["b", "c"] > by_pair["b", "a"]
        speakers = [
            r for r in tables(tmp_path / "t" / "abx_speaker_pairs.csv") if r["mode"] == mode
        ]
        same = mode == "within"
        assert {(r["speaker"], r["speaker_x"]) for r in speakers} == {
            (s, x) for s, x in product(SPEAKERS, repeat=2) if (s == x) == same
        }
        table = cells.of_mode(mode).to_pylist()
        for row in speakers:
            by_phones = {}
            for cell in table:
                if (cell["speaker"], cell["speaker_x"]) == (row["speaker"], row["speaker_x"]):
                    pair = cell["phone_a"], cell["phone_b"]
                    by_phones.setdefault(pair, []).append(cell["score"])
            mean = np.mean([np.mean(scores) for scores in by_phones.values()])
            assert float(row["error_%"]) == pytest.approx(100 * (1 - mean))


def test_two_systems_on_the_same_cells(corpus, tmp_path):
    values = {}
    for name in ("good", "bad"):
        scored = score_abx(tmp_path / name, corpus, protocol=PHONE, tables=tmp_path / f"t-{name}")
        values[name] = [(s.value, s.interval) for s in scored.scores]
    found, names = compare_abx(tmp_path / "t-good", tmp_path / "t-bad" / CELLS_FILE)
    assert names == ["good", "bad"]
    assert [one.mode for one in found] == ["within", "across"]
    for one, good, bad in zip(found, values["good"], values["bad"], strict=True):
        assert (one.first, one.second) == (pytest.approx(good[0]), pytest.approx(bad[0]))
        assert one.difference == pytest.approx(good[0] - bad[0])
        assert one.interval[0] <= one.difference <= one.interval[1] < 0
        assert one.left_out == (0, 0)
    cells = [read_cells(tmp_path / name) for name in ("t-good", "t-bad")]
    assert [difference_interval(*cells, one.mode) for one in found] == [f.interval for f in found]
    back, _ = compare_abx(tmp_path / "t-bad", tmp_path / "t-good")
    assert back[0].interval == pytest.approx([-end for end in found[0].interval[::-1]])
    alone, same = compare_abx(tmp_path / "t-bad", tmp_path / "t-bad" / CELLS_FILE)
    assert same == [str(tmp_path / "t-bad"), str(tmp_path / "t-bad" / CELLS_FILE)]  # one name
    assert {(one.difference, one.interval) for one in alone} == {(0, (0, 0))}


def test_cells_that_one_lacks_are_left_out_and_counted(corpus, tmp_path):
    for name in ("good", "bad"):
        score_abx(tmp_path / name, corpus, mode="across", tables=tmp_path / f"t-{name}")
    cells = read_cells(tmp_path / "t-bad")
    order = np.random.default_rng(0).permutation(cells.table.num_rows)[3:]
    write_cells(tmp_path / "part.parquet", replace(cells, table=cells.table.take(pa.array(order))))
    (one,), _ = compare_abx(tmp_path / "t-good", tmp_path / "part.parquet")
    assert one.left_out == (3, 0)
    assert one.n_cells == cells.table.num_rows - 3
    (back,), _ = compare_abx(tmp_path / "part.parquet", tmp_path / "t-good")
    assert back.difference == pytest.approx(-one.difference)


def test_what_does_not_compare_is_refused(corpus, tmp_path):
    score_abx(tmp_path / "good", corpus, mode="across", tables=tmp_path / "t")
    score_abx(tmp_path / "bad", corpus, mode="across", protocol=PHONE, tables=tmp_path / "phone")
    score_abx(tmp_path / "bad", corpus, mode="within", tables=tmp_path / "within")
    with pytest.raises(InputError, match="different protocol \\(triphone and phone\\)"):
        compare_abx(tmp_path / "t", tmp_path / "phone")
    with pytest.raises(InputError, match="no mode in common"):
        compare_abx(tmp_path / "t", tmp_path / "within")
    first, *rest = (read_cells(tmp_path / name) for name in ("t", "phone", "within"))
    assert [difference_interval(first, other, "across") for other in rest] == [None, None]
    with pytest.raises(InputError, match="no such file"):
        compare_abx(tmp_path / "t", tmp_path / "good")
    cells = read_cells(tmp_path / "t")
    write_cells(tmp_path / "none.parquet", replace(cells, table=cells.table.slice(0, 0)))
    with pytest.raises(InputError, match="no mode in common"):
        compare_abx(tmp_path / "t", tmp_path / "none.parquet")


def test_zs2019_takes_seconds_of_gold_phones_and_fractions_of_items(corpus, tmp_path):
    scored = score_abx(tmp_path / "good", corpus, protocol=ZS2019)
    assert [s.metric for s in scored.scores] == ["abx_across_%"]
    assert scored.scores[0].options["frames"] == "fraction"
    starts = {p: i for i, p in enumerate(LINE[:9])}
    items = [
        Item(u, starts[p] / 27, (starts[p] + 1) / 27, p, "#", "#", s)
        for u, s in (("u0", "ana"), ("u2", "béa"))
        for p in "abc"
    ]
    write_items(tmp_path / "x.item", items)
    (score,) = score_abx(
        tmp_path / "good", corpus, items=tmp_path / "x.item", protocol=ZS2019
    ).scores
    assert score.n == 12
    later = [i._replace(onset=i.onset + 1 / 27, offset=i.offset + 1 / 27) for i in items]
    write_items(tmp_path / "later.item", later)
    common = (tmp_path / "bad", corpus)
    (moved,) = score_abx(*common, items=tmp_path / "later.item", protocol=ZS2019).scores
    (shifted,) = score_abx(*common, items=tmp_path / "x.item", protocol=ZS2019, shift_ms=50).scores
    assert moved.value == shifted.value
    seconds = [i._replace(onset=1.35 * i.onset, offset=1.35 * i.offset + 1) for i in items]
    write_items(tmp_path / "s.item", seconds)
    with pytest.raises(InputError, match="fractions of the recording"):
        score_abx(tmp_path / "good", corpus, items=tmp_path / "s.item", protocol=ZS2019)
    with pytest.raises(InputError, match="not defined within"):
        score_abx(tmp_path / "good", corpus, mode="within", protocol=ZS2019)
