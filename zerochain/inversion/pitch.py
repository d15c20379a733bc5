"""F0 units: a voice's pitch movements as units at 12.5 to 50 Hz, free of the voice.

A VQ-VAE of log F0, normalised by each voice's mean and deviation, and voicing (Polyak et al.,
Interspeech 2021): contours of 5 ms go in, a unit per 80 ms comes out (or per 40 or 20), and a
contour in any voice comes back. Contours are Hz, 0 where unvoiced; `resampled` moves them between
steps.

From top to bottom: the recipe, contours, the quantizer, its training.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zerochain.errors import InputError, counted
from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.bundle import Bundled
from zerochain.formats.units import UnitFile
from zerochain.modules.encoder import mask_of
from zerochain.modules.vqvae import (
    CollapseWarning,
    F0Errors,
    F0Vqvae,
    F0VqvaeConfig,
)
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe, validation_ids
from zerochain.training.run import Fitted, Running, fit
from zerochain.training.task import Batch, Update, single

RECIPE = Recipe(
    max_steps=1500, batch_size=32, learning_rate=2e-3, annealing="cosine", ema_decay=0.99
)
"""A minute or two on a CPU."""
_COLLAPSED = 0.25  # the share of codes in use below which little of the pitch is kept
_PER_UNIT = 10  # units of speech for each code: in less, many codes are unused by chance
_CROP_FRAMES = 256  # 1.3 s: longer than the reach of a unit
_LONG_CROPS, _LONG_CROP = 16, 2048


def check_contour(f0: Contour, name: str) -> None:
    """Raise InputError unless `f0` is Hz (T ≥ 1,), 0 where unvoiced.

    Args:
        name: of the utterance, for the error.
    """
    if f0.ndim != 1 or len(f0) == 0 or not np.isfinite(f0).all() or f0.min() < 0:
        raise InputError(
            f"the F0 of utterance {name!r} has shape {f0.shape}, and NaN, negative values or no "
            "frame",
            cause="it was not made by zerochain's tracker, which gives Hz, and 0 where unvoiced",
            remedy="track F0 again, and put 0 where a frame is unvoiced",
        )


def resampled(f0: Contour, step_ms: float, new_step_ms: float, n_frames: int) -> Contour:
    """F0 at another step: frame i of either contour is centred at i steps.

    A frame is voiced where the nearest of the old frames is. Between two voiced frames log F0 is
    linear; beside an unvoiced one the voiced frame's value holds, and so does the last frame's
    beyond the end.

    Args:
        f0: Hz (T ≥ 1,), 0 where unvoiced.
        step_ms, new_step_ms: the step that it has, and the one that it gets.
        n_frames: that the new contour has.

    Returns:
        Hz (n_frames,), 0 where unvoiced.
    """
    check_contour(f0, "given")
    place = np.minimum(np.arange(n_frames) * (new_step_ms / step_ms), len(f0) - 1)
    left = place.astype(np.int64)
    right = np.minimum(left + 1, len(f0) - 1)
    part = place - left
    nearest = f0[np.where(part < 0.5, left, right)]
    both = (f0[left] > 0) & (f0[right] > 0)
    between = np.exp((1 - part) * _log(f0[left]) + part * _log(f0[right]))
    return np.asarray(np.where(both, between, nearest), np.float32)


def _log(f0: Contour) -> NDArray[np.float64]:
    return np.asarray(np.log(np.where(f0 > 0, f0, 1).astype(np.float64)))


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    voiced: float = Field(ge=0)
    n_used: int = Field(ge=0)


@dataclass(frozen=True, eq=False)
class F0Quantizer(Bundled):
    """F0 contours ↔ F0 units, of any voice whose F0 statistics are known.

    Attributes:
        step_ms: of a frame of F0; a unit lasts 16 frames, or fewer by the network's stride.
        report: how it was trained, and the errors of its units on held-out utterances.
    """

    MODEL = "f0-vqvae"
    WHAT = "F0 quantizer"

    network: F0Vqvae
    step_ms: Annotated[float, Field(gt=0)]
    report: Mapping[str, Any]

    def check(self) -> None:
        _Report.model_validate(self.report)

    @classmethod
    def fit(
        cls,
        f0: Mapping[str, Contour],
        voices: Mapping[str, int],
        statistics: Sequence[F0Statistics],
        *,
        config: F0VqvaeConfig | None = None,
        recipe: Recipe = RECIPE,
        step_ms: float = 5.0,
        running: Running | None = None,
    ) -> Self:
        """Learn F0 units.

        Args:
            f0: contours of the training speech, Hz (T,) each, 0 where unvoiced.
            voices: of the same utterances, the number of the voice.
            statistics: of each voice, by its number.

        Raises:
            InputError: fewer than two utterances, a contour with NaN, or divergence.
        """
        utterances = {
            name: frames_of(contour, statistics[voices[name]], name) for name, contour in f0.items()
        }
        held_out = validation_ids(list(f0))
        sides = [i for i in f0 if i not in held_out], [i for i in f0 if i in held_out]
        learned, kept = (
            Crops.of([utterances[i] for i in ids], voices=[voices[i] for i in ids]) for ids in sides
        )
        config = config or F0VqvaeConfig()
        running = running or Running()
        torch.manual_seed(recipe.seed)
        network = F0Vqvae(config)
        task = F0Task(network, learned, kept, recipe, running.device)
        inputs = {"network": config.model_dump(), "data": [learned.digest, kept.digest]}
        fitted = fit(task, recipe, running, inputs=inputs)
        network.to(running.device)
        report = measured(network, learned, kept, fitted, running.device)
        quantizer = cls(network, step_ms, report)
        for finding in quantizer.findings:
            warnings.warn(finding, CollapseWarning, stacklevel=2)
        return quantizer

    @property
    def n_units(self) -> int:
        return self.network.config.n_units

    @property
    def unit_step_ms(self) -> float:
        """How long a unit lasts."""
        return self.network.config.stride * self.step_ms

    @property
    def findings(self) -> list[str]:
        """What deserves a look."""
        if self.report["voiced"] == 0:
            return [
                "no frame of the training speech is voiced (whispered, or silent): F0 units carry "
                "no pitch, and all contours come back unvoiced"
            ]
        enough_for = self.report.get("n_seen", math.inf) / _PER_UNIT
        if self.report["n_used"] < _COLLAPSED * min(self.n_units, enough_for):
            return [_collapse(self.report["n_used"], self.n_units)]
        return []

    def units(self, f0: Contour, statistics: F0Statistics) -> NDArray[np.int32]:
        """The F0 units of an utterance.

        Args:
            f0: Hz (T,), 0 where unvoiced.
            statistics: of the voice.

        Returns:
            (⌈T / stride⌉,)

        Raises:
            InputError: no frame, or NaN.
        """
        frames = frames_of(f0, statistics, "given")
        z, voiced = (torch.from_numpy(frames[n])[None].to(self._device) for n in ("z", "voiced"))
        with torch.inference_mode():
            return self.network.encode(z, voiced)[0].cpu().numpy().astype(np.int32)

    def contour(
        self, units: NDArray[np.int32], statistics: F0Statistics, n_frames: int | None = None
    ) -> Contour:
        """F0 in the voice that has these statistics.

        Args:
            units: (N ≥ 1,).
            n_frames: at most stride · N, which is the default.

        Returns:
            Hz (n_frames,), 0 where unvoiced.

        Raises:
            InputError: no unit, one out of range, or more frames than the units last.
        """
        most = self.network.config.stride * len(units)
        n_frames = most if n_frames is None else n_frames
        self._check(units, n_frames)
        with torch.inference_mode():
            codes = torch.from_numpy(units.astype(np.int64))[None].to(self._device)
            z, voiced = (x[0, :n_frames].cpu().numpy() for x in self.network.decode(codes))
        # Where training saw no voiced frame, predicted voicing is chance.
        return statistics.restored(z, (voiced > 0.5) & (self.report["voiced"] > 0))

    def encode(
        self,
        f0: Mapping[str, Contour],
        voices: Mapping[str, int],
        statistics: Sequence[F0Statistics],
        model_id: str,
        *,
        speakers: Mapping[str, str | None] | None = None,
        corpus_id: str = "",
    ) -> UnitFile:
        """The F0 units of many utterances as a unit file; `model_id` is the quantizer's bundle."""
        return UnitFile(
            units={name: self.units(f0[name], statistics[voices[name]]) for name in f0},
            n_units=self.n_units,
            step_ms=self.unit_step_ms,
            model_id=model_id,
            method=f"{self.MODEL} K={self.n_units}",
            speakers=speakers or {},
            corpus_id=corpus_id,
        )

    @property
    def _device(self) -> torch.device:
        return self.network.quantizer.codebook.device

    def _check(self, units: NDArray[np.int32], n_frames: int) -> None:
        if len(units) == 0 or units.min() < 0 or units.max() >= self.n_units:
            raise InputError(
                f"{counted(len(units), 'F0 unit')}, or some outside 0 … {self.n_units - 1}",
                cause="they are units of content, or of another F0 quantizer",
                remedy="make them with this quantizer",
            )
        most = self.network.config.stride * len(units)
        if not 1 <= n_frames <= most:
            raise InputError(
                f"{n_frames} frames of {self.step_ms:g} ms were asked for, and "
                f"{counted(len(units), 'F0 unit')} can make up to {most}",
                cause="the units are of another utterance",
                remedy="make the F0 units of this utterance",
            )


