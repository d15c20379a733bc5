"""Learn the prosody of units from speech: what an inverter's training does beside the inverter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.atomic import scratch
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile
from zerochain.inversion.contours import check_contour, resampled
from zerochain.inversion.cuts import Cuts
from zerochain.inversion.prosody import Prosody, frames_a_step
from zerochain.inversion.prosody_training import (
    ProsodyData,
    ProsodyTask,
    duration_scale,
    measured,
    unit_means,
)
from zerochain.modules.prosody import ProsodyConfig, ProsodyNet
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import train
from zerochain.training.outcome import Outcome
from zerochain.training.split import validation_ids

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
    return ProsodyData(Cuts.of(merged, numbers), Cuts.of(framed, numbers))
