"""Tiers put into ELAN files: nothing else changes, and ELAN finds them valid."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from eaf import SAMPLE, SAMPLE_2_8, eaf, mutated
from zerochain.corpora.folder import import_folder
from zerochain.errors import InputError
from zerochain.exchange.elan import ElanFile, elan_of, read_elan
from zerochain.exchange.elan_edit import NewTier, Row, with_tiers, without_tiers
from zerochain.exchange.elan_export import Exported, export_elan
from zerochain.formats.corpus import Corpus, CorpusWarning
from zerochain.formats.spans import LabelledSpan, Spans, write_spans
from zerochain.formats.units import UnitFile, read_units, write_units

PATH = Path("x.eaf")
ORDER = ["LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE"]
ORDER += ["CONSTRAINT", "CONTROLLED_VOCABULARY", "LEXICON_REF", "REF_LINK_SET", "EXTERNAL_REF"]
WITH_ID = {"TIME_SLOT", "ALIGNABLE_ANNOTATION", "REF_ANNOTATION"}
OURS = (
    NewTier("units", "zerochain-units", [Row(0, 40, "3"), Row(40, 1500, "7"), Row(1500, 9000, "")]),
    NewTier("hits@Ana", "zerochain-hits", [Row(1500, 2000, 'a<b> & "c"\nd')], "Ana"),
)


def contents(file: ElanFile) -> list[tuple]:
    return [
        (t.name, t.kind, t.speaker, [i[1:] for i in (*t.intervals, *t.unlabelled)])
        for t in file.tiers
    ]


def check_valid(data: bytes | str) -> None:
    """What the schema of EAF 3.0 asks for and what ELAN needs to show all tiers."""
    root = ElementTree.fromstring(data)
    places = [ORDER.index(one.tag) for one in root]
    assert places == sorted(places)
    found = [one for one in root.iter() if one.tag in WITH_ID]
    ids = [one.get("ANNOTATION_ID") or one.get("TIME_SLOT_ID", "") for one in found]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", one) for one in ids)
    times = {s.get("TIME_SLOT_ID"): s.get("TIME_VALUE") for s in root.iter("TIME_SLOT")}
    assert all(time is None or time.isdecimal() for time in times.values())
    types = {one.get("LINGUISTIC_TYPE_ID") for one in root.iter("LINGUISTIC_TYPE")}
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
    for one in root.iter("ALIGNABLE_ANNOTATION"):
        assert {one.get("TIME_SLOT_REF1"), one.get("TIME_SLOT_REF2")} <= times.keys()
        assert [part.tag for part in one] == ["ANNOTATION_VALUE"]
    known = [int(time) for time in times.values() if time is not None]
    assert known == sorted(known)


FORMS = {
    "3.0": SAMPLE.encode(),
    "2.8": SAMPLE_2_8.encode(),
    "Windows": b"\xef\xbb\xbf" + SAMPLE.replace("\n", "\r\n").encode(),
    "UTF-16": SAMPLE.replace("UTF-8", "UTF-16").encode("utf-16"),
    "Latin-1": SAMPLE.replace("UTF-8", "ISO-8859-1").encode("latin-1"),
    "one line": eaf({"t@Ana": [(0, 1, "a"), (2, 3, "b")]}).replace("\n", "").encode(),
    "no tier": re.sub("<LING.*/>", "", eaf({})).replace("R></T", "R>\n</T").encode(),
    "before": with_tiers(elan_of(SAMPLE.encode(), PATH), OURS[:1]),
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS.keys())
def test_tiers_come_and_go_and_nothing_else_changes(data: bytes) -> None:
    before = elan_of(data, PATH)
    written = with_tiers(before, OURS)
    after = elan_of(written, PATH)
    theirs = [one for one in contents(before) if not one[1].startswith("zerochain")]
    assert contents(after)[: len(theirs)] == theirs
    assert contents(after)[len(theirs) :] == [
        ("units", "zerochain-units", "", [(0, 0.04, "3"), (0.04, 1.5, "7"), (1.5, 9, "")]),
        ("hits@Ana", "zerochain-hits", "Ana", [(1.5, 2, 'a<b> & "c" d')]),
    ]
    bare = without_tiers(before)
    assert without_tiers(after) == bare
    if contents(before) == theirs:
        assert bare == data
    check_valid(written.decode("utf-16") if data[:2] == b"\xff\xfe" else written)


def test_a_time_order_without_a_slot() -> None:
    data = eaf({}).replace("<TIME_ORDER></TIME_ORDER>", "<TIME_ORDER/>").encode()
    written = with_tiers(elan_of(data, PATH), OURS)
    check_valid(written)
    assert [name for name, *_ in contents(elan_of(written, PATH))] == ["units", "hits@Ana"]


@settings(max_examples=12)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 500), st.text(max_size=3))),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=5),
)
def test_any_rows_and_names(rows: list[tuple[int, int, str]], name: str) -> None:
    tiers = [NewTier(f"x{i}{name}", "zerochain-x", [Row(b, b + n, label)])
             for i, (b, n, label) in enumerate(rows)]  # fmt: skip
    file = elan_of(SAMPLE.encode(), PATH)
    try:
        written = with_tiers(file, tiers)
    except InputError as error:
        assert "XML can't hold" in str(error)  # noqa: PT017
        return
    check_valid(written)
    assert without_tiers(elan_of(written, PATH)) == SAMPLE.encode()
    assert contents(elan_of(written, PATH))[: len(file.tiers)] == contents(file)


def test_damaged_files_keep_what_can_be_read() -> None:
    rng = random.Random(4)
    n_read = n_moving = 0
    for _ in range(200):
        data = mutated(rng, SAMPLE)
        try:
            before = elan_of(data, PATH)
        except InputError:
            continue
        n_read += 1
        try:
            written = elan_of(with_tiers(before, OURS), PATH)
        except InputError as error:
            n_moving += "would move them" in str(error)
            continue
        assert contents(written)[:-2] == contents(before)
        assert without_tiers(written) == without_tiers(before)
    assert n_read > 20
    assert n_moving < n_read / 4


def test_an_earlier_export_is_replaced() -> None:
    once = elan_of(with_tiers(elan_of(SAMPLE.encode(), PATH), OURS), PATH)
    again = elan_of(with_tiers(once, [NewTier("units", "zerochain-units", [Row(5, 9, "1")])]), PATH)
    assert [name for name, *_ in contents(again)][-2:] == ["hits@Ana", "units"]
    assert contents(again)[-1][3] == [(0.005, 0.009, "1")]
    assert again.document.text.count(b'zerochain-units" TIME') == 1
    assert len(again.document.time_order.parts) == 7 + 2 + 2


@pytest.mark.parametrize(
    ("tier", "found"),
    [
        (NewTier("words", "zerochain-units", []), "has a tier 'words' of its own"),
        (NewTier("x", "zerochain-units", [Row(0, 1, "\x01")]), "XML can't hold the text"),
    ],
)
def test_refuses(tier: NewTier, found: str) -> None:
    with pytest.raises(InputError, match=found):
        with_tiers(elan_of(SAMPLE.encode(), PATH), [tier])


def test_the_user_s_tiers_below_ours_are_not_lost() -> None:
    written = with_tiers(elan_of(SAMPLE.encode(), PATH), OURS).replace(b'"words"', b'"units"')
    written = written.replace(b'TIER_ID="units"', b'TIER_ID="words"', 1)
    with pytest.raises(InputError, match="its tier 'pos' depends on 'units'"):
        with_tiers(elan_of(written, PATH), OURS)


# A corpus

Export = Callable[..., Exported]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Of two recordings, of which the first has three utterances of two speakers who overlap."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000)
    for name in ("My rec.wav", "more/b.wav"):
        (tmp_path / "rec" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "rec" / name, noise, 16_000)
    table = tmp_path / "t.tsv"
    table.write_text(
        "file\tid\tspeaker\tstart\tend\ttext\nMy rec.wav\tu1\tAna\t0.5\t1.5\thé <3\n"
        "My rec.wav\tu2\tBo\t1.2\t2.0\t\nMy rec.wav\tu3\tAna\t2.0\t3.5\tyes\n"
        "more/b.wav\tu4\tAna\t\t\t\n"
    )
    corpus = import_folder(tmp_path / "rec", tmp_path / "c", table=table)
    units = {u.id: np.arange(round(u.duration / 0.02)) // 20 for u in corpus.utterances}
    write_units(tmp_path / "km.parquet", UnitFile(units, 99, 20.0, "m", "x", corpus_id=corpus.id))
    rows = (
        LabelledSpan("u1", 0.0, 0.5, "pa", 0.9),
        LabelledSpan("My rec", 0.75, 1.25, "ta"),
        LabelledSpan("My rec", 1.25, 1.75, "ka"),
        LabelledSpan("more/b", 0.0005, 4.0, "o", speaker="Eva"),
    )
    write_spans(tmp_path / "found.csv", Spans(rows))
    return corpus


@pytest.fixture
def export(corpus: Corpus, tmp_path: Path) -> Export:
    units, spans = {"units": tmp_path / "km.parquet"}, {"hits": tmp_path / "found.csv"}
    usual = {"units": units, "spans": spans}
    return lambda **more: export_elan(tmp_path / "out", corpus.home, **(usual | more))


def test_units_of_another_corpus_are_named(export: Export, corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "km.parquet"
    write_units(path, replace(read_units(path), corpus_id="0" * 64))
    with pytest.warns(CorpusWarning, match=r"km\.parquet: the units were made of corpus 0000"):
        export()


def test_a_new_file_for_every_recording(export: Export, corpus: Corpus, tmp_path: Path) -> None:
    made = export(segments=True)
    assert (made.files, made.n_copies) == (["My rec.eaf", "more/b.eaf"], 0)
    file = read_elan(tmp_path / "out" / "My rec.eaf")
    tiers = {name: rows for name, _, _, rows in contents(file)}
    assert tiers["utterances@Ana"] == [(0.5, 1.5, "hé <3"), (2.0, 3.5, "yes")]
    assert tiers["utterances@Bo"] == [(1.2, 2.0, "")]
    assert tiers["units@Ana"][:3] == [(0.5, 0.9, "0"), (0.9, 1.3, "1"), (1.3, 1.5, "2")]
    assert tiers["hits@Ana"] == [(0.5, 1.0, "pa")]  # of an utterance, by its speaker
    assert tiers["hits"] == [(0.75, 1.25, "ta"), (1.25, 1.75, "ka")]  # of the recording
    other = read_elan(tmp_path / "out" / "more" / "b.eaf")
    assert contents(other)[-1] == ("hits", "zerochain-found", "Eva", [(0.001, 4.0, "o")])
    assert file.media[0].relative_url == "../rec/My rec.wav"
    for name in made.files:
        check_valid((tmp_path / "out" / name).read_bytes())
    again = import_folder(
        tmp_path / "rec",
        tmp_path / "again",
        segments_from=tmp_path / "out" / "My rec.eaf",
        segment_tier="type:zerochain-segments",
    )
    assert [(u.start, u.end, u.speaker, u.text) for u in again.utterances] == [
        (u.start, u.end, u.speaker, u.text)
        for u in sorted(corpus.utterances, key=lambda u: (u.speaker, u.start or 0))
        if u.start is not None
    ]


def test_copies_of_the_user_s_files(export: Export, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    own = tmp_path / "own" / "session 1.eaf"
    text = SAMPLE.replace('MIME_TYPE="audio', 'TIME_ORIGIN="600" MIME_TYPE="audio')
    own.write_text(text, encoding="utf-8")
    made = export(keep=tmp_path / "own", split=None)
    assert (made.files, made.n_copies) == (["session 1.eaf", "more/b.eaf"], 1)
    copy = read_elan(tmp_path / "out" / "session 1.eaf")
    tiers = {name: rows for name, _, _, rows in contents(copy.on_recording("My rec"))}
    assert tiers["units@Ana"][:2] == [(0.6, 0.9, "0"), (0.9, 1.3, "1")]  # from its origin on
    assert without_tiers(copy) == text.encode() == own.read_bytes()
    assert export(keep=own).n_copies == 1


def test_overlapping_hits_are_on_more_tiers(export: Export, corpus: Corpus, tmp_path: Path) -> None:
    rows = [LabelledSpan("more/b", t, t + 1, f"{t}") for t in (0.0, 0.5, 1.0, 1.2)]
    write_spans(tmp_path / "found.csv", Spans(tuple(rows)))
    export(units={})
    tiers = {
        n: [r[2] for r in rows]
        for n, _, _, rows in contents(read_elan(tmp_path / "out/more/b.eaf"))
    }
    assert tiers == {"hits": ["0.0", "1.0"], "hits 2": ["0.5"], "hits 3": ["1.2"]}


def test_what_doesn_t_fit_is_refused(export: Export, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is nothing to write"):
        export(units={}, spans={})
    write_spans(tmp_path / "found.csv", Spans((LabelledSpan("nobody", 0, 1, "a"),)))
    with pytest.raises(InputError, match="missing in the corpus c: nobody"):
        export()
    write_spans(tmp_path / "found.csv", Spans((LabelledSpan("u2", 0, 1, "a"),)))
    with pytest.raises(InputError, match=r"ends at 1 s, and the utterance 'u2' at 0\.800 s"):
        export()
    with pytest.raises(InputError, match=r"is not an \.eaf file"):
        export(spans={}, keep=tmp_path / "t.tsv")
    (tmp_path / "x.eaf").write_text(eaf({"t": []}), encoding="utf-8")
    with pytest.raises(InputError, match="its recording is not in"):
        export(spans={}, keep=tmp_path / "x.eaf")
    assert not (tmp_path / "out").exists()
