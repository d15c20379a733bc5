"""Train a speaker encoder on a corpus's own speaker labels, and test it on other speakers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from zerochain.errors import InputError
from zerochain.features.extraction import extracted
from zerochain.features.speaker_encoder import SHORTEST_S, SPEECH, SpeakerEncoder
from zerochain.features.speaker_pieces import Division, Held, Piece, divide, trial_pieces
from zerochain.features.speaker_task import Pieces, SpeakerTask
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.bundle import MARKER
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features
from zerochain.formats.fit import timeless
from zerochain.metrics.verification import Verification, verify
from zerochain.modules.speaker_encoder import SpeakerClassifier, SpeakerNet, SpeakerNetConfig
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, Trained, train, training_folder
from zerochain.training.outcome import Outcome

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
