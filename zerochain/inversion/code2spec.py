"""What an inverter's adversary is to be, and when to say that it does no good.

Train Code2Spec: spectra of voices from their units, with an adversary or without.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zerochain.inversion.voice_data import (
    LONG_SEGMENT,
    SEGMENTS_A_BATCH,
    VoiceData,
    unit_means,
)
from zerochain.modules.code2spec import Code2Spec, Code2SpecConfig
from zerochain.modules.discriminators import (
    Form,
    Judgement,
    PatchDiscriminator,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    halves,
)
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Row, Update, train
from zerochain.training.outcome import Outcome

_RECENT = 5  # validations
_WON = 0.98
_WORST_RATIO = 2.0


class AdversaryOptions(BaseModel):
    """A discriminator of spectrogram patches, and its part in the inverter's loss.

    The paper gives β = 1 and not α. Losses here are divided by α: Adam doesn't see the
    difference, and the clipping of gradients then doesn't either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    form: Literal["none", "lsgan", "wgan"] = "lsgan"
    alpha: float = Field(10.0, gt=0)
    """Weight of the mean squared error."""
    beta: float = Field(1.0, ge=0)
    """Weight of the generator's loss against the discriminator."""
    feature_matching: float = Field(0.0, ge=0)
    """Weight of the difference in the discriminator's inner layers."""
    from_step: int | None = Field(None, ge=1)
    """The first step with it; None: after a third of all steps."""
    width: int = Field(16, ge=1)
    """Channels of the discriminator's first layer."""
    n_frames: int = Field(32, ge=1)
    """In the middle of each training segment, that it looks at: it costs more than the inverter."""
    learning_rate: float = Field(4e-4, gt=0)

    def first_step(self, max_steps: int) -> int:
        """The first step with the adversary; beyond the last where there is none."""
        if self.form == "none":
            return max_steps + 1
        return self.from_step or max_steps // 3 + 1


class AdversaryWarning(UserWarning):
    """The adversary does no good."""


class AdversaryWatch:
    """Warns once of each thing that goes wrong."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, history: Sequence[Row]) -> None:
        """Look at the validations so far."""
        for kind, text in complaints(history).items():
            if kind not in self._said:
                self._said.add(kind)
                warnings.warn(text, AdversaryWarning, stacklevel=2)


def complaints(history: Sequence[Row]) -> dict[str, str]:
    """What to say of a training with an adversary, by what is wrong; empty if all is well.

    Two things can go wrong without a NaN. A discriminator that has won sees through every
    spectrum, whatever the inverter does. And an inverter may forget its units: one that draws
    spectra as they are distributed given the units has twice the least possible error, that of
    their mean, so only an error beyond that is none of texture.
    """
    against = [row for row in history if "accuracy" in row]
    if not against:
        return {}
    step, found = int(against[-1]["step"]), {}
    recent = [row["accuracy"] for row in against[-_RECENT:]]
    if len(recent) == _RECENT and min(recent) > _WON:
        found["won"] = (
            f"at step {step} the discriminator has won: for {_RECENT} validations it has told at "
            f"least {math.floor(100 * min(recent))} % of the patches rightly, so that the inverter "
            "learns little from it. Fix: a narrower one (--adversary-width), a later one "
            "(--adversary-from), more speech, or --adversary none"
        )
    # The mean spectrum, for every frame the same, has an error of 1.
    least = min((row["valid_loss"] for row in history if "accuracy" not in row), default=1.0)
    now = against[-1]["valid_loss"]
    if not now <= _WORST_RATIO * least:
        found["error"] = (
            f"at step {step} the adversary has driven the error on held-out speech to {now:.3f}, "
            f"more than twice the {least:.3f} before it: the inverter no longer follows its units. "
            "Fix: a larger --alpha, a lower --learning-rate, or --adversary none"
        )
    return found


_BETAS = (0.5, 0.9)  # of the discriminator's Adam: what it met long ago is no longer true


class Code2SpecTask:
    """The paper's α·MSE + β·G_adv, over α; at first the mean squared error (MSE) alone.

    Validation is the MSE, with an adversary as well, which raises it: a voice with texture is
    further from the recording than the mean of all that might have been said (the trade-off of
    Blau and Michaeli 2018). So validation then watches, and doesn't decide: whoever trains with
    an adversary keeps the last weights (`TrainingConfig.keep`) rather than the blurred ones from
    before it. Its own loss can't decide either, as the judge changes.
    """

    def __init__(
        self,
        network: Code2Spec,
        data: VoiceData,
        training: TrainingConfig,
        adversary: AdversaryOptions,
        *,
        n_frames: int,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"inverter": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "inverter": torch.optim.Adam(network.parameters(), training.learning_rate)
        }
        if adversary.form != "none":
            judge = PatchDiscriminator(data.train.options.n_bins, adversary.width)
            self.networks["discriminator"] = judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.optimisers["discriminator"] = torch.optim.Adam(
                judge.parameters(), adversary.learning_rate, _BETAS
            )
        self._data, self._adversary, self._device = data, adversary, device
        self._seed, self._batch_size, self._n_frames = training.seed, training.batch_size, n_frames
        self._mean, self._deviation = data.mean.to(device), data.deviation.to(device)
        self._first_step, self._step = adversary.first_step(training.max_steps), 0

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        self._step = step
        return self._data.train.random_segments(
            self._batch_size, self._n_frames, (self._seed, step, process)
        )

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of the inverter, and before it one of the discriminator."""
        spectrum = networks["inverter"](batch["units"], batch["voices"])
        target, real = self._target(batch)
        error = _squared_error(spectrum, target, real).sum() / real.sum().clamp(min=1)
        if self._step < self._first_step:
            update("inverter", error)
            return {"train_loss": error}
        # What the inverter says of gaps, nobody taught it or will hear.
        made = torch.where(real[..., None], spectrum, target)
        loss, values = self._against(self._patch(target), self._patch(made), networks, update)
        update("inverter", error + loss / self._adversary.alpha)
        return {"train_loss": error, **values}

    def validate(self, network: nn.Module) -> Row:
        """Mean squared error over the held-out utterances, and the contrast that is left.

        The contrast is the mean absolute difference of neighbouring bins relative to that of the
        recordings: 1 is theirs, less is blurred (over-smoothing), more is noise.
        """
        total, n, contrasts = 0.0, 0.0, [0.0, 0.0]
        for batch in self._data.valid.all_segments(SEGMENTS_A_BATCH, LONG_SEGMENT):
            here = {name: value.to(self._device) for name, value in batch.items()}
            target, real = self._target(here)
            spectrum = network(here["units"], here["voices"])
            total += float(_squared_error(spectrum, target, real).sum())
            n += float(real.sum())
            for i, x in enumerate((spectrum, target)):
                contrasts[i] += float(x[real].diff(dim=-1).abs().sum())
        return {"contrast": contrasts[0] / max(contrasts[1], 1e-12), "valid_loss": total / n}

    def _target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The true normalised spectra (B, T, n_bins), and which frames are no gap (B, T)."""
        options = self._data.train.options
        spectrum = options.scaled(options.magnitude(batch["waves"]))
        real = batch["units"] != self._data.train.nothing
        return (spectrum - self._mean) / self._deviation, real

    def _patch(self, spectrum: Tensor) -> Tensor:
        """The middle of each segment, which knows what is around it."""
        n_frames = min(self._adversary.n_frames, spectrum.shape[1])
        start = (spectrum.shape[1] - n_frames) // 2
        return spectrum[:, start : start + n_frames]

    def _against(
        self, real: Tensor, made: Tensor, networks: Mapping[str, nn.Module], update: Update
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Train the discriminator; return the inverter's loss against it, and what to log."""
        options = self._adversary
        form: Form = "wgan" if options.form == "wgan" else "lsgan"
        true, false = halves(networks["discriminator"](torch.cat([real, made.detach()])))
        told = discriminator_loss(true, false, form)
        update("discriminator", told)

        # Without DDP's wrapping, whose gradients all have to be asked for.
        judge = update.accelerator.unwrap_model(networks["discriminator"]).requires_grad_(False)
        if options.feature_matching:
            now, seen = halves(judge(torch.cat([real, made])))
            matching = feature_matching_loss(now, seen)
        else:
            seen, matching = judge(made), torch.zeros_like(told)
        judge.requires_grad_(True)
        against = generator_loss(seen, form)
        values = {"generator_loss": against, "discriminator_loss": told, **_certainty(true, false)}
        if options.feature_matching:
            values["feature_matching"] = matching
        return options.beta * against + options.feature_matching * matching, values


