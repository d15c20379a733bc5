"""The table of the pipeline speechchain: differences and shares with intervals."""

import csv
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.scores import Score, append_scores
from zerochain.formats.transcripts import Transcripts, write_transcripts
from zerochain.machine import resource

NAMES = [f"u{i}" for i in range(20)]


@pytest.fixture(params=["", "xx,yy"])
def table(tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    """Systems of 4, 2, 4 and 1 errors per text; the last one, the bound, has one in each.

    Tags of languages count for nothing.
    """
    languages = request.param
    text = "<xx>abcd <yy>efgh" if languages else "abcd efgh"
    utterances = tuple(Utterance(n, f"{n}.wav", 1.0, text=f"{text}!") for n in NAMES)
    corpus = write_corpus(tmp_path / "corpus", Corpus("c", utterances, str(tmp_path)))
    files = []
    for name, n_wrong in {"paired": 4, "chain": 2, "chain+lm": 1, "none": 4, "all": 1}.items():
        wrong = text[:-n_wrong] + n_wrong * "z"
        made = Transcripts(
            dict.fromkeys(NAMES, wrong), dict.fromkeys(NAMES, 0.5), "m" * 64, corpus.id
        )
        files.append(tmp_path / "transcripts" / f"{name}.parquet")
        write_transcripts(files[-1], made)
        about = {"n_pairs": 7, "steps": 9, "converged": name == "all", "kept_start": False}
        about |= {"valid_mel_db": 7.25, "config": {"languages": languages}}
        if name == "all":
            parts = [
                {"part": "recogniser", "steps": 9, "converged": False},
                {"part": "loop", "steps": 1, "converged": True},
            ]
            about |= {"parts": parts, "computed_on": "CPU"}
        if not name.endswith("+lm"):
            write_bundle(tmp_path / "chains" / name, "speech-chain", {"training": about}, {}, {})
    for metric, system, value in (("mcd_sp2mc24_dB", "chain", 6.0), ("cer_%", "chain", 3.0)):
        score = Score(metric, value, (value - 1, value + 1), 20, "p", system, {}, {})
        append_scores(tmp_path / "s.jsonl", [score])
    script = runpy.run_path(str(resource("pipelines") / "speechchain" / "table.py"))
    words = [corpus.folder, *files, "--chains", tmp_path / "chains", "--out", tmp_path]
    words += ["--speech", tmp_path / "s.jsonl"]
    done = CliRunner().invoke(script["main"], [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "| chain |" in (tmp_path / "table.md").read_text()
    with (tmp_path / "speech.csv").open() as stream:
        (spoken,) = csv.DictReader(stream)
    assert list(spoken.values()) == [
        "chain", "7.25", "6.00 [5.00, 7.00]", "", "3.00 [2.00, 4.00]", "9 steps NOT CONVERGED",
    ]  # fmt: skip
    assert "CER % as recognised by all" in spoken
    with (tmp_path / "table.csv").open() as stream:
        return {row["method"]: row for row in csv.DictReader(stream)}


def test_gains_and_shares(table: dict[str, dict[str, str]]) -> None:
    assert table["paired"]["CER %"] == "44.4 [44.4, 44.4]"
    assert table["chain"]["gain"] == "22.2 [22.2, 22.2]"
    assert table["chain"]["gap closed %"] == "66.7 [66.7, 66.7]"
    assert table["chain+lm"]["gap closed %"] == ""
    assert table["chain+lm"]["gain"] == "33.3 [33.3, 33.3]"
    assert table["chain+lm"]["training"] == "9 steps NOT CONVERGED"
    assert table["none"]["gap closed %"] == "0.0 [0.0, 0.0]"
    assert table["all"]["gap closed %"] == table["paired"]["gap closed %"] == ""
    assert table["none"]["behind chain"] == "22.2 [22.2, 22.2]"
    assert table["all"]["behind chain"] == "'-11.1 [-11.1, -11.1]"  # no formula of a spreadsheet
    assert table["chain"]["behind chain"] == ""
    assert table["paired"]["training"] == "9 steps NOT CONVERGED"
    assert table["all"]["training"] == "recogniser 9 steps NOT CONVERGED, loop 1 step; CPU"
    assert table["all"]["pairs"] == "7"
