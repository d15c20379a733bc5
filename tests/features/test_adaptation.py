from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from zerochain.features.adaptation import Adaptation, AdaptationRule
from zerochain.features.fmllr import Target
from zerochain.formats.features import Features

TARGET = Target(
    np.log(np.float32([0.3, 0.7])), np.float32([[-2, 0], [2, 1]]), np.ones((2, 2), np.float32)
)
RULE = AdaptationRule(full_frames=30, prior_frames=10)
SPEAKERS = {"u1": "ana", "u2": "ana", "u3": "béa", "u4": None}


def speech(speakers: dict[str, str | None], seed: int = 0, corpus_id: str = "c") -> Features:
    rng = np.random.default_rng(seed)
    arrays = {
        name: rng.normal(1 + i, 1 + i, (20 + 10 * i, 2)).astype(np.float32)
        for i, name in enumerate(speakers)
    }
    return replace(Features.from_arrays(arrays, speakers=speakers), corpus_id=corpus_id)


def frames_of(features: Features) -> Callable[[str], np.ndarray]:
    return features.__getitem__


@pytest.fixture
def fitted() -> Adaptation:
    features = speech(SPEAKERS)
    return Adaptation.fit(TARGET, RULE, features, frames_of(features))


def test_known_speakers_keep_their_transform(fitted: Adaptation) -> None:
    assert fitted.names == ["ana", "béa"]
    features = speech(SPEAKERS)
    both = np.concatenate([features["u1"], features["u2"]])
    expected = fitted.estimate(both)
    assert expected.is_full
    np.testing.assert_allclose(fitted.transforms["ana"], expected.transform, rtol=1e-6)
    later = speech({"x": "ana", "y": "new"}, seed=5)
    covering = fitted.covering(later, frames_of(later), pool=False)
    moved = covering(later["x"], "ana", later["x"])
    transform = fitted.transforms["ana"]
    np.testing.assert_allclose(moved, later["x"] @ transform[:, :2].T + transform[:, 2], rtol=1e-6)


def test_an_unknown_speaker_is_adapted_by_the_utterance_or_pooled(fitted: Adaptation) -> None:
    later = speech({"x": "new", "y": "new", "z": "ana"}, seed=5, corpus_id="another")
    alone = fitted.covering(later, frames_of(later), pool=False)
    assert alone.names == []  # in another corpus ana may be somebody else
    transform = fitted.estimate(later["x"]).transform
    expected = later["x"] @ transform[:, :2].T + transform[:, 2]
    np.testing.assert_allclose(alone(later["x"], "new", later["x"]), expected, rtol=1e-5)
    pooled = fitted.covering(later, frames_of(later), pool=True)
    assert pooled.names == ["new", "ana"]
    expected = fitted.estimate(np.concatenate([later["x"], later["y"]])).transform
    np.testing.assert_allclose(pooled.transforms["new"], expected, rtol=1e-6)


def test_stored_and_read_again(fitted: Adaptation) -> None:
    for one in (fitted, replace(fitted, transforms={})):
        again = Adaptation.from_tensors(one.config(), one.tensors(), "c")
        again.check(2)
        x = speech(SPEAKERS)["u3"]
        np.testing.assert_array_equal(again(x, "béa", x), one(x, "béa", x))


def test_parts_that_do_not_fit_together_are_refused(fitted: Adaptation) -> None:
    with pytest.raises(ValueError, match="not of 3 dimensions"):
        fitted.check(3)
    with pytest.raises(ValueError, match="transforms"):
        replace(fitted, transforms={"ana": np.zeros((2, 2), np.float32)}).check(2)
    with pytest.raises(ValueError, match="variances"):
        replace(fitted, target=replace(TARGET, variances=-TARGET.variances)).check(2)
