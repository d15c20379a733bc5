from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from commands import run
from directions import assert_better
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.scores import Score, read_scores
from zerochain.formats.units import UnitFile, write_units
from zerochain.scoring.translation import compare_translations, score_translation

N = 24
RNG = np.random.default_rng(0)
TARGETS = {f"t{i}": RNG.integers(0, 30, RNG.integers(8, 20)).tolist() for i in range(2 * N)}


def unit_file(units: dict[str, list[int]], **changes: object) -> UnitFile:
    arrays = {name: np.array(one, np.int32) for name, one in units.items()}
    return replace(UnitFile(arrays, 30, 20.0, "model", "oracle"), **changes)


@pytest.fixture
def write(tmp_path: Path):
    """Write outputs for s0 … and the references of t0 …, and pairs of both."""

    def call(outputs: dict[str, list[int]], pairs: list[tuple[str, str]] | None = None, **changes):
        pairs = pairs or [(f"s{i}", f"t{i}") for i in range(2 * N)]
        write_units(tmp_path / "out.parquet", unit_file(outputs, **changes))
        write_units(tmp_path / "ref.parquet", unit_file(TARGETS))
        write_pairs(tmp_path / "pairs.parquet", Pairs(tuple(pairs), "src", "tgt"))
        return [tmp_path / name for name in ("out.parquet", "ref.parquet", "pairs.parquet")]

    return call


def noisy(noise: float) -> dict[str, list[int]]:
    rng = np.random.default_rng(1)
    return {
        f"s{i}": [29 if rng.random() < noise else u for u in TARGETS[f"t{i}"]] for i in range(N)
    }


def values(scores: list[Score]) -> dict[str, float]:
    return {score.metric: score.value for score in scores}


def merged(units: list[int]) -> list[int]:
    return [u for i, u in enumerate(units) if i == 0 or units[i - 1] != u]


def test_perfect_outputs(write) -> None:
    scored = score_translation(*write(noisy(0)))
    value = values(scored.scores)
    assert value["unit_bleu"] == pytest.approx(100)
    assert value["unit_chrf"] == pytest.approx(100)
    assert (value["unit_error_rate_%"], value["length_ratio"]) == (0, 1)
    assert (value["distinct_output_ratio"], value["retrieval_mrr"]) == (1, 1)
    assert value["retrieval_recall@1_%"] == 100
    assert value["unit_bleu_shuffled"] < 5
    assert value["unit_bleu_floor"] < 5
    assert f"{N} of {2 * N} pairs not scored" in scored.notes[0]
    assert not any("input" in note for note in scored.notes)


def test_every_metric_prefers_better_outputs(write) -> None:
    scored = [score_translation(*write(noisy(noise))) for noise in (0, 0.9)]
    assert_better(*scored)


def test_bleu_of_short_references_is_left_out(write, tmp_path: Path) -> None:
    """No 4-gram can match: perfect outputs would have BLEU 0, as if they ignored their input."""
    paths = write({f"s{i}": [i, i + 1, i + 2] for i in range(6)})
    short = {f"t{i}": [i, i + 1, i + 2] for i in range(6)}
    write_units(paths[1], unit_file(TARGETS | short))
    scored = score_translation(*paths)
    value = values(scored.scores)
    assert not any("bleu" in metric for metric in value)
    assert value["unit_chrf"] == pytest.approx(100)
    assert value["unit_chrf_shuffled"] < 100
    assert any(note.startswith("unit_bleu, unit_bleu_shuffled") for note in scored.notes)
    assert not any("ignores its input" in note for note in scored.notes)
    # The same output for all: chrF detects what BLEU can't.
    write_units(paths[0], unit_file({f"s{i}": [2, 3, 4] for i in range(6)}))
    notes = score_translation(*paths).notes
    assert any("chrF with shuffled sources is as high: the translator ignores" in n for n in notes)
    # Nothing in common with any reference, which shows nothing about the input.
    write_units(paths[0], unit_file({f"s{i}": [20 + i] for i in range(6)}))
    assert not any("ignores its input" in note for note in score_translation(*paths).notes)


