"""Tables of pairs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from zerochain.corpora.parallel import Held, import_pairs, write_parallel
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, read_corpus, write_corpus
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs

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


def test_pairs_by_paths_and_columns_of_other_names(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    sides = []
    for name in ("left", "right"):
        corpus = make_corpus(name=name, n_utterances=3)
        inner = tuple(
            replace(u, id=f"{part}/{name[0]}{u.id}")
            for u, part in zip(corpus.utterances, "aab", strict=True)
        )
        sides.append(write_corpus(tmp_path / name, replace(corpus, utterances=inner)))
    table = tmp_path / "pairs.tsv"
    first = [
        ["number", "en", "es"],
        ["1", "rec/en/a/lu0.flac", "ru1"],  # folders above the imported one; the last part alone
        ["2", "./a/lu1.wav", "b/ru2"],
    ]
    table.write_text("".join("\t".join(row) + "\n" for row in first))
    made = import_pairs(table, sides[0], sides[1], tmp_path / "p.parquet")
    assert made.pairs == (("a/lu0", "a/ru1"), ("a/lu1", "b/ru2"))
    table.write_text("number\ten\tes\n1\tx\ty\n2\ta/lu1\tz\n")
    with pytest.raises(InputError, match=r"no column 'source'(.|\n)*en \(1 of 2\)"):
        import_pairs(table, sides[0], sides[1], tmp_path / "p.parquet")


def test_features_stay_valid_with_other_splits(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    source, target = make_corpus(name="s"), make_corpus(name="t")
    write_pairs(
        tmp_path / "p.parquet",
        Pairs(tuple((u, u) for u in source.ids), source.id, target.id),
    )
    pairs = read_pairs(tmp_path / "p.parquet")
    made = []
    for fold in (0, 1):
        write_parallel(tmp_path / "p", source, target, pairs, Held(None, 3, fold))
        made.append(read_corpus(tmp_path / "p" / "source"))
    assert made[0].id != made[1].id
    for corpus in made:
        assert corpus.has_recordings_of(source.id)
        assert not corpus.has_recordings_of(target.id)
    assert made[1].has_recordings_of(made[0].id)
