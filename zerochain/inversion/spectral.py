"""Training of Code2Spec (Tjandra et al. 2019), which predicts spectrograms, and of its baseline.

A network maps the unit of each frame (and the voice, where there are several) to a normalised
linear or log magnitude spectrum; a phase is then found for it (`zerochain.inversion.phase`). The
paper trains it on α·MSE + β·G_adv, with a discriminator of spectrogram patches against the blur of
a mean; ours starts from each unit's mean spectrum, which is the baseline `unit-means` as well.

From top to bottom: the config and recipe, training, the adversary's warnings.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zerochain.config import Config
from zerochain.errors import InputError, listed
from zerochain.inversion import SpectralMethod
from zerochain.inversion.inverter import (
    Code2SpecInverter,
    SpectralInverter,
    UnitMeansInverter,
)
from zerochain.inversion.phase import SpectrogramOptions, hop_of
from zerochain.inversion.voice_data import FRAME_MS, Material, VoiceData, unit_means, voice_data
from zerochain.modules.code2spec import (
    Code2Spec,
    Code2SpecConfig,
    UnitMeans,
    UnitMeansConfig,
)
from zerochain.modules.discriminators import (
    Form,
    Judgement,
    PatchDiscriminator,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    halves,
)
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, fit
from zerochain.training.task import Batch, Row, Update, single

RECIPE = Recipe(max_steps=3000, batch_size=16, learning_rate=1e-3, validate_every=100, patience=8)
"""A voice of half an hour in a quarter of an hour on a CPU."""


class AdversaryConfig(Config):
    """A discriminator of spectrogram patches, and its part in the inverter's loss.

    The paper gives β = 1 and not α. Losses here are divided by α: Adam doesn't see the
    difference, and the clipping of gradients then doesn't either.
    """

    form: Literal["none", "lsgan", "wgan"] = Field(
        "lsgan", json_schema_extra={"option": "--adversary"}
    )
    """The discriminator's loss, or none: reconstruction alone."""
    alpha: float = Field(10.0, gt=0)
    """Weight of the squared error beside the adversary."""
    beta: float = Field(1.0, ge=0)
    """Weight of the adversary; as published."""
    feature_matching: float = Field(0.0, ge=0)
    """Weight of the differences inside the discriminator."""
    from_step: int | None = Field(
        None,
        ge=1,
        json_schema_extra={"option": "--adversary-from", "default": "after a third of the steps"},
    )
    """The first step with the adversary."""
    width: int = Field(16, ge=1, json_schema_extra={"option": "--adversary-width"})
    """Channels of the discriminator's first layer."""
    n_frames: int = Field(32, ge=1, json_schema_extra={"option": "--adversary-frames"})
    """Frames in the middle of each training segment that are the discriminator's input; it takes
    more time than the inverter."""
    learning_rate: float = Field(4e-4, gt=0, json_schema_extra={"option": None})
    """Of the discriminator."""

    def first_step(self, max_steps: int) -> int:
        """The first step with the adversary; beyond the last where there is none."""
        if self.form == "none":
            return max_steps + 1
        return self.from_step or max_steps // 3 + 1


class SpectralConfig(Config):
    """Settings of an inverter that predicts spectrograms; unit means only have a scale."""

    width: int = Field(256, ge=8, multiple_of=8)
    """Channels per layer, a multiple of 8; published: 1024, without the means."""
    scale: Literal["log", "linear"] = "log"
    """Scale of the magnitudes that it predicts."""
    correct_means: bool = Field(True, json_schema_extra={"option": "--correct-means/--plain"})
    """Predict the difference from each unit's mean spectrum, or all of it, as published."""
    n_frames: int = Field(128, ge=1, json_schema_extra={"option": None})
    """Frames of a training segment."""
    adversary: AdversaryConfig = Field(AdversaryConfig(), json_schema_extra={"option": None})
    """With one, all steps are taken, and the last weights are kept."""

    def check_begins(self, max_steps: int) -> None:
        """Raise InputError if the adversary would begin after the last step."""
        first = self.adversary.first_step(max_steps)
        if self.adversary.form != "none" and first > max_steps:
            raise InputError(
                f"the adversary would begin at step {first}, and training ends at step {max_steps}",
                remedy="lower from_step=, or use form='none'",
            )


