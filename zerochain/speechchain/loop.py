"""The loop: a recogniser and a synthesiser that teach each other (Tjandra et al. 2020, Alg. 1).

One step takes pairs, texts without speech and speech without texts, and minimises

    α (ASR + TTS on the pairs) + β (ASR on texts that the TTS spoke + TTS on speech that the ASR
    transcribed)

and, beyond the paper and by choice (`own_weight`), the ASR's loss on its own transcripts.

Generated speech is in the voice of a random recording, transcribed speech is spoken in its own.
What one generates is the other's input alone, unless there is feedback (section V): then the error
of the frames goes back into the recogniser as well, through its symbols, whose argmax counts as the
identity in the gradient (straight-through; Bengio et al. 2013), or through samples of them by
Gumbel-softmax (Jang et al. 2017).

Generation can fail. Empty transcripts, and texts too long or too short for their speech, are kept
out of the losses and counted in log.csv; a transcript weighs as much as the recogniser trusts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax, one_hot

from zerochain.config import Config
from zerochain.modules.decoders import teacher_forcing
from zerochain.modules.encoder import mask_of
from zerochain.modules.joint_recogniser import JointRecogniser, normalised
from zerochain.modules.synthesiser import Synthesiser
from zerochain.speechchain.ctc import Ints, Path, durations
from zerochain.speechchain.data import Material, Rates, n_steps, text_batch
from zerochain.speechchain.recogniser import (
    augmentation,
    decode,
    mean,
    recognition,
    recognition_losses,
)
from zerochain.speechchain.recogniser import validated as recogniser_validated
from zerochain.speechchain.synthesis_loss import SynthesisLosses, edged, synthesis
from zerochain.speechchain.synthesiser import Aligned
from zerochain.speechchain.synthesiser import validated as synthesiser_validated
from zerochain.training.recipe import Recipe
from zerochain.training.task import Batch, Row, Update, single

RECIPE = Recipe(
    max_steps=1500,
    batch_size=8,
    learning_rate=2e-3,  # published: 5e-4; see evaluation/speechchain
    annealing="cosine",
    ema_decay=0.99,
    validate_every=100,
    patience=8,
)
"""The batch size is that of pairs, of texts and of speech, each."""
Feedback = Literal["none", "argmax", "gumbel"]


class LoopConfig(Config):
    """Weights and form of the loop."""

    alpha: float = Field(0.5, ge=0)
    """Weight of the losses on pairs; published: 0.25 or 0.5."""
    beta: float = Field(1.0, ge=0)
    """Weight of the losses on texts and speech without a pair."""
    generation: Literal["greedy", "beam"] = "greedy"
    """How speech is transcribed in the loop: CTC's best path, or a beam search of width 5."""
    own_weight: float = Field(0.0, ge=0)
    """Weight of the recogniser's loss on its own transcripts of speech alone, which is randomly
    augmented: label propagation within the loop. Published: none."""
    min_confidence: float = Field(0.3, ge=0, le=1)
    """Transcripts whose symbols have a lower mean probability are kept out of the loop."""
    feedback: Feedback = "none"
    """Whether the error of reconstructed frames trains the recogniser too, through the argmax of
    its symbols or through Gumbel-softmax samples of them."""
    feedback_from: Literal["pairs", "speech"] = "pairs"
    """Whether feedback is through the symbols that the decoder predicts for pairs, with teacher
    forcing, or through its own transcripts of speech alone."""
    feedback_weight: float = Field(1.0, ge=0)
    """Weight of the feedback's loss."""
    temperature: float = Field(1.0, gt=0)
    """Of the softmax of the symbols in feedback; published: 0.25 to 2."""


