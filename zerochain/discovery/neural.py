"""Trained units: a unit is the codebook vector that is nearest to an encoder's latent.

What the VQ-VAE, contrastive predictive coding and self-training have in common. Each trains an
encoder over time (`modules/encoder.py`) by a task of its own, through the one training service
(`training/run.py`), and is then used alike: features, prepared by a front end of stride 1, become
latents; the nearest vectors of a codebook are their units. Codebooks of such models may collapse,
so that few vectors are in use: how many are, and how evenly (perplexity), is measured here.
"""

from __future__ import annotations

import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zerochain.config import Config
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, check_enough, sample_frames
from zerochain.discovery.kmeans import initial_centroids, lloyd, points_of
from zerochain.discovery.model import Frames, UnitModel, squared_distances
from zerochain.errors import InputError, counted
from zerochain.formats.bundle import within
from zerochain.formats.features import Features
from zerochain.formats.weights import weights_of, with_weights
from zerochain.modules.convnext import ConvNextEncoder
from zerochain.modules.encoder import Encoder, EncoderConfig, Tail, mask_of
from zerochain.modules.vqvae import CollapseWarning, Quantizer
from zerochain.training.crops import Crops, bounds_of, like_lengths, padded
from zerochain.training.outcome import Outcome
from zerochain.training.recipe import Recipe, validation_ids
from zerochain.training.run import Fitted, Running, fit
from zerochain.training.task import Batch, Task

COLLAPSED = 0.1
"""The part of the codes in use below which a codebook has collapsed."""
_STRIDES = (1, 2, 4, 8)
_VALIDATION_FRAMES = 60_000
_BATCH_FRAMES = 8_192  # of a padded batch: activations of 256 channels take 8 MB per layer
_MEASURED_FRAMES = 300_000  # of training speech, on which usage and distortion are measured
_LATENTS_PER_UNIT = 64  # that the codebook's first K-Means looks at
_ROUNDS, _TOLERANCE = 100, 1e-4  # of K-Means on latents
_ENCODER = "encoder"


