"""Splits of two corpora that agree: nothing that a test pair says is in training."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import run
from zerochain.corpora.parallel import Held, write_parallel
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, read_corpus, write_corpus
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs
from zerochain.formats.phones import Phone, Phones


def corpus(
    folder: Path, n: int, splits: str = "", texts: dict[int, str] | None = None, prefix: str = "s"
) -> Corpus:
    """`splits`: a letter an utterance: t for train, x for test, d for dev, - for none."""
    known = {"t": "train", "x": "test", "d": "dev"}
    lines = tuple(
        Utterance(
            f"{prefix}{i}",
            f"{i}.wav",
            1.0,
            split=known.get((splits + "-" * n)[i]),
            text=(texts or {}).get(i),
        )
        for i in range(n)
    )
    phones = Phones({u.id: [Phone(0, 1, "a")] for u in lines})
    return write_corpus(folder, Corpus(folder.name, lines, audio_root="../audio"), phones)


def splits(folder: Path) -> dict[str, str | None]:
    return {u.id: u.split for u in read_corpus(folder).utterances}


def written(
    root: Path, a: Corpus, b: Corpus, pairs: list[tuple[int, int]], held: Held | None = None
) -> dict[str, str | None]:
    table = Pairs(tuple((f"s{i}", f"t{j}") for i, j in pairs), a.id, b.id)
    made = write_parallel(root / "out", a, b, table, held)
    found = splits(root / "out" / "source") | splits(root / "out" / "target")
    for source, target in made.pairs:
        assert found[source] == found[target]
    return found


def test_the_sources_split_counts_for_both(tmp_path: Path) -> None:
    a, b = corpus(tmp_path / "a", 4, "txtd"), corpus(tmp_path / "b", 5, prefix="t")
    found = written(tmp_path, a, b, [(0, 3), (1, 2), (2, 1), (3, 0)])
    assert found == {
        **{"s0": "train", "s1": "test", "s2": "train", "s3": "dev"},
        **{"t3": "train", "t2": "test", "t1": "train", "t0": "dev", "t4": "train"},
    }
    source = read_corpus(tmp_path / "out" / "source")
    assert source.audio_path(source.utterances[0]) == tmp_path / "audio" / "0.wav"
    assert (tmp_path / "out" / "source" / "phones.parquet").is_file()
    read_pairs(tmp_path / "out" / "pairs.parquet", source, read_corpus(tmp_path / "out" / "target"))


def test_what_is_said_in_test_is_not_in_training(tmp_path: Path) -> None:
    said = {0: "Where is it?", 2: "where is  it", 3: "Here."}
    a = corpus(tmp_path / "a", 5, "xtttt", said)
    b = corpus(tmp_path / "b", 5, texts={2: "¿Dónde?", 4: "dónde", 3: "Aquí"}, prefix="t")
    found = written(tmp_path, a, b, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)])
    assert {name for name, split in found.items() if split == "test"} == {
        *("s0", "t0", "s2", "t2", "t4", "s4")
    }


@settings(deadline=None, max_examples=30)
@given(
    pairs=st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), min_size=8, max_size=14),
    n_folds=st.integers(2, 4),
    seed=st.integers(0, 5),
)
def test_folds_test_every_pair_once(
    tmp_path_factory: pytest.TempPathFactory,
    pairs: set[tuple[int, int]],
    n_folds: int,
    seed: int,
) -> None:
    root = tmp_path_factory.mktemp("folds")
    a, b = corpus(root / "a", 12, "x"), corpus(root / "b", 12, prefix="t")
    tested: list[tuple[int, int]] = []
    for fold in range(n_folds):
        try:
            found = written(root, a, b, sorted(pairs), Held(n_folds=n_folds, fold=fold, seed=seed))
        except InputError:  # nearly all pairs hang together
            return
        assert set(found.values()) <= {"train", "test"}
        tested += [pair for pair in sorted(pairs) if found[f"s{pair[0]}"] == "test"]
    assert sorted(tested) == sorted(pairs)


def test_a_part_is_drawn_the_same_every_time(tmp_path: Path) -> None:
    a, b = corpus(tmp_path / "a", 20), corpus(tmp_path / "b", 20, prefix="t")
    pairs = [(i, i) for i in range(20)]
    fifth = written(tmp_path, a, b, pairs)
    assert list(fifth.values()).count("test") == 2 * 4
    assert fifth == written(tmp_path, a, b, pairs)
    assert fifth != written(tmp_path, a, b, pairs, Held(seed=1))
    half = written(tmp_path, a, b, pairs, Held(fraction=0.5))
    assert list(half.values()).count("test") == 2 * 10


def test_what_makes_no_sense(tmp_path: Path) -> None:
    a, b = corpus(tmp_path / "a", 3), corpus(tmp_path / "b", 3, prefix="t")

    def refused(match: str, pairs: list[tuple[int, int]], one: Corpus = a) -> None:
        table = Pairs(tuple((f"s{i}", f"t{j}") for i, j in pairs), one.id, b.id)
        with pytest.raises(InputError, match=match):
            write_parallel(tmp_path / "out", a, b, table)
        assert not (tmp_path / "out").exists()

    refused("0 pairs to train on and 1 to test", [(0, 0)])
    refused("0 pairs to train on and 3 to test", [(0, 0), (1, 0), (1, 1)])
    refused("s7", [(0, 0), (7, 1)])
    other = write_corpus(tmp_path / "c", replace(a, name="another"))
    refused("the pairs are of corpora", [(0, 0), (1, 1)], other)
    for bad in ({"n_folds": 2, "fold": 2}, {"fraction": 1.5}, {"n_folds": 3, "fraction": 0.2}):
        with pytest.raises(InputError):
            Held(**bad)  # type: ignore[arg-type]


def test_the_command_takes_pairs_either_way_round(tmp_path: Path) -> None:
    a, b = corpus(tmp_path / "a", 5, "x"), corpus(tmp_path / "b", 5, prefix="t")
    pairs = Pairs(tuple((f"t{i}", f"s{i}") for i in range(5)), b.id, a.id)
    write_pairs(tmp_path / "pairs.parquet", pairs)
    command = ("corpus", "parallel", a.folder, b.folder, tmp_path / "pairs.parquet", "--out")
    assert "5 pairs, 4 to train on" in run(*command, tmp_path / "out").stdout
    assert read_pairs(tmp_path / "out" / "pairs.parquet").pairs[0] == ("s0", "t0")
    run(*command, tmp_path / "out", "--folds", 2, "--fold", 1)
    assert "fold 2 of 2" in run(*command, tmp_path / "x", "--folds", 2, "--fold", 2, code=1).stderr
