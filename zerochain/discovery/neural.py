"""What all learned unit models have in common: an encoder, and a codebook over its latents.

Codebooks of learned units: where they begin, how they are used, and whether they collapse.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, sample_frames
from zerochain.discovery.kmeans import draft, lloyd, points_of
from zerochain.discovery.model import Frames, UnitModel, squared_distances
from zerochain.errors import InputError
from zerochain.formats.atomic import scratch
from zerochain.formats.bundle import Bundle, within
from zerochain.formats.features import Features
from zerochain.formats.weights import with_weights
from zerochain.modules.encoder import mask_of
from zerochain.modules.vqvae import CollapseWarning, Quantizer
from zerochain.training.config import TrainingConfig
from zerochain.training.crops import Crops, bounds_of, like_lengths, padded
from zerochain.training.loop import Batch
from zerochain.training.outcome import Outcome
from zerochain.training.split import validation_ids

COLLAPSED = 0.1
"""The part of the codes in use below which a codebook has collapsed."""
NO_LABEL = -100
"""Of what lies beyond an utterance's end."""
_LATENTS_A_UNIT = 64  # that the codebook's first k-means looks at


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
    """What to say of a codebook that has collapsed."""
    return (
        f"the codebook has collapsed: {n_used} of {n_units} units are in use. Fix: a moving-"
        "average codebook that restarts (--ema, --restart-below), a lower learning rate, or fewer "
        "units"
    )


