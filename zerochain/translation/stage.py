"""Translation from files to files: train a translator, translate with one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from zerochain.errors import InputError, counted, listed
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.attention import MARKER as ATTENTION_MARKER
from zerochain.formats.attention import write_attention
from zerochain.formats.bundle import timeless
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids, file_id
from zerochain.formats.scores import Score, append_scores
from zerochain.formats.units import UnitFile, write_units
from zerochain.metrics.names import REAL_TIME_FACTOR
from zerochain.training.device import described
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running, finish
from zerochain.translation.data import Material, Parallel, Part, arrays, read_parallel, read_source
from zerochain.translation.pairs import held_out
from zerochain.translation.pretraining import read_start
from zerochain.translation.pseudo import Pseudo, mixed, read_pseudo
from zerochain.translation.task import (
    RECIPE,
    TranslationConfig,
    TranslationTraining,
    network_config,
    trained,
)
from zerochain.translation.translator import Search, Translator


@dataclass(frozen=True, kw_only=True)
class TranslatorTraining(TranslationTraining):
    """How the training of a translator went."""

    architecture: str
    n_pairs: int
    """True pairs, those that are held out included."""
    n_held_out: int
    n_pseudo: int
    pseudo_left_out: Mapping[str, int]
    """Why pseudo pairs were left out → how many."""


def train_translator(
    files: Sequence[Parallel],
    out: Path,
    *,
    config: TranslationConfig | None = None,
    recipe: Recipe = RECIPE,
    running: Running | None = None,
    part: Part | None = None,
    variants: Sequence[Path] = (),
    start_from: Sequence[Path] = (),
    pseudo: Sequence[Pseudo] = (),
) -> tuple[Translator, TranslatorTraining]:
    """Train a translator on one or several sources into the same units; save it as `out`.

    The checkpoint and log.csv stand beside it in the folder `<out>.training`; called again after
    it was interrupted, training goes on from there with the same result.

    Args:
        part: train on the pairs of one split alone.
        variants: the sources in other voices, such as units of `encode` with a `voice_factor`:
            each example is the source or a variant of it, drawn anew in every step.
        start_from: denoisers from which the encoder, the decoder, or both start; the network then
            has their sizes.
        pseudo: pairs of which a machine made one side; none of them is held out.

    Raises:
        InputError: files that don't belong together, too few pairs, too long or silent utterances,
            too many target units for CTC, or divergence.
        ModelMismatchError: units of several models where they should be of one.
    """
    config, running = config or TranslationConfig(), (running or Running()).beside(out)
    material = read_parallel(files, part, variants)
    learned, valid = held_out(material.pairs, config.validation)
    added = read_pseudo(pseudo, material, valid, learned)
    n_pairs = len(material.pairs)
    _check_audible(material)
    material = replace(material, pairs=[*material.pairs, *added.pairs])
    material.check_lengths(config.longest_s)
    start = read_start(start_from, material.source, material.target.model_id, config)
    config = start.applied_to(config)
    model, fitted = trained(
        Translator,
        material,
        network_config(material, config),
        (mixed(learned, added.pairs, config.pseudo_cap), valid),
        config,
        recipe,
        running,
        initialise=start.initialise,
        settings={"cap": config.pseudo_cap if pseudo else None, "start": dict(start.trained_on)},
    )
    report = TranslatorTraining.of_fit(
        fitted,
        architecture=model.architecture,
        n_pairs=n_pairs,
        n_held_out=len(valid),
        n_pseudo=len(added.pairs),
        pseudo_left_out=added.left_out,
    )
    model = replace(
        model,
        training={**model.training, **timeless(asdict(report))},
        trained_on={**material.trained_on, **added.trained_on, **start.trained_on},
    )
    finish(fitted, out, lambda: model.save(out))
    return model, report


def _check_audible(material: Material) -> None:
    sources = material.sources().items()
    silent = [name for name, array in sources if material.source.is_silent(array)]
    if silent:
        raise InputError(
            f"{counted(len(silent), 'source is', 'sources are')} silent: {listed(silent)}",
            cause="the recordings are silent",
            remedy="leave them out of the pairs: they would teach the translator to hallucinate",
        )


@dataclass(frozen=True)
class Translated:
    """Translations of utterances, and what is noteworthy about them."""

    unit_file: UnitFile
    """Units without repeats or durations, under the source's ids."""
    cut: list[str]
    """Translations that were cut at the limit: their decoding did not come to an end."""
    silent: list[str]
    """Silent sources, whose translations are hallucinated."""
    n_distinct: int
    """Different translations."""
    source_s: float
    """Duration of all sources."""
    seconds: float
    """That translating took, without reading files, encoding or synthesis."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of translating per second of the sources."""
        return self.seconds / self.source_s