class _Found(BaseModel):
    """What a bundle records of every such fit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    n_in: int = Field(ge=1)
    n_used: int = Field(ge=0)
    perplexity: float = Field(ge=0, allow_inf_nan=False)
    distortion: float = Field(ge=0, allow_inf_nan=False)
    outcome: Outcome


@dataclass(frozen=True, eq=False)
class Speech:
    """The speech of a fit, prepared by the front end and divided into training and validation."""

    features: Features
    """All of it, before the front end."""
    learned: Features
    """The part that is trained on."""
    kept: Features
    """The part that decides when training is done."""
    train: Crops
    """Of `learned`: "x" (N, D), with "speakers" (U,), as `prepared` gives them."""
    valid: Crops
    n_speakers: int
    """Known speakers among those that are trained on."""

    @classmethod
    def of(cls, features: Features, front_end: FrontEnd) -> Self:
        """Divide and prepare features.

        Raises:
            InputError: fewer than two utterances.
        """
        learned, kept = held_out(features)
        speakers = speakers_of(learned)
        train, valid = (prepared(part, front_end, speakers) for part in (learned, kept))
        return cls(features, learned, kept, train, valid, len(speakers))

    @property
    def dim(self) -> int:
        """Dimensions of a prepared frame."""
        return int(self.train.arrays["x"].shape[1])


class EncoderFields(Protocol):
    """The fields of a config that say what its encoder is built from."""

    @property
    def encoder(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def n_blocks(self) -> int: ...
    @property
    def kernel(self) -> int: ...
    @property
    def tail(self) -> Tail: ...
    @property
    def instance_norm(self) -> bool: ...


def encoder_of(config: EncoderFields, n_in: int, dim: int, stride: int) -> nn.Module:
    """A ConvNeXt or residual convolutions: features of `n_in` dimensions → latents of `dim`."""
    if config.encoder == "convnext":
        return ConvNextEncoder(
            n_in,
            dim,
            width=config.width,
            n_blocks=config.n_blocks,
            kernel=config.kernel,
            stride=stride,
        )
    return Encoder(
        EncoderConfig(
            n_in=n_in,
            width=config.width,
            n_blocks=config.n_blocks,
            dim=dim,
            stride=stride,
            tail=config.tail,
            instance_norm=config.instance_norm,
        )
    )


class NeuralUnits(UnitModel):
    """Units that are the nearest codebook vectors of an encoder's latents.

    `encoder` maps features (B, T, D) and lengths (B,) to latents (B, ⌈T / stride⌉, E); the front
    end in front of it has stride 1.

    Attributes:
        config: the network and what it is trained for, of the class `config_class`.
        recipe: how long and how it is trained, the seed among it.
        n_in: D.
        n_used, perplexity: units that training speech uses, and how evenly.
        mean_distance: squared, of a latent to its code.
        outcome: how the training went.
    """

    config_class: ClassVar[type[Config]]
    _min_units: ClassVar[int] = 1
    config: Config
    n_in: int
    encoder: nn.Module
    n_used: int
    perplexity: float
    mean_distance: float
    outcome: Outcome

    def __init__(
        self,
        n_units: int,
        stride: int,
        options: FrontEndOptions | None,
        config: Config | None,
        recipe: Recipe,
        device: str,
    ) -> None:
        if n_units < self._min_units or stride not in _STRIDES:
            raise InputError(
                f"n_units={n_units} must be ≥ {self._min_units} and stride={stride} one of "
                "1, 2, 4 and 8"
            )
        super().__init__(n_units, stride, options, device)
        self.config, self.recipe = config or self.config_class(), recipe

    def _fit(self, features: Features, running: Running) -> None:
        front_end = FrontEnd.fit(features, 1, self.options)
        speech = Speech.of(features, front_end)
        n_steps = len(speech.train.arrays["x"][:: self.stride])
        check_enough(n_steps, self.n_units, features, self.stride)
        self.front_end, self.codebook, self.n_in = front_end, None, speech.dim
        self._train(speech, running)

    @abstractmethod
    def _train(self, speech: Speech, running: Running) -> None:
        """Train the encoder, find the codebook and `_measure` it."""

    def _run(
        self,
        task: Task,
        recipe: Recipe,
        running: Running,
        speech: Speech,
        follows: Mapping[str, Any] | None = None,
    ) -> Fitted:
        """Train one part, as `zerochain.training.run.fit` does."""
        inputs = {
            "n_units": self.n_units,
            "stride": self.stride,
            "options": self.options.model_dump(),
            "config": self.config.model_dump(),
            "features": speech.features.id,
            "ids": speech.features.ids,
        }
        begun = time.monotonic()
        fitted = fit(task, recipe, running, inputs=inputs, follows=follows)
        self.earlier_s += max(0.0, fitted.seconds - (time.monotonic() - begun))
        return fitted

    @abstractmethod
    def _network(self) -> nn.Module:
        """An encoder such as the fit's, whose weights are still to be loaded."""

    def _measure(
        self, speech: Speech, codebook_from: Literal["training", "kmeans"] = "training"
    ) -> None:
        """How many codes training speech uses, how evenly, and at which mean distance.

        Before that, K-Means on the latents may replace the codebook, or make the first one.
        """
        chosen = speech.train.sample(_MEASURED_FRAMES, self.recipe.seed)
        latents = self.latents_of([speech.train.utterance("x", u) for u in chosen])
        if codebook_from == "kmeans":
            self.codebook = self._reestimated(np.concatenate(latents))
        assert self.codebook is not None
        costs = np.concatenate(squared_distances(latents, self.codebook, self.device))
        counts = np.bincount(costs.argmin(axis=1), minlength=self.n_units)
        shares = counts[counts > 0] / counts.sum()
        self.n_used = len(shares)
        self.perplexity = float(np.exp(-(shares * np.log(shares)).sum()))
        self.mean_distance = float(costs.min(axis=1).mean(dtype=np.float64))

    def _reestimated(self, latents: Frames) -> Frames:
        """K-Means on latents (N, E), from the codebook that there is or from scratch: (K, E)."""
        if self.codebook is None:
            start = initial_centroids(latents, self.n_units, self.recipe.seed, self.device)
        else:
            start = torch.from_numpy(self.codebook).to(self.device)
        return lloyd(points_of(latents, self.device), start, _ROUNDS, _TOLERANCE)[0]

    def latents_of(self, utterances: list[Frames]) -> list[Frames]:
        """Latents (T', E) of utterances (T, D) that the front end prepared."""
        return encoded(self.encoder, utterances, self.stride, self.device)

    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        assert self.codebook is not None
        return squared_distances(self.latents_of(utterances), self.codebook, self.device)

    @property
    def distortion(self) -> float:
        """The mean squared distance of a latent to its code, over training speech."""
        return self.mean_distance

    @property
    def step_ms(self) -> float:
        """Duration of a step, in ms."""
        return self._fitted.step_ms * self.stride

    @property
    def usage(self) -> str:
        """How the codebook is used, in a few words for people."""
        return f"{self.n_used} of {self.n_units} units in use, perplexity {self.perplexity:.1f}"

    @property
    def findings(self) -> list[str]:
        """Warnings about how the fit went."""
        if self.n_used < COLLAPSED * self.n_units:
            return [collapse(self.n_used, self.n_units)]
        return []

    def _settings(self) -> Mapping[str, Any]:
        return {
            "n_units": self.n_units,
            "stride": self.stride,
            "options": self.options.model_dump(),
            "config": self.config.model_dump(),
            "training": self.recipe.model_dump(),
            "n_in": self.n_in,
            "n_used": self.n_used,
            "perplexity": self.perplexity,
            "distortion": self.mean_distance,
            "outcome": asdict(self.outcome),
        }

    def _tensors(self) -> dict[str, NDArray[Any]]:
        encoder = {f"{_ENCODER}.{name}": w for name, w in weights_of(self.encoder).items()}
        return {**super()._tensors(), **encoder}

    @classmethod
    def _unfitted(cls, config: Mapping[str, Any], device: str) -> Self:
        settings = config["settings"]
        return cls(
            settings["n_units"],
            settings["stride"],
            options=FrontEndOptions(**settings["options"]),
            config=cls.config_class(**settings["config"]),
            recipe=Recipe(**settings["training"]),
            device=device,
        )

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        found = _Found.model_validate(settings)
        self.n_in, self.n_used, self.outcome = found.n_in, found.n_used, found.outcome
        self.perplexity, self.mean_distance = found.perplexity, found.distortion
        self.encoder = with_weights(self._network, within(_ENCODER, tensors))

    def _dimensions(self) -> tuple[int, int]:
        (latents,) = self.latents_of([np.zeros((self.stride, self.n_in), np.float32)])
        return self.n_in, latents.shape[1]


