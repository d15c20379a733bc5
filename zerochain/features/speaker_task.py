"""Train a network to tell speakers apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerochain.features.batching import like_lengths, padded
from zerochain.features.speaker_pieces import Piece, trial_pieces
from zerochain.formats.features import Features
from zerochain.modules.speaker_encoder import SpeakerClassifier
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Update

_BATCH_FRAMES = 16_384
_FRAMES = (100, 300)  # of a training segment: one to three seconds
_MOST_VALIDATIONS = 512  # pieces
Frames = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of utterances, and the features to cut them from."""

    features: Features
    pieces: Sequence[Piece]
    speakers: Sequence[str]
    """Who is told apart: a piece's label is its speaker's place here."""

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(P,)."""
        place = {speaker: i for i, speaker in enumerate(self.speakers)}
        return np.array([place[piece.speaker] for piece in self.pieces], np.int64)

    @cached_property
    def _of_speaker(self) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """For each speaker the places of the pieces, and how likely each is drawn."""
        lengths = np.array([piece.n_frames for piece in self.pieces], np.float64)
        places = [np.flatnonzero(self.labels == i) for i in range(len(self.speakers))]
        return [(own, lengths[own] / lengths[own].sum()) for own in places]

    def frames(self, i: int) -> Frames:
        """One piece, (T, D)."""
        piece = self.pieces[i]
        return self.features[piece.utterance][piece.start : piece.start + piece.n_frames]

    def random_segments(self, n: int, seed: Sequence[int]) -> Batch:
        """`n` segments of one random length, every speaker as likely as another.

        Returns:
            "x" (n, T, D), "lengths" (n,) and "labels" (n,); shorter pieces come whole.
        """
        rng = np.random.default_rng(list(seed))
        n_frames = int(rng.integers(_FRAMES[0], _FRAMES[1] + 1))
        cuts, labels = [], rng.integers(0, len(self.speakers), n)
        for label in labels:
            places, chances = self._of_speaker[label]
            frames = self.frames(int(rng.choice(places, p=chances)))
            start = int(rng.integers(0, max(0, len(frames) - n_frames) + 1))
            cuts.append(frames[start : start + n_frames])
        x, lengths = padded(cuts)
        return {"x": x, "lengths": lengths, "labels": torch.from_numpy(labels)}


class SpeakerTask:
    """Additive-margin softmax over the corpus's own speakers.

    Validation hears other utterances of the same speakers, in pieces.
    """

    def __init__(
        self,
        network: SpeakerClassifier,
        train: Pieces,
        valid: Pieces,
        config: TrainingConfig,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"speakers": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "speakers": torch.optim.AdamW(
                network.parameters(), config.learning_rate, weight_decay=0.05
            )
        }
        self._network, self._train, self._config, self._device = network, train, config, device
        pieces = trial_pieces(valid.pieces)
        chosen = np.random.default_rng(0).permutation(len(pieces))[:_MOST_VALIDATIONS]
        self._valid = Pieces(valid.features, [pieces[i] for i in chosen], valid.speakers)

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of random speakers."""
        return self._train.random_segments(
            self._config.batch_size, (self._config.seed, step, process)
        )

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of the encoder and of the speakers' directions."""
        cosines = networks["speakers"](batch["x"], batch["lengths"])
        loss = self._network.loss(cosines, batch["labels"]).mean()
        update("speakers", loss)
        told = (cosines.argmax(dim=1) == batch["labels"]).float().mean()
        return {"train_loss": loss, "accuracy": told}

    def validate(self, network: nn.Module) -> float:
        """The same loss on the pieces held out."""
        total, valid = 0.0, self._valid
        for group in like_lengths([piece.n_frames for piece in valid.pieces], _BATCH_FRAMES):
            x, lengths = padded([valid.frames(i) for i in group])
            cosines = network(x.to(self._device), lengths.to(self._device))
            labels = torch.from_numpy(valid.labels[group]).to(self._device)
            total += float(self._network.loss(cosines, labels).sum())
        return total / len(valid.pieces)
