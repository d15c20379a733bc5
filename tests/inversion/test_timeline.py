import numpy as np
import pytest
import torch

from zerochain.inversion.phase import SpectrogramOptions
from zerochain.inversion.voice_data import timeline
from zerochain.modules.code2spec import REACH
from zerochain.training.crops import Crops

OPTIONS = SpectrogramOptions(n_fft=512, n_window=400)
PADDING = 9


def line_of(lengths: tuple[int, ...]) -> Crops:
    rng = np.random.default_rng(0)
    units = [rng.integers(0, PADDING, n).astype(np.int32) for n in lengths]
    waves = [rng.normal(size=n * OPTIONS.hop - 37).astype(np.float32) for n in lengths]
    return timeline(units, waves, OPTIONS, PADDING)


@pytest.mark.parametrize("n_frames", [1, 7, 50, 10_000])
def test_all_crops_cover_everything_once(n_frames: int) -> None:
    line = line_of((5, 1, 40))
    units = [
        units[:length]
        for batch in line.all(3, n_frames)
        for units, length in zip(batch["units"], batch["lengths"], strict=True)
    ]
    np.testing.assert_array_equal(torch.cat(units), line.arrays["units"])


def test_a_crop_shorter_than_others_is_padded_with_padding() -> None:
    line = line_of((5, 1, 40))
    last = list(line.all(10**6, 50))[-1]
    for units, length in zip(last["units"], last["lengths"], strict=True):
        assert (units[length:] == PADDING).all()


def test_frames_and_samples_stay_together() -> None:
    line = line_of((30, 20))
    n = int(line.lengths[0])
    (whole,) = line.all(1, n)
    magnitude = OPTIONS.magnitude_of_frames(whole["samples"])[0]
    assert len(magnitude) == n
    silent = magnitude.sum(dim=-1) == 0
    # Where there is a unit there is sound; in the padding's middles there is none.
    assert not silent[line.arrays["units"] != PADDING].any()
    assert silent[: REACH - 2].all()


def test_frames_are_those_of_the_waveform() -> None:
    """Each is centred on its hop of the samples, with silence before the first."""
    rng = np.random.default_rng(1)
    wave = rng.normal(size=20 * OPTIONS.hop).astype(np.float32)
    line = timeline([np.zeros(20, np.int32)], [wave], OPTIONS, PADDING)
    around = np.pad(wave, OPTIONS.n_fft // 2)
    expected = OPTIONS.magnitude(torch.from_numpy(around)[None])[0][:20]
    first = REACH
    frames = torch.from_numpy(line.arrays["samples"][first : first + 20].copy())
    torch.testing.assert_close(OPTIONS.magnitude_of_frames(frames), expected)


def test_padding_is_as_long_as_the_reach() -> None:
    units = line_of((4, 4)).arrays["units"]
    runs = np.diff(np.flatnonzero(np.diff(units == PADDING)))
    assert units[:REACH].tolist() == [PADDING] * REACH
    assert runs.tolist() == [4, REACH, 4]


def test_random_crops_depend_on_the_seed_alone() -> None:
    line = line_of((30, 20))
    one, two, other = (line.random(4, 16, seed) for seed in ((0, 5), (0, 5), (0, 6)))
    assert torch.equal(one["units"], two["units"])
    assert not torch.equal(one["units"], other["units"])
    assert line.random(2, 10**6, (0,))["units"].shape == (2, line.lengths[0])
