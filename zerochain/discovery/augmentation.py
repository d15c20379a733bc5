"""Augmentation of what a front end prepares."""

from __future__ import annotations

import numpy as np

from zerochain.discovery.front_end import FrontEnd
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.features.normalisation import Moments
from zerochain.formats.features import Features


def augmentation_of(
    front_end: FrontEnd, features: Features, options: AugmentationOptions, device: str = "cpu"
) -> Augmentation:
    """Augmentation of these features, as a front end of stride 1 gives them.

    Speakers have deviations of their own; augmentation takes the mean of all.

    Raises:
        InputError: the features are neither MFCC nor log-mel.
    """
    moments = list(front_end.normalisation.moments.values())
    if not moments and front_end.normalisation.kind != "none":  # by utterance
        moments = [Moments.of(features[name] for name in features.ids)]
    deviation = np.stack([m.deviation for m in moments]).mean(axis=0) if moments else None
    extractor, made = front_end.extractor, front_end.options
    augmentation = Augmentation.of(options, extractor, made, deviation, device)
    if front_end.projection is None:
        return augmentation
    return augmentation.through(front_end.projection.matrix)
