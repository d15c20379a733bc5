import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.features import augmentation
from zerochain.features.augmentation import (
    Augmentation,
    AugmentationOptions,
    masked,
    noisy,
    tilted,
    warped,
)
from zerochain.features.spectral import SpectralExtractor, SpectralOptions

MFCC, LOG_MEL = SpectralOptions(), SpectralOptions(kind="log-mel")
NOTHING = AugmentationOptions(warp=0, tilt_db=0, noise=0, n_masks=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(kind: SpectralOptions, deviation: np.ndarray | None = None, **options) -> Augmentation:
    chosen = AugmentationOptions(**{**NOTHING.model_dump(), **options})
    return Augmentation.of(chosen, kind.kind, kind.model_dump(), deviation)


def vowel(stretch: float) -> np.ndarray:
    """Noise in bands around three formants, all `stretch` times as high."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(32_000))
    hertz = np.fft.rfftfreq(32_000, 1 / 16_000)
    formants = stretch * np.array([600.0, 1400.0, 2600.0])
    gain = sum(np.exp(-(((hertz - f) / (0.15 * f)) ** 2)) for f in formants) + 0.01
    return (np.fft.irfft(spectrum * gain) / 20).astype(np.float32)


@pytest.mark.parametrize("kind", [MFCC, LOG_MEL])
def test_a_warp_moves_formants_as_another_speaker_does(kind: SpectralOptions) -> None:
    low, high = (SpectralExtractor(kind)([vowel(s)])[0].mean(axis=0) for s in (1.0, 1.15))
    warps = make(kind, warp=0.15).warps.numpy()
    away = [np.linalg.norm((low @ warp - high)[1:13]) for warp in warps]
    before = np.linalg.norm((low - high)[1:13])
    assert np.argmin(away) < 8  # of 33, of which the first reads at f / 1.15
    assert min(away) < 0.4 * before
    assert away[-1] > before  # the other way is worse than nothing


@pytest.mark.parametrize("kind", [MFCC, LOG_MEL])
@pytest.mark.parametrize("normalised", [False, True])
def test_nothing_changes_nothing(kind: SpectralOptions, normalised: bool) -> None:
    deviation = np.linspace(1, 9, kind.dim).astype(np.float32) if normalised else None
    x, lengths = torch.randn(3, 20, kind.dim), torch.tensor([20, 20, 20])
    y = make(kind, deviation)(x, lengths, generator())
    torch.testing.assert_close(y, x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [MFCC, LOG_MEL])
def test_normalised_features_are_warped_as_they_would_be_before(kind: SpectralOptions) -> None:
    deviation = np.linspace(1, 9, kind.dim).astype(np.float32)
    scale = torch.from_numpy(deviation)
    x, lengths = 10 * torch.randn(3, 20, kind.dim), torch.tensor([20, 20, 20])
    options = {"warp": 0.2, "tilt_db": 5.0}
    plain = make(kind, **options)(x, lengths, generator(7))
    scaled = make(kind, deviation, **options)(x / scale, lengths, generator(7))
    torch.testing.assert_close(scaled * scale, plain, atol=1e-3, rtol=1e-4)


def test_projected_frames_are_warped_as_they_would_be_before() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3 * 39, 3 * 39)).astype(np.float32)
    x = torch.randn(2, 9, 39)
    plain = make(MFCC, warp=0.2, tilt_db=2.0)
    after = plain.through(matrix)
    stacked = torch.cat([x.roll(1, 1), x, x.roll(-1, 1)], dim=2)
    changed = (x @ plain.warps[4]) + plain.offsets[1]
    expected = torch.cat([changed.roll(1, 1), changed, changed.roll(-1, 1)], dim=2)
    got = stacked @ torch.from_numpy(matrix) @ after.warps[4] + after.offsets[1]
    torch.testing.assert_close(got, expected @ torch.from_numpy(matrix), atol=0.02, rtol=1e-3)
    assert plain.through(matrix[:, :5]).warps.shape == (33, 5, 5)


def test_a_gain_is_the_same_in_every_band_and_leaves_derivatives() -> None:
    log_mel, mfcc = make(LOG_MEL, tilt_db=1).offsets, make(MFCC, tilt_db=1).offsets
    torch.testing.assert_close(log_mel[0], torch.ones(80))
    assert log_mel[1, -1] - log_mel[1, 0] == pytest.approx(1)
    assert mfcc[0, 0] == pytest.approx(np.sqrt(80), rel=1e-5)
    assert mfcc[0, 1:].abs().max() < 1e-5
    assert not mfcc[:, 13:].any()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(0, 3), st.integers(0, 99))
def test_masks_stay_inside_and_short(sizes: list[int], n_masks: int, seed: int) -> None:
    lengths = torch.tensor(sizes)
    x = torch.randn(len(sizes), 60, 4, generator=generator(seed))
    y = masked(x, lengths, n_masks, 7, generator(seed))
    changed = (y != x).any(dim=2)
    assert not (changed & (torch.arange(60) >= lengths[:, None])).any()
    assert (changed.sum(dim=1) <= 7 * n_masks).all()
    assert not changed[lengths < 14].any()


def test_masks_are_made_at_any_place() -> None:
    x = torch.randn(2000, 20, 2)
    changed = (masked(x, torch.full((2000,), 20), 1, 5, generator()) != x).any(dim=2)
    assert (changed.float().mean(dim=0) > 0.02).all()
    assert changed.sum(dim=1).unique().tolist() == [0, 1, 2, 3, 4, 5]


def test_every_segment_gets_its_own() -> None:
    x = torch.ones(4, 10, 3)
    offsets = torch.eye(3)
    for y in (
        tilted(x, offsets, generator()),
        noisy(x, 0.5, generator()),
        warped(x, torch.randn(50, 3, 3), generator()),
    ):
        assert len({tuple(row.flatten().tolist()) for row in y}) == 4
    y = tilted(x, offsets, generator())
    assert (y == y[:, :1]).all()  # and keeps it from its first frame to its last


def test_the_seed_decides_and_padding_stays_zero() -> None:
    augment = make(MFCC, warp=0.1, tilt_db=3, noise=0.2, n_masks=2)
    x, lengths = torch.randn(4, 30, 39), torch.tensor([30, 12, 1, 29])
    x *= (torch.arange(30) < lengths[:, None])[..., None]
    one, same, other = (augment(x, lengths, generator(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(one, same)
    assert (one - other).abs().max() > 0.1
    for row, length in zip(one, lengths, strict=True):
        assert not row[length:].any()
        assert row[:length].any()


def test_other_features_are_refused() -> None:
    with pytest.raises(InputError, match="'ssl' can't be warped"):
        Augmentation.of(AugmentationOptions(), "ssl", {})


@pytest.mark.parametrize(("fraction", "span"), [(0.3, 10), (0.65, 4), (0.5, 1)])
def test_spans_cover_their_fraction_at_every_frame(fraction: float, span: int) -> None:
    lengths = torch.full((4000,), 40)
    generator = torch.Generator().manual_seed(0)
    inside = augmentation.spans(45, lengths, fraction, span, generator)
    assert inside.shape == (4000, 45)
    assert not inside[:, 40:].any()
    torch.testing.assert_close(
        inside[:, :40].float().mean(dim=0), torch.full((40,), fraction), atol=0.04, rtol=0
    )
    for row in inside[:50, :40].int().tolist():
        runs = "".join(map(str, row)).strip("1").split("0")  # runs at the edges may be cut
        assert all(len(run) >= span for run in runs if run)


def test_short_utterances_have_no_spans() -> None:
    lengths = torch.tensor([1, 19, 200])
    inside = augmentation.spans(200, lengths, 0.5, 10, torch.Generator().manual_seed(1))
    assert inside.any(dim=1).tolist() == [False, False, True]