def _collapse(n_used: int, n_units: int) -> str:
    return (
        f"the codebook of F0 has collapsed: {n_used} of {n_units} units are in use. Fix: more "
        "or livelier speech, F0 that is tracked better (look at some contours), a lower learning "
        "rate, or fewer units"
    )


class F0Task:
    """Error of z and of voicing, each a mean over what is voiced or real, and the quantizer's."""

    def __init__(
        self, network: F0Vqvae, learned: Crops, kept: Crops, recipe: Recipe, device: str
    ) -> None:
        self.networks, self.optimisers = single(
            "f0", network, torch.optim.Adam(network.parameters(), recipe.learning_rate)
        )
        self._learned, self._kept, self._recipe, self._device = learned, kept, recipe, device
        self._start(network)

    def _start(self, network: F0Vqvae) -> None:
        """Initial codes are latents, so that all are in use from the first step on."""
        batch = self.batch(0, 0)  # step 0 is no step of the training
        with torch.no_grad():
            latents = network.train().latents(batch["z"], batch["voiced"], batch["lengths"])
        flat = latents.flatten(0, 1)
        chosen = torch.randint(len(flat), (network.config.n_units,))
        network.quantizer.start(flat[chosen])

    def batch(self, step: int, process: int) -> Batch:
        """Random crops of the training utterances."""
        seed = (self._recipe.seed, step, process)
        return self._learned.random(self._recipe.batch_size, _CROP_FRAMES, seed)

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of all parts."""
        made = networks["f0"](batch["z"], batch["voiced"], batch["lengths"])
        errors = _errors(made.z, made.voicing, batch)
        loss = errors.loss + made.quantized.loss
        update("f0", loss)
        return {
            "train_loss": loss,
            "z": errors.z / errors.n_voiced.clamp(min=1),
            "voicing": errors.voicing / errors.n_real,
            "perplexity": made.quantized.perplexity,
            "n_used": made.quantized.n_used,
        }

    def validate(self, network: nn.Module) -> float:
        """Error of z and voicing of the held-out utterances."""
        total: F0Errors | None = None
        for batch in _batches(self._kept, self._device):
            made = network(batch["z"], batch["voiced"], batch["lengths"])
            errors = _errors(made.z, made.voicing, batch)
            total = errors if total is None else total + errors
        assert total is not None
        return float(total.loss)


def frames_of(f0: Contour, statistics: F0Statistics, name: str) -> dict[str, NDArray[np.float32]]:
    """The network's input for a contour: "z" and "voiced", (T,) each; `name` is for errors."""
    check_contour(f0, name)
    return {"z": statistics.normalised(f0), "voiced": (f0 > 0).astype(np.float32)}


