"""Speaker adaptation: each speaker's frames moved to where a mixture of all speakers expects them.

`fmllr.py` finds a transform. This says whose speech it is found in: of a speaker that was there at
the fit, all of it, once and for all; of an unknown one, each utterance by itself, so that it gets
the same frames whatever else is adapted along with it. A user who wants more speech per transform
can pool an unknown speaker's utterances; then the result depends on which of them are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.features.fmllr import Estimate, Frames, Target, estimated
from zerochain.features.normalisation import unknown_speakers
from zerochain.formats.features import Features
from zerochain.progress import track

_MOST_FRAMES = 30_000  # of a speaker, evenly thinned: more don't make a transform better


@dataclass(frozen=True)
class AdaptationRule:
    """When a transform is full."""

    full_frames: int
    """With fewer it is a bias and a scale per dimension."""
    prior_frames: int
    """Frames as the target expects them that are added to a speaker's."""


@dataclass(frozen=True)
class Adaptation:
    """fMLLR transforms of speakers, towards one target."""

    target: Target
    rule: AdaptationRule
    transforms: Mapping[str, Frames]
    """By speaker, (D, D + 1): y = A x + b."""
    corpus_id: str = ""
    """The corpus that they were estimated on: elsewhere the same name may be another speaker."""

    @classmethod
    def fit(
        cls,
        target: Target,
        rule: AdaptationRule,
        features: Features,
        prepared: Callable[[str], Frames],
    ) -> Adaptation:
        """Estimate the transforms of all known speakers.

        Args:
            prepared: of an utterance's name, its frames as the target has them, (T, D).
        """
        empty = cls(target, rule, {}, features.corpus_id)
        return empty.covering(features, prepared, pool=True)

    def covering(
        self, features: Features, prepared: Callable[[str], Frames], *, pool: bool
    ) -> Adaptation:
        """The same for features that may have speakers it was not fitted on.

        Of another corpus it knows no speaker. Unknown ones have no transform, and each of their
        utterances is adapted by itself, unless they are to be pooled.
        """
        known = dict(self.transforms) if features.corpus_id == self.corpus_id else {}
        if pool:
            for speaker, names in track(unknown_speakers(features, known).items(), "fMLLR"):
                n_frames = sum(features.index[name][1] for name in names)
                every = -(-n_frames // _MOST_FRAMES)
                frames = np.concatenate([prepared(name) for name in names])[::every]
                known[speaker] = self.estimate(frames).transform.astype(np.float32)
        return replace(self, transforms=known, corpus_id=features.corpus_id)

    def estimate(self, frames: Frames) -> Estimate:
        """The transform of frames (N, D), by the rule."""
        rule = self.rule
        return estimated(
            frames, self.target, full_frames=rule.full_frames, prior_frames=rule.prior_frames
        )

    def __call__(self, frames: Frames, speaker: str | None, evidence: Frames) -> Frames:
        """An utterance's frames (T, D), adapted.

        Args:
            evidence: what a transform of its own is estimated on, where its speaker has none.
        """
        transform = self.transforms.get(speaker) if speaker is not None else None
        if transform is None:
            transform = self.estimate(evidence).transform.astype(np.float32)
        return np.asarray(frames @ transform[:, :-1].T + transform[:, -1], np.float32)

    @property
    def names(self) -> list[str]:
        """The speakers that have a transform."""
        return list(self.transforms)

    def config(self) -> dict[str, Any]:
        """What a bundle's config.json holds of it; its arrays are `tensors()`."""
        return {
            "speakers": self.names,
            "full_frames": self.rule.full_frames,
            "prior_frames": self.rule.prior_frames,
        }

    def tensors(self) -> dict[str, Frames]:
        """The target, and the transforms in the order of `names`, for a bundle."""
        tensors = {
            "adaptation.constants": self.target.constants,
            "adaptation.means": self.target.means,
            "adaptation.variances": self.target.variances,
        }
        if self.transforms:
            tensors["adaptation.transforms"] = np.stack(list(self.transforms.values()))
        return tensors

    @classmethod
    def from_tensors(
        cls, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], corpus_id: str
    ) -> Adaptation:
        """The inverse of `config` and `tensors`."""
        parts = ("constants", "means", "variances")
        names, transforms = config["speakers"], tensors.get("adaptation.transforms", ())
        return cls(
            Target(*(tensors[f"adaptation.{part}"] for part in parts)),
            AdaptationRule(config["full_frames"], config["prior_frames"]),
            dict(zip(names, transforms, strict=True)),
            corpus_id,
        )

    def check(self, dim: int) -> None:
        """Raise ValueError unless its parts were made for each other, and for frames (T, dim)."""
        target = self.target
        n_components = len(target.constants)
        shapes = [target.constants.shape, target.means.shape, target.variances.shape]
        if shapes != [(n_components,), (n_components, dim), (n_components, dim)]:
            raise ValueError(f"adapts to a mixture of shapes {shapes}, not of {dim} dimensions")
        if not (target.variances > 0).all():
            raise ValueError("adapts to a mixture with variances of 0 or less")
        if any(t.shape != (dim, dim + 1) for t in self.transforms.values()):
            raise ValueError(f"has speaker transforms that aren't of {dim} dimensions")
