"""What is searched: frames of features, means of a few of them, or units, compared with a query.

Each source gives the frames of any part of an utterance, and the local distances (T, n) between
them and a query's: 1 − cosine of features, the squared Hellinger distance 1 − Σ √(p q) of
posteriors, and a table of distances between all units. MFCCs and log-mels are normalised first. Two
kinds of features can be compared at once: they err in different places.

Hellinger's distance is bounded, so that one frame in which two posteriors disagree does not decide
about a whole word, as it does with −log Σ p q or a KL divergence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted, listed
from zerochain.features.normalisation import Normalisation, default_normalisation
from zerochain.formats.features import Features, check_frames
from zerochain.formats.units import UnitFile
from zerochain.search.alignment import table_costs

Floats = NDArray[np.float32]
NORMALISED = ("mfcc", "log-mel", "mfcc+tone")
"""Kinds of features whose mean and variance are the channel's and the speaker's."""
POSTERIORS = "posteriors"
DERIVATIVES = 1.5
"""Weight of the derivatives of MFCCs in a search by example; chosen on half of the words of
`evaluation/find`."""
_LEAST_PROBABILITY = 1e-6


class Source(ABC):
    """Utterances that can be searched.

    Attributes:
        ids: of the utterances.
        speakers: of the same.
        step_ms: from one frame to the next.
        corpus_id: of the corpus that they are of.
        words: what is compared and how, for people.
    """

    ids: Sequence[str]
    speakers: Mapping[str, str | None]
    step_ms: float
    corpus_id: str
    words: str

    @abstractmethod
    def n_frames(self, name: str) -> int:
        """How long an utterance is."""

    @abstractmethod
    def frames(self, name: str, begin: int = 0, end: int | None = None) -> NDArray[Any]:
        """A part of an utterance, ready to be compared: (T, D) float32 or (T,) int32."""

    @abstractmethod
    def local(self, frames: NDArray[Any], query: NDArray[Any]) -> Floats:
        """Distances of frames, as `frames` gives them, to a query's n: (T, n) float32, C order."""

    def durations_s(self) -> dict[str, float]:
        """Seconds of each utterance."""
        return {name: self.n_frames(name) * self.step_ms / 1000 for name in self.ids}

    def span(self, name: str, start_s: float, end_s: float) -> NDArray[Any]:
        """The frames between two times of an utterance, at least one."""
        step_s, n_frames = self.step_ms / 1000, self.n_frames(name)
        begin = min(max(round(start_s / step_s), 0), n_frames - 1)
        return self.frames(name, begin, max(begin + 1, min(round(end_s / step_s), n_frames)))


class FrameSource(Source):
    """Features: MFCCs, latents, posteriors, a checkpoint's layer."""

    def __init__(
        self,
        features: Features,
        normalisation: Normalisation | None = None,
        *,
        derivatives: float = 1.0,
    ) -> None:
        """Frames of features.

        Args:
            normalisation: that of the searched features, for a query that is not among them; None
                measures it, for those that need one.
            derivatives: weight of the derivatives of MFCCs, beside 1 for the coefficients.
        """
        # A view without numpy's memmap class, whose slices take longer than the frames in them.
        self._features = replace(features, frames=np.asarray(features.frames))
        if normalisation is None:
            wanted = features.extractor in NORMALISED
            kind = default_normalisation(features) if wanted else "none"
            normalisation = Normalisation.fit(kind, features)
        self._normalisation, self._derivatives = normalisation, derivatives
        self._weights = _weights(features, derivatives)
        self._has_posteriors = features.extractor == POSTERIORS
        self.ids, self.speakers = features.ids, features.speakers
        self.step_ms, self.corpus_id = features.step_ms, features.corpus_id
        how = "Hellinger distance" if self._has_posteriors else "cosine"
        kind = normalisation.kind
        self.words = f"{features.extractor} by {how}" + (f", {kind}-norm" if kind != "none" else "")

    def n_frames(self, name: str) -> int:
        return self._features.index[name][1]

    def frames(self, name: str, begin: int = 0, end: int | None = None) -> Floats:
        return self.ready(self.normalised(name, begin, end))

    def ready(self, frames: Floats) -> Floats:
        """Normalised frames in the form in which they are compared."""
        if not self._has_posteriors:
            return _unit_length(frames)
        # Without the tiny ones, whose products are denormal numbers and ten times as slow.
        return np.sqrt(frames, where=frames > _LEAST_PROBABILITY, out=np.zeros_like(frames))

    def local(self, frames: NDArray[Any], query: NDArray[Any]) -> Floats:
        return _one_minus_products(frames, query)

    def normalised(self, name: str, begin: int = 0, end: int | None = None) -> Floats:
        """A part of an utterance before it is brought into the form in which it is compared."""
        whole = self._normalisation.kind == "utterance"
        part = self._features[name] if whole else self._features[name][begin:end]
        normal = self._normalisation(part, self.speakers[name])
        normal = normal[begin:end] if whole else normal
        return normal if self._weights is None else normal * self._weights

    def like(self, features: Features) -> FrameSource:
        """A query's features, normalised as these are.

        Raises:
            InputError: they are of another kind or dimension.
        """
        mine = self._features
        if (features.extractor, features.dim) != (mine.extractor, mine.dim):
            raise InputError(
                f"the query is {features.extractor} of {counted(features.dim, 'number')}, the "
                f"recordings are {mine.extractor} of {counted(mine.dim, 'number')}",
                remedy="extract both with the same options and model",
            )
        check_frames(features.frames, features.dim, features.ids[0])
        normalisation = self._normalisation.covering(features)
        return FrameSource(features, normalisation, derivatives=self._derivatives)


