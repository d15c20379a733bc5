import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import firwin, lfilter

from zerochain import audio
from zerochain.cli import main
from zerochain.errors import InputError
from zerochain.features.f0 import (
    F0Options,
    F0Statistics,
    band_pass,
    best_path,
    track_f0,
    uncompiled_best_path,
)
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import read_features

RATE = 16_000
Array = NDArray[np.float32]


def vowel(f0: NDArray[np.float64], formants: tuple[int, ...] = (600, 1300, 2500)) -> Array:
    """Pulses at F0 (n,) through formants."""
    phase = np.cumsum(f0) / RATE
    wave = np.diff(np.floor(phase), prepend=0.0)
    for formant in formants:
        pole = np.exp((-np.pi * 90 + 2j * np.pi * formant) / RATE)
        wave = lfilter([1.0], [1, -2 * pole.real, abs(pole) ** 2], wave)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def fricative(n: int, seed: int = 0) -> Array:
    noise = np.random.default_rng(seed).normal(0, 0.03, n)
    return np.diff(noise, prepend=0.0).astype(np.float32)


def speech() -> tuple[Array, NDArray[np.float64]]:
    """Vowels of rising and falling F0, frication and silence; F0 at every 5 ms, 0 unvoiced."""
    rise, fall = np.geomspace(90, 180, RATE // 2), np.geomspace(330, 210, RATE // 2)
    gap = np.zeros(RATE // 5)
    wave = np.concatenate([gap, vowel(rise), fricative(len(gap)), vowel(fall), gap])
    f0 = np.concatenate([gap, rise, gap, fall, gap])
    noise = np.random.default_rng(1).normal(0, 1e-4, len(wave))
    return (wave + noise).astype(np.float32), f0[::80]


def voicing_errors(found: Array, known: NDArray[np.float64]) -> float:
    return float(np.mean((found > 0) != (known > 0)))


def test_known_f0_and_voicing_are_found() -> None:
    wave, known = speech()
    found = track_f0(wave)
    assert found.shape == known.shape
    assert found.dtype == np.float32
    both = (found > 0) & (known > 0)
    assert voicing_errors(found, known) < 0.02
    assert np.abs(found[both] / known[both] - 1).max() < 0.04  # pulses lie on samples


@pytest.mark.parametrize("hz", [65, 100, 180, 300, 450])
@pytest.mark.parametrize("formants", [(300, 2300), (600, 1300, 2500), (850, 1200)])
def test_no_octave_errors(hz: int, formants: tuple[int, ...]) -> None:
    found = track_f0(vowel(np.full(8000, float(hz)), formants))
    assert np.all(found[5:-5] > 0)
    np.testing.assert_allclose(found[5:-5], hz, rtol=0.02)


def test_level_offset_clipping_and_hum_below_the_voice_change_little() -> None:
    wave, known = speech()
    plain = track_f0(wave)
    np.testing.assert_allclose(track_f0(wave * np.float32(1e-4)), plain, rtol=1e-3)
    hum = 0.02 * np.sin(2 * np.pi * 50 * np.arange(len(wave)) / RATE)
    for other in (wave + 0.4, np.clip(wave, -0.1, 0.1), wave + hum):
        found = track_f0(other.astype(np.float32))
        both = (found > 0) & (known > 0)
        assert voicing_errors(found, known) < 0.03
        assert np.abs(found[both] / known[both] - 1).max() < 0.05


def test_noise_at_20_db_changes_little() -> None:
    wave, known = speech()
    noise = np.random.default_rng(2).normal(0, 0.1 * wave[wave != 0].std(), len(wave))
    assert voicing_errors(track_f0((wave + noise).astype(np.float32)), known) < 0.03


def test_silence_noise_and_a_constant_are_unvoiced() -> None:
    n = 2 * RATE
    for wave in (np.zeros(n), np.full(n, 0.3), fricative(n), np.eye(1, n, n // 2)[0]):
        assert not track_f0(wave.astype(np.float32)).any()


@given(n=st.integers(1, 2000), step=st.sampled_from([5.0, 10.0, 12.5]), seed=st.integers(0, 99))
def test_any_length_gives_its_frames(n: int, step: float, seed: int) -> None:
    wave = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    found = track_f0(wave, F0Options(step_ms=step))
    assert len(found) == math.ceil(n / (step * 16))
    assert np.isfinite(found).all()
    assert np.all((found == 0) | ((found >= 60) & (found <= 500)))


def test_the_range_is_kept_even_a_narrow_high_one() -> None:
    wave = vowel(np.full(8000, 300.0))
    found = track_f0(wave, F0Options(low_hz=250, high_hz=400))
    np.testing.assert_allclose(found[5:-5], 300, rtol=0.02)
    lower = track_f0(vowel(np.full(8000, 120.0)), F0Options(low_hz=60, high_hz=100))
    assert lower.max() <= 100


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wave, _ = speech()
    whole = track_f0(wave)
    monkeypatch.setattr("zerochain.features.f0._BLOCK", 17)
    monkeypatch.setattr("zerochain.features.f0._FFT_SIZE", 1024)
    monkeypatch.setattr("zerochain.features.f0._BLOCKS", 3)
    np.testing.assert_allclose(track_f0(wave), whole, rtol=1e-4)


def test_frames_lie_where_they_are_said_to_lie() -> None:
    """Voicing that begins at 0.5 s begins in frame 100, whatever the step."""
    wave = np.concatenate([np.zeros(8000, np.float32), vowel(np.full(8000, 150.0))])
    for step in (2.5, 5.0, 10.0):
        onset = np.flatnonzero(track_f0(wave, F0Options(step_ms=step)))[0]
        assert onset * step == pytest.approx(500, abs=12)


def test_nan_and_nothing_are_errors() -> None:
    for wave in (np.array([0, np.nan]), np.zeros(0), np.zeros((2, 2))):
        with pytest.raises(InputError, match="no F0"):
            track_f0(wave.astype(np.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"low_hz": 300, "high_hz": 310}, "no range"), ({"step_ms": 5.03}, "nearest is 5")],
)
def test_impossible_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        F0Options(**options)  # type: ignore[arg-type]


def test_the_best_path_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        pitch = rng.uniform(6, 9, (4, 2)).astype(np.float32)
        strength = rng.uniform(0, 1, (4, 2)).astype(np.float32)
        unvoiced = rng.uniform(0, 1, 4).astype(np.float32)

        def value(path: tuple[int, ...], p=pitch, s=strength, u=unvoiced) -> float:  # type: ignore[no-untyped-def]
            total = sum(u[t] if k == 2 else s[t, k] for t, k in enumerate(path))
            for t in range(1, len(path)):
                a, b = path[t - 1], path[t]
                if (a == 2) != (b == 2):
                    total -= 0.3
                elif a != 2:
                    total -= 0.2 * abs(p[t - 1, a] - p[t, b])
            return float(total)

        best = max(np.ndindex(3, 3, 3, 3), key=value)
        expected = [np.nan if k == 2 else pitch[t, k] for t, k in enumerate(best)]
        np.testing.assert_array_equal(best_path(pitch, strength, unvoiced, 0.2, 0.3), expected)


@given(
    n_frames=st.integers(1, 40),
    n=st.integers(1, 8),
    costs=st.tuples(st.sampled_from([0.0, 0.25, 0.7]), st.sampled_from([0.0, 0.25, 0.3])),
    seed=st.integers(0, 999),
)
def test_the_best_path_is_the_same_uncompiled(
    n_frames: int, n: int, costs: tuple[float, float], seed: int
) -> None:
    """Of equal paths, of which there are many here, both take the same one."""
    rng = np.random.default_rng(seed)
    pitch = rng.choice([6, 6.5, 7, 7.123], (n_frames, n)).astype(np.float32)
    strength = rng.choice([-np.inf, 0, 0.25, 0.5], (n_frames, n)).astype(np.float32)
    unvoiced = rng.choice([0, 0.25, 0.5], n_frames).astype(np.float32)
    found = [path(pitch, strength, unvoiced, *costs) for path in (best_path, uncompiled_best_path)]
    np.testing.assert_array_equal(*found)


def test_the_band_pass_is_that_of_scipy() -> None:
    expected = firwin(641, (90, 1500), fs=RATE, pass_zero=False)
    np.testing.assert_allclose(band_pass(), expected, rtol=0, atol=1e-12)


def test_statistics_are_of_voiced_frames_of_all_contours() -> None:
    contours = [np.array([0, 100, 120], np.float32), np.array([0, 0, 200], np.float32)]
    logs = np.log([100, 120, 200])
    found = F0Statistics.of(contours)
    assert found.log_mean == pytest.approx(logs.mean())
    assert found.log_deviation == pytest.approx(logs.std())
    assert found.n_voiced == 3


def test_normalised_contours_come_back_and_unvoiced_is_0() -> None:
    f0 = np.array([0, 90, 100, 250, 0], np.float32)
    statistics = F0Statistics.of([f0])
    z = statistics.normalised(f0)
    assert z[f0 > 0].mean() == pytest.approx(0, abs=1e-6)
    assert z[f0 > 0].std() == pytest.approx(1, abs=1e-6)
    assert not z[f0 == 0].any()
    np.testing.assert_allclose(statistics.restored(z, f0 > 0), f0, rtol=1e-5)


def test_nothing_voiced_and_a_monotone_have_statistics_to_normalise_with() -> None:
    none = F0Statistics.of([np.zeros(9, np.float32)])
    assert none == F0Statistics.of([]) == F0Statistics(math.log(120), 0.2, 0)
    monotone = F0Statistics.of([np.full(50, 150, np.float32)])
    assert monotone.log_deviation == pytest.approx(0.01)
    assert np.abs(monotone.normalised(np.full(3, 150, np.float32))).max() < 1e-3


def test_a_corpus_s_f0_is_extracted(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus(n_utterances=3)
    folder = corpus.home
    out = str(tmp_path / "f0")
    result = CliRunner().invoke(main, ["extract", str(folder), "--features", "f0", "--out", out])
    assert result.exit_code == 0, result.output
    made = read_features(Path(out))
    assert (made.extractor, made.step_ms, made.dim) == ("f0", 5, 1)
    for utterance in corpus.utterances:
        wave = audio.read(corpus.audio_path(utterance))
        np.testing.assert_array_equal(made[utterance.id][:, 0], track_f0(wave))
    part = ["extract", str(folder), "--features", "f0", "--split", "test", "--out", f"{out}-test"]
    result = CliRunner().invoke(main, part)
    assert ": 1 utterance, " in result.output
    test = read_features(Path(f"{out}-test"))
    assert test.ids == corpus.select(split="test").ids
    assert test.corpus_id == made.corpus_id


def test_options_of_spectra_are_not_for_f0(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    arguments = ["extract", str(make_corpus().home), "--features", "f0", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, [*arguments, "--n-mels", "20"])
    assert result.exit_code == 2
    assert "--n-mels does not apply to --features f0" in result.output


def test_an_average_voice_of_a_real_corpus(real_corpora: Callable[[str], Path]) -> None:
    """One female speaker: nearly all of her F0 lies within an octave about its median."""
    recordings = sorted((real_corpora("luxembourgish-voice") / "wav").glob("*.flac"))[:8]
    f0 = np.concatenate([track_f0(audio.read(path)) for path in recordings])
    voiced = f0[f0 > 0]
    assert 0.4 < np.mean(f0 > 0) < 0.85
    assert np.mean(np.abs(np.log2(voiced / np.median(voiced))) < 0.5) > 0.9
