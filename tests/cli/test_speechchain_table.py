"""The table of the pipeline speechchain: differences and shares with intervals."""

import csv
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.transcripts import Transcripts, write_transcripts
from zerochain.machine import resource

TEXTS = {f"u{i}": "abcd efgh" for i in range(20)}


@pytest.fixture
def table(tmp_path: Path) -> dict[str, dict[str, str]]:
    """Systems of 4, 2, 4 and 1 errors per text; the last one, the bound, has one in each."""
    utterances = tuple(Utterance(n, f"{n}.wav", 1.0, text=f"{t}!") for n, t in TEXTS.items())
    corpus = write_corpus(tmp_path / "corpus", Corpus("c", utterances, str(tmp_path)))
    files = []
    for name, n_wrong in {"paired": 4, "chain": 2, "none": 4, "all": 1}.items():
        texts = {u: t[: len(t) - n_wrong] for u, t in TEXTS.items()}
        made = Transcripts(texts, dict.fromkeys(TEXTS, 0.5), "m" * 64, corpus.id)
        files.append(tmp_path / "transcripts" / f"{name}.parquet")
        write_transcripts(files[-1], made)
        about = {"n_pairs": 7, "steps": 9, "converged": name == "all", "kept_start": False}
        write_bundle(tmp_path / "chains" / name, "speech-chain", {"training": about}, {}, {})
    script = runpy.run_path(str(resource("pipelines") / "speechchain" / "table.py"))
    words = [corpus.folder, *files, "--chains", tmp_path / "chains", "--out", tmp_path]
    done = CliRunner().invoke(script["main"], [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "| chain |" in (tmp_path / "table.md").read_text()
    with (tmp_path / "table.csv").open() as stream:
        return {row["method"]: row for row in csv.DictReader(stream)}


def test_gains_and_shares(table: dict[str, dict[str, str]]) -> None:
    assert table["paired"]["CER %"] == "44.4 [44.4, 44.4]"
    assert table["chain"]["gain"] == "22.2 [22.2, 22.2]"
    assert table["chain"]["gap closed %"] == "66.7 [66.7, 66.7]"
    assert table["none"]["gap closed %"] == "0.0 [0.0, 0.0]"
    assert table["all"]["gap closed %"] == table["paired"]["gap closed %"] == ""
    assert table["none"]["behind chain"] == "22.2 [22.2, 22.2]"
    assert table["all"]["behind chain"] == "'-11.1 [-11.1, -11.1]"  # no formula of a spreadsheet
    assert table["chain"]["behind chain"] == ""
    assert table["paired"]["training, last part"] == "9 steps, NOT CONVERGED"
    assert table["all"]["training, last part"] == "9 steps"
    assert table["all"]["pairs"] == "7"