def _errors(z: Tensor, voicing: Tensor, batch: Batch) -> F0Errors:
    real = mask_of(batch["lengths"], batch["z"].shape[1])
    return F0Errors.of(z, voicing, batch["z"], batch["voiced"], real)


def measured(
    network: F0Vqvae, learned: Crops, kept: Crops, fitted: Fitted, device: str
) -> dict[str, Any]:
    """How training went, which codes training speech uses, and their errors on held-out speech."""
    counts = np.zeros(network.config.n_units, np.int64)
    wrong = squares = 0.0
    with torch.inference_mode():
        for batch in _batches(learned, device):
            units = network.encode(batch["z"], batch["voiced"], batch["lengths"])
            real = mask_of(network.n_units_of(batch["lengths"]), units.shape[1]) > 0
            counts += np.bincount(units[real].cpu().numpy(), minlength=len(counts))
        for batch in _batches(kept, device):
            made = network(batch["z"], batch["voiced"], batch["lengths"])
            real = mask_of(batch["lengths"], batch["z"].shape[1]) > 0
            predicted, voiced = made.voicing > 0, batch["voiced"] > 0
            wrong += float(((predicted != voiced) & real).sum())
            squares += float((made.z - batch["z"])[voiced].square().sum())
    shares = counts[counts > 0] / counts.sum()
    n_voiced = float(kept.arrays["voiced"].sum())
    return {
        **asdict(fitted.outcome),
        "voiced": float(learned.arrays["voiced"].mean()),
        "n_used": len(shares),
        "n_seen": int(counts.sum()),
        "perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
        "held_out_voicing_error": wrong / len(kept.arrays["voiced"]),
        "held_out_z_rmse": (squares / n_voiced) ** 0.5 if n_voiced else None,
    }


def _batches(crops: Crops, device: str) -> Iterator[Batch]:
    """Everything once, in long crops."""
    for batch in crops.all(_LONG_CROPS, _LONG_CROP):
        yield {name: value.to(device) for name, value in batch.items()}
