from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, average
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.features.projection import stacked
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.features import Features


@given(st.integers(1, 40), st.sampled_from([1, 2, 3, 4, 8]), st.integers(0, 99))
def test_average_equals_a_loop(n_frames: int, stride: int, seed: int) -> None:
    frames = np.random.default_rng(seed).normal(size=(n_frames, 3)).astype(np.float32)
    expected = [frames[i : i + stride].mean(axis=0) for i in range(0, n_frames, stride)]
    np.testing.assert_allclose(average(frames, stride), expected, atol=1e-6)


def test_features_of_another_kind_are_refused() -> None:
    arrays = {"u": np.ones((5, 2), np.float32)}
    mine = Features.from_arrays(arrays, extractor="mfcc")
    theirs = Features.from_arrays(arrays, extractor="log-mel")
    with pytest.raises(InputError, match=r"log-mel.*mfcc"):
        FrontEnd.fit(mine, 1, FrontEndOptions()).covering(theirs)


SPECTRAL = SpectralOptions(n_deltas=1)
OPTIONS = {
    "norm=speaker": FrontEndOptions(context=0),
    "norm=none ±2→130": FrontEndOptions(normalisation="none", context=2),
    "norm=corpus ±0→7": FrontEndOptions(normalisation="corpus", components=7),
    "norm=utterance ±2→9": FrontEndOptions(normalisation="utterance", context=2, components=9),
    "warp norm=speaker": FrontEndOptions(warp=True, context=0),
    "norm=speaker attenuation=8": FrontEndOptions(context=0, speaker_attenuation=8),
    "warp norm=utterance ±1→5 attenuation=0.5": FrontEndOptions(
        normalisation="utterance", context=1, components=5, warp=True, speaker_attenuation=0.5
    ),
}


def cepstra(speakers: tuple[str | None, ...] = ("ana", "béa"), seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    own = {s: rng.normal(size=(26, 26)) / 9 + np.eye(26) for s in speakers}
    arrays, who = {}, {}
    for i, n_frames in enumerate((1, 30, 70, 51, 40, 64)):
        speaker = speakers[i % len(speakers)]
        frames = rng.normal(3, 5, (n_frames, 26)) @ own[speaker]
        arrays[f"u{i}"], who[f"u{i}"] = frames.astype(np.float32), speaker
    options = SPECTRAL.model_dump()
    features = Features.from_arrays(arrays, speakers=who, extractor="mfcc", options=options)
    return replace(features, corpus_id="c")


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("summary", OPTIONS)
def test_saved_and_loaded_prepares_the_same(tmp_path: Path, summary: str, stride: int) -> None:
    features = cepstra()
    model = KMeansUnits(4, stride, options=OPTIONS[summary]).fit(features)
    assert model.method == f"kmeans K=4 {stride}T mfcc {summary}"
    model.save(tmp_path / "km")
    again = load_unit_model(tmp_path / "km")
    assert again.id == model.id
    for other in (features, replace(cepstra(("ana", None, "cem"), seed=1), corpus_id="d")):
        expected = dict(model.latents(other))
        for name, latents in again.latents(other):
            assert latents.shape == (-(-len(other[name]) // stride), model.codebook.shape[1])
            np.testing.assert_array_equal(latents, expected[name])


def test_each_part_acts_in_its_turn() -> None:
    features = cepstra()
    options = OPTIONS["warp norm=utterance ±1→5 attenuation=0.5"]
    front_end = FrontEnd.fit(features, 4, options)
    warp, projection = front_end.vtln, front_end.projection
    assert warp is not None
    assert projection is not None
    warped = warp(features["u2"], "u2", "ana")
    moved = (warped - warped.mean(axis=0)) / warped.std(axis=0)
    frames = (stacked(moved, 1) - projection.mean) @ projection.matrix
    np.testing.assert_allclose(front_end(features, "u2"), average(frames, 4), atol=1e-4)


def test_context_is_stacked_before_the_stride() -> None:
    features = cepstra()
    options = FrontEndOptions(normalisation="none", context=3, components=6)
    fine, coarse = (FrontEnd.fit(features, stride, options) for stride in (1, 4))
    for name in features.ids:
        expected = average(fine(features, name), 4)
        np.testing.assert_allclose(coarse(features, name), expected, atol=1e-4)
        assert len(expected) == coarse.n_steps(len(features[name]))
    assert fine.dim(features.dim) == 6


def test_attenuation_needs_known_speakers() -> None:
    options = FrontEndOptions(speaker_attenuation=8)
    for speakers in (("ana",), ("ana", None)):
        with pytest.raises(InputError, match="speaker_attenuation=0"):
            FrontEnd.fit(cepstra(speakers), 1, options)


def test_k_means_takes_mfccs_with_context_unless_it_was_chosen() -> None:
    mfcc = cepstra()
    log_mel = replace(mfcc, extractor="log-mel")
    chosen = FrontEndOptions(warp=True).for_kmeans(mfcc)
    assert (chosen.context, chosen.components, chosen.warp) == (4, 40, True)
    for options in (FrontEndOptions(context=0), FrontEndOptions(components=3)):
        assert options.for_kmeans(mfcc) == options
    assert FrontEndOptions().for_kmeans(log_mel) == FrontEndOptions()
    assert FrontEnd.fit(mfcc, 1, FrontEndOptions()).projection is None
