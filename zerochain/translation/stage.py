"""The stage as functions of files: train a translator, translate with one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zerochain.errors import InputError, listed
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.attention import MARKER as ATTENTION_MARKER
from zerochain.formats.attention import write_attention
from zerochain.formats.bundle import MARKER
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import check_same_ids, file_id
from zerochain.formats.scores import Score, append_scores
from zerochain.formats.units import UnitFile, write_units
from zerochain.metrics.names import REAL_TIME_FACTOR
from zerochain.training.config import TrainingConfig
from zerochain.training.device import described
from zerochain.translation.data import Material, Parallel, Part, held_out, read_parallel
from zerochain.translation.fitting import Running, fit, keep, read_start
from zerochain.translation.pseudo import CAP, Pseudo, mixed, read_pseudo
from zerochain.translation.source import Array, arrays, read_source
from zerochain.translation.task import TranslationConfig
from zerochain.translation.translator import Search, Translator, check_lengths, network_config


def train_translator(
    files: Sequence[Parallel],
    out: Path,
    *,
    network: Mapping[str, Any] | None = None,
    config: TranslationConfig | None = None,
    training: TrainingConfig | None = None,
    part: Part | None = None,
    start_from: Sequence[Path] = (),
    pseudo: Sequence[Pseudo] = (),
    cap: float = CAP,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> tuple[Translator, dict[str, Any]]:
    """Train a translator on one or several sources into the same units; save it as `out`.

    The checkpoint and log.csv stand beside it in the folder `<out>.training`; called again after
    it was interrupted, training goes on from there with the same result. The weights kept are the
    training loop's moving averages at the best validation, in place of an average of the last
    checkpoints.

    Args:
        network: fields of TranslatorConfig; what the data say is filled in.
        part: train on the pairs of one split alone.
        start_from: pretrained networks, for the encoder, the decoder, or both.
        pseudo: pairs that a machine made; none of them is held out.
        cap: the most of those for a true pair.

    Returns:
        The translator, and how its training went.

    Raises:
        InputError: files that don't belong together, too few pairs, too long utterances, too many
            target units for CTC, or divergence.
        ModelMismatchError: units of several models where they should be of one.
    """
    check_replaceable(out, MARKER)  # now rather than after an hour
    config, training = config or TranslationConfig(), training or TrainingConfig()
    material = read_parallel(files, part)
    learned, valid = held_out(material.pairs, config.validation)
    added = read_pseudo(pseudo, material, valid, learned)
    n_pairs = len(material.pairs)
    material = replace(material, pairs=[*material.pairs, *added.pairs])
    _check_pairs(material, config)
    start = read_start(start_from, material.source, material.target.model_id, network or {})
    built = network_config(material, {**start.sizes, **(network or {})})
    translator, report = fit(
        material,
        built,
        (mixed(learned, added.pairs, cap), valid),
        out,
        config,
        training,
        Running(device, restart, tensorboard),
        start=start,
        settings={"cap": cap if pseudo else None, "start": start.trained_on},
    )
    report |= {
        "n_pairs": n_pairs,
        "n_held_out": len(valid),
        "n_pseudo": len(added.pairs),
        "pseudo_left_out": dict(added.left_out),
    }
    ids = {**material.trained_on, **added.trained_on, **start.trained_on}
    keep(translator, out, ids, report)
    return translator, report


def _check_pairs(material: Material, config: TranslationConfig) -> None:
    sources = {pair.names[0].split(" ", 1)[1]: pair.source for pair in material.pairs}
    seconds = {name: material.source.seconds(array) for name, array in sources.items()}
    check_lengths(seconds, config.longest_s)
    true = {p.names[0].split(" ", 1)[1]: p.source for p in material.pairs if not p.pseudo}
    still = [name for name, array in true.items() if material.source.is_still(array)]
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
    heard_s: float
    """Of all recordings."""
    seconds: float
    """That translating took, without reading files, listening or speaking."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of translating for a second of the recordings."""
        return self.seconds / self.heard_s


def translate(
    translator: Path,
    source: Path,
    out: Path,
    *,
    search: Search | None = None,
    ids: Sequence[str] = (),
    part: Part | None = None,
    attention: Path | None = None,
    scores: Path | None = None,
    system: str | None = None,
    device: str = "cpu",
) -> Translated:
    """Translate features or units, as the translator was trained on, to the unit file `out`.

    Args:
        ids: translate these alone; none is all.
        part: translate those of a split alone.
        attention: a folder for one `<id>.npz` each: "attention" (N, S) float16 and "units" (N,);
            attention.json beside them names the files they are of (formats.attention).
        scores: append the real-time factor to this scores.jsonl, as of `system`.

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
    begun = time.monotonic()
    found = model.hypotheses(inputs, search)
    seconds = time.monotonic() - begun
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
        write_attention(
            attention,
            model.attention(inputs, made.units),
            made.units,
            translator_id=model.id,
            units_id=file_id(out),
            step_ms=model.attention_step_ms,
        )
    done = Translated(
        made,
        cut=[name for name, hypothesis in found.items() if hypothesis.cut],
        still=[name for name, array in inputs.items() if model.source.is_still(array)],
        n_distinct=len({units.tobytes() for units in made.units.values()}),
        heard_s=sum(model.source.seconds(array) for array in inputs.values()),
        seconds=seconds,
    )
    if scores is not None:
        append_scores(scores, [_speed(done, system, file_id(out), model.id, device)])
    return done


def _speed(
    done: Translated, system: str | None, units_id: str, translator_id: str, device: str
) -> Score:
    return Score(
        REAL_TIME_FACTOR.key,
        done.real_time_factor,
        None,
        len(done.unit_file.units),
        "in batches",
        system or done.unit_file.method,
        {"units": units_id, "translator": translator_id},
        {"n_of": "sources", "heard_s": round(done.heard_s, 2), "device": described(device)},
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
