"""Utterances from the annotations of ELAN files and TextGrids."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from eaf import SAMPLE, eaf
from zerochain.corpora.build import findings
from zerochain.corpora.folder import import_folder
from zerochain.errors import InputError
from zerochain.exchange.textgrid import textgrid_text
from zerochain.exchange.textgrid_export import export_recordings
from zerochain.formats.corpus import Corpus, CorpusWarning
from zerochain.formats.phones import PHONES_FILE, read_phones

Import = Callable[..., Corpus]


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Write recordings of 4 s and files of annotations, and import: `imported({"a.eaf": text})`."""

    def make(files: dict[str, str], sounds: tuple[str, ...] = ("a.wav",), **options) -> Corpus:
        noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000)
        for name in sounds:
            (tmp_path / "rec" / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / "rec" / name, noise, 16_000)
        for name, text in files.items():
            (tmp_path / "elan" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "elan" / name).write_text(text, encoding="utf-8")
        options = {"segments_from": tmp_path / "elan"} | options
        return import_folder(tmp_path / "rec", tmp_path / "c", **options)

    return make


def rows(corpus: Corpus) -> list[tuple]:
    return [(u.id, u.speaker, u.start, u.end, u.text) for u in corpus.utterances]


def test_speakers_overlap_on_tiers_of_one_type(imported: Import) -> None:
    corpus = imported({"x.eaf": SAMPLE}, ("My rec.wav",), segment_tier="type:utterance")
    assert rows(corpus) == [
        ("My rec_00001000-00002000_Ana", "Ana", 1.0, 2.0, "one two three <3"),
        ("My rec_00002000-00002500_Ana", "Ana", 2.0, 2.5, None),
        ("My rec_00002500-00003500_Béa", "Béa", 2.5, 3.5, "yes"),
    ]
    assert [u.duration for u in corpus.utterances] == [1.0, 0.5, 1.0]
    assert corpus.record["options"]["segment_tier"] == "type:utterance"


def test_by_default_the_tiers_without_a_parent(imported: Import) -> None:
    corpus = imported({"My rec.eaf": SAMPLE}, ("My rec.wav",), text_tier="words")
    texts = [u.text for u in corpus.utterances]
    assert texts == ["one two three", None, None]
    tiers = {"speech": [(0, 1, "a")], "noise": [(0, 2, "dog")]}
    with pytest.raises(InputError, match="has 2 tiers that may mark the utterances") as caught:
        imported({"My rec.eaf": eaf(tiers, types={"speech": "utt"})}, ("My rec.wav",))
    assert "--" not in str(caught.value)
    assert "segment_tier='type:utt'" in str(caught.value)
    with pytest.raises(
        InputError, match="name the one that marks the utterances: segment_tier='type:word'"
    ) as c:
        imported({"My rec.eaf": SAMPLE}, ("My rec.wav",), segment_tier="type:wrd")
    assert "phones" not in str(c.value)


def test_of_a_participant_the_uppermost_tiers(imported: Import) -> None:
    text = SAMPLE.replace('TIER_ID="words"', 'PARTICIPANT="Ana" TIER_ID="words"')
    corpus = imported({"x.eaf": text}, ("My rec.wav",), segment_tier="participant:Ana")
    assert [(u.start, u.end) for u in corpus.utterances] == [(1.0, 2.0), (2.0, 2.5)]


def test_what_export_wrote_marks_no_utterances(imported: Import) -> None:
    tiers = {"speech": [(0.5, 2, "pa")], "units": [(0.5, 1, "7"), (1, 2, "3")]}
    types = {"speech": "utt", "units": "zerochain-units"}
    corpus = imported({"a.eaf": eaf(tiers, types=types)})
    assert [(u.start, u.end, u.text) for u in corpus.utterances] == [(0.5, 2.0, "pa")]
    types["speech"] = "zerochain-segments"
    assert len(imported({"a.eaf": eaf(tiers, types=types)}).utterances) == 1
    types["speech"] = "zerochain-hits"
    with pytest.raises(InputError, match="has 2 tiers that may mark the utterances"):
        imported({"a.eaf": eaf(tiers, types=types)})


