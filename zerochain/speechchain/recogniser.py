"""The chain's listener: log-mel frames → symbols, by CTC and attention together.

Decoding is by CTC's best path (greedy), or by a beam search over CTC's sequences whose candidates
the attention decoder scores again: ½ log p(CTC) + ½ log p(attention), divided by the length
(Watanabe et al. 2017; Tjandra et al. 2020 normalise so). So no transcript runs away or stops early,
as those of attention alone do. The symbols' places in time come from CTC as well.

From top to bottom: the recogniser, decoding, losses, the task and its training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss

from zerochain.features.augmentation import Augmentation
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.bundle import Bundled
from zerochain.listeners.recogniser import AUGMENTATION, SPEECH
from zerochain.metrics.translation import error_rate
from zerochain.modules.decoders import IGNORED, teacher_forcing
from zerochain.modules.joint_recogniser import (
    Encoded,
    JointConfig,
    JointRecogniser,
    JointScores,
    RecogniserSizes,
    normalised,
)
from zerochain.speechchain.ctc import Ints, Logs, Path, beams, best_path, forced
from zerochain.speechchain.data import (
    BATCH_FRAMES,
    Frames,
    Material,
    Pairs,
    Symbols,
    n_steps,
    text_batch,
)
from zerochain.speechchain.language_model import LanguageModel
from zerochain.training.crops import like_lengths, padded
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, fit
from zerochain.training.task import Batch, Row, Update, single
from zerochain.translation.decoding import beam_search, greedy

RECIPE = Recipe(
    max_steps=1500,
    batch_size=16,
    learning_rate=2e-3,
    annealing="cosine",
    ema_decay=0.99,
    validate_every=100,
    patience=8,
)
"""A quarter of an hour of speech in minutes on a CPU."""
BEAM = 5
_SMOOTHING = 0.1  # of the decoder's labels
_CTC_WEIGHT = 0.5
_LONGEST_FRAMES = 3000
"""Longer utterances are transcribed in parts, cut where they are quietest."""


@dataclass(frozen=True, eq=False)
class ChainRecogniser(Bundled):
    """Recordings → symbols.

    Attributes:
        network: frames → scores.
        symbols: the names of the symbols that it can output.
        unit_model: id of the unit model whose units they are; "" for characters.
        features: the settings of the frames.
    """

    MODEL = "chain-recogniser"
    WHAT = "recogniser of a speech chain"

    network: JointRecogniser
    symbols: tuple[str, ...]
    unit_model: str = ""
    features: SpectralOptions = SPEECH
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network.eval()

    def check(self) -> None:
        config = self.network.config
        if (config.n_in, config.n_symbols) != (self.features.dim, len(self.symbols)):
            raise ValueError("its network doesn't fit its features or symbols")

    @property
    def spelling(self) -> Symbols:
        """Between texts and symbols."""
        return Symbols(self.symbols, self.unit_model)

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.network.parameters()).device

    def transcribe(
        self, utterances: Sequence[Frames], beam: int = BEAM, lm: LanguageModel | None = None
    ) -> list[Path]:
        """The symbols of each utterance (T, D), their steps, and their mean log-probability.

        Silence has none. What is longer than 30 s is transcribed in parts.

        Args:
            beam: 1 is CTC's best path.
            lm: a language model of the same symbols, for a beam.
        """
        parts = [_parts(frames) for frames in utterances]
        flat = [part for several in parts for part in several]
        paths = [Path(np.zeros(0, np.int64), np.zeros(0, np.int64), 0.0)] * len(flat)
        audible = [i for i, part in enumerate(flat) if np.ptp(part) > 0]
        for group in like_lengths([len(flat[i]) for i in audible], BATCH_FRAMES):
            rows = [audible[i] for i in group]
            x, lengths = padded([flat[i] for i in rows])
            found = decode(self.network, x.to(self.device), lengths.to(self.device), beam, lm)
            for i, path in zip(rows, found, strict=True):
                paths[i] = path
        ends = np.cumsum([len(several) for several in parts])
        return [
            self._joined(paths[end - len(several) : end], several)
            for several, end in zip(parts, ends, strict=True)
        ]

    def _joined(self, paths: Sequence[Path], parts: Sequence[Frames]) -> Path:
        """The path of an utterance that was cut into parts, where words end."""
        if len(paths) == 1:
            return paths[0]
        symbols: list[Ints] = []
        steps: list[Ints] = []
        first = 0
        for path, part in zip(paths, parts, strict=True):
            if symbols and len(path.symbols) and " " in self.symbols:
                symbols.append(np.array([self.symbols.index(" ")]))
                steps.append(np.array([first]))
            symbols.append(path.symbols)
            steps.append(path.steps + first)
            first += n_steps(len(part))
        n = sum(len(path.symbols) for path in paths)
        score = sum(path.score * len(path.symbols) for path in paths) / max(n, 1)
        return Path(np.concatenate(symbols), np.concatenate(steps), score)


def _parts(frames: Frames) -> list[Frames]:
    """An utterance in parts of at most 30 s, cut at the quietest frame of the last third."""
    parts = []
    while len(frames) > _LONGEST_FRAMES:
        first = 2 * _LONGEST_FRAMES // 3
        level = np.convolve(frames[first:_LONGEST_FRAMES].mean(axis=1), np.ones(9), "same")
        cut = first + int(level[8:-8].argmin()) + 8
        parts.append(frames[:cut])
        frames = frames[cut:]
    return [*parts, frames]


def decode(
    network: JointRecogniser,
    x: Tensor,
    lengths: Tensor,
    beam: int = 1,
    lm: LanguageModel | None = None,
) -> list[Path]:
    """The symbols of a batch of frames in dB (B, T, D), by greedy or beam search.

    The published recogniser decodes by attention alone, and its CTC only aligns. A language model
    only applies to a beam. The network has to be in evaluation mode.
    """
    with torch.no_grad():
        encoded, rows = ctc_logs(network, x, lengths)
        if network.config.architecture == "published":
            steps = lengths.new_tensor([len(row) for row in rows])
            found = (
                greedy(network, encoded, steps, merged=False)
                if beam == 1
                else beam_search(
                    network,
                    encoded,
                    steps,
                    beam,
                    merged=False,
                    prior=None if lm is None else lm.prior(x.device),
                )
            )
            return [
                forced(row, one.units.astype(np.int64))
                for row, one in zip(rows, found, strict=True)
            ]
        if beam == 1:
            return [best_path(row) for row in rows]
        fusion = None if lm is None else lm.fusion
        return [
            forced(row, _best(network, encoded, i, beams(row, beam, fusion), lm))
            for i, row in enumerate(rows)
        ]


def ctc_logs(network: JointRecogniser, x: Tensor, lengths: Tensor) -> tuple[Encoded, list[Logs]]:
    """The encoder's output of a batch in dB, and CTC's log-probabilities of each utterance."""
    encoded = network.encode(normalised(x, lengths), lengths)
    scores, steps = network.ctc(encoded, lengths)
    logs = scores.float().log_softmax(dim=2).cpu().numpy()
    return encoded, [row[:n] for row, n in zip(logs, steps.tolist(), strict=True)]


def _best(
    network: JointRecogniser,
    encoded: Encoded,
    row: int,
    candidates: list[tuple[Ints, float]],
    lm: LanguageModel | None,
) -> Ints:
    """The best of CTC's sequences by both outputs, divided by the length with its end."""
    memory = encoded.memory[row : row + 1, : int(encoded.lengths[row])]
    n = len(candidates)
    batch = {k: v.to(memory.device) for k, v in text_batch([s for s, _ in candidates]).items()}
    tokens, labels = teacher_forcing(batch["symbols"], batch["counts"], network.config.n_symbols)
    scores = network.decoder(
        tokens, memory.expand(n, -1, -1), encoded.lengths[row : row + 1].expand(n)
    )
    attention = -cross_entropy(
        scores.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
    ).sum(dim=1)
    ctc = torch.tensor([score for _, score in candidates], device=memory.device)
    total = _CTC_WEIGHT * ctc + (1 - _CTC_WEIGHT) * attention
    if lm is not None:
        total = total + lm.weight * total.new_tensor([lm.score(s) for s, _ in candidates])
    return candidates[int((total / (batch["counts"] + 1)).argmax())][0]


