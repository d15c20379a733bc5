"""`zerochain export submission`: what of a run goes into a submission, and what is refused."""

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from commands import leftovers, run
from runs import add_synthesis, add_system
from zerochain.exchange.zerospeech import language_folder, subset_folder
from zerochain.formats.bundle import read_bundle
from zerochain.formats.corpus import Corpus, write_corpus

ABOUT = ("--author", "Ana", "--affiliation", "Une École")


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus], tmp_path: Path) -> Corpus:
    """Beside the run; its ids have folders."""
    made = make_corpus(3)
    named = tuple(replace(u, id=f"x/{u.id}", split=None) for u in made.utterances)
    return write_corpus(tmp_path / "c", replace(made, utterances=named, folder=None))


def test_2019(corpus: Corpus, tmp_path: Path) -> None:
    root, out = tmp_path / "r", tmp_path / "submission"
    english = add_system(root, corpus, "english/a")
    add_system(root, corpus, "english/b", n_units=8)
    add_system(root, corpus, "english/a.fit", n_units=5, scored=False)
    add_system(root, corpus, "surprise/a", n_units=4)
    add_synthesis(root, english, "spoken", "ana")

    words = ("export", "submission", root, *ABOUT, "--out", out)
    error = run(*words, code=1).stderr
    assert "english: 2 unit files" in error
    assert "among units/english/a, units/english/b\n" in error  # not those that nobody scored
    assert not out.exists()

    lines = run(*words, "--system", "a").output.splitlines()
    assert lines[:2] == [
        "english: 3 utterances of units/english/a.parquet, vectors of models/english/a, speech of "
        "wavs/spoken",
        "surprise: 3 utterances of units/surprise/a.parquet, vectors of models/surprise/a",
    ]
    assert any(line.startswith("ids have folders") for line in lines)
    assert f"{out}: written, follows all rules" in lines
    assert "not checked: surprise: speech, since the run spoke none of these units" in lines
    assert not any(line.startswith("not checked: english: speech") for line in lines)
    assert any("corpus 'tiny' is the challenge's test set" in line for line in lines)

    vectors = np.loadtxt(language_folder(out, "english") / "u0.txt", dtype=np.float32)
    codebook = read_bundle(root / "models" / "english" / "a").tensors["codebook"]
    np.testing.assert_array_equal(vectors, codebook.astype(np.float32)[english.steps("x/u0")])
    metadata = yaml.safe_load((out / "2019" / "metadata.yaml").read_text(encoding="utf-8"))
    assert metadata["system description"] == "kmeans K=16 1T; kmeans K=4 1T"

    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
        assert set(archive.namelist()) == files
        assert all(archive.read(name) == (out / name).read_bytes() for name in files)
    error = run(*words, "--system", "a", code=1).stderr
    assert "submission and" in error
    assert "submission.zip are there already" in error
    # A path as the shell completes it.
    by_path = ("--part", f"english={root}/units/english/a.parquet", "--out", tmp_path / "other")
    said = run(*words[:-2], *by_path).output
    assert f"of {Path('units/english/a.parquet')}, " in said
    assert not leftovers(tmp_path)


def test_parts_that_the_run_calls_otherwise(corpus: Corpus, tmp_path: Path) -> None:
    root = tmp_path / "r"
    add_system(root, corpus, "km16")
    (tmp_path / "c" / "corpus.json").unlink()

    def export(*options: str, code: int = 0) -> str:
        return run(
            "export", "submission", root, *ABOUT, "--out", tmp_path / "s", *options, code=code
        ).output

    assert "holds no units of a dataset called english or surprise" in export(code=1)
    assert "--part english=DATASET; there are units/km16" in export(code=1)
    part = ("--part", "dev-clean=km16")
    assert "wants to know the --train-set" in export(*part, code=2)
    assert "--train-set only applies to" in export(
        "--part", "english=km16", "--train-set", "mine", code=2
    )
    assert "abxLS has no english" in export(*part, "--part", "english=km16", code=2)
    assert "2019 has no dev-clean" in export(*part, "--challenge", "2019", code=2)
    assert "not PART=DATASET" in export("--part", "klingon=km16", code=2)
    trained = (*part, "--train-set", "mine")
    assert "abxLS has cosine" in export(*trained, "--distance", "dtw_kl", code=2)
    assert "no unit files that the run has scored are of dataset 'km'" in export(
        "--part", "english=km", code=1
    )
    assert "were spoken in no folder" in export(*trained, "--wavs", "spoken", code=1)

    printed = export(*trained, "--one-hot", "--challenge", "2021")
    assert "dev-clean: 3 utterances of units/km16.parquet, one-hot\n" in printed
    assert "not complete yet" in printed  # three subsets are missing
    assert "whether utterances are missing, since its corpus was not found" in printed
    assert "not checked: the lexical, syntactic and semantic parts" in printed
    vectors = np.loadtxt(subset_folder(tmp_path / "s", "dev-clean") / "u1.txt")
    assert (vectors.sum(axis=1) == 1).all()
