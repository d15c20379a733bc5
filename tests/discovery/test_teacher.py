import numpy as np
import pytest
import torch
from test_vqvae import SHORT, TINY, speech

from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.mixtures import GMMUnits
from zerochain.discovery.self_training import SelfTrainedUnits, SelfTrainingConfig
from zerochain.discovery.teacher import (
    N_KEPT,
    given_targets,
    soft_cross_entropy,
    soft_targets,
)
from zerochain.discovery.vqvae import VQVAEConfig, VQVAEUnits
from zerochain.errors import InputError
from zerochain.formats.features import Features


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


def posteriors(teacher: GMMUnits, features: Features) -> Features:
    return Features.from_arrays(dict(teacher.posteriors(features)), extractor="posteriors")


def test_posteriors_that_are_given_are_the_teachers() -> None:
    features = speech()
    teacher = GMMUnits(12).fit(features)
    there = posteriors(teacher, features)
    part = features.restrict(["u5", "u2"])
    for found, expected in zip(
        given_targets(there, part), soft_targets(teacher, part), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_of_fused_posteriors_every_model_has_its_share() -> None:
    features = speech()
    both = [GMMUnits(12, seed=seed).fit(features) for seed in (0, 1)]
    a, b = (posteriors(teacher, features) for teacher in both)
    fused = Features.from_arrays(
        {name: np.concatenate([a[name], b[name]], axis=1) / 2 for name in a.ids},
        extractor="posteriors",
        options={"models": ["a", "b"]},
    )
    found = given_targets(fused, features)
    assert found.components.shape[1] == 2 * N_KEPT
    first = np.where(found.components < 12, found.shares.astype(float), 0).sum(axis=1)
    np.testing.assert_allclose(first, 0.5, atol=0.01)


def test_what_can_not_be_a_target_is_refused() -> None:
    features = speech(4)
    there = posteriors(GMMUnits(12).fit(features), features)
    arrays = {name: there[name] for name in there.ids}
    shorter = Features.from_arrays({**arrays, "u1": arrays["u1"][::2]})
    with pytest.raises(InputError, match="posteriors have 33 frames of 'u1', the features 65"):
        given_targets(shorter, features)
    with pytest.raises(InputError, match="the frames of 'u0' are no probabilities"):
        given_targets(Features.from_arrays({n: 2 * a for n, a in arrays.items()}), features)
    with pytest.raises(InputError, match="missing in the features: u3"):
        given_targets(there.restrict(["u0", "u1", "u2"]), features)
    with pytest.raises(InputError, match="40,000 classes are too many"):
        given_targets(Features.from_arrays({"u0": np.zeros((60, 40_000), np.float32)}), features)
    with pytest.raises(InputError, match="teacher='none'"):
        VQVAEUnits(4, soft_targets=there, config=TINY)
    classes = SelfTrainingConfig(units="classes")
    with pytest.raises(InputError, match="12 targets and n_units=6"):
        SelfTrainedUnits(6, soft_targets=there, config=classes)


def test_a_model_learns_the_posteriors_that_it_is_given() -> None:
    """It is the same model whether its own teacher's posteriors come from there or from outside."""
    features = speech()
    config = VQVAEConfig(**{**TINY.model_dump(), "teacher": "gmm", "n_targets": 12})
    own = VQVAEUnits(12, config=config, recipe=SHORT).fit(features)
    options = own.options.model_copy(update={"normalisation": "utterance"})
    teacher = GMMUnits(12, options=options, seed=SHORT.seed).fit(features)
    targets = posteriors(teacher, features)
    given = VQVAEUnits(12, config=config, recipe=SHORT, soft_targets=targets).fit(features)
    assert given.id == own.id

    settings = {"units": "classes", "width": 16, "n_blocks": 1, "dim": 8, "augmentation": None}
    recipe = SHORT.model_copy(update={"max_steps": 10})
    models = [
        SelfTrainedUnits(
            12, config=SelfTrainingConfig(**settings, teacher=name), recipe=recipe, soft_targets=t
        ).fit(features)
        for name, t in (("gmm", None), ("kmeans", targets))
    ]
    for first, second in zip(*(dict(m.posteriors(features)).values() for m in models), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


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