def test_a_topline_is_scored_for_reference(write) -> None:
    scores = score_translation(*write(noisy(0)), for_reference=True).scores
    assert all(score.options["for_reference"] is True for score in scores)
    assert "for_reference" not in score_translation(*write(noisy(0))).scores[0].options


def test_is_sacrebleus_of_merged_units(write) -> None:
    outputs = {name: np.repeat(units, 2).tolist() for name, units in noisy(0.3).items()}
    texts = [" ".join(map(str, merged(units))) for units in outputs.values()]
    wanted = [" ".join(map(str, merged(TARGETS[f"t{i}"]))) for i in range(N)]
    expected = sacrebleu.corpus_bleu(texts, [wanted], tokenize="none", force=True)
    first = score_translation(*write(outputs)).scores[0]
    assert first.value == pytest.approx(expected.score)
    assert first.options["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:none|smooth:exp")
    assert first.protocol == "merged units"
    assert first.n == N


def test_a_translator_that_ignores_its_input_is_visible_at_once(write) -> None:
    scored = score_translation(*write({f"s{i}": TARGETS["t30"] for i in range(N)}))
    value = {score.metric: score for score in scored.scores}
    assert value["distinct_output_ratio"].value == 1 / N
    assert value["distinct_output_ratio"].options["of_references"] == 1
    mrr = value["retrieval_mrr"]
    assert mrr.value == pytest.approx(mrr.options["chance"])
    assert mrr.options["p_value"] == 1
    notes = "\n".join(scored.notes)
    assert f"only 1 different output for {N} different references" in notes
    assert "BLEU with shuffled sources is as high" in notes


def test_several_targets_of_a_source_are_its_references(write) -> None:
    pairs = [(f"s{i}", f"t{j}") for i in range(N) for j in (i, i + N)]
    outputs = {f"s{i}": TARGETS[f"t{i + N}"] for i in range(N)}
    value = values(score_translation(*write(outputs, pairs)).scores)
    assert value["unit_bleu"] == pytest.approx(100)
    assert (value["unit_error_rate_%"], value["retrieval_mrr"]) == (0, 1)
    [first, *_] = score_translation(*write(outputs, pairs)).scores
    assert (first.n, first.options["n_pairs"]) == (N, 2 * N)


def test_references_with_the_same_text_are_equally_right(write, tmp_path: Path) -> None:
    texts = {f"t{i}": f"sentence {i % N}" for i in range(2 * N)}
    utterances = tuple(Utterance(t, f"{t}.wav", 1.0, text=text) for t, text in texts.items())
    write_corpus(tmp_path / "tgt", Corpus("tgt", utterances, "/nowhere"))
    pairs = [(f"s{i}", f"t{i}") for i in range(2 * N)]
    outputs = {f"s{i}": TARGETS[f"t{(i + N) % (2 * N)}"] for i in range(2 * N)}
    paths = write(outputs, pairs)
    plain = values(score_translation(*paths).scores)
    assert plain["retrieval_recall@1_%"] == 0
    alike = score_translation(*paths, texts=tmp_path / "tgt")
    assert values(alike.scores)["retrieval_recall@1_%"] == 100


def test_a_split_has_to_be_there_as_a_whole(write, tmp_path: Path) -> None:
    utterances = tuple(
        Utterance(f"s{i}", f"s{i}.wav", 1.0, split="test" if i < N else "train")
        for i in range(2 * N)
    )
    corpus = write_corpus(tmp_path / "src", Corpus("src", utterances, "/nowhere"))
    outputs = noisy(0.2)
    out, ref, pairs = write(outputs)
    table = Pairs(tuple((f"s{i}", f"t{i}") for i in range(2 * N)), corpus.id, "tgt")
    write_pairs(pairs, table)
    scored = score_translation(out, ref, pairs, corpus=corpus.folder, split="test")
    assert {score.n for score in scored.scores} == {N}
    del outputs["s3"]
    write_units(out, unit_file(outputs))
    with pytest.raises(InputError, match="missing in the outputs: s3"):
        score_translation(out, ref, pairs, corpus=corpus.folder, split="test")
    with pytest.raises(InputError, match="of which corpus"):
        score_translation(out, ref, pairs, split="test")


