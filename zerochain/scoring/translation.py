"""Translated units compared with the units of the target language's own recordings.

Outputs and references are joined by a table of pairs; a source that is paired with several targets
has several references. BLEU and chrF come with two controls, because translators typically fail by
giving the same output for every input: the same outputs against the references of other sources
("_shuffled": as high means that the input is ignored), and random targets in place of the outputs
("_floor"). Scores of units compare only between systems that output units of one unit model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import ModelMismatchError, counted
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import check_same_ids, file_id, short
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics import names
from zerochain.metrics.comparison import Comparison
from zerochain.metrics.names import Metric
from zerochain.metrics.retrieval import Retrieval, edit_similarity, retrieval
from zerochain.metrics.translation import (
    UNDEFINED_BLEU,
    Estimate,
    as_characters,
    as_words,
    bleu,
    chrf,
    compared_bleu,
    distinct_ratio,
    error_rate,
    length_ratio,
    shuffled,
)
from zerochain.scoring.common import Common, Scored, scored_pairs, transcripts

_OVERLAPS: Mapping[Metric, tuple[Callable[..., Estimate], Callable[[Any], str]]] = {
    names.UNIT_BLEU: (bleu, as_words),
    names.UNIT_CHRF: (chrf, as_characters),
}
"""Metric → the measure of texts, and how units are spelled for it."""
Merged = list[int]
"""An utterance's units with repeats merged."""


def score_translation(
    output: Path,
    references: Path,
    pairs: Path,
    *,
    corpus: Path | None = None,
    split: str | None = None,
    train_pairs: Path | None = None,
    texts: Path | None = None,
    system: str | None = None,
    for_reference: bool = False,
    seed: int = 0,
) -> Scored:
    """Unit BLEU, chrF, error rate, lengths, distinct outputs and retrieval of translated units.

    Of several references BLEU counts the n-grams of all; chrF and the error rate take the nearest;
    in retrieval each is right.

    Args:
        output: unit file of the translations, with the ids of the sources.
        references: unit file of the targets' recordings, by the same unit model.
        pairs: which source has which targets.
        corpus, split: score the pairs of this split of one of the two corpora, each of which must
            have an output; without a split, the pairs that have one.
        train_pairs: random targets are drawn from these; None: from pairs that are not scored.
        texts: the target corpus: references with the same transcript are equally right.
            Otherwise only those with the same units are.
        for_reference: a topline, which uses more than a translator can know: never the best.

    Raises:
        ModelMismatchError: outputs and references are not of one codebook.
        InputError: an output without a pair, or a pair without output, units or text.
    """
    made, spoken, table = read_units(output), read_units(references), read_pairs(pairs)
    side = None if corpus is None else read_corpus(corpus)
    wanted = scored_pairs(table, made.ids, side, split)
    parallel = join(made, spoken, wanted, texts)
    pool = table if train_pairs is None else read_pairs(train_pairs)
    floor, floor_from = random_targets(parallel, spoken, pool, seed)
    report = _Report(
        Common(
            system or made.method,
            {"units": made.id, "references": spoken.id, "pairs": file_id(pairs)},
            {
                "n_of": "sources",
                "split": split,
                "n_pairs": len(wanted.pairs),
                "seed": seed,
                **({FOR_REFERENCE: True} if for_reference else {}),
            },
        ),
        "merged units",
    )
    found = retrieval(similarity_of(parallel), parallel.right(), seed=seed)
    overlaps, undefined = _overlaps(parallel, floor, floor_from, report, seed)
    scores = [
        *overlaps,
        *_lengths(parallel, report, seed),
        *retrieval_scores(found, report.common, report.protocol),
    ]
    left = len(table.pairs) - len(wanted.pairs)
    notes = [
        f"{left} of {counted(len(table.pairs), 'pair')} not scored: no output, or another split"
    ]
    notes = [*(notes if left else []), *undefined, *_warnings(parallel, scores, found)]
    return Scored(scores, notes)


def compare_translations(
    first: Path,
    second: Path,
    references: Path,
    pairs: Path,
    *,
    corpus: Path | None = None,
    split: str | None = None,
    seed: int = 0,
) -> tuple[Comparison, list[str]]:
    """Unit BLEU of two systems on the same sources, with the interval of the difference.

    Args:
        first, second: unit files of the translations, with the ids of the sources.
        references, pairs, corpus, split: as of `score_translation`.

    Returns:
        The comparison, and the systems' names, or the paths where both have the same name.

    Raises:
        ModelMismatchError, InputError: as `score_translation`.
    """
    spoken, table = read_units(references), read_pairs(pairs)
    side = None if corpus is None else read_corpus(corpus)
    both = [read_units(first), read_units(second)]
    parts = [join(made, spoken, scored_pairs(table, made.ids, side, split), None) for made in both]
    check_same_ids(parts[0].outputs, parts[1].outputs, f"{first}", f"{second}")
    check_same_ids(parts[1].outputs, parts[0].outputs, f"{second}", f"{first}")
    one, other = ([as_words(part.outputs[n]) for n in parts[0].outputs] for part in parts)
    wanted = [[as_words(units) for units in several] for several in parts[0].wanted()]
    methods = [made.method for made in both]
    called = methods if methods[0] != methods[1] else [f"{first}", f"{second}"]
    return compared_bleu(one, other, wanted, seed=seed), called


