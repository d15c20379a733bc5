from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import utterance_ids
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs

rows = st.lists(st.tuples(utterance_ids, utterance_ids), min_size=1, max_size=8, unique=True)


@given(rows=rows)
def test_reads_what_was_written(tmp_path_factory: Any, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("p") / "pairs.parquet"
    pairs = Pairs(tuple(rows), "source", "target")
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs


def test_the_ids_must_be_in_the_corpora(tmp_path: Path, make_corpus: Callable[..., Corpus]) -> None:
    source, target = make_corpus(2, name="gd"), make_corpus(3, name="en")
    write_pairs(tmp_path / "p", Pairs((("u1", "u2"), ("u1", "u0")), source.id, target.id))
    assert len(read_pairs(tmp_path / "p", source, target).pairs) == 2
    with pytest.raises(InputError, match="1 of 2 ids of the pairs is missing in the corpus gd: u2"):
        read_pairs(tmp_path / "p", target, source)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ((), "holds no pair"),
        ((("a", "b"), ("a", "b")), "holds 1 pair twice"),
        ((("a", "../b"),), "can't be an utterance's id"),
    ],
)
def test_refuses(tmp_path: Path, rows: tuple[tuple[str, str], ...], found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        write_pairs(tmp_path / "p", Pairs(rows, "s", "t"))
    assert caught.value.path == tmp_path / "p"
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_swapped_is_the_other_direction() -> None:
    pairs = Pairs((("a", "x"), ("b", "x")), "s", "t")
    assert pairs.swapped() == Pairs((("x", "a"), ("x", "b")), "t", "s")
    assert pairs.swapped().swapped() == pairs


def test_a_split_of_either_corpus(make_corpus: Callable[..., Corpus]) -> None:
    source, target = make_corpus(6, name="gd"), make_corpus(3, name="en")
    rows = tuple((f"u{i}", f"u{i % 3}") for i in range(6))  # every third is for the test
    pairs = Pairs(rows, source.id, target.id)
    assert pairs.of_split(source, "test").pairs == (("u2", "u2"), ("u5", "u2"))
    assert pairs.swapped().of_split(source, "test") == pairs.of_split(source, "test").swapped()
    assert pairs.of_split(target, "train").pairs == tuple(p for p in rows if p[1] != "u2")
    within = Pairs((("u0", "u1"), ("u2", "u3"), ("u2", "u5")), source.id, source.id)
    assert within.of_split(source, "test").pairs == (("u2", "u5"),)


def test_a_split_of_another_corpus_is_refused(make_corpus: Callable[..., Corpus]) -> None:
    source, target = make_corpus(6, name="gd"), make_corpus(3, name="en")
    pairs = Pairs((("u0", "u1"),), source.id, "elsewhere")
    with pytest.raises(InputError, match="neither of which is en"):
        pairs.of_split(target, "train")
    with pytest.raises(InputError, match="no pair is in split 'test'"):
        pairs.of_split(source, "test")
    with pytest.raises(InputError, match="no utterance of split 'dev'"):
        pairs.of_split(source, "dev")
    with pytest.raises(InputError, match="missing in the corpus gd: u9"):
        Pairs((("u9", "u1"),), source.id, target.id).of_split(source, "train")