def train_spectral(
    method: SpectralMethod,
    material: Material,
    config: SpectralConfig,
    recipe: Recipe,
    running: Running,
) -> tuple[SpectralInverter, Fitted | None]:
    """Train an inverter that predicts spectrograms, without prosody.

    Returns:
        The inverter, and how its training went; None of unit means, which aren't trained.

    Raises:
        InputError: too little speech, unit means of several voices, an adversary that would begin
            after the last step, or divergence.
    """
    n_units = material.units.n_units
    options = SpectrogramOptions(
        hop=hop_of(min(FRAME_MS, material.units.step_ms)), scale=config.scale
    )
    if method == "unit-means":
        _check_one_voice(material.names)
        data = voice_data(material, options)
        table = UnitMeans(UnitMeansConfig(n_units=n_units, n_bins=options.n_bins))
        table.weight.data = unit_means(data, n_units)
        return _inverter(UnitMeansInverter, table, material, data, running, material.report), None
    adversary = config.adversary
    data = voice_data(material, options)
    network = _network(config, material, data, recipe)
    if adversary.form != "none":
        recipe = recipe.model_copy(update={"keep": "last"})
    settings = {
        "network": network.config.model_dump(),
        "spectrogram": options.model_dump(),
        "adversary": adversary.model_dump(),
        "n_frames": config.n_frames,
    }
    # The adversary's first step may follow from the number of steps, which may be raised.
    inputs = {
        **settings,
        **material.trained_on,
        "ids": material.corpus.ids,
    }
    task = Code2SpecTask(
        network, data, recipe, adversary, n_frames=config.n_frames, device=running.device
    )
    fitted = fit(task, recipe, running, inputs=inputs, watch=AdversaryWatch(adversary))
    report = {
        **material.report,
        **settings,
        "training": recipe.model_dump(),
        "device": running.device,
        **asdict(fitted.outcome),
        "contrast": fitted.best["contrast"],
        "complaints": list(complaints(fitted.history, adversary).values()),
    }
    return _inverter(Code2SpecInverter, network, material, data, running, report), fitted


def _inverter(
    kind: type[SpectralInverter],
    network: Code2Spec | UnitMeans,
    material: Material,
    data: VoiceData,
    running: Running,
    report: Mapping[str, Any],
) -> SpectralInverter:
    return kind(
        network=network.to(running.device).eval(),
        spectrogram=data.options,
        mean=data.mean.numpy(),
        deviation=data.deviation.numpy(),
        f0=tuple(material.statistics),
        prosody=None,
        training=report,
        **material.fields,
    )


def _network(
    config: SpectralConfig, material: Material, data: VoiceData, recipe: Recipe
) -> Code2Spec:
    """A network that starts from the units' means."""
    torch.manual_seed(recipe.seed)
    network = Code2Spec(
        Code2SpecConfig(
            n_units=material.units.n_units,
            n_bins=data.options.n_bins,
            width=config.width,
            correct_means=config.correct_means,
            n_voices=len(material.names),
            n_reference=material.n_reference,
        )
    )
    network.start_from(unit_means(data, material.units.n_units))
    if material.references is not None:
        network.voice.references.copy_(torch.from_numpy(material.references))
    return network


def _check_one_voice(voices: Sequence[str]) -> None:
    if len(voices) > 1:
        raise InputError(
            f"unit means are of one voice, and {len(voices)} were chosen: {listed(list(voices))}",
            remedy="choose one with voices=",
        )


_BETAS = (0.5, 0.9)  # of the discriminator's Adam: what it saw long ago is no longer true


