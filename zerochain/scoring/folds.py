"""Cross-validated retrieval: each pair is tested once, by a translator that was not trained on it.

With few pairs a single test split says little. In a cross-validation each fold's translators are
fitted on the other folds' pairs, the targets of a fold are ranked by their similarity to each of
its translations, and means, intervals and chance are over the outputs of all folds. Only ranks are
pooled: each fold has units of its own, and BLEU of several codebooks doesn't compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zerochain.errors import InputError, counted, listed
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import file_id
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.scores import BESIDE, FOR_REFERENCE, Score
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics import names
from zerochain.metrics.comparison import Comparison
from zerochain.metrics.retrieval import Ranking, compared_mrr, pooled_retrieval
from zerochain.scoring.common import Common, Scored, scored_pairs
from zerochain.scoring.translation import Parallel, join, retrieval_scores, similarity_of


@dataclass(frozen=True)
class Fold:
    """The files of one fold, as `score_translation` takes them."""

    output: Path
    """Unit file of the translations."""
    references: Path
    """Unit file of the targets' recordings."""
    pairs: Path
    corpus: Path
    """Of the sources, whose split is the fold."""


def score_folds(
    folds: Sequence[Fold],
    *,
    baselines: Mapping[str, Sequence[Path]] | None = None,
    split: str = "test",
    system: str | None = None,
    for_reference: bool = False,
    seed: int = 0,
) -> Scored:
    """Retrieval of a system, pooled over the folds of a cross-validation.

    Args:
        baselines: systems to compare with on the same sources: name → unit file of its
            translations for each fold, in the order of the folds.
        split: the pairs of each fold that its translator was not trained on.
        for_reference: a topline: never the best.

    Raises:
        ModelMismatchError: outputs and references of a fold are not of one codebook.
        InputError: fewer than two folds, a pair in two folds, an output without a pair, a pair
            without output or units, or a baseline without a file for each fold.
    """
    if len(folds) < 2:
        raise InputError(
            f"{counted(len(folds), 'fold')}: a cross-validation has two or more",
            remedy="give all folds, or score a single test set by 'zerochain score translation'",
        )
    others = baselines or {}
    for name, files in others.items():
        if len(files) != len(folds):
            raise InputError(
                f"baseline {name!r} has {counted(len(files), 'unit file')}, and there are "
                f"{len(folds)} folds",
                remedy="give its translations of each fold, in the order of the folds",
            )
    rankings, seen, methods, n_pairs = [], set[str](), [], 0
    of_baselines: dict[str, list[Ranking]] = {name: [] for name in others}
    for i, fold in enumerate(folds):
        made, spoken = read_units(fold.output), read_units(fold.references)
        corpus = read_corpus(fold.corpus)
        wanted = scored_pairs(read_pairs(fold.pairs), made.ids, corpus, split)
        parallel = join(made, spoken, wanted, None)
        if again := sorted(seen.intersection(parallel.outputs)):
            raise InputError(
                f"{counted(len(again), 'source')} of this fold are in an earlier one too: "
                f"{listed(again)}",
                path=fold.output,
                cause="a fold was given twice, or they were divided with different seeds",
                remedy="give each fold of one cross-validation once",
            )
        seen.update(parallel.outputs)
        rankings.append(_ranking(parallel))
        for name, files in others.items():
            of_baselines[name].append(_ranking_of(files[i], spoken, wanted))
        methods.append(made.method)
        n_pairs += len(wanted.pairs)
    found = pooled_retrieval(rankings, seed=seed)
    common = Common(
        system or methods[0],
        {
            f"{name} {i}": file_id(path)
            for i, fold in enumerate(folds)
            for name, path in (("units", fold.output), ("references", fold.references))
        },
        {
            "n_of": "sources",
            "split": split,
            "n_pairs": n_pairs,
            "n_folds": len(folds),
            "seed": seed,
            **({FOR_REFERENCE: True} if for_reference else {}),
        },
    )
    protocol = f"{counted(len(folds), 'fold')}, merged units of each"
    chance = found.mrr.chance
    notes = [
        f"chance level among {counted(found.n_candidates, 'target')}: MRR {chance:.3f}; chance "
        f"reaches this MRR with p = {found.p_value:.3f}"
    ]
    against = {name: compared_mrr(rankings, o, seed=seed) for name, o in of_baselines.items()}
    notes += [_line(common.system, name, one) for name, one in against.items()]
    scores = retrieval_scores(found, common, protocol)
    return Scored([_beside(score, against) for score in scores], notes)


def _ranking(parallel: Parallel) -> Ranking:
    return Ranking(similarity_of(parallel), parallel.right())


def _ranking_of(output: Path, spoken: UnitFile, wanted: Pairs) -> Ranking:
    """The ranking of a baseline's translations of one fold."""
    return _ranking(join(read_units(output), spoken, wanted, None))


def _line(system: str, baseline: str, one: Comparison) -> str:
    between = ""
    if one.interval is not None:
        between = f" [{one.interval[0]:+.3f}, {one.interval[1]:+.3f}]"
    return (
        f"MRR beside {baseline}: {one.first:.3f} and {one.second:.3f}, difference "
        f"{one.difference:+.3f}{between}; {one.verdict((system, baseline))}"
    )


def _beside(score: Score, against: Mapping[str, Comparison]) -> Score:
    """The score with the intervals of its differences, which are of the mean reciprocal rank."""
    intervals = {name: list(one.interval) for name, one in against.items() if one.interval}
    if score.metric != names.RETRIEVAL_MRR.key or not intervals:
        return score
    return replace(score, options={**score.options, BESIDE: intervals})