class ChainNetwork(nn.Module):
    """A recogniser and a synthesiser, which are averaged and kept together.

    Its forward pass calls a function of it: what processes share of gradients has to pass through
    `forward`.
    """

    def __init__(self, recogniser: JointRecogniser, synthesiser: Synthesiser) -> None:
        super().__init__()
        self.recogniser, self.synthesiser = recogniser, synthesiser

    def forward(
        self, losses: Callable[[ChainNetwork, Batch], dict[str, Tensor]], batch: Batch
    ) -> dict[str, Tensor]:
        """`losses` of itself and a batch."""
        return losses(self, batch)


class Generated(NamedTuple):
    """Frames in dB that the synthesiser spoke, and how much each counts (B,), 0 or 1."""

    x: Tensor
    lengths: Tensor
    weights: Tensor
    failed: Tensor
    """The share in which attention failed, or that didn't end."""


class OnSpeech(NamedTuple):
    """What a step made of speech that the recogniser transcribed."""

    tts: Tensor
    """The synthesiser's loss on the transcripts."""
    asr: Tensor | None
    """The recogniser's on its own transcripts, if that has a weight."""
    kept: Tensor
    """The share of the transcripts that is trusted."""
    feedback: Tensor | None
    """The frames' error that trains the recogniser, if it does so through speech."""