class Code2SpecTask:
    """The paper's α·MSE + β·G_adv, over α; at first the mean squared error (MSE) alone.

    Validation is the MSE, with an adversary as well, which raises it: a spectrum with texture is
    further from the recording than the mean of all possible ones (the trade-off of Blau and
    Michaeli 2018). So validation is then logged and doesn't decide: with an adversary the last
    weights are kept (`Recipe.keep`) rather than the blurred ones from before it. The adversarial
    loss can't decide either, as the discriminator changes.
    """

    def __init__(
        self,
        network: Code2Spec,
        data: VoiceData,
        recipe: Recipe,
        adversary: AdversaryConfig,
        *,
        n_frames: int,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "inverter", network, torch.optim.Adam(network.parameters(), recipe.learning_rate)
        )
        if adversary.form != "none":
            judge = PatchDiscriminator(data.options.n_bins, adversary.width)
            self.networks["discriminator"] = judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.optimisers["discriminator"] = torch.optim.Adam(
                judge.parameters(), adversary.learning_rate, _BETAS
            )
        self._data, self._adversary, self._device = data, adversary, device
        self._seed, self._batch_size, self._n_frames = recipe.seed, recipe.batch_size, n_frames
        self._mean, self._deviation = data.mean.to(device), data.deviation.to(device)
        self._first_step, self._step = adversary.first_step(recipe.max_steps), 0

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        self._step = step
        return self._data.train.random(
            self._batch_size, self._n_frames, (self._seed, step, process)
        )

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of the inverter, and before it one of the discriminator."""
        spectrum = networks["inverter"](batch["units"], batch["voices"])
        target, real = self._target(batch)
        error = _squared_error(spectrum, target, real).sum() / real.sum().clamp(min=1)
        if not self._has_adversary:
            update("inverter", error)
            return {"train_loss": error}
        # What is predicted for padding is neither trained nor used.
        made = torch.where(real[..., None], spectrum, target)
        loss, values = self._against(self._patch(target), self._patch(made), networks, update)
        update("inverter", error + loss / self._adversary.alpha)
        return {"train_loss": error, **values}

    @property
    def _has_adversary(self) -> bool:
        """Once it has begun it stays, though more steps than before would begin it later."""
        if "discriminator" not in self.optimisers:
            return False
        return self._step >= self._first_step or bool(self.optimisers["discriminator"].state)

    def validate(self, network: nn.Module) -> Row:
        """Mean squared error over the held-out utterances, and the contrast that is left.

        The contrast is the mean absolute difference of neighbouring bins relative to that of the
        recordings: 1 is theirs, less is blurred (over-smoothing), more is noise.
        """
        total, n, contrasts = 0.0, 0.0, [0.0, 0.0]
        for batch in self._data.batches(self._data.valid):
            here = {name: value.to(self._device) for name, value in batch.items()}
            target, real = self._target(here)
            spectrum = network(here["units"], here["voices"])
            total += float(_squared_error(spectrum, target, real).sum())
            n += float(real.sum())
            for i, x in enumerate((spectrum, target)):
                contrasts[i] += float(x[real].diff(dim=-1).abs().sum())
        return {"contrast": contrasts[0] / max(contrasts[1], 1e-12), "valid_loss": total / n}

    def _target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The true normalised spectra (B, T, n_bins), and which frames are no padding (B, T)."""
        spectrum = self._data.scaled(batch)
        return (spectrum - self._mean) / self._deviation, self._data.is_speech(batch)

    def _patch(self, spectrum: Tensor) -> Tensor:
        """The middle of each segment, whose surroundings the network sees."""
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
        judged = discriminator_loss(true, false, form)
        update("discriminator", judged)

        # Without DDP's wrapping, whose gradients all have to be asked for.
        judge = update.accelerator.unwrap_model(networks["discriminator"]).requires_grad_(False)
        if options.feature_matching:
            now, seen = halves(judge(torch.cat([real, made])))
            matching = feature_matching_loss(now, seen)
        else:
            seen, matching = judge(made), torch.zeros_like(judged)
        judge.requires_grad_(True)
        against = generator_loss(seen, form)
        values = {
            "generator_loss": against,
            "discriminator_loss": judged,
            **_certainty(true, false),
        }
        if options.feature_matching:
            values["feature_matching"] = matching
        return options.beta * against + options.feature_matching * matching, values


def _squared_error(spectrum: Tensor, target: Tensor, real: Tensor) -> Tensor:
    """Mean over bins for each real frame, (n,)."""
    return (spectrum[real] - target[real]).square().mean(dim=-1)


def _certainty(real: list[Judgement], made: list[Judgement]) -> dict[str, Tensor]:
    """Mean scores, and the share of patches on the right side of the midpoint between those."""
    true, false = (torch.cat([j.score.detach().flatten() for j in js]) for js in (real, made))
    middle = (true.mean() + false.mean()) / 2
    right = torch.cat([true > middle, false < middle]).float().mean()
    return {"score_real": true.mean(), "score_made": false.mean(), "accuracy": right}


_RECENT = 5  # validations
_WON = 0.98  # of the patches
_WORST_RATIO = 2.0  # of errors


class AdversaryWarning(UserWarning):
    """The adversary makes the inverter worse."""


class AdversaryWatch:
    """Warns once of each thing that goes wrong."""

    def __init__(self, adversary: AdversaryConfig) -> None:
        self._adversary = adversary
        self._warned: set[str] = set()

    def __call__(self, history: Sequence[Row]) -> None:
        """Look at the validations so far."""
        for kind, text in complaints(history, self._adversary).items():
            if kind not in self._warned:
                self._warned.add(kind)
                warnings.warn(text, AdversaryWarning, stacklevel=2)


def complaints(history: Sequence[Row], adversary: AdversaryConfig) -> dict[str, str]:
    """Warnings about a training with an adversary, by what is wrong; empty if all is well.

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
            f"at step {step} the discriminator has won: over {_RECENT} validations it classified "
            f"at least {math.floor(100 * min(recent))} % of the patches correctly, so the inverter "
            f"learns little from it. Fix: a narrower one (below width={adversary.width}), a later "
            "one (from_step=), more speech, or form='none'"
        )
    # The mean spectrum, for every frame the same, has an error of 1.
    least = min((row["valid_loss"] for row in history if "accuracy" not in row), default=1.0)
    now = against[-1]["valid_loss"]
    if not now <= _WORST_RATIO * least:
        found["error"] = (
            f"at step {step} the adversary has driven the error on held-out speech to {now:.3f}, "
            f"more than twice the {least:.3f} before it: the inverter no longer follows its units. "
            f"Fix: more than alpha={adversary.alpha:g}, a lower learning rate, or form='none'"
        )
    return found