def test_random_targets_come_from_the_training_pairs(write, tmp_path: Path) -> None:
    paths = write(noisy(0.2))
    write_pairs(tmp_path / "train.parquet", Pairs((("s40", "t40"),), "src", "tgt"))
    scored = score_translation(*paths, train_pairs=tmp_path / "train.parquet")
    floor = next(score for score in scored.scores if score.metric == "unit_bleu_floor")
    texts = [" ".join(map(str, merged(TARGETS["t40"])))] * N
    wanted = [" ".join(map(str, merged(TARGETS[f"t{i}"]))) for i in range(N)]
    expected = sacrebleu.corpus_bleu(texts, [wanted], tokenize="none", force=True)
    assert floor.value == pytest.approx(expected.score)


def test_one_pair_is_scored_without_what_needs_two(write) -> None:
    paths = write({"s0": TARGETS["t0"]}, [("s0", "t0")])
    scored = score_translation(*paths)
    value = values(scored.scores)
    assert value["unit_bleu"] == pytest.approx(100)
    assert not {"unit_bleu_shuffled", "unit_bleu_floor"} & value.keys()
    assert all(score.interval is None for score in scored.scores)
    assert "too few different references" in scored.notes[-1]


@pytest.mark.parametrize("changes", [{"model_id": "another"}, {"n_units": 31}])
def test_other_codebooks_dont_compare(write, changes: dict) -> None:
    with pytest.raises(ModelMismatchError, match="don't compare"):
        score_translation(*write(noisy(0), **changes))


def test_ids_missing_on_either_side_are_listed(write) -> None:
    with pytest.raises(InputError, match="1 of 2 ids of the outputs is missing in the pairs: x"):
        score_translation(*write({"x": [1], "s0": [2]}))
    with pytest.raises(InputError, match="missing in the unit file 'oracle': t99"):
        score_translation(*write({"s0": [2]}, [("s0", "t99")]))


def test_the_command_appends_and_says_what_chance_is(write, tmp_path: Path) -> None:
    out, ref, pairs = write(noisy(0.2))
    options = ["--references", ref, "--pairs", pairs, "--out", tmp_path / "s.jsonl"]
    result = run("score", "translation", out, *options, "--system", "ours")
    assert "chance level of retrieval among 24 targets" in " ".join(result.output.split())
    scores = read_scores(tmp_path / "s.jsonl")
    assert {score.system for score in scores} == {"ours"}
    assert {"unit_bleu", "unit_bleu_shuffled", "retrieval_recall@10_%"} <= values(scores).keys()
    write_units(out, unit_file(noisy(0.2), model_id="another"))
    run("score", "translation", out, *options, code=1)
    assert len(read_scores(tmp_path / "s.jsonl")) == len(scores)


def test_two_translations_are_compared_on_the_same_sources(write, tmp_path: Path) -> None:
    worse, ref, pairs = write(noisy(0.3), method="worse")
    better = tmp_path / "better.parquet"
    write_units(better, unit_file(noisy(0.1), method="better"))
    found, names = compare_translations(better, worse, ref, pairs)
    assert names == ["better", "worse"]
    for value, path in ((found.first, better), (found.second, worse)):
        assert value == values(score_translation(path, ref, pairs).scores)["unit_bleu"]
    options = ["--references", ref, "--pairs", pairs]
    said = run("score", "compare", better, worse, *options).output
    assert found.verdict(names) == "better is better, beyond the interval"
    assert found.verdict(names) in said
    assert f"{found.difference:+.2f}" in said
    again, paths = compare_translations(worse, worse, ref, pairs)
    assert (again.interval, paths) == ((0, 0), [str(worse)] * 2)
    fewer = tmp_path / "fewer.parquet"
    write_units(fewer, unit_file({"s0": TARGETS["t0"]}))
    with pytest.raises(InputError, match="s1"):
        compare_translations(worse, fewer, ref, pairs)
    assert (
        "require each other" in run("score", "compare", better, worse, *options[:2], code=2).stderr
    )
