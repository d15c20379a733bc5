"""Train a recogniser on a corpus with transcripts, and say how often it errs on real speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from zerochain.errors import InputError
from zerochain.features.extraction import extracted
from zerochain.features.recogniser import SPEECH, Recogniser
from zerochain.features.recogniser_task import RecogniserTask, Transcribed, possible
from zerochain.features.text import NORMALISATION, plain
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.bundle import MARKER
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features
from zerochain.formats.fit import timeless
from zerochain.metrics.translation import Estimate, error_rate
from zerochain.modules.encoder import Encoder, EncoderConfig
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, Trained, train, training_folder
from zerochain.training.outcome import Outcome
from zerochain.training.split import validation_ids

TRAINING = TrainingConfig(
    max_steps=2000,
    batch_size=16,
    learning_rate=2e-3,
    annealing="cosine",
    ema_decay=0.99,
    validate_every=200,
    patience=5,
)
"""An hour of read speech in minutes on a CPU."""
STRIDE = 2
"""20 ms: people write up to 20 characters a second, and equal neighbours need a blank between."""
_VALID = 0.05


@dataclass(frozen=True, kw_only=True)
class RecogniserTraining(Outcome):
    """How a recogniser's training went, and how often it errs."""

    n_characters: int
    n_utterances: int
    """That it learned from."""
    minutes: float
    excluded: Mapping[str, int]
    """Why utterances were left out → how many."""
    seconds: float
    cer: float
    """In %, on recordings held out from training and from the choice of when to stop."""
    cer_interval: tuple[float, float] | None
    wer: float
    n_held_out: int
    """Utterances that `cer` and `wer` rest on: speakers may be known, what is said is not."""


def train_recogniser(
    corpus: Path,
    out: Path,
    *,
    split: str | None = None,
    held_out: float = 0.1,
    width: int = 192,
    n_blocks: int = 2,
    training: TrainingConfig = TRAINING,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> RecogniserTraining:
    """Train a recogniser of characters on a corpus's texts and save it as the bundle `out`.

    The checkpoint and log.csv stand beside it in `<out>.training`; called again after it was
    interrupted, training goes on from there with the same result.

    Args:
        split: train and test on this split alone.
        held_out: part of the different texts that the error rates are measured on; another
            twentieth says when to stop. All recordings of a text are held out together.
        width, n_blocks: channels of a layer, residual blocks of two convolutions.

    Raises:
        InputError: no transcripts, fewer than three different texts, or divergence.
    """
    check_replaceable(out, MARKER)  # now rather than after minutes
    whole = read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    texts, without = _texts(part)
    characters = "".join(sorted(set("".join(texts.values()))))
    config = EncoderConfig(
        n_in=SPEECH.dim,
        width=width,
        n_blocks=n_blocks,
        dim=1 + len(characters),
        stride=STRIDE,
        tail="gru",
    )
    settings = {
        "network": config.model_dump(),
        "training": training.model_dump(),
        "split": split,
        "held_out": held_out,
        "text": NORMALISATION,
    }
    mark = fingerprint({**settings, "corpus": whole.id, "texts": texts})
    with extracted(part.restrict(list(texts)), SPEECH, device=device) as features:
        texts, short = _possible(features, texts)
        parts = _divided(features, texts, characters, held_out)
        recogniser, trained = _trained(
            config, parts, training, training_folder(out), mark,
            device=device, restart=restart, tensorboard=tensorboard,
        )  # fmt: skip
        cer, wer = _errors(recogniser, parts["test"])
    report = RecogniserTraining(
        **asdict(Outcome.of(trained, recogniser.network)),
        n_characters=len(characters),
        n_utterances=len(parts["train"].texts),
        minutes=sum(features.index[n][1] for n in parts["train"].texts) * SPEECH.step_ms / 60_000,
        excluded={k: n for k, n in {"without_text": without, "too_short": short}.items() if n},
        seconds=trained.seconds,
        cer=cer.value,
        cer_interval=cer.interval,
        wer=wer.value,
        n_held_out=cer.n,
    )
    if is_main_process():
        said = {**settings, **timeless(asdict(report))}  # one id, resumed or not
        replace(recogniser, training=said, trained_on={"corpus": whole.id}).save(out)
        (training_folder(out) / CHECKPOINT).unlink(missing_ok=True)
    return report


def _texts(corpus: Corpus) -> tuple[dict[str, str], int]:
    """The texts of the utterances that have one, and how many have none."""
    texts = {u.id: plain(u.text or "") for u in corpus.utterances}
    known = {name: text for name, text in texts.items() if text}
    if not known:
        raise InputError(
            f"corpus {corpus.name!r} has no transcripts, so nothing to recognise",
            path=corpus.folder,
            cause="it was imported without a table, or its column 'text' is empty",
            remedy="import it again with a table that has a column 'text'",
        )
    return known, len(texts) - len(known)


def _possible(features: Features, texts: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Without utterances that are too short for their texts, and how many those are."""
    fits = possible(features, texts, STRIDE)
    kept = {name: text for (name, text), fit in zip(texts.items(), fits, strict=True) if fit}
    return kept, len(texts) - len(kept)


def _divided(
    features: Features, texts: Mapping[str, str], characters: str, held_out: float
) -> dict[str, Transcribed]:
    """Training, validation and test, of different texts."""
    said = sorted(set(texts.values()))
    if len(said) < 3:
        raise InputError(
            f"{len(said)} different texts in {len(texts)} utterances that are long enough for them",
            cause="training, its end and the test each need a text of their own; or the texts "
            "belong to other recordings",
            remedy="give more recordings, with their own texts",
        )
    test = validation_ids(said, held_out)
    rest = [text for text in said if text not in test]
    valid = validation_ids(rest, _VALID)
    of = {"test": test, "valid": valid, "train": set(rest) - valid}
    return {
        name: Transcribed(features, {n: t for n, t in texts.items() if t in own}, characters)
        for name, own in of.items()
    }


def _trained(
    config: EncoderConfig,
    parts: Mapping[str, Transcribed],
    training: TrainingConfig,
    folder: Path,
    mark: str,
    *,
    device: str,
    **options: Any,
) -> tuple[Recogniser, Trained]:
    torch.manual_seed(training.seed)
    network = Encoder(config)
    task = RecogniserTask(network, parts["train"], parts["valid"], training, device)
    trained = train(task, training, folder, fingerprint=mark, device=device, **options)
    network.load_state_dict(trained.weights)
    return Recogniser(network.to(device), parts["train"].characters), trained


def _errors(recogniser: Recogniser, test: Transcribed) -> tuple[Estimate, Estimate]:
    """Character and word error rates."""
    heard = recogniser.transcribe_frames([test.features[name] for name in test.ids])
    said = [test.texts[name] for name in test.ids]
    words = error_rate([text.split() for text in heard], [[text.split()] for text in said])
    return error_rate(heard, [[text] for text in said]), words
