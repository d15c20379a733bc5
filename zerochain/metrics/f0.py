"""How near one F0 contour is to another: pitch, voicing, and both.

Contours are Hz, 0 where unvoiced, (T,) each, on the same frames. Nakatani et al. 2008 (voicing
decision and gross pitch errors), Chu & Alwan 2009 (F0 frame error).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError

_GROSS = 0.2
_FEWEST = 10  # frames: a correlation of fewer is chance
Contour = NDArray[np.float32]


def log_f0_rmse(reference: Contour, other: Contour) -> float | None:
    """Root mean square of the log F0 difference in cents (1200 an octave), frames voiced in both.

    The natural logarithm's, as others report it, is this times ln 2 / 1200.

    Returns:
        None where no frame is voiced in both.

    Raises:
        InputError: unequal lengths, or none, or values that are no F0; as the others here.
    """
    a, b = _voiced_in_both(reference, other)
    if len(a) == 0:
        return None
    return float(1200 * np.sqrt(np.mean((np.log2(b) - np.log2(a)) ** 2)))


def voicing_decision_error(reference: Contour, other: Contour) -> float:
    """Percentage of frames that are voiced in one and unvoiced in the other."""
    _check(reference, other)
    return float(100 * np.mean((reference > 0) != (other > 0)))


def f0_frame_error(reference: Contour, other: Contour) -> float:
    """Percentage of frames whose voicing differs, or whose F0 is more than 20 % off."""
    _check(reference, other)
    a, b = reference.astype(np.float64), other.astype(np.float64)
    wrong = (a > 0) != (b > 0)
    return float(100 * np.mean(wrong | (np.abs(b - a) > _GROSS * a)))


def f0_correlation(reference: Contour, other: Contour) -> float | None:
    """Pearson correlation of log F0 over the frames voiced in both.

    Means and deviations cancel: contours normalised by their speakers' statistics give the same,
    so that voices of different pitch compare.

    Returns:
        None where fewer than 10 frames are voiced in both, or F0 doesn't move.
    """
    a, b = map(np.log2, _voiced_in_both(reference, other))
    if len(a) < _FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _voiced_in_both(
    reference: Contour, other: Contour
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    _check(reference, other)
    both = (reference > 0) & (other > 0)
    return reference[both].astype(np.float64), other[both].astype(np.float64)


def _check(reference: Contour, other: Contour) -> None:
    if reference.shape != other.shape or reference.ndim != 1 or len(reference) == 0:
        raise InputError(
            f"F0 contours of shapes {reference.shape} and {other.shape} can't be compared",
            cause="they are of recordings of different lengths",
            remedy="crop both to one length",
        )
    for contour in (reference, other):
        if not np.isfinite(contour).all() or contour.min() < 0:
            raise InputError(
                "an F0 contour holds NaN, infinite or negative values",
                cause="it is in another unit, or marks unvoiced frames by NaN",
                remedy="give Hz, and 0 where unvoiced",
            )
