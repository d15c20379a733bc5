"""A speaker encoder: recordings to vectors whose cosine says how alike two voices are.

Train a network to tell speakers apart.

Train a speaker encoder on a corpus's own speaker labels, and test it on other speakers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.errors import InputError
from zerochain.features.extraction import extracted
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.bundle import MARKER, opened_as, read_bundle, timeless, write_bundle
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features
from zerochain.formats.weights import weights_of, with_weights
from zerochain.listeners.speaker_pieces import Division, Held, Piece, divide, trial_pieces
from zerochain.metrics.speakers import Verification, verify
from zerochain.modules.speaker_encoder import SpeakerClassifier, SpeakerNet, SpeakerNetConfig
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.crops import like_lengths, padded
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, Batch, Trained, Update, train, training_folder
from zerochain.training.outcome import Outcome

MODEL = "speaker-encoder"
SHORTEST_S = 0.5
"""What is shorter says too little of who speaks."""
SPEECH = SpectralOptions(kind="log-mel")
_BATCH_FRAMES = 16_384
_LONGEST_FRAMES = 6_000  # heard at once: memory stays bounded
Frames = NDArray[np.float32]
Vectors = NDArray[np.float32]


class SpeakerEncoder:
    """Recordings → unit vectors (E,) whose cosine says how alike two voices are.

    Attributes:
        network: frames and lengths → vectors.
        options: the frames.
        id: of the bundle that it was read from or written to; "" before that.
    """

    def __init__(
        self, network: SpeakerNet, options: SpectralOptions = SPEECH, device: str = "cpu"
    ) -> None:
        self.network, self.options, self.device = network.to(device).eval(), options, device
        self.id = ""
        self.trained_on: Mapping[str, str] = {}

    @property
    def dim(self) -> int:
        """E."""
        return self.network.config.dim

    def embed(self, wave: Waveform) -> Vectors:
        """The voice of one recording, mono at 16 kHz: (E,), of unit length.

        Raises:
            InputError: below half a second, silent, or NaN in it.
        """
        return np.asarray(self.embed_many([wave])[0])

    def embed_many(self, waves: Sequence[Waveform]) -> Vectors:
        """As `embed`, for each of several recordings: (n, E)."""
        for wave in waves:
            why = unusable(wave)
            if why is not None:
                raise InputError(
                    f"no voice can be heard in a recording: {why}",
                    cause="it was cut badly, or what made it failed",
                    remedy="give other recordings of the speaker",
                )
        extractor = SpectralExtractor(self.options, self.device)
        return self.embed_frames([extractor([wave])[0] for wave in waves])

    def voice(self, waves: Iterable[Waveform]) -> Vectors:
        """The mean voice of those recordings in which one can be heard: (E,), of unit length.

        Raises:
            InputError: it can be heard in none.
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
                f"no voice can be heard in {reasons.total()} recordings: {dict(reasons)}",
                cause="they were cut badly, or what made them failed",
                remedy="give other recordings of the speaker",
            )
        return mean_voice(np.stack(vectors))

    def embed_frames(self, utterances: Sequence[Frames]) -> Vectors:
        """The same from frames, (T, D) each, in dB. Minutes are heard in parts, and averaged."""
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

    def save(self, folder: Path, trained_on: Mapping[str, str], report: Mapping[str, Any]) -> str:
        """Write a bundle and return its id; `report` says how it was trained and how good it is."""
        config = {
            "network": self.network.config.model_dump(),
            "features": self.options.model_dump(),
            "training": dict(report),
        }
        self.id = write_bundle(folder, MODEL, config, weights_of(self.network), trained_on)
        self.trained_on = trained_on
        return self.id

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """The encoder that `save` wrote.

        Raises:
            InputError: not the bundle of a speaker encoder.
        """
        bundle = read_bundle(folder, MODEL)
        with opened_as("speaker encoder", folder, "train the speaker encoder again"):
            sizes = SpeakerNetConfig.model_validate(bundle.config["network"])
            options = SpectralOptions.model_validate(bundle.config["features"])
            if sizes.n_in != options.dim:
                raise ValueError(f"its network is of {sizes.n_in} features, not {options.dim}")
            network = with_weights(lambda: SpeakerNet(sizes), bundle.tensors, device)
            encoder = cls(network, options, device)
        encoder.id, encoder.trained_on = bundle.id, bundle.trained_on
        return encoder


def mean_voice(vectors: Vectors) -> Vectors:
    """The mean direction of unit vectors (n, E): the voice of several recordings, (E,)."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def unusable(wave: Waveform) -> str | None:
    """Why no voice can be heard in a recording, in a word or two; None where one can."""
    if not np.isfinite(wave).all():
        return "NaN"
    if len(wave) < SHORTEST_S * SAMPLE_RATE:
        return f"under_{SHORTEST_S}_s"
    return None if wave.any() else "silent"


_FRAMES = (100, 300)  # of a training segment: one to three seconds
_MOST_VALIDATIONS = 512  # pieces


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


TRAINING = TrainingConfig(
    max_steps=600,
    batch_size=64,
    learning_rate=2e-3,
    annealing="cosine",
    validate_every=100,
    patience=8,
)
"""An hour of speech in minutes on a CPU."""


@dataclass(frozen=True, kw_only=True)
class SpeakerTraining(Outcome):
    """How a speaker encoder's training went, and how good it is."""

    n_speakers: int
    """That it learned to tell."""
    n_utterances: int
    minutes: float
    excluded: Mapping[str, int]
    """Why utterances were left out → how many."""
    seconds: float
    held: Held
    """What it was tested on: speakers that it never heard, or known ones' utterances."""
    held_speakers: tuple[str, ...]
    verification: Verification | None
    """None where what was held out has no two speakers, or no two pieces of any."""


