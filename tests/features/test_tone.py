import numpy as np
import pytest

from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.features.extraction import extracted_from, options_of
from zerochain.features.normalisation import Normalisation, n_tone, normalised
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.features.tone import ToneOptions, tone_height, tone_stream
from zerochain.formats.features import Features

LOCAL = ToneOptions(weight=1)
LINE = ToneOptions(weight=1, reference="declination")
ALL = ToneOptions(weight=2, slope_weight=0.5, voicing_weight=3)


def steps(n=300, pause=()):
    """Syllables of 200 ms, high and low in turn, four semitones apart about 120 Hz."""
    high = np.arange(n) // 20 % 2 == 0
    f0 = (120 * 2 ** (np.where(high, 2, -2) / 12)).astype(np.float32)
    for start in pause:
        f0[start : start + 5] = 0
    return f0, high


@pytest.mark.parametrize("options", [LOCAL, LINE])
def test_high_is_above_low_whatever_the_level_and_declination(options):
    f0, high = steps(pause=(17, 77, 130))
    height = tone_height(f0, options)
    middle = np.arange(300) % 20 // 5 % 3 != 0  # where smoothing sees one syllable
    assert height[high & middle].min() > height[~high & middle].max() + 0.6
    np.testing.assert_allclose(tone_height(2 * f0, options), height, atol=1e-5)
    declining = (f0 * 2 ** (-np.arange(300) / 300 / 2)).astype(np.float32)
    inner = slice(60, 240)
    # The line's offset is a median: between two levels it may be at either.
    change = (tone_height(declining, options) - height)[inner]
    np.testing.assert_allclose(change - change.mean(), 0, atol=0.25)


def test_smoothing_is_the_mean_of_voiced_frames_by_a_plain_loop():
    f0, _ = steps(80, pause=(17, 40))
    at = np.flatnonzero(f0)
    x = np.interp(np.arange(80), at, 12 * np.log2(f0[at]))

    def mean(t, deviation):
        frames = np.arange(t - round(4 * deviation), t + round(4 * deviation) + 1)
        inside = frames % 160  # edges are mirrored
        inside = np.where(inside >= 80, 159 - inside, inside)
        w = np.exp(-0.5 * ((frames - t) / deviation) ** 2) * np.where(f0[inside] > 0, 1, 1e-3)
        return np.sum(w * x[inside]) / np.sum(w)

    expected = [mean(t, 3) - mean(t, 25) for t in range(80)]
    np.testing.assert_allclose(tone_height(f0, LOCAL), expected, atol=1e-4)


def test_slope_of_a_ramp_is_its_slope():
    f0 = (100 * 2 ** (np.arange(200) * 0.05 / 12)).astype(np.float32)
    options = ToneOptions(weight=1, surround_ms=10_000, slope_weight=1, vowels=False)
    height, slope = tone_stream(f0, options).T
    inner = np.gradient(height)[40:160] * 10
    np.testing.assert_allclose(slope[40:160], inner, atol=0.02)


def test_alone_frames_are_angles_of_the_height(waves):
    f0, high = steps(pause=(17, 77, 130))
    alone = ToneOptions(kind="tone", vowels=False)
    frames = tone_stream(f0, alone)
    angles = np.arctan2(frames[:, 1], frames[:, 0])
    expected = np.pi / 2 * np.tanh(1.5 * tone_height(f0, alone))
    np.testing.assert_allclose(angles, expected, atol=1e-5)
    middle = np.arange(300) % 20 // 5 % 3 != 0
    assert angles[high & middle].min() > 0.5
    assert angles[~high & middle].max() < -0.5

    features = extracted_from(waves, ToneOptions(kind="tone"))
    assert (features.dim, features.extractor) == (2, "tone")
    beside = extracted_from(waves, ToneOptions())
    for name in features.ids:
        assert len(features[name]) == len(beside[name])
        np.testing.assert_allclose(np.linalg.norm(features[name], axis=1), 1, atol=1e-6)
    assert options_of("tone", features.options, None) == ToneOptions(kind="tone")
    model = KMeansUnits(2).fit(features)
    np.testing.assert_array_equal(next(model.latents(features))[1], features[features.ids[0]])


@pytest.mark.parametrize("options", [LOCAL, LINE, ALL])
@pytest.mark.parametrize("voiced", [0, 1, 2, 3, 5, 300])
def test_constant_or_hardly_voiced_is_neither_high_nor_low(options, voiced):
    f0 = np.zeros(300, np.float32)
    f0[:voiced] = 173.3
    stream = tone_stream(f0, options)
    np.testing.assert_allclose(stream[:, : 1 + (options.slope_weight > 0)], 0, atol=1e-9)
    if options is ALL:
        np.testing.assert_array_equal(stream[:, 2], 3.0 * (f0 > 0))


