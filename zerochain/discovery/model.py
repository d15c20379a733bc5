"""Unit models: what K-Means, mixtures and trained encoders have in common.

A unit model is a front end (features → frames, `front_end.py`), a cost of each of K units at each
step, and a segmentation (`segmentation.py`). Encoding takes the cheapest unit of each step or, at a
price per segment, the cheapest segments. Each method has a file of its own; `stage.py` reads and
writes files.

Models are used as in scikit-learn: `KMeansUnits(256, stride=4).fit(features).encode(features)`.
The same speech gives the same bundle on any number of threads: see `in_order`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import scipy  # scipy.special is loaded where it is used
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from threadpoolctl import threadpool_limits
from torch import Tensor

from zerochain.discovery.front_end import FrontEnd, FrontEndOptions
from zerochain.discovery.segmentation import Segmentation, Segments, segment
from zerochain.errors import InputError
from zerochain.features.normalisation import NormalisationKind
from zerochain.formats.arrays import Appended
from zerochain.formats.bundle import Bundle, pack, packed_id, write_bundle
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile
from zerochain.progress import track
from zerochain.training.run import Running

A = TypeVar("A")
B = TypeVar("B")
Frames = NDArray[np.float32]
_BATCH_FRAMES = 16_384
_CHUNK = 4096


class UnitModel(ABC):
    """K units of speech, to be fitted or loaded.

    Attributes:
        n_units: K.
        stride: frames per unit.
        options: how features are prepared: normalisation, context, components.
        front_end: what prepares them; None before the fit.
        codebook: (K, D), the vector of each unit; None before the fit.
        segmentation: how `encode` makes segments of steps, unless it is given another.
        pool_speakers: whether a speaker that the model was not fitted on is normalised and
            adapted by all its utterances that are encoded together, or each utterance by itself,
            which then gets the same units in any company. Not saved.
        earlier_s: seconds that earlier runs of an interrupted fit took.
        trained_on: ids of the corpus and of the features.
    """

    name: ClassVar[str]
    """What bundles and the command line call the method."""
    default_options: ClassVar[FrontEndOptions] = FrontEndOptions()
    has_posteriors: bool = False
    """Whether costs are negative log-probabilities, up to a constant per step."""
    front_end: FrontEnd | None = None
    codebook: Frames | None = None
    trained_on: Mapping[str, str] = MappingProxyType({})
    segmentation: Segmentation = Segmentation()
    pool_speakers: bool = False
    earlier_s: float = 0.0
    _bundle_ids: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, n_units: int, stride: int, options: FrontEndOptions | None, device: str
    ) -> None:
        if n_units < 1 or stride < 1:
            raise InputError(f"n_units={n_units} and stride={stride} must be ≥ 1")
        self.n_units, self.stride, self.device = n_units, stride, device
        self.options = options or self.default_options

    def fit(self, features: Features, running: Running | None = None) -> Self:
        """Learn the units from features.

        Args:
            running: on which device and, of what is trained, where the checkpoint is kept; None
                is the model's device and no checkpoint.

        Raises:
            InputError: fewer frames than units. Of what is trained also: fewer than two
                utterances, or divergence.
        """
        running = running or Running(self.device)
        self.device, self.earlier_s = running.device, 0.0
        self._fit(features, running)
        self.trained_on = {"corpus": features.corpus_id, "features": features.id}
        return self

    @abstractmethod
    def _fit(self, features: Features, running: Running) -> None:
        """Find `front_end`, `codebook` and whatever else the method has."""

    @abstractmethod
    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        """Cost of every unit at every step, (T, K), of utterances that the front end prepared.

        A squared distance or a negative log-probability: the unit that costs least is chosen.
        """

    @property
    @abstractmethod
    def distortion(self) -> float:
        """The mean cost of a step's unit at the fit, in which penalties are counted."""

    @abstractmethod
    def _settings(self) -> Mapping[str, Any]:
        """What config.json records of how the model was fitted."""

    @classmethod
    def _unfitted(cls, config: Mapping[str, Any], device: str) -> Self:
        """The model before its fit, from a bundle's config.json."""
        return cls(config["n_units"], config["stride"], device=device)  # type: ignore[call-arg]

    @abstractmethod
    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `_settings` and `_tensors` gave of this method alone."""

    def encode(self, features: Features, segmentation: Segmentation | None = None) -> UnitFile:
        """Units of every utterance: one per step or, at a price for each, segments with durations.

        Args:
            segmentation: None is the model's.

        Raises:
            InputError: the model is not fitted, or the features are not of its kind.
        """
        segmentation = self.segmentation if segmentation is None else segmentation
        units, durations = Appended(), Appended()
        for name, costs in self.costs(features):
            if segmentation.makes_segments:
                segments, lasting = self._segments(costs, segmentation)
                units.add(name, segments)
                durations.add(name, lasting)
            else:
                units.add(name, costs.argmin(axis=1).astype(np.int32))
        return UnitFile(
            units=units.sequences,
            n_units=self.n_units,
            step_ms=self.step_ms,
            model_id=self.id,
            method=self._method(segmentation),
            speakers=dict(features.speakers),
            durations=durations.sequences if durations else None,
            corpus_id=features.corpus_id,
        )

    def _segments(self, costs: Frames, segmentation: Segmentation) -> Segments:
        limits = segmentation.min_duration, segmentation.max_duration
        return segment(costs, segmentation.penalty * self.distortion, *limits)

    def costs(
        self,
        features: Features,
        ids: Sequence[str] | None = None,
        change: Callable[[Frames], Frames] | None = None,
    ) -> Iterator[tuple[str, Frames]]:
        """Ids (all, or these) and the cost of every unit at every step of each, (T, K).

        Args:
            change: of each utterance that the front end prepared, (T, D) → (T, D).
        """
        for names, prepared in self._prepared(features, ids):
            changed = prepared if change is None else [change(frames) for frames in prepared]
            yield from zip(names, self._costs(changed), strict=True)

    def latents(self, features: Features) -> Iterator[tuple[str, Frames]]:
        """Each utterance's id and its latents, what is quantised: (T', D)."""
        for names, prepared in self._prepared(features):
            yield from zip(names, self.latents_of(prepared), strict=True)

    def latents_of(self, utterances: list[Frames]) -> list[Frames]:
        """Latents (T', D) of utterances (T, D') that the front end prepared."""
        return utterances

    def _prepared(
        self, features: Features, ids: Sequence[str] | None = None
    ) -> Iterator[tuple[list[str], list[Frames]]]:
        """Batches of ids (of all utterances, or these) and what the front end makes of them."""
        front_end = self._fitted.covering(features, pool=self.pool_speakers)
        wanted = features if ids is None else features.restrict(ids)
        for names in track(list(_batches(wanted)), "Encoding"):
            yield names, [front_end(features, name) for name in names]

    def posteriors(self, features: Features) -> Iterator[tuple[str, Frames]]:
        """Each utterance's id and the probability of every unit at every step, (T, K).

        Raises:
            InputError: the model has distances, not probabilities.
        """
        self.check_posteriors()
        return (
            (name, scipy.special.softmax(-costs, axis=1)) for name, costs in self.costs(features)
        )

    def check_posteriors(self) -> None:
        """Raise InputError unless the model has posteriors."""
        if not self.has_posteriors:
            raise InputError(
                f"{self.name} units have no posteriors",
                cause="they are chosen by distance, not by probability",
                remedy="discover units with gmm or dpgmm",
            )

    @property
    def step_ms(self) -> float:
        """Duration of a step, in ms."""
        return self._fitted.unit_step_ms

    @property
    @abstractmethod
    def summary(self) -> str:
        """How the fit went, in one line for people."""

    @property
    def findings(self) -> list[str]:
        """Warnings about how the fit went."""
        return []

    @property
    def id(self) -> str:
        """SHA-256 of the bundle that it came from, or else of the one that `save` writes."""
        packed = packed_id(*pack(*self._parts()))
        return self._bundle_ids.get(packed, packed)

    def came_from(self, bundle_id: str) -> None:
        """Remember the bundle: as long as the model stays as it is now, it has the bundle's id.

        A bundle of an older version holds the same model in other bytes.
        """
        self._bundle_ids = {packed_id(*pack(*self._parts())): bundle_id}

    @property
    def method(self) -> str:
        """The model in a few words for people."""
        return self._method(self.segmentation)

    def _method(self, segmentation: Segmentation) -> str:
        front_end = self._fitted
        steps = round(self.step_ms / front_end.step_ms)
        words = f"{self.name} K={self.n_units} {steps}T {front_end.summary} {segmentation.summary}"
        return words.rstrip()

    def save(self, folder: Path) -> str:
        """Write the model as a bundle and return its id."""
        return write_bundle(folder, *self._parts())

    def _parts(self) -> tuple[str, dict[str, Any], dict[str, NDArray[Any]], Mapping[str, str]]:
        front_end = self._fitted
        config = {
            "n_units": self.n_units,
            "method": self.method,
            **asdict(self.segmentation),
            **front_end.config(),
            "settings": dict(self._settings()),
        }
        return self.name, config, self._tensors(), self.trained_on

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """The model that `save` wrote.

        Raises:
            ValueError, KeyError: its parts don't fit together, or something is missing.
        """
        config = bundle.config
        _Config.model_validate(config)
        model = cls._unfitted(config, device)
        model.codebook = bundle.tensors["codebook"]
        if model.codebook.shape[:1] != (model.n_units,):  # before a network of so many is made
            raise ValueError(
                f"has a codebook of shape {model.codebook.shape} for {model.n_units} units"
            )
        model.front_end = FrontEnd.from_config(config, bundle.tensors)
        model.segmentation = Segmentation.from_config(config)
        model.trained_on = bundle.trained_on
        model._restore(config["settings"], bundle.tensors)
        model._check()
        model.came_from(bundle.id)
        return model

    def _check(self) -> None:
        """Raise ValueError unless the parts of a loaded model fit together."""
        assert self.codebook is not None
        if self.codebook.ndim != 2:
            raise ValueError(
                f"has a codebook of shape {self.codebook.shape} for {self.n_units} units"
            )
        floats = [self.codebook, *self._fitted.tensors().values()]
        if any(array.dtype.kind != "f" for array in floats):
            raise ValueError("has a tensor of another type than floating point")
        n_in, dim = self._dimensions()
        self._fitted.check(n_in)
        if dim != self.codebook.shape[1]:
            raise ValueError(
                f"has a codebook of {self.codebook.shape[1]} dimensions and latents of {dim}"
            )
        if not (math.isfinite(self.distortion) and self.distortion >= 0):
            raise ValueError(f"has a mean distortion of {self.distortion}")

    def _dimensions(self) -> tuple[int, int]:
        """Dimensions of what the front end gives, and of the latents."""
        assert self.codebook is not None
        return self.codebook.shape[1], self.codebook.shape[1]

    def _tensors(self) -> dict[str, NDArray[Any]]:
        assert self.codebook is not None
        return {"codebook": self.codebook, **self._fitted.tensors()}

    @property
    def _fitted(self) -> FrontEnd:
        if self.front_end is None:
            raise InputError(f"this {self.name} model is not fitted", remedy="call fit first")
        return self.front_end


class _AdaptationConfig(BaseModel):
    """What config.json says of an adaptation."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    speakers: list[str]
    full_frames: int = Field(ge=1)
    prior_frames: int = Field(ge=1)


