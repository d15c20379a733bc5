from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.survival import mutual_information, surviving_bits
from zerochain.features.extraction import extracted
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile

Make = Callable[..., Corpus]


def entropy(units: np.ndarray) -> float:
    shares = np.unique(units, return_counts=True)[1] / len(units)
    return float(-(shares * np.log2(shares)).sum())


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 9999))
def test_it_is_scikit_learns_with_the_correction(k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(k, size=(2, n))
    cells = [len(set(x)) for x in (a.tolist(), b.tolist(), zip(a, b, strict=True))]
    correction = (cells[0] + cells[1] - cells[2] - 1) / (2 * n)
    expected = (mutual_info_score(a, b) + correction) / np.log(2)
    assert mutual_information(a, b, k) == pytest.approx(expected, abs=1e-9)
    assert mutual_information(b, a, k) == pytest.approx(expected, abs=1e-9)


def test_independent_sequences_share_nothing() -> None:
    """Without the correction chance alone would make bits of them."""
    pairs = np.random.default_rng(0).integers(16, size=(30, 2, 4000))
    corrected = np.mean([mutual_information(a, b, 16) for a, b in pairs])
    plain = np.mean([mutual_info_score(a, b) for a, b in pairs]) / np.log(2)
    assert plain > 0.03
    assert abs(corrected) < 0.002


def test_a_sequence_shares_all_with_itself_and_with_what_renames_it() -> None:
    a = np.random.default_rng(0).integers(8, size=20_000) ** 2 // 8
    assert mutual_information(a, a, 8) == pytest.approx(entropy(a), abs=1e-3)
    assert mutual_information(a, 7 - a, 8) == pytest.approx(mutual_information(a, a, 8))


def test_a_constant_sequence_shares_nothing() -> None:
    a = np.random.default_rng(0).integers(8, size=100)
    assert mutual_information(a, np.zeros_like(a), 8) == pytest.approx(0, abs=1e-12)


@pytest.fixture(params=["mfcc", "log-mel"])
def features(request: pytest.FixtureRequest, make_corpus: Make) -> Features:
    corpus = make_corpus(8)
    with extracted(corpus, SpectralOptions(kind=request.param), device="cpu", jobs=1) as given:
        return Features.from_arrays(
            {name: np.array(given[name]) for name in given.ids},
            speakers=given.speakers,
            extractor=given.extractor,
            options=given.options,
        )


def steps(units: UnitFile) -> np.ndarray:
    return np.concatenate([units.steps(name) for name in units.ids])


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize(
    "options", [FrontEndOptions(), FrontEndOptions(context=2, components=9, warp=True)]
)
def test_some_of_it_survives(features: Features, stride: int, options: FrontEndOptions) -> None:
    model = KMeansUnits(8, stride, options=options).fit(features)
    bits = surviving_bits(model, features, model, seed=0)
    assert bits is not None
    assert 0.2 < bits < entropy(steps(model.encode(features)))
    assert surviving_bits(model, features, model, seed=0) == bits
    assert surviving_bits(model, features, model, seed=1) != bits


def test_a_model_that_says_nothing_tells_nothing_of_a_reference(features: Features) -> None:
    reference, silent = KMeansUnits(8).fit(features), KMeansUnits(2, 4).fit(features)
    itself = surviving_bits(reference, features, reference, seed=0)
    coarse = surviving_bits(silent, features, reference, seed=0)
    assert itself is not None
    assert coarse is not None
    assert 0 < coarse < min(1, itself)  # two units say a bit at most
    assert silent.codebook is not None
    silent.codebook = silent.codebook * 0 + np.array([[0], [1e3]], np.float32)
    assert surviving_bits(silent, features, reference, seed=0) == pytest.approx(0, abs=1e-9)


def test_units_that_carry_nothing_have_none(features: Features) -> None:
    model = KMeansUnits(4).fit(features)
    assert model.codebook is not None
    model.codebook = np.concatenate([model.codebook[:1] * 0, model.codebook[1:] * 0 + 1e3])
    assert set(steps(model.encode(features))) == {0}
    assert surviving_bits(model, features, model, seed=0) == 0


def test_models_of_other_front_ends_hear_the_same_voices(
    features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a teacher and its pupil could not be compared."""
    from zerochain.features import augmentation

    chosen: list[list[int]] = []
    original = augmentation.warped

    def spying(x, warps, generator):  # type: ignore[no-untyped-def]
        state = generator.get_state()
        y = original(x, warps, generator)
        generator.set_state(state)
        chosen[-1].append(int(augmentation.torch.randint(len(warps), (1,), generator=generator)))
        return y

    monkeypatch.setattr(augmentation, "warped", spying)
    for options in (FrontEndOptions(), FrontEndOptions(context=1, components=5)):
        chosen.append([])
        model = KMeansUnits(4, options=options).fit(features)
        surviving_bits(model, features, model, seed=3)
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) > 1


def test_of_other_features_it_is_unknown() -> None:
    rng = np.random.default_rng(0)
    arrays = {f"u{i}": rng.normal(size=(50, 5)).astype(np.float32) for i in range(3)}
    features = Features.from_arrays(arrays, extractor="ssl")
    model = KMeansUnits(4).fit(features)
    assert surviving_bits(model, features, model, seed=0) is None
