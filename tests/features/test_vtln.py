from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from zerochain.errors import InputError
from zerochain.features.spectral import SpectralOptions
from zerochain.features.vtln import FACTORS, Reference, Vtln, in_other_voices, warp_matrix
from zerochain.formats.features import Features

OPTIONS = SpectralOptions(n_deltas=0)
TRACTS = {"ana": 1.1, "béa": 0.92, "cem": 1.0, "dia": 1.06, "eli": 0.94}


def spoken(tracts: dict[str, float], seed: int, n_utterances: int = 3) -> Features:
    """Vowels of a common set of formants, as vocal tracts of these factors shape them."""
    rng = np.random.default_rng(seed)
    vowels = np.random.default_rng(9).normal(0, 25, (80, 13)) / np.arange(1, 14) ** 0.5
    arrays, speakers = {}, {}
    for speaker, factor in tracts.items():
        back = np.linalg.pinv(warp_matrix(factor, OPTIONS))  # what the warp by `factor` undoes
        for i in range(n_utterances):
            said = np.repeat(vowels[rng.integers(0, 80, 150)], 4, axis=0)
            frames = said + rng.normal(0, 3, said.shape)
            name = f"{speaker}{i}"
            arrays[name], speakers[name] = (frames @ back).astype(np.float32), speaker
    return made(arrays, speakers)


def made(arrays: dict[str, np.ndarray], speakers: dict[str, str | None]) -> Features:
    options = OPTIONS.model_dump()
    features = Features.from_arrays(arrays, speakers=speakers, extractor="mfcc", options=options)
    return replace(features, corpus_id="c")


@pytest.fixture(scope="module")
def fitted() -> Vtln:
    return Vtln.fit(spoken(TRACTS, seed=0))


def relative(factors: dict[str, float]) -> dict[str, float]:
    """Factors over their geometric mean: only they can be known, as the reference may drift."""
    mean = np.exp(np.mean(np.log(list(factors.values()))))
    return {name: factor / mean for name, factor in factors.items()}


def test_the_factors_of_vocal_tracts_are_found(fitted: Vtln) -> None:
    found, true = relative(dict(fitted.factors)), relative(TRACTS)
    assert max(abs(found[name] - true[name]) for name in TRACTS) < 0.03


def test_speakers_never_met_are_warped_from_their_own_recordings(fitted: Vtln) -> None:
    later = replace(spoken({"new": 1.1, "ana": 0.9}, seed=5), corpus_id="another")
    covering = fitted.covering(later, pool=True)
    assert covering.factors["new"] == pytest.approx(fitted.factors["ana"], abs=0.021)
    assert covering.factors["ana"] == pytest.approx(fitted.factors["béa"], abs=0.041)
    same = fitted.covering(replace(later, corpus_id="c"), pool=True)
    assert same.factors == {**fitted.factors, "new": covering.factors["new"]}
    alone = fitted.covering(replace(later, corpus_id="c"))
    assert alone.factors == fitted.factors
    assert set(alone.own) == {name for name in later.ids if name.startswith("new")}
    one = later.restrict(["new1"])
    assert fitted.covering(one).own["new1"] == alone.own["new1"]


def test_an_utterance_of_an_unknown_speaker_is_warped_by_itself(fitted: Vtln) -> None:
    features = spoken({"ana": TRACTS["ana"]}, seed=6, n_utterances=1)
    covering = fitted.covering(replace(features, speakers={"ana0": None}))
    assert covering.factors == fitted.factors
    assert covering.own == {"ana0": pytest.approx(fitted.factors["ana"], abs=0.021)}
    expected = features["ana0"] @ warp_matrix(covering.own["ana0"], OPTIONS)
    np.testing.assert_array_equal(covering(features["ana0"], "ana0", None), expected)
    with pytest.raises(InputError, match="'ana0' of speaker None has no warp"):
        fitted(features["ana0"], "ana0", None)


def test_a_speaker_must_be_covered(fitted: Vtln) -> None:
    with pytest.raises(InputError, match="covering"):
        fitted(np.ones((3, 13), np.float32), "u", "unknown")


