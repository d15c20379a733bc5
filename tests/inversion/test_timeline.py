import numpy as np
import pytest
import torch

from zerochain.inversion.spectrogram import SpectrogramOptions
from zerochain.inversion.voice_data import Timeline
from zerochain.modules.code2spec import REACH

OPTIONS = SpectrogramOptions(n_fft=512, n_window=400)
NOTHING = 9


def timeline(lengths: tuple[int, ...]) -> Timeline:
    rng = np.random.default_rng(0)
    units = [rng.integers(0, NOTHING, n).astype(np.int32) for n in lengths]
    waves = [rng.normal(size=n * OPTIONS.hop - 37).astype(np.float32) for n in lengths]
    return Timeline.of(units, waves, OPTIONS, NOTHING)


@pytest.mark.parametrize("n_frames", [1, 7, 50, 10_000])
def test_all_segments_cover_everything_once(n_frames: int) -> None:
    line = timeline((5, 1, 40))
    units = [b["units"].flatten() for b in line.all_segments(3, n_frames)]
    np.testing.assert_array_equal(torch.cat(units), line.units)


def test_frames_and_samples_stay_together() -> None:
    line = timeline((30, 20))
    whole = next(line.all_segments(1, len(line)))
    magnitude = OPTIONS.magnitude(whole["waves"])[0]
    assert len(magnitude) == len(line)
    silent = magnitude.sum(dim=-1) == 0
    # Where there is a unit there is sound; in the gaps' middles there is none.
    assert not silent[line.units != NOTHING].any()
    assert silent[: REACH - 2].all()
    for start, n in ((3, 8), (20, 30)):
        part = line.segments([start], n)
        torch.testing.assert_close(
            OPTIONS.magnitude(part["waves"])[0], magnitude[start : start + n]
        )


def test_gaps_are_as_long_as_the_reach() -> None:
    line = timeline((4, 4))
    runs = np.diff(np.flatnonzero(np.diff(line.units == NOTHING)))
    assert line.units[:REACH].tolist() == [NOTHING] * REACH
    assert runs.tolist() == [4, REACH, 4]


def test_random_segments_depend_on_the_seed_alone() -> None:
    line = timeline((30, 20))
    one, two, other = (line.random_segments(4, 16, seed) for seed in ((0, 5), (0, 5), (0, 6)))
    assert torch.equal(one["units"], two["units"])
    assert not torch.equal(one["units"], other["units"])
    assert line.random_segments(2, 10**6, (0,))["units"].shape == (2, len(line))
