"""Train the predictors of prosody, and measure them beside what each unit does on average.

Learn the prosody of units from speech: what an inverter's training does beside the inverter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.atomic import scratch
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile
from zerochain.inversion.pitch import check_contour, resampled
from zerochain.inversion.prosody import Prosody, frames_a_step
from zerochain.modules.encoder import mask_of
from zerochain.modules.f0_vqvae import F0Errors
from zerochain.modules.prosody import ProsodyConfig, ProsodyNet
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.crops import Crops
from zerochain.training.loop import Batch, Update, train
from zerochain.training.outcome import Outcome
from zerochain.training.split import validation_ids

_CROP_UNITS, _CROP_FRAMES = 128, 384
_LONG_CROPS, _LONG_CROP = 16, 1024


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
        config: TrainingConfig,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"prosody": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "prosody": torch.optim.AdamW(network.parameters(), config.learning_rate)
        }
        self._learned, self._kept, self._config, self._device = learned, kept, config, device

    def batch(self, step: int, process: int) -> Batch:
        """Random crops of the training utterances, of units and, other ones, of frames."""
        n, seed = self._config.batch_size, (self._config.seed, step, process)
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
    """Errors on the held-out utterances, beside those of each unit's mean over training speech.

    "duration_rmse" is of log(duration + 1); "voicing_error" is the share of frames; "z_rmse" is of
    voiced frames, in standard deviations of the speaker's log F0, None where none is voiced.
    """
    means = unit_means(learned, network.config.n_units)
    squares = base_squares = wrong = base_wrong = 0.0
    z_squares = base_z_squares = n_voiced = 0.0
    with torch.inference_mode():
        for batch in batches(kept.units, device):
            base = means["log_durations"].to(device)[batch["units"]]
            squares += float(squared_error(log_durations(network, batch), batch)[0])
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
        "duration_rmse": root(squares, n_units),
        "duration_rmse_baseline": root(base_squares, n_units),
        "voicing_error": wrong / n_frames,
        "voicing_error_baseline": base_wrong / n_frames,
        "z_rmse": root(z_squares, n_voiced),
        "z_rmse_baseline": root(base_z_squares, n_voiced),
    }


def unit_means(data: ProsodyData, n_units: int) -> dict[str, Tensor]:
    """What each unit does on average, (n_units,) each; one that never occurred does what all do.

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


TRAINING = TrainingConfig(
    max_steps=1000, batch_size=8, validate_every=100, patience=3, ema_decay=0.99
)
_F0_REACH_MS = 500.0
_HELD_OUT = 0.1


def fit_prosody(
    unit_file: UnitFile,
    f0: Mapping[str, Contour],
    voices: Mapping[str, int],
    statistics: Sequence[F0Statistics],
    *,
    references: NDArray[np.float32] | None = None,
    width: int = 64,
    training: TrainingConfig = TRAINING,
    f0_step_ms: float = 5.0,
    folder: Path | None = None,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> Prosody:
    """Learn durations and F0 of units; a tenth of the utterances is held out to see how well.

    Args:
        unit_file: units of at least the utterances in `f0`.
        f0: contours of the training speech, Hz (T,) each, 0 where unvoiced.
        voices: of the same utterances, the number of who speaks.
        statistics: of the F0 of each voice, by its number.
        references: (n_voices, n_reference) what a speaker encoder hears in each voice.
        folder: of this fit's own, for the checkpoint and log.csv; None: nothing is kept, and an
            interrupted fit starts anew.

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
    network = _network(config, learned, references, training.seed)
    settings = {
        "network": config.model_dump(),
        "training": training.model_dump(),
        "data": [*learned.digest, *kept.digest],
        "references": None if references is None else references.tolist(),
    }
    with nullcontext(folder) if folder else scratch() as place:
        trained = train(
            ProsodyTask(network, learned, kept, training, device),
            training,
            Path(place),
            fingerprint=fingerprint(settings),
            device=device,
            restart=restart,
            tensorboard=tensorboard,
        )
    network.load_state_dict(trained.weights)
    network.to(device).eval()
    report = {
        **asdict(Outcome.of(trained, network)),
        **measured(network, learned, kept, device),
    }
    scale = duration_scale(network, learned, device)
    return Prosody(network, unit_file.step_ms, tuple(statistics), scale, report)


def _config(
    unit_file: UnitFile, n_voices: int, references: NDArray[np.float32] | None, width: int
) -> ProsodyConfig:
    frame_ms = unit_file.step_ms / frames_a_step(unit_file.step_ms)
    n_reference = 0 if references is None else references.shape[1]
    return ProsodyConfig(
        n_units=unit_file.n_units,
        width=width,
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
    n = frames_a_step(unit_file.step_ms)
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
