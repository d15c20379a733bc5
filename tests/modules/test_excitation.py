import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from zerochain.modules.source_filter import Start, at, excite, starts, white_noise

HOP = 160


def steady(hz: float, n_frames: int = 100) -> torch.Tensor:
    return torch.full((1, n_frames), hz)


def level_db(wave: np.ndarray) -> np.ndarray:
    spectrum = np.abs(np.fft.rfft(wave * np.blackman(len(wave))))
    return 20 * np.log10(spectrum / spectrum.max() + 1e-12)


@pytest.mark.parametrize("hz", [55.0, 123.4, 250.0, 441.0])
def test_all_harmonics_below_nyquist_and_nothing_else(hz: float) -> None:
    wave = excite(steady(hz, 101), HOP).harmonic[0, :16000].double().numpy()
    level = level_db(wave)
    peaks, _ = find_peaks(level, height=-6)
    expected = hz * np.arange(1, len(peaks) + 1)
    np.testing.assert_allclose(peaks, expected, atol=1)  # bins of 1 Hz
    assert 8000 - 2 * hz < peaks[-1] < 8000
    far = np.ones(len(level), bool)
    for peak in hz * np.arange(0, 8000 / hz + 1):
        far[max(0, round(peak) - 4) : round(peak) + 5] = False
    assert level[far].max() < -60


def test_equals_the_sum_of_cosines_while_f0_glides() -> None:
    f0 = torch.linspace(90, 310, 40)[None]
    made = excite(f0, HOP).harmonic[0, : 39 * HOP].double().numpy()
    pitch = np.interp(np.arange(39 * HOP) / HOP, np.arange(40), f0[0].double().numpy())
    phase = 2 * np.pi * np.concatenate([[0], np.cumsum((pitch[1:] + pitch[:-1]) / 2)]) / 16000
    x = 8000 / pitch
    weights = np.clip(x - np.arange(1, 100)[:, None], 0, 1)
    slow = (weights * np.cos(np.arange(1, 100)[:, None] * phase)).sum(axis=0) * np.sqrt(2 / x)
    np.testing.assert_allclose(made, slow, atol=2e-3)


@pytest.mark.parametrize("hz", [70.0, 130.0, 370.0])
def test_both_have_unit_power(hz: float) -> None:
    made = excite(steady(hz, 301), HOP)
    assert made.harmonic[:, : 300 * HOP].square().mean().item() == pytest.approx(
        1, rel=1.5 * hz / 8000
    )
    assert made.noise.square().mean().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("hz", [3000.0, 7999.0, 8000.0, 20000.0])
def test_no_alias_however_high_the_pitch(hz: float) -> None:
    wave = excite(steady(hz, 101), HOP).harmonic[0, :16000].double().numpy()
    assert np.isfinite(wave).all()
    loud = np.flatnonzero(np.abs(np.fft.rfft(wave * np.blackman(len(wave)))) > 1)
    wanted = hz * np.arange(1, int(8000 / hz) + 1)
    assert all(np.abs(wanted - f).min() < 5 for f in loud)


def test_silent_where_unvoiced_with_short_fades() -> None:
    f0 = steady(200, 30)
    f0[:, :5] = 0
    f0[:, 15:25] = 0
    wave = excite(f0, HOP).harmonic[0].view(30, HOP)
    for quiet in (slice(0, 4), slice(15, 24)):
        assert not wave[quiet].any()
    assert wave[4].abs().max() > 1
    assert wave[29, -80:].abs().max() < 0.6 * wave[28].abs().max()  # the end fades as well
    assert not excite(torch.zeros(2, 9), HOP).harmonic.any()


def test_jumps_of_pitch_and_voicing_make_no_clicks() -> None:
    f0 = torch.tensor([[0.0, 100, 100, 101, 300, 300, 0, 0, 150, 0]])
    made, smooth = excite(f0, HOP).harmonic, excite(steady(100, 10), HOP).harmonic
    assert made.diff().abs().max() < 1.1 * smooth.diff().abs().max()


@settings(deadline=None)  # torch's first call takes seconds
@given(
    pitches=st.lists(st.sampled_from([0.0, 80.0, 200.0, 333.3]), min_size=2, max_size=12),
    cut=st.integers(1, 11),
    hop=st.sampled_from([80, 160, 147]),
)
def test_chunks_are_the_whole(pitches: list[float], cut: int, hop: int) -> None:
    f0 = torch.tensor([pitches, pitches[::-1]])
    cut = min(cut, f0.shape[1] - 1)
    whole = excite(f0, hop)
    begin = starts(f0, hop)
    # a chunk can't know what follows its last frame
    left = excite(f0[:, : cut + 1], hop, at(begin, 0))
    right = excite(f0[:, cut:], hop, at(begin, cut))
    for a, b, c in zip(whole, left, right, strict=True):
        torch.testing.assert_close(b[:, : cut * hop], a[:, : cut * hop])
        torch.testing.assert_close(c, a[:, cut * hop :], atol=1e-4, rtol=1e-4)


def test_phase_is_exact_after_an_hour() -> None:
    f0 = steady(123.456, 360_000)
    late = at(starts(f0, HOP), 359_900)
    made = excite(f0[:, -100:], HOP, late).harmonic
    cycles = 359_900 * HOP * float(f0[0, 0].double()) / 16000
    fresh = Start(torch.tensor([cycles % 1], dtype=torch.float64), late.noise)
    torch.testing.assert_close(made, excite(f0[:, -100:], HOP, fresh).harmonic, atol=1e-3, rtol=0)


def test_noise_is_white_and_its_seed_chooses_it() -> None:
    f0 = torch.zeros(1, 1000)
    noise = [excite(f0, HOP, at(starts(f0, HOP, seed), 0)).noise[0].double() for seed in (0, 0, 1)]
    torch.testing.assert_close(noise[0], noise[1])
    n = len(noise[0])
    bound = 5 / n**0.5
    assert abs(noise[0].mean()) < bound
    assert abs((noise[0] * noise[2]).mean()) < bound
    for lag in (1, 2, 3, 16, HOP, 1024):
        assert abs((noise[0][lag:] * noise[0][:-lag]).mean()) < bound
    power = noise[0].view(-1, 1000).numpy()
    mean = (np.abs(np.fft.rfft(power)) ** 2).mean(axis=0)[1:-1] / 1000
    assert 0.6 < mean.min() < mean.max() < 1.5


def test_training_segments_have_noise_of_their_own() -> None:
    start = Start.random(3, seed=5)
    noise = excite(torch.zeros(3, 20), HOP, start).noise
    assert abs(torch.corrcoef(noise) - torch.eye(3)).max() < 0.1
    assert torch.equal(start.noise, Start.random(3, seed=5).noise)
    assert not torch.equal(start.noise, Start.random(3, seed=6).noise)


def test_places_of_noise_wrap_without_harm() -> None:
    edge = torch.tensor([2**63 - 1, -(2**63), 0, -1])
    assert white_noise(edge).abs().max() <= 3**0.5
    assert len(set(white_noise(edge).tolist())) == 4