class FusedSource(Source):
    """Two kinds of features of the same utterances: the mean of their distances."""

    def __init__(self, source: FrameSource, other: FrameSource, weight: float) -> None:
        """Frames of `source`, and beside them those of `other`.

        Args:
            weight: of the distance of `other`, beside 1 for that of `source`.

        Raises:
            InputError: `other` lacks utterances, or its frames are not those of the same times.
        """
        if lost := [name for name in source.ids if name not in other.speakers]:
            raise InputError(
                f"the second features lack {counted(len(lost), 'utterance')}: {listed(lost)}",
                cause="they are of another corpus or split",
                remedy="extract or encode the same utterances",
            )
        if source.step_ms != other.step_ms:
            raise InputError(
                f"steps of {other.step_ms:g} ms beside steps of {source.step_ms:g} ms",
                cause="the latents of a model with stride= above 1 have longer steps",
                remedy="give features with the same step",
            )
        if lost := [n for n in source.ids if source.n_frames(n) != other.n_frames(n)]:
            raise InputError(
                f"another number of frames in {counted(len(lost), 'utterance')}: {listed(lost)}",
                cause="the recordings were changed or cut anew in between",
                remedy="extract and encode again from one corpus",
            )
        self._parts, self._weight = (source, other), weight
        total = 1 + weight
        self._scales = (np.float32((1 / total) ** 0.5), np.float32((weight / total) ** 0.5))
        self.ids, self.speakers = source.ids, source.speakers
        self.step_ms, self.corpus_id = source.step_ms, source.corpus_id
        self.words = f"{source.words}, and {other.words} with a weight of {weight:g}"

    def n_frames(self, name: str) -> int:
        return self._parts[0].n_frames(name)

    def frames(self, name: str, begin: int = 0, end: int | None = None) -> Floats:
        """Both kinds side by side, so that the distance is one product again."""
        parts = [one.frames(name, begin, end) for one in self._parts]
        scaled = [part * scale for part, scale in zip(parts, self._scales, strict=True)]
        return np.concatenate(scaled, axis=1)

    def local(self, frames: NDArray[Any], query: NDArray[Any]) -> Floats:
        return _one_minus_products(frames, query)

    def like(self, features: Features, other: Features) -> FusedSource:
        """A query's features of both kinds, normalised as these are.

        Raises:
            InputError: they are of another kind or dimension.
        """
        one, two = self._parts
        return FusedSource(one.like(features), two.like(other), self._weight)