def train_speaker_encoder(
    corpus: Path,
    out: Path,
    *,
    split: str | None = None,
    held_out: float = 0.1,
    width: int = 128,
    dim: int = 128,
    training: TrainingConfig = TRAINING,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> SpeakerTraining:
    """Train a speaker encoder on a corpus's own speakers and save it as the bundle `out`.

    The checkpoint and log.csv stand beside it in `<out>.training`; called again after it was
    interrupted, training goes on from there with the same result.

    Args:
        split: train and test on this split alone.
        held_out: part of the speakers that the equal error rate is measured on; with fewer than
            ten, it is measured on a tenth of everybody's utterances.
        width, dim: channels of a layer, and of the vector.

    Raises:
        InputError: fewer than two speakers, too little speech, or divergence.
    """
    check_replaceable(out, MARKER)  # now rather than after minutes
    whole = read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    config = SpeakerNetConfig(n_in=SPEECH.dim, width=width, dim=dim)
    settings = {
        "network": config.model_dump(),
        "features": SPEECH.model_dump(),
        "training": training.model_dump(),
        "held_out": held_out,
    }
    mark = fingerprint({**settings, "corpus": whole.id, "ids": part.ids})
    with extracted(_with_speakers(part), SPEECH, device=device) as features:
        pieces, excluded = _whole_pieces(features)
        excluded |= _counted(unknown_speaker=len(part.utterances) - len(features))
        division = divide(pieces, held_out)
        encoder, trained, n_speakers = _trained(
            config, features, division, training, training_folder(out), mark,
            device=device, restart=restart, tensorboard=tensorboard,
        )  # fmt: skip
        verification = _verified(encoder, features, division)
    learned = [piece for piece in division.train if piece.start == 0]
    report = SpeakerTraining(
        **asdict(Outcome.of(trained, encoder.network)),
        n_speakers=n_speakers,
        n_utterances=len(learned),
        minutes=sum(p.n_frames for p in division.train) * SPEECH.step_ms / 60_000,
        excluded=excluded,
        seconds=trained.seconds,
        held=division.held,
        held_speakers=tuple(sorted({piece.speaker for piece in division.test})),
        verification=verification,
    )
    if is_main_process():
        said = timeless(asdict(report))
        encoder.save(out, {"corpus": whole.id}, {**settings, **said})  # the same id, resumed or not
        (training_folder(out) / CHECKPOINT).unlink(missing_ok=True)
    return report


def _with_speakers(corpus: Corpus) -> Corpus:
    known = [u.id for u in corpus.utterances if u.speaker is not None]
    if not known:
        raise InputError(
            f"corpus {corpus.name!r} has no known speaker",
            path=corpus.folder,
            cause="the import was not told who speaks",
            remedy="import it again with --speaker-from or a table",
        )
    return corpus.restrict(known)


def _whole_pieces(features: Features) -> tuple[list[Piece], dict[str, int]]:
    """The utterances in which a voice can be heard, and how many others there are, by reason."""
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
    return pieces, _counted(**{f"under_{SHORTEST_S}_s": short, "silent": silent})


def _trained(
    config: SpeakerNetConfig,
    features: Features,
    division: Division,
    training: TrainingConfig,
    folder: Path,
    mark: str,
    *,
    device: str,
    restart: bool,
    tensorboard: bool,
) -> tuple[SpeakerEncoder, Trained, int]:
    torch.manual_seed(training.seed)
    speakers = sorted({piece.speaker for piece in division.train})
    network = SpeakerClassifier(SpeakerNet(config), len(speakers))
    train_pieces, valid_pieces = (
        Pieces(features, pieces, speakers) for pieces in (division.train, division.valid)
    )
    task = SpeakerTask(network, train_pieces, valid_pieces, training, device)
    trained = train(
        task,
        training,
        folder,
        fingerprint=mark,
        device=device,
        restart=restart,
        tensorboard=tensorboard,
    )
    network.load_state_dict(trained.weights)
    return SpeakerEncoder(network.encoder, SPEECH, device), trained, len(speakers)


def _verified(
    encoder: SpeakerEncoder, features: Features, division: Division
) -> Verification | None:
    """The equal error rate on what was held out; None where it is undefined."""
    pieces = trial_pieces(division.test)
    speakers = sorted({piece.speaker for piece in pieces})
    if not 1 < len(speakers) < len(pieces):
        return None
    cuts = Pieces(features, pieces, speakers)
    vectors = encoder.embed_frames([cuts.frames(i) for i in range(len(pieces))])
    return verify(vectors, [p.speaker for p in pieces], [p.utterance for p in pieces])


def _counted(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
