"""A network and pairs → a translator, by the one training loop, and what is to be said of it.

What a translator may begin with: an encoder or a decoder that knows the language already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import Fit, bundle_id, timeless, write_fit
from zerochain.formats.identity import short
from zerochain.modules.unit_translator import TranslatorConfig, UnitTranslator
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import described, is_main_process
from zerochain.training.loop import CHECKPOINT, train, training_folder
from zerochain.training.outcome import Outcome
from zerochain.translation.data import Material, Pair
from zerochain.translation.source import SourceKind
from zerochain.translation.task import TranslationConfig, TranslationTask
from zerochain.translation.translator import MODEL, Translator, most_for_one

DENOISER = "denoiser"
Part = Literal["encoder", "decoder"]
_SIZES: Mapping[Part, tuple[str, ...]] = {
    "encoder": ("width", "n_encoder_layers", "n_heads", "factor", "kernel", "subsampling"),
    "decoder": ("width", "n_decoder_layers", "n_heads", "factor", "decoder_width"),
}
"""What has to be the same for a part to fit; LSTMs' `embedding` is one more."""


@dataclass(frozen=True, eq=False)
class Start:
    """Parts of pretrained networks."""

    parts: Mapping[Part, Translator]
    trained_on: Mapping[str, str]
    """The bundles they are of."""

    @property
    def sizes(self) -> dict[str, Any]:
        """The fields of TranslatorConfig that a network has to share for its parts to fit."""
        sizes: dict[str, Any] = {}
        for part, model in self.parts.items():
            given = model.network.config.model_dump()
            names = (*_SIZES[part], "embedding", *(("architecture",) if part == "decoder" else ()))
            sizes |= {name: given[name] for name in names}
        return sizes

    def give(self, network: UnitTranslator) -> None:
        """Put the parts into a network of these sizes."""
        for part, model in self.parts.items():
            getattr(network, part).load_state_dict(getattr(model.network, part).state_dict())


def read_start(
    folders: Sequence[Path],
    source: SourceKind,
    unit_model: str,
    chosen: Mapping[str, Any],
) -> Start:
    """Take the encoder of what knows the source's units, the decoder of what knows the target's.

    Args:
        unit_model: id of the target's.
        chosen: fields of TranslatorConfig that somebody asked for.

    Raises:
        ModelMismatchError: it knows neither.
        InputError: no denoiser, two for the same part, or other sizes than those chosen.
    """
    parts: dict[Part, Translator] = {}
    for folder in folders:
        model = Translator.load(folder, model=DENOISER)
        for part in _of_use(model, folder, source, unit_model, chosen):
            if part in parts:
                raise InputError(
                    f"is a second {part} to start from",
                    path=folder,
                    remedy="give one for the source's units and one for the target's",
                )
            parts[part] = model
    start = Start(parts, {f"start {i}": bundle_id(f) for i, f in enumerate(folders, start=1)})
    _check_alike(list(parts.values()))
    for name, size in start.sizes.items():
        if chosen.get(name, size) != size:
            raise InputError(
                f"{name} {chosen[name]} was asked for, and what to start from has {size}",
                path=folders[0],
                remedy="leave it out, or pretrain a network of that size",
            )
    return start


def _of_use(
    model: Translator, folder: Path, source: SourceKind, unit_model: str, chosen: Mapping[str, Any]
) -> list[Part]:
    parts: list[Part] = []
    recurrent = model.architecture == "rnn"
    if source.hears_units and source.name == model.unit_model:
        parts.append("encoder")
    if unit_model == model.unit_model and chosen.get("architecture") != "ctc":
        parts.append("decoder")
    if not parts:
        heard = f"units of {short(source.name)}" if source.hears_units else source.name
        raise ModelMismatchError(
            f"knows units of {short(model.unit_model)}, but the translator goes from {heard} to "
            f"units of {short(unit_model)}"
            + (" by CTC, which has no decoder" if chosen.get("architecture") == "ctc" else ""),
            path=folder,
            cause="it was pretrained on units of another model",
            remedy="pretrain on the units that the translator hears or says",
        )
    if recurrent != (chosen.get("architecture", model.architecture) == "rnn"):
        raise InputError(
            f"is of architecture {model.architecture}, and {chosen['architecture']} was asked for",
            path=folder,
            remedy=f"pretrain with --architecture {chosen['architecture']}",
        )
    return parts


def _check_alike(models: Sequence[Translator]) -> None:
    configs = [model.network.config.model_dump() for model in models]
    for name in ("architecture", "width", "n_heads", "factor", "embedding"):
        found = {config[name] for config in configs}
        if len(found) > 1:
            raise InputError(
                f"what to start from differs in {name}: {' and '.join(map(str, sorted(found)))}",
                remedy="pretrain both sides with the same sizes",
            )


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
