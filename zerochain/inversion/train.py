"""Train an inverter: spectra of a voice from its units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerochain.audio import Waveform
from zerochain.inversion.code2spec import Code2Spec
from zerochain.inversion.spectrogram import SpectrogramOptions
from zerochain.inversion.timeline import Timeline
from zerochain.training.loop import Batch, Update
from zerochain.training.split import validation_ids

_SEGMENTS_A_BATCH, _LONG_SEGMENT = 8, 512


@dataclass(frozen=True, eq=False)
class VoiceData:
    """A voice's recordings and units as training and validation see them."""

    train: Timeline
    valid: Timeline
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(
        cls,
        frames: Mapping[str, NDArray[np.int32]],
        waves: Mapping[str, Waveform],
        options: SpectrogramOptions,
        n_units: int,
    ) -> VoiceData:
        """Hold some utterances out, and measure the spectra of the others.

        Args:
            frames: units of each utterance, one a frame.
            waves: samples of each utterance.

        Raises:
            InputError: fewer than two utterances.
        """
        held_out = validation_ids(list(frames))
        sides = ([i for i in frames if i not in held_out], [i for i in frames if i in held_out])
        train, valid = (
            Timeline.of([frames[i] for i in ids], [waves[i] for i in ids], options, n_units)
            for ids in sides
        )
        return cls(train, valid, *_moments(train))


class Code2SpecTask:
    """Mean squared error between the predicted and the true normalised spectra of real frames.

    The paper's α·MSE. Its adversary is one more entry of `networks` and `optimisers`, and one
    more loss in `training_step`.
    """

    def __init__(
        self,
        network: Code2Spec,
        data: VoiceData,
        *,
        learning_rate: float,
        batch_size: int,
        n_frames: int,
        seed: int,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"inverter": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "inverter": torch.optim.Adam(network.parameters(), learning_rate)
        }
        self._data, self._seed, self._device = data, seed, device
        self._batch_size, self._n_frames = batch_size, n_frames
        self._mean, self._deviation = data.mean.to(device), data.deviation.to(device)

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        return self._data.train.random_segments(
            self._batch_size, self._n_frames, (self._seed, step, process)
        )

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of the inverter."""
        total, n = self._squared_error(networks["inverter"], batch)
        loss = total / n.clamp(min=1)
        update("inverter", loss)
        return {"train_loss": loss}

    def validate(self, network: nn.Module) -> float:
        """Mean squared error over the held-out utterances."""
        total, n = 0.0, 0.0
        for batch in self._data.valid.all_segments(_SEGMENTS_A_BATCH, _LONG_SEGMENT):
            here = {name: value.to(self._device) for name, value in batch.items()}
            part, count = self._squared_error(network, here)
            total, n = total + float(part), n + float(count)
        return total / n

    def _squared_error(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sum over real frames of the squared error's mean over bins, and their number."""
        options = self._data.train.options
        real = batch["units"] != self._data.train.nothing
        target = options.scaled(options.magnitude(batch["waves"])[real])
        target = (target - self._mean) / self._deviation
        error = (network(batch["units"])[real] - target).square().mean(dim=-1)
        return error.sum(), real.sum()


def unit_means(data: VoiceData, n_units: int) -> nn.Embedding:
    """The baseline that any inverter has to beat: each unit's mean normalised spectrum.

    Units that the voice never used, and nothing, get the mean of all frames: zero.
    """
    options = data.train.options
    sums = torch.zeros(n_units + 1, options.n_bins, dtype=torch.float64)
    counts = torch.zeros(n_units + 1, dtype=torch.float64)
    for units, target in _frames(data.train):
        sums.index_add_(0, units, ((target - data.mean) / data.deviation).double())
        counts += torch.bincount(units, minlength=n_units + 1)
    table = nn.Embedding(n_units + 1, options.n_bins)
    table.weight.data = (sums / counts.clamp(min=1)[:, None]).float()
    return table


def _moments(timeline: Timeline) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each bin of the scaled spectra, over all real frames."""
    n, total, square = 0, torch.zeros(1), torch.zeros(1)
    for _, target in _frames(timeline):
        wide = target.double()
        n, total = n + len(wide), total + wide.sum(dim=0)
        square = square + wide.square().sum(dim=0)
    mean = total / n
    deviation = (square / n - mean.square()).clamp(min=1e-8).sqrt()
    return mean.float(), deviation.float()


def _frames(timeline: Timeline) -> Iterator[tuple[Tensor, Tensor]]:
    """Units (n,) and scaled spectra (n, n_bins) of the real frames, block by block."""
    for batch in timeline.all_segments(_SEGMENTS_A_BATCH, _LONG_SEGMENT):
        real = batch["units"] != timeline.nothing
        if real.any():
            magnitude = timeline.options.magnitude(batch["waves"])
            yield batch["units"][real], timeline.options.scaled(magnitude[real])
