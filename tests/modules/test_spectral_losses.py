import librosa
import numpy as np
import pytest
import torch

from zerochain.modules.discriminators import Magnitude, MelLoss, multi_resolution_loss

LOSSES = pytest.mark.parametrize("loss", [MelLoss(), multi_resolution_loss])


def waves(seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(seed))


@LOSSES
def test_zero_for_the_same_and_only_for_it(loss) -> None:
    assert loss(waves(), waves()).item() < 1e-6
    assert loss(waves(1), waves()).item() > 0.1


@LOSSES
def test_blind_to_the_sign(loss) -> None:
    assert loss(-waves(), waves()).item() < 1e-6


@LOSSES
@pytest.mark.parametrize("made", [torch.zeros(2, 8000), waves()])
@pytest.mark.parametrize("real", [torch.zeros(2, 8000), waves()])
def test_silence_and_the_same_have_finite_slopes(loss, made, real) -> None:
    made = made.clone().requires_grad_()
    value = loss(made, real)
    value.backward()
    assert value.isfinite()
    assert made.grad.isfinite().all()


def test_known_differences() -> None:
    assert MelLoss()(2 * waves(), waves()).item() == pytest.approx(np.log(2), rel=1e-3)
    # convergence |2 − 1| and log 2
    expected = 1 + np.log(2)
    assert multi_resolution_loss(2 * waves(), waves()).item() == pytest.approx(expected, rel=1e-3)


def test_magnitudes_and_their_gradient_are_those_of_the_formula() -> None:
    parts = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parts[:, :5] *= 1e-5  # below the floor
    parts[:, 5] = 0
    parts.requires_grad_()
    weights = torch.arange(50.0, dtype=torch.float64)
    made = Magnitude.apply(torch.complex(*parts))
    expected = parts.square().sum(dim=0).clamp(min=1e-7).sqrt()
    torch.testing.assert_close(made, expected)
    gradients = [torch.autograd.grad((x * weights).sum(), parts)[0] for x in (made, expected)]
    torch.testing.assert_close(*gradients)
    assert not gradients[0][:, :6].any()


def test_mel_is_librosas() -> None:
    wave = waves()
    mel = librosa.feature.melspectrogram(
        y=wave.numpy(),
        sr=16000,
        n_fft=1024,
        hop_length=256,
        n_mels=80,
        power=1,
        pad_mode="constant",
    )
    ours = MelLoss().log_mel(wave).transpose(1, 2).numpy()
    np.testing.assert_allclose(ours, np.log(np.maximum(mel, 1e-5)), atol=1e-3)
