"""The stage as functions of files: train a translator, translate with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from zerochain.errors import InputError, listed
from zerochain.formats.atomic import atomic_folder, check_replaceable
from zerochain.formats.bundle import MARKER, bundle_id
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.tables import write_json
from zerochain.formats.units import UnitFile, Units, write_units
from zerochain.modules.unit_translator import TranslatorConfig, UnitTranslator
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, Trained, train, training_folder
from zerochain.translation.config import TranslationConfig
from zerochain.translation.data import Pair, held_out, steps_needed
from zerochain.translation.parallel import Material, Parallel, Part, read_parallel
from zerochain.translation.source import Array, SourceKind, arrays, read_source
from zerochain.translation.task import TranslationTask
from zerochain.translation.translator import Search, Translator, check_lengths

ATTENTION, ATTENTION_MARKER = "attention", "attention.json"
_MOST_UPSAMPLING = 8
_SLACK = 1.5  # of the length that nearly all pairs stay below


def train_translator(
    files: Sequence[Parallel],
    out: Path,
    *,
    network: Mapping[str, Any] | None = None,
    config: TranslationConfig | None = None,
    training: TrainingConfig | None = None,
    part: Part | None = None,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> tuple[Translator, dict[str, Any]]:
    """Train a translator on one or several sources into the same units; save it as `out`.

    The checkpoint and log.csv stand beside it in the folder `<out>.training`; called again after
    it was interrupted, training goes on from there with the same result. The weights kept are the
    training loop's moving averages at the best validation: no checkpoints are averaged besides.

    Args:
        network: fields of TranslatorConfig; what the data say is filled in.
        part: train on the pairs of one split alone.

    Returns:
        The translator, and how its training went.

    Raises:
        InputError: files that don't belong together, too few pairs, too long utterances, too many
            target units for CTC, or divergence.
    """
    check_replaceable(out, MARKER)  # now rather than after an hour
    config, training = config or TranslationConfig(), training or TrainingConfig()
    material = read_parallel(files, part)
    _check_pairs(material, config)
    learned, valid = held_out(material.pairs, config.validation)
    built = network_config(material, network or {})
    ratio = _ratio(learned, material.source)
    settings = {
        "network": built.model_dump(),
        "config": config.model_dump(),
        "training": training.model_dump(),
    }
    names = sorted(pair.names for pair in material.pairs)
    mark = fingerprint({**settings, "files": material.trained_on, "pairs": names})
    translator, trained = _train(
        material, built, (learned, valid), config, training, ratio, training_folder(out), mark,
        device=device, restart=restart, tensorboard=tensorboard,
    )  # fmt: skip
    report = {
        **settings,
        "n_pairs": len(material.pairs),
        "n_held_out": len(valid),
        "device": device,
        "n_parameters": sum(p.numel() for p in translator.network.parameters()),
        "steps": int(trained.history[-1]["step"]),
        "seconds": round(trained.history[-1]["seconds"], 1),
        "best_step": int(trained.best["step"]),
        "unit_bleu": trained.best["unit_bleu"],
        "cross_entropy": trained.best["cross_entropy"],
        "converged": trained.converged,
    }
    if is_main_process():
        translator.save(out, material.trained_on, report)
        (training_folder(out) / CHECKPOINT).unlink(missing_ok=True)
    return translator, report


def _train(
    material: Material,
    built: TranslatorConfig,
    pairs: tuple[list[Pair], list[Pair]],
    config: TranslationConfig,
    training: TrainingConfig,
    ratio: float,
    folder: Path,
    mark: str,
    *,
    device: str,
    restart: bool,
    tensorboard: bool,
) -> tuple[Translator, Trained]:
    import torch

    torch.manual_seed(training.seed)
    network = UnitTranslator(built)
    task = TranslationTask(network, material.source, *pairs, config, training, ratio, device)
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
    translator = Translator(
        network=network.eval().to(device),
        source=material.source,
        unit_model=material.target.model_id,
        unit_method=material.target.method,
        step_ms=material.target.step_ms,
        longest_s=config.longest_s,
        ratio=ratio,
        device=device,
    )
    return translator, trained


def network_config(material: Material, chosen: Mapping[str, Any]) -> TranslatorConfig:
    """The network as chosen, with what the data say about it.

    Raises:
        InputError: what was chosen doesn't fit together, or a CTC would need too many steps.
    """
    source, own = material.source, material.own
    usual = TranslatorConfig.published() if chosen.get("architecture") == "rnn" else {}
    if source.hears_units:
        usual["subsampling"] = 1
    if own is not None:
        usual |= {"auxiliary": "ctc", "n_auxiliary_units": own.n_units}
    facts = {
        "n_in": source.n_in,
        "hears_units": source.hears_units,
        "n_units": material.target.n_units,
    }
    try:
        built = TranslatorConfig(**{**usual, **chosen, **facts})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(reason, remedy="choose other sizes of the network") from error
    if built.auxiliary != "none" and own is None:
        raise InputError(
            f"the auxiliary loss {built.auxiliary!r} predicts the source's own units, and there "
            "are none",
            remedy="give a unit file of the source's recordings with --source-units",
        )
    update = {}
    if built.architecture == "ctc":
        said = [len(pair.target) for pair in material.pairs]
        update["upsampling"] = _upsampling(material, said, built.subsampling, "target")
    if built.auxiliary == "ctc":
        lengths = [len(pair.own) for pair in material.pairs if pair.own is not None]
        factor = _upsampling(material, lengths, built.subsampling, "source's own")
        update["auxiliary_upsampling"] = factor
    return built.model_copy(update=update)


def _upsampling(material: Material, said: list[int], subsampling: int, whose: str) -> int:
    """Steps of CTC for one of the encoder, so that every pair has enough of them."""
    heard = [len(pair.source) for pair in material.pairs]
    if material.source.hears_units:
        heard = [len(material.source.prepared(p.source, p.names[0])) for p in material.pairs]
    factor = steps_needed(list(zip(heard, said, strict=True)), subsampling)
    if factor > _MOST_UPSAMPLING:
        wrong = [
            pair.names[0].split(" ", 1)[1]
            for pair, a, b in zip(material.pairs, heard, said, strict=True)
            if steps_needed([(a, b)], subsampling) > _MOST_UPSAMPLING
        ]
        raise InputError(
            f"{len(wrong)} pairs have too many {whose} units for the length of their source, as "
            f"CTC goes: {listed(wrong)}",
            cause="the pairs don't say the same, or the units are short",
            remedy="mend the pairs, take a smaller --subsampling or longer units, or (for the "
            "translation) another architecture",
        )
    return factor


def _ratio(pairs: Sequence[Pair], source: SourceKind) -> float:
    """The most units for a frame or unit of a source: what 99 % of pairs have, and half more."""
    ratios = [len(p.target) / len(source.prepared(p.source, p.names[0])) for p in pairs]
    return float(_SLACK * np.quantile(ratios, 0.99))


def _check_pairs(material: Material, config: TranslationConfig) -> None:
    sources = {pair.names[0].split(" ", 1)[1]: pair.source for pair in material.pairs}
    seconds = {name: material.source.seconds(array) for name, array in sources.items()}
    check_lengths(seconds, config.longest_s)
    still = [name for name, array in sources.items() if material.source.is_still(array)]
    if still:
        raise InputError(
            f"nothing is to be heard in {len(still)} sources: {listed(still)}",
            cause="the recordings are silent",
            remedy="leave them out of the pairs: from them only to make things up is learned",
        )


@dataclass(frozen=True)
class Translated:
    """What `translate` wrote, and what is to be said about it."""

    unit_file: UnitFile
    cut: list[str]
    """Translations as long as the limit allows."""
    still: list[str]
    """Recordings in which nothing is to be heard; what was said for them is made up."""
    n_distinct: int
    """Different translations."""


def translate(
    translator: Path,
    source: Path,
    out: Path,
    *,
    search: Search | None = None,
    ids: Sequence[str] = (),
    part: Part | None = None,
    attention: Path | None = None,
    device: str = "cpu",
) -> Translated:
    """Translate features or units, as the translator was trained on, to the unit file `out`.

    Args:
        ids: translate these alone; none is all.
        part: translate those of a split alone.
        attention: a folder for one `<id>.npz` each: "attention" (N, S) float16 and "units" (N,);
            attention.json beside them names the files they are of.

    Raises:
        InputError: not what the translator listens to, ids that aren't there, or utterances that
            are too long.
        ModelMismatchError: units of another unit model than the translator's source.
    """
    model, given, search = (
        Translator.load(translator, device),
        read_source(source),
        search or Search(),
    )
    model.source.check(given, source)
    inputs = _chosen(arrays(given), ids, part, given.corpus_id, source)
    if attention is not None:
        check_replaceable(attention, ATTENTION_MARKER)
    found = model.hypotheses(inputs, search)
    made = UnitFile(
        units={name: hypothesis.units for name, hypothesis in found.items()},
        n_units=model.network.config.n_units,
        step_ms=model.step_ms,
        model_id=model.unit_model,
        method=f"translated: {model.architecture}, {search} → {model.unit_method}",
        speakers={name: given.speakers.get(name) for name in inputs},
        corpus_id=given.corpus_id,
    )
    write_units(out, made)
    if attention is not None:
        _write_attention(attention, model, translator, inputs, made.units)
    return Translated(
        made,
        cut=[name for name, hypothesis in found.items() if hypothesis.cut],
        still=[name for name, array in inputs.items() if model.source.is_still(array)],
        n_distinct=len({units.tobytes() for units in made.units.values()}),
    )


def _chosen(
    inputs: Mapping[str, Array],
    ids: Sequence[str],
    part: Part | None,
    corpus_id: str,
    source: Path,
) -> Mapping[str, Array]:
    names = list(dict.fromkeys(ids)) or list(inputs)
    check_same_ids(names, inputs, "ids asked for", f"source {source}")
    if part is not None:
        corpora = [read_corpus(folder) for folder in part.corpora]
        mine = [corpus for corpus in corpora if corpus.id == corpus_id]
        if not mine:
            raise InputError(
                f"is of none of the corpora given: {listed([c.name for c in corpora])}",
                path=source,
                remedy="give the corpus of the source, whose splits count",
            )
        inside = set(mine[0].select(split=part.split).ids)
        names = [name for name in names if name in inside]
        if not names:
            raise InputError(
                f"none of the utterances asked for is in split {part.split!r}",
                path=source,
                remedy="choose another --split",
            )
    return {name: inputs[name] for name in names}


def _write_attention(
    folder: Path, model: Translator, path: Path, inputs: Mapping[str, Array], units: Units
) -> None:
    maps = model.attention(inputs, units)
    header = {
        "translator_id": bundle_id(path),
        "step_ms": model.attention_step_ms,
        "ids": list(maps),
    }
    if header["step_ms"] is None:
        del header["step_ms"]
    with atomic_folder(folder, ATTENTION_MARKER) as temporary:
        for name, weights in maps.items():
            file = temporary / f"{name}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, attention=weights.astype(np.float16), units=units[name])
        write_json(temporary / ATTENTION_MARKER, ATTENTION, header)
