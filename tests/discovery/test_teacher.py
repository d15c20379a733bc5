import numpy as np
import pytest
import torch
from test_vqvae import speech

from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.mixtures import GMMUnits
from zerochain.discovery.teacher import N_KEPT, soft_cross_entropy, soft_targets
from zerochain.errors import InputError


def test_soft_targets_are_the_largest_posteriors() -> None:
    features = speech()
    teacher = GMMUnits(12).fit(features)
    dense = np.concatenate([p for _, p in teacher.posteriors(features)])
    targets = soft_targets(teacher, features)
    assert targets.components.shape == (len(dense), N_KEPT)
    for row, components, shares in zip(dense, *targets, strict=True):
        best = np.sort(row)[-N_KEPT:]
        np.testing.assert_array_equal(np.sort(row[components]), best)
        np.testing.assert_allclose(shares, row[components] / best.sum(), atol=1e-3)


def test_a_teacher_without_posteriors_is_refused() -> None:
    features = speech()
    with pytest.raises(InputError, match="kmeans units have no posteriors"):
        soft_targets(KMeansUnits(12, stride=1).fit(features), features)


@pytest.mark.parametrize("n_frames", [1, 5, 8, 13])
def test_the_cross_entropy_equals_a_loop(n_frames: int) -> None:
    """Also of crops shorter than the square of the stride, whose last step is incomplete."""
    torch.manual_seed(0)
    stride, n_units = 4, 6
    scores = torch.randn(2, -(-n_frames // stride), n_units)
    components = torch.stack([torch.randperm(n_units)[:3] for _ in range(2 * n_frames)])
    components = components.view(2, n_frames, 3)
    shares = torch.rand(2, n_frames, 3)
    shares[1, n_frames // 2 :] = 0
    logs = scores.log_softmax(dim=2)
    expected = 0.0
    for b in range(2):
        for t in range(n_frames):
            for component, share in zip(components[b, t], shares[b, t], strict=True):
                expected -= float(share * logs[b, t // stride, component])
    found = soft_cross_entropy(scores, components.short(), shares, stride)
    assert float(found) == pytest.approx(expected, rel=1e-5)
