"""Which channel an utterance is: the option, the column, and warnings of channels that differ."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import voice
from zerochain import audio
from zerochain.corpora.folder import import_folder
from zerochain.corpora.sounds import channel_of
from zerochain.errors import InputError

RATE = 16_000
rng = np.random.default_rng(0)
ANA, BOB = voice(rng, 1.0, 210), voice(rng, 1.0, 110)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Two calls, and a recording of one channel."""
    folder = tmp_path / "calls"
    folder.mkdir()
    soundfile.write(folder / "one.wav", np.stack([ANA, BOB], 1), RATE)
    soundfile.write(folder / "two.flac", np.stack([BOB, ANA], 1), RATE)
    soundfile.write(folder / "alone.wav", ANA, RATE)
    return folder


def noticed(folder: Path, out: Path, **options: object) -> dict[str, str]:
    corpus = import_folder(folder, out, **options)
    return {entry["id"]: entry["what"] for entry in corpus.record["noticed"]}


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        ("left", 1),
        ("Right", 2),
        ("A", 1),
        ("b", 2),
        ("1", 1),
        (" 3 ", 3),
        ("2.0", 2),
        ("mix", None),
    ],
)
def test_names(text: str, channel: int) -> None:
    assert channel_of(text) == channel
    assert channel_of("mix") is None


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "nan", "", "both", "²", "9999999999"])
def test_what_is_no_channel(text: str) -> None:
    with pytest.raises(InputError, match="is not a channel"):
        channel_of(text)


@pytest.mark.filterwarnings("ignore")
def test_each_channel_is_an_utterance_and_a_speaker(calls: Path, tmp_path: Path) -> None:
    corpus = import_folder(calls, tmp_path / "out", channel="each", test_fraction=0.5)
    assert {u.id: u.speaker for u in corpus.utterances} == {
        "alone": None,
        "one_ch1": "one_ch1",
        "one_ch2": "one_ch2",
        "two_ch1": "two_ch1",
        "two_ch2": "two_ch2",
    }
    waves = dict(zip(corpus.ids, corpus.waves(), strict=True))
    np.testing.assert_allclose(waves["one_ch2"], BOB, atol=1e-4)
    np.testing.assert_allclose(waves["two_ch2"], ANA, atol=1e-4)
    splits = {u.id: u.split for u in corpus.utterances}
    assert splits["one_ch1"] == splits["one_ch2"]  # both microphones pick up both voices
    known = import_folder(calls, tmp_path / "known", channel="each", speaker_from="name:eva")
    assert known.speakers == ["eva", "eva_ch1", "eva_ch2"]


@pytest.mark.filterwarnings("ignore")
def test_one_channel(calls: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"alone\.wav: channel 2 asked for, but it has 1"):
        import_folder(calls, tmp_path / "out", channel="right")
    corpus = import_folder(calls, tmp_path / "out", channel="right", skip_bad=True, copy=True)
    assert corpus.ids == ["one", "two"]
    np.testing.assert_allclose(corpus.wave(corpus.by_id["one"]), BOB, atol=1e-4)
    assert [entry["id"] for entry in corpus.record["skipped"]] == ["alone"]
    assert {u.channel for u in corpus.utterances} == {None}  # the copies have one


@pytest.mark.filterwarnings("ignore")
def test_a_column_says_the_channel(calls: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_text(
        "file\tchannel\tspeaker\tstart\tend\none.wav\tA\tana\t\t\none.wav\t2\tbob\t\t\n"
        "two.flac\tright\tana\t0.2\t0.5\ntwo.flac\t\tboth\t\t\none.wav\t5\tx\t\t\none.wav\t0\ty\t\t\n"
    )
    with pytest.raises(InputError, match=r"channel 5 asked for(.|\n)*'0' is not a channel"):
        import_folder(calls, tmp_path / "out", table=table)
    corpus = import_folder(calls, tmp_path / "out", table=table, skip_bad=True)
    assert {u.id: u.channel for u in corpus.utterances} == {
        "one_ch1": 1,
        "one_ch2": 2,
        "two_00000200-00000500_ch2": 2,
        "two": None,
    }
    wave = corpus.wave(corpus.by_id["two_00000200-00000500_ch2"])
    np.testing.assert_allclose(wave, ANA[3200:8000], atol=1e-4)
    with pytest.raises(InputError, match="channel='left' is given, but"):
        import_folder(calls, tmp_path / "out", table=table, skip_bad=True, channel="left")


def test_a_text_is_of_one_channel(calls: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("file\ttext\none.wav\thello\n")
    with pytest.raises(InputError, match="which of its 2 channels it belongs to is unknown"):
        import_folder(calls, tmp_path / "out", table=table, channel="each")


def test_no_such_choice(calls: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="channel='middle' is not a channel"):
        import_folder(calls, tmp_path / "out", channel="middle")


@pytest.mark.filterwarnings("ignore")
def test_channels_that_differ_are_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    hiss = 0.003 * rng.standard_normal((2, RATE))
    room = voice(np.random.default_rng(3), 1.0, 90)
    kinds = {
        "anti": [ANA, -0.95 * ANA],
        "call": [ANA, BOB],
        "dead": [0 * BOB, BOB],
        "equal": [ANA, ANA],
        "four": [ANA, BOB, room, ANA[::-1]],
        "louder": [ANA + hiss[0], 0.5 * ANA + hiss[1]],
        "mono": [ANA],
        "room": [ANA + 0.3 * room, ANA - 0.3 * room],
        "silent": [0 * ANA, 0 * ANA],
    }
    for name, channels in kinds.items():
        soundfile.write(folder / f"{name}.wav", np.stack(channels, 1), RATE, subtype="FLOAT")
    what = noticed(folder, tmp_path / "out")
    assert set(what) == {"anti", "call", "dead", "four", "silent"}
    assert "cancel" in what["anti"]
    assert "channel='left'" in what["anti"]
    assert "differ" in what["call"]
    assert "differ" in what["four"]
    assert "only channel 2 holds sound" in what["dead"]
    assert what["silent"].startswith("silent")
    assert noticed(folder, tmp_path / "left", channel="left") == {
        "dead": what["silent"],
        "silent": what["silent"],
    }


@pytest.mark.filterwarnings("ignore")
def test_a_mix_is_the_mean(calls: Path, tmp_path: Path) -> None:
    corpus = import_folder(calls, tmp_path / "out", channel="mix")
    mixed = corpus.wave(corpus.by_id["one"])
    np.testing.assert_allclose(mixed, (ANA + BOB) / 2, atol=1e-4)
    assert audio.info(corpus.audio_path(corpus.by_id["one"])).n_channels == 2
