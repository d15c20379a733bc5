import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, average
from zerochain.errors import InputError
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