def test_phones_come_from_the_same_file(imported: Import, tmp_path: Path) -> None:
    tiers = {
        "u@Ana": [(0.5, 1.5, "pa"), (2, 3, "ta")],
        "p@Ana": [(0.5, 1, "p"), (1, 1.5, "a"), (2, 2.5, "t"), (2.5, 3, "a")],
        "u@Bo": [(1.2, 2.2, "o")],
        "p@Bo": [(1.2, 2.2, "o")],
    }
    types = {"u@Ana": "utt", "u@Bo": "utt", "p@Ana": "phone", "p@Bo": "phone"}
    text = eaf(tiers, ["file:///elsewhere/a.mp4"], types)
    corpus = imported(
        {"session 1.eaf": text},
        segment_tier="type:utt",
        alignments=tmp_path / "elan",
        tier="type:phone",
    )
    assert [u.speaker for u in corpus.utterances] == ["Ana", "Ana", "Bo"]
    phones = read_phones(corpus.home / PHONES_FILE).by_id
    found = {
        name[2:]: [(round(p.onset, 3), p.phone) for p in line] for name, line in phones.items()
    }
    assert found == {
        "00000500-00001500_Ana": [(0.0, "p"), (0.5, "a")],
        "00002000-00003000_Ana": [(0.0, "t"), (0.5, "a")],
        "00001200-00002200_Bo": [(0.0, "o")],
    }


def test_a_textgrid_marks_utterances_too(imported: Import) -> None:
    text = textgrid_text(4, {"words": [(0.5, 1, "a"), (1, 2, ""), (2, 3, "b")]})
    corpus = imported({"a.TextGrid": text}, speaker_from="name:ana")
    assert rows(corpus) == [
        ("a_00000500-00001000", "ana", 0.5, 1.0, "a"),
        ("a_00002000-00003000", "ana", 2.0, 3.0, "b"),
    ]


def test_utterances_that_export_wrote_keep_their_speakers(imported: Import, tmp_path: Path) -> None:
    """Of overlapping utterances as well, and of those without a text."""
    tiers = {
        "utterances@ana": [(0, 1, "a"), (3, 3.5, "speech")],
        "utterances@ana 2": [(0.5, 2, "b")],
        "utterances@béa 2": [(1, 2, "c")],
        "units@ana": [(0, 1, "7")],
        "notes": [(0, 4, "wind")],
    }
    first = imported({"a.TextGrid": textgrid_text(4, tiers)})
    assert [(u.speaker, u.start, u.end, u.text) for u in first.utterances] == [
        ("ana", 0, 1, "a"),
        ("ana", 3, 3.5, None),
        ("ana", 0.5, 2, "b"),
        ("béa 2", 1, 2, "c"),
    ]
    export_recordings(tmp_path / "grids", tmp_path / "c", segments=True)
    again = import_folder(tmp_path / "rec", tmp_path / "d", segments_from=tmp_path / "grids")
    assert sorted(rows(again)) == sorted(rows(first))


def test_a_single_speaker_is_kept_too(imported: Import, tmp_path: Path) -> None:
    first = imported({"a.TextGrid": textgrid_text(4, {"utterances@ana": [(1, 2, "a")]})})
    assert rows(first) == [("a_00001000-00002000", "ana", 1, 2, "a")]
    export_recordings(tmp_path / "grids", tmp_path / "c", segments=True)
    again = import_folder(tmp_path / "rec", tmp_path / "d", segments_from=tmp_path / "grids")
    assert rows(again) == rows(first)