@dataclass(frozen=True)
class Parallel:
    """Outputs, and the targets that they are compared with."""

    outputs: Mapping[str, Merged]
    """By source."""
    references: Mapping[str, Sequence[str]]
    """Source → the targets that it is paired with."""
    targets: Mapping[str, Merged]
    meanings: Mapping[str, str]
    """Target → its meaning: targets with one meaning are equally right."""

    def wanted(self) -> list[list[Merged]]:
        """The units of each source's references."""
        return [[self.targets[name] for name in self.references[s]] for s in self.outputs]

    def wanted_meanings(self) -> list[frozenset[str]]:
        """The meanings of each source's references."""
        return [frozenset(self.meanings[name] for name in self.references[s]) for s in self.outputs]

    def shuffled(self, seed: int) -> list[int] | None:
        """An order of the sources in which none takes a place where its own references are right.

        None where there is no such order, as for a single source.
        """
        place: dict[frozenset[str], int] = {}
        groups = [place.setdefault(meaning, len(place)) for meaning in self.wanted_meanings()]
        order = shuffled(groups, seed=seed)
        return None if order is None else order.tolist()

    def right(self) -> list[list[int]]:
        """For each source, the indices of the targets with the meanings of its references."""
        having: dict[str, list[int]] = {}
        for i, name in enumerate(self.targets):
            having.setdefault(self.meanings[name], []).append(i)
        return [[i for meaning in one for i in having[meaning]] for one in self.wanted_meanings()]


def join(made: UnitFile, spoken: UnitFile, wanted: Pairs, texts: Path | None) -> Parallel:
    """Join outputs with the references of some pairs.

    Args:
        made: the outputs.
        spoken: units of the targets' recordings.
        texts: the target corpus, if targets with the same transcript count as equal; otherwise
            those with the same units do.

    Raises:
        ModelMismatchError: outputs and references are not of one codebook.
        InputError: a source without an output, or a target without units or text.
    """
    _check_same_model(made, spoken)
    references: dict[str, list[str]] = {}
    for source, target in wanted.pairs:
        references.setdefault(source, []).append(target)
    targets = merged(spoken, [target for _, target in wanted.pairs])
    return Parallel(
        outputs=merged(made, list(references)),
        references=references,
        targets=targets,
        meanings={name: as_words(units) for name, units in targets.items()}
        if texts is None
        else transcripts(read_corpus(texts), list(targets)),
    )


def random_targets(
    parallel: Parallel, spoken: UnitFile, pool: Pairs, seed: int
) -> tuple[list[Merged] | None, str]:
    """A random target for each source, and where it is from: a floor for translators.

    From the pool's targets that are not references here; if none of these has units, the
    references of other sources; None if there are no others.
    """
    others = {target for _, target in pool.pairs} - set(parallel.targets)
    candidates = sorted(others.intersection(spoken.ids))
    if candidates:
        drawn = np.random.default_rng(seed).integers(0, len(candidates), len(parallel.outputs))
        units = merged(spoken, candidates)
        return [units[candidates[i]] for i in drawn], "other pairs' targets"
    order = parallel.shuffled(seed + 1)
    first = [several[0] for several in parallel.wanted()]
    return (None if order is None else [first[i] for i in order]), "other sources' references"


def merged(unit_file: UnitFile, ids: Sequence[str]) -> dict[str, Merged]:
    """Units with repeats merged; ids that the file lacks are an error."""
    check_same_ids(ids, unit_file.ids, "pairs", f"unit file {unit_file.method!r}")
    return {name: unit_file.segments(name)[0].tolist() for name in ids}


@dataclass(frozen=True)
class _Report:
    """The fields that all scores of a translation have in common."""

    common: Common
    protocol: str

    def score(
        self, metric: Metric, one: Estimate, chance: float | None = None, **options: Any
    ) -> Score:
        """A line of scores.jsonl."""
        signature = one.signature or None
        return self.common.score(
            metric,
            one.value,
            one.interval,
            one.n,
            self.protocol,
            chance=chance,
            signature=signature,
            **options,
        )


def _overlaps(
    parallel: Parallel, floor: list[Merged] | None, floor_from: str, report: _Report, seed: int
) -> tuple[list[Score], list[str]]:
    """BLEU and chrF of the outputs, of the outputs with shuffled sources, of random targets.

    Returns:
        Those that are defined, and a note on the others.
    """
    outputs, wanted = list(parallel.outputs.values()), parallel.wanted()
    rows: list[Score] = []
    undefined: list[str] = []

    def add(
        variant: Callable[[Metric], Metric],
        made: list[Merged],
        right: list[list[Merged]],
        **options: Any,
    ) -> None:
        for metric, (measure, spelled) in _OVERLAPS.items():
            texts = [[spelled(units) for units in several] for several in right]
            result = measure([spelled(units) for units in made], texts, seed=seed)
            if result.is_defined:
                rows.append(report.score(variant(metric), result, **options))
            else:
                undefined.append(variant(metric).key)

    add(lambda metric: metric, outputs, wanted)
    order = parallel.shuffled(seed)
    if order is not None:
        add(names.shuffled, outputs, [wanted[i] for i in order])
    if floor is not None:
        add(names.floor, floor, wanted, floor_from=floor_from)
    return rows, [f"{', '.join(undefined)}: left out, {UNDEFINED_BLEU}"] if undefined else []