def recognition_losses(
    scores: JointScores, symbols: Tensor, counts: Tensor, n_symbols: int
) -> Tensor:
    """Each utterance's loss per symbol, (B,): half of CTC's and half of the decoder's.

    An utterance without enough steps for its symbols has no CTC loss.
    """
    ctc = ctc_loss(
        scores.ctc.float().log_softmax(dim=2).transpose(0, 1),
        symbols,
        scores.steps,
        counts,
        blank=n_symbols,
        reduction="none",
        zero_infinity=True,
    )
    _, labels = teacher_forcing(symbols, counts, n_symbols)
    decoder = cross_entropy(
        scores.next.float().transpose(1, 2),
        labels,
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=_SMOOTHING,
    ).sum(dim=1)
    n = counts.clamp(min=1)
    return _CTC_WEIGHT * ctc / n + (1 - _CTC_WEIGHT) * decoder / (counts + 1)


def recognition(
    network: nn.Module, x: Tensor, lengths: Tensor, symbols: Tensor, counts: Tensor, n: int
) -> Tensor:
    """The losses (B,) of normalised frames and their symbols, of an inventory of `n`."""
    tokens, _ = teacher_forcing(symbols, counts, n)
    return recognition_losses(network(x, lengths, tokens), symbols, counts, n)