class PooledSource(Source):
    """Means of every `factor` frames of a frame source: a coarser view for a first pass."""

    def __init__(self, source: FrameSource, factor: int) -> None:
        self._source, self.factor = source, factor
        self.ids, self.speakers = source.ids, source.speakers
        self.step_ms, self.corpus_id = source.step_ms * factor, source.corpus_id
        self.words = f"{source.words}, means of {factor} frames"

    def n_frames(self, name: str) -> int:
        return self._source.n_frames(name) // self.factor

    def frames(self, name: str, begin: int = 0, end: int | None = None) -> Floats:
        end = self.n_frames(name) if end is None else end
        normal = self._source.normalised(name, begin * self.factor, end * self.factor)
        return self._pooled(normal)

    def _pooled(self, normal: Floats) -> Floats:
        whole = normal[: len(normal) // self.factor * self.factor]
        total = whole[0 :: self.factor].copy()
        for i in range(1, self.factor):  # far faster than a mean over an axis of four
            total += whole[i :: self.factor]
        return self._source.ready(total / np.float32(self.factor))

    def span(self, name: str, start_s: float, end_s: float) -> Floats:
        """The means from the query's own beginning on, wherever that lies."""
        fine_s = self._source.step_ms / 1000
        last = self._source.n_frames(name)
        begin = min(max(round(start_s / fine_s), 0), max(last - self.factor, 0))
        end = min(max(round(end_s / fine_s), begin + self.factor), last)
        return self._pooled(self._source.normalised(name, begin, end))

    def local(self, frames: NDArray[Any], query: NDArray[Any]) -> Floats:
        return self._source.local(frames, query)

    def like(self, features: Features) -> PooledSource:
        """Means of a query's features; raises as `FrameSource.like`."""
        return PooledSource(self._source.like(features), self.factor)


@dataclass(frozen=True)
class _Speech:
    """Units of every step, end to end, and where each utterance's begin."""

    steps: NDArray[np.int32]
    bounds: Mapping[str, tuple[int, int]]


class UnitSource(Source):
    """Units, compared by the distance of their code vectors."""

    def __init__(self, unit_file: UnitFile, table: Floats) -> None:
        """Units of recordings.

        Args:
            table: (K, K) distances between units, as `unit_distances`.
        """
        if table.shape != (unit_file.n_units, unit_file.n_units):
            raise InputError(f"{table.shape} distances for {unit_file.n_units} units")
        self._units, self._table = unit_file, np.ascontiguousarray(table, np.float32)
        bounds, n = {}, 0
        parts = [unit_file.steps(name) for name in unit_file.ids]
        for name, part in zip(unit_file.ids, parts, strict=True):
            bounds[name] = (n, n + len(part))
            n += len(part)
        self._speech = _Speech(np.concatenate(parts), bounds)
        self.ids, self.step_ms = unit_file.ids, unit_file.step_ms
        self.speakers = {name: unit_file.speakers.get(name) for name in unit_file.ids}
        self.corpus_id, self.words = unit_file.corpus_id, f"units of {unit_file.method}"

    def n_frames(self, name: str) -> int:
        begin, end = self._speech.bounds[name]
        return end - begin

    def frames(self, name: str, begin: int = 0, end: int | None = None) -> NDArray[np.int32]:
        first, last = self._speech.bounds[name]
        return self._speech.steps[first:last][begin:end]

    def local(self, frames: NDArray[Any], query: NDArray[Any]) -> Floats:
        out = np.empty((len(frames), len(query)), np.float32)
        table_costs(np.ascontiguousarray(self._table[:, query]), frames, out)
        return out

    def like(self, unit_file: UnitFile) -> UnitSource:
        """A query's units.

        Raises:
            ModelMismatchError: they are of another model.
        """
        self._units.check_model(unit_file.model_id, "query")
        return UnitSource(replace(unit_file, n_units=self._units.n_units), self._table)


def unit_distances(codebook: NDArray[np.floating] | None, n_units: int) -> Floats:
    """Distances between units (K, K): half of 1 − cosine of their code vectors, 0 … 1.

    Code vectors are centred first: those of a VQ-VAE or of MFCCs all point in one direction.

    Args:
        codebook: (K, D); None is unknown, and all different units are equally far.
    """
    if codebook is None:
        return np.asarray(1 - np.eye(n_units), np.float32)
    centred = _unit_length(np.asarray(codebook - codebook.mean(axis=0), np.float32))
    table = np.clip((1 - centred @ centred.T) / 2, 0, 1)
    np.fill_diagonal(table, 0)
    return np.asarray(table, np.float32)


def _weights(features: Features, derivatives: float) -> Floats | None:
    """Of each dimension (D,); None where all are 1."""
    n_mfcc = int(features.options.get("n_mfcc", features.dim))
    behind = n_mfcc * (1 + int(features.options.get("n_deltas", 0)))
    if not features.extractor.startswith("mfcc") or derivatives == 1 or behind > features.dim:
        return None
    weights = np.ones(features.dim, np.float32)
    weights[n_mfcc:behind] = derivatives
    return weights


def _one_minus_products(frames: NDArray[Any], query: NDArray[Any]) -> Floats:
    """Of frames (T, D) and a query's (n, D), (T, n)."""
    products: Floats = frames @ np.ascontiguousarray(query.T)
    np.subtract(np.float32(1), products, out=products)
    return products


def _unit_length(frames: Floats) -> Floats:
    """Frames (T, D) of length 1; all-zero ones stay."""
    lengths = np.sqrt(np.einsum("td,td->t", frames, frames))
    return np.asarray(frames / np.where(lengths > 0, lengths, 1)[:, None], np.float32)