def translate_in_memory(
    model: Translator,
    given: Features | UnitFile,
    *,
    ids: Sequence[str] = (),
    search: Search | None = None,
    path: Path | None = None,
) -> Translated:
    """Translate features or units with a translator that is loaded already.

    Args:
        given: of the kind that the translator was trained on, as read from a file or made in
            memory (`Features.from_arrays`, `UnitFile`).
        ids: translate these alone, in this order; none is all.
        path: of what is given, for errors.

    Raises:
        InputError: another kind of source, ids that aren't there, or utterances that are too long.
        ModelMismatchError: units of another unit model than the translator's source.
    """
    model.source.check(given, path)
    search, everything = search or Search(), arrays(given)
    names = list(dict.fromkeys(ids)) or list(everything)
    check_same_ids(names, everything, "ids asked for", f"source {path or 'given'}")
    inputs = {name: everything[name] for name in names}
    begun = time.monotonic()
    found = model.hypotheses(inputs, search)
    seconds = time.monotonic() - begun
    made = UnitFile(
        units={name: hypothesis.units for name, hypothesis in found.items()},
        n_units=model.n_units,
        step_ms=model.step_ms,
        model_id=model.unit_model,
        method=f"translated: {model.architecture}, {search} → {model.unit_method}",
        speakers={name: given.speakers.get(name) for name in inputs},
        corpus_id=given.corpus_id,
    )
    return Translated(
        made,
        cut=[name for name, hypothesis in found.items() if hypothesis.cut],
        silent=[name for name, array in inputs.items() if model.source.is_silent(array)],
        n_distinct=len({units.tobytes() for units in made.units.values()}),
        source_s=sum(model.source.seconds(array) for array in inputs.values()),
        seconds=seconds,
    )


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
        InputError: another kind of source, ids that aren't there, or utterances that are too long.
        ModelMismatchError: units of another unit model than the translator's source.
    """
    model, given = Translator.load(translator, device), read_source(source)
    if attention is not None:
        check_replaceable(attention, ATTENTION_MARKER)
    names = ids if part is None else _of_split(given, ids, part, source)
    done = translate_in_memory(model, given, ids=names, search=search, path=source)
    made = done.unit_file
    write_units(out, made)
    if attention is not None:
        inputs = arrays(given)
        write_attention(
            attention,
            model.attention({name: inputs[name] for name in made.ids}, made.units),
            made.units,
            translator_id=model.id,
            units_id=file_id(out),
            step_ms=model.attention_step_ms,
        )
    if scores is not None:
        append_scores(scores, [_speed(done, system, file_id(out), model.id, device)])
    return done


def _of_split(given: Features | UnitFile, ids: Sequence[str], part: Part, path: Path) -> list[str]:
    """Of these ids, or of all, those that are in the split."""
    check_same_ids(ids, given.ids, "ids asked for", f"source {path}")
    corpora = [read_corpus(folder) for folder in part.corpora]
    mine = [corpus for corpus in corpora if corpus.id == given.corpus_id]
    if not mine:
        raise InputError(
            f"is of none of the corpora given: {listed([c.name for c in corpora])}",
            path=path,
            remedy="give the corpus of the source, whose splits are meant",
        )
    inside = set(mine[0].select(split=part.split).ids)
    names = [name for name in dict.fromkeys(ids or given.ids) if name in inside]
    if not names:
        raise InputError(
            f"none of the utterances asked for is in split {part.split!r}",
            path=path,
            remedy="choose another split",
        )
    return names


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
        {"n_of": "sources", "heard_s": round(done.source_s, 2), "device": described(device)},
    )
