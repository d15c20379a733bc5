"""What a translator takes as its source, and how training augments it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile
from zerochain.translation.data import SourceKind
from zerochain.translation.task import SourceAugmentation, TranslationConfig, bands_masked

RNG = np.random.default_rng(0)
LOG_MEL = SpectralOptions(kind="log-mel", n_mels=20)


def features(extractor: str = "log-mel", **options: object) -> Features:
    arrays = {f"u{i}": 3 + 2 * RNG.standard_normal((80, 20)).astype(np.float32) for i in range(3)}
    chosen = {**LOG_MEL.model_dump(), **options}
    return Features.from_arrays(arrays, extractor=extractor, options=chosen)


UNITS = UnitFile({"u": np.array([1, 1, 2], np.int32)}, 5, 20.0, "a" * 64, "made")


def test_features_lose_each_utterance_s_mean_and_deviation() -> None:
    given = features()
    kind = SourceKind.of(given)
    prepared = kind.prepared(given["u0"], "u0")
    np.testing.assert_allclose(prepared.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(kind.prepared(5 * given["u0"] - 7, "u0"), prepared, atol=1e-4)


def test_units_lose_their_repeats() -> None:
    kind = SourceKind.of(UNITS)
    assert kind.prepared(np.array([1, 1, 0, 0, 0, 1]), "u").tolist() == [1, 0, 1]
    for wrong in ([], [5], [-1, 2]):
        with pytest.raises(InputError, match="outside 0 … 4"):
            kind.prepared(np.array(wrong, np.int32), "u")


def test_bad_frames_are_refused() -> None:
    kind, frames = SourceKind.of(features()), np.ones((5, 20), np.float32)
    broken = frames.copy()
    broken[3, 4] = np.nan
    for wrong, found in ((broken, "1 NaN"), (frames[:, :9], "not"), (frames[:0], "not")):
        with pytest.raises(InputError, match=found):
            kind.prepared(wrong, "u")


def test_another_kind_is_refused() -> None:
    given = features()
    kind = SourceKind.of(given)
    kind.check(given)
    kind.check(features(path="moved away"))
    for other in (features("mfcc"), features(window_ms=20.0), replace(given, step_ms=5.0), UNITS):
        with pytest.raises(InputError, match="but the translator takes log-mel"):
            kind.check(other)
    units = SourceKind.of(UNITS)
    units.check(UNITS)
    with pytest.raises(ModelMismatchError, match=r"bbbb.* but the translator takes .* aaaa"):
        units.check(replace(UNITS, model_id="b" * 64))


def test_silence_is_detected() -> None:
    kind, frames = SourceKind.of(features()), np.full((30, 20), -100, np.float32)
    assert kind.is_silent(frames)
    frames[3] += 1
    assert not kind.is_silent(frames)
    assert SourceKind.of(UNITS).is_silent(np.array([3, 3, 3]))
    assert not SourceKind.of(UNITS).is_silent(np.array([3, 3, 1]))


def augmentation(given: Features | UnitFile, **options: object) -> SourceAugmentation:
    nothing = {"warp": 0, "tilt_db": 0, "n_time_masks": 0, "n_band_masks": 0, "hidden_units": 0}
    config = TranslationConfig(**{**nothing, **options})
    frames = [] if isinstance(given, UnitFile) else [given[name] for name in given.ids]
    return SourceAugmentation.of(config, SourceKind.of(given), frames, "cpu")


def changed(augment: SourceAugmentation, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    lengths = torch.full((len(x),), x.shape[1])
    return augment(x, lengths, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("extractor", ["log-mel", "made elsewhere"])
def test_each_change_can_be_had_alone_or_not_at_all(extractor: str) -> None:
    given, x = features(extractor), torch.randn(4, 80, 20)
    torch.testing.assert_close(changed(augmentation(given), x), x)
    masks = changed(augmentation(given, n_time_masks=2, time_mask=15), x)
    assert ((masks != x).any(dim=2).sum(dim=1) <= 30).all()
    assert (masks != x).any()
    spectral = [{"warp": 0.1}, {"tilt_db": 3.0}, {"n_band_masks": 2}]
    for options in spectral:
        differs = bool((changed(augmentation(given, **options), x) != x).any())
        assert differs == (extractor == "log-mel")


def test_the_same_seed_changes_the_same() -> None:
    augment, x = (
        augmentation(features(), **TranslationConfig().model_dump()),
        torch.randn(4, 80, 20),
    )
    torch.testing.assert_close(changed(augment, x, 1), changed(augment, x, 1))
    assert not torch.allclose(changed(augment, x, 1), changed(augment, x, 2))


def test_units_are_hidden_as_often_as_asked() -> None:
    x = torch.randint(0, 5, (50, 200))
    hidden = changed(augmentation(UNITS, hidden_units=0.2), x)
    assert set(hidden[hidden != x].tolist()) == {5}
    assert (hidden == 5).float().mean() == pytest.approx(0.2, abs=0.02)


def test_masked_bands_lie_side_by_side() -> None:
    masked = bands_masked(torch.ones(200, 3, 20), 1, 6, torch.Generator().manual_seed(0)) == 0
    assert (masked.all(dim=1) == masked.any(dim=1)).all()
    bands = masked[:, 0].int()
    assert bands.sum(dim=1).max() == 6
    edges = torch.diff(bands, dim=1, prepend=torch.zeros(200, 1), append=torch.zeros(200, 1))
    assert (edges.clamp(min=0).sum(dim=1) <= 1).all()
    assert bands.any(dim=0).all()
    few = bands_masked(torch.ones(9, 3, 2), 1, 6, torch.Generator().manual_seed(0))
    assert few.shape == (9, 3, 2)
