"""Transcriber's and FLEx's files: their tiers, what they may not hold, and utterances from them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from zerochain.corpora.folder import import_folder
from zerochain.errors import InputError
from zerochain.exchange.flextext import read_flextext
from zerochain.exchange.transcriber import NOBODY, read_transcriber
from zerochain.formats.corpus import CorpusWarning

TRS = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE Trans SYSTEM "trans-14.dtd">
<Trans scribe="x" audio_filename="story" version="2">
<Speakers><Speaker id="spk1" name="B\xe9a" check="no"/><Speaker id="spk2" name="Ana"/></Speakers>
<Episode><Section type="report" startTime="0" endTime="3.5">
<Turn startTime="0" endTime="0.5"><Sync time="0"/>
</Turn>
<Turn speaker="spk1" startTime="0.5" endTime="2"><Sync time="0.5"/>
one <Event desc="b" type="noise" extent="instantaneous"/> two
<Sync time="1.25"/>
three
</Turn>
<Turn speaker="spk1 spk2" startTime="2" endTime="3"><Sync time="2"/>
<Who nb="1"/>
yes
<Who nb="2"/>
no &lt;3
</Turn>
<Turn startTime="3" endTime="3.5"><Sync time="3"/> a dog </Turn>
</Section></Episode></Trans>
"""
FLEX = """<?xml version="1.0" encoding="utf-8"?>
<document version="2"><interlinear-text guid="t">
<item type="title" lang="en">A story</item><paragraphs><paragraph><phrases>
<phrase begin-time-offset="500" end-time-offset="1500" speaker="Ana" media-file="m">
<item type="txt" lang="mdw">one two</item>
<item type="gls" lang="en">a translation</item></phrase>
<phrase begin-time-offset="1600" end-time-offset="2400" speaker="B\xe9a" media-file="m">
<words><word><item type="txt" lang="mdw">three</item><morphemes><morph><item type="txt"
lang="mdw">thr</item></morph></morphemes></word><word><item type="punct" lang="mdw">,</item></word>
<word><item type="txt" lang="mdw">four</item></word></words></phrase>
<phrase begin-time-offset="2500" end-time-offset="3000" speaker="Ana" media-file="m"/>
</phrases></paragraph></paragraphs>
<media-files offset-type="milliseconds"><media guid="m" location="file:///x/story.wav"/></media-files>
</interlinear-text></document>
"""


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1" if name.endswith("trs") else "utf-8"))
    return path


def held(tiers) -> dict[str, list[tuple]]:
    return {t.name: [(i.onset, i.offset, i.label) for i in t.intervals] for t in tiers}


def test_turns_of_transcriber(tmp_path: Path) -> None:
    read = read_transcriber(written(tmp_path, "x.trs", TRS))
    assert held(read.tiers) == {
        "Béa": [(0.5, 1.25, "one two"), (1.25, 2, "three"), (2, 3, "yes")],
        "Ana": [(2, 3, "no <3")],
        NOBODY: [(3, 3.5, "a dog")],
    }
    assert [tier.speaker for tier in read.tiers] == ["Béa", "Ana", ""]
    assert [one.names for one in read.media] == [["story"]]


def test_phrases_of_flex(tmp_path: Path) -> None:
    read = read_flextext(written(tmp_path, "x.flextext", FLEX))
    assert held(read.tiers) == {
        "phrases@Ana": [(0.5, 1.5, "one two")],
        "gls-en@Ana": [(0.5, 1.5, "a translation")],
        "phrases@Béa": [(1.6, 2.4, "three, four")],
    }
    assert [(i.onset, i.label) for i in read.tiers[0].unlabelled] == [(2.5, "")]
    assert [(t.kind, t.speaker, t.parent) for t in read.tiers] == [
        ("phrases", "Ana", ""),
        ("gls-en", "Ana", "phrases@Ana"),
        ("phrases", "Béa", ""),
    ]
    alone = FLEX.replace('speaker="B\xe9a"', 'speaker="Ana"')
    alone = read_flextext(written(tmp_path, "y.flextext", alone))
    assert list(held(alone.tiers)) == ["phrases", "gls-en"]


