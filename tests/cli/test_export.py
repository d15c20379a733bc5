from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from zerochain.cli import main
from zerochain.formats.corpus import Corpus, write_corpus
from zerochain.formats.phones import Phone, Phones
from zerochain.metrics.items import read_items


@pytest.fixture
def aligned(make_corpus: Callable[..., Corpus]) -> Path:
    corpus = make_corpus(n_utterances=3)
    line = [Phone(0.1 * i, 0.1 * i + 0.1, p) for i, p in enumerate(["SIL", "a", "b", "a", "c"])]
    write_corpus(corpus.folder, corpus, Phones(dict.fromkeys(corpus.ids, line)))
    return corpus.folder


def test_triphones_and_phones(aligned: Path, tmp_path: Path) -> None:
    counts = {}
    for protocol in ("triphone", "phone"):
        out = tmp_path / f"{protocol}.item"
        result = CliRunner().invoke(
            main, ["export", "items", str(aligned), "--protocol", protocol, "--out", str(out)]
        )
        assert result.exit_code == 0, result.output
        assert "left out: 3 silence" in result.output
        counts[protocol] = len(read_items(out))
    assert counts == {"triphone": 3 * 2, "phone": 3 * 4}


def test_a_corpus_without_phones(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus()
    out = tmp_path / "x.item"
    result = CliRunner().invoke(main, ["export", "items", str(corpus.folder), "--out", str(out)])
    assert result.exit_code == 1
    assert "--alignments" in result.output
    assert not out.exists()