class LoopTask:
    """The loop's losses; validated on held-out pairs, with the sum of both models' losses.

    Args:
        losses: of the synthesiser.
        train, valid: aligned pairs.
    """

    def __init__(
        self,
        network: ChainNetwork,
        losses: SynthesisLosses,
        material: Material,
        train: Aligned,
        valid: Aligned,
        config: LoopConfig,
        recipe: Recipe,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "chain", network, torch.optim.AdamW(network.parameters(), recipe.learning_rate)
        )
        self._synthesis, self._material, self._config = losses, material, config
        self._train, self._valid = train, valid
        self._recipe, self._device = recipe, device
        self._n = network.recogniser.config.n_symbols
        self._augment = augmentation(device)
        self._voices = np.concatenate([material.train.speech.voices, material.speech.voices])

    def batch(self, step: int, process: int) -> Batch:
        """Pairs, "text …" with voices, "speech …", and a seed; each of similar lengths."""
        rng = np.random.default_rng((self._recipe.seed, step, process))
        n, material = self._recipe.batch_size, self._material
        rows = self._train.pairs.speech.random(n, rng)
        batch = self._train.batch(rows)
        if material.texts and self._config.beta:
            chosen = material.random_texts(n, rng)
            batch |= _named("text", text_batch(chosen))
            voices = self._voices[rng.integers(len(self._voices), size=len(chosen))]
            batch["text z"] = torch.from_numpy(voices)
        if len(material.speech) and self._config.beta:
            batch |= _named("speech", material.speech.batch(material.speech.random(n, rng)))
        return {**batch, "seed": torch.tensor(int(rng.integers(2**62)))}

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of Algorithm 1."""
        losses: dict[str, Tensor] = networks["chain"](self._losses, batch)
        update("chain", losses["train_loss"])
        return losses

    def validate(self, network: nn.Module) -> Row:
        """Both models' losses on held-out pairs, their sum, and the recogniser's error rate."""
        assert isinstance(network, ChainNetwork)
        row = recogniser_validated(network.recogniser, self._valid.pairs, self._device)
        row |= synthesiser_validated(
            network.synthesiser, self._synthesis, self._valid, self._device
        )
        return {"valid_loss": row["asr_loss"] + row["tts_loss"], **row}

    def _losses(self, network: ChainNetwork, batch: Batch) -> dict[str, Tensor]:
        generator = torch.Generator(batch["x"].device).manual_seed(int(batch["seed"]))
        config = self._config
        asr, tts, feedback = self._on_pairs(network, batch, generator)
        total = config.alpha * (asr + tts)
        row = {"paired_asr": asr, "paired_tts": tts}
        if "text symbols" in batch:
            asr, spoken = self._on_texts(network, batch, generator)
            total = total + config.beta * asr
            row |= {"text_asr": asr, "texts_kept": spoken.weights.mean()}
            if network.synthesiser.tacotron is not None:
                row["texts_failed"] = spoken.failed
        if "speech x" in batch:
            speech = self._on_speech(network, batch, generator)
            total = total + config.beta * speech.tts
            row |= {"speech_tts": speech.tts, "speech_kept": speech.kept}
            if speech.asr is not None:
                total = total + config.own_weight * speech.asr
                row["speech_asr"] = speech.asr
            feedback = feedback if speech.feedback is None else speech.feedback
        if feedback is not None:
            total = total + config.feedback_weight * feedback
            row["feedback"] = feedback
        return {"train_loss": total, **row}

    def _on_pairs(
        self, network: ChainNetwork, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The recogniser's and the synthesiser's loss, and that of feedback through the pairs."""
        symbols, counts, weights = batch["symbols"], batch["counts"], batch["weights"]
        x = self._augment(normalised(batch["x"], batch["lengths"]), batch["lengths"], generator)
        tokens, _ = teacher_forcing(symbols, counts, self._n)
        scores = network.recogniser(x, batch["lengths"], tokens)
        asr = recognition_losses(scores, symbols, counts, self._n)
        tts, _ = synthesis(network.synthesiser, self._synthesis, batch, self._n)
        feedback = None
        if self._config.feedback != "none" and self._config.feedback_from == "pairs":
            # The symbols' own probabilities: the end, the last one, isn't spoken.
            chosen = self._chosen(scores.next[:, :-1, : self._n])
            feedback = mean(self._reconstructed(network, chosen, counts, batch), weights)
        return mean(asr, weights), mean(tts, weights), feedback

    def _on_texts(
        self, network: ChainNetwork, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Generated]:
        """The recogniser's loss on texts that the synthesiser speaks, and what it spoke."""
        symbols, counts = batch["text symbols"], batch["text counts"]
        with _generating(network):
            spoken = self._spoken(network.synthesiser, symbols, counts, batch["text z"])
        x = self._augment(normalised(spoken.x, spoken.lengths), spoken.lengths, generator)
        losses = recognition(network.recogniser, x, spoken.lengths, symbols, counts, self._n)
        return mean(losses, spoken.weights), spoken

    def _spoken(
        self, synthesiser: Synthesiser, symbols: Tensor, counts: Tensor, z: Tensor
    ) -> Generated:
        longer, n = edged(symbols, counts, self._n)
        made = synthesiser.generate(longer, n, z)
        rates = self._material.rates
        kept = [
            not failed and rates.allow(count, n_steps(length))
            for count, length, failed in zip(
                counts.tolist(), made.lengths.tolist(), made.failed.tolist(), strict=True
            )
        ]
        x = self._synthesis.in_db(made.frames.float())
        return Generated(
            x,
            made.lengths,
            torch.tensor(kept, device=x.device).float(),
            made.failed.float().mean(),
        )

    def _on_speech(
        self, network: ChainNetwork, batch: Batch, generator: torch.Generator
    ) -> OnSpeech:
        """Losses on speech as the recogniser transcribes it."""
        x, lengths = batch["speech x"], batch["speech lengths"]
        with _generating(network):
            beam = 5 if self._config.generation == "beam" else 1
            paths = decode(network.recogniser, x, lengths, beam)
        start = "speech "
        given = {k.removeprefix(start): v for k, v in batch.items() if k.startswith(start)}
        pairs = {**_pseudo(paths, lengths), **given}
        pairs = {name: value.to(x.device) for name, value in pairs.items()}
        weights = torch.tensor(self._trusted(paths, lengths), device=x.device)
        kept = (weights > 0).float().mean()
        losses, _ = synthesis(network.synthesiser, self._synthesis, pairs, self._n)
        tts, asr = mean(losses, weights), None
        if self._config.own_weight:
            y = self._augment(normalised(x, lengths), lengths, generator)
            symbols, counts = pairs["symbols"], pairs["counts"]
            own = recognition(network.recogniser, y, lengths, symbols, counts, self._n)
            asr = mean(own, weights)
        feedback = None
        if self._config.feedback != "none" and self._config.feedback_from == "speech":
            feedback = mean(self._through_transcripts(network, pairs, x, lengths), weights)
        return OnSpeech(tts, asr, kept, feedback)

    def _through_transcripts(
        self, network: ChainNetwork, pairs: Batch, x: Tensor, lengths: Tensor
    ) -> Tensor:
        """The error (B,) of frames spoken from what CTC predicts at the transcripts' symbols."""
        encoded = network.recogniser.encode(normalised(x, lengths), lengths)
        scores, _ = network.recogniser.ctc(encoded, lengths)
        at = pairs["steps"][..., None].expand(-1, -1, self._n)
        chosen = self._chosen(scores[..., : self._n].gather(1, at))
        return self._reconstructed(network, chosen, pairs["counts"], pairs)

    def _trusted(self, paths: list[Path], lengths: Tensor) -> list[float]:
        """The weight of each transcript."""
        return [
            trusted(path, n_steps(length), self._material.rates, self._config)
            for path, length in zip(paths, lengths.tolist(), strict=True)
        ]

    def _chosen(self, scores: Tensor) -> Tensor:
        """Scores (B, U, K) → one symbol each, one-hot, whose gradient is the softmax's."""
        if self._config.feedback == "gumbel":
            found: Tensor = gumbel_softmax(scores.float(), self._config.temperature, hard=True)
            return found
        soft = (scores.float() / self._config.temperature).softmax(dim=2)
        return one_hot(soft.argmax(dim=2), self._n).to(soft) + soft - soft.detach()

    def _reconstructed(
        self, network: ChainNetwork, chosen: Tensor, counts: Tensor, batch: Batch
    ) -> Tensor:
        """The error (B,) of frames spoken from symbols (B, U, K) that were predicted."""
        silence = one_hot(torch.tensor(self._n, device=chosen.device), self._n + 1).to(chosen)
        within = mask_of(counts, chosen.shape[1])[..., None]
        padded = torch.cat([chosen, torch.zeros_like(chosen[..., :1])], dim=2)
        padded = padded * within + silence * (1 - within)
        edge = silence.expand(len(chosen), 1, -1)
        symbols = torch.cat([edge, padded, edge], dim=1)
        made = self._synthesis.predicted(network.synthesiser, symbols, counts + 2, batch)
        _, error = self._synthesis(made, batch, counts + 2)
        return error


