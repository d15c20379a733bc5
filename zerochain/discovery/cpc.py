"""VQ-CPC units: codes that predict the next steps, among negatives from the same speaker.

Vector-quantised contrastive predictive coding (van Niekerk, Nortje and Kamper 2020): a causal
context network over codes predicts the codes of the next steps; the loss, InfoNCE (van den Oord et
al. 2018), is of finding the true one among negatives. Negatives of the same speaker make the codes
carry what is said rather than who says it. Networks are in `modules/cpc.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Generator, Tensor, nn

from zerochain.config import Config
from zerochain.discovery.front_end import FrontEndOptions, augmentation_of
from zerochain.discovery.neural import CollapseWatch, NeuralUnits, Speech, start_codebook
from zerochain.errors import InputError, counted
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.modules.cpc import ContextEncoder, Contrast, Cpc, NarrowEncoder, Predicted, contrast
from zerochain.modules.encoder import Encoder, EncoderConfig
from zerochain.modules.vqvae import Quantizer
from zerochain.training.crops import Crops, Groups
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running, weights_id
from zerochain.training.task import Batch, Update, single

Negatives = Literal["speaker", "utterance", "any"]
_MOST_VALIDATIONS = 16  # batches
_WARM_UP = "warm-up"  # a part of the training, and its folder


class CPCConfig(Config):
    """What VQ-CPC is built from and what it is trained for; the recipe says how long and how."""

    published: bool = False
    """The network of van Niekerk et al. 2020, except for their LSTM and their random codebook.

    It had 512 units, a stride of 2 and log-mel features."""
    encoder: Literal["narrow", "conv"] = "narrow"
    """Whether a latent depends on few more than its own frames (narrow), or on its neighbours."""
    width: int = Field(256, ge=1, le=65_536)
    """Channels per layer."""
    n_layers: int = Field(4, ge=0, le=256)
    """Layers of one step each or, with encoder conv, residual blocks of two convolutions."""
    codebook_dim: int = Field(64, ge=1, le=65_536)
    """Dimensions of a codebook vector."""
    context_dim: int = Field(256, ge=1, le=4096)
    """Dimensions of the context network, a GRU."""
    n_predictions: int = Field(6, ge=1, le=128)
    """Number of steps ahead that are predicted."""
    negatives: Negatives = "speaker"
    """Where negatives are drawn from; those of other speakers make latents encode the speaker."""
    n_negatives: int = Field(17, ge=1, json_schema_extra={"option": "--n-negatives"})
    """Negatives per prediction."""
    n_per_group: int = Field(8, ge=1, json_schema_extra={"option": "--group-size"})
    """Segments of a batch that are each other's negatives."""
    quantise: bool = Field(True, json_schema_extra={"option": "--quantise/--continuous"})
    """Predict codes, or unquantised latents, which K-Means clusters after training."""
    warm_up_steps: int = Field(0, ge=0)
    """Steps without quantisation, after which K-Means initialises the codebook."""
    decay: float = Field(0.99, gt=0, lt=1)
    """Decay per step of the codebook's moving averages."""
    commitment: float = Field(0.25, ge=0)
    """Weight of the commitment loss."""
    restart_below: float = Field(0.03, ge=0, lt=1)
    """Usage of a unit, relative to the mean usage, below which its vector is reinitialised."""
    latents: Literal["encoder", "context"] = "encoder"
    """The vectors that units are discovered in: latents, or the GRU's states after each step."""
    codebook_from: Literal["training", "kmeans"] = "training"
    """The final codebook: as trained, or K-Means of the latents; for contexts always K-Means."""
    augmentation: AugmentationOptions | None = Field(
        None, json_schema_extra={"option": "--augment"}
    )
    """Change the voice of each segment's past and future differently, as if by two speakers."""
    n_frames: int = Field(128, ge=1, json_schema_extra={"option": "--segment-frames"})
    """Length of a training segment in frames."""

    presets: ClassVar = {("published", True): {"width": 512, "decay": 0.999, "restart_below": 0.0}}

    @property
    def codebook_made_by(self) -> Literal["training", "kmeans"]:
        """How the units' codebook is made: contexts and unquantised latents have no trained one."""
        trained = self.quantise and self.latents == "encoder"
        return self.codebook_from if trained else "kmeans"

    def encoder_of(self, n_in: int, stride: int) -> nn.Module:
        """An encoder of features of `n_in` dimensions."""
        if self.encoder == "narrow":
            return NarrowEncoder(n_in, self.width, self.n_layers, self.codebook_dim, stride)
        config = EncoderConfig(
            n_in=n_in,
            width=self.width,
            n_blocks=self.n_layers,
            dim=self.codebook_dim,
            stride=stride,
        )
        return Encoder(config)

    def network_of(self, n_in: int, n_units: int, stride: int, *, quantise: bool) -> Cpc:
        """The whole network, with a quantizer or without."""
        quantizer = Quantizer(
            n_units,
            self.codebook_dim,
            decay=self.decay,
            commitment=self.commitment,
            restart_below=self.restart_below,
        )
        return Cpc(
            self.encoder_of(n_in, stride),
            quantizer if quantise else None,
            self.codebook_dim,
            self.context_dim,
            self.n_predictions,
        )

    def deployed(self, network: Cpc) -> nn.Module:
        """The part of a network that encoding takes."""
        if self.latents == "encoder":
            return network.encoder
        return ContextEncoder(network.encoder, network.quantizer, network.context)


