"""Retrieval over all folds of a cross-validation, each with units of its own."""

from pathlib import Path

import numpy as np
import pytest

from commands import run
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.scores import read_scores
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.retrieval import Ranking, edit_similarity, pooled_retrieval
from zerochain.metrics.translation import as_characters
from zerochain.scoring.folds import Fold, score_folds

N, FOLDS = 12, 3
RNG = np.random.default_rng(0)


def made(units: dict[str, np.ndarray], model: str, corpus: str) -> UnitFile:
    return UnitFile(units, 30, 20.0, model, "oracle", corpus_id=corpus)


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> list[Fold]:
    """Outputs are right for every second source, and otherwise random."""
    root, files = tmp_path_factory.mktemp("folds"), []
    for k in range(FOLDS):
        here = root / str(k)
        here.mkdir()
        splits = ["test" if i % FOLDS == k else "train" for i in range(N)]
        utterances = [Utterance(f"s{i}", "a.wav", 1.0, split=splits[i]) for i in range(N)]
        corpus = write_corpus(here / "source", Corpus("src", tuple(utterances), "/nowhere"))
        targets = {f"t{i}": RNG.integers(0, 30, 12).astype(np.int32) for i in range(N)}
        tested = [i for i in range(N) if i % FOLDS == k]
        outputs = {
            f"s{i}": targets[f"t{i}"] if i % 2 else RNG.integers(0, 30, 12).astype(np.int32)
            for i in tested
        }
        write_units(here / "out.parquet", made(outputs, f"model {k}", corpus.id))
        write_units(here / "ref.parquet", made(targets, f"model {k}", "tgt"))
        pairs = Pairs(tuple((f"s{i}", f"t{i}") for i in range(N)), corpus.id, "tgt")
        write_pairs(here / "pairs.parquet", pairs)
        files.append(
            Fold(
                here / "out.parquet", here / "ref.parquet", here / "pairs.parquet", here / "source"
            )
        )
    return files


def test_it_pools_the_rankings_of_the_folds(folds: list[Fold]) -> None:
    rankings = []
    for k, fold in enumerate(folds):
        outputs, targets = read_units(fold.output), read_units(fold.references)
        tested = [i for i in range(N) if i % FOLDS == k]
        similarity = edit_similarity(
            [as_characters(outputs.segments(f"s{i}")[0].tolist()) for i in tested],
            [as_characters(targets.segments(f"t{i}")[0].tolist()) for i in tested],
        )
        rankings.append(Ranking(similarity, [[i] for i in range(len(tested))]))
    expected = pooled_retrieval(rankings)
    scored = score_folds(folds, system="half")
    by_metric = {score.metric: score for score in scored.scores}
    mrr = by_metric["retrieval_mrr"]
    assert mrr.value == pytest.approx(expected.mrr.value)
    assert mrr.interval == pytest.approx(expected.mrr.interval)
    assert mrr.options["chance"] == pytest.approx(expected.mrr.chance)
    assert mrr.options["p_value"] == expected.p_value
    assert (mrr.n, mrr.system, mrr.protocol) == (N, "half", "3 folds, merged units of each")
    assert set(by_metric) == {"retrieval_mrr", "retrieval_recall@1_%", "retrieval_recall@10_%"}


@pytest.fixture
def always_right(folds: list[Fold], tmp_path: Path) -> list[Path]:
    """Translations of each fold in which every source has its own target."""
    files = []
    for k, fold in enumerate(folds):
        outputs, targets = read_units(fold.output), read_units(fold.references)
        units = {name: targets.steps(f"t{name[1:]}") for name in outputs.ids}
        files.append(tmp_path / f"{k}.parquet")
        write_units(files[-1], made(units, f"model {k}", outputs.corpus_id))
    return files


def test_beside_a_baseline(folds: list[Fold], always_right: list[Path]) -> None:
    """Both have half of the sources right; of the others the baseline alone."""
    same = [fold.output for fold in folds]
    scored = score_folds(folds, baselines={"oracle": always_right, "itself": same}, system="half")
    mrr = {score.metric: score for score in scored.scores}["retrieval_mrr"]
    low, high = mrr.interval_beside("oracle") or (0.0, 0.0)
    assert low < mrr.value - 1 < high < 0
    assert mrr.interval_beside("itself") == (0, 0)
    assert mrr.interval_beside("another") is None
    said = "\n".join(scored.notes)
    assert f"beside oracle: {mrr.value:.3f} and 1.000" in said
    assert "oracle is better, beyond the interval" in said
    assert "MRR beside itself" in said
    assert "no difference is shown" in said
    others = [score for score in scored.scores if score.metric != "retrieval_mrr"]
    assert not any("beside" in score.options for score in others)


def test_a_baseline_has_every_fold(folds: list[Fold], always_right: list[Path]) -> None:
    with pytest.raises(InputError, match="baseline 'oracle' has 2 unit files, and there are 3"):
        score_folds(folds, baselines={"oracle": always_right[:2]})


def test_what_is_no_cross_validation(folds: list[Fold]) -> None:
    with pytest.raises(InputError, match="1 fold: a cross-validation has two or more"):
        score_folds(folds[:1])
    with pytest.raises(InputError, match="are in an earlier one too: s0"):
        score_folds([folds[0], folds[0]])


def test_the_command(folds: list[Fold], tmp_path: Path) -> None:
    given = [
        word
        for fold in folds
        for word in ("--fold", fold.output, fold.references, fold.pairs, fold.corpus)
    ]
    given += [word for fold in folds for word in ("--baseline", "itself", fold.output)]
    said = run("score", "folds", *given, "--for-reference", "--out", tmp_path / "s.jsonl").stdout
    assert "3 folds" in said
    assert "MRR beside itself" in said
    assert "chance level among 4 targets" in said
    assert len(read_scores(tmp_path / "s.jsonl")) == 3
