import numpy as np
import pytest
import torch

from zerochain.modules.source_filter import ShortTime


@pytest.mark.parametrize(
    ("hop", "n_fft", "n_window"),
    [(160, 1024, 640), (80, 512, 320), (320, 1024, 640), (147, 700, 600), (160, 320, 320)],
)
def test_there_and_back(hop: int, n_fft: int, n_window: int) -> None:
    torch.manual_seed(0)
    transform = ShortTime(hop, n_fft, n_window)
    waves = torch.randn(2, 30 * hop)
    back = transform.synthesise(transform.analyse(waves))
    assert back.shape == waves.shape
    inside = slice(transform.reach * hop, -transform.reach * hop)
    torch.testing.assert_close(back[:, inside], waves[:, inside], atol=1e-4, rtol=1e-4)


def test_frames_are_centred_at_their_time() -> None:
    waves = torch.randn(1, 40 * 160)
    spectra = ShortTime(160, 1024, 640).analyse(waves)[0]
    assert spectra.shape == (40, 513)
    padded = np.pad(waves[0].numpy(), 512)
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(640) / 640), 192)
    for i in (0, 1, 20, 39):
        expected = np.fft.rfft(padded[i * 160 : i * 160 + 1024] * window)
        np.testing.assert_allclose(spectra[i].numpy(), expected, atol=1e-3)


def test_a_delay_is_a_phase() -> None:
    transform = ShortTime(160, 1024, 640)
    waves = torch.randn(1, 40 * 160)
    turn = torch.polar(torch.ones(513), -2 * torch.pi * 9 / 1024 * torch.arange(513))
    late = transform.synthesise(transform.analyse(waves) * turn)
    error = (late[:, 1000:-1000] - waves[:, 991:-1009]).square().mean()
    assert error < 0.01


@pytest.mark.parametrize(
    ("hop", "n_fft", "n_window"), [(160, 1024, 300), (160, 512, 640), (160, 1023, 640)]
)
def test_windows_that_leave_gaps(hop: int, n_fft: int, n_window: int) -> None:
    with pytest.raises(ValueError, match="n_window"):
        ShortTime(hop, n_fft, n_window)
