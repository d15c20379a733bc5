import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.inversion.pitch import resampled

VOICED = np.float32([100, 200, 0, 0, 150, 300])


def test_the_same_step_changes_nothing() -> None:
    np.testing.assert_allclose(resampled(VOICED, 5, 5, 6), VOICED, rtol=1e-6)


def test_twice_as_many_frames_lie_between_on_a_log_scale() -> None:
    expected = [100, 100 * 2**0.5, 200, 0, 0, 0, 0, 150, 150, 150 * 2**0.5, 300, 300]
    np.testing.assert_allclose(resampled(VOICED, 10, 5, 12), expected, rtol=1e-5)


def test_half_as_many_frames_are_every_other() -> None:
    np.testing.assert_allclose(resampled(VOICED, 5, 10, 3), VOICED[::2], rtol=1e-6)


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(60, 400, width=32)), min_size=1, max_size=30),
    st.sampled_from([2.5, 5.0, 10.0, 12.5, 20.0]),
    st.integers(0, 80),
)
def test_nothing_leaves_the_range_and_voicing_is_kept(
    f0: list[float], new_step_ms: float, n_frames: int
) -> None:
    contour = np.float32(f0)
    new = resampled(contour, 10, new_step_ms, n_frames)
    assert new.shape == (n_frames,)
    assert new.dtype == np.float32
    voiced = contour[contour > 0]
    if len(voiced) == 0:
        assert not new.any()
    elif (new > 0).any():
        assert new[new > 0].min() >= voiced.min() * (1 - 1e-6)
        assert new.max() <= voiced.max() * (1 + 1e-6)
    if (contour > 0).all():
        assert (new > 0).all()


def test_a_straight_line_on_a_log_scale_stays_one() -> None:
    line = np.exp(np.linspace(4, 5, 21)).astype(np.float32)
    again = resampled(resampled(line, 10, 5, 41), 5, 10, 21)
    np.testing.assert_allclose(again, line, rtol=1e-5)


@pytest.mark.parametrize("f0", [[np.nan], [], [-1.0], [[100.0]]])
def test_what_is_no_contour_is_refused(f0: list[float]) -> None:
    with pytest.raises(InputError, match="F0"):
        resampled(np.float32(f0), 5, 10, 3)
