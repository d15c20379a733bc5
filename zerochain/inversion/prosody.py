"""Prosody of units: how long each lasts, and its F0, in a known voice.

Units that come without durations, as those of a translation, get them from a predictor like that
of FastSpeech 2 (Ren et al. 2021), which reaches further, and F0 from one like it, normalised by the
mean and deviation of each voice's log F0. Both are trained on the inverter's own units and
recordings, and measured beside each unit's mean, which is the baseline.

From top to bottom: the recipe, the predictors, training, measuring.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from zerochain.errors import InputError, counted
from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.bundle import Bundled
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile
from zerochain.inversion.pitch import check_contour, resampled
from zerochain.modules.encoder import mask_of
from zerochain.modules.prosody import ProsodyConfig, ProsodyNet
from zerochain.modules.vqvae import F0Errors
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe, validation_ids
from zerochain.training.run import Running, fit
from zerochain.training.task import Batch, Update, single

RECIPE = Recipe(max_steps=3000, batch_size=8, validate_every=100, patience=3, ema_decay=0.99)
"""Minutes on a CPU; little speech ends it early by patience."""
_HELD_OUT = 0.1
_F0_REACH_MS = 500.0
_CROP_UNITS, _CROP_FRAMES = 128, 384
_LONG_CROPS, _LONG_CROP = 16, 1024
_FRAME_MS = 10.0
_MEASURES = {"duration_rmse": "durations", "voicing_error": "voicing", "z_rmse": "F0"}
Speaker = int | NDArray[np.float32] | None
"""The number of a voice, a speaker encoder's vector (n_reference,), or None for any voice."""


@dataclass(frozen=True, eq=False)
class Prosody(Bundled):
    """Durations and F0 of units.

    Attributes:
        step_ms: of the units' steps.
        statistics: of the F0 of each known voice.
        scale: of duration + 1, so that speech is as long as it should be as a whole.
        report: how it was trained, and its errors on held-out utterances beside the baseline's.
    """

    network: ProsodyNet
    step_ms: Annotated[float, Field(gt=0, le=1e6)]
    statistics: tuple[F0Statistics, ...]
    scale: Annotated[float, Field(gt=0)]
    report: Mapping[str, Any]

    @property
    def n_units(self) -> int:
        return self.network.config.n_units

    @property
    def frame_ms(self) -> float:
        """The step of predicted F0: that of units, or the largest part of it up to 10 ms."""
        return self.step_ms / frames_per_step(self.step_ms)

    @property
    def findings(self) -> list[str]:
        """What deserves a look."""
        whispered = [] if self._is_voiced else ["no frame is voiced, so predicted F0 is unvoiced"]
        return whispered + [
            f"predictions of {what} in held-out utterances are no better than each unit's mean "
            f"({self.report[name]:.3f} against {self.report[name + '_baseline']:.3f}): too little "
            "speech, or they don't depend on the units"
            for name, what in _MEASURES.items()
            if self.report[name] is not None
            and self.report[name] >= self.report[name + "_baseline"] > 0
        ]

    def durations(
        self, units: NDArray[np.int32], voice: Speaker = None, rate: float = 1.0
    ) -> NDArray[np.int32]:
        """How many steps each unit lasts.

        Args:
            units: merged (N,).
            voice: None is any voice.
            rate: above 1 speaks faster.

        Returns:
            (N,), each at least 1; together what all last at rate 1 divided by `rate`, or N.

        Raises:
            InputError: no unit, one out of range, an unknown voice, or a rate that isn't positive.
        """
        self._check(units)
        if not (0 < rate < math.inf):
            raise InputError(f"a rate of {rate} is not positive", remedy="1.2 is a fifth faster")
        with torch.inference_mode():
            logs = self.network.log_durations(*self._batch(units), self._voice(voice))[0]
            expected = (self.scale * logs.double().exp() - 1).clamp(min=1).cpu().numpy()
        return whole_steps(expected, expected.sum() / rate)

    def f0(
        self,
        steps: NDArray[np.int32],
        voice: Speaker = None,
        statistics: F0Statistics | None = None,
    ) -> Contour:
        """F0 of units that have their durations.

        Args:
            steps: the unit of each step (N,).
            voice: None is any voice.
            statistics: of a voice that isn't known by its number; without them, the known voices'
                mean.

        Returns:
            Hz every `frame_ms` (N · frames_per_step,), 0 where unvoiced.

        Raises:
            InputError: no unit, one out of range, or an unknown voice.
        """
        self._check(steps)
        frames = np.repeat(steps, frames_per_step(self.step_ms))
        with torch.inference_mode():
            z, voicing = (
                x[0].cpu().numpy()
                for x in self.network.f0(*self._batch(frames), self._voice(voice))
            )
        # Where training saw no voiced frame, predicted voicing is chance.
        voiced = (voicing > 0) & self._is_voiced
        return (statistics or self._statistics(voice)).restored(z, voiced)

    @property
    def _is_voiced(self) -> bool:
        return any(s.n_voiced for s in self.statistics)

    def _batch(self, units: NDArray[np.int32]) -> tuple[Tensor, Tensor]:
        device = next(self.network.parameters()).device
        codes = torch.from_numpy(units.astype(np.int64))[None].to(device)
        return codes, torch.tensor([len(units)], device=device)

    def _voice(self, voice: Speaker) -> Tensor | None:
        config, device = self.network.config, next(self.network.parameters()).device
        if isinstance(voice, np.ndarray):
            if voice.shape != (config.n_reference,) or not np.isfinite(voice).all():
                raise InputError(
                    f"a voice's vector has shape {voice.shape}, or NaN; "
                    f"({config.n_reference},) was expected",
                    cause="it is of another speaker encoder"
                    if config.n_reference
                    else "voices are known by their numbers alone here",
                )
            return self.network.voice(torch.from_numpy(voice.astype(np.float32))[None].to(device))
        if voice is None:
            return None
        if not 0 <= voice < len(self.statistics):
            raise InputError(
                f"voice {voice} is unknown: there are {len(self.statistics)}, counted from 0"
            )
        return self.network.voice(torch.tensor([voice], device=device))

    def _statistics(self, voice: Speaker) -> F0Statistics:
        if isinstance(voice, int):
            return self.statistics[voice]
        return F0Statistics(
            float(np.mean([s.log_mean for s in self.statistics])),
            float(np.mean([s.log_deviation for s in self.statistics])),
            sum(s.n_voiced for s in self.statistics),
        )

    def _check(self, units: NDArray[np.int32]) -> None:
        if len(units) == 0 or units.min() < 0 or units.max() >= self.n_units:
            raise InputError(
                f"{counted(len(units), 'unit')}, or some outside 0 … {self.n_units - 1}",
                cause="they are of another unit model",
                remedy="encode with the unit model that this was trained on",
            )