def encoded(encoder: nn.Module, utterances: list[Frames], stride: int, device: str) -> list[Frames]:
    """An encoder's latents of utterances (T, D), padded in batches of like lengths."""
    encoder.to(device).eval()
    results: list[Frames | None] = [None] * len(utterances)
    with torch.inference_mode():
        for batch in like_lengths([len(u) for u in utterances], _BATCH_FRAMES):
            x, lengths = padded([utterances[i] for i in batch])
            y = encoder(x.to(device), lengths.to(device)).cpu().numpy()
            for row, i in enumerate(batch):
                results[i] = y[row, : -(-len(utterances[i]) // stride)]
    return [r for r in results if r is not None]


def prepared(features: Features, front_end: FrontEnd, speakers: list[str]) -> Crops:
    """All utterances as the front end prepares them, for training.

    Args:
        speakers: those that have a number of their own, their place in this list; the number of
            all others is its length.

    Returns:
        crops of "x" (N, D), with "speakers" (U,).
    """
    number: dict[str | None, int] = {name: i for i, name in enumerate(speakers)}
    lengths = [front_end.n_steps(n) for _, n in features.index.values()]
    owners = [number.get(features.speakers[name], len(speakers)) for name in features.ids]
    return Crops(
        {"x": sample_frames(features, front_end, sum(lengths), seed=0)},
        bounds_of(lengths),
        {"speakers": np.array(owners, np.int64)},
    )


def speakers_of(features: Features) -> list[str]:
    """The names of the known speakers, sorted."""
    return sorted({s for s in features.speakers.values() if s is not None})


def held_out(features: Features) -> tuple[Features, Features]:
    """What to train on, and the utterances that decide when training is done.

    Those are a twentieth of all, and less of a large corpus: they are validated on many times.

    Raises:
        InputError: fewer than two utterances.
    """
    n_frames = sum(n for _, n in features.index.values())
    ids = validation_ids(features.ids, min(0.05, _VALIDATION_FRAMES / n_frames))
    return (
        features.restrict([name for name in features.ids if name not in ids]),
        features.restrict([name for name in features.ids if name in ids]),
    )


def start_codebook(
    encoder: nn.Module,
    quantizer: Quantizer,
    batch: Callable[[int, int], Batch],
    seed: int,
    device: str,
) -> None:
    """Initialise a codebook by K-Means of the encoder's latents, in training mode as it will be.

    Args:
        batch: gives what is trained on, by step and process.
    """
    latents: list[Tensor] = []
    encoder.to(device).train()
    n_units, process = len(quantizer.usage), 0
    with torch.no_grad():
        while sum(map(len, latents)) < n_units * _LATENTS_PER_UNIT:
            part = batch(0, process)  # step 0 is no step of the training
            z = encoder(part["x"].to(device), part["lengths"].to(device)).cpu()
            stride = -(-part["x"].shape[1] // z.shape[1])
            latents.append(z[mask_of(-(-part["lengths"] // stride), z.shape[1]) > 0])
            process += 1
    frames = torch.cat(latents)
    centroids = initial_centroids(frames.numpy(), n_units, seed, "cpu")
    quantizer.start(torch.from_numpy(lloyd(frames, centroids, 20, 1e-3)[0]))


class CollapseWatch:
    """Warns once that a codebook has collapsed."""

    def __init__(self) -> None:
        self._warned = False

    def __call__(self, n_used: int, n_units: int) -> None:
        """Look at how many codes are in use."""
        if n_used < COLLAPSED * n_units and not self._warned:
            self._warned = True
            warnings.warn(collapse(n_used, n_units), CollapseWarning, stacklevel=3)


def collapse(n_used: int, n_units: int) -> str:
    """The warning of a codebook that has collapsed."""
    return (
        f"the codebook has collapsed: {n_used} of {counted(n_units, 'unit')} are in use. Fix: a "
        "codebook of moving averages that restarts unused codes (ema, restart-below), a lower "
        "learning rate, or fewer units"
    )