def start_codebook(
    encoder: nn.Module,
    quantizer: Quantizer,
    batch: Callable[[int, int], Batch],
    seed: int,
    device: str,
) -> None:
    """K-Means on the latents that the encoder gives, in training mode, as it will be.

    Args:
        batch: gives what is trained on, by step and process.
    """
    latents: list[Tensor] = []
    encoder.to(device).train()
    n_units, process = len(quantizer.usage), 0
    with torch.no_grad():
        while sum(map(len, latents)) < n_units * _LATENTS_A_UNIT:
            part = batch(0, process)  # step 0 is no step of the training
            z = encoder(part["x"].to(device), part["lengths"].to(device)).cpu()
            stride = -(-part["x"].shape[1] // z.shape[1])
            latents.append(z[mask_of(-(-part["lengths"] // stride), z.shape[1]) > 0])
            process += 1
    frames = torch.cat(latents)
    codebook = draft(frames.numpy(), n_units, seed, "cpu")
    quantizer.start(torch.from_numpy(lloyd(frames, codebook, 20, 1e-3)[0]))


_STRIDES = (1, 2, 4, 8)
_VALIDATION_FRAMES = 60_000
_BATCH_FRAMES = 8_192  # of a padded batch: activations of 256 channels take 8 MB a layer
_MEASURED_FRAMES = 300_000  # of training speech, on which usage and distortion are measured
_ENCODER = "encoder"


class _Found(BaseModel):
    """What a bundle records of a fit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    n_in: int = Field(ge=1)
    n_used: int = Field(ge=0)
    perplexity: float = Field(ge=0, allow_inf_nan=False)
    distortion: float = Field(ge=0, allow_inf_nan=False)
    outcome: Outcome


class NeuralUnits(UnitModel):
    """Units that are the nearest codebook vectors of an encoder's latents.

    `encoder` maps features (B, T, D) and lengths (B,) to latents (B, ⌈T / stride⌉, E); the front
    end in front of it has stride 1.

    Attributes:
        stride: frames that one unit lasts: the encoder's.
        config: the network and what it is trained for, of the class `_config_class`.
        n_in: D.
        training_folder: where the checkpoint and log.csv of the fit stand; None is a temporary
            folder, and an interrupted fit starts anew.
        restart: ignore a checkpoint that stands there.
        tensorboard: log for TensorBoard as well.
        n_used, perplexity: units that training speech uses, and how evenly.
        mean_distance: squared, of a latent to its code.
        outcome: how the training went.
    """

    _config_class: ClassVar[type[BaseModel]]
    _min_units: ClassVar[int] = 1
    stride: int
    config: BaseModel
    n_in: int
    encoder: nn.Module
    training_folder: Path | None = None
    restart: bool | Literal["changed"] = False
    tensorboard: bool = False
    n_used: int
    perplexity: float
    mean_distance: float
    outcome: Outcome

    def __init__(
        self,
        n_units: int,
        stride: int,
        options: FrontEndOptions | None,
        config: BaseModel | None,
        training: TrainingConfig,
        device: str,
    ) -> None:
        if n_units < self._min_units or stride not in _STRIDES:
            raise InputError(
                f"n_units={n_units} must be ≥ {self._min_units} and stride={stride} one of "
                "1, 2, 4 and 8"
            )
        self.n_units, self.stride, self.device = n_units, stride, device
        self.options = options or FrontEndOptions()
        self.config = config or self._config_class()
        self.training = training

    @contextmanager
    def _training_folder(self) -> Iterator[Path]:
        if self.training_folder is not None:
            yield self.training_folder
            return
        with scratch() as folder:
            yield Path(folder)

    @abstractmethod
    def _encoder(self) -> nn.Module:
        """An encoder such as the fit's, whose weights are still to be learned or loaded."""

    @abstractmethod
    def _restore(self, settings: Mapping[str, Any]) -> None:
        """Take what `_settings` records of this kind of units alone."""

    def _choices(self) -> dict[str, Any]:
        """What was chosen before the fit."""
        return {
            "n_units": self.n_units,
            "stride": self.stride,
            "options": self.options.model_dump(),
            "config": self.config.model_dump(),
            "training": self.training.model_dump(),
        }

    def _usage(self) -> dict[str, Any]:
        """What `_measure` found.

        Each subclass puts its `_settings` together.
        """
        return {
            "n_used": self.n_used,
            "perplexity": self.perplexity,
            "distortion": self.mean_distance,
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """The model that `save` wrote."""
        settings = bundle.config["settings"]
        model = cls(
            settings["n_units"],
            settings["stride"],
            options=FrontEndOptions(**settings["options"]),
            config=cls._config_class(**settings["config"]),
            training=TrainingConfig(**settings["training"]),
            device=device,
        )
        model.front_end = FrontEnd.from_config(bundle.config, bundle.tensors)
        model.codebook = bundle.tensors["codebook"]
        if model.codebook.shape[:1] != (model.n_units,):  # before a network of so many is made
            raise ValueError(
                f"has a codebook of shape {model.codebook.shape} for {model.n_units} units"
            )
        found = _Found.model_validate(settings)
        model.n_in, model.n_used = found.n_in, found.n_used
        model.perplexity, model.mean_distance = found.perplexity, found.distortion
        model.outcome = found.outcome
        model._restore(settings)
        model.encoder = with_weights(model._encoder, within(_ENCODER, bundle.tensors))
        model.trained_on = bundle.trained_on
        return model

    def _tensors(self) -> dict[str, NDArray[Any]]:
        weights = self.encoder.state_dict()
        encoder = {f"{_ENCODER}.{name}": value.cpu().numpy() for name, value in weights.items()}
        return {**super()._tensors(), **encoder}

    def latents_of(self, utterances: list[Frames]) -> list[Frames]:
        """Latents (T', E) of utterances that the front end has prepared, each (T, D)."""
        return encoded(self.encoder, utterances, self.stride, self.device)

    def _measure(
        self, speech: Crops, seed: int, codebook_from: Literal["training", "kmeans"]
    ) -> None:
        """How many codes training speech uses, how evenly, and at which mean distance.

        Before that, K-Means on the latents may replace the codebook, or make the first one.
        """
        latents = self.latents_of(
            [speech.utterance("x", u) for u in speech.sample(_MEASURED_FRAMES, seed)]
        )
        if codebook_from == "kmeans":
            self.codebook = self._reestimated(np.concatenate(latents), seed)
        assert self.codebook is not None
        costs = np.concatenate(squared_distances(latents, self.codebook, self.device))
        counts = np.bincount(costs.argmin(axis=1), minlength=self.n_units)
        shares = counts[counts > 0] / counts.sum()
        self.n_used = len(shares)
        self.perplexity = float(np.exp(-(shares * np.log(shares)).sum()))
        self.mean_distance = float(costs.min(axis=1).mean(dtype=np.float64))

    def _reestimated(self, latents: Frames, seed: int) -> Frames:
        if self.codebook is None:
            start = draft(latents, self.n_units, seed, self.device)
        else:
            start = torch.from_numpy(self.codebook).to(self.device)
        return lloyd(points_of(latents, self.device), start, 100, 1e-4)[0]

    @property
    def distortion(self) -> float:
        """The mean squared distance of a latent to its code, over training speech."""
        return self.mean_distance

    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        assert self.codebook is not None
        return squared_distances(self.latents_of(utterances), self.codebook, self.device)

    @property
    def step_ms(self) -> float:
        """How long one step of units lasts."""
        return self._fitted.step_ms * self.stride


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


def prepared(features: Features, front_end: FrontEnd, speakers: Sequence[str]) -> Crops:
    """All utterances as the front end prepares them, for training.

    Args:
        speakers: those that are told apart; "speakers" numbers them, and any other is their count.

    Returns:
        crops of "x" (N, D), with "speakers" (U,).
    """
    number: dict[str | None, int] = {name: i for i, name in enumerate(speakers)}
    lengths = [front_end.n_steps(n) for _, n in features.index.values()]
    return Crops(
        {"x": sample_frames(features, front_end, sum(lengths), seed=0)},
        bounds_of(lengths),
        {
            "speakers": np.array(
                [number.get(features.speakers[n], len(speakers)) for n in features.ids], np.int64
            )
        },
    )


def speakers_of(features: Features) -> list[str]:
    """The names of the known speakers, sorted."""
    return sorted({s for s in features.speakers.values() if s is not None})


def held_out(features: Features) -> tuple[Features, Features]:
    """What to train on, and the utterances by which to see when training is done.

    Those are a twentieth of all, and less of a large corpus: they are looked at many times.

    Raises:
        InputError: fewer than two utterances.
    """
    n_frames = sum(n for _, n in features.index.values())
    ids = validation_ids(features.ids, min(0.05, _VALIDATION_FRAMES / n_frames))
    return (
        features.restrict([name for name in features.ids if name not in ids]),
        features.restrict([name for name in features.ids if name in ids]),
    )
