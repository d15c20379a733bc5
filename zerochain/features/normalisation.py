"""Mean and variance normalisation of features: over a corpus, a speaker or an utterance.

Cepstral mean and variance normalisation (Viikki and Laurila 1998) is the cheapest way to remove
level, channel and much of the speaker from MFCCs.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.formats.features import Features

TONE: Literal["mfcc+tone"] = "mfcc+tone"
"""The kind of features with tone (`tone.py`) in their last dimensions."""
TONE_ALONE: Literal["tone"] = "tone"
"""The kind of features that are nothing else."""
NormalisationKind = Literal["none", "corpus", "speaker", "utterance"]
_SMALLEST_DEVIATION = 1e-5  # a constant feature is centred and left at zero
# Of an average speaker, beside an unknown one's utterance. Of LibriSpeech and TIMIT alike, this
# brings utterances of 0.3 to 3 s nearest to what all speech of their speaker would have given.
_PRIOR_FRAMES = 50


def n_tone(extractor: str, options: Mapping[str, Any]) -> int:
    """How many of the last dimensions of such features are tone; normalisation leaves those alone.

    They are relative to the speaker already, and their scale is their weight.
    """
    if extractor == TONE_ALONE:
        return 2
    if extractor != TONE:
        return 0
    return 1 + sum(float(options[name]) > 0 for name in ("slope_weight", "voicing_weight"))


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each feature, both (D,) float32."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def of(cls, blocks: Iterable[NDArray[np.float32]]) -> Moments:
        """Moments of the frames of all blocks, each (T, D), accumulated in double precision."""
        _, mean, variance = _sums(blocks)
        return cls._with(mean, variance)

    @classmethod
    def _with(cls, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> Moments:
        deviation = np.sqrt(variance)
        deviation = np.where(deviation < _SMALLEST_DEVIATION, 1.0, deviation)
        return cls(np.asarray(mean, np.float32), np.asarray(deviation, np.float32))

    @classmethod
    def near(cls, frames: NDArray[np.float32], typical: Moments) -> Moments:
        """Moments of frames (T, D) and `_PRIOR_FRAMES` typical ones: weighted means of both."""
        n, mean, variance = _sums([frames])
        share = n / (n + _PRIOR_FRAMES)
        own, other = typical.mean.astype(float), np.square(typical.deviation, dtype=float)
        return cls._with(share * mean + (1 - share) * own, share * variance + (1 - share) * other)

    @classmethod
    def average(cls, moments: Iterable[Moments]) -> Moments:
        """Means of means and of variances."""
        parts = list(moments)
        mean = np.mean([m.mean for m in parts], axis=0, dtype=float)
        variance = np.mean([np.square(m.deviation, dtype=float) for m in parts], axis=0)
        return cls._with(mean, variance)

    def sparing(self, n_last: int) -> Moments:
        """The same, but for the last dimensions, which they leave as they are."""
        if n_last == 0:
            return self
        mean, deviation = self.mean.copy(), self.deviation.copy()
        mean[-n_last:], deviation[-n_last:] = 0, 1
        return Moments(mean, deviation)

    def apply(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames (T, D) with these moments removed."""
        return np.asarray((frames - self.mean) / self.deviation, np.float32)