def test_textgrids_of_other_recordings_and_labels_of_pauses_are_noted(imported: Import) -> None:
    pauses = [(0, 1, "silent"), (1, 2, "mwana"), (2, 3, "<p:>"), (3, 4, "SIL")]
    corpus = imported({"a.TextGrid": textgrid_text(40, {"ana": pauses})}, speaker_from="name:ana")
    assert [u.text for u in corpus.utterances] == ["silent", "mwana", "<p:>", "SIL"]
    length, silent = corpus.record["notes"]
    assert length.startswith("1 TextGrid longer or shorter than the recording")
    assert "(40 s, not 4 s)" in length
    assert silent.startswith("3 utterances with a label of pauses as text")


def test_the_link_decides_between_recordings_of_one_name(imported: Import, tmp_path: Path) -> None:
    sounds = ("one/a.wav", "two/a.wav", "b.wav")
    text = eaf({"t": [(0, 1, "")]}, ["x"]).replace(
        '"x"', '"x" RELATIVE_MEDIA_URL="../rec/two/a.wav"'
    )
    with pytest.warns(
        CorpusWarning, match="2 recordings without a file of annotations: b.wav, one/a.wav"
    ):
        corpus = imported({"s.eaf": text}, sounds)
    assert [u.audio for u in corpus.utterances] == ["two/a.wav"]
    with pytest.raises(InputError, match=r"several recordings may be its own: one/a\.wav, two"):
        imported({"s.eaf": text.replace("../rec/two", "gone")}, sounds)
    with pytest.raises(InputError, match=r"is not in .*rec: c.wav") as caught:
        imported({"s.eaf": text.replace("../rec/two/a", "c").replace('"x"', '"c.wav"')}, sounds)
    assert "name the file of annotations like it" in str(caught.value)
    encoded = text.replace("../rec/two/a", "k%C3%A9").replace('"x"', '"file:///k%C3%A9.wav"')
    with pytest.raises(InputError, match=r"is not in [^:]*rec: ké\.wav;"):
        imported({"s.eaf": encoded}, sounds)


def test_texts_are_those_of_the_speaker_who_speaks(imported: Import) -> None:
    """Two speak at once, each with a tier of utterances and one of texts."""
    tiers = {
        "u1@Ana": [(0, 2, "x")],
        "u2@Béa": [(0, 2, "y")],
        "t1@Ana": [(0.5, 1, "ana's")],
        "t2@Béa": [(0.6, 1.1, "béa's")],
    }
    kinds = {"u1@Ana": "utt", "u2@Béa": "utt", "t1@Ana": "text", "t2@Béa": "text"}
    chosen = {"segment_tier": "type:utt", "text_tier": "type:text"}
    corpus = imported({"a.eaf": eaf(tiers, types=kinds)}, **chosen)
    assert [(u.speaker, u.text) for u in corpus.utterances] == [("Ana", "ana's"), ("Béa", "béa's")]


def test_times_begin_where_the_media_s_do(imported: Import) -> None:
    text = eaf({"t": [(0, 1, "a")]}, ["a.wav"]).replace(" MIME", ' TIME_ORIGIN="1500" MIME')
    assert rows(imported({"a.eaf": text})) == [("a_00001500-00002500", None, 1.5, 2.5, "a")]


def test_what_is_wrong_with_annotations(imported: Import) -> None:
    overlap = {"t": [(0, 1, "a"), (0.9, 2, "b")]}
    with pytest.raises(InputError, match=r"annotation a2: begins at 0.9 s, before .* ends at 1 s"):
        imported({"a.eaf": eaf(overlap)})
    late = {"t": [(0, 1, "a"), (3.8, 4.6, "b")]}
    with pytest.raises(InputError, match=r"ends at 4.6 s, and the recording at 4.000 s"):
        imported({"a.eaf": eaf(late)})
    with pytest.raises(InputError, match="has no annotation"):
        imported({"a.eaf": eaf({"t": []})})
    with pytest.raises(InputError, match="has no interval tier 'x'; its interval tiers are 't'"):
        imported({"a.eaf": eaf(late)}, segment_tier="x")
    with pytest.raises(InputError, match="several files of annotations for 1 recording"):
        imported({"a.eaf": eaf(late), "a.TextGrid": textgrid_text(4, {"t": [(0, 1, "a")]})})


