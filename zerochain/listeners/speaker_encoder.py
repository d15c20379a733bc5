"""A speaker encoder: recordings → vectors whose cosine measures how similar two voices are.

A small ECAPA-TDNN (Desplanques et al. 2020) on log-mel frames, trained on a corpus's own speaker
labels with additive-margin softmax (Wang et al. 2018), as x-vectors are (Snyder et al. 2018). It is
tested by speaker verification: the equal error rate (EER) of pairs of pieces of about 2.5 s, from
speakers held out from training if there are enough of them. Inverters are conditioned on its
vectors, and converted speech is scored with those of a second encoder.

From top to bottom: the config and recipe, the encoder, training, testing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.config import Config
from zerochain.errors import InputError, counted
from zerochain.features.extraction import extracted
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.formats.bundle import Bundled, timeless
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features
from zerochain.listeners.speaker_pieces import Division, Held, Piece, divide, trial_pieces
from zerochain.metrics.speakers import Verification, verify
from zerochain.modules.speaker_encoder import SpeakerClassifier, SpeakerNet, SpeakerNetConfig
from zerochain.training.crops import Crops, like_lengths, padded
from zerochain.training.outcome import Outcome
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running, finish, fit
from zerochain.training.task import Batch, Update, single

SHORTEST_S = 0.5
"""Shorter recordings don't represent a voice."""
SPEECH = SpectralOptions(kind="log-mel")
RECIPE = Recipe(
    max_steps=600,
    batch_size=64,
    learning_rate=2e-3,
    annealing="cosine",
    validate_every=100,
    patience=8,
)
"""Takes minutes on a CPU for an hour of speech."""
_CROP_FRAMES = (100, 300)  # one to three seconds
_MOST_VALIDATIONS = 512  # pieces
_BATCH_FRAMES = 16_384
_LONGEST_FRAMES = 6_000  # encoded at once, to bound the memory
Frames = NDArray[np.float32]
Vectors = NDArray[np.float32]


class SpeakerConfig(Config):
    """The sizes of a speaker encoder, and what it is tested on."""

    held_out: float = Field(0.1, gt=0, le=0.5)
    """Fraction of the speakers that is held out for the test, at least three; needs ten speakers.

    With fewer than ten, it is tested on a tenth of each speaker's utterances."""
    width: int = Field(128, ge=1)
    """Channels per layer."""
    dim: int = Field(128, ge=1)
    """Dimensions of the vector."""


