"""A recogniser of characters, to measure how intelligible speech is.

Connectionist temporal classification (CTC; Graves et al. 2006), trained on a corpus with
transcripts. Decoding is greedy and without a language model, which would correct the very errors
that the recogniser is there to count. Its error rates on recordings held out from training are part
of its bundle: scores of synthesised speech are to be read beside them.

From top to bottom: the recogniser, the task, config and recipe, training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from zerochain.audio import Waveform
from zerochain.config import Config
from zerochain.errors import InputError, counted
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.features.extraction import extracted
from zerochain.features.normalisation import Moments
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.formats.bundle import Bundled, timeless
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features
from zerochain.metrics.text import NORMALISATION, plain
from zerochain.metrics.translation import Estimate, error_rate
from zerochain.modules.encoder import Encoder, EncoderConfig
from zerochain.training.crops import like_lengths, padded
from zerochain.training.outcome import Outcome
from zerochain.training.recipe import Recipe, validation_ids
from zerochain.training.run import Running, finish, fit
from zerochain.training.task import Batch, Row, Update, single

SPEECH = SpectralOptions(kind="log-mel")
_BATCH_FRAMES = 16_384
Frames = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Recogniser(Bundled):
    """Recordings → text, normalised as by `text.plain`.

    Log-mel frames are normalised to mean 0 and variance 1 over each utterance, so that neither
    level nor channel matters; then follow convolutions and a bidirectional GRU.

    Attributes:
        network: frames → scores of the blank, which is 0, and of the characters from 1 on.
        characters: the characters that it can output, each once.
        features: the settings of the frames.
        training: how it was trained, and its error rates on recordings.
    """

    MODEL = WHAT = "recogniser"

    network: Encoder
    characters: str
    features: SpectralOptions = SPEECH
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network.eval()

    def check(self) -> None:
        sizes = self.network.config
        if (sizes.n_in, sizes.dim) != (self.features.dim, len(self.characters) + 1):
            raise ValueError("its network doesn't fit its features or characters")

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.network.parameters()).device

    def transcribe(self, waves: Sequence[Waveform]) -> list[str]:
        """The text of each recording, mono at 16 kHz; "" where nothing is recognised.

        Raises:
            InputError: a recording that is empty or contains NaN.
        """
        for wave in waves:
            if len(wave) == 0 or not np.isfinite(wave).all():
                raise InputError(
                    f"a recording of {counted(len(wave), 'sample')}, "
                    f"{int((~np.isfinite(wave)).sum())} of them NaN, can't be recognised",
                    cause="the program that wrote it failed",
                )
        extractor = SpectralExtractor(self.features, str(self.device))
        return self.transcribe_frames([extractor([wave])[0] for wave in waves])

    def transcribe_frames(self, utterances: Sequence[Frames]) -> list[str]:
        """As `transcribe`, from log-mel frames in dB, (T, n_mels) each."""
        texts = [""] * len(utterances)
        with torch.inference_mode():
            for group in like_lengths([len(frames) for frames in utterances], _BATCH_FRAMES):
                x, lengths = padded([prepared(utterances[i]) for i in group])
                scores = self.network(x.to(self.device), lengths.to(self.device))
                n_steps = output_lengths(lengths, self.network.config.stride)
                for i, path, n in zip(group, scores.argmax(dim=-1).cpu(), n_steps, strict=True):
                    texts[i] = spelled(path[:n].numpy(), self.characters)
        return texts


def prepared(frames: Frames) -> Frames:
    """Frames (T, D) of an utterance, normalised to mean 0 and variance 1."""
    return Moments.of([frames]).apply(frames)


def output_lengths(lengths: torch.Tensor, stride: int) -> torch.Tensor:
    """Numbers of frames (B,) → numbers of the network's steps: ⌈length / stride⌉."""
    return torch.div(lengths + stride - 1, stride, rounding_mode="floor")


def spelled(path: NDArray[np.int64], characters: str) -> str:
    """A CTC path of blanks (0) and characters (from 1) as text: repeats merged, no blanks."""
    kept = path[np.flatnonzero(np.diff(path, prepend=-1))]
    return " ".join("".join(characters[i - 1] for i in kept if i).split())


AUGMENTATION = AugmentationOptions(warp=0.1, tilt_db=0, noise=0.1, n_masks=2, mask_frames=10)
"""Changes of the vocal tract, noise and gaps; no tilt, which normalisation removes anyway."""
_POOL = 8  # a batch is drawn from this many times its size, for similar lengths


