"""The front end of a unit model: features of recordings → frames that are clustered.

In this order, each step optional: vocal-tract-length normalisation (VTLN), mean and variance
normalisation, context (neighbouring frames stacked, then principal components or discriminants),
attenuation of directions in which speakers differ, an affine transform for each speaker (fMLLR),
and averaging over the stride. A front end is fitted once with its unit model and saved with it,
with what it measured of each speaker. Speakers it was not fitted on are measured when they are
encoded: each utterance by itself, so that it gets the same units whatever else is encoded.
`sample_frames` are the frames that a model is fitted on, in memory or, where they are many, on the
disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from zerochain.config import Config
from zerochain.errors import InputError, counted, listed
from zerochain.features.adaptation import Adaptation
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.features.normalisation import (
    Moments,
    Normalisation,
    NormalisationKind,
    default_normalisation,
    n_tone,
    unknown_speakers,
)
from zerochain.features.projection import Projection, attenuation
from zerochain.features.vtln import Vtln
from zerochain.formats.features import Features
from zerochain.progress import track

_CONTEXT, _COMPONENTS = 4, 40
_ATTENUATION_FRAMES = 200_000  # that the directions are found on


class FrontEndOptions(Config):
    """How features are prepared before units are discovered in them."""

    normalisation: Literal["auto", NormalisationKind] = "auto"
    """Mean and variance normalisation of the features; auto is speaker where speakers are known,
    else utterance."""
    context: int | None = Field(
        None,
        ge=0,
        json_schema_extra={"default": "4, with 40 components, for K-Means of MFCCs; else 0"},
    )
    """Frames on each side that are stacked beside each frame."""
    components: int | None = Field(None, ge=1, json_schema_extra={"default": "all"})
    """Principal components of the (stacked) features to keep, not whitened."""
    warp: bool = False
    """Warp each speaker's spectra to a common vocal-tract length, by likelihood (VTLN)."""
    speaker_attenuation: float = Field(0.0, ge=0)
    """How strongly to attenuate directions in which known speakers differ; 8 is strong."""

    @field_validator("normalisation", mode="before")
    @classmethod
    def _older(cls, value: Any) -> Any:
        """Bundles of version 1 have None for "auto"."""
        return "auto" if value is None else value

    def for_kmeans(self, features: Features) -> FrontEndOptions:
        """With the context in which K-Means clusters MFCCs best, where none was chosen.

        evaluation/normalisation measures what it is worth. Mixtures gain nothing by it; other
        features bring a context of their own or weren't measured.
        """
        if (
            self.context is not None
            or self.components is not None
            or (features.extractor not in {"mfcc", "mfcc+tone"})
        ):
            return self
        return self.model_copy(update={"context": _CONTEXT, "components": _COMPONENTS})


