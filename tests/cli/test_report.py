from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runs import make_run
from zerochain.cli import main
from zerochain.formats.corpus import Corpus


@pytest.fixture
def run(tmp_path: Path, make_corpus: Callable[..., Corpus]) -> Path:
    return make_run(tmp_path / "run", make_corpus(6))


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_writes_the_page(run: Path, tmp_path: Path) -> None:
    (run / "stray.parquet").write_bytes(b"PAR1")
    corpus, out = tmp_path / "tiny", tmp_path / "report"
    result = report(
        run, "--corpus", corpus, "--title", "Été", "--examples", 1, "--units", 1, "--out", out
    )
    assert result.exit_code == 0, result.output
    text = (out / "index.html").read_text(encoding="utf-8")
    assert "<title>Été</title>" in text
    assert text.count("<audio") == 3 + 2
    assert str(out / "index.html") in result.stdout
    assert "stray.parquet" in result.stderr
    assert {p.name for p in out.iterdir()} == {
        "index.html",
        "report.json",
        "tradeoff.png",
        "tradeoff.svg",
    }


def test_inside_the_run_twice(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    for _ in range(2):
        result = report(
            ".", "--published", "none", "--examples", 0, "--units", 0, "--out", "report"
        )
        assert result.exit_code == 0, result.output
    text = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "units/km8-4t.parquet" in text
    assert "ZeroSpeech" not in text


def test_no_run(tmp_path: Path) -> None:
    result = report(tmp_path, "--out", tmp_path / "report")
    assert result.exit_code == 1
    assert "holds no scores, units" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example() -> None:
    result = report("--help")
    assert result.exit_code == 0
    assert "zerochain report runs/mine" in result.output
