from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zerochain.features.normalisation import (
    Moments,
    Normalisation,
    default_normalisation,
    normalised,
)
from zerochain.formats.features import Features


def features(speakers: dict[str, str | None], seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    arrays = {
        name: rng.normal(3 + 5 * i, 1 + i, (20 + i, 4)).astype(np.float32)
        for i, name in enumerate(speakers)
    }
    return Features.from_arrays(arrays, speakers=speakers)


SPEAKERS = {"u1": "ana", "u2": "ana", "u3": "béa", "u4": None}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 100))
def test_moments_of_blocks_are_moments_of_all(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(1000, 3, (n, 3)).astype(np.float32) for n in lengths]
    whole = np.concatenate(blocks).astype(np.float64)
    moments = Moments.of(blocks)
    np.testing.assert_allclose(moments.mean, whole.mean(axis=0), rtol=1e-6)
    if len(whole) > 1:
        np.testing.assert_allclose(moments.deviation, whole.std(axis=0), rtol=1e-3)


def test_each_kind_takes_its_moments_out() -> None:
    given_features = features(SPEAKERS)
    groups = {
        "corpus": [["u1", "u2", "u3", "u4"]],
        "speaker": [["u1", "u2"], ["u3"]],
        "utterance": [["u1"], ["u2"], ["u3"], ["u4"]],
    }
    for kind, parts in groups.items():
        done = normalised(given_features, kind)
        for ids in parts:
            frames = np.concatenate([done[i] for i in ids])
            np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
            np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-3)
    assert (normalised(given_features, "none").frames == given_features.frames).all()


def test_a_speaker_met_at_the_fit_keeps_the_moments_of_the_fit() -> None:
    fitted = Normalisation.fit("speaker", features({"u1": "ana"}, seed=1))
    more = features({"x": "ana", "y": "new", "z": "new"}, seed=2)
    for pool, names in ((True, {"ana", "new"}), (False, {"ana"})):
        later = fitted.covering(more, pool=pool)
        assert later.moments["ana"] is fitted.moments["ana"]
        assert set(later.moments) == names


def test_an_utterance_of_an_unknown_speaker_is_normalised_by_itself_or_pooled() -> None:
    fitted = Normalisation.fit("speaker", features({"u1": "ana"}, seed=1))
    more = features({"x": "new", "y": "new"}, seed=2)
    pooled = fitted.covering(more, pool=True)
    frames = np.concatenate([pooled(more[name], "new") for name in ("x", "y")])
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-3)
    x, typical = more["x"].astype(float), fitted.moments["ana"]
    share = len(x) / (len(x) + 50)  # half a second of an average speaker stands beside it
    mean = share * x.mean(axis=0) + (1 - share) * typical.mean
    variance = share * x.var(axis=0) + (1 - share) * typical.deviation.astype(float) ** 2
    alone = fitted.covering(replace(more, corpus_id="another"))
    for speaker in ("new", "ana", None):
        done = alone(more["x"], speaker)
        np.testing.assert_allclose(done, (x - mean) / np.sqrt(variance), atol=1e-4)
        np.testing.assert_array_equal(
            done, alone.covering(more.restrict(["x"]))(more["x"], speaker)
        )


def test_an_utterance_is_normalised_by_itself_where_no_speaker_is_known() -> None:
    done = normalised(features({"u1": None, "u2": None}), "speaker")
    np.testing.assert_allclose(done["u1"].mean(axis=0), 0, atol=1e-4)


def test_the_same_name_in_another_corpus_is_another_speaker() -> None:
    mine, theirs = features({"u1": "1"}, seed=1), features({"x": "1"}, seed=2)
    theirs = replace(theirs, corpus_id="another")
    done = Normalisation.fit("speaker", mine).covering(theirs, pool=True)(theirs["x"], "1")
    np.testing.assert_allclose(done.mean(axis=0), 0, atol=1e-4)


def test_constant_features_become_zero() -> None:
    constant = Features.from_arrays({"u": np.full((5, 2), 7, np.float32)})
    for kind in ("corpus", "utterance"):
        assert (normalised(constant, kind).frames == 0).all()


def test_stored_and_read_again() -> None:
    fitted = Normalisation.fit("speaker", features(SPEAKERS))
    again = Normalisation.from_tensors("speaker", fitted.names, fitted.tensors())
    frames = features(SPEAKERS)["u1"]
    np.testing.assert_array_equal(fitted(frames, "ana"), again(frames, "ana"))


def test_default_depends_on_whether_speakers_are_known() -> None:
    assert default_normalisation(features({"u1": "ana", "u2": "béa"})) == "speaker"
    assert default_normalisation(features(SPEAKERS)) == "utterance"