@dataclass(frozen=True, eq=False)
class SpeakerEncoder(Bundled):
    """Recordings → unit vectors (E,) whose cosine measures how similar two voices are.

    Attributes:
        network: frames and lengths → vectors.
        features: the settings of the frames.
        training: how it was trained, and its equal error rate.
    """

    MODEL = "speaker-encoder"
    WHAT = "speaker encoder"

    network: SpeakerNet
    features: SpectralOptions = SPEECH
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network.eval()

    def check(self) -> None:
        if self.network.config.n_in != self.features.dim:
            raise ValueError(
                f"its network takes frames of {self.network.config.n_in} dimensions, and its "
                f"features have {self.features.dim}"
            )

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.network.parameters()).device

    @property
    def dim(self) -> int:
        """E."""
        return self.network.config.dim

    def embed(self, wave: Waveform, path: Path | None = None) -> Vectors:
        """The voice of one recording, mono at 16 kHz: (E,), of unit length.

        Args:
            path: its file, which the error names.

        Raises:
            InputError: a recording that is shorter than half a second or silent, or contains NaN.
        """
        _check(wave, path)
        return np.asarray(self.embed_many([wave])[0])

    def embed_many(self, waves: Sequence[Waveform]) -> Vectors:
        """As `embed`, for n recordings: (n, E)."""
        for wave in waves:
            _check(wave)
        extractor = SpectralExtractor(self.features, str(self.device))
        return self.embed_frames([extractor([wave])[0] for wave in waves])

    def embed_short(self, waves: Iterable[Waveform]) -> Vectors:
        """As `embed`, for n recordings: (n, E). Short ones are repeated until they are usable."""
        shortest = round(SHORTEST_S * SAMPLE_RATE)
        return np.stack(
            [
                self.embed(wave if len(wave) >= shortest else np.resize(wave, shortest))
                for wave in waves
            ]
        )

    def voice(self, waves: Iterable[Waveform]) -> Vectors:
        """The mean voice of all usable recordings: (E,), of unit length.

        Raises:
            InputError: no recording is usable.
        """
        reasons: Counter[str] = Counter()
        vectors = []
        for wave in waves:
            why = unusable(wave)
            if why is None:
                vectors.append(self.embed(wave))
            else:
                reasons[why] += 1
        if not vectors:
            raise InputError(
                f"none of {counted(reasons.total(), 'recording')} can be used to represent a "
                f"voice: {dict(reasons)}",
                cause="they were cut badly, or the program that wrote them failed",
                remedy="give other recordings of the speaker",
            )
        return mean_voice(np.stack(vectors))

    def embed_frames(self, utterances: Sequence[Frames]) -> Vectors:
        """As `embed_many`, from frames in dB, (T, D) each. Long ones are averaged over parts."""
        parts = [np.array_split(x, -(-len(x) // _LONGEST_FRAMES)) for x in utterances]
        flat = [part for utterance in parts for part in utterance]
        vectors = np.zeros((len(flat), self.dim), np.float32)
        with torch.inference_mode():
            for group in like_lengths([len(part) for part in flat], _BATCH_FRAMES):
                x, lengths = padded([flat[i] for i in group])
                y = self.network(x.to(self.device), lengths.to(self.device))
                vectors[group] = y.cpu().numpy()
        ends = np.cumsum([len(utterance) for utterance in parts])
        return np.stack([mean_voice(v) for v in np.split(vectors, ends[:-1])])


def mean_voice(vectors: Vectors) -> Vectors:
    """The mean direction of unit vectors (n, E): the voice of several recordings, (E,)."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def unusable(wave: Waveform) -> str | None:
    """Why a recording can't represent a voice, in a word or two; None if it can."""
    if not np.isfinite(wave).all():
        return "NaN"
    if len(wave) < SHORTEST_S * SAMPLE_RATE:
        return f"under_{SHORTEST_S}_s"
    return None if wave.any() else "silent"


def _check(wave: Waveform, path: Path | None = None) -> None:
    why = unusable(wave)
    if why is not None:
        raise InputError(
            f"a recording can't be used to represent a voice: {why.replace('_', ' ')}",
            path=path,
            cause="it was cut badly, or the program that wrote it failed",
            remedy="give other recordings of the speaker",
        )


@dataclass(frozen=True, kw_only=True)
class SpeakerTraining(Outcome):
    """The outcome of a speaker encoder's training, and how good it is."""

    n_speakers: int
    """In training."""
    n_utterances: int
    minutes: float
    excluded: Mapping[str, int]
    """Reason → number of utterances that were left out."""
    seconds: float
    held: Held
    """What it was tested on: speakers held out from training, or utterances of known ones."""
    held_speakers: tuple[str, ...]
    verification: Verification | None
    """None if the test set has fewer than two speakers, or no two pieces of any speaker."""


def train_speaker_encoder(
    corpus: Path,
    out: Path,
    *,
    split: str | None = None,
    config: SpeakerConfig | None = None,
    recipe: Recipe = RECIPE,
    running: Running | None = None,
) -> SpeakerTraining:
    """Train a speaker encoder on a corpus's own speakers and save it as the bundle `out`.

    The checkpoint and log.csv are beside it in `<out>.training`. If training was interrupted, the
    same call continues it, with the same result.

    Args:
        split: train and test on this split only.
        config: None for the default.

    Raises:
        InputError: fewer than two speakers, too little speech, or divergence.
    """
    config, running = config or SpeakerConfig(), (running or Running()).beside(out)
    whole = read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    sizes = SpeakerNetConfig(n_in=SPEECH.dim, width=config.width, dim=config.dim)
    settings = {
        "network": sizes.model_dump(),
        "features": SPEECH.model_dump(),
        "held_out": config.held_out,
    }
    inputs = {**settings, "corpus": whole.id, "ids": part.ids}
    with extracted(_with_speakers(part), SPEECH, device=running.device) as features:
        pieces, excluded = _whole_pieces(features)
        excluded |= _some(unknown_speaker=len(part.utterances) - len(features))
        division = divide(pieces, config.held_out)
        speakers = sorted({piece.speaker for piece in division.train})
        torch.manual_seed(recipe.seed)
        network = SpeakerClassifier(SpeakerNet(sizes), len(speakers))
        learned, kept = (
            LabelledPieces(features, p, speakers) for p in (division.train, division.valid)
        )
        task = SpeakerTask(network, learned, kept, recipe, running.device)
        fitted = fit(task, recipe, running, inputs=inputs)
        encoder = SpeakerEncoder(network.encoder.to(running.device))
        verification = _verified(encoder, features, division)
    outcome = replace(fitted.outcome, n_parameters=_n_parameters(encoder.network))
    report = SpeakerTraining(
        **asdict(outcome),
        n_speakers=len(speakers),
        n_utterances=sum(piece.start == 0 for piece in division.train),
        minutes=sum(p.n_frames for p in division.train) * SPEECH.step_ms / 60_000,
        excluded=excluded,
        seconds=fitted.seconds,
        held=division.held,
        held_speakers=tuple(sorted({piece.speaker for piece in division.test})),
        verification=verification,
    )
    record = {**settings, "training": recipe.model_dump(), **timeless(asdict(report))}
    made = replace(encoder, training=record, trained_on={"corpus": whole.id})
    finish(fitted, out, lambda: made.save(out))
    return report


def _n_parameters(network: nn.Module) -> int:
    """Number of parameters, without the speakers' directions, which only training uses."""
    return sum(p.numel() for p in network.parameters())


def _with_speakers(corpus: Corpus) -> Corpus:
    known = [u.id for u in corpus.utterances if u.speaker is not None]
    if not known:
        raise InputError(
            f"corpus {corpus.name!r} has no known speaker",
            path=corpus.folder,
            cause="it was imported without speakers",
            remedy="import it again with its speakers ('zerochain import folder … "
            "--speaker-from', or a table)",
        )
    return corpus.restrict(known)


def _whole_pieces(features: Features) -> tuple[list[Piece], dict[str, int]]:
    """The usable utterances, and the number of the others by reason."""
    shortest = round(SHORTEST_S * 1000 / features.step_ms)
    pieces, short, silent = [], 0, 0
    for name in features.ids:
        frames, speaker = features[name], features.speakers[name]
        if len(frames) <= shortest:
            short += 1
        elif np.ptp(frames) == 0:
            silent += 1
        else:
            pieces.append(Piece(name, str(speaker), 0, len(frames)))
    return pieces, _some(**{f"under_{SHORTEST_S}_s": short, "silent": silent})


class SpeakerTask:
    """Additive-margin softmax over the corpus's own speakers.

    Batches draw all speakers with equal probability. Validation is on pieces of other utterances of
    the same speakers.
    """

    def __init__(
        self,
        network: SpeakerClassifier,
        train: LabelledPieces,
        valid: LabelledPieces,
        recipe: Recipe,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "speakers",
            network,
            torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=0.05),
        )
        self._network, self._recipe, self._device = network, recipe, device
        self._train = train.crops()
        self._groups = self._train.groups(self._train.numbers["labels"])
        pieces = trial_pieces(valid.pieces)
        chosen = np.random.default_rng(0).permutation(len(pieces))[:_MOST_VALIDATIONS]
        self._valid = replace(valid, pieces=[pieces[i] for i in chosen])

    def batch(self, step: int, process: int) -> Batch:
        """ "x" (B, T, D), "lengths" and "labels" (B,): crops of one random length."""
        seed = (self._recipe.seed, step, process)
        n_frames = int(np.random.default_rng(seed).integers(_CROP_FRAMES[0], _CROP_FRAMES[1] + 1))
        return self._train.grouped(
            self._groups, self._recipe.batch_size, 1, n_frames, (*seed, 1), balanced=True
        )

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step for the encoder and the speakers' directions."""
        cosines = networks["speakers"](batch["x"], batch["lengths"])
        loss = self._network.loss(cosines, batch["labels"]).mean()
        update("speakers", loss)
        right = (cosines.argmax(dim=1) == batch["labels"]).float().mean()
        return {"train_loss": loss, "accuracy": right}

    def validate(self, network: nn.Module) -> float:
        """The same loss on held-out pieces."""
        total, frames, labels = 0.0, self._valid.frames, self._valid.labels
        for group in like_lengths([len(x) for x in frames], _BATCH_FRAMES):
            x, lengths = padded([frames[i] for i in group])
            cosines = network(x.to(self._device), lengths.to(self._device))
            expected = torch.from_numpy(labels[group]).to(self._device)
            total += float(self._network.loss(cosines, expected).sum())
        return total / len(frames)


@dataclass(frozen=True, eq=False)
class LabelledPieces:
    """Pieces of utterances with their features, and their speakers as numbers."""

    features: Features
    pieces: Sequence[Piece]
    speakers: Sequence[str]
    """A piece's label is its speaker's index in this list."""

    @property
    def frames(self) -> list[Frames]:
        """Views of each piece's frames, (T, D)."""
        return [self.features[p.utterance][p.start : p.start + p.n_frames] for p in self.pieces]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(P,)."""
        place = {speaker: i for i, speaker in enumerate(self.speakers)}
        return np.array([place[piece.speaker] for piece in self.pieces], np.int64)

    def crops(self) -> Crops:
        """Crops of the pieces, without copying features; "labels" are -1 between pieces."""
        starts = np.array([self.features.index[p.utterance][0] + p.start for p in self.pieces])
        ends = starts + np.array([p.n_frames for p in self.pieces])
        bounds = np.unique([0, *starts, *ends, len(self.features.frames)])
        labels = np.full(len(bounds) - 1, -1)
        labels[np.searchsorted(bounds, starts)] = self.labels
        return Crops({"x": self.features.frames}, bounds, {"labels": labels})


def _verified(
    encoder: SpeakerEncoder, features: Features, division: Division
) -> Verification | None:
    """The equal error rate on the test set; None if it is undefined."""
    pieces = trial_pieces(division.test)
    speakers = sorted({piece.speaker for piece in pieces})
    if not 1 < len(speakers) < len(pieces):
        return None
    vectors = encoder.embed_frames(LabelledPieces(features, pieces, speakers).frames)
    return verify(vectors, [p.speaker for p in pieces], [p.utterance for p in pieces])


def _some(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
