"""Translated units against the units of the target language's own recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import file_id, short
from zerochain.formats.pairs import read_pairs
from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.formats.units import read_units
from zerochain.metrics.retrieval import Retrieval, edit_similarity, retrieval
from zerochain.metrics.translation import (
    UNDEFINED_BLEU,
    Estimate,
    as_characters,
    as_words,
    bleu,
    chrf,
    distinct_ratio,
    error_rate,
    length_ratio,
)
from zerochain.scoring.parallel import Merged, Parallel, join, random_targets, scored_pairs
from zerochain.scoring.selection import Scored

_OVERLAPS = {"unit_bleu": (bleu, as_words), "unit_chrf": (chrf, as_characters)}
"""Metric → the measure of texts, and how units are spelled for it."""


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

    Beside BLEU and chrF stand what the same outputs score against the references of other
    sources (`_shuffled`), and what random targets score (`_floor`). A source that is paired with
    several targets has several references: BLEU counts the n-grams of all, chrF and the error
    rate take the nearest, and in retrieval each is right.

    Args:
        output: unit file of the translations, its ids those of the sources.
        references: unit file of the targets' recordings, by the same unit model.
        pairs: which source has which targets.
        corpus, split: score the pairs of this split of one of the two corpora, each of which has
            to have an output; without a split those are scored that have one.
        train_pairs: random targets are drawn from these; None: from pairs that aren't scored.
        texts: the target corpus: references with the same transcript are equally right.
            Otherwise only those with the same units.
        for_reference: a topline, which knows more than a translator can: never the best.

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
        f"merged units of {short(spoken.model_id)}",
        system or made.method,
        {"units": made.id, "references": spoken.id, "pairs": file_id(pairs)},
        {
            "n_of": "sources",
            "split": split,
            "n_pairs": len(wanted.pairs),
            "seed": seed,
            **({FOR_REFERENCE: True} if for_reference else {}),
        },
    )
    found = retrieval(_similarity(parallel), parallel.right(), seed=seed)
    overlaps, undefined = _overlaps(parallel, floor, floor_from, report, seed)
    scores = [
        *overlaps,
        *_lengths(parallel, report, seed),
        *_retrieved(found, report),
    ]
    left = len(table.pairs) - len(wanted.pairs)
    notes = [f"{left} of {len(table.pairs)} pairs are not scored: no output, or another split"]
    notes = [*(notes if left else []), *undefined, *_warnings(parallel, scores, found)]
    return Scored(scores, notes)


@dataclass(frozen=True)
class _Report:
    """What the scores of one run have in common."""

    protocol: str
    system: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]

    def score(self, metric: str, result: Estimate, **options: Any) -> Score:
        """A line of scores.jsonl."""
        if result.signature:
            options["signature"] = result.signature
        return Score(
            metric,
            result.value,
            result.interval,
            result.n,
            self.protocol,
            self.system,
            self.inputs,
            {**self.options, **options},
        )


def _overlaps(
    parallel: Parallel, floor: list[Merged] | None, floor_from: str, report: _Report, seed: int
) -> tuple[list[Score], list[str]]:
    """BLEU and chrF: of the outputs, of the same with shuffled sources, of random targets.

    Returns:
        Those that are defined, and a note on the others.
    """
    outputs, wanted = list(parallel.outputs.values()), parallel.wanted()
    order = parallel.shuffled(seed)
    undefined: list[str] = []

    def scores(suffix: str, made: list[Merged], said: list[list[Merged]], **options: Any) -> None:
        for metric, (measure, spelled) in _OVERLAPS.items():
            texts = [[spelled(units) for units in several] for several in said]
            result = measure([spelled(units) for units in made], texts, seed=seed)
            if result.is_defined:
                rows.append(report.score(metric + suffix, result, **options))
            else:
                undefined.append(metric + suffix)

    rows: list[Score] = []
    scores("", outputs, wanted)
    if order is not None:
        scores("_shuffled", outputs, [wanted[i] for i in order])
    if floor is not None:
        scores("_floor", floor, wanted, floor_from=floor_from)
    return rows, [f"{', '.join(undefined)}: left out, {UNDEFINED_BLEU}"] if undefined else []


def _lengths(parallel: Parallel, report: _Report, seed: int) -> list[Score]:
    outputs, wanted = list(parallel.outputs.values()), parallel.wanted()
    distinct = Estimate(distinct_ratio(outputs), None, len(outputs))
    return [
        report.score("unit_error_rate_%", error_rate(outputs, wanted, seed=seed)),
        report.score("length_ratio", length_ratio(outputs, wanted, seed=seed)),
        report.score(
            "distinct_output_ratio",
            distinct,
            of_references=distinct_ratio([several[0] for several in wanted]),
        ),
    ]


def _similarity(parallel: Parallel) -> Any:
    """How alike each output and each target are, (n, m)."""

    def spelled(several: Sequence[Merged]) -> list[str]:
        return [as_characters(units) for units in several]

    return edit_similarity(
        spelled(list(parallel.outputs.values())), spelled(list(parallel.targets.values()))
    )


def _retrieved(found: Retrieval, report: _Report) -> list[Score]:
    measures = {"retrieval_mrr": found.mrr}
    measures |= {f"retrieval_recall@{k}_%": one for k, one in found.recall.items()}
    common = {
        "similarity": "1 - edit distance / longer length",
        "n_candidates": found.n_candidates,
        "p_value": found.p_value,
    }
    return [
        report.score(metric, Estimate(one.value, one.interval, one.n), chance=one.chance, **common)
        for metric, one in measures.items()
    ]


def _warnings(parallel: Parallel, scores: list[Score], found: Retrieval) -> list[str]:
    """What a person should know at once."""
    recalls = ", ".join(f"recall@{k} {one.chance:.1f} %" for k, one in found.recall.items())
    notes = [
        f"retrieval by chance among {found.n_candidates} targets: MRR {found.mrr.chance:.3f}, "
        f"{recalls}; this MRR is chance with p = {found.p_value:.3f}"
    ]
    n_made = len(set(map(tuple, parallel.outputs.values())))
    n_meant = len(set(parallel.said()))
    if 2 * n_made < n_meant:
        notes.append(
            f"only {n_made} different outputs for {n_meant} different references: the translator "
            "hardly hears its input"
        )
    value = {score.metric: score.value for score in scores}
    if "unit_chrf_shuffled" not in value:
        notes.append("too few different references: nothing is scored with shuffled sources")
    for metric, name in {"unit_bleu": "BLEU", "unit_chrf": "chrF"}.items():
        own, other = value.get(metric), value.get(f"{metric}_shuffled")
        if own is not None and other is not None and max(own, other) > 0:  # else it tells nothing
            if other >= own:
                notes.append(
                    f"{name} with shuffled sources is as high: the translator ignores its input"
                )
            break
    return notes
