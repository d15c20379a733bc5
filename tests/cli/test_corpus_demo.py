"""`zerochain corpus demo` at the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from zerochain.cli import main
from zerochain.formats.corpus import read_corpus


def test_demo(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    out = tmp_path / "demo"
    arguments = ["corpus", "demo", "--out", str(out), "--pairs", "10", "--voices", "2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "--voice en-m3" in result.output
    assert "pairs.parquet: 10 pairs" in result.output
    assert len(read_corpus(out / "es").utterances) == 10


def test_too_few_pairs_exit_with_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["corpus", "demo", "--out", str(tmp_path), "--pairs", "3"])
    assert result.exit_code == 1
    assert "ask for at least 70 pairs" in result.output


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(main, ["corpus", "demo", "--help"])
    assert result.exit_code == 0
    assert "Example:\n    zerochain corpus demo" in result.output
