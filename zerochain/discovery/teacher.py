"""Teachers of self-trained units: the first one, and what any of them says of each frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.model import UnitModel
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.self_training_config import SelfTrainingConfig
from zerochain.formats.features import Features


def first_teacher(
    n_units: int,
    features: Features,
    options: FrontEndOptions,
    config: SelfTrainingConfig,
    seed: int,
    device: str = "cpu",
) -> KMeansUnits:
    """K-Means on stacked frames, otherwise prepared as the pupil's are.

    Args:
        n_units: unless the configuration says how many targets there are.

    Raises:
        InputError: fewer frames than units.
    """
    context = config.teacher_context
    components = min(config.teacher_components, features.dim * (2 * context + 1))
    stacked = options.model_copy(update={"context": context, "components": components})
    n_targets = config.n_targets or n_units
    return KMeansUnits(n_targets, options=stacked, seed=seed, device=device).fit(features)


def labels_of(teacher: UnitModel, features: Features, penalty: float) -> NDArray[np.int64]:
    """The teacher's unit at every frame of the features, in their order: (N,).

    Args:
        penalty: of its segmentation, in mean distortions.
    """
    units = teacher.encode(features, Segmentation(penalty))
    frames_a_step = round(units.step_ms / features.step_ms)
    lasting = (np.repeat(units.steps(name), frames_a_step) for name in features.ids)
    lengths = (n_frames for _, n_frames in features.index.values())
    # The last step of an utterance may reach beyond its end.
    cut = [labels[:n_frames] for labels, n_frames in zip(lasting, lengths, strict=True)]
    return np.concatenate(cut).astype(np.int64)
