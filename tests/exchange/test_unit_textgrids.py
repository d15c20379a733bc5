"""Units beside phones as TextGrids, read back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from zerochain.cli import main
from zerochain.errors import InputError
from zerochain.exchange.elan_export import export_elan
from zerochain.exchange.textgrid import Interval, Tier, phones_of, read_textgrid, textgrid_text
from zerochain.exchange.textgrid_export import export_recordings, export_textgrids
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance, write_corpus
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.spans import LabelledSpan, Spans, write_spans
from zerochain.formats.units import UnitFile, read_units, write_units


@pytest.fixture
def made(make_corpus, tmp_path):
    """A corpus of which one utterance is aligned, and its units of 20 ms."""
    corpus = make_corpus(n_utterances=3)
    line = [Phone(0.1, 0.4, 'say "a"'), Phone(0.5, 1.0, "ŋ")]
    corpus = write_corpus(corpus.folder, corpus, Phones({corpus.ids[0]: line}))
    units = {
        u.id: np.arange(round(u.duration / 0.02), dtype=np.int32) // 5 for u in corpus.utterances
    }
    write_units(tmp_path / "u.parquet", UnitFile(units, 99, 20.0, "m", "x", corpus_id=corpus.id))
    return corpus


def test_tiers_come_back(made, tmp_path):
    assert export_textgrids(tmp_path / "u.parquet", made.folder, tmp_path / "tg") == (3, 1)
    file = tmp_path / "tg" / "u0.TextGrid"
    phones = phones_of(read_textgrid(file)).intervals
    assert [(i.onset, i.offset, i.label) for i in phones] == [
        (0.1, 0.4, 'say "a"'),
        (0.5, 1.0, "ŋ"),
    ]
    units = phones_of(read_textgrid(file), "units").intervals
    assert [i.label for i in units] == [str(i) for i in range(len(units))]
    assert units[0].offset == units[1].onset == pytest.approx(0.1)
    assert units[-1].offset <= made.utterances[0].duration + 1e-6
    with pytest.raises(InputError, match="its interval tiers are 'units'"):
        phones_of(read_textgrid(tmp_path / "tg" / "u1.TextGrid"))


def test_units_of_another_corpus_are_named(made, tmp_path):
    unit_file = read_units(tmp_path / "u.parquet")
    write_units(tmp_path / "other.parquet", replace(unit_file, corpus_id="0" * 64))
    with pytest.warns(CorpusWarning, match=r"other.parquet: the units were made of corpus 0000"):
        export_textgrids(tmp_path / "other.parquet", made.folder, tmp_path / "tg")
    tiers = {name: tmp_path / f"{name}.parquet" for name in ("u", "other")}
    with pytest.warns(CorpusWarning) as caught:
        export_textgrids(tiers, made.folder, tmp_path / "tg")
    assert len(caught) == 1


def test_a_split_and_what_doesn_t_join(made, tmp_path):
    n, aligned = export_textgrids(
        tmp_path / "u.parquet", made.folder, tmp_path / "tg", split="test"
    )
    assert (n, aligned) == (1, 0)
    other = replace(made, utterances=made.utterances[1:], folder=None)
    write_corpus(tmp_path / "other", other)
    with pytest.raises(InputError, match="missing in the corpus tiny: u0"):
        export_textgrids(tmp_path / "u.parquet", tmp_path / "other", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_several_systems_beside_the_tiers_of_the_user(made, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    length = made.utterances[0].duration
    mine = (
        Tier("words", (Interval("", 0.1, 0.5, "hey"),)),
        Tier("clicks", (), has_points=True, points=(Interval("", 0.2, 0.2, "!"),)),
        Tier("phones", (Interval("", 0.0, 0.1, "old"),)),
    )
    (theirs / "u0.TextGrid").write_text(textgrid_text(length, {}, mine), encoding="utf-8")
    systems = {"a": tmp_path / "u.parquet", "b": tmp_path / "u.parquet"}
    assert export_textgrids(systems, made.folder, tmp_path / "tg", keep=theirs) == (3, 1)
    grid = read_textgrid(tmp_path / "tg" / "u0.TextGrid")
    assert [tier.name for tier in grid.tiers] == ["words", "clicks", "a", "b", "phones"]
    assert [(p.onset, p.label) for p in grid.tiers[1].points] == [(0.2, "!")]
    assert [i[1:] for i in grid.tiers[0].intervals] == [(0.1, 0.5, "hey")]
    assert grid.tiers[2].intervals != ()
    assert grid.tiers[4].intervals[0].label == 'say "a"'
    (theirs / "u1.TextGrid").write_text(textgrid_text(length + 9, {}, mine), encoding="utf-8")
    with pytest.raises(InputError, match="of a whole recording"):
        export_textgrids(systems, made.folder, tmp_path / "tg", keep=theirs)


segments = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=6)


@given(segments, st.integers(1, 60), st.sampled_from(["a", "", 'q"', "ŋ\tx"]))
def test_intervals_cover_the_recording_without_gap_or_overlap(pieces, length, label):
    at, line = 0, []
    for gap, lasts in pieces:
        line.append(((at + gap) / 10, (at + gap + lasts) / 10, label))
        at += gap + lasts
    text = textgrid_text(length / 10, {"x": line})
    lines = [row.split(" = ") for row in text.splitlines() if row.startswith("            x")]
    times = [float(value) for _, value in lines]
    assert times[0] == 0
    assert times[-1] == pytest.approx(length / 10)
    assert times[1:-1:2] == times[2::2]
    assert all(a < b for a, b in zip(times[::2], times[1::2], strict=True))


@pytest.fixture
def field(tmp_path: Path) -> Corpus:
    """A recording of 10 s with utterances of two speakers, of which one is aligned, and another."""
    (tmp_path / "field" / "d").mkdir(parents=True)
    for name, seconds in (("d/s", 10), ("t", 3)):
        sound = np.zeros(seconds * 16_000, np.float32)
        soundfile.write(tmp_path / "field" / f"{name}.wav", sound, 16_000)
    parts = (
        Utterance("d/s_1", "d/s.wav", 2.0, start=1.0, end=3.0, speaker="ana", split="train"),
        Utterance("d/s_2", "d/s.wav", 4.0, start=5.0, end=9.0, speaker="béa", split="test"),
        Utterance("t_1", "t.wav", 1.0, start=2.0, end=3.0, speaker="ana", split="train"),
    )
    corpus = Corpus("c", parts, audio_root=str(tmp_path / "field"))
    phones = Phones({"d/s_2": [Phone(0.5, 1.0, "a")]})
    corpus = write_corpus(tmp_path / "c", corpus, phones)
    units = {u.id: np.arange(round(u.duration / 0.1), dtype=np.int32) // 4 for u in parts}
    write_units(tmp_path / "u.parquet", UnitFile(units, 99, 100.0, "m", "x", corpus_id=corpus.id))
    hits = (LabelledSpan("d/s_1", 0.5, 1.0, "w"), LabelledSpan("d/s_2", 1.0, 1.5, "w"))
    hits += (LabelledSpan("d/s_2", 1.2, 1.6, "v"), LabelledSpan("d/s", 0.1, 0.2, "v"))
    write_spans(tmp_path / "hits.csv", Spans(hits))
    return corpus


def test_a_textgrid_of_a_recording_has_all_that_was_found_in_it(field, tmp_path):
    """Times are the recording's; a tier for each speaker; what overlaps is on another tier."""
    found = {"units": {"units": tmp_path / "u.parquet"}, "spans": {"hits": tmp_path / "hits.csv"}}
    home = tmp_path / "c"
    assert export_recordings(tmp_path / "tg", home, **found, segments=True) == (2, 0)
    grid = read_textgrid(tmp_path / "tg" / "d" / "s.TextGrid")
    assert grid.end_s == pytest.approx(10)
    tiers = {
        t.name: [(round(i.onset, 6), round(i.offset, 6), i.label) for i in t.intervals]
        for t in grid.tiers
    }
    assert tiers["utterances@ana"] == [(1, 3, "speech")]
    assert tiers["hits@ana"] == [(1.5, 2.0, "w")]
    assert tiers["hits@béa"] == [(6.0, 6.5, "w")]
    assert tiers["hits@béa 2"] == [(6.2, 6.6, "v")]
    assert tiers["hits"] == [(0.1, 0.2, "v")]
    assert tiers["phones"] == [(5.5, 6.0, "a")]
    assert tiers["units@ana"][0] == (1.0, 1.4, "0")
    assert tiers["units@béa"][-1][1] == pytest.approx(9.0)
    assert export_recordings(tmp_path / "tg", home, **found, split="train") == (2, 0)
    only = read_textgrid(tmp_path / "tg" / "d" / "s.TextGrid")
    assert {t.name for t in only.tiers} == {"units", "hits@ana", "hits", "phones"}