def whole_steps(durations: NDArray[np.float64], total: float) -> NDArray[np.int32]:
    """Durations (N,), each at least 1, as whole steps that together last `total`, or N.

    All are scaled alike, but none to less than 1; what rounding leaves is carried to the next.
    """
    scaled = durations * _factor(durations, max(total, len(durations)))
    # Halves go up, all of them: to even numbers, 1.5 and 2.5 would both become 2.
    ends = np.floor(np.cumsum(np.maximum(scaled, 1)) + 0.5).astype(np.int64)
    return np.asarray(np.diff(ends, prepend=0), np.int32)


def frames_per_step(step_ms: float) -> int:
    """The number of frames of at most 10 ms in a step."""
    return math.ceil(step_ms / _FRAME_MS)


def _factor(durations: NDArray[np.float64], total: float) -> float:
    """c such that Σ max(1, c · durations) = total ≥ N: the shortest first reach 1."""
    longest_first = np.sort(durations)[::-1]
    sums, n = np.cumsum(longest_first), np.arange(1, len(durations) + 1)
    # With the n longest above 1 and the others at 1; right where the n-th is still above 1.
    factors = (total - (len(durations) - n)) / sums
    right = np.flatnonzero(factors * longest_first >= 1 - 1e-12)
    return float(factors[right[-1]])


