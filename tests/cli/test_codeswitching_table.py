"""The table of the pipeline codeswitching: error rates with and without languages, and ratios."""

import csv
import runpy
from pathlib import Path

from click.testing import CliRunner

from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.transcripts import Transcripts, write_transcripts
from zerochain.machine import resource


def test_ratios_and_languages(tmp_path: Path) -> None:
    """Of ten letters, the pairs alone get four wrong, the chain one and the language of another."""
    utterances = tuple(
        Utterance(f"{split}{i}", f"{split}{i}.wav", 1.0, split=split, text="<xx>abcde<yy>FGHIJ!")
        for split in ("one", "mixed")
        for i in range(5)
    )
    corpus = write_corpus(tmp_path / "corpus", Corpus("c", utterances, str(tmp_path)))
    texts = {"paired": "<xx>abcdexxxx<yy>j", "chain": "<xx>abcdef<yy>ghix"}
    for method, text in texts.items():
        about = {"steps": 9, "converged": method == "chain", "kept_start": False}
        about["config"] = {"languages": "xx,yy"}
        write_bundle(tmp_path / "chains" / method, "speech-chain", {"training": about}, {}, {})
        for split in ("one", "mixed"):
            ids = [u.id for u in utterances if u.split == split]
            (tmp_path / "transcripts" / method).mkdir(parents=True, exist_ok=True)
            made = Transcripts(
                dict.fromkeys(ids, text if split == "mixed" else "<xx>abcde<yy>fghij"),
                dict.fromkeys(ids, 0.5),
                "m" * 64,
                corpus.id,
            )
            write_transcripts(tmp_path / "transcripts" / method / f"{split}.parquet", made)
    script = runpy.run_path(str(resource("pipelines") / "codeswitching" / "table.py"))
    words = [corpus.folder, *(tmp_path / "chains" / method for method in texts)]
    words += ["--test", "one", "--test", "mixed"]
    words += ["--transcripts", tmp_path / "transcripts", "--out", tmp_path]
    done = CliRunner().invoke(script["main"], [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "| mixed | chain |" in (tmp_path / "table.md").read_text()
    with (tmp_path / "table.csv").open() as stream:
        rows = {(row["test"], row["method"]): row for row in csv.DictReader(stream)}
    assert rows["mixed", "paired"]["CER %"] == "40.0 [40.0, 40.0]"
    assert rows["mixed", "paired"]["CER % with languages"] == "40.0 [40.0, 40.0]"
    assert rows["mixed", "chain"]["CER %"] == "10.0 [10.0, 10.0]"
    assert rows["mixed", "chain"]["CER % with languages"] == "20.0 [20.0, 20.0]"
    assert rows["mixed", "chain"]["of the pairs alone"] == "0.25 [0.25, 0.25]"
    assert rows["mixed", "paired"]["of the pairs alone"] == ""
    assert rows["one", "chain"]["of the pairs alone"] == "undefined"
    assert rows["mixed", "paired"]["training"] == "9 steps NOT CONVERGED"
    assert rows["one", "chain"]["training"] == "9 steps"