def test_utterances_that_meet_are_on_one_tier(tmp_path):
    """Their times in binary: 0.3 + (0.9 − 0.3) is more than 0.9."""
    assert 0.3 + (0.9 - 0.3) > 0.9
    soundfile.write(tmp_path / "s.wav", np.zeros(16_000, np.float32), 16_000)
    cuts = [(0.3, 0.9), (0.9, 1.0)]
    parts = [
        Utterance(f"s_{i}", "s.wav", end - start, start=start, end=end)
        for i, (start, end) in enumerate(cuts)
    ]
    phones = Phones({u.id: [Phone(0, u.duration, "a")] for u in parts})
    corpus = Corpus("c", tuple(parts), audio_root=str(tmp_path))
    corpus = write_corpus(tmp_path / "c", corpus, phones)
    units = {"s_0": np.zeros(60, np.int32), "s_1": np.zeros(10, np.int32)}
    write_units(tmp_path / "u.parquet", UnitFile(units, 9, 10.0, "m", "x", corpus_id=corpus.id))
    export_recordings(
        tmp_path / "tg", tmp_path / "c", units={"units": tmp_path / "u.parquet"}, segments=True
    )
    grid = read_textgrid(tmp_path / "tg" / "s.TextGrid")
    assert {tier.name: len([i for i in tier.intervals if i.label]) for tier in grid.tiers} == {
        "utterances": 2,
        "units": 2,
        "phones": 2,
    }