def _sums(
    blocks: Iterable[NDArray[np.float32]],
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Number, mean and variance of the frames of all blocks, each (T, D)."""
    n, total, square = 0, np.zeros(1), np.zeros(1)
    for block in blocks:
        wide = block.astype(np.float64)
        n += len(wide)
        total = total + wide.sum(axis=0)
        square = square + np.einsum("td,td->d", wide, wide)
    mean: NDArray[np.float64] = total / n
    return n, mean, np.maximum(square / n - mean**2, 0)


@dataclass(frozen=True)
class Normalisation:
    """Removes mean and variance of features: of the corpus, of each speaker or utterance.

    A speaker that was there at the fit keeps the moments of the fit. An utterance of any other is
    normalised by itself and half a second of an average speaker of the fit, so that it gives the
    same frames whatever else is normalised along with it, unless the utterances of each unknown
    speaker are pooled (`covering`).
    """

    kind: NormalisationKind
    moments: Mapping[str, Moments]
    """By speaker; for the kind "corpus" the one entry is called "corpus"."""
    corpus_id: str = ""
    """The corpus that they were measured on: elsewhere the same name may be another speaker."""
    n_spared: int = 0
    """The last dimensions, which are left as they are: tone, whose scale is its weight."""
    average: Moments | None = None
    """Of a speaker of the fit, where `moments` no longer are of these alone."""

    @classmethod
    def fit(cls, kind: NormalisationKind, features: Features) -> Normalisation:
        """Moments of the features given."""
        spared = n_tone(features.extractor, features.options)
        if kind == "corpus":
            of_all = Moments.of(features[name] for name in features.ids)
            return cls(kind, {"corpus": of_all.sparing(spared)}, features.corpus_id, spared)
        return cls(kind, {}, features.corpus_id, spared).covering(features, pool=True)

    def covering(self, features: Features, *, pool: bool = False) -> Normalisation:
        """The same for features that may have speakers it was not fitted on.

        Of another corpus it knows no speaker.

        Args:
            pool: give each unknown speaker the moments of all its utterances here.
        """
        if self.kind != "speaker":
            return self
        known = self.moments if features.corpus_id == self.corpus_id else {}
        by_speaker = unknown_speakers(features, known) if pool else {}
        average = self.average or (Moments.average(self.moments.values()) if self.moments else None)
        new = {
            s: Moments.of(features[i] for i in ids).sparing(self.n_spared)
            for s, ids in by_speaker.items()
        }
        return replace(self, moments={**known, **new}, average=average)

    def __call__(
        self, frames: NDArray[np.float32], speaker: str | None = None
    ) -> NDArray[np.float32]:
        """One utterance's frames (T, D), normalised."""
        if self.kind == "none":
            return frames
        if self.kind == "corpus":
            return self.moments["corpus"].apply(frames)
        if self.kind == "utterance":
            return Moments.of([frames]).sparing(self.n_spared).apply(frames)
        known = self.moments.get(speaker) if speaker is not None else None
        return (known or self._by_itself(frames)).apply(frames)

    def _by_itself(self, frames: NDArray[np.float32]) -> Moments:
        """Of an utterance whose speaker is unknown."""
        average = self.average
        if average is None and self.moments:
            average = Moments.average(self.moments.values())
        found = Moments.of([frames]) if average is None else Moments.near(frames, average)
        return found.sparing(self.n_spared)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The moments as (S, D) arrays for a bundle, in the order of `names`."""
        if not self.moments:
            return {}
        return {
            "normalisation.mean": np.stack([m.mean for m in self.moments.values()]),
            "normalisation.deviation": np.stack([m.deviation for m in self.moments.values()]),
        }

    @property
    def names(self) -> list[str]:
        """The speakers that have moments, or "corpus"."""
        return list(self.moments)

    @classmethod
    def from_tensors(
        cls,
        kind: NormalisationKind,
        names: list[str],
        tensors: Mapping[str, NDArray[np.float32]],
        corpus_id: str = "",
        n_spared: int = 0,
    ) -> Normalisation:
        """The inverse of `tensors`."""
        if not names:
            return cls(kind, {}, corpus_id, n_spared)
        rows = zip(
            names,
            tensors["normalisation.mean"],
            tensors["normalisation.deviation"],
            strict=True,
        )
        return cls(
            kind,
            {name: Moments(mean, deviation) for name, mean, deviation in rows},
            corpus_id,
            n_spared,
        )


def unknown_speakers(features: Features, known: Container[str]) -> dict[str, list[str]]:
    """Speakers of features that aren't among the known, and their utterances.

    Utterances without a speaker belong to none.
    """
    found: dict[str, list[str]] = {}
    for name in features.ids:
        speaker = features.speakers[name]
        if speaker is not None and speaker not in known:
            found.setdefault(speaker, []).append(name)
    return found


def default_normalisation(features: Features) -> NormalisationKind:
    """Per speaker where every utterance's speaker is known, else per utterance.

    Adapted features are normalised already.
    """
    if features.extractor == "adapted":
        return "none"
    return "utterance" if None in features.speakers.values() else "speaker"


def normalised(features: Features, kind: NormalisationKind) -> Features:
    """Features with their own mean and variance removed, in memory."""
    normalisation = Normalisation.fit(kind, features)
    made = Features.from_arrays(
        {name: normalisation(features[name], features.speakers[name]) for name in features.ids},
        step_ms=features.step_ms,
    )
    options = {**features.options, "normalisation": kind}
    return replace(features, frames=made.frames, index=made.index, options=options)


def unit_length(features: Features) -> Features:
    """Features whose frames have length 1, in memory; all-zero frames stay as they are."""
    frames = features.frames
    lengths = np.sqrt(np.einsum("td,td->t", frames, frames, dtype=np.float64))
    scaled = np.asarray(frames / np.where(lengths == 0, 1, lengths)[:, None], np.float32)
    return replace(features, frames=scaled, options={**features.options, "normalisation": "length"})
