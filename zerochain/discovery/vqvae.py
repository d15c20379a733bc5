"""VQ-VAE units: codes from which a decoder that is given the speaker reconstructs the features.

The conditional VQ-VAE of Tjandra et al. 2019 ("VQVAE unsupervised unit discovery and multi-scale
Code2Spec inverter for ZeroSpeech 2019"): encoder, vector quantisation (van den Oord et al. 2017),
and a decoder of codes and a speaker embedding, so that the codes need not carry the voice. Ours is
a ConvNeXt with a codebook of moving averages; `encoder="published"` is theirs.

Ours differs in what it learns from, too. The encoder is given the speech as if another voice had
said it, with stretches masked, and the decoder has to reconstruct it as it is. And the codes alone,
without the speaker, predict the posteriors of a Gaussian mixture (`teacher.py`): squared error
alone spends the codes on what is loud, not on what distinguishes phones. Networks are in
`modules/vqvae.py`, `modules/convnext.py` and `modules/encoder.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from zerochain.config import Config
from zerochain.discovery.front_end import FrontEndOptions, augmentation_of
from zerochain.discovery.mixtures import GMMUnits, MixtureConfig
from zerochain.discovery.neural import (
    CollapseWatch,
    NeuralUnits,
    Speech,
    encoder_of,
    start_codebook,
)
from zerochain.discovery.teacher import (
    COMPONENTS,
    SHARES,
    SoftTargets,
    given_targets,
    soft_cross_entropy,
    soft_targets,
)
from zerochain.errors import InputError, counted
from zerochain.features.augmentation import WARPED, Augmentation, AugmentationOptions
from zerochain.formats.features import Features
from zerochain.modules.convnext import ConvNextDecoder
from zerochain.modules.encoder import Decoder, Tail, check_tail, mask_of
from zerochain.modules.vqvae import (
    ConditionalVqvae,
    PublishedDecoder,
    PublishedEncoder,
    Quantizer,
    Reconstruction,
)
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running
from zerochain.training.task import Batch, Row, Update, single

RECIPE = Recipe(
    max_steps=20_000,
    batch_size=16,
    learning_rate=1e-3,
    annealing="plateau",
    validate_every=200,
    patience=5,
    min_improvement=2e-3,
    ema_decay=0.995,
)
_CROPS_PER_BATCH, _LONGEST_CROP = 8, 512  # in validation
_FRAMES_PER_TARGET = 50
_TEACHER_FRAMES = 300_000  # that the teacher is fitted on: 50 minutes of speech

_N_DECODER_BLOCKS = 2
_ONLY: Mapping[str, tuple[str, ...]] = {
    "convnext": ("kernel",),
    "conv": ("tail", "instance_norm"),
    "convnext or conv": ("n_blocks", "n_decoder_blocks"),
}
"""Settings that only apply to these encoders."""
_PUBLISHED = {
    "ema": False,
    "restart_below": 0.0,
    "jitter": 0.0,
    "kmeans_start": False,
    "teacher": "none",
    "augmentation": None,
}
"""A gradient codebook, and none of what came after Tjandra et al. 2019."""
_BEFORE_0_2 = {"teacher": "none", "augmentation": None}
"""What bundles that lack these settings were trained with."""


class VQVAEConfig(Config):
    """What a VQ-VAE is built from and what it is trained for; the recipe says how long and how."""

    encoder: Literal["convnext", "conv", "published"] = "convnext"
    """A ConvNeXt; residual 1-D convolutions, 2.5 times slower; or all of Tjandra et al. 2019: a 2-D
    encoder, and by default no EMA, restarts, jitter, k-means start, teacher or augmentation. The
    decoder mirrors the encoder."""
    width: int = Field(256, ge=1, le=65_536)
    """Channels per layer."""
    n_blocks: int = Field(4, ge=0, le=256)
    """Residual blocks of the encoder; not with encoder published."""
    n_decoder_blocks: int | None = Field(
        None, ge=0, le=256, json_schema_extra={"default": "2; conv: as many as the encoder's"}
    )
    """Residual blocks of the decoder; not with encoder published."""
    kernel: int = Field(7, ge=1, le=255)
    """Steps that each block's convolution covers, an odd number; only with encoder convnext."""
    tail: Tail = "none"
    """Layer over the whole segment after the convolutions; only with encoder conv."""
    instance_norm: bool = False
    """Normalise the latents' mean and variance per utterance; only with encoder conv."""
    codebook_dim: int = Field(64, ge=1, le=65_536)
    """Dimensions of a codebook vector."""
    speaker_dim: int = Field(32, ge=1, le=65_536)
    """Dimensions of the speaker embedding."""
    ema: bool = True
    """Learn the codebook by moving averages rather than by gradients."""
    decay: float = Field(0.99, gt=0, lt=1)
    """Decay per step of the codebook's moving averages."""
    commitment: float = Field(0.25, ge=0)
    """Weight of the commitment loss."""
    restart_below: float = Field(0.03, ge=0, lt=1)
    """Usage of a unit, relative to the mean usage, below which its vector is reinitialised."""
    jitter: float = Field(0.3, ge=0, le=1)
    """Probability that a step takes its neighbour's code in training."""
    kmeans_start: bool = Field(True, json_schema_extra={"option": "--kmeans-start/--random-start"})
    """Initialise the codebook by K-Means of the untrained encoder's latents, or at random."""
    codebook_from: Literal["training", "kmeans"] = "training"
    """The final codebook: as trained, or K-Means of the trained encoder's latents."""
    teacher: Literal["gmm", "none"] = "gmm"
    """A Gaussian mixture, fitted first, whose posteriors the codes have to predict as well."""
    n_targets: int = Field(256, ge=2, le=32_767)
    """Components of the teacher; of little speech fewer, one per 50 frames."""
    teacher_weight: float = Field(0.2, gt=0)
    """Weight of the cross-entropy of the teacher's posteriors, per frame in nats."""
    augmentation: AugmentationOptions | None = Field(
        AugmentationOptions(warp=0.1, tilt_db=1.0, noise=0.0, n_masks=3, mask_frames=12),
        json_schema_extra={"option": "--augment"},
    )
    """Encode segments with the vocal tract changed and stretches masked in training, and
    reconstruct them unchanged. Only the frequencies of MFCC and log-mel features are known; others
    are masked only."""
    n_frames: int = Field(128, ge=1, json_schema_extra={"option": "--segment-frames"})
    """Length of a training segment in frames."""

    presets: ClassVar = {("encoder", "published"): _PUBLISHED}

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_tail(self.tail, self.width)
        fields = type(self).model_fields
        for encoders, names in _ONLY.items():
            wrong = [n for n in names if getattr(self, n) != fields[n].default]
            if wrong and self.encoder not in encoders.split(" or "):
                value = f"{wrong[0]}={getattr(self, wrong[0])!r}"
                words = " or ".join(f"encoder={name!r}" for name in encoders.split(" or "))
                raise ValueError(f"{value} only applies to {words}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} must be odd: a step is in its middle")
        return self

    @classmethod
    def published(cls) -> Self:
        """The system of Tjandra et al. 2019."""
        return cls(encoder="published")

    def encoder_of(self, n_in: int, stride: int) -> nn.Module:
        """An encoder of features of `n_in` dimensions."""
        if self.encoder == "published":
            return PublishedEncoder(n_in, self.codebook_dim, stride, self.width)
        return encoder_of(self, n_in, self.codebook_dim, stride)

    def network_of(
        self,
        n_in: int,
        n_speakers: int,
        n_units: int,
        stride: int,
        n_targets: int | None = None,
    ) -> ConditionalVqvae:
        """The whole VQ-VAE; `n_targets`: the components of its teacher, if it has one."""
        quantizer = Quantizer(
            n_units,
            self.codebook_dim,
            ema=self.ema,
            decay=self.decay,
            commitment=self.commitment,
            restart_below=self.restart_below,
            jitter=self.jitter,
        )
        return ConditionalVqvae(
            self.encoder_of(n_in, stride),
            quantizer,
            self._decoder_of(n_in, stride),
            stride,
            n_speakers,
            self.speaker_dim,
            n_targets,
        )

    def _decoder_of(self, n_out: int, stride: int) -> nn.Module:
        dim, n_blocks = self.codebook_dim + self.speaker_dim, self.n_decoder_blocks
        match self.encoder:
            case "published":
                return PublishedDecoder(dim, n_out, stride, self.width)
            case "conv":
                n_blocks = self.n_blocks if n_blocks is None else n_blocks
                return Decoder(dim, n_out, self.width, n_blocks, stride)
            case "convnext":
                return ConvNextDecoder(
                    dim,
                    n_out,
                    width=self.width,
                    n_blocks=_N_DECODER_BLOCKS if n_blocks is None else n_blocks,
                    kernel=self.kernel,
                    stride=stride,
                )