def test_no_tier_takes_the_place_of_another(field, tmp_path):
    """Gold phones, and tiers that are numbered, called like a file of the user."""
    write_spans(tmp_path / "p.csv", Spans((LabelledSpan("d/s_2", 0.1, 0.2, "p"),)))
    home, found = tmp_path / "c", tmp_path / "u.parquet"
    with pytest.raises(InputError, match=r"two tiers would be called 'phones'"):
        export_recordings(tmp_path / "tg", home, spans={"phones": tmp_path / "p.csv"})
    spans = {"hits": tmp_path / "hits.csv", "hits@béa 2": tmp_path / "p.csv"}
    with pytest.raises(InputError, match=r"two tiers would be called 'hits@béa 2'"):
        export_recordings(tmp_path / "tg", home, spans=spans)
    with pytest.raises(InputError, match=r"two tiers would be called 'phones'"):
        export_textgrids({"phones": found, "units": found}, home, tmp_path / "tg")
    assert not (tmp_path / "tg").exists()


def test_textgrids_of_the_user_are_of_recordings(field, tmp_path):
    """By path or by name alone; of no recording, or of another length, they are refused."""
    found = {"units": {"units": tmp_path / "u.parquet"}}
    mine = tmp_path / "mine"
    mine.mkdir()
    words = {"words": [(1.0, 2.0, "hey")]}
    (mine / "s.TextGrid").write_text(textgrid_text(10, words), encoding="utf-16")
    assert export_recordings(tmp_path / "tg", tmp_path / "c", **found, keep=mine) == (2, 1)
    grid = read_textgrid(tmp_path / "tg" / "d" / "s.TextGrid")
    assert [t.name for t in grid.tiers] == ["words", "units@ana", "units@béa", "phones"]
    assert [i[1:] for i in grid.tiers[0].intervals] == [(1.0, 2.0, "hey")]
    with pytest.raises(InputError, match="holds no TextGrid that is called like an utterance: d/s"):
        export_textgrids(tmp_path / "u.parquet", tmp_path / "c", tmp_path / "tg", keep=mine)
    (mine / "d").mkdir()
    (mine / "d" / "s.TextGrid").write_text(textgrid_text(10, words), encoding="utf-8")
    with pytest.raises(InputError, match=r"are both of d/s\.wav"):
        export_recordings(tmp_path / "tg", tmp_path / "c", **found, keep=mine)
    (mine / "d" / "s.TextGrid").rename(mine / "t.TextGrid")
    with pytest.raises(InputError, match=r"lasts 10.00 s, and its recording 3.00 s"):
        export_recordings(tmp_path / "tg", tmp_path / "c", **found, keep=mine)
    (mine / "t.TextGrid").rename(mine / "v.TextGrid")
    with pytest.raises(InputError, match=r"v.TextGrid: its recording is not in .*: v"):
        export_recordings(tmp_path / "tg", tmp_path / "c", **found, keep=mine)
    (mine / "v.TextGrid").unlink()
    (mine / "s.TextGrid").unlink()
    with pytest.raises(InputError, match=r"holds no .TextGrid file"):
        export_recordings(tmp_path / "tg", tmp_path / "c", **found, keep=mine)


