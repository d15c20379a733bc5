"""Judges from outside, by the programs that they come from."""

import importlib.util

import numpy as np
import pytest

from zerochain.errors import InputError
from zerochain.listeners.outside import Dnsmos, Outside, Resemblyzer, Sphinx


def needs(judge: type[Outside]) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(judge.missing()), reason=f"needs {judge.missing()}")


def speech(seconds: float) -> np.ndarray:
    """A harmonic sound with pauses, and a little noise."""
    t = np.arange(int(seconds * 16_000)) / 16_000
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    noise = np.random.default_rng(0).normal(size=len(t))
    return (0.1 * buzz * (np.sin(2 * np.pi * 3 * t) > -0.3) + 0.003 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def dnsmos() -> Dnsmos:
    return Dnsmos()


@needs(Dnsmos)
@pytest.mark.parametrize("n", [144_160, 161_000])  # one window; one, whose end has none
def test_dnsmos_is_that_of_speechmos(dnsmos: Dnsmos, n: int) -> None:
    from speechmos import dnsmos as theirs

    wave = speech(11)[:n]
    expected = theirs.run(wave, 16_000)
    found = dnsmos(wave)
    assert found.overall == pytest.approx(expected["ovrl_mos"], abs=1e-4)
    assert found.signal == pytest.approx(expected["sig_mos"], abs=1e-4)
    assert found.background == pytest.approx(expected["bak_mos"], abs=1e-4)
    assert found.p808 == pytest.approx(expected["p808_mos"], abs=1e-4)


@needs(Dnsmos)
def test_a_short_recording_is_repeated_to_one_window(dnsmos: Dnsmos) -> None:
    wave = speech(2)
    repeated = np.concatenate([wave] * 5)[: dnsmos.WINDOW]
    assert dnsmos(wave) == dnsmos(repeated)


@needs(Dnsmos)
def test_clipped_and_inaudible_recordings(dnsmos: Dnsmos) -> None:
    loud = 20 * speech(1)
    assert dnsmos(loud) == dnsmos(np.clip(loud, -1, 1))
    for wave in (np.zeros(100), np.zeros(0), np.array([0.1, np.nan])):
        with pytest.raises(InputError, match=r"can't be judged: (silent|NaN)"):
            dnsmos(wave.astype(np.float32))


@needs(Sphinx)
def test_pocketsphinx_does_not_remember_earlier_recordings() -> None:
    judge, other = Sphinx(), Sphinx()
    wave, before = speech(1.5), np.random.default_rng(1).normal(size=16_000).astype(np.float32)
    first = judge.transcribe(wave)
    other.transcribe(before)
    assert other.transcribe(wave) == first
    assert judge.transcribe(np.zeros(0, np.float32)) == ""
    assert judge.transcribe(np.zeros(16_000, np.float32)) == ""


@needs(Resemblyzer)
def test_resemblyzer_gives_a_voice_as_a_unit_vector() -> None:
    judge = Resemblyzer()
    vector = judge.embed(speech(2))
    assert vector is not None
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    quiet = 1e-4 * np.random.default_rng(0).normal(size=16_000)
    assert judge.embed(quiet.astype(np.float32)) is None
    assert judge.embed(np.zeros(16_000, np.float32)) is None


@pytest.mark.parametrize("judge", [Dnsmos, Sphinx, Resemblyzer])
def test_a_missing_package_is_named(judge: type[Outside], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"{judge.PACKAGES[0]}, which is not(.|\n)*pip install"):
        judge()
    note = judge.left_out("a", "b")
    assert note.startswith("left out: a, b: ")
    assert judge.missing() == judge.PACKAGES[0]