@dataclass(frozen=True, eq=False)
class Transcribed:
    """Utterances with their texts, normalised as by `text.plain`."""

    features: Features
    texts: Mapping[str, str]
    characters: str

    @cached_property
    def ids(self) -> list[str]:
        """The utterances' ids, from the shortest to the longest."""
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
        """Utterances of similar length, to keep padding low."""
        ids = self.ids
        size = min(len(ids), _POOL * n)
        start = int(np.clip(rng.integers(len(ids)) - size // 2, 0, len(ids) - size))
        return [ids[start + i] for i in rng.choice(size, min(n, size), replace=False)]


class RecogniserTask:
    """Connectionist temporal classification; validated on utterances that are held out."""

    def __init__(
        self,
        network: Encoder,
        train: Transcribed,
        valid: Transcribed,
        config: Recipe,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "recogniser",
            network,
            torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.01),
        )
        self._train, self._valid, self._config, self._device = train, valid, config, device
        self._stride = network.config.stride
        self._augment = Augmentation.of(AUGMENTATION, SPEECH.kind, SPEECH.model_dump())

    def batch(self, step: int, process: int) -> Batch:
        """Random utterances of similar length, each randomly augmented."""
        seeds = (self._config.seed, step, process)
        rng = np.random.default_rng(seeds)
        batch = self._train.batch(self._train.random_ids(self._config.batch_size, rng))
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        return {**batch, "x": self._augment(batch["x"], batch["lengths"], generator)}

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step on the loss per character."""
        loss = self._losses(networks["recogniser"], batch).sum() / batch["counts"].sum()
        update("recogniser", loss)
        return {"train_loss": loss}

    def validate(self, network: nn.Module) -> Row:
        """The loss per character and the character error rate in %, on held-out utterances."""
        total, valid = 0.0, self._valid
        texts: dict[str, str] = {}
        for group in like_lengths([valid.features.index[n][1] for n in valid.ids], _BATCH_FRAMES):
            names = [valid.ids[i] for i in group]
            batch = {k: v.to(self._device) for k, v in valid.batch(names).items()}
            scores = network(batch["x"], batch["lengths"])
            total += float(self._ctc(scores, batch).sum())
            steps = output_lengths(batch["lengths"], self._stride)
            for name, path, n in zip(names, scores.argmax(dim=-1).cpu(), steps, strict=True):
                texts[name] = spelled(path[:n].numpy(), valid.characters)
        wrong = error_rate([texts[n] for n in valid.ids], [[valid.texts[n]] for n in valid.ids])
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
    """The minimum number of CTC steps for a text: equal neighbours need a blank between them."""
    codes = np.array([ord(c) for c in text], np.int64)
    return len(text) + int((np.diff(codes) == 0).sum())


def possible(features: Features, texts: Mapping[str, str], stride: int) -> NDArray[np.bool_]:
    """Which utterances are long enough for their texts, in the order of `texts`."""
    return np.array(
        [-(-features.index[n][1] // stride) >= n_steps_needed(t) for n, t in texts.items()], bool
    )


RECIPE = Recipe(
    max_steps=2000,
    batch_size=16,
    learning_rate=2e-3,
    annealing="cosine",
    ema_decay=0.99,
    validate_every=200,
    patience=5,
)
"""Takes minutes on a CPU for an hour of read speech."""
STRIDE = 2
"""A step of 20 ms: speech has up to 20 characters per second, and equal neighbours need a blank
between them."""
_VALID = 0.05


class RecogniserConfig(Config):
    """The sizes of a recogniser, and what it is tested on."""

    held_out: float = Field(0.1, gt=0, le=0.5)
    """Fraction of the distinct texts that is held out to measure its error rates, with all their
    recordings.

    Another twentieth of the texts decides when training stops."""
    width: int = Field(192, ge=2)
    """Channels per layer."""
    n_blocks: int = Field(2, ge=0)
    """Residual blocks of two convolutions."""


@dataclass(frozen=True, kw_only=True)
class RecogniserTraining(Outcome):
    """The outcome of a recogniser's training, and its error rates."""

    n_characters: int
    n_utterances: int
    """In training."""
    minutes: float
    excluded: Mapping[str, int]
    """Reason → number of utterances that were left out."""
    seconds: float
    cer: float
    """In %, on recordings held out from training and from validation."""
    cer_interval: tuple[float, float] | None
    wer: float
    n_held_out: int
    """Utterances that `cer` and `wer` are measured on: their texts are unseen in training, their
    speakers may not be."""


def train_recogniser(
    corpus: Path,
    out: Path,
    *,
    split: str | None = None,
    config: RecogniserConfig | None = None,
    recipe: Recipe = RECIPE,
    running: Running | None = None,
) -> RecogniserTraining:
    """Train a recogniser of characters on a corpus's texts and save it as the bundle `out`.

    The checkpoint and log.csv are beside it in `<out>.training`. If training was interrupted, the
    same call continues it, with the same result.

    Args:
        split: train and test on this split only.
        config: None for the default.

    Raises:
        InputError: no transcripts, fewer than three distinct texts, or divergence.
    """
    config, running = config or RecogniserConfig(), (running or Running()).beside(out)
    whole = read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    texts, without = _texts(part)
    characters = "".join(sorted(set("".join(texts.values()))))
    network = EncoderConfig(
        n_in=SPEECH.dim,
        width=config.width,
        n_blocks=config.n_blocks,
        dim=1 + len(characters),
        stride=STRIDE,
        tail="gru",
    )
    settings = {
        "network": network.model_dump(),
        "split": split,
        "held_out": config.held_out,
        "text": NORMALISATION,
    }
    with extracted(part.restrict(list(texts)), SPEECH, device=running.device) as features:
        inputs = {**settings, "corpus": whole.id, "texts": texts}
        texts, short = _possible(features, texts)
        parts = _divided(features, texts, characters, config.held_out)
        torch.manual_seed(recipe.seed)
        encoder = Encoder(network)
        task = RecogniserTask(encoder, parts["train"], parts["valid"], recipe, running.device)
        fitted = fit(task, recipe, running, inputs=inputs)
        recogniser = Recogniser(encoder.to(running.device), characters)
        cer, wer = _errors(recogniser, parts["test"])
    report = RecogniserTraining(
        **asdict(fitted.outcome),
        n_characters=len(characters),
        n_utterances=len(parts["train"].texts),
        minutes=sum(features.index[n][1] for n in parts["train"].texts) * SPEECH.step_ms / 60_000,
        excluded={k: n for k, n in {"without_text": without, "too_short": short}.items() if n},
        seconds=fitted.seconds,
        cer=cer.value,
        cer_interval=cer.interval,
        wer=wer.value,
        n_held_out=cer.n,
    )
    record = {**settings, "training": recipe.model_dump(), **timeless(asdict(report))}
    made = replace(recogniser, training=record, trained_on={"corpus": whole.id})
    finish(fitted, out, lambda: made.save(out))
    return report


def plain_texts(corpus: Corpus) -> dict[str, str]:
    """The texts of the utterances that have one, in lower case and without punctuation."""
    texts = {u.id: plain(u.text or "") for u in corpus.utterances}
    return {name: text for name, text in texts.items() if text}


def _texts(corpus: Corpus) -> tuple[dict[str, str], int]:
    """The texts of the utterances that have one, and how many have none."""
    known = plain_texts(corpus)
    if not known:
        raise corpus.without_texts("no transcripts to train a recogniser on")
    return known, len(corpus.utterances) - len(known)


def _possible(features: Features, texts: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """The utterances that are long enough for their texts, and the number of the others."""
    fits = possible(features, texts, STRIDE)
    kept = {name: text for (name, text), fit in zip(texts.items(), fits, strict=True) if fit}
    return kept, len(texts) - len(kept)


def _divided(
    features: Features, texts: Mapping[str, str], characters: str, held_out: float
) -> dict[str, Transcribed]:
    """Training, validation and test sets, which share no text."""
    distinct = sorted(set(texts.values()))
    if len(distinct) < 3:
        raise InputError(
            f"only {counted(len(distinct), 'distinct text')} in "
            f"{counted(len(texts), 'utterance')} long enough for them",
            cause="training, validation and test each need texts of their own; or the texts "
            "belong to other recordings",
            remedy="give more recordings, with their own texts",
        )
    test = validation_ids(distinct, held_out)
    rest = [text for text in distinct if text not in test]
    valid = validation_ids(rest, _VALID)
    of = {"test": test, "valid": valid, "train": set(rest) - valid}
    return {
        name: Transcribed(features, {n: t for n, t in texts.items() if t in own}, characters)
        for name, own in of.items()
    }


def _errors(recogniser: Recogniser, test: Transcribed) -> tuple[Estimate, Estimate]:
    """Character and word error rates."""
    outputs = recogniser.transcribe_frames([test.features[name] for name in test.ids])
    texts = [test.texts[name] for name in test.ids]
    words = error_rate([text.split() for text in outputs], [[text.split()] for text in texts])
    return error_rate(outputs, [[text] for text in texts]), words