class _Config(BaseModel):
    """What config.json says of any unit model, as far as `UnitModel` and `FrontEnd` read it."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    n_units: int = Field(ge=1)
    penalty: float = Field(ge=0)
    min_duration: int = Field(ge=1)
    max_duration: int | None
    extractor: str
    options: dict[str, Any]
    step_ms: float = Field(gt=0, le=1e6)
    stride: int = Field(ge=1)
    normalisation: NormalisationKind
    normalisation_of: list[str]
    normalisation_corpus: str
    warp_of: list[str] | None
    context: int = Field(ge=0, le=1000)
    speaker_attenuation: float = Field(ge=0)
    adaptation: _AdaptationConfig | None = None
    settings: dict[str, Any]


def squared_distances(
    utterances: list[Frames], codebook: Frames, device: str = "cpu"
) -> list[Frames]:
    """‖x − e‖² of every frame x of each utterance (T, D) and every e of the codebook (K, D)."""
    centroids = torch.from_numpy(codebook).to(device)
    norms = centroids.square().sum(dim=1)

    def between(points: Tensor) -> Tensor:
        distances = torch.addmm(norms, points, centroids.T, alpha=-2)
        return distances.add_(points.square().sum(dim=1, keepdim=True)).clamp_(min=0)

    points = torch.from_numpy(np.concatenate(utterances)).to(device)
    chunks = (points[i : i + _CHUNK] for i in range(0, len(points), _CHUNK))
    distances = torch.cat(list(in_order(between, chunks, device)))
    ends = np.cumsum([len(u) for u in utterances])[:-1]
    return np.split(distances.cpu().numpy(), ends)


def _batches(features: Features) -> Iterator[list[str]]:
    """Ids in groups of about `_BATCH_FRAMES` frames."""
    group: list[str] = []
    size = 0
    for name, (_, n_frames) in features.index.items():
        group.append(name)
        size += n_frames
        if size >= _BATCH_FRAMES:
            yield group
            group, size = [], 0
    if group:
        yield group


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch, BLAS and OpenMP compute on one thread for as long as this lasts."""
    n_threads = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)


def in_order(function: Callable[[A], B], items: Iterable[A], device: str = "cpu") -> Iterator[B]:
    """`map` on as many threads as torch may use, in order; on a GPU on one.

    A library that divides one sum among its threads rounds differently on two threads than on
    four. Here each call has one thread of its own, many run side by side, and the caller adds
    their results in a fixed order: the same numbers on any number of threads.
    """
    n_threads = torch.get_num_threads()
    if device != "cpu":
        yield from map(function, items)
        return
    ahead: deque[Future[B]] = deque()
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > n_threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # torch takes what the last thread has set for every thread to come
            torch.set_num_threads(n_threads)