def test_tone_counts_in_loud_voiced_frames():
    f0, _ = steps(pause=(40, 100))
    even = tone_stream(f0, ToneOptions(vowels=False))[:, 0]
    level = np.where(np.arange(300) < 150, 10, -10).astype(np.float32)
    share = tone_stream(f0, ToneOptions(), level)[:, 0] / even
    assert ((share > 0) & (share < 1)).all()
    assert share[20] > 0.9 > 0.1 > share[250]
    assert share[42] < 0.5 * share[20]
    flat = tone_stream(f0, ToneOptions(), np.zeros(300, np.float32))[:, 0]
    np.testing.assert_allclose(flat, tone_stream(f0, ToneOptions())[:, 0] / 2, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, -1, np.inf])
def test_bad_contours_are_refused(bad):
    with pytest.raises(InputError, match="F0 contour"):
        tone_stream(np.array([100, bad, 100], np.float32), LOCAL)


@pytest.mark.parametrize(
    "bad", [{"spectral": {"kind": "log-mel"}}, {"surround_ms": 20}, {"weight": 0}, {"weight": 1e9}]
)
def test_options_that_make_no_sense_are_refused(bad):
    with pytest.raises(InputError):
        ToneOptions(**bad)


@pytest.fixture(scope="module")
def waves():
    """Three seconds of one speaker: a voice, noise, silence; and 5 ms."""
    rng = np.random.default_rng(0)
    phase = np.cumsum(2 * np.pi * (120 + 25 * np.sin(np.arange(48_000) / 3000)) / 16_000)
    voice = sum(np.sin(k * phase) / k for k in range(1, 12)).astype(np.float32) * 0.1
    noise = rng.normal(0, 0.05, 48_000).astype(np.float32)
    return {"v": voice, "n": noise, "s": np.zeros(48_000, np.float32), "x": noise[:80]}


def test_frames_are_the_mfccs_with_tone_behind_them(waves):
    made = extracted_from(waves, ALL)
    assert made.dim == ALL.dim == 42
    for name, frames in zip(
        waves, SpectralExtractor(SpectralOptions())([*waves.values()]), strict=True
    ):
        np.testing.assert_allclose(made[name][:, :39], frames, atol=1e-3)
    assert np.isfinite(made.frames).all()
    assert np.abs(made["v"][:, 39]).max() > 0.5
    assert not made["s"][:, 39:].any()
    assert options_of(made.extractor, made.options, None) == ALL


@pytest.mark.parametrize("kind", ["corpus", "speaker", "utterance"])
def test_normalisation_leaves_the_weight_alone(waves, kind):
    made = extracted_from(waves, ALL, speakers=dict.fromkeys(waves, "one"))
    assert n_tone(made.extractor, made.options) == 3
    done = normalised(made, kind)
    np.testing.assert_array_equal(done.frames[:, 39:], made.frames[:, 39:])
    plain = Features.from_arrays(
        {name: made[name][:, :39] for name in made.ids}, speakers=made.speakers
    )
    np.testing.assert_array_equal(done.frames[:, :39], normalised(plain, kind).frames)
    fitted = Normalisation.fit(kind, made)
    again = Normalisation.from_tensors(kind, fitted.names, fitted.tensors(), "", 3)
    np.testing.assert_array_equal(again(made["v"], "one"), done["v"])


def test_units_are_the_same_after_a_round_trip_and_other_weights_are_refused(waves, tmp_path):
    made = extracted_from(waves, ALL)
    model = KMeansUnits(4, 1).fit(made)
    model.save(tmp_path / "km")
    again = load_unit_model(tmp_path / "km")
    for name in made.ids:
        np.testing.assert_array_equal(
            again.encode(made).steps(name), model.encode(made).steps(name)
        )
    with pytest.raises(InputError, match="other options"):
        model.encode(extracted_from(waves, LOCAL))


def test_augmentation_changes_the_spectrum_and_not_the_tone():
    with_tone = Augmentation.of(AugmentationOptions(), "mfcc+tone", ALL.model_dump())
    alone = Augmentation.of(AugmentationOptions(), "mfcc", SpectralOptions().model_dump())
    np.testing.assert_allclose(with_tone.warps[:, :39, :39], alone.warps, atol=1e-6)
    np.testing.assert_array_equal(with_tone.warps[:, 39:, 39:], np.tile(np.eye(3), (33, 1, 1)))
    assert not with_tone.warps[:, 39:, :39].any()
    assert not with_tone.offsets[:, 39:].any()
