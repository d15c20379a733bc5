import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.training.crops import like_lengths, padded


@given(st.lists(st.integers(1, 50)), st.integers(1, 120))
def test_everything_once_and_no_batch_too_large(lengths: list[int], n_frames: int) -> None:
    groups = list(like_lengths(lengths, n_frames))
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= n_frames


@pytest.mark.parametrize("writeable", [True, False])
def test_padding_is_zero_beyond_the_ends(writeable: bool) -> None:
    utterances = [np.full((n, 2), n, np.float32) for n in (3, 1, 5)]
    for frames in utterances:
        frames.flags.writeable = writeable  # as memory-mapped ones are not
    x, lengths = padded(utterances)
    assert lengths.tolist() == [3, 1, 5]
    for row, n in zip(x.numpy(), (3, 1, 5), strict=True):
        assert (row[:n] == n).all()
        assert (row[n:] == 0).all()