def augmentation(device: str) -> Augmentation:
    """Other vocal tracts, noise and gaps, for frames that are normalised."""
    return Augmentation.of(AUGMENTATION, SPEECH.kind, SPEECH.model_dump(), device=device)


def mean(losses: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean over a batch; 0 where all weights are."""
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)


@torch.no_grad()
def validated(network: JointRecogniser, valid: Pairs, device: str) -> Row:
    """The loss per symbol and the error rate in % of held-out pairs, by CTC's best path."""
    n = network.config.n_symbols
    total = 0.0
    outputs: dict[int, list[int]] = {}
    for rows in valid.speech.groups():
        batch = {k: v.to(device) for k, v in valid.batch(rows).items()}
        x = normalised(batch["x"], batch["lengths"])
        losses = recognition(network, x, batch["lengths"], batch["symbols"], batch["counts"], n)
        total += float(losses.sum())
        found = decode(network, batch["x"], batch["lengths"])
        outputs |= {i: path.symbols.tolist() for i, path in zip(rows, found, strict=True)}
    wrong = error_rate(
        [outputs[i] for i in range(len(valid))], [[text.tolist()] for text in valid.texts]
    )
    return {"asr_loss": total / len(valid), "valid_cer_%": wrong.value}


class RecogniserTask:
    """CTC and attention on pairs, each randomly augmented; validated on held-out ones."""

    def __init__(
        self, network: JointRecogniser, material: Material, recipe: Recipe, device: str
    ) -> None:
        self.networks, self.optimisers = single(
            "recogniser",
            network,
            torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=0.01),
        )
        self._material, self._recipe, self._device = material, recipe, device
        self._n, self._augment = network.config.n_symbols, augmentation("cpu")

    def batch(self, step: int, process: int) -> Batch:
        """Random pairs of similar length."""
        rng = np.random.default_rng((self._recipe.seed, step, process))
        train = self._material.train
        batch = train.batch(train.speech.random(self._recipe.batch_size, rng))
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        x = normalised(batch["x"], batch["lengths"])
        return {**batch, "x": self._augment(x, batch["lengths"], generator)}

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step on the loss per symbol."""
        losses = recognition(
            networks["recogniser"],
            batch["x"],
            batch["lengths"],
            batch["symbols"],
            batch["counts"],
            self._n,
        )
        loss = mean(losses, batch["weights"])
        update("recogniser", loss)
        return {"train_loss": loss}

    def validate(self, network: nn.Module) -> Row:
        """The loss per symbol and the error rate of held-out pairs."""
        assert isinstance(network, JointRecogniser)
        row = validated(network, self._material.valid, self._device)
        return {"valid_loss": row["asr_loss"], "valid_cer_%": row["valid_cer_%"]}


def train_recogniser(
    material: Material,
    sizes: RecogniserSizes,
    recipe: Recipe,
    running: Running,
    inputs: Mapping[str, Any],
) -> tuple[ChainRecogniser, Fitted]:
    """A recogniser of a material's symbols, trained on its pairs."""
    symbols = material.symbols
    config = JointConfig(**sizes.model_dump(), n_in=SPEECH.dim, n_symbols=len(symbols.names))
    torch.manual_seed(recipe.seed)
    network = JointRecogniser(config)
    task = RecogniserTask(network, material, recipe, running.device)
    fitted = fit(task, recipe, running, inputs={**inputs, "network": config.model_dump()})
    return ChainRecogniser(network.to(running.device), symbols.names, symbols.unit_model), fitted
