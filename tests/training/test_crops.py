import numpy as np
import pytest
import torch

from zerochain.training.crops import Crops


def crops(lengths: tuple[int, ...] = (5, 1, 40)) -> Crops:
    begin = np.cumsum([1, *lengths])
    utterances = [
        {"x": np.arange(b, b + n, dtype=np.int64), "y": np.arange(b, b + n, dtype=np.float32) / 2}
        for b, n in zip(begin[:-1], lengths, strict=True)
    ]
    return Crops.of(utterances, voices=list(range(len(lengths))))


@pytest.mark.parametrize("longest", [1, 7, 39, 10_000])
def test_all_crops_cover_everything_once(longest: int) -> None:
    seen = []
    for batch in crops().all(3, longest):
        for x, n in zip(batch["x"], batch["lengths"], strict=True):
            assert 1 <= n <= longest
            assert not x[n:].any()
            seen += x[:n].tolist()
    assert sorted(seen) == list(range(1, 47))


def test_arrays_and_voices_stay_together_and_no_cut_reaches_into_the_next_utterance() -> None:
    voice_of = np.repeat([0, 1, 2], (5, 1, 40))
    for step in range(20):
        batch = crops().random(8, 10, (0, step))
        torch.testing.assert_close(batch["x"] / 2, batch["y"])
        for x, n, voice in zip(batch["x"], batch["lengths"], batch["voices"], strict=True):
            inside = x[:n].numpy()
            assert (np.diff(inside) == 1).all()
            assert (voice_of[inside - 1] == int(voice)).all()


def test_random_crops_depend_on_the_seed_alone() -> None:
    one, two, other = (crops().random(8, 10, seed)["x"] for seed in ((0, 5), (0, 5), (0, 6)))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_other_data_has_another_digest() -> None:
    assert crops().digest == crops().digest
    assert len({crops(n).digest for n in ((5, 1, 40), (1, 5, 40), (5, 1, 39))}) == 3
