"""What every unit model has in common: encode features into units, save, load.

The same numbers on any number of threads, so that the same speech gives the same bundle.

A library that cuts one sum up among its threads rounds it otherwise on two threads than on four.
Here each operation has a thread of its own: many of them run side by side, and what they give is
added up in a fixed order.
"""

from __future__ import annotations

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
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from zerochain.discovery.front_end import FrontEnd
from zerochain.discovery.segmentation import Segmentation, Segments, segment
from zerochain.errors import InputError
from zerochain.formats.bundle import Bundle, pack, packed_id, write_bundle
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile
from zerochain.progress import track

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch, BLAS and OpenMP compute on one thread for as long as this lasts."""
    from threadpoolctl import threadpool_limits

    n_threads = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)


def in_order(function: Callable[[A], B], items: Iterable[A], device: str = "cpu") -> Iterator[B]:
    """`map` on as many threads as torch may use, each operation of it on one; a GPU has one."""
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


Frames = NDArray[np.float32]
_BATCH_FRAMES = 16_384
_CHUNK = 4096


class UnitModel(ABC):
    """A unit model, used as in scikit-learn: `Model(…).fit(features).encode(features)`.

    Attributes:
        front_end: what turns features into what is clustered; None before the fit.
        codebook: (K, D), the vector of each unit; None before the fit.
        segmentation: how `encode` makes segments of steps, unless it is told otherwise.
        has_posteriors: whether costs are negative log-probabilities (up to a constant a step).
    """

    name: ClassVar[str]
    has_posteriors: ClassVar[bool] = False
    n_units: int
    device: str
    front_end: FrontEnd | None = None
    codebook: Frames | None = None
    trained_on: Mapping[str, str] = MappingProxyType({})
    segmentation: Segmentation = Segmentation()
    _bundle_ids: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def fit(self, features: Features) -> Self:
        """Learn the units from features."""

    @abstractmethod
    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        """Cost of every unit at every step, (T, K), of utterances that the front end prepared.

        A squared distance or a negative log-probability: the unit that costs least is chosen.
        """

    @property
    @abstractmethod
    def distortion(self) -> float:
        """The mean cost of a step's unit at the fit: the unit that penalties are counted in."""

    @abstractmethod
    def _settings(self) -> Mapping[str, Any]:
        """What config.json records of how the model was fitted."""

    @classmethod
    @abstractmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """The model that `save` wrote; its segmentation is `load_unit_model`'s to set."""

    def encode(self, features: Features, segmentation: Segmentation | None = None) -> UnitFile:
        """Units of every utterance: one a step or, at a price for each, segments with durations.

        Args:
            segmentation: None takes the model's.

        Raises:
            InputError: the model is not fitted, or the features are not of its kind.
        """
        segmentation = self.segmentation if segmentation is None else segmentation
        units: dict[str, NDArray[np.int32]] = {}
        durations: dict[str, NDArray[np.int32]] = {}
        for name, costs in self.costs(features):
            if segmentation.makes_segments:
                units[name], durations[name] = self._segments(costs, segmentation)
            else:
                units[name] = costs.argmin(axis=1).astype(np.int32)
        return UnitFile(
            units=units,
            n_units=self.n_units,
            step_ms=self.step_ms,
            model_id=self.id,
            method=self._method(segmentation),
            speakers=dict(features.speakers),
            durations=durations or None,
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
            heard = prepared if change is None else [change(frames) for frames in prepared]
            yield from zip(names, self._costs(heard), strict=True)

    def latents(self, features: Features) -> Iterator[tuple[str, Frames]]:
        """Each utterance's id and what its units stand for, before quantisation: (T', D)."""
        for names, prepared in self._prepared(features):
            yield from zip(names, self.latents_of(prepared), strict=True)

    def latents_of(self, utterances: list[Frames]) -> list[Frames]:
        """What is quantised, (T', D), of utterances that the front end prepared."""
        return utterances

    def _prepared(
        self, features: Features, ids: Sequence[str] | None = None
    ) -> Iterator[tuple[list[str], list[Frames]]]:
        """Batches of ids (of all utterances, or these) and what the front end makes of them."""
        front_end = self._fitted.covering(features)
        asked = features if ids is None else features.restrict(ids)
        for names in track(list(_batches(asked)), "Encoding"):
            yield names, [front_end(features, name) for name in names]

    def posteriors(self, features: Features) -> Iterator[tuple[str, Frames]]:
        """Each utterance's id and the probability of every unit at every step, (T, K).

        Raises:
            InputError: the model knows distances, not probabilities.
        """
        self.check_posteriors()
        return ((name, softmax(-costs, axis=1)) for name, costs in self.costs(features))

    def check_posteriors(self) -> None:
        """Raise InputError unless the model has posteriors."""
        if not self.has_posteriors:
            raise InputError(
                f"{self.name} units have no posteriors",
                cause="they are chosen by distance, which says nothing of probabilities",
                remedy="discover units with gmm or dpgmm",
            )

    @property
    def step_ms(self) -> float:
        """How long one step of units lasts."""
        return self._fitted.unit_step_ms

    @property
    @abstractmethod
    def summary(self) -> str:
        """How the fit went, in a line for people."""

    @property
    def findings(self) -> list[str]:
        """What deserves a look in how the fit went."""
        return []

    @property
    def id(self) -> str:
        """SHA-256 of the bundle that it came from, or else of the one that `save` writes."""
        packed = packed_id(*pack(*self._parts()))
        return self._bundle_ids.get(packed, packed)

    def came_from(self, bundle_id: str) -> None:
        """Remember the bundle: as it is now, the model's id is that of the bundle.

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

    def _tensors(self) -> dict[str, NDArray[Any]]:
        assert self.codebook is not None
        return {"codebook": self.codebook, **self._fitted.tensors()}

    @property
    def _fitted(self) -> FrontEnd:
        if self.front_end is None:
            raise InputError(f"this {self.name} model is not fitted", remedy="call fit first")
        return self.front_end


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
