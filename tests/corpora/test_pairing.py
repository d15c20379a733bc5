"""Tables of pairs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from zerochain.corpora.parallel import import_pairs
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.formats.pairs import read_pairs

Make = Callable[..., Corpus]


def test_pairs_carry_the_ids_of_both_corpora(make_corpus: Make, tmp_path: Path) -> None:
    source, target = make_corpus(name="left"), make_corpus(name="right", n_utterances=3)
    table = tmp_path / "p.csv"
    table.write_text("n,en,es\n1,u0,u2\n2,u5,u1\n")
    import_pairs(
        table, source, target, tmp_path / "p.parquet", source_column="en", target_column="es"
    )
    pairs = read_pairs(tmp_path / "p.parquet", source, target)
    assert pairs.pairs == (("u0", "u2"), ("u5", "u1"))
    assert (pairs.source_corpus, pairs.target_corpus) == (source.id, target.id)


def test_columns_are_found_however_they_are_composed(make_corpus: Make, tmp_path: Path) -> None:
    corpus = make_corpus(name="left")
    nfc, nfd = "espa\u00f1ol", "espan\u0303ol"
    for column, asked in ((nfc, nfd), (nfd, nfc)):
        (tmp_path / "p.tsv").write_text(f"source\t{column}\nu0\tu1\n", encoding="utf-8")
        out = tmp_path / "p.parquet"
        import_pairs(tmp_path / "p.tsv", corpus, corpus, out, target_column=asked)
        assert read_pairs(out, corpus, corpus).pairs == (("u0", "u1"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source\nu0\n", "no column 'target'"),
        ("source\ttarget\nu0\tu0\nu1\t\n", "lines 3 lack"),
        ("source\ttarget\nu0\tu4\nu9\tu0\n", "2 ids missing: u9 in .* left, u4 in .* right"),
        ("source\ttarget\nu0\tu0\nu0\tu0\n", "1 pair twice"),
    ],
)
def test_bad_tables_are_refused(make_corpus: Make, tmp_path: Path, text: str, said: str) -> None:
    source, target = make_corpus(name="left"), make_corpus(name="right", n_utterances=3)
    (tmp_path / "p.tsv").write_text(text)
    with pytest.raises(InputError, match=said):
        import_pairs(tmp_path / "p.tsv", source, target, tmp_path / "p.parquet")
    assert not (tmp_path / "p.parquet").exists()
