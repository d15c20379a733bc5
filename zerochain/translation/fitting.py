"""A network and pairs → a translator, by the one training loop, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from zerochain.formats.fit import Fit, timeless, write_fit
from zerochain.modules.unit_translator import TranslatorConfig, UnitTranslator
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import described, is_main_process
from zerochain.training.loop import CHECKPOINT, train, training_folder
from zerochain.training.outcome import Outcome
from zerochain.translation.config import TranslationConfig
from zerochain.translation.data import Pair
from zerochain.translation.network import most_for_one
from zerochain.translation.parallel import Material
from zerochain.translation.pretrained import Start
from zerochain.translation.task import TranslationTask
from zerochain.translation.translator import MODEL, Translator


@dataclass(frozen=True)
class Running:
    """Where to train, and whether from where it stopped."""

    device: str = "cpu"
    restart: bool = False
    tensorboard: bool = False


def fit(
    material: Material,
    built: TranslatorConfig,
    pairs: tuple[Sequence[Pair], Sequence[Pair]],
    out: Path,
    config: TranslationConfig,
    training: TrainingConfig,
    running: Running,
    *,
    task: type[TranslationTask] = TranslationTask,
    start: Start | None = None,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Translator, dict[str, Any]]:
    """A translator of `built`'s kind, trained on the first pairs and validated on the others.

    Args:
        out: beside which the checkpoint and the log stand; `keep` writes the translator there.
        start: weights to begin with; None for random ones.
        settings: whatever else makes a training another one.

    Returns:
        The translator and how its training went.

    Raises:
        InputError: it diverges, or the checkpoint is another training's.
    """
    facts = {
        "network": built.model_dump(),
        "config": config.model_dump(),
        "training": training.model_dump(),
        **(settings or {}),
    }
    torch.manual_seed(training.seed)
    network = UnitTranslator(built)
    if start is not None:
        start.give(network)
    ratio = most_for_one(pairs[0], material.source)
    trained = train(
        task(network, material.source, *pairs, config, training, ratio, running.device),
        training,
        training_folder(out),
        fingerprint=_mark(facts, material, pairs[0]),
        device=running.device,
        restart=running.restart,
        tensorboard=running.tensorboard,
    )
    network.load_state_dict(trained.weights)
    translator = Translator(
        network=network.eval().to(running.device),
        source=material.source,
        unit_model=material.target.model_id,
        unit_method=material.target.method,
        step_ms=material.target.step_ms,
        longest_s=config.longest_s,
        ratio=ratio,
        device=running.device,
    )
    report = {
        **facts,
        "device": running.device,
        "seconds": trained.seconds,
        **asdict(Outcome.of(trained, network)),
        "unit_bleu": trained.best["unit_bleu"],
        "cross_entropy": trained.best["cross_entropy"],
    }
    return translator, report


def _mark(facts: Mapping[str, Any], material: Material, learned: Sequence[Pair]) -> str:
    names = sorted({pair.names for pair in [*material.pairs, *learned]})
    return fingerprint({**facts, "files": material.trained_on, "pairs": names})


def keep(
    translator: Translator,
    out: Path,
    trained_on: Mapping[str, str],
    report: Mapping[str, Any],
    model: str = MODEL,
) -> None:
    """Write what was trained, once, and remove the checkpoint."""
    if is_main_process():
        translator.save(out, trained_on, timeless(report), model)
        write_fit(out, Fit(report["seconds"], described(report["device"])))
        (training_folder(out) / CHECKPOINT).unlink(missing_ok=True)
