import torch

from zerochain.modules.synthesiser import Synthesiser, SynthesiserConfig, Target


def network(n_vector: int = 3) -> Synthesiser:
    torch.manual_seed(0)
    sizes = {"width": 8, "n_encoder_blocks": 1, "n_decoder_blocks": 2}
    return Synthesiser(SynthesiserConfig(**sizes, n_symbols=4, n_vector=n_vector, n_out=5)).eval()


def test_one_by_one_equals_batched() -> None:
    made = network()
    symbols = torch.tensor([[4, 0, 1, 2, 4], [4, 3, 4, 4, 4]])
    counts = torch.tensor([5, 3])
    durations = torch.tensor([[1, 3, 0, 2, 4], [2, 5, 1, 0, 0]])
    z = torch.randn(2, 3)
    with torch.no_grad():
        target = Target(durations, torch.empty(0), counts)
        frames, logs, _, _ = made(symbols, counts, z, target)
        assert frames.shape == (2, 20, 5)
        for i, n in enumerate(counts.tolist()):
            part = slice(i, i + 1)
            target = Target(durations[part, :n], torch.empty(0), counts[part])
            one, log, _, _ = made(symbols[part, :n], counts[part], z[part], target)
            n_frames = 2 * int(durations[i].sum())
            assert one.shape[1] == n_frames
            torch.testing.assert_close(frames[i, :n_frames], one[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(logs[i, :n], log[0], rtol=1e-4, atol=1e-5)


def test_a_distribution_over_one_symbol_is_the_symbol() -> None:
    made = network()
    symbols, counts = torch.tensor([[4, 0, 2, 4]]), torch.tensor([4])
    hot = torch.nn.functional.one_hot(symbols, 5).float()
    z = torch.randn(1, 3)
    for a, b in zip(made.encode(symbols, counts, z), made.encode(hot, counts, z), strict=True):
        torch.testing.assert_close(a, b)


def test_steps_have_the_symbol_that_lasts_over_them() -> None:
    """Without context, a step's frames depend on its symbol and its place alone."""
    made = network(n_vector=0)
    made.decoder = torch.nn.ModuleList()
    z = torch.zeros(1, 0)
    y = torch.randn(1, 3, 8)
    frames, steps = made.decode(y, torch.tensor([[2, 0, 3]]), z)
    again, _ = made.decode(y[:, [0, 2]], torch.tensor([[2, 3]]), z)
    assert steps.tolist() == [5]
    torch.testing.assert_close(frames, again)
    only, _ = made.decode(y[:, 2:], torch.tensor([[3]]), z)
    torch.testing.assert_close(frames[:, 4:], only)


def test_generated_speech_ends_and_a_faster_rate_is_shorter() -> None:
    made = network()
    symbols, counts = torch.tensor([[4, 0, 1, 4]]), torch.tensor([4])
    z = torch.randn(1, 3)
    with torch.no_grad():
        made.duration.bias.fill_(2.0)
        frames, n, failed, _ = made.generate(symbols, counts, z)
        faster = made.generate(symbols, counts, z, rate=2.0).lengths
        made.duration.bias.fill_(1e4)  # a predictor that diverged can't fill the memory
        longest = made.generate(symbols, counts, z).lengths
    assert frames.shape[1] == int(n)
    assert 8 <= int(faster) < int(n)
    assert not failed.any()
    assert int(longest) == 1600