def trusted(path: Path, steps: int, rates: Rates, config: LoopConfig) -> float:
    """The weight of a transcript of so many steps: its confidence, or 0 where it has failed."""
    sure = float(np.exp(path.score))
    fits = rates.allow(len(path.symbols), steps)
    return sure if fits and sure >= config.min_confidence else 0.0


def _pseudo(paths: list[Path], lengths: Tensor) -> Batch:
    """A batch of transcripts, with their durations, and the "steps" of their symbols (B, U)."""
    batch = text_batch([path.symbols for path in paths])
    lasting = [
        durations(path.steps, n_steps(length))
        for path, length in zip(paths, lengths.tolist(), strict=True)
    ]
    return {
        **batch,
        "durations": _wide(lasting, batch["symbols"].shape[1] + 2),
        "steps": _wide([path.steps for path in paths], batch["symbols"].shape[1]),
    }


def _wide(rows: list[Ints], width: int) -> Tensor:
    """Rows of integers, each of at most `width`, padded with 0: (B, width)."""
    wide = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        wide[i, : len(row)] = torch.from_numpy(row)
    return wide


def _named(prefix: str, batch: Batch) -> Batch:
    return {f"{prefix} {name}": value for name, value in batch.items()}


@contextmanager
def _generating(network: nn.Module) -> Iterator[None]:
    """Without gradients or dropout, as a model generates."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)