class VQVAEUnits(NeuralUnits):
    """The conditional VQ-VAE. Encoding needs neither the decoder nor a speaker.

    It reconstructs what it is given: the features, as the front end prepares them.

    Args:
        n_units: K.
        stride: frames per unit: 1, 2, 4 or 8.
        options: how features are prepared.
        config: the network.
        recipe: how long and how it is trained, the seed among it.
        soft_targets: posteriors of the same speech, in place of the teacher's; a model that is
            loaded needs none.
    """

    name = "vqvae"
    config_class = VQVAEConfig
    config: VQVAEConfig
    n_speakers: int

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 4,
        *,
        options: FrontEndOptions | None = None,
        config: VQVAEConfig | None = None,
        recipe: Recipe = RECIPE,
        soft_targets: Features | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_units, stride, options, config, recipe, device)
        if soft_targets is not None and self.config.teacher == "none":
            raise InputError(
                "soft_targets= are given, and teacher='none'", remedy="leave one of them out"
            )
        self._targets = soft_targets

    def _train(self, speech: Speech, running: Running) -> None:
        seed = self.recipe.seed
        self.n_speakers = speech.n_speakers
        train, valid, n_targets, follows = self._with_targets(speech)
        torch.manual_seed(seed)
        network = self.config.network_of(
            self.n_in, self.n_speakers, self.n_units, self.stride, n_targets
        )
        task = VqvaeTask(
            network,
            train,
            valid,
            self.recipe,
            n_frames=self.config.n_frames,
            stride=self.stride,
            teacher_weight=self.config.teacher_weight,
            augmentation=self._augmentation(speech),
            device=self.device,
        )
        if self.config.kmeans_start:
            start_codebook(network.encoder, network.quantizer, task.batch, seed, self.device)
        self.outcome = self._run(task, self.recipe, running, speech, follows).outcome
        self.encoder = network.encoder
        self.codebook = network.quantizer.codebook.detach().cpu().numpy()
        self._measure(speech, self.config.codebook_from)

    def _with_targets(self, speech: Speech) -> tuple[Crops, Crops, int | None, Mapping[str, Any]]:
        """Training and validation speech with the teacher's targets, how many, and their digest."""
        if self.config.teacher == "none":
            return speech.train, speech.valid, None, {}
        targets_of, n_targets = self._teacher(speech)
        parts, digest = [], hashlib.sha256()
        for crops, features in ((speech.train, speech.learned), (speech.valid, speech.kept)):
            targets = targets_of(features)
            parts.append(
                crops.with_array(COMPONENTS, targets.components).with_array(SHARES, targets.shares)
            )
            digest.update(targets.components.tobytes() + targets.shares.tobytes())
        return parts[0], parts[1], n_targets, {"targets": digest.hexdigest()}

    def _teacher(self, speech: Speech) -> tuple[Callable[[Features], SoftTargets], int]:
        """What gives features their targets, and how many there are."""
        if self._targets is not None:
            return partial(given_targets, self._targets), self._targets.dim
        n_frames = len(speech.train.arrays["x"])
        n_targets = min(self.config.n_targets, max(2, n_frames // _FRAMES_PER_TARGET))
        # Speakers' statistics are in the codes' input already; those of an utterance also take out
        # its channel, and a teacher that differs from the input teaches more.
        options = self.options.model_copy(update={"normalisation": "utterance"})
        teacher = GMMUnits(
            n_targets,
            options=options,
            config=MixtureConfig(max_frames=_TEACHER_FRAMES),
            seed=self.recipe.seed,
            device=self.device,
        ).fit(speech.features)
        return partial(soft_targets, teacher), n_targets

    def _augmentation(self, speech: Speech) -> Augmentation | None:
        options = self.config.augmentation
        if options is None:
            return None
        assert self.front_end is not None
        if self.front_end.extractor not in WARPED:
            return Augmentation.without_frequencies(options, self.n_in, self.device)
        return augmentation_of(self.front_end, speech.features, options, self.device)

    @property
    def summary(self) -> str:
        """How the fit went, in one line for people."""
        speakers = counted(self.n_speakers, "speaker") if self.n_speakers else "no known speaker"
        return f"{speakers}, {self.outcome}; {self.usage}"

    @property
    def method(self) -> str:
        """The model in a few words for people."""
        words = ["published"] if self.config.encoder == "published" else []
        return " ".join([super().method, *words])

    @property
    def findings(self) -> list[str]:
        """Warnings about how the fit went."""
        alone = "no speaker is known: all share one embedding, and the codes carry voices"
        return [*([] if self.n_speakers else [alone]), *super().findings]

    @classmethod
    def _unfitted(cls, config: Mapping[str, Any], device: str) -> Self:
        settings = config["settings"]
        older = {**config, "settings": {**settings, "config": _BEFORE_0_2 | settings["config"]}}
        return super()._unfitted(older, device)

    def _settings(self) -> Mapping[str, Any]:
        return {**super()._settings(), "n_speakers": self.n_speakers}

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(settings, tensors)
        self.n_speakers = settings["n_speakers"]

    def _network(self) -> nn.Module:
        return self.config.encoder_of(self.n_in, self.stride)


class VqvaeTask:
    """Squared error of the features that codes and speaker give, and the quantizer's loss.

    Both are means over real frames and dimensions: up to a factor, −log p(x | z, s) of a Gaussian.
    With a teacher's targets in the speech their cross-entropy is added. Validation is on squared
    error and cross-entropy, through the quantizer, of speech as it is.

    Args:
        n_frames: length of a training segment.
        stride: frames per unit.
        teacher_weight: weight of the cross-entropy.
        augmentation: of what is encoded in training.
    """

    def __init__(
        self,
        network: ConditionalVqvae,
        train: Crops,
        valid: Crops,
        recipe: Recipe,
        *,
        n_frames: int,
        stride: int,
        teacher_weight: float = 0.0,
        augmentation: Augmentation | None = None,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "vqvae", network, torch.optim.Adam(network.parameters(), recipe.learning_rate)
        )
        self._train, self._valid, self._recipe = train, valid, recipe
        self._n_frames, self._device = n_frames, device
        self._stride, self._weight, self._augmentation = stride, teacher_weight, augmentation
        self._n_units, self._watch = len(network.quantizer.usage), CollapseWatch()
        self._n_used = torch.tensor(self._n_units)

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        seed = (self._recipe.seed, step, process)
        batch = self._train.random(self._recipe.batch_size, self._n_frames, seed)
        # From the same numbers, so that a resumed run draws the same voices on any device.
        batch["seed"] = torch.tensor(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return batch

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of encoder, codebook and decoder."""
        x = batch["x"]
        if self._augmentation is not None:
            generator = torch.Generator(x.device).manual_seed(int(batch["seed"]))
            x = self._augmentation(x, batch["lengths"], generator)
        made: Reconstruction = networks["vqvae"](x, batch["lengths"], batch["speakers"])
        total, n = squared_error(made.x, batch)
        parts = {"reconstruction": total / n, "quantization": made.quantized.loss}
        loss = parts["reconstruction"] + parts["quantization"]
        if made.scores is not None:
            parts["teacher"] = self._cross_entropy(made.scores, batch) / n
            loss = loss + self._weight * parts["teacher"]
        update("vqvae", loss)
        self._n_used = made.quantized.n_used
        return {
            "train_loss": loss,
            **parts,
            "perplexity": made.quantized.perplexity,
            "n_used": made.quantized.n_used,
        }

    def validate(self, network: nn.Module) -> Row:
        """Mean squared error of the held-out utterances and weighted cross-entropy; and each."""
        error, entropy, n = 0.0, 0.0, 0.0
        for batch in self._valid.all(_CROPS_PER_BATCH, _LONGEST_CROP):
            here = {name: value.to(self._device) for name, value in batch.items()}
            made: Reconstruction = network(here["x"], here["lengths"], here["speakers"])
            part, count = squared_error(made.x, here)
            error, n = error + float(part), n + float(count)
            if made.scores is not None:
                entropy += float(self._cross_entropy(made.scores, here))
        self._watch(int(self._n_used), self._n_units)
        found = {"valid_loss": error / n}
        if COMPONENTS in self._valid.arrays:
            found = {
                "valid_loss": (error + self._weight * entropy) / n,
                "valid_reconstruction": error / n,
                "valid_teacher": entropy / n,
            }
        return found

    def _cross_entropy(self, scores: Tensor, batch: Batch) -> Tensor:
        return soft_cross_entropy(scores, batch[COMPONENTS], batch[SHARES], self._stride)


def squared_error(x: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sum over real frames of the squared error's mean over dimensions, and their number."""
    real = mask_of(batch["lengths"], batch["x"].shape[1])
    errors = (x.float() - batch["x"]).square().mean(dim=2)
    return (errors * real).sum(), real.sum()
