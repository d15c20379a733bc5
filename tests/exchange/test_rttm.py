"""RTTM: turns out and in again, several channels and speakers, and lines that are no turns."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from zerochain.corpora.long_recordings import import_recordings
from zerochain.errors import InputError
from zerochain.exchange.rttm import Turn, read_rttm, write_rttm
from zerochain.features.voice_activity import VoiceActivityConfig
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance

TURNS = """;; made by hand
SPKR-INFO story 1 <NA> <NA> <NA> unknown ana <NA> <NA>
SPEAKER story 1 0.500 1.250 <NA> <NA> ana <NA> <NA>
SPEAKER  calls/one 2 1 0.5 <NA> <NA> béa <NA>

SPEAKER story 1 0.500 1.250 <NA> <NA> béa <NA> <NA>
"""


@pytest.fixture
def field(tmp_path: Path) -> Path:
    folder = tmp_path / "field"
    (folder / "calls").mkdir(parents=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(48_000)
    soundfile.write(folder / "story.wav", noise, 16_000)
    soundfile.write(folder / "calls" / "one.wav", np.stack([noise, 0.9 * noise], 1), 16_000)
    (tmp_path / "turns.rttm").write_text(TURNS, encoding="utf-8")
    return folder


def test_reads_turns(field: Path, tmp_path: Path) -> None:
    assert read_rttm(tmp_path / "turns.rttm") == [
        Turn("story", 1, 0.5, 1.75, "ana"),
        Turn("calls/one", 2, 1.0, 1.5, "béa"),
        Turn("story", 1, 0.5, 1.75, "béa"),
    ]


def test_turns_are_utterances_and_come_out_again(field: Path, tmp_path: Path) -> None:
    corpus = import_recordings(field, tmp_path / "out", rttm=tmp_path / "turns.rttm")
    assert [(u.id, u.speaker, u.start, u.end) for u in corpus.utterances] == [
        ("story_00000500-00001750", "ana", 0.5, 1.75),
        ("calls/one_00001000-00001500", "béa", 1.0, 1.5),
        ("story_00000500-00001750_béa", "béa", 0.5, 1.75),
    ]
    assert write_rttm(tmp_path / "again.rttm", corpus) == (3, [])
    again = import_recordings(field, tmp_path / "again", rttm=tmp_path / "again.rttm")
    assert set(again.utterances) == set(corpus.utterances)


@pytest.mark.filterwarnings("ignore::zerochain.formats.corpus.CorpusWarning")
def test_turns_of_each_channel(field: Path, tmp_path: Path) -> None:
    (tmp_path / "turns.rttm").write_text(
        "SPEAKER one 2 1 0.5 <NA> <NA> béa <NA> <NA>\nSPEAKER one 1 2 0.5 <NA> <NA> <NA> <NA>\n"
    )
    corpus = import_recordings(
        field, tmp_path / "out", rttm=tmp_path / "turns.rttm", channel="each"
    )
    found = [(u.channel, u.speaker, u.start) for u in corpus.utterances]
    assert found == [(2, "béa", 1.0), (1, "calls/one_ch1", 2.0)]
    (tmp_path / "turns.rttm").write_text("SPEAKER one 3 1 0.5 <NA> <NA> béa <NA> <NA>\n")
    with pytest.raises(InputError, match="is on channel 3, and the recording has 2 channels"):
        import_recordings(field, tmp_path / "x", rttm=tmp_path / "turns.rttm", channel="each")


@pytest.mark.parametrize(
    ("recording", "channel", "said"),
    [
        ("story", None, "story: the turn .* on channel 2, and the recording has 1 channel$"),
        ("story", "each", "story: the turn .* on channel 2, and the recording has 1 channel$"),
        (
            "calls/one",
            "left",
            "calls/one: .* on channel 2, and only channel 1 is imported$",
        ),
    ],
)
def test_a_turn_on_a_channel_that_is_not_there_is_refused(
    field: Path, tmp_path: Path, recording: str, channel: str | None, said: str
) -> None:
    (tmp_path / "turns.rttm").write_text(f"SPEAKER {recording} 2 1 0.5 <NA> <NA> ana <NA> <NA>\n")
    with pytest.raises(InputError) as caught:
        import_recordings(field, tmp_path / "x", rttm=tmp_path / "turns.rttm", channel=channel)
    assert re.search(said, caught.value.found)


@pytest.mark.filterwarnings("ignore::zerochain.formats.corpus.CorpusWarning")
def test_channel_1_stands_for_a_chosen_channel(field: Path, tmp_path: Path) -> None:
    """Diarisation of one channel writes 1, whichever it was given."""
    (tmp_path / "turns.rttm").write_text("SPEAKER one 1 1 0.5 <NA> <NA> ana <NA> <NA>\n")
    corpus = import_recordings(
        field, tmp_path / "out", rttm=tmp_path / "turns.rttm", channel="right"
    )
    assert [(u.channel, u.start) for u in corpus.utterances] == [(2, 1.0)]


def test_turns_without_length_are_left_out_and_counted(field: Path, tmp_path: Path) -> None:
    lines = [f"SPEAKER {name} 1 0 {s} <NA> <NA> ana\n" for name in ("story", "one") for s in (0, 1)]
    (tmp_path / "turns.rttm").write_text("".join(lines))
    with pytest.warns(CorpusWarning, match="2 turns without length left out"):
        corpus = import_recordings(field, tmp_path / "out", rttm=tmp_path / "turns.rttm")
    assert [(u.start, u.end) for u in corpus.utterances] == [(0, 1), (0, 1)]


def test_recordings_without_turns_are_listed(field: Path, tmp_path: Path) -> None:
    (tmp_path / "turns.rttm").write_text("SPEAKER story 1 0 1 <NA> <NA> ana\n")
    with pytest.warns(CorpusWarning, match=r"no turn in 1 recording: calls/one\.wav"):
        import_recordings(field, tmp_path / "out", rttm=tmp_path / "turns.rttm")


def test_turns_of_a_whole_corpus_of_which_some_recordings_are_there(
    field: Path, tmp_path: Path
) -> None:
    (tmp_path / "turns.rttm").write_text(
        "SPEAKER story.wav 1 0 1 <NA> <NA> ana\nSPEAKER other 1 0 1 <NA> <NA> ana\n"
    )
    with pytest.warns(
        CorpusWarning, match="turns of 1 recording that is not there left out: other"
    ):
        corpus = import_recordings(field, tmp_path / "out", rttm=tmp_path / "turns.rttm")
    assert [u.audio for u in corpus.utterances] == ["story.wav"]


def test_turns_that_end_just_after_the_recording_are_cut_there(field: Path, tmp_path: Path) -> None:
    (tmp_path / "turns.rttm").write_text("SPEAKER story 1 2 1.4 <NA> <NA> ana\n")
    with pytest.warns(CorpusWarning, match="1 utterance cut where the recording ends"):
        corpus = import_recordings(field, tmp_path / "out", rttm=tmp_path / "turns.rttm")
    assert [(u.start, u.end, u.duration) for u in corpus.utterances] == [(2, 3, 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no turn"),
        ("story 1 0.5 1.0 a\n", "holds no turn"),
        ("SPEAKER story 1 0.5\n", r"turns\.rttm:1: not a turn"),
        ("\nSPEAKER story 0 0.5 1 <NA> <NA> ana\n", r"turns\.rttm:2: not a turn"),
        ("SPEAKER story 1 0.5 -0.1 <NA> <NA> ana\n", "not a turn"),
        ("SPEAKER story 1 0.5 0 <NA> <NA> ana\n", "holds 1 turn, none of them with a length"),
        ("SPEAKER story 1 nan 1 <NA> <NA> ana\n", "not a turn"),
        ("SPEAKER story 1 0 inf <NA> <NA> ana\n", "not a turn"),
        ("SPEAKER other 1 0 1 <NA> <NA> ana\n", "1 recording, none of which is there: other"),
        ("SPEAKER story 1 0 1 <NA> <NA> ana\n" * 3, "is there twice"),
        ("SPEAKER story 1 0 99 <NA> <NA> ana\n", "but it lasts 3.000 s"),
    ],
)
def test_what_is_no_turn(text: str, said: str, field: Path, tmp_path: Path) -> None:
    (tmp_path / "turns.rttm").write_text(text)
    with pytest.raises(InputError, match=said):
        import_recordings(field, tmp_path / "out", rttm=tmp_path / "turns.rttm")


def test_settings_of_a_detector_contradict_turns(field: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rttm= is given"):
        import_recordings(
            field,
            tmp_path / "out",
            rttm=tmp_path / "turns.rttm",
            activity=VoiceActivityConfig(threshold=5),
        )


def test_a_turn_is_there_once(tmp_path: Path) -> None:
    folder = tmp_path / "field"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.tile([0.1, -0.1], 16_000), 16_000)
    lines = [f"SPEAKER a 1 0.5 1 <NA> <NA> {name} <NA> <NA>\n" for name in ("ana", "béa", "ana")]
    (tmp_path / "t.rttm").write_text("".join(lines[:2]))
    both = import_recordings(folder, tmp_path / "out", rttm=tmp_path / "t.rttm")
    assert [(u.start, u.end, u.speaker) for u in both.utterances] == [
        (0.5, 1.5, "ana"),
        (0.5, 1.5, "béa"),
    ]
    for order in (lines, lines[::2]):
        (tmp_path / "t.rttm").write_text("".join(order))
        with pytest.raises(InputError, match=r"from 0\.5 to 1\.5 s is there twice"):
            import_recordings(folder, tmp_path / "out", rttm=tmp_path / "t.rttm")


def test_spaces_are_written_as_underscores_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "field"
    folder.mkdir()
    soundfile.write(folder / "Kofi 1.wav", np.tile([0.1, -0.1], 16_000), 16_000)
    corpus = Corpus("spaced", (Utterance("x", "Kofi 1.wav", 1.5, "Ana  B.", 0.5, 2.0),))
    assert write_rttm(tmp_path / "turns.rttm", corpus) == (1, ["Ana  B.", "Kofi 1"])
    assert read_rttm(tmp_path / "turns.rttm") == [Turn("Kofi_1", 1, 0.5, 2.0, "Ana_B.")]
    again = import_recordings(folder, tmp_path / "out", rttm=tmp_path / "turns.rttm")
    assert [(u.audio, u.start, u.end) for u in again.utterances] == [("Kofi 1.wav", 0.5, 2.0)]


def test_names_that_spaces_alone_distinguish(tmp_path: Path) -> None:
    names = ("a b.wav", "a_b.wav")
    corpus = Corpus("spaced", tuple(Utterance(name, name, 1.0) for name in names))
    with pytest.raises(InputError, match=r"'a b' and 'a_b' have the same name in RTTM, 'a_b'"):
        write_rttm(tmp_path / "bad.rttm", corpus)
    assert not (tmp_path / "bad.rttm").exists()