def fit_prosody(
    unit_file: UnitFile,
    f0: Mapping[str, Contour],
    voices: Mapping[str, int],
    statistics: Sequence[F0Statistics],
    *,
    references: NDArray[np.float32] | None = None,
    width: int = 64,
    recipe: Recipe = RECIPE,
    f0_step_ms: float = 5.0,
    running: Running | None = None,
) -> Prosody:
    """Learn durations and F0 of units; a tenth of the utterances is held out to see how well.

    Args:
        unit_file: units of at least the utterances in `f0`.
        f0: contours of the training speech, Hz (T,) each, 0 where unvoiced.
        voices: of the same utterances, the number of the voice.
        statistics: of the F0 of each voice, by its number.
        references: (n_voices, n_reference) a speaker encoder's vector of each voice.

    Raises:
        InputError: an utterance without units, of another length or with NaN in its F0, fewer
            than two utterances, or divergence.
    """
    check_same_ids(list(f0), unit_file.ids, "F0 contours", "unit file")
    check_same_ids(list(f0), list(voices), "F0 contours", "voices")
    unit_file.check_durations(
        {name: len(contour) * f0_step_ms / 1000 for name, contour in f0.items()}, "F0 contours"
    )
    held_out = validation_ids(list(f0), _HELD_OUT)
    sides = ({i: f0[i] for i in f0 if (i in held_out) == out} for out in (False, True))
    learned, kept = (_data(unit_file, side, voices, statistics, f0_step_ms) for side in sides)
    config = _config(unit_file, len(statistics), references, width)
    network = _network(config, learned, references, recipe.seed)
    running = running or Running()
    inputs = {
        "network": config.model_dump(),
        "data": [*learned.digest, *kept.digest],
        "references": None if references is None else references.tolist(),
    }
    task = ProsodyTask(network, learned, kept, recipe, running.device)
    fitted = fit(task, recipe, running, inputs=inputs)
    network.to(running.device)
    durations = held_back(network, kept, running.device)
    network.shrink_durations(durations.factor)
    report = {
        **asdict(fitted.outcome),
        "duration_factor": durations.factor,
        "duration_rmse": durations.rmse,
        **measured(network, learned, kept, running.device),
    }
    scale = duration_scale(network, learned, running.device)
    return Prosody(network, unit_file.step_ms, tuple(statistics), scale, report)


def _config(
    unit_file: UnitFile, n_voices: int, references: NDArray[np.float32] | None, width: int
) -> ProsodyConfig:
    frame_ms = unit_file.step_ms / frames_per_step(unit_file.step_ms)
    n_reference = 0 if references is None else references.shape[1]
    return ProsodyConfig(
        n_units=unit_file.n_units,
        width=width,
        n_duration_layers=2,
        n_wide_duration_layers=2,
        duration_width=2 * width,
        n_f0_layers=math.ceil(math.log2(_F0_REACH_MS / frame_ms + 1)),
        n_voices=n_voices if n_voices > 1 or n_reference else 0,
        n_reference=n_reference,
    )


def _network(
    config: ProsodyConfig,
    learned: ProsodyData,
    references: NDArray[np.float32] | None,
    seed: int,
) -> ProsodyNet:
    """A network that starts from each unit's mean duration."""
    torch.manual_seed(seed)
    network = ProsodyNet(config)
    network.start_from(unit_means(learned, config.n_units)["log_durations"])
    if references is not None:
        network.voices.references.copy_(torch.from_numpy(references))
    return network


def _data(
    unit_file: UnitFile,
    f0: Mapping[str, Contour],
    voices: Mapping[str, int],
    statistics: Sequence[F0Statistics],
    f0_step_ms: float,
) -> ProsodyData:
    n = frames_per_step(unit_file.step_ms)
    merged: list[dict[str, NDArray[Any]]] = []
    framed: list[dict[str, NDArray[Any]]] = []
    for name, contour in f0.items():
        check_contour(contour, name)
        units, durations = unit_file.segments(name)
        frames = np.repeat(units, durations * n).astype(np.int64)
        here = resampled(contour, f0_step_ms, unit_file.step_ms / n, len(frames))
        merged.append(
            {"units": units.astype(np.int64), "log_durations": np.log(durations + np.float32(1))}
        )
        framed.append(
            {
                "frames": frames,
                "z": statistics[voices[name]].normalised(here),
                "voiced": (here > 0).astype(np.float32),
            }
        )
    numbers = [voices[name] for name in f0]
    return ProsodyData(Crops.of(merged, voices=numbers), Crops.of(framed, voices=numbers))


@dataclass(frozen=True, eq=False)
class ProsodyData:
    """The same utterances as merged units and as frames."""

    units: Crops
    """ "units" and "log_durations": log(duration + 1), durations in steps."""
    frames: Crops
    """ "frames": the unit of each; "z" and "voiced" of its F0."""

    @property
    def digest(self) -> list[str]:
        return [self.units.digest, self.frames.digest]


