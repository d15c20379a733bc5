"""Pieces of several examples, joined."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from commands import run
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, read_corpus, write_corpus
from zerochain.formats.features import write_features
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.abx_engine import prepared
from zerochain.metrics.abx_kernel import ANGULAR
from zerochain.translation.splicing import (
    PENALTIES,
    Splicer,
    _best_path,
    spliced_translation,
)

N_WORDS, LENGTH = 8, 6  # frames of a word


def columns(frames: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(prepared(frames.astype(np.float32), ANGULAR).T)


def sentences(n: int, seed: int = 0) -> dict[str, list[int]]:
    rng = np.random.default_rng(seed)
    return {f"s{i}": rng.permutation(N_WORDS)[:3].tolist() for i in range(n)}


WORDS = np.random.default_rng(1).normal(size=(N_WORDS, LENGTH, 12))


def spoken(line: list[int], seed: int = 0) -> np.ndarray:
    frames = np.concatenate([WORDS[word] for word in line])
    return frames + 0.05 * np.random.default_rng(seed).normal(size=frames.shape)


def translated(line: list[int]) -> list[int]:
    """Two units a word, in the order of the words."""
    return [unit for word in line for unit in (2 * word, 2 * word + 1)]


def splicer(lines: dict[str, list[int]]) -> Splicer:
    units = [np.array(translated(line), np.int32) for line in lines.values()]
    return Splicer(
        names=list(lines),
        frames=[columns(spoken(line, i)) for i, line in enumerate(lines.values())],
        targets=[(one, np.full(len(one), 3, np.int32)) for one in units],
        groups=[f"t{name}" for name in lines],
        slack=0,
    )


def test_a_sentence_that_was_never_said_is_made_of_those_that_were() -> None:
    made = splicer({"a": [0, 1, 2], "b": [3, 4, 5], "c": [6, 7, 0]})
    path = made.path(columns(spoken([0, 1, 4, 5], 9)), 0.5)
    assert [made.names[piece.example] for piece in made.pieces(path)] == ["a", "b"]
    assert made.units(path).tolist() == translated([0, 1, 4, 5])
    whole = made.path(columns(spoken([3, 4, 5], 9)), 0.5)
    assert [(p.begin, p.end) for p in made.pieces(whole)] == [(0, 1)]
    assert made.units(whole).tolist() == translated([3, 4, 5])


def slow(local, place, remaining, slack, penalty):
    """The least cost of any path: all steps, in a plain loop."""
    n, width = local.shape
    cost = np.where(place <= slack, local[0], np.inf)
    for i in range(1, n):
        new = np.full(width, cost.min() + penalty)
        for s in range(width):
            ways = [cost[s - k] for k in range(3) if place[s] >= k]
            new[s] = min(new[s], *ways)
        cost = new + local[i]
    return cost[remaining <= slack].min()


@pytest.mark.parametrize("penalty", [0.05, 0.3, 1.0, 100.0])
def test_the_path_costs_what_a_plain_loop_finds(penalty: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths = rng.integers(1, 7, 4)
        place = np.concatenate([np.arange(n) for n in lengths])
        remaining = np.concatenate([np.arange(n)[::-1] for n in lengths])
        local = rng.random((int(rng.integers(1, 9)), len(place))).astype(np.float32)
        frames, first = _best_path(local, place, remaining, 1, penalty)
        cost = local[np.arange(len(local)), frames].sum() + penalty * first[1:].sum()
        if (best := slow(local, place, remaining, 1, penalty)) < np.inf:
            assert cost == pytest.approx(best, abs=1e-5)
            assert remaining[frames[-1]] <= 1
        assert first[0]
        for i in np.flatnonzero(~first):
            assert frames[i] - frames[i - 1] in (0, 1, 2)
            assert place[frames[i]] >= frames[i] - frames[i - 1]  # of the same example


def test_a_high_penalty_takes_one_example_and_one_left_out_is_not_used() -> None:
    lines = sentences(20)
    made = splicer(lines)
    for i, name in enumerate(lines):
        own = made.path(made.frames[i], 1000.0)
        assert [made.names[p.example] for p in made.pieces(own)] == [name]
        other = made.path(made.frames[i], 1.0, left_out=f"t{name}")
        assert name not in {made.names[p.example] for p in made.pieces(other)}


def test_the_penalty_is_chosen_on_the_training_pairs_without_themselves() -> None:
    with ThreadPoolExecutor(1) as pool:
        tuned = splicer(sentences(30)).tuned(pool)
        assert list(tuned) == list(PENALTIES)
        assert max(tuned.values()) > tuned[PENALTIES[0]] > 0  # pieces are better than wholes here
        assert splicer({"a": [0, 1]}).tuned(pool) == {PENALTIES[0]: 0.0}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    lines = sentences(40)
    names = list(lines)
    splits = {name: "test" if i >= 30 else "train" for i, name in enumerate(names)}
    utterances = [
        Utterance(name, f"{name}.wav", 0.18, speaker="ana", split=splits[name]) for name in names
    ]
    write_corpus(tmp_path / "en", Corpus("en", tuple(utterances)))
    corpus = read_corpus(tmp_path / "en")
    with write_features(
        tmp_path / "f", extractor="made", options={}, step_ms=40.0, corpus_id=corpus.id
    ) as writer:
        for i, name in enumerate(names):
            writer.add(name, spoken(lines[name], i).astype(np.float32), "ana")
    units = {f"t{name}": np.array(translated(lines[name]), np.int32) for name in names}
    lasting = {name: np.full(len(one), 3) for name, one in units.items()}
    target = UnitFile(units, 16, 20.0, "m" * 64, "made", durations=lasting, corpus_id="es")
    write_units(tmp_path / "t.parquet", target)
    write_pairs(
        tmp_path / "p.parquet", Pairs(tuple((name, f"t{name}") for name in names), corpus.id, "es")
    )
    return tmp_path


def test_from_files(files: Path) -> None:
    asked = (files / "f", files / "t.parquet", files / "p.parquet", files / "en")
    one = spliced_translation(*asked, files / "one", jobs=1)
    said = run(
        *("translate", "baseline", "spliced", *asked[:3], "--corpus", asked[3]),
        *("--jobs", 2, "--out", files / "two"),
    ).stdout
    assert f"10 utterances, penalty {one.penalty:g}, {one.n_pieces:.1f} pieces" in said
    made, again = read_units(files / "one"), read_units(files / "two")
    assert made.id == again.id
    assert made.is_translation
    assert (
        made.method == f"translated: spliced training sources by DTW, made, penalty {one.penalty:g}"
    )
    right = [
        made.units[name].tolist() == read_units(asked[1]).units[f"t{name}"].tolist()
        for name in made.ids
    ]
    assert sum(right) >= 5  # none of them was said before
    trained_on = {name for names in one.pieces.values() for name in names}
    assert not trained_on & set(made.ids)
    given = spliced_translation(*asked, files / "three", penalty=1000)
    assert (given.tuned, given.n_pieces) == ({}, 1.0)
    with pytest.raises(InputError, match="penalty=0, and has to be above 0"):
        spliced_translation(*asked, files / "four", penalty=0)
