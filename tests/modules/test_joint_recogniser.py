import pytest
import torch

from zerochain.modules.joint_recogniser import (
    Architecture,
    JointConfig,
    JointRecogniser,
    normalised,
)


def network(architecture: Architecture) -> JointRecogniser:
    torch.manual_seed(0)
    config = JointConfig(architecture=architecture, width=8, n_layers=3, n_in=6, n_symbols=4)
    return JointRecogniser(config).eval()


@pytest.mark.parametrize("architecture", ["conv", "conformer", "published"])
def test_one_by_one_equals_batched_at_one_step_per_two_frames(architecture: Architecture) -> None:
    made = network(architecture)
    lengths = torch.tensor([31, 18, 24])
    x = torch.randn(3, 31, 6)
    tokens = torch.randint(0, 4, (3, 5))
    with torch.no_grad():
        whole = made(normalised(x, lengths), lengths, tokens)
        assert whole.steps.tolist() == [16, 9, 12]
        for i, n in enumerate(lengths.tolist()):
            one = lengths[i : i + 1]
            alone = made(normalised(x[i : i + 1, :n], one), one, tokens[i : i + 1])
            steps = int(alone.steps)
            assert alone.ctc.shape == (1, steps, 5)
            close = {"rtol": 1e-4, "atol": 1e-5}
            torch.testing.assert_close(whole.ctc[i, :steps], alone.ctc[0], **close)
            torch.testing.assert_close(whole.next[i], alone.next[0], **close)


def test_level_and_channel_do_not_matter() -> None:
    x, lengths = torch.randn(2, 20, 6), torch.tensor([20, 13])
    channel = torch.randn(6)
    torch.testing.assert_close(
        normalised(3 * x + channel, lengths), normalised(x, lengths), rtol=1e-3, atol=1e-3
    )
    assert normalised(x, lengths)[1, 13:].abs().sum() == 0
