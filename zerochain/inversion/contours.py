"""F0 contours between steps: checked, and resampled from one step to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.features.f0 import Contour


def check_contour(f0: Contour, name: str) -> None:
    """Raise InputError unless `f0` is Hz (T ≥ 1,), 0 where unvoiced.

    Args:
        name: of the utterance, for the error.
    """
    if f0.ndim != 1 or len(f0) == 0 or not np.isfinite(f0).all() or f0.min() < 0:
        raise InputError(
            f"the F0 of utterance {name!r} has shape {f0.shape}, and NaN, negative values or no "
            "frame",
            cause="it was not made by zerochain's tracker, which gives Hz, and 0 where unvoiced",
            remedy="track F0 again, and put 0 where a frame is unvoiced",
        )


def resampled(f0: Contour, step_ms: float, new_step_ms: float, n_frames: int) -> Contour:
    """F0 at another step: frame i of either contour is centred at i steps.

    A frame is voiced where the nearest of the old frames is. Between two voiced frames log F0 is
    linear; beside an unvoiced one the voiced frame's value holds, and so does the last frame's
    beyond the end.

    Args:
        f0: Hz (T ≥ 1,), 0 where unvoiced.
        step_ms, new_step_ms: the step that it has, and the one that it gets.
        n_frames: that the new contour has.

    Returns:
        Hz (n_frames,), 0 where unvoiced.
    """
    check_contour(f0, "given")
    place = np.minimum(np.arange(n_frames) * (new_step_ms / step_ms), len(f0) - 1)
    left = place.astype(np.int64)
    right = np.minimum(left + 1, len(f0) - 1)
    part = place - left
    nearest = f0[np.where(part < 0.5, left, right)]
    both = (f0[left] > 0) & (f0[right] > 0)
    between = np.exp((1 - part) * _log(f0[left]) + part * _log(f0[right]))
    return np.asarray(np.where(both, between, nearest), np.float32)


def _log(f0: Contour) -> NDArray[np.float64]:
    return np.asarray(np.log(np.where(f0 > 0, f0, 1).astype(np.float64)))
