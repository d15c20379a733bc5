"""Train a network to write what is said, by connectionist temporal classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.features.batching import like_lengths, padded
from zerochain.features.recogniser import SPEECH, output_lengths, prepared, spelled
from zerochain.formats.features import Features
from zerochain.metrics.translation import error_rate
from zerochain.modules.encoder import Encoder
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Row, Update

AUGMENTATION = AugmentationOptions(warp=0.1, tilt_db=0, noise=0.1, n_masks=2, mask_frames=10)
"""Other vocal tracts, noise, gaps; the utterances' own normalisation takes tilts out already."""
_BATCH_FRAMES = 16_384
_POOL = 8  # batches of like lengths are drawn from so many times their size


@dataclass(frozen=True, eq=False)
class Transcribed:
    """Utterances with their texts, as `text.plain` writes them."""

    features: Features
    texts: Mapping[str, str]
    characters: str

    @cached_property
    def ids(self) -> list[str]:
        """From the shortest to the longest."""
        return sorted(self.texts, key=lambda name: (self.features.index[name][1], name))

    def batch(self, ids: Sequence[str]) -> Batch:
        """ "x" (B, T, D), "lengths" (B,), "characters" of all (N,), and "counts" of each (B,)."""
        x, lengths = padded([prepared(self.features[name]) for name in ids])
        place = {character: i for i, character in enumerate(self.characters, start=1)}
        written = [[place[c] for c in self.texts[name]] for name in ids]
        return {
            "x": x,
            "lengths": lengths,
            "characters": torch.tensor([i for one in written for i in one]),
            "counts": torch.tensor([len(one) for one in written]),
        }

    def random_ids(self, n: int, rng: np.random.Generator) -> list[str]:
        """Utterances of like length, so that little is padded."""
        ids = self.ids
        size = min(len(ids), _POOL * n)
        start = int(np.clip(rng.integers(len(ids)) - size // 2, 0, len(ids) - size))
        return [ids[start + i] for i in rng.choice(size, min(n, size), replace=False)]


class RecogniserTask:
    """Connectionist temporal classification; validated on utterances held out."""

    def __init__(
        self,
        network: Encoder,
        train: Transcribed,
        valid: Transcribed,
        config: TrainingConfig,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"recogniser": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "recogniser": torch.optim.AdamW(
                network.parameters(), config.learning_rate, weight_decay=0.01
            )
        }
        self._train, self._valid, self._config, self._device = train, valid, config, device
        self._stride = network.config.stride
        self._augment = Augmentation.of(AUGMENTATION, SPEECH.kind, SPEECH.model_dump())

    def batch(self, step: int, process: int) -> Batch:
        """Random utterances of like length, each changed at random."""
        seeds = (self._config.seed, step, process)
        rng = np.random.default_rng(seeds)
        batch = self._train.batch(self._train.random_ids(self._config.batch_size, rng))
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        return {**batch, "x": self._augment(batch["x"], batch["lengths"], generator)}

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step on the loss for each character."""
        loss = self._losses(networks["recogniser"], batch).sum() / batch["counts"].sum()
        update("recogniser", loss)
        return {"train_loss": loss}

    def validate(self, network: nn.Module) -> Row:
        """The same loss on the utterances held out, and the character error rate in %."""
        total, valid = 0.0, self._valid
        heard: dict[str, str] = {}
        for group in like_lengths([valid.features.index[n][1] for n in valid.ids], _BATCH_FRAMES):
            names = [valid.ids[i] for i in group]
            batch = {k: v.to(self._device) for k, v in valid.batch(names).items()}
            scores = network(batch["x"], batch["lengths"])
            total += float(self._ctc(scores, batch).sum())
            steps = output_lengths(batch["lengths"], self._stride)
            for name, path, n in zip(names, scores.argmax(dim=-1).cpu(), steps, strict=True):
                heard[name] = spelled(path[:n].numpy(), valid.characters)
        wrong = error_rate([heard[n] for n in valid.ids], [[valid.texts[n]] for n in valid.ids])
        n_characters = sum(map(len, valid.texts.values()))
        return {"valid_loss": total / n_characters, "valid_cer_%": wrong.value}

    def _losses(self, network: nn.Module, batch: Batch) -> Tensor:
        return self._ctc(network(batch["x"], batch["lengths"]), batch)

    def _ctc(self, scores: Tensor, batch: Batch) -> Tensor:
        """Each utterance's loss, (B,)."""
        return ctc_loss(
            scores.float().log_softmax(dim=-1).transpose(0, 1),
            batch["characters"],
            output_lengths(batch["lengths"], self._stride),
            batch["counts"],
            reduction="none",
        )


def n_steps_needed(text: str) -> int:
    """The least steps in which a text can be written: a blank parts equal neighbours."""
    codes = np.array([ord(c) for c in text], np.int64)
    return len(text) + int((np.diff(codes) == 0).sum())


def possible(features: Features, texts: Mapping[str, str], stride: int) -> NDArray[np.bool_]:
    """Which utterances are long enough for their texts, in the order of `texts`."""
    return np.array(
        [-(-features.index[n][1] // stride) >= n_steps_needed(t) for n, t in texts.items()], bool
    )
