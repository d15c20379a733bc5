"""Recordings that are changed: what stays, what doesn't, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from conftest import voice
from zerochain import audio
from zerochain.corpora.changes import KINDS, Change, change_corpus
from zerochain.errors import InputError
from zerochain.formats.corpus import read_corpus, write_corpus
from zerochain.formats.phones import PHONES_FILE, Phone, Phones, read_phones

WAVE = voice(np.random.default_rng(0), 2.0, 150.0)


def level(wave):
    return 10 * np.log10(np.mean(np.asarray(wave, np.float64) ** 2))


def up_and_down(change):
    """The change by each side of its coin."""
    seeds = {bool(np.random.default_rng(s).integers(2)): s for s in range(9)}
    return [change.apply(WAVE, np.random.default_rng(seeds[up])) for up in (True, False)]


def pitch_hz(wave):
    """From the autocorrelation of the loudest tenth of a second."""
    starts = range(0, len(wave) - 1600, 400)
    best = max(starts, key=lambda s: np.abs(wave[s : s + 1600]).sum())
    part = wave[best : best + 1600].astype(np.float64)
    similar = np.correlate(part, part, "full")[len(part) - 1 :]
    return 16_000 / (60 + np.argmax(similar[60:260]))


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_noise_is_as_loud_as_asked_for_and_pink(snr_db):
    noisy = Change.of("noise", snr_db).apply(WAVE, np.random.default_rng(0))
    noise = noisy.astype(np.float64) - WAVE
    assert level(WAVE) - level(noise) == pytest.approx(snr_db, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[n : 2 * n].sum() for n in (500, 1000, 2000, 4000)]  # equal, for pink noise
    assert max(octaves) / min(octaves) < 1.5


def test_pitch_goes_up_or_down_and_the_length_stays():
    high, low = up_and_down(Change.of("pitch", 4.0))
    assert len(high) == len(low) == len(WAVE)
    assert pitch_hz(high) / pitch_hz(WAVE) == pytest.approx(2 ** (4 / 12), rel=0.06)
    assert pitch_hz(low) / pitch_hz(WAVE) == pytest.approx(2 ** (-4 / 12), rel=0.06)


def test_speed_changes_the_length_and_not_the_pitch():
    fast, slow = up_and_down(Change.of("speed", 1.25))
    assert len(fast) == round(len(WAVE) / 1.25)
    assert len(slow) == round(len(WAVE) * 1.25)
    assert pitch_hz(fast) == pytest.approx(pitch_hz(WAVE), rel=0.12)
    assert pitch_hz(slow) == pytest.approx(pitch_hz(WAVE), rel=0.12)


def test_a_room_rings_for_as_long_as_asked_for():
    click = np.zeros(32_000, np.float32)
    click[1000] = 0.9
    rung = Change.of("reverberation", 0.5).apply(click, np.random.default_rng(0))
    assert np.argmax(np.abs(rung)) == 1000  # what happens when stays
    assert np.abs(rung[:999]).max() < 1e-3
    tail = rung[1001:].astype(np.float64) ** 2
    decay = 10 * np.log10(tail[:800].mean() / tail[4000:4800].mean())  # a quarter of a second
    assert decay == pytest.approx(30, abs=2)
    assert level(rung) == pytest.approx(level(click), abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_silence_short_clips_and_full_scale_are_survived(kind):
    change = Change.of(kind)
    for wave in (
        np.zeros(4000, np.float32),
        WAVE[:1],
        WAVE[:100],
        np.sign(WAVE[:9000]).astype(np.float32),
    ):
        changed = change.apply(wave, np.random.default_rng(0))
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert len(changed) >= 1
        if kind != "speed":
            assert len(changed) == len(wave)
    assert change.time_scale(np.random.default_rng(0)) > 0


def test_amounts_that_make_no_sense_are_refused():
    for kind, amount in (("speed", 0.5), ("pitch", 0), ("noise", 1000), ("reverberation", -1)):
        with pytest.raises(InputError, match="asked for"):
            Change.of(kind, amount)
    with pytest.raises(InputError, match="asked for"):
        Change.of("noise", float("nan"))
    assert str(Change.of("noise")) == "pink noise, SNR 10 dB"


@pytest.fixture
def aligned(make_corpus):
    corpus = make_corpus(n_utterances=8)
    line = [Phone(0.1, 0.4, "a"), Phone(0.4, 1.0, "b")]
    return write_corpus(corpus.folder, corpus, Phones(dict.fromkeys(corpus.ids, line), "by hand"))


def test_a_changed_corpus_keeps_all_but_the_sound(aligned, tmp_path):
    made = change_corpus(aligned.folder, tmp_path / "noisy", Change.of("noise", 5))
    assert made.ids == aligned.ids
    for old, new in zip(aligned.utterances, made.utterances, strict=True):
        assert (new.speaker, new.split, new.text) == (old.speaker, old.split, old.text)
        assert new.duration == pytest.approx(old.duration, abs=1e-3)
        before, after = audio.read(aligned.audio_path(old)), audio.read(made.audio_path(new))
        before *= after @ before / (before @ before)  # beyond full scale it is turned down
        assert level(before) - level(after - before) == pytest.approx(5, abs=0.2)
    assert made.record["change"] == {"kind": "noise", "amount": 5}
    assert made.record["of_corpus"] == aligned.id
    assert made.id != aligned.id
    assert read_phones(made.folder / PHONES_FILE) == read_phones(aligned.folder / PHONES_FILE)
    again = change_corpus(aligned.folder, tmp_path / "again", Change.of("noise", 5))
    assert again.id == made.id
    audio_of = [c.audio_path(c.utterances[0]).read_bytes() for c in (made, again)]
    assert audio_of[0] == audio_of[1]
    other = change_corpus(aligned.folder, tmp_path / "other", Change.of("noise", 5), seed=1)
    assert other.audio_path(other.utterances[0]).read_bytes() != audio_of[0]


def test_phones_go_with_the_speed(aligned, tmp_path):
    made = change_corpus(aligned.folder, tmp_path / "fast", Change.of("speed", 1.5))
    phones = read_phones(made.folder / PHONES_FILE)
    scales = set()
    for old, new in zip(aligned.utterances, made.utterances, strict=True):
        scale = new.duration / old.duration
        scales.add(round(scale, 3))
        assert phones.by_id[new.id][1].offset == pytest.approx(1.0 * scale, abs=1e-3)
        assert len(audio.read(made.audio_path(new))) / 16_000 == pytest.approx(new.duration)
    assert scales == {0.667, 1.5}


def test_a_split_is_changed_as_in_the_whole(aligned, tmp_path):
    whole = change_corpus(aligned.folder, tmp_path / "whole", Change.of("speed"))
    part = change_corpus(aligned.folder, tmp_path / "part", Change.of("speed"), split="test")
    assert part.ids == aligned.select(split="test").ids
    assert [whole.by_id[u.id].duration for u in part.utterances] == [
        u.duration for u in part.utterances
    ]
    with pytest.raises(InputError, match="no utterance of split 'dev'"):
        change_corpus(aligned.folder, tmp_path / "none", Change.of("speed"), split="dev")


def test_utterances_cut_from_one_recording(aligned, tmp_path):
    first = aligned.utterances[0]
    halves = tuple(
        replace(first, id=f"h{i}", start=0.5 * i, end=0.5 * (i + 1), duration=0.5) for i in range(2)
    )
    cut = write_corpus(tmp_path / "cut", replace(aligned, utterances=halves, folder=None))
    made = change_corpus(cut.folder, tmp_path / "out", Change.of("noise", 60))
    wave = audio.read(aligned.audio_path(first))
    second = audio.read(made.audio_path(made.utterances[1]))
    assert np.abs(second - wave[8000:16_000]).max() < 0.01
    assert (made.utterances[1].start, made.utterances[1].end) == (None, None)
    assert not (made.folder / PHONES_FILE).exists()


def test_the_corpus_and_its_recordings_are_never_replaced(aligned, tmp_path):
    for out in (aligned.folder, tmp_path / "tiny-audio", tmp_path):
        with pytest.raises(InputError, match="would replace"):
            change_corpus(aligned.folder, out, Change.of("noise"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="not a folder that zerochain made"):
        change_corpus(aligned.folder, tmp_path / "mine", Change.of("noise"))
    assert read_corpus(aligned.folder).ids == aligned.ids


def test_a_broken_recording_leaves_nothing_behind(aligned, tmp_path):
    aligned.audio_path(aligned.utterances[-1]).write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"u7\.wav"):
        change_corpus(aligned.folder, tmp_path / "out", Change.of("noise"))
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".writing-*"))