class ProsodyTask:
    """Squared error of log(duration + 1), and the errors of z and voicing; each is a mean."""

    def __init__(
        self,
        network: ProsodyNet,
        learned: ProsodyData,
        kept: ProsodyData,
        recipe: Recipe,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "prosody", network, torch.optim.AdamW(network.parameters(), recipe.learning_rate)
        )
        self._learned, self._kept, self._recipe, self._device = learned, kept, recipe, device

    def batch(self, step: int, process: int) -> Batch:
        """Random crops of the training utterances, of units and, other ones, of frames."""
        n, seed = self._recipe.batch_size, (self._recipe.seed, step, process)
        units = self._learned.units.random(n, _CROP_UNITS, seed)
        frames = self._learned.frames.random(n, _CROP_FRAMES, (*seed, 1))
        return {
            **{f"units.{name}": value for name, value in units.items()},
            **{f"frames.{name}": value for name, value in frames.items()},
        }

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of both predictors."""
        units, frames = (
            {n.removeprefix(part): v for n, v in batch.items() if n.startswith(part)}
            for part in ("units.", "frames.")
        )
        made = networks["prosody"](
            units["units"],
            units["lengths"],
            frames["frames"],
            frames["lengths"],
            units["voices"],
            frames["voices"],
        )
        total, n = squared_error(made.log_durations, units)
        errors = _f0_errors(made.z, made.voicing, frames)
        loss = total / n + errors.loss
        update("prosody", loss)
        return {
            "train_loss": loss,
            "duration": total / n,
            "z": errors.z / errors.n_voiced.clamp(min=1),
            "voicing": errors.voicing / errors.n_real,
        }

    def validate(self, network: nn.Module) -> float:
        """The same sum on the held-out utterances."""
        assert isinstance(network, ProsodyNet)
        total = n = 0.0
        for batch in batches(self._kept.units, self._device):
            part, count = squared_error(log_durations(network, batch), batch)
            total, n = total + float(part), n + float(count)
        parts = [
            _f0_errors(*f0(network, batch), batch)
            for batch in batches(self._kept.frames, self._device)
        ]
        errors = parts[0]
        for more in parts[1:]:
            errors += more
        return total / n + float(errors.loss)


def batches(crops: Crops, device: str) -> Iterator[Batch]:
    """Everything once, in long crops."""
    for batch in crops.all(_LONG_CROPS, _LONG_CROP):
        yield {name: value.to(device) for name, value in batch.items()}


def log_durations(network: ProsodyNet, batch: Batch) -> Tensor:
    """Of a batch of units."""
    voice = network.voice(batch["voices"])
    return network.log_durations(batch["units"], batch["lengths"], voice)


def f0(network: ProsodyNet, batch: Batch) -> tuple[Tensor, Tensor]:
    """z and voicing logits of a batch of frames."""
    return network.f0(batch["frames"], batch["lengths"], network.voice(batch["voices"]))


def squared_error(predicted: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sum over real units of the squared error of log(duration + 1), and their number."""
    real = mask_of(batch["lengths"], predicted.shape[1])
    errors = (predicted.float() - batch["log_durations"]).square()
    return (errors * real).sum(), real.sum()


def _f0_errors(z: Tensor, voicing: Tensor, batch: Batch) -> F0Errors:
    real = mask_of(batch["lengths"], z.shape[1])
    return F0Errors.of(z, voicing, batch["z"], batch["voiced"], real)


class HeldBack(NamedTuple):
    """How far what a network adds to each unit's own duration is right."""

    factor: float
    """By which it counts, 0 … 1."""
    rmse: float
    """Of log(duration + 1), with each half of the utterances by the factor of the other half."""