def test_textgrids_of_the_user_in_linked_folders_are_kept(field, tmp_path):
    (tmp_path / "store").mkdir()
    text = textgrid_text(10, {"words": [(1.0, 2.0, "hey")]})
    (tmp_path / "store" / "s.TextGrid").write_text(text, encoding="utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "d").symlink_to(tmp_path / "store")
    found = {"units": {"units": tmp_path / "u.parquet"}}
    given = {**found, "keep": tmp_path / "mine"}
    assert export_recordings(tmp_path / "tg", tmp_path / "c", **given) == (2, 1)


def test_textgrids_with_the_times_of_what_they_were_cut_from_are_named_as_that(field, tmp_path):
    text = textgrid_text(3, {"words": [(1.0, 2.0, "hey")]}).replace("xmin = 0\n", "xmin = 7\n", 1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "t.TextGrid").write_text(text.replace("xmax = 3", "xmax = 10", 1))
    found = {"units": {"units": tmp_path / "u.parquet"}}
    with pytest.raises(InputError, match=r"begins at 7 s\n.*with its times preserved"):
        export_recordings(tmp_path / "tg", tmp_path / "c", **found, keep=tmp_path / "mine")


def test_no_stretch_is_lost_for_its_label_or_its_times(field, tmp_path):
    """Without a label it would be a gap to Praat; beyond the recording there is no place for it."""
    rows = [LabelledSpan("t", 0.5, 1.0, ""), LabelledSpan("t_1", 0.5, 1.0, "")]
    spans = {"hits": tmp_path / "spans.csv"}
    write_spans(spans["hits"], Spans(tuple(rows)))
    export_recordings(tmp_path / "tg", tmp_path / "c", spans=spans)
    grid = read_textgrid(tmp_path / "tg" / "t.TextGrid")
    kept = [(i.onset, i.label) for tier in grid.tiers for i in tier.intervals]
    assert kept == [(0.5, "hits"), (2.5, "hits@ana")]
    for late in (3.1, 500.0):
        write_spans(spans["hits"], Spans((LabelledSpan("t", 0.5, late, "x"),)))
        with pytest.raises(InputError, match=f"'x' ends at {late:g} s, and the recording 't' at 3"):
            export_recordings(tmp_path / "tg", tmp_path / "c", spans=spans)
        with pytest.raises(InputError, match=f"'x' ends at {late:g} s, and the recording 't' at 3"):
            export_elan(tmp_path / "elan", tmp_path / "c", spans=spans)


def test_the_command_takes_hits_for_recordings_alone(field, tmp_path):
    def export(*more: str) -> Result:
        words = ["export", "textgrid", f"{tmp_path}/u.parquet", f"{tmp_path}/hits.csv"]
        words += ["--corpus", f"{tmp_path}/c", "--out", f"{tmp_path}/tg", *more]
        return CliRunner().invoke(main, words)

    done = export("--recordings", "--segments")
    assert "2 TextGrids of recordings" in done.output
    refused = export()
    assert refused.exit_code == 2
    assert "add --recordings" in " ".join(refused.output.split())
