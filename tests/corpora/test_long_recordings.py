"""Long recordings: utterances that point into them, channels, speakers, silence."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import voice
from zerochain import KMeansUnits, audio
from zerochain.corpora.build import findings
from zerochain.corpora.folder import import_folder
from zerochain.corpora.long_recordings import import_recordings
from zerochain.corpora.speaker_clusters import divided
from zerochain.errors import InputError
from zerochain.features.extraction import extract
from zerochain.features.spectral import SpectralOptions
from zerochain.features.voice_activity import VoiceActivityConfig
from zerochain.formats.corpus import Corpus, CorpusWarning
from zerochain.formats.phones import read_phones

PAUSES = VoiceActivityConfig(shortest_pause_s=0.6)


def talk(*turns: tuple[float, float, float], seconds: float = 12.0, rate: int = 16_000):
    """Noise in which voices speak: (from, to, pitch), …"""
    rng = np.random.default_rng(0)
    wave = 0.001 * rng.standard_normal(round(seconds * rate))
    for start, end, pitch in turns:
        said = voice(rng, end - start, pitch, rate)
        wave[round(start * rate) : round(start * rate) + len(said)] += 0.3 * said
    return wave.astype(np.float32)


ANA = talk((1, 3, 210), (6, 8.5, 210))
BOB = talk((3.5, 5.5, 100), (9, 11, 100))


@pytest.fixture
def field(tmp_path: Path) -> Path:
    folder = tmp_path / "field"
    (folder / "ana").mkdir(parents=True)
    soundfile.write(folder / "ana" / "story.wav", ANA, 16_000, subtype="PCM_16")
    return folder


def times(corpus: Corpus) -> list[tuple[str, float, float]]:
    return [(u.id, float(u.start or 0), float(u.end or 0)) for u in corpus.utterances]


def test_utterances_point_into_the_recording(field: Path, tmp_path: Path) -> None:
    corpus = import_recordings(field, tmp_path / "out", activity=PAUSES, speaker_from="folder:1")
    assert {u.audio for u in corpus.utterances} == {"ana/story.wav"}
    assert {u.speaker for u in corpus.utterances} == {"ana"}
    assert [(round(a), round(b * 2) / 2) for _, a, b in times(corpus)] == [(1, 3), (6, 8.5)]
    for name, start, end in times(corpus):
        assert name == f"ana/story_{round(start * 1000):08d}-{round(end * 1000):08d}"
    record = corpus.record["voice_activity"]
    assert record["recordings_s"] == 12.0
    assert record["shortest_pause_s"] == 0.6
    assert not list((tmp_path / "out").rglob("*.flac"))


def test_annotations_beside_the_recordings_are_pointed_out(field: Path, tmp_path: Path) -> None:
    """Who has marked utterances by hand does not want others."""
    (field / "ana" / "story.eaf").touch()
    (field / "notes.txt").touch()
    with pytest.warns(CorpusWarning, match=r"^1 \.eaf beside the recordings, and utterances are"):
        corpus = import_recordings(field, tmp_path / "out", activity=PAUSES)
    [line] = findings(corpus)
    assert "'import folder' with segments_from= takes these" in line


def test_copies(field: Path, tmp_path: Path) -> None:
    corpus = import_recordings(field, tmp_path / "out", activity=PAUSES, copy=True)
    assert [u.start for u in corpus.utterances] == [None, None]
    assert all(corpus.audio_path(u).is_file() for u in corpus.utterances)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_same_units_as_of_utterances_cut_by_hand(rate: int, tmp_path: Path) -> None:
    """Features and units of a stretch equal those of a file with the same samples, exactly."""
    whole, by_hand = tmp_path / "whole", tmp_path / "by-hand"
    whole.mkdir()
    wave = talk((1, 3, 210), (6, 8.5, 110), rate=rate)
    soundfile.write(whole / "a.wav", np.stack([wave, wave[::-1]], 1), rate, subtype="PCM_16")
    cut = import_recordings(whole, tmp_path / "cut", activity=PAUSES, channel="left")
    by_hand.mkdir()
    samples, _ = soundfile.read(whole / "a.wav", dtype="int16")
    for u in cut.utterances:
        part = samples[round((u.start or 0) * rate) : round((u.end or 0) * rate), 0]
        soundfile.write(by_hand / f"{u.id}.wav", part, rate, subtype="PCM_16")
    hand = import_folder(by_hand, tmp_path / "hand")
    assert hand.ids == cut.ids
    options = SpectralOptions()
    a, b = (extract(c, options, tmp_path / f"f-{c.name}", jobs=1) for c in (cut, hand))
    model = KMeansUnits(n_units=8).fit(a)
    of_cut, of_hand = model.encode(a), model.encode(b)
    for name in cut.ids:
        np.testing.assert_array_equal(a[name], b[name])
        np.testing.assert_array_equal(of_cut.steps(name), of_hand.steps(name))


def test_each_channel_has_its_own_utterances_and_speaker(tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    soundfile.write(tmp_path / "calls" / "call.wav", np.stack([ANA, BOB], 1), 16_000)
    corpus = import_recordings(
        tmp_path / "calls", tmp_path / "out", activity=PAUSES, channel="each"
    )
    found = [(u.speaker, u.channel, round(u.start or 0)) for u in corpus.utterances]
    assert found == [("call_ch1", 1, 1), ("call_ch1", 1, 6), ("call_ch2", 2, 3), ("call_ch2", 2, 9)]
    assert corpus.utterances[0].id.endswith("_ch1")


@pytest.mark.filterwarnings("ignore::zerochain.formats.corpus.CorpusWarning")
def test_identical_channels_are_one(tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    soundfile.write(tmp_path / "calls" / "é.wav", np.stack([ANA, ANA], 1), 16_000)
    corpus = import_recordings(
        tmp_path / "calls", tmp_path / "out", activity=PAUSES, channel="each"
    )
    assert [(u.speaker, u.channel) for u in corpus.utterances] == [(None, 1), (None, 1)]
    assert not corpus.ids[0].endswith("_ch1")
    assert corpus.record["notes"] == [
        "é.wav: 1 channel left out, with the same samples as an earlier one"
    ]


@pytest.mark.filterwarnings("ignore::zerochain.formats.corpus.CorpusWarning")
def test_voices_become_speakers(tmp_path: Path) -> None:
    (tmp_path / "talk").mkdir()
    turns = [(3.0 * i + 0.5, 3.0 * i + 2.5, (100, 230)[i % 2]) for i in range(8)]
    soundfile.write(tmp_path / "talk" / "a.wav", talk(*turns, seconds=25), 16_000)
    corpus = import_recordings(
        tmp_path / "talk", tmp_path / "out", activity=PAUSES, speakers="cluster", n_speakers=2
    )
    speakers = [u.speaker for u in corpus.utterances]
    assert len(speakers) == 8
    assert len(set(speakers[::2])) == len(set(speakers[1::2])) == 1
    assert len(set(speakers)) == 2
    assert "2, as asked for" in corpus.record["voice_activity"]["voices"]


def test_counts_speakers_where_they_differ() -> None:
    rng = np.random.default_rng(0)
    centres = 6 * rng.standard_normal((3, 10))
    lengths = np.where(np.arange(60) % 5 == 0, 0.5, 3.0)
    labels, silhouette = divided(
        centres[np.arange(60) % 3] + rng.standard_normal((60, 10)), lengths
    )
    assert all(len(set(labels[i::3])) == 1 for i in range(3))
    assert len(set(labels)) == 3
    assert silhouette is not None
    assert silhouette > 0.3
    alone, doubt = divided(rng.standard_normal((60, 30)), lengths)
    assert set(alone) == {0}
    assert doubt is not None
    assert doubt < 0.1
    few, nothing = divided(rng.standard_normal((2, 30)), np.full(2, 3.0))
    assert list(few) == [0, 0]
    assert nothing is None


def test_one_voice_with_few_utterances_stays_one() -> None:
    """Ten of a voice divide well by chance: far above the least silhouette."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((4, 20))
    found, silhouettes = [], []
    for _ in range(10):
        vectors = rng.standard_normal((10, 4)) @ mixing + 0.5 * rng.standard_normal((10, 20))
        labels, silhouette = divided(vectors.astype(np.float32), np.full(10, 3.0))
        found.append(len(set(labels)))
        silhouettes.append(silhouette)
    assert min(silhouettes) > 0.15
    assert found.count(1) >= 6
    asked, _ = divided(vectors.astype(np.float32), np.full(10, 3.0), 2)
    assert len(set(asked)) == 2