def train_code2spec(
    config: Code2SpecConfig,
    data: VoiceData,
    training: TrainingConfig,
    adversary: AdversaryOptions,
    folder: Path,
    mark: str,
    *,
    references: NDArray[np.float32] | None = None,
    n_frames: int,
    device: str,
    restart: bool,
    tensorboard: bool,
) -> tuple[Code2Spec, dict[str, Any]]:
    """Train from the units' means on; returns the network, and how it went.

    Args:
        folder, mark: for the checkpoint, and what it has to belong to.
        references: (n_voices, n_reference) what a speaker encoder hears in each voice.
        n_frames: length of a training segment.
    """
    torch.manual_seed(training.seed)
    network = Code2Spec(config)
    network.start_from(unit_means(data, config.n_units).weight)
    if references is not None:
        network.voice.references.copy_(torch.from_numpy(references))
    task = Code2SpecTask(network, data, training, adversary, n_frames=n_frames, device=device)
    result = train(
        task,
        training,
        folder,
        fingerprint=mark,
        device=device,
        restart=restart,
        tensorboard=tensorboard,
        watch=AdversaryWatch(),
    )
    network.load_state_dict(result.weights)
    how = {
        "device": device,
        "seconds": result.seconds,
        **asdict(Outcome.of(result, network)),
        "contrast": result.best["contrast"],
        "complaints": list(complaints(result.history).values()),
    }
    return network.to(device), how


def _squared_error(spectrum: Tensor, target: Tensor, real: Tensor) -> Tensor:
    """Mean over bins for each real frame, (n,)."""
    return (spectrum[real] - target[real]).square().mean(dim=-1)


def _certainty(real: list[Judgement], made: list[Judgement]) -> dict[str, Tensor]:
    """Mean scores, and the part of the patches on their own side of the middle between those."""
    true, false = (torch.cat([j.score.detach().flatten() for j in js]) for js in (real, made))
    middle = (true.mean() + false.mean()) / 2
    right = torch.cat([true > middle, false < middle]).float().mean()
    return {"score_real": true.mean(), "score_made": false.mean(), "accuracy": right}
