"""Synthetic speech: the same every time, with boundaries where the sound changes."""

import subprocess
import sys

import numpy as np
import pytest

from zerochain.corpora.espeak import PAUSE, Speech, Voice, phones_of, speak
from zerochain.errors import InputError

BREATHY = Voice("en-us+f2", 150, 50)


def spoken(text: str, voice: Voice = BREATHY) -> Speech:
    pytest.importorskip("espeakng_loader")
    return next(iter(speak([(text, voice)])))


def level(speech: Speech, phone: str) -> float:
    """The median level of a phone's tokens, in dB."""
    parts = [
        speech.wave[round(p.onset * speech.sample_rate) : round(p.offset * speech.sample_rate)]
        for p in speech.phones
        if p.phone == phone
    ]
    return float(np.median([10 * np.log10(np.mean(part**2) + 1e-12) for part in parts]))


def centroid(speech: Speech, phone: str) -> float:
    """The centre of gravity of a phone's spectrum, in Hz."""
    p = next(p for p in speech.phones if p.phone == phone)
    part = speech.wave[round(p.onset * speech.sample_rate) : round(p.offset * speech.sample_rate)]
    power = np.abs(np.fft.rfft(part)) ** 2
    return float((power * np.fft.rfftfreq(len(part), 1 / speech.sample_rate)).sum() / power.sum())


def test_the_same_text_gives_the_same_samples_whatever_came_before() -> None:
    pytest.importorskip("espeakng_loader")
    lines = [("She sees six seas.", BREATHY), ("Hello.", BREATHY), ("She sees six seas.", BREATHY)]
    first, _, again = speak(lines)
    np.testing.assert_array_equal(first.wave, again.wave)
    assert first.phones == again.phones


def test_boundaries_lie_where_the_sound_changes() -> None:
    speech = spoken("She sees, see.", Voice("en-us+m3", 150, 50))
    assert "".join(p.phone for p in speech.phones if p.phone != PAUSE) == "ʃiːsiːzsiː"
    assert level(speech, PAUSE) < -80
    assert level(speech, "s") > -60
    assert level(speech, "iː") > level(speech, "s") + 3
    assert centroid(speech, "s") > 3500 > 2500 > centroid(speech, "iː")
    ends = [p.offset for p in speech.phones]
    assert ends[-1] == pytest.approx(len(speech.wave) / speech.sample_rate)
    assert ends[:-1] == [p.onset for p in speech.phones][1:]


def test_a_stop_begins_with_its_closure() -> None:
    speech = spoken("a top", Voice("en-us+m3", 150, 50))
    stop = next(p for p in speech.phones if p.phone == "t")
    first = round(stop.onset * speech.sample_rate)
    assert np.abs(speech.wave[first : first + 200]).max() < 1e-3
    assert stop.offset - stop.onset > 0.06


def test_phones_from_events() -> None:
    samples = np.ones(1000, np.int16) * 50
    samples[250:300] = samples[800:] = 0
    events = [(0, "ˈa"), (300, "t"), (500, "ɪ"), (505, "ə"), (800, ""), (900, "")]
    phones = phones_of(samples, events, 10_000)
    rows = [(round(p.onset * 1e4), round(p.offset * 1e4), p.phone) for p in phones]
    # The closure (250…300) is t's; 5 samples of ɪ are a seam; two pauses are one.
    assert rows == [(0, 250, "a"), (250, 500, "t"), (505, 800, "ə"), (800, 1000, PAUSE)]


def test_unknown_voices_are_refused() -> None:
    with pytest.raises(InputError, match="no voice 'xx-none'"):
        spoken("hello", Voice("xx-none", 150, 50))


def test_a_missing_synthesiser_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=r"zerochain\[demo\]"):
        next(iter(speak([("hello", BREATHY)])))


def test_the_library_is_never_loaded_into_this_process() -> None:
    pytest.importorskip("espeakng_loader")
    code = (
        "from zerochain.corpora.espeak import Voice, speak\n"
        "list(speak([('hello', Voice('en-us', 150, 50))]))\n"
        "assert 'libespeak' not in open('/proc/self/maps').read()\n"
    )
    if sys.platform == "linux":
        subprocess.run([sys.executable, "-c", code], check=True)