@dataclass(frozen=True)
class FrontEnd:
    """Turns an utterance's features (T, D) into what is clustered: (⌈T / stride⌉, D')."""

    extractor: str
    options: Mapping[str, Any]
    step_ms: float
    stride: int
    normalisation: Normalisation
    projection: Projection | None = None
    vtln: Vtln | None = None
    speaker_attenuation: float = 0.0
    """What the projection holds of it, as the options name it."""
    is_discriminant: bool = False
    """Whether the projection ends in LDA and MLLT."""
    adaptation: Adaptation | None = None

    @classmethod
    def fit(cls, features: Features, stride: int, options: FrontEndOptions) -> FrontEnd:
        """Fit each step on what the steps before it give.

        Raises:
            InputError: features that can't be warped, more components than dimensions, or
                speakers to attenuate who aren't known.
        """
        vtln = Vtln.fit(features) if options.warp else None
        warped = features if vtln is None else vtln.view(features)
        kind = options.normalisation
        if kind == "auto":
            kind = default_normalisation(features)
        front_end = cls(
            extractor=features.extractor,
            options=dict(features.options),
            step_ms=features.step_ms,
            stride=stride,
            normalisation=Normalisation.fit(kind, warped),
            vtln=vtln,
        )
        context = options.context or 0
        if context > 0 or options.components is not None:
            utterances = (front_end.prepared(features, name) for name in features.ids)
            projection = Projection.fit(utterances, context, options.components)
            front_end = replace(front_end, projection=projection)
        if options.speaker_attenuation > 0:
            front_end = front_end._attenuating(features, options.speaker_attenuation)
        return front_end

    def _attenuating(self, features: Features, strength: float) -> FrontEnd:
        """This front end with directions in which speakers differ attenuated."""
        n_frames = sum(n for _, n in features.index.values())
        every = -(-n_frames // _ATTENUATION_FRAMES)
        blocks = [self.prepared(features, name)[::every].copy() for name in features.ids]
        pairs = zip(features.ids, blocks, strict=True)
        speakers = [features.speakers[name] for name, block in pairs for _ in block]
        matrix = attenuation(np.concatenate(blocks), speakers, strength)
        projection = self.projection or Projection.identity(len(matrix))
        return replace(
            self, projection=projection.followed_by(matrix), speaker_attenuation=strength
        )

    def covering(self, features: Features, *, pool: bool = False) -> FrontEnd:
        """This front end, ready for features that may have speakers it was not fitted on.

        Args:
            pool: measure each unknown speaker on all its utterances here, instead of each
                utterance by itself.

        Raises:
            InputError: the features are of another extractor or other options.
        """
        mine = self.extractor, _lasting(self.options)
        theirs = features.extractor, _lasting(features.options)
        if mine != theirs:
            raise InputError(
                f"the features are {theirs[0]} {theirs[1]}, the model was fitted on {mine[0]} "
                f"{mine[1]}",
                cause="they were extracted with other options",
                remedy="use features=None, and the model extracts what it needs",
            )
        vtln = None if self.vtln is None else self.vtln.covering(features, pool=pool)
        warped = features if vtln is None else vtln.view(features)
        normalisation = self.normalisation.covering(warped, pool=pool)
        covering = replace(self, vtln=vtln, normalisation=normalisation)
        if self.adaptation is None:
            return covering
        adaptation = self.adaptation.covering(
            features, lambda name: covering.evidence(features, name), pool=pool
        )
        return replace(covering, adaptation=adaptation)

    def rests_on(self, features: Features, *, pool: bool = False) -> str | None:
        """On how much speech unknown speakers are measured, in words for people.

        None where all are known, or nothing depends on the speaker.

        Args:
            pool: as `covering` was called.
        """
        parts = {
            "warped": self.vtln is not None,
            "normalised": self.normalisation.kind == "speaker",
            "adapted": self.adaptation is not None,
        }
        steps = [name for name, is_done in parts.items() if is_done]
        same_corpus = features.corpus_id == self.normalisation.corpus_id
        known = set(self._speakers) if same_corpus else set()
        unknown = unknown_speakers(features, known)
        nameless = [name for name in features.ids if features.speakers[name] is None]
        if not steps or not (unknown or nameless):
            return None
        names = [name for ids in unknown.values() for name in ids]
        groups = list(unknown.values()) if pool else [[name] for name in names]
        groups += [[name] for name in nameless]
        lengths = [sum(features.index[name][1] for name in ids) for ids in groups]
        seconds = np.sort(lengths) * self.step_ms / 1000
        who = [counted(len(unknown), "speaker") + " unknown to the model"] if unknown else []
        who += [counted(len(nameless), "utterance") + " without a speaker"] if nameless else []
        how = "all utterances here of a speaker together" if pool else "each utterance by itself"
        line = (
            f"{' and '.join(who)}: {how} {' and '.join(steps)}, on {seconds[0]:.1f} to "
            f"{seconds[-1]:.1f} s of speech (median {np.median(seconds):.1f} s)"
        )
        namesakes = sorted(unknown.keys() & set(self._speakers))
        return f"{line}\n{_of_another_corpus(namesakes)}" if namesakes else line

    @property
    def _speakers(self) -> list[str]:
        """The speakers that were measured at the fit."""
        if self.normalisation.kind == "speaker":
            return self.normalisation.names
        if self.adaptation is not None:
            return self.adaptation.names
        return [] if self.vtln is None else self.vtln.names

    def __call__(self, features: Features, name: str) -> NDArray[np.float32]:
        """One utterance, prepared and averaged over the stride."""
        return average(self.prepared(features, name), self.stride)

    def prepared(self, features: Features, name: str) -> NDArray[np.float32]:
        """One utterance warped, normalised, projected and adapted, frame by frame: (T, D')."""
        frames = self.unadapted(features, name)
        if self.adaptation is None:
            return frames
        return self.adaptation(frames, features.speakers[name], average(frames, self.stride))

    def evidence(self, features: Features, name: str) -> NDArray[np.float32]:
        """What the utterance's transform is estimated on: averaged over the stride, unadapted."""
        return average(self.unadapted(features, name), self.stride)

    def unadapted(self, features: Features, name: str) -> NDArray[np.float32]:
        """One utterance warped, normalised and projected, frame by frame: (T, D')."""
        frames, speaker = features[name], features.speakers[name]
        if self.vtln is not None:
            frames = self.vtln(frames, name, speaker)
        frames = self.normalisation(frames, speaker)
        return frames if self.projection is None else self.projection(frames)

    def n_steps(self, n_frames: int) -> int:
        """How many steps so many frames become."""
        return -(-n_frames // self.stride)

    def dim(self, dim: int) -> int:
        """Dimensions that `dim` dimensions of features become."""
        return dim if self.projection is None else self.projection.matrix.shape[1]

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Its arrays, for a bundle."""
        parts = (self.vtln, self.normalisation, self.projection, self.adaptation)
        return {n: t for part in parts if part is not None for n, t in part.tensors().items()}

    def check(self, n_out: int) -> None:
        """Raise ValueError unless its parts were made for each other.

        Args:
            n_out: dimensions that have to come out.
        """
        n_in: set[int] = {len(m.mean) for m in self.normalisation.moments.values()}
        n_in |= {len(m.deviation) for m in self.normalisation.moments.values()}
        if any((m.deviation <= 0).any() for m in self.normalisation.moments.values()):
            raise ValueError("its normalisation divides by 0 or less")
        if self.vtln is not None:
            n_in |= self.vtln.dims
        if self.projection is not None:
            n_stacked = self.projection.matrix.shape[0]
            if self.projection.matrix.ndim != 2 or self.projection.mean.shape != (n_stacked,):
                raise ValueError("its projection's mean and matrix have different shapes")
            n_in.add(n_stacked // (2 * self.projection.context + 1))
            given = {self.projection.matrix.shape[1]}
        else:
            given = n_in
        if len(n_in) > 1 or (given and given != {n_out}):
            raise ValueError(f"its parts are of {sorted(n_in)} and {sorted(given)} dimensions")
        if self.adaptation is not None:
            self.adaptation.check(n_out)

    @property
    def unit_step_ms(self) -> float:
        """How long one unit lasts."""
        return self.step_ms * self.stride

    @property
    def summary(self) -> str:
        """It in a few words for people."""
        made_by = self.options.get("front_end") if self.extractor == "adapted" else None
        words = [f"{self.extractor} ({made_by})" if made_by else self.extractor]
        words += ["warp"] if self.vtln else []
        words.append(f"norm={self.normalisation.kind}")
        shown = self.is_discriminant or not (self.projection and self.projection.keeps_frames)
        if self.projection is not None and shown:
            lda = "lda " if self.is_discriminant else ""
            words.append(f"{lda}±{self.projection.context}→{self.projection.matrix.shape[1]}")
        if self.speaker_attenuation:
            words.append(f"attenuation={self.speaker_attenuation:g}")
        if self.adaptation is not None:
            words.append("fmllr")
        return " ".join(words)

    def config(self) -> dict[str, Any]:
        """What a bundle's config.json holds of it; its arrays are `tensors()`."""
        return {
            "extractor": self.extractor,
            "options": dict(self.options),
            "step_ms": self.step_ms,
            "stride": self.stride,
            "normalisation": self.normalisation.kind,
            "normalisation_of": self.normalisation.names,
            "normalisation_corpus": self.normalisation.corpus_id,
            "warp_of": None if self.vtln is None else self.vtln.names,
            "context": 0 if self.projection is None else self.projection.context,
            "speaker_attenuation": self.speaker_attenuation,
            "lda": self.is_discriminant,
            "adaptation": None if self.adaptation is None else self.adaptation.config(),
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
    ) -> FrontEnd:
        """The inverse of `config` and `tensors`."""
        names, corpus_id = config["warp_of"], config["normalisation_corpus"]
        adaptation = config.get("adaptation")  # older bundles have neither it nor "lda"
        return cls(
            extractor=config["extractor"],
            options=config["options"],
            step_ms=config["step_ms"],
            stride=config["stride"],
            normalisation=Normalisation.from_tensors(
                config["normalisation"],
                config["normalisation_of"],
                tensors,
                corpus_id,
                n_tone(config["extractor"], config["options"]),
            ),
            projection=Projection.from_tensors(config["context"], tensors),
            vtln=None
            if names is None
            else Vtln.from_tensors(config["options"], names, tensors, corpus_id),
            speaker_attenuation=config["speaker_attenuation"],
            is_discriminant=config.get("lda", False),
            adaptation=None
            if adaptation is None
            else Adaptation.from_tensors(adaptation, tensors, corpus_id),
        )


def _lasting(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without the path of a checkpoint: elsewhere it gives the same."""
    return {name: value for name, value in options.items() if name != "path"}


def average(frames: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Mean of every `stride` frames, the last over as many as are left: (⌈T / stride⌉, D)."""
    if stride == 1:
        return frames
    starts = np.arange(0, len(frames), stride)
    counts = np.diff(np.append(starts, len(frames)))[:, None]
    return np.asarray(np.add.reduceat(frames, starts, axis=0) / counts, np.float32)


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
        spared = front_end.normalisation.n_spared
        moments = [Moments.of(features[name] for name in features.ids).sparing(spared)]
    deviation = np.stack([m.deviation for m in moments]).mean(axis=0) if moments else None
    extractor, made = front_end.extractor, front_end.options
    augmentation = Augmentation.of(options, extractor, made, deviation, device)
    if front_end.projection is None:
        return augmentation
    return augmentation.through(front_end.projection.matrix)


IN_MEMORY_BYTES = 1 << 29
"""Frames beyond this size lie in a temporary file: a fit reads them from there every round."""


def sample_frames(
    features: Features, front_end: FrontEnd, max_frames: int, seed: int
) -> NDArray[np.float32]:
    """All frames after the front end, or a random `max_frames` of them, in order: (N, D).

    Where they are large they are a memory-mapped file in the folder for temporary files
    (TMPDIR), which is gone from the disk once the array is.

    Raises:
        InputError: no space left for that file.
    """
    lengths = [front_end.n_steps(n) for _, n in features.index.values()]
    n_frames, dim = min(sum(lengths), max_frames), front_end.dim(features.dim)
    blocks = _blocks(features, front_end, _masks(lengths, n_frames, seed))
    if n_frames * dim * 4 > IN_MEMORY_BYTES:
        return _on_disk(blocks, n_frames, dim)
    frames = np.empty((n_frames, dim), np.float32)
    row = 0
    for block in blocks:
        frames[row : row + len(block)] = block
        row += len(block)
    return frames


def _masks(lengths: list[int], n_frames: int, seed: int) -> list[NDArray[np.bool_]]:
    """Which frames of each utterance to keep, `n_frames` of all of them."""
    keep = np.ones(sum(lengths), bool)
    if len(keep) > n_frames:
        keep[np.random.default_rng(seed).permutation(len(keep))[n_frames:]] = False
    return np.split(keep, np.cumsum(lengths)[:-1])


def _blocks(
    features: Features, front_end: FrontEnd, masks: list[NDArray[np.bool_]]
) -> Iterator[NDArray[np.float32]]:
    for name, mask in zip(track(features.ids, "Reading features"), masks, strict=True):
        if mask.any():
            yield front_end(features, name)[mask]


def _on_disk(blocks: Iterator[NDArray[np.float32]], n_frames: int, dim: int) -> NDArray[np.float32]:
    """The blocks as one array, mapped from a file without a name: a killed process leaves none."""
    try:  # around the whole: closing the file writes what is left, and can fail as well
        with tempfile.TemporaryFile(prefix="zerochain-") as file:
            for block in blocks:
                file.write(block.tobytes())
            file.flush()
            return np.memmap(file, np.float32, mode="r+", shape=(n_frames, dim))
    except OSError as error:
        raise InputError(
            f"{n_frames} frames can't be written ({error.strerror})",
            path=tempfile.gettempdir(),
            cause=f"they need {n_frames * dim * 4 / 1e9:.1f} GB on the disk while they last",
            remedy=f"set TMPDIR to a folder with more room, or lower max_frames={n_frames}",
        ) from error


def check_enough(
    n_frames: int, n_units: int, features: Features, stride: int, max_frames: int | None = None
) -> None:
    """Raise InputError where there are fewer frames than units, after the stride and the sample."""
    if max_frames is not None and n_frames == max_frames < n_units:
        raise InputError(
            f"{counted(n_units, 'unit')} can't be found in max_frames={max_frames}",
            remedy=f"use max_frames={n_units} at least, better a hundred times as many",
        )
    if n_frames < n_units:
        raise InputError(
            f"{counted(n_units, 'unit')} can't be found in {counted(n_frames, 'frame')}",
            cause=f"{counted(len(features), 'utterance')} at stride={stride} are too little speech",
            remedy=f"give more recordings, or use n_units={n_frames} at most",
        )


def _of_another_corpus(namesakes: list[str]) -> str:
    """Why speakers that the model knows by name are unknown all the same, and what to do."""
    return (
        f"the model was fitted on another corpus, with speakers of the same names: "
        f"{listed(namesakes)}; whether they are the same people, names don't say. Where they are: "
        "encode from the corpus that the model was fitted on, or fit the model on this one"
    )
