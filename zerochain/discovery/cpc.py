"""VQ-CPC units: codes from which what comes next is told from what the same speaker says else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from zerochain.discovery.augmentation import augmentation_of
from zerochain.discovery.codebook import COLLAPSED, collapse, start_codebook
from zerochain.discovery.cpc_config import CPCConfig
from zerochain.discovery.cpc_training import CpcTask
from zerochain.discovery.frames import check_enough
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions
from zerochain.discovery.neural import NeuralUnits
from zerochain.discovery.segments import Speech, held_out
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation
from zerochain.formats.features import Features
from zerochain.modules.cpc import Cpc
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, Trained, train
from zerochain.training.outcome import Outcome

_WARM_UP = "warm-up"  # its folder


class CPCUnits(NeuralUnits):
    """Vector-quantised contrastive predictive coding (van Niekerk et al. 2020).

    Args:
        n_units: K.
        stride: frames that one unit lasts: 1, 2, 4 or 8.
        options: how features are prepared.
        config: the network and what it is to predict.
        training: the training loop's settings, the seed among them; a batch is made of groups.
    """

    name = "vqcpc"
    _config_class = CPCConfig
    config: CPCConfig

    def __init__(
        self,
        n_units: int = 512,
        stride: int = 2,
        *,
        options: FrontEndOptions | None = None,
        config: CPCConfig | None = None,
        training: TrainingConfig | None = None,
        device: str = "cpu",
    ) -> None:
        training = training or TrainingConfig(batch_size=64, learning_rate=4e-4)
        super().__init__(n_units, stride, options, config, training, device)
        if self.training.batch_size % self.config.n_per_group:
            raise InputError(
                f"a batch of {self.training.batch_size} segments is no whole number of groups of "
                f"{self.config.n_per_group}",
                remedy="choose another --batch-size or --group-size",
            )

    def fit(self, features: Features) -> Self:
        """Train the network, and measure how its codebook is used.

        Raises:
            InputError: fewer steps than units, fewer than two utterances, none as long as what
                is to be predicted, features that can't be augmented, or divergence.
        """
        front_end = FrontEnd.fit(features, 1, self.options)
        learned, kept = held_out(features)
        speech = Speech.of(learned, front_end)
        check_enough(speech.frames[:: self.stride], self.n_units, features, self.stride)
        valid = Speech.of(kept, front_end, speech.speaker_names)
        augmentation = None
        if self.config.augmentation is not None:
            augmentation = augmentation_of(
                front_end, features, self.config.augmentation, self.device
            )
        self.n_in, self.n_speakers = speech.frames.shape[1], len(speech.speaker_names)
        mark = {"features": features.id, "ids": features.ids}
        network = self._trained(speech, valid, augmentation, mark)
        self.encoder, self.codebook = self.config.deployed(network), None
        if network.quantizer is not None and self.config.latents == "encoder":
            self.codebook = network.quantizer.codebook.detach().cpu().numpy()
        self.front_end = front_end
        self.trained_on = {"corpus": features.corpus_id, "features": features.id}
        self._measure(speech, self.training.seed, self.config.codebook_made_by)
        return self

    def _trained(
        self,
        speech: Speech,
        valid: Speech,
        augmentation: Augmentation | None,
        mark: Mapping[str, Any],
    ) -> Cpc:
        """The network after one training or, with a warm-up, after two.

        The validation losses of the two can't be compared, so each has its own best weights.
        """
        torch.manual_seed(self.training.seed)
        config, warm_up_steps = self.config, self.config.warm_up_steps * self.config.quantise
        network = self._network(quantise=config.quantise and not warm_up_steps)
        with self._training_folder() as folder:
            if warm_up_steps:
                warm_up = self.training.model_copy(update={"max_steps": warm_up_steps})
                task = self._task(network, speech, valid, augmentation, warm_up)
                self._train(network, task, warm_up, folder / _WARM_UP, mark)
                warm, network = network, self._network(quantise=True)
                network.load_state_dict(warm.state_dict(), strict=False)  # but for the quantizer
            task = self._task(network, speech, valid, augmentation, self.training)
            if network.quantizer is not None:
                seed = self.training.seed
                start_codebook(network.encoder, network.quantizer, task.batch, seed, self.device)
            trained = self._train(network, task, self.training, folder, mark)
            if is_main_process():
                (folder / _WARM_UP / CHECKPOINT).unlink(missing_ok=True)
        self.outcome = Outcome.of(trained, network)
        ahead = range(1, config.n_predictions + 1)
        self.accuracies = [trained.best[f"accuracy_{k}"] for k in ahead]
        return network

    def _network(self, *, quantise: bool) -> Cpc:
        return self.config.network_of(self.n_in, self.n_units, self.stride, quantise=quantise)

    def _task(
        self,
        network: Cpc,
        speech: Speech,
        valid: Speech,
        augmentation: Augmentation | None,
        training: TrainingConfig,
    ) -> CpcTask:
        return CpcTask(
            network,
            speech,
            valid,
            training,
            stride=self.stride,
            negatives=self.config.negatives,
            n_per_group=self.config.n_per_group,
            n_negatives=self.config.n_negatives,
            n_frames=self.config.n_frames,
            augmentation=augmentation,
            device=self.device,
        )

    def _train(
        self,
        network: Cpc,
        task: CpcTask,
        training: TrainingConfig,
        folder: Path,
        mark: Mapping[str, Any],
    ) -> Trained:
        trained = train(
            task,
            training,
            folder,
            fingerprint=fingerprint({**self._choices(), **mark}),
            device=self.device,
            restart=self.restart,
            tensorboard=self.tensorboard,
        )
        network.load_state_dict(trained.weights)
        return trained

    @property
    def summary(self) -> str:
        """How the fit went, in a line for people."""
        speakers = f"{self.n_speakers} speakers" if self.n_speakers else "no known speaker"
        told = " ".join(f"{100 * accuracy:.0f}" for accuracy in self.accuracies)
        return (
            f"{speakers}, {self.outcome}; 1 to {self.config.n_predictions} steps ahead told in "
            f"{told} % (by chance {100 / (1 + self.config.n_negatives):.0f}); {self.n_used} of "
            f"{self.n_units} units in use, perplexity {self.perplexity:.1f}"
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
        """What deserves a look."""
        found = []
        if not self.n_speakers and self.config.negatives == "speaker":
            found.append(
                "no speaker is known: negatives were taken from the same utterance, which is "
                "one speaker's as well"
            )
        if self.n_used < COLLAPSED * self.n_units:
            found.append(collapse(self.n_used, self.n_units))
        return found

    def _settings(self) -> Mapping[str, Any]:
        return {
            **self._choices(),
            "n_in": self.n_in,
            "n_speakers": self.n_speakers,
            **self._usage(),
            "accuracies": self.accuracies,
            "outcome": asdict(self.outcome),
        }

    def _restore(self, settings: Mapping[str, Any]) -> None:
        self.n_speakers, self.accuracies = settings["n_speakers"], settings["accuracies"]

    def _encoder(self) -> nn.Module:
        return self.config.deployed(self._network(quantise=self.config.quantise))