@pytest.mark.parametrize(
    ("name", "text", "options", "expected"),
    [
        ("a.trs", TRS, {"segment_tier": "participant:?*"}, [0.5, 1.25, 2.0, 2.0]),
        ("a.trs", TRS, {}, [0.5, 1.25, 2.0, 2.0, 3.0]),
        ("a.flextext", FLEX, {"text_tier": "gls-en*"}, [0.5, 1.6, 2.5]),
    ],
)
def test_they_are_utterances(tmp_path: Path, name, text, options, expected) -> None:
    (tmp_path / "rec").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000)
    soundfile.write(tmp_path / "rec" / "story.wav", noise, 16_000)
    marks = written(tmp_path, name, text)
    corpus = import_folder(tmp_path / "rec", tmp_path / "c", segments_from=marks, **options)
    assert sorted(u.start for u in corpus.utterances) == expected
    assert {u.audio for u in corpus.utterances} == {"story.wav"}
    assert {"Ana", "Béa"} <= {u.speaker for u in corpus.utterances}
    if "text_tier" in options:
        assert [u.text for u in corpus.utterances] == ["a translation", None, None]


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ('time="1.25"', 'time="0.25"', ["one two", "three"]),  # which of three times is wrong?
        ('endTime="2"', 'endTime="1.2"', ["one two", "three"]),
        ('"0.5"/>\none', '"0.25"/>\none', ["one two"]),
        ('<Sync time="3"/>', '<Sync time="3.6"/>', ["a dog"]),
    ],
)
def test_segments_with_contradictory_times_are_lost_alone(
    tmp_path: Path, old: str, new: str, lost: list[str]
) -> None:
    assert TRS.count(old) == 1
    marks = written(tmp_path, "a.trs", TRS.replace(old, new))
    tiers = read_transcriber(marks).tiers
    assert [i.label for tier in tiers for i in tier.contradictory] == lost
    (tmp_path / "rec").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000)
    soundfile.write(tmp_path / "rec" / "story.wav", noise, 16_000)
    with pytest.raises(InputError, match="the times of its turn go backwards"):
        import_folder(tmp_path / "rec", tmp_path / "c", segments_from=marks)
    with pytest.warns(CorpusWarning, match="go backwards"):
        kept = import_folder(tmp_path / "rec", tmp_path / "c", segments_from=marks, skip_bad=True)
    wanted = {"one two", "three", "yes", "no <3", "a dog"}
    assert {u.text for u in kept.utterances} == wanted - {*lost}


@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        ("x.trs", "one", "&nbsp;", "the entity 'nbsp' is not expanded|undefined entity"),
        ("x.trs", 'SYSTEM "trans-14.dtd"', '[<!ENTITY a "b">]', "document type of its own"),
        ("x.trs", "</Episode>", "", "mismatched tag"),
        ("x.trs", 'time="1.25"', 'time="soon"', "line 10: time is .soon., not seconds"),
        ("x.trs", 'time="1.25"', "", "Sync without time"),
        ("x.trs", 'nb="2"', 'nb="3"', "speaker .3. of 2"),
        ("x.trs", 'nb="2"', 'nb="two"', "speaker .two. of 2"),
        ("x.trs", 'time="1.25"', 'time="inf"', "time is .inf., not seconds"),
        ("x.trs", '"spk1 spk2"', '"spk1 spk9"', "unknown speaker 'spk9'"),
        ("x.trs", "three", "<b>three</b>", "a text within b"),
        ("x.trs", "Trans", "Tranz", "begins with Tranz, not Trans"),
        ("x.flextext", ' begin-time-offset="500"', "", "1 phrase of 3 without times"),
        ("x.flextext", '"500"', '"0.5"', "is '0.5', not milliseconds"),
        ("x.flextext", '"1500"', '"400"', "line 4: the phrase ends before it begins"),
        ("x.flextext", 'speaker="Ana" media-file="m"/>', 'media-file="n"/>', "of 2 recordings"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, old: str, new: str, found: str) -> None:
    text = (TRS if name == "x.trs" else FLEX).replace(old, new)
    read = read_transcriber if name == "x.trs" else read_flextext
    with pytest.raises(InputError, match=found):
        read(written(tmp_path, name, text))