def held_back(network: ProsodyNet, kept: ProsodyData, device: str) -> HeldBack:
    """The least squares fit, on held-out utterances, of durations to what the network adds.

    With little speech the network has learned some of it by heart, while F0, which decides along
    with durations when training stops, still improves.
    """
    added, wanted = list[Tensor](), list[Tensor]()
    with torch.inference_mode():
        for batch in batches(kept.units, device):
            own = network.duration_layers.means(batch["units"])[..., 0]
            real = mask_of(batch["lengths"], own.shape[1]) > 0
            added.append((log_durations(network, batch).float() - own)[real])
            wanted.append((batch["log_durations"] - own)[real])
    x, y = torch.cat(added).double(), torch.cat(wanted).double()
    first = torch.arange(len(x), device=x.device) < len(x) // 2
    squares = sum(
        float((y[part] - _factor_of(x[~part], y[~part]) * x[part]).square().sum())
        for part in (first, ~first)
    )
    return HeldBack(_factor_of(x, y), (squares / len(x)) ** 0.5)


def _factor_of(added: Tensor, wanted: Tensor) -> float:
    alone = float(added.square().sum())
    return min(1.0, max(0.0, float((added * wanted).sum()) / alone)) if alone else 1.0


def duration_scale(network: ProsodyNet, learned: ProsodyData, device: str) -> float:
    """Σ (duration + 1) / Σ exp(predicted log): the mean of a log is less than the log of a mean.

    Without it, speech of predicted durations would be too short as a whole (Duan 1983).
    """
    true = made = 0.0
    with torch.inference_mode():
        for batch in batches(learned.units, device):
            real = mask_of(batch["lengths"], batch["units"].shape[1])
            true += float((batch["log_durations"].exp() * real).sum())
            made += float((log_durations(network, batch).exp() * real).sum())
    return true / made


def measured(
    network: ProsodyNet, learned: ProsodyData, kept: ProsodyData, device: str
) -> dict[str, float | None]:
    """Errors of F0 on the held-out utterances, and those of each unit's mean over training speech.

    Where training stopped was chosen on these utterances.

    "duration_rmse_baseline" is of log(duration + 1); "voicing_error" is the share of frames;
    "z_rmse" is of voiced frames, in standard deviations of the speaker's log F0, None where none is
    voiced.
    """
    means = unit_means(learned, network.config.n_units)
    base_squares = wrong = base_wrong = 0.0
    z_squares = base_z_squares = n_voiced = 0.0
    with torch.inference_mode():
        for batch in batches(kept.units, device):
            base = means["log_durations"].to(device)[batch["units"]]
            base_squares += float(squared_error(base, batch)[0])
        for batch in batches(kept.frames, device):
            z, voicing = f0(network, batch)
            real = mask_of(batch["lengths"], z.shape[1]) > 0
            voiced = (batch["voiced"] > 0) & real
            shares = means["voiced"].to(device)[batch["frames"]]
            base_z = means["z"].to(device)[batch["frames"]]
            wrong += float((((voicing > 0) != voiced) & real).sum())
            base_wrong += float((((shares > 0.5) != voiced) & real).sum())
            z_squares += float((z - batch["z"])[voiced].square().sum())
            base_z_squares += float((base_z - batch["z"])[voiced].square().sum())
            n_voiced += float(voiced.sum())
    n_units, n_frames = len(kept.units.arrays["units"]), len(kept.frames.arrays["frames"])

    def root(total: float, n: float) -> float | None:
        return (total / n) ** 0.5 if n else None

    return {
        "duration_rmse_baseline": root(base_squares, n_units),
        "voicing_error": wrong / n_frames,
        "voicing_error_baseline": base_wrong / n_frames,
        "z_rmse": root(z_squares, n_voiced),
        "z_rmse_baseline": root(base_z_squares, n_voiced),
    }


def unit_means(data: ProsodyData, n_units: int) -> dict[str, Tensor]:
    """Each unit's averages, (n_units,) each; those of all units for one that never occurs.

    "log_durations"; "z" where it is voiced; "voiced", the share of its frames.
    """
    units, frames = data.units.arrays, data.frames.arrays
    voiced = frames["voiced"] > 0
    return {
        "log_durations": _means(units["units"], units["log_durations"], n_units),
        "voiced": _means(frames["frames"], frames["voiced"], n_units),
        "z": _means(frames["frames"][voiced], frames["z"][voiced], n_units),
    }


def _means(groups: NDArray[Any], values: NDArray[Any], n_groups: int) -> Tensor:
    counts = np.bincount(groups, minlength=n_groups)
    sums = np.bincount(groups, values, minlength=n_groups)
    whole = sums.sum() / max(1, counts.sum())
    means = np.where(counts > 0, sums / np.maximum(counts, 1), whole)
    return torch.from_numpy(means.astype(np.float32))