def test_a_view_warps_what_is_looked_at(fitted: Vtln) -> None:
    features = spoken(TRACTS, seed=0)
    view = fitted.view(features)
    assert view.ids == features.ids
    assert view.corpus_id == "c"
    for name in ("ana0", "béa2"):
        expected = features[name] @ warp_matrix(fitted.factors[name[:3]], OPTIONS)
        np.testing.assert_array_equal(view[name], expected)


def test_stored_and_read_again(fitted: Vtln) -> None:
    again = Vtln.from_tensors(OPTIONS.model_dump(), fitted.names, fitted.tensors(), "c")
    assert again.factors == fitted.factors
    frames = spoken(TRACTS, seed=3)["dia1"]
    np.testing.assert_array_equal(again(frames, "dia1", "dia"), fitted(frames, "dia1", "dia"))
    unknown = made({"u": frames}, {"u": None})
    assert again.covering(unknown).own == fitted.covering(unknown).own


@pytest.mark.parametrize("n_frames", [1, 7])
def test_where_nothing_can_be_told_nothing_is_warped(fitted: Vtln, n_frames: int) -> None:
    constant = np.full((n_frames, 13), 3, np.float32)
    constant[:, 1:] = 0  # a flat spectrum, the same under any warp
    assert fitted.covering(made({"u": constant}, {"u": None})).own == {"u": 1.0}
    alone = Vtln.fit(made({"u": constant}, {"u": "s"}))
    assert alone.factors == {"s": 1.0}


def test_the_log_likelihood_equals_scipys() -> None:
    rng = np.random.default_rng(0)
    weights, means = np.array([0.3, 0.7]), rng.normal(size=(2, 3))
    variances = rng.uniform(0.1, 2, (2, 3))
    frames = rng.normal(size=(50, 3)).astype(np.float32)
    densities = sum(
        w * multivariate_normal(m, np.diag(v)).pdf(frames)
        for w, m, v in zip(weights, means, variances, strict=True)
    )
    reference = Reference(*(a.astype(np.float32) for a in (weights, means, variances)))
    expected = np.log(densities).mean()
    assert reference.log_likelihood(frames) == pytest.approx(expected, abs=1e-4)


def test_factors_are_symmetric_around_1() -> None:
    assert FACTORS[0] == 1
    assert sorted(FACTORS) == pytest.approx([0.84 + 0.02 * i for i in range(17)])


@pytest.mark.parametrize(
    ("extractor", "options"),
    [("array", {}), ("ssl", {"layer": 3}), ("mfcc", {}), ("log-mel", OPTIONS.model_dump())],
)
def test_what_is_no_spectrum_is_refused(extractor: str, options: dict[str, object]) -> None:
    features = Features.from_arrays(
        {"u": np.ones((5, 7), np.float32)}, extractor=extractor, options=options
    )
    with pytest.raises(InputError, match="can't be warped") as caught:
        Vtln.fit(features)
    assert "features=mfcc or log-mel" in str(caught.value)


def test_other_voices_are_warped_and_have_other_names(fitted: Vtln) -> None:
    given = spoken({"ana": 1.1, "béa": 0.9}, seed=1)
    given = replace(given, speakers={**given.speakers, "ana0": None})
    others = in_other_voices(given, 1.2)
    for name in given.ids:
        np.testing.assert_array_equal(others[name], given[name] @ warp_matrix(1.2, OPTIONS))
    assert others.speakers["ana0"] is None
    assert not set(others.speakers.values()) & {"ana", "béa"}
    part = others.restrict(["béa1"])
    np.testing.assert_array_equal(part["béa1"], others["béa1"])
    # What is as long as it was is measured anew all the same: by each utterance alone.
    same = in_other_voices(given, 1)
    np.testing.assert_allclose(same["béa0"], given["béa0"], atol=1e-3)
    assert set(fitted.covering(same).own) == set(given.ids)


@pytest.mark.parametrize(
    ("kind", "factor", "said"), [("mfcc", 3.0, "is no speaker's"), ("f0", 1.1, "can't be warped")]
)
def test_voices_that_cannot_be_made(kind: str, factor: float, said: str) -> None:
    given = replace(spoken({"ana": 1.0}, seed=0), extractor=kind)
    with pytest.raises(InputError, match=said):
        in_other_voices(given, factor)
