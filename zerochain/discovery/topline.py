"""The topline: what the same network reaches that is given the gold phones in training.

It is no way to discover anything: it says what a self-trained network, of the same size and on the
same speech, could reach at best, so that a system can be placed between raw features and it. Each
frame's target is its gold phone, or "no phone" in silences and gaps; units are these classes, and
have posteriors.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from zerochain.config import Config
from zerochain.discovery.classifier import NO_LABEL, ClassifierConfig, ClassifierUnits, Run
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.neural import Speech
from zerochain.errors import InputError, counted, listed
from zerochain.features.augmentation import AugmentationOptions
from zerochain.formats.features import Features
from zerochain.formats.phones import Phones
from zerochain.metrics.quality import phone_codes
from zerochain.metrics.silences import SILENCES
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running


class ToplineConfig(Config):
    """The network, a ConvNeXt as of self-training, and how its input is changed in training."""

    width: int = Field(192, ge=1, le=65_536)
    """Channels per layer."""
    n_blocks: int = Field(5, ge=0, le=256)
    """Residual blocks."""
    kernel: int = Field(11, ge=1, le=255)
    """Steps that each block's convolution covers, an odd number."""
    dim: int = Field(64, ge=1, le=65_536, json_schema_extra={"option": "--bottleneck"})
    """Dimensions of the last layer before the phones."""
    masked: float = Field(0.2, ge=0, lt=1)
    """Fraction of the frames that are masked in training, by a vector that is learned."""
    mask_span: int = Field(10, ge=1)
    """Frames of a masked span."""
    label_smoothing: float = Field(0.1, ge=0, lt=1, json_schema_extra={"option": None})
    """Probability that is distributed over all phones."""
    augmentation: AugmentationOptions | None = Field(
        AugmentationOptions(tilt_db=1.5), json_schema_extra={"option": "--augment"}
    )
    """Change the vocal tract and the room of the speech in training."""
    n_frames: int = Field(128, ge=1, json_schema_extra={"option": "--segment-frames"})
    """Length of a training segment in frames."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} must be odd: a step is in its middle")
        return self

    @property
    def classifier(self) -> ClassifierConfig:
        """The same in the terms of all frame classifiers."""
        return ClassifierConfig(encoder="convnext", **self.model_dump())


RECIPE = Recipe(
    max_steps=1500,
    batch_size=24,
    learning_rate=1e-3,
    annealing="cosine",
    validate_every=100,
    patience=8,
)


class ToplineUnits(ClassifierUnits):
    """Phones, as recognised frame by frame by a network that was trained on gold phones.

    Args:
        phones: the classes; one more, the last one, is "no phone".
        stride: frames per unit: 1, 2, 4 or 8.
        gold: the alignments to train on; a model that is loaded needs none.
        shift_ms: added to their times: automatic alignments can be late.
        options: how features are prepared.
        config: the network.
        recipe: how long and how it is trained, the seed among it.

    Attributes:
        phones: of the classes but the last.
        accuracy: part of held-out frames whose phone is recognised.
        unaligned: utterances without gold phones, which training leaves out.
    """

    name = "topline"
    default_options = FrontEndOptions(normalisation="utterance")
    config_class = ToplineConfig
    _min_units = 2
    has_posteriors = True
    config: ToplineConfig
    accuracy: float

    def __init__(
        self,
        phones: Sequence[str],
        stride: int = 1,
        *,
        gold: Phones | None = None,
        shift_ms: float = 0.0,
        options: FrontEndOptions | None = None,
        config: ToplineConfig | None = None,
        recipe: Recipe = RECIPE,
        device: str = "cpu",
    ) -> None:
        super().__init__(len(phones) + 1, stride, options, config, recipe, device)
        self.phones, self.shift_ms = tuple(phones), shift_ms
        self.unaligned: list[str] = []
        self._gold = gold

    @property
    def classifier(self) -> ClassifierConfig:
        """The network."""
        return self.config.classifier

    def _fit(self, features: Features, running: Running) -> None:
        aligned = set() if self._gold is None else self._gold.by_id.keys()
        self.unaligned = [name for name in features.ids if name not in aligned]
        if len(self.unaligned) == len(features.ids):
            raise InputError(
                f"none of {counted(len(features.ids), 'utterance')} has gold phones: "
                f"{listed(features.ids)}",
                path=None if self._gold is None else self._gold.source or None,
                cause="the alignments are of other utterances",
                remedy="train on a split that has alignments",
            )
        super()._fit(features.restrict([n for n in features.ids if n in aligned]), running)

    def _train(self, speech: Speech, running: Running) -> None:
        train, first = self._labelled(speech.train, speech.learned)
        valid, second = self._labelled(speech.valid, speech.kept)
        labels = hashlib.sha256(first.tobytes() + second.tobytes()).hexdigest()
        augmentation = self._augmentation(speech.features)
        run = Run(self.recipe, running, labels, augmentation)
        self._train_classifier(train, valid, self.n_units, speech, run)
        self._measure_classes(speech)
        self.accuracy = self._right(speech.valid, second)

    def _labelled(self, crops: Crops, features: Features) -> tuple[Crops, NDArray[np.int64]]:
        """Speech with the class of each frame, and these (N,)."""
        assert self._gold is not None
        codes = {name: i for i, name in enumerate(self.phones)}
        lines = [
            phone_codes(self._gold.by_id[name], codes, n_frames, features.step_ms, self.shift_ms)
            for name, (_, n_frames) in features.index.items()
        ]
        labels = np.concatenate(lines)
        return crops.with_array("labels", labels, NO_LABEL), labels

    def _right(self, crops: Crops, labels: NDArray[np.int64]) -> float:
        """The part of steps whose class is that of their middle frame."""
        utterances = [crops.utterance("x", u) for u in range(len(crops.bounds) - 1)]
        right = n = 0
        for u, costs in enumerate(self._costs(utterances)):
            line = labels[crops.bounds[u] : crops.bounds[u + 1]]
            places = np.arange(0, len(line), self.stride) + self.stride // 2
            target = line[np.minimum(places, len(line) - 1)]
            right += int((costs.argmin(axis=1) == target).sum())
            n += len(target)
        return right / n

    @property
    def distortion(self) -> float:
        """What penalties are counted in: a nat."""
        return 1.0

    @property
    def summary(self) -> str:
        """How the fit went, in one line for people."""
        return (
            f"{counted(len(self.phones), 'phone')}; {self.outcome}; recognises "
            f"{100 * self.accuracy:.0f} % of held-out frames; {self.usage}"
        )

    @property
    def findings(self) -> list[str]:
        """Warnings about how the fit went."""
        left_out = counted(len(self.unaligned), "utterance")
        lines = [f"left out: {left_out} without gold phones: {listed(self.unaligned)}"]
        return [*super().findings, *lines[: len(self.unaligned)]]

    def _settings(self) -> Mapping[str, Any]:
        own = {"phones": list(self.phones), "shift_ms": self.shift_ms, "accuracy": self.accuracy}
        return {**super()._settings(), **own}

    @classmethod
    def _unfitted(cls, config: Mapping[str, Any], device: str) -> Self:
        settings = config["settings"]
        if len(settings["phones"]) + 1 != settings["n_units"]:
            raise ValueError(
                f"has {len(settings['phones'])} phones for {settings['n_units']} classes"
            )
        return cls(
            settings["phones"],
            settings["stride"],
            shift_ms=settings["shift_ms"],
            options=FrontEndOptions(**settings["options"]),
            config=cls.config_class(**settings["config"]),
            recipe=Recipe(**settings["training"]),
            device=device,
        )

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(settings, tensors)
        self.accuracy = settings["accuracy"]
        self._restore_head(tensors)


def phone_classes(
    gold: Phones, ids: Collection[str], silences: Collection[str] = SILENCES
) -> list[str]:
    """The phones of some utterances, sorted, without silences.

    Raises:
        InputError: there is none.
    """
    found = Counter(phone.phone for name in ids for phone in gold.by_id.get(name, ()))
    phones = sorted(label for label in found if label not in silences)
    if not phones:
        raise InputError(
            f"{counted(len(ids), 'utterance')} without a gold phone",
            path=gold.source or None,
            cause="every label counts as silence, or the alignments are of other utterances",
            remedy="check the alignments and the list of silences",
        )
    return phones