RECIPE = Recipe(
    max_steps=20_000, batch_size=64, learning_rate=4e-4, validate_every=200, patience=10
)


class CPCUnits(NeuralUnits):
    """Vector-quantised contrastive predictive coding (van Niekerk et al. 2020).

    Args:
        n_units: K.
        stride: frames per unit: 1, 2, 4 or 8.
        options: how features are prepared.
        config: the network and what it is to predict.
        recipe: how long and how it is trained, the seed among it; a batch is made of groups.

    Attributes:
        accuracies: of the prediction of 1, 2, … steps ahead, among its negatives.
    """

    name = "vqcpc"
    config_class = CPCConfig
    config: CPCConfig
    n_speakers: int
    accuracies: list[float]

    def __init__(
        self,
        n_units: int = 512,
        stride: int = 2,
        *,
        options: FrontEndOptions | None = None,
        config: CPCConfig | None = None,
        recipe: Recipe = RECIPE,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_units, stride, options, config, recipe, device)
        if recipe.batch_size % self.config.n_per_group:
            raise InputError(
                f"batch_size={recipe.batch_size} segments are no whole number of groups of "
                f"{self.config.n_per_group}",
                remedy=f"choose another batch_size= or n_per_group={self.config.n_per_group}",
            )

    def _train(self, speech: Speech, running: Running) -> None:
        """In one training or, with a warm-up, in two.

        The validation losses of the two can't be compared, so each has its own best weights.
        """
        config, recipe, self.n_speakers = self.config, self.recipe, speech.n_speakers
        augmentation = None
        if config.augmentation is not None:
            assert self.front_end is not None
            augmentation = augmentation_of(
                self.front_end, speech.features, config.augmentation, self.device
            )

        def task_of(network: Cpc, recipe: Recipe) -> CpcTask:
            return CpcTask(network, speech, config, recipe, self.stride, augmentation, self.device)

        torch.manual_seed(recipe.seed)
        running.discard()
        warm_up_steps, follows = config.warm_up_steps * config.quantise, {}
        network = self._whole(quantise=config.quantise and not warm_up_steps)
        if warm_up_steps:
            warm_up = recipe.model_copy(update={"max_steps": warm_up_steps})
            part = running.part(_WARM_UP)
            self._run(task_of(network, warm_up), warm_up, part, speech)
            warm, network = network, self._whole(quantise=True)
            network.load_state_dict(warm.state_dict(), strict=False)  # but for the quantizer
            follows[_WARM_UP] = weights_id(warm)
        task = task_of(network, recipe)
        if network.quantizer is not None:
            start_codebook(network.encoder, network.quantizer, task.batch, recipe.seed, self.device)
        fitted = self._run(task, recipe, running, speech, follows)
        self.outcome, self.encoder = fitted.outcome, config.deployed(network)
        ahead = range(1, config.n_predictions + 1)
        self.accuracies = [fitted.best[f"accuracy_{k}"] for k in ahead]
        if network.quantizer is not None and config.latents == "encoder":
            self.codebook = network.quantizer.codebook.detach().cpu().numpy()
        self._measure(speech, config.codebook_made_by)

    def _whole(self, *, quantise: bool) -> Cpc:
        return self.config.network_of(self.n_in, self.n_units, self.stride, quantise=quantise)

    def _network(self) -> nn.Module:
        return self.config.deployed(self._whole(quantise=self.config.quantise))

    @property
    def summary(self) -> str:
        """How the fit went, in one line for people."""
        speakers = counted(self.n_speakers, "speaker") if self.n_speakers else "no known speaker"
        accuracies = " ".join(f"{100 * accuracy:.0f}" for accuracy in self.accuracies)
        return (
            f"{speakers}, {self.outcome}; 1 to {self.config.n_predictions} steps ahead predicted "
            f"in {accuracies} % (by chance {100 / (1 + self.config.n_negatives):.0f}); {self.usage}"
        )

    @property
    def method(self) -> str:
        """The model in a few words for people."""
        words = ["context"] if self.config.latents == "context" else []
        if not self.config.quantise:
            words.append("continuous")
        return " ".join([super().method, *words])

    @property
    def findings(self) -> list[str]:
        """Warnings about how the fit went."""
        alone = (
            "no speaker is known: negatives were taken from the same utterance, which is one "
            "speaker's as well"
        )
        is_alone = not self.n_speakers and self.config.negatives == "speaker"
        return [*([alone] if is_alone else []), *super().findings]

    def _settings(self) -> Mapping[str, Any]:
        own = {"n_speakers": self.n_speakers, "accuracies": self.accuracies}
        return {**super()._settings(), **own}

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(settings, tensors)
        self.n_speakers, self.accuracies = settings["n_speakers"], settings["accuracies"]