def test_annotations_of_a_recording_that_cannot_be_read(imported: Import, tmp_path: Path) -> None:
    """Its length is unknown, so its annotations are listed with it, and none is cut or kept."""
    tiers = {"t": [(0, 1, "a"), (3, 9, "b")]}
    files = {"a.eaf": eaf(tiers), "b.eaf": eaf({"t": [(0, 1, "c")]})}
    broken = tmp_path / "rec" / "a.wav"
    broken.parent.mkdir()
    for content, found in ((b"", "the file is empty"), (b"hello " * 99, "not a readable sound")):
        broken.write_bytes(content)
        with pytest.raises(InputError, match=rf"1 file can't be used:\s+a.wav: {found}.*2 utter"):
            imported(files, ("b.wav",))
        with pytest.warns(CorpusWarning):
            corpus = imported(files, ("b.wav",), skip_bad=True)
        assert [u.text for u in corpus.utterances] == ["c"]


def test_annotations_before_the_recording_are_listed(imported: Import) -> None:
    text = eaf({"t": [(0, 1, "a"), (2, 3, "b")]}, ["a.wav"])
    early = text.replace(" MIME", ' TIME_ORIGIN="-1500" MIME')
    with pytest.raises(InputError, match=r"begins 1.5 s before the recording \(TIME_ORIGIN\)"):
        imported({"a.eaf": early})


def test_rounding_is_repaired_and_noted(imported: Import) -> None:
    tiers = {"t": [(0, 1, "a"), (0.99, 2, "b"), (2, 2, "c"), (3, 4.3, "d")]}
    with pytest.warns(CorpusWarning):
        corpus = imported({"a.eaf": eaf(tiers)})
    assert [(u.start, u.end) for u in corpus.utterances] == [(0, 1), (1, 2), (3, 4)]
    notes = findings(corpus)
    assert "1 annotation without length left out" in notes
    assert "1 overlap of up to 15 ms on a tier taken for rounding" in notes
    assert "1 annotation cut where the recording ends" in notes


def test_an_interval_that_ends_before_it_begins_is_refused(imported: Import) -> None:
    grid = textgrid_text(4, {"t": [(1, 2, "a")]})
    assert grid.count("xmax = 2.000000") == 1
    with pytest.raises(InputError, match=r"interval 2: ends at 0\.5 s, before it begins at 1 s"):
        imported({"a.TextGrid": grid.replace("xmax = 2.000000", "xmax = 0.500000")})


def test_options_that_contradict(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="table= and segments_from= are both given"):
        imported({"a.eaf": eaf({})}, table=tmp_path / "t.tsv")
    with pytest.raises(InputError, match="no annotations are given"):
        imported({}, segments_from=None, segment_tier="x")
    with pytest.raises(InputError, match="no such file or folder"):
        imported({}, segments_from=tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no annotations"):
        imported({}, segments_from=tmp_path / "rec")


def test_an_elan_file_beside_another_alignment_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000)
    soundfile.write(tmp_path / "rec" / "a.wav", noise, 16_000)
    (tmp_path / "rec" / "a.eaf").write_text(SAMPLE, encoding="utf-8")
    grid = textgrid_text(4, {"phones": [(0.5, 1, "a")]})
    (tmp_path / "rec" / "a.TextGrid").write_text(grid, encoding="utf-8")
    with pytest.warns(CorpusWarning, match="1 ELAN file beside another alignment"):
        import_folder(tmp_path / "rec", tmp_path / "c", alignments=tmp_path / "rec")
    assert [p.phone for p in read_phones(tmp_path / "c" / PHONES_FILE).by_id["a"]] == ["a"]