def _lengths(parallel: Parallel, report: _Report, seed: int) -> list[Score]:
    outputs, wanted = list(parallel.outputs.values()), parallel.wanted()
    distinct = Estimate(distinct_ratio(outputs), None, len(outputs))
    of_references = distinct_ratio([several[0] for several in wanted])
    return [
        report.score(names.UNIT_ERROR_RATE, error_rate(outputs, wanted, seed=seed)),
        report.score(names.LENGTH_RATIO, length_ratio(outputs, wanted, seed=seed)),
        report.score(names.DISTINCT_OUTPUTS, distinct, of_references=of_references),
    ]


def similarity_of(parallel: Parallel) -> NDArray[np.float64]:
    """The similarity of each output to each target, (n, m)."""
    outputs, targets = (
        [as_characters(units) for units in units_by_id.values()]
        for units_by_id in (parallel.outputs, parallel.targets)
    )
    return edit_similarity(outputs, targets)


def retrieval_scores(found: Retrieval, common: Common, protocol: str) -> list[Score]:
    """Lines of scores.jsonl: MRR, and recalls."""
    measures = {names.RETRIEVAL_MRR: found.mrr}
    measures |= {names.RETRIEVAL_RECALL[k]: one for k, one in found.recall.items()}
    options = {
        "similarity": "1 - edit distance / longer length",
        "n_candidates": found.n_candidates,
        "p_value": found.p_value,
    }
    return [
        common.score(metric, one.value, one.interval, one.n, protocol, chance=one.chance, **options)
        for metric, one in measures.items()
    ]


def _warnings(parallel: Parallel, scores: list[Score], found: Retrieval) -> list[str]:
    """What a person should know at once: chance, and signs that the input is ignored."""
    recalls = ", ".join(f"recall@{k} {one.chance:.1f} %" for k, one in found.recall.items())
    notes = [
        f"chance level of retrieval among {counted(found.n_candidates, 'target')}: "
        f"MRR {found.mrr.chance:.3f}, {recalls}; chance reaches this MRR with "
        f"p = {found.p_value:.3f}"
    ]
    n_outputs = len(set(map(tuple, parallel.outputs.values())))
    n_meanings = len(set(parallel.wanted_meanings()))
    if 2 * n_outputs < n_meanings:
        notes.append(
            f"only {counted(n_outputs, 'different output')} for {n_meanings} different references: "
            "the translator hardly uses its input"
        )
    if names.shuffled(names.UNIT_CHRF).key not in {score.metric for score in scores}:
        notes.append("too few different references: nothing is scored with shuffled sources")
    elif (as_high := _as_high_when_shuffled(scores)) is not None:
        name = {names.UNIT_BLEU: "BLEU", names.UNIT_CHRF: "chrF"}[as_high]
        notes.append(f"{name} with shuffled sources is as high: the translator ignores its input")
    return notes


def ignores_its_input(scores: Sequence[Score]) -> bool:
    """Whether a translator's scores show that it ignores its input.

    They do where BLEU, or chrF if BLEU is 0, is as high with shuffled sources, or where less than
    half as many outputs as references are different.
    """
    if _as_high_when_shuffled(scores) is not None:
        return True
    distinct = next((s for s in scores if s.metric == names.DISTINCT_OUTPUTS.key), None)
    of_references = None if distinct is None else distinct.options.get("of_references")
    return (
        distinct is not None
        and isinstance(of_references, int | float)
        and 2 * distinct.value < of_references
    )


def _as_high_when_shuffled(scores: Sequence[Score]) -> Metric | None:
    """The metric that is as high with shuffled sources: BLEU, or chrF if BLEU is 0; or None."""
    value = {score.metric: score.value for score in scores}
    for metric in (names.UNIT_BLEU, names.UNIT_CHRF):
        own, other = value.get(metric.key), value.get(names.shuffled(metric).key)
        if own is not None and other is not None and max(own, other) > 0:  # 0 and 0 prove nothing
            return metric if other >= own else None
    return None


def _check_same_model(made: UnitFile, spoken: UnitFile) -> None:
    if made.model_id != spoken.model_id or made.n_units != spoken.n_units:
        raise ModelMismatchError(
            f"the outputs are units of model {short(made.model_id)} (K={made.n_units}), the "
            f"references of {short(spoken.model_id)} (K={spoken.n_units})",
            cause="the references were encoded with another model than the translator's targets",
            remedy=f"encode the references with unit model {short(made.model_id)}; scores of "
            "different codebooks don't compare",
        )
