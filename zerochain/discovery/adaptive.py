"""The speaker-adaptive front end of a mixture, fitted by rounds of mixture → transforms → mixture.

The most probable components of a first mixture are the classes of LDA and MLLT on stacked frames;
the mixture in that space is what each speaker is moved towards by fMLLR (`features/fmllr.py`); a
mixture of the moved frames has sharper components, and the next round begins. This is the recipe of
Heck, Sakti and Nakamura, "Feature optimized DPGMM clustering for unsupervised subword modeling"
(ZeroSpeech 2017), after speaker-adaptive training (Anastasakos et al. 1996), without its second
model for the first pass of decoding: speakers known and unknown are moved by one rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from zerochain.config import Config
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions
from zerochain.errors import InputError
from zerochain.features.adaptation import Adaptation, AdaptationRule
from zerochain.features.discriminants import ClassSums, lda, mllt
from zerochain.features.fmllr import Target
from zerochain.features.projection import Projection, stacked
from zerochain.formats.features import Features
from zerochain.progress import track

Frames = NDArray[np.float32]
Classes = Callable[[str], NDArray[np.int64]]
PRIOR_FRAMES = 200
"""Frames as the mixture expects them that are added to a speaker's: two seconds."""


class AdaptiveConfig(Config):
    """Whether and how a front end adapts to speakers."""

    adapt: Literal["none", "fmllr", "lda", "lda+fmllr"] = "none"
    """Adapt the features: fmllr is an affine transform for each speaker, found without labels;
    lda is LDA and MLLT of stacked frames, with units as classes."""
    adapt_rounds: int = Field(2, ge=1, le=20)
    """Rounds of mixture, transforms and mixture again."""
    full_transform_s: float = Field(1.5, gt=0, allow_inf_nan=False)
    """Seconds of speech from which a speaker's transform is full; with less it is a bias and a
    scale per dimension."""
    lda_context: int = Field(4, ge=0, le=50)
    """Frames on each side that LDA stacks beside each frame."""
    lda_dims: int = Field(40, ge=1)
    """Dimensions that LDA keeps."""

    @property
    def uses_lda(self) -> bool:
        """Whether LDA and MLLT are part of it."""
        return self.adapt in {"lda", "lda+fmllr"}

    @property
    def uses_fmllr(self) -> bool:
        """Whether speakers have transforms."""
        return self.adapt in {"fmllr", "lda+fmllr"}

    def check(self, options: FrontEndOptions) -> None:
        """Refuse a projection beside LDA's.

        Raises:
            InputError: context, components or speaker_attenuation beside LDA.
        """
        given = {
            "context": options.context,
            "components": options.components,
            "speaker_attenuation": options.speaker_attenuation or None,
        }
        found = [f"{name}={value}" for name, value in given.items() if value is not None]
        if self.uses_lda and found:
            raise InputError(
                f"{' and '.join(found)} can't stand beside adapt={self.adapt}",
                cause="LDA stacks frames and chooses directions by itself",
                remedy="use lda_context= and lda_dims=, or adapt=fmllr",
            )

    def rule(self, front_end: FrontEnd) -> AdaptationRule:
        """For transforms of the frames of a front end."""
        full = max(1, round(1000 * self.full_transform_s / front_end.unit_step_ms))
        return AdaptationRule(full_frames=full, prior_frames=PRIOR_FRAMES)


@dataclass(frozen=True)
class Discriminant:
    """A front end that ends in LDA and MLLT, and where its classes lie."""

    front_end: FrontEnd
    means: Frames
    """(K, P), of the classes."""


def with_lda(
    front_end: FrontEnd,
    features: Features,
    classes: Classes,
    n_classes: int,
    config: AdaptiveConfig,
) -> Discriminant:
    """A front end whose projection is LDA and MLLT of its normalised, stacked frames.

    Args:
        classes: of an utterance's name, the class of each of its frames, (T,).

    Raises:
        InputError: as `lda`.
    """
    plain = replace(front_end, projection=None, adaptation=None, stride=1)

    def blocks(context: int, title: str) -> Iterator[tuple[Frames, NDArray[np.int64]]]:
        for name in track(features.ids, title):
            yield stacked(plain(features, name), context), classes(name)

    context = config.lda_context
    sums = ClassSums(n_classes, features.dim * (2 * context + 1), by_class=False)
    for frames, labels in blocks(context, "LDA"):
        sums.add(frames, labels)
    matrix, mean = lda(sums, config.lda_dims), np.asarray(sums.mean, np.float32)
    projection = Projection(context, mean, np.asarray(matrix, np.float32))
    turned = ClassSums(n_classes, config.lda_dims, by_class=True)
    for frames, labels in blocks(0, "MLLT"):
        turned.add(projection(frames), labels)
    square = mllt(turned.counts, turned.within)
    projection = projection.followed_by(np.asarray(square, np.float32))
    return Discriminant(
        replace(front_end, projection=projection, adaptation=None, is_discriminant=True),
        np.asarray(turned.means @ square, np.float32),
    )


def with_fmllr(
    front_end: FrontEnd, features: Features, target: Target, config: AdaptiveConfig
) -> FrontEnd:
    """A front end that moves each speaker towards a mixture of its frames."""
    unadapted = replace(front_end, adaptation=None)

    def evidence(name: str) -> Frames:
        return unadapted.evidence(features, name)

    adaptation = Adaptation.fit(target, config.rule(front_end), features, evidence)
    return replace(front_end, adaptation=adaptation)


@dataclass(frozen=True)
class Transforms:
    """How many transforms the speech of a fit has."""

    n: int
    """Of speakers, and of utterances without one."""
    n_full: int

    @classmethod
    def of(cls, front_end: FrontEnd, features: Features) -> Transforms:
        """Of a front end that was fitted on these features."""
        assert front_end.adaptation is not None
        lengths: dict[tuple[str | None, str], int] = {}
        for name, (_, n_frames) in features.index.items():
            speaker = features.speakers[name]
            group = speaker, name if speaker is None else ""
            lengths[group] = lengths.get(group, 0) + front_end.n_steps(n_frames)
        least = front_end.adaptation.rule.full_frames
        return cls(len(lengths), sum(n >= least for n in lengths.values()))
