"""Vocal-tract-length normalisation (VTLN): each speaker's spectra warped to a common length.

A longer vocal tract has lower formants. Reading a spectrum at a multiple of its frequencies is, on
mel energies and on cepstra, a linear map of each frame: `warp_matrix`, which also makes other
voices for training (`augmentation.py`). `Vtln` chooses each speaker's factor by likelihood under a
small mixture of all speakers, as Lee and Rose (1998) do, without their transcripts.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.audio import SAMPLE_RATE
from zerochain.errors import InputError
from zerochain.features.normalisation import Moments
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.features import Features
from zerochain.modules.mel import cosines, mel_edges_hz
from zerochain.progress import track

Frames = NDArray[np.float32]
FACTORS = sorted((round(0.84 + 0.02 * i, 2) for i in range(17)), key=lambda factor: abs(factor - 1))
"""To choose from; 1 comes first, and the first of equally likely ones is taken."""
_COMPONENTS = 32  # enough to know vowels, too few to know speakers
_FRAMES_PER_COMPONENT = 100
_ROUNDS = 3
_FIT_FRAMES = 100_000  # of all speakers together
_MOST_FRAMES, _FEWEST_FRAMES = 5_000, 200  # of one speaker
_DIGITS = 4  # of a log-likelihood: what differs by less is equal
_LOWEST = -80.0  # logarithms below it make denormal numbers, which are slow and change nothing
_NYQUIST_HZ = SAMPLE_RATE / 2
_BREAK = 0.875  # of the band: beyond it the warp bends, so that it ends where the band ends


@lru_cache(maxsize=64)
def warp_matrix(factor: float, options: SpectralOptions) -> NDArray[np.float32]:
    """What frames (T, D) are multiplied by, (D, D), to read their spectrum at `factor` · f.

    A factor above 1 moves formants down, as a longer vocal tract would. The piecewise linear
    warp of Lee and Rose, "A frequency warping approach to speaker normalization" (1998), by
    interpolation between mel bands in dB: W. On cepstra it is C · W · C⁺ (Pitz and Ney, "Vocal
    tract normalization equals linear transformation in cepstral space", 2005), and the same on
    their derivatives in time.
    """
    centres = mel_edges_hz(options.n_mels)[1:-1]
    bands = np.arange(options.n_mels)
    positions = np.interp(warped_hz(centres, factor), centres, bands)
    warp = np.maximum(0, 1 - np.abs(positions[:, None] - bands))
    if options.kind == "mfcc":
        cepstra = cosines(options.n_mels)[: options.n_mfcc]
        warp = np.kron(np.eye(1 + options.n_deltas), cepstra @ warp @ cepstra.T)
    return np.ascontiguousarray(warp.T, np.float32)


def warped_hz(hz: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Where a spectrum is read for these frequencies: at `factor` · f, and beyond a bend on the
    straight line to the end of the band."""
    bend = _BREAK * _NYQUIST_HZ * min(1.0, 1 / factor)
    slope = (_NYQUIST_HZ - factor * bend) / (_NYQUIST_HZ - bend)
    return np.where(hz <= bend, factor * hz, _NYQUIST_HZ - slope * (_NYQUIST_HZ - hz))


@dataclass(frozen=True)
class Reference:
    """A small mixture of diagonal Gaussians, which every speaker is warped towards."""

    weights: Frames
    """(M,)"""
    means: Frames
    """(M, D)"""
    variances: Frames
    """(M, D)"""

    @classmethod
    def fit(cls, frames: Frames) -> Reference:
        """The mixture of frames (N, D), after a few rounds of EM."""
        import sklearn.mixture  # slow to import, and only a fit needs it

        frames = np.repeat(frames, 2, axis=0) if len(frames) == 1 else frames
        mixture = sklearn.mixture.GaussianMixture(
            max(1, min(_COMPONENTS, len(frames) // _FRAMES_PER_COMPONENT)),
            covariance_type="diag",
            reg_covar=1e-3,
            max_iter=15,
            init_params="k-means++",
            random_state=0,
        )
        with warnings.catch_warnings():
            # The next round goes on.
            warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
            mixture.fit(frames.astype(np.float64))
        arrays = mixture.weights_, mixture.means_, mixture.covariances_
        return cls(*(np.asarray(array, np.float32) for array in arrays))

    def log_likelihood(self, frames: Frames) -> float:
        """Of a frame of (T, D), the mean, in nats."""
        precisions = 1 / self.variances
        squares = np.log(2 * np.pi * self.variances) + self.means**2 * precisions
        logs = frames @ (self.means * precisions).T - 0.5 * (frames**2 @ precisions.T)
        logs += np.log(self.weights) - 0.5 * squares.sum(axis=1)
        highest = logs.max(axis=1, keepdims=True)
        shares = np.exp(np.maximum(logs - highest, _LOWEST)).sum(axis=1)
        return float((highest[:, 0] + np.log(shares)).mean(dtype=np.float64))


@dataclass(frozen=True)
class Vtln:
    """Warps the spectra of each speaker by the factor that makes them likeliest.

    A reference is fitted on all speakers, each speaker takes the factor of the highest likelihood
    under it, and so on again. Likelihoods are of frames normalised after the warp, so that no
    Jacobian is needed. A speaker that was there at the fit keeps its factor; an utterance of any
    other has one of its own, unless those of each unknown speaker are pooled (`covering`).
    """

    spectral: SpectralOptions
    reference: Reference
    factors: Mapping[str, float]
    """By speaker."""
    corpus_id: str = ""
    """The corpus that they were chosen on: elsewhere the same name may be another speaker."""
    own: Mapping[str, float] = field(default_factory=dict)
    """Of utterances whose speaker has no factor, by id; never stored."""

    @classmethod
    def fit(cls, features: Features) -> Vtln:
        """Fit the reference, and choose the speakers' factors.

        Raises:
            InputError: the features are neither MFCCs nor mel energies.
        """
        spectral = _spectral(features)
        groups = list(_by_speaker(features).values())
        groups = groups[:: -(-len(groups) * _FEWEST_FRAMES // _FIT_FRAMES)]
        n_most = max(_FEWEST_FRAMES, min(_MOST_FRAMES, _FIT_FRAMES // len(groups)))
        samples = [_some_frames(features, ids, n_most) for ids in groups]
        factors = [1.0] * len(samples)
        for _ in track(range(_ROUNDS), "VTLN"):
            reference = _refit(samples, factors, spectral)
            factors = [_likeliest(sample, reference, spectral) for sample in samples]
        reference = _refit(samples, factors, spectral)
        return cls(spectral, reference, {}, features.corpus_id).covering(features, pool=True)

    def covering(self, features: Features, *, pool: bool = False) -> Vtln:
        """The same for features that may have speakers it was not fitted on.

        Of another corpus it knows no speaker.

        Args:
            pool: choose the factor of each unknown speaker on all its utterances here.
        """
        factors = dict(self.factors) if features.corpus_id == self.corpus_id else {}
        own: dict[str, float] = {}
        groups = [
            (speaker if pool else None, part)
            for (speaker, _), ids in _by_speaker(features).items()
            if speaker not in factors
            for part in ([ids] if pool else [[name] for name in ids])
        ]
        for speaker, ids in track(groups, "VTLN"):
            sample = _some_frames(features, ids, _MOST_FRAMES)
            factor = _likeliest(sample, self.reference, self.spectral)
            if speaker is None:
                own[ids[0]] = factor
            else:
                factors[speaker] = factor
        return replace(self, factors=factors, own=own, corpus_id=features.corpus_id)

    def __call__(self, frames: Frames, name: str, speaker: str | None) -> Frames:
        """The frames (T, D) of the utterance `name`, warped.

        Raises:
            InputError: its speaker has no factor (call `covering` first).
        """
        factor = self.factors.get(speaker) if speaker is not None else None
        factor = self.own.get(name) if factor is None else factor
        if factor is None:
            raise InputError(
                f"utterance {name!r} of speaker {speaker!r} has no warp",
                remedy="call covering(features) first",
            )
        return frames @ warp_matrix(factor, self.spectral)

    def view(self, features: Features) -> Features:
        """The features, each utterance warped when it is looked at."""
        return _WarpedFeatures(**vars(features), vtln=self)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The reference, and the factors in the order of `names`, for a bundle."""
        return {
            "warping.weights": self.reference.weights,
            "warping.means": self.reference.means,
            "warping.variances": self.reference.variances,
            "warping.factors": np.array(list(self.factors.values()), np.float64),
        }

    @property
    def names(self) -> list[str]:
        """The speakers that have a factor."""
        return list(self.factors)

    @property
    def dims(self) -> set[int]:
        """Dimensions of the features that it warps: one number, if its parts fit together."""
        means, variances = self.reference.means, self.reference.variances
        if means.shape != variances.shape or len(means) != len(self.reference.weights):
            raise ValueError("its reference's means, variances and weights have other shapes")
        if not (variances > 0).all() or not all(f > 0 for f in self.factors.values()):
            raise ValueError("its warps have variances or factors of 0 or less")
        return {means.shape[-1], self.spectral.dim}

    @classmethod
    def from_tensors(
        cls,
        options: Mapping[str, Any],
        names: list[str],
        tensors: Mapping[str, NDArray[Any]],
        corpus_id: str = "",
    ) -> Vtln:
        """The inverse of `tensors`; `options` are the features'."""
        reference = Reference(
            *(tensors[f"warping.{name}"] for name in ("weights", "means", "variances"))
        )
        factors = zip(names, tensors["warping.factors"].tolist(), strict=True)
        return cls(SpectralOptions(**options), reference, dict(factors), corpus_id)


def in_other_voices(features: Features, factor: float) -> Features:
    """The features as other speakers would give them: a view, warped when it is looked at.

    Speakers get other names, so that a model measures them anew, as it does unknown ones, rather
    than taking what it knows of the voices that were warped.

    Args:
        factor: length of the vocal tracts, as a multiple of the speakers' own.

    Raises:
        InputError: the features are neither MFCCs nor mel energies, or a factor beyond ½ … 2.
    """
    if not 0.5 <= factor <= 2:
        raise InputError(
            f"a vocal tract of {factor:g} times the length is no speaker's",
            remedy="use a factor from 0.8 to 1.25, as people differ",
        )
    others = {
        name: None if speaker is None else f"{speaker} × {factor:g}"
        for name, speaker in features.speakers.items()
    }
    matrix = warp_matrix(factor, _spectral(features))
    return _Multiplied(**{**vars(features), "speakers": others}, matrix=matrix)


@dataclass(frozen=True, eq=False)
class _Multiplied(Features):
    matrix: Frames = field(kw_only=True)

    def __getitem__(self, name: str) -> Frames:
        return super().__getitem__(name) @ self.matrix


@dataclass(frozen=True, eq=False)
class _WarpedFeatures(Features):
    vtln: Vtln = field(kw_only=True)

    def __getitem__(self, name: str) -> Frames:
        return self.vtln(super().__getitem__(name), name, self.speakers[name])


def _spectral(features: Features) -> SpectralOptions:
    """What the features are made of."""
    try:
        spectral = SpectralOptions(**features.options)
    except (InputError, TypeError):
        spectral = None
    if spectral is None or (spectral.kind, spectral.dim) != (features.extractor, features.dim):
        raise InputError(
            f"features of kind {features.extractor!r} can't be warped",
            cause="only MFCCs and mel energies that zerochain extracted have known frequencies",
            remedy="use warp=False, or features=mfcc or log-mel",
        )
    return spectral


def _by_speaker(features: Features) -> dict[tuple[str | None, str], list[str]]:
    """The utterances of each speaker; one without a known speaker is a group of its own."""
    groups: dict[tuple[str | None, str], list[str]] = {}
    for name in features.ids:
        speaker = features.speakers[name]
        groups.setdefault((speaker, name if speaker is None else ""), []).append(name)
    return groups


def _some_frames(features: Features, ids: list[str], n_most: int) -> Frames:
    """The frames of these utterances, evenly thinned to at most `n_most`."""
    n_frames = sum(features.index[name][1] for name in ids)
    step = -(-n_frames // n_most)
    return np.concatenate([features[name] for name in ids])[::step]


def _refit(samples: list[Frames], factors: list[float], spectral: SpectralOptions) -> Reference:
    pairs = zip(samples, factors, strict=True)
    return Reference.fit(np.concatenate([_normalised(s, f, spectral) for s, f in pairs]))


def _likeliest(frames: Frames, reference: Reference, spectral: SpectralOptions) -> float:
    """The factor under which the frames are likeliest."""

    def score(factor: float) -> float:
        return round(reference.log_likelihood(_normalised(frames, factor, spectral)), _DIGITS)

    return max(FACTORS, key=score)


def _normalised(frames: Frames, factor: float, spectral: SpectralOptions) -> Frames:
    """Frames (T, D) warped and then normalised, so that no factor is better for its scale."""
    warped = frames @ warp_matrix(factor, spectral)
    return Moments.of([warped]).apply(warped)