def test_without_speech(field: Path, tmp_path: Path) -> None:
    soundfile.write(field / "silent.wav", np.zeros(160_000), 16_000)
    soundfile.write(field / "noise.wav", talk(), 16_000)
    with pytest.warns(
        CorpusWarning, match=r"no speech was found in 2 of them: noise, silent \(sil"
    ):
        corpus = import_recordings(field, tmp_path / "out", activity=PAUSES)
    assert {u.audio for u in corpus.utterances} == {"ana/story.wav"}
    (field / "ana" / "story.wav").unlink()
    with pytest.raises(InputError, match=r"no speech was found in 2 recordings"):
        import_recordings(field, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_unreadable_files_are_listed(field: Path, tmp_path: Path) -> None:
    (field / "text.wav").write_text("this is not audio")
    with pytest.raises(InputError, match=r"1 file can't be used:\s+text\.wav"):
        import_recordings(field, tmp_path / "out", activity=PAUSES)
    with pytest.warns(CorpusWarning, match="skipped 1"):
        corpus = import_recordings(field, tmp_path / "out", activity=PAUSES, skip_bad=True)
    assert len(corpus.utterances) == 2


def test_alignments_of_the_recording_are_cut(field: Path, tmp_path: Path) -> None:
    (field / "ana" / "story.phn").write_text("0 1.2 SIL\n1.2 2 a\n2 2.8 b\n2.8 6.5 SIL\n6.5 8 a\n")
    corpus = import_recordings(
        field, tmp_path / "out", activity=PAUSES, alignments=field, alignment_times="recording"
    )
    phones = read_phones(tmp_path / "out" / "phones.parquet").by_id
    first = phones[corpus.ids[0]]
    assert [p.phone for p in first if p.phone != "SIL"] == ["a", "b"]
    start = corpus.utterances[0].start
    assert start is not None
    assert next(p.onset for p in first if p.phone == "a") == pytest.approx(1.2 - start, abs=0.01)


@pytest.mark.filterwarnings("ignore::zerochain.formats.corpus.CorpusWarning")
def test_test_fraction_is_one_of_utterances(field: Path, tmp_path: Path) -> None:
    corpus = import_recordings(field, tmp_path / "out", activity=PAUSES, test_fraction=0.5)
    assert {u.split for u in corpus.utterances} <= {"train", "test"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"speakers": "cluster", "speaker_from": "name:ana"}, "each says who speaks"),
        ({"n_speakers": 2}, "speakers are not sought"),
        ({"speakers": "cluster", "n_speakers": 9}, "only 2 utterances"),
    ],
)
def test_impossible_speakers(
    options: dict[str, object], said: str, field: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        import_recordings(field, tmp_path / "out", activity=PAUSES, **options)


def test_a_part_is_an_exact_slice(field: Path) -> None:
    whole = audio.read(field / "ana" / "story.wav")
    np.testing.assert_array_equal(
        audio.read(field / "ana" / "story.wav", start=1.23, end=2.0), whole[19_680:32_000]
    )
