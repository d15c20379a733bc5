"""The pipelines captions and codeswitching, from a small corpus of one's own to the page."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chains import LETTERS, texts_of, toned

from commands import run, settings
from zerochain.formats.corpus import write_corpus
from zerochain.formats.features import write_features
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.scores import read_scores
from zerochain.formats.text_files import read_rows
from zerochain.formats.transcripts import read_transcripts
from zerochain.formats.units import read_units

CHAIN = "--asr-width 16 --tts-width 8 --asr-steps 2 --tts-steps 1 --steps 1 --batch-size 2"
CAPTIONER = "--width 8 --steps 1 --batch-size 2"


@pytest.fixture
def aligned_anyhow(warm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of a few steps align nothing well; of processes, which start with these lines."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sitecustomize.py").write_text(
        "import zerochain.speechchain.synthesiser as s\ns._WORST_ALIGNED = float('-inf')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "in"), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("aligned_anyhow")
def test_codeswitching(capfd: pytest.CaptureFixture[str]) -> None:
    corpus = toned(Path(), texts_of(18))
    tagged = [f"<xx>{a} <yy>{b}" for a, b in (u.text.split() for u in corpus.utterances if u.text)]
    utterances = tuple(
        replace(u, text=None if i % 4 == 3 else text, split="valid" if i % 9 == 2 else u.split)
        for i, (u, text) in enumerate(zip(corpus.utterances, tagged, strict=True))
    )
    write_corpus(Path("mine"), replace(corpus, utterances=utterances))
    Path("mixed.txt").write_text("<xx>ab <yy>cd\n<yy>ba <xx>c\n", encoding="utf-8")
    given = {
        "corpus": "mine",
        "texts": "mixed.txt",
        "languages": "xx,yy",
        "test_splits": "[test]",
        "valid_split": "valid",
        "methods.propagation": "",
        "methods.longer": "",
        "options": CHAIN,
        "beam": 1,
    }
    command = ("run", "codeswitching", "--out", "r", "--cores", 2, *settings(given))
    assert "Done: " in run(*command).stdout
    n = sum(u.split == "test" and u.text is not None for u in utterances)
    for system in ("paired", "chain"):
        scores = {s.metric: s for s in read_scores(Path(f"r/scores/{system}.jsonl"))}
        assert list(scores) == ["cer_%", "wer_%", "tagged_cer_%"]
        assert {s.n for s in scores.values()} == {n}
    columns, rows = read_rows(Path("r/table.csv"), required=("method",))
    assert "CER % with languages" in columns
    assert [row.values["method"] for row in rows] == ["paired", "chain"]
    assert "paired" in Path("r/report/index.html").read_text(encoding="utf-8")
    capfd.readouterr()
    run(*command)
    assert "Nothing to be done" in capfd.readouterr().err


@pytest.mark.usefixtures("aligned_anyhow")
def test_captions() -> None:
    """One captioner, which learns from all three kinds of material."""
    corpus = toned(Path(), texts_of(24))
    rng = np.random.default_rng(0)
    with write_features(
        Path("pictures"), extractor="letters", options={}, step_ms=1.0, corpus_id=corpus.id
    ) as writer:
        for u in corpus.utterances:
            regions = np.eye(5, dtype=np.float32)[[f" {LETTERS}".index(c) for c in u.text or ""]]
            writer.add(u.id, regions + 0.05 * rng.standard_normal(regions.shape, np.float32))
    given = {
        "corpus": "tones-corpus",
        "pictures": "pictures",
        "paired": 0.5,
        "chain": f"--method paired {CHAIN}",
        "captioners.paired": "",
        "captioners.all": "",
        "options": CAPTIONER,
        "beam": 1,
    }
    command = ("run", "captions", "--out", "r", "--cores", 2, *settings(given))
    assert "Done: " in run(*command).stdout
    tests = [u.id for u in corpus.utterances if u.split == "test"]
    assert list(read_transcripts(Path("r/captions/chain.parquet")).texts) == tests
    metrics = {s.metric: s.n for s in read_scores(Path("r/scores/chain.jsonl"))}
    assert set(metrics.values()) == {len(tests)}
    assert len(metrics) == 4
    assert "chain" in Path("r/report/index.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("aligned_anyhow")
def test_a_speech_chain_of_units() -> None:
    """Discovered units take the place of texts, which the corpus has none of."""
    corpus = toned(Path(), texts_of(24))
    rng = np.random.default_rng(0)
    phones = Phones(
        {
            u.id: [Phone(t / 20, (t + 1) / 20, str(rng.choice(["a", "b"]))) for t in range(8)]
            for u in corpus.utterances
        }
    )
    silent = tuple(replace(u, text=None) for u in corpus.utterances)
    write_corpus(Path("mine"), replace(corpus, utterances=silent), phones)
    given = {
        "corpus": "mine",
        "units": "kmeans --units 4 --stride 4 --context 0",
        "paired": 0.5,
        "methods.feedback": "null",
        "methods.propagation": "null",
        "methods.longer": "null",
        "speakers": "null",
        "options": CHAIN,
        "bound": "null",
        "language_model": "null",
        "beam": 1,
        "spoken": "null",
    }
    command = ("run", "speechchain", "--out", "r", "--cores", 2, *settings(given))
    assert "Done: " in run(*command).stdout
    recognised, encoded = (
        read_units(Path(f"r/{n}.parquet")) for n in ("recognised/chain", "units")
    )
    assert recognised.model_id == encoded.model_id
    tables = {n: read_rows(Path(f"r/{n}.csv"), required=())[1] for n in ("table", "units")}
    assert [row.values["method"] for row in tables["table"]] == ["paired", "chain"]
    assert "unit error rate %" in tables["table"][0].values
    assert [row.values["units"] for row in tables["units"]] == ["encoded", "paired", "chain"]
    assert "loop 1 step NOT CONVERGED" in tables["table"][1].values["training"]