class CpcTask:
    """InfoNCE, and the quantizer's commitment loss if there is one.

    Args:
        stride: frames per step, the network's.
        augmentation: makes two views of each segment: the past of one predicts the other's
            future. None predicts a segment from itself.
    """

    def __init__(
        self,
        network: Cpc,
        speech: Speech,
        config: CPCConfig,
        recipe: Recipe,
        stride: int,
        augmentation: Augmentation | None,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "cpc", network, torch.optim.Adam(network.parameters(), recipe.learning_rate)
        )
        self._config, self._recipe = config, recipe
        self._augmentation, self._device = augmentation, device
        self._n_groups = recipe.batch_size // config.n_per_group
        shortest = network.n_steps * stride + 1
        self._train, self._valid = (
            (crops, groups_of(crops, speech.n_speakers, config.negatives, shortest))
            for crops in (speech.train, speech.valid)
        )
        self._n_validations = min(
            _MOST_VALIDATIONS,
            -(-speech.valid.bounds[-1] // (recipe.batch_size * config.n_frames)),
        )
        self._n_units = 0 if network.quantizer is None else len(network.quantizer.usage)
        self._watch, self._n_used = CollapseWatch(), torch.tensor(self._n_units)

    def batch(self, step: int, process: int) -> Batch:
        """Segments of several groups, the same number of each."""
        return self._batch(*self._train, (self._recipe.seed, step, process))

    def _batch(self, speech: Crops, groups: Groups, seed: Sequence[int]) -> Batch:
        n_per_group, n_frames = self._config.n_per_group, self._config.n_frames
        batch = speech.grouped(groups, self._n_groups, n_per_group, n_frames, seed)
        # From the same numbers, so that a resumed run draws the same negatives on any device.
        batch["seed"] = torch.tensor(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return batch

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of encoder, codebook, context network and predictors."""
        generator = _generator(batch)
        x, other = batch["x"], None
        if self._augmentation is not None:
            x, other = (self._augmentation(x, batch["lengths"], generator) for _ in range(2))
        made: Predicted = networks["cpc"](x, batch["lengths"], other)
        result = self._contrast(made, generator)
        error = result.loss / result.n.sum().clamp(min=1)
        accuracies = result.correct / result.n.clamp(min=1)
        losses = {
            "contrast": error,
            **{f"accuracy_{k}": value for k, value in enumerate(accuracies, start=1)},
        }
        if made.quantized is None:
            update("cpc", error)
            return {"train_loss": error, **losses}
        loss = error + made.quantized.loss
        update("cpc", loss)
        self._n_used = made.quantized.n_used
        return {
            "train_loss": loss,
            **losses,
            "quantization": made.quantized.loss,
            "perplexity": made.quantized.perplexity,
            "n_used": made.quantized.n_used,
        }

    def validate(self, network: nn.Module) -> float:
        """InfoNCE of held-out utterances, always with the same segments and negatives."""
        total, n = 0.0, 0
        for i in range(self._n_validations):
            batch = self._batch(*self._valid, (self._recipe.seed, 0, i))
            here = {name: value.to(self._device) for name, value in batch.items()}
            made: Predicted = network(here["x"], here["lengths"])
            result = self._contrast(made, _generator(here))
            total, n = total + float(result.loss), n + int(result.n.sum())
        self._watch(int(self._n_used), self._n_units)
        return total / n

    def _contrast(self, made: Predicted, generator: Generator) -> Contrast:
        return contrast(made, self._n_groups, self._config.n_negatives, generator)


def groups_of(speech: Crops, n_speakers: int, negatives: Negatives, shortest: int) -> Groups:
    """Groups of utterances that take negatives from each other.

    An utterance of an unknown speaker is a group of its own: only one person speaks in it.

    Raises:
        InputError: no utterance has `shortest` frames.
    """
    speakers = speech.numbers["speakers"]
    own = n_speakers + np.arange(len(speech))
    numbers: NDArray[np.int64]
    match negatives:
        case "speaker":
            known = speakers < n_speakers
            numbers = np.where(known, speakers, own)
        case "utterance":
            numbers = own
        case "any":
            numbers = np.zeros_like(own)
    groups = speech.groups(numbers, shortest)
    if not len(groups.utterances):
        raise InputError(
            f"no utterance of {len(speech)} lasts {shortest} frames, which predicting needs",
            cause="the recordings were cut into words or phones",
            remedy="predict fewer steps ahead, use a smaller stride, or give longer recordings",
        )
    return groups


def _generator(batch: Batch) -> Generator:
    return torch.Generator(batch["x"].device).manual_seed(int(batch["seed"]))
