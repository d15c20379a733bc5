"""discover selftrain: from recordings to self-trained units, and whatever goes wrong there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from commands import leftovers, run
from edits import took
from zerochain.cli import main
from zerochain.discovery.classifier import FrameTask
from zerochain.formats.bundle import bundle_id, read_bundle, read_fit
from zerochain.formats.corpus import Corpus
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import read_units

SMALL = ("--units", 16, "--width", 16, "--blocks", 1, "--segment-frames", 32, "--batch-size", 4)
QUICK = (
    *SMALL,
    "--rounds",
    2,
    "--annealing",
    "none",
    "--steps",
    6,
    "--validate-every",
    2,
    "--device",
    "cpu",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus()


@pytest.mark.parametrize(
    ("options", "stride", "n_rounds"),
    [
        (("--rounds", 1), 1, 1),
        (("--stride", 4, "--instance-norm", "--tail", "gru", "--annealing", "cosine"), 4, 2),
        (("--features", "log-mel", "--no-augment", "--teacher-penalty", 0, "--warp"), 1, 2),
    ],
)
def test_discover_and_encode(
    corpus: Corpus, options: tuple[object, ...], stride: int, n_rounds: int
) -> None:
    said = run("discover", "selftrain", corpus.folder, *QUICK, *options, "--out", "m").stdout
    assert said.startswith(f"m: selftrain K=16 {stride}T ")
    assert f" of {n_rounds} kept: " in said
    assert "6 steps (NOT CONVERGED: steps ran out)" in said
    assert "survive a change of voice: K-Means " in said
    assert "of 16 units in use, perplexity" in said
    for i in range(1, n_rounds + 1):
        log = read_training_log(Path(f"m.training/round-{i}"))
        assert log["step"] == [2, 4, 6]
        assert {"train_loss", "agreement", "valid_loss"} <= set(log)
    assert len(list(Path().rglob("checkpoint.safetensors"))) == n_rounds
    run("encode", "m", corpus.folder, "--out", "u.parquet")
    units = read_units(Path("u.parquet"))
    assert units.model_id == bundle_id(Path("m"))
    for u in corpus.utterances:
        n_frames = 1 + round(u.duration * 16_000) // 160
        assert len(units.units[u.id]) == -(-n_frames // stride)
    run("show", "m")


def test_posteriors_of_other_models_are_learned(corpus: Corpus) -> None:
    run("extract", corpus.folder, "--out", "frames")
    run("discover", "gmm", corpus.folder, "--features", "frames", "--units", 4, "--out", "gmm")
    models = ("--posteriors", "gmm", "--posteriors", "gmm")
    run("extract", corpus.folder, "--features", "frames", *models, "--out", "fused")
    quick = ("--features", "frames", "--width", 8, "--blocks", 1, "--steps", 2)
    quick += ("--validate-every", 1, "--segment-frames", 16, "--batch-size", 2)
    command = ["discover", "selftrain", corpus.folder, *quick, "--unit-source", "classes"]
    run(*command, "--units", 8, "--soft-targets", "fused", "--out", "m")
    assert len(read_bundle(Path("m")).tensors["head.weight"]) == 8
    wrong = CliRunner().invoke(
        main, [str(a) for a in (*command, "--soft-targets", "frames", "--out", "wrong")]
    )
    assert wrong.exit_code == 1
    assert "frames: holds 'mfcc', not posteriors" in wrong.stderr
    run(
        "discover",
        "vqvae",
        corpus.folder,
        *quick,
        "--units",
        4,
        "--soft-targets",
        "fused",
        "--out",
        "v",
    )


def test_interrupted_in_its_second_round(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["discover", "selftrain", corpus.folder, *QUICK]
    run(*command, "--out", "whole")
    batch, count = FrameTask.batch, 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 6 + 5:
            raise KeyboardInterrupt
        return batch(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(FrameTask, "batch", interrupted)
        result = CliRunner().invoke(main, [str(a) for a in (*command, "--out", "m")])
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert not Path("m").exists()
    for i, seconds in ((1, 3000), (2, 4000)):
        took(Path(f"m.training/round-{i}"), seconds)
    error = run(*command, "--no-augment", "--out", "m", code=1).stderr
    assert "other data or other settings" in error
    run(*command, "--out", "m")
    assert bundle_id(Path("m")) == bundle_id(Path("whole"))
    fit = read_fit(Path("m"))
    assert fit
    assert fit.seconds > 7000  # of both rounds
    assert not leftovers(Path())


def test_features_that_are_no_spectra(corpus: Corpus) -> None:
    run("discover", "kmeans", corpus.folder, "--units", 3, "--out", "km")
    run("encode", "km", corpus.folder, "--latents", "--out", "f")
    command = ("discover", "selftrain", corpus.folder, *QUICK, "--features", "f", "--out", "m")
    error = run(*command, code=1).stderr
    assert "can't be warped" in error
    assert "--no-augment" in error
    said = run(*command, "--no-augment").output
    assert "round 2 of 2 kept" in said
    assert "can't be measured on such features" in said
    assert read_bundle(Path("m")).config["settings"]["surviving"] == [None] * 3


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--units", 1), 1, "--units 1 must be ≥ 2"),
        (("--stride", 3), 1, "one of 1, 2, 4 and 8"),
        (("--tail", "gru", "--width", 15), 2, "share a width of 15"),
        (("--rounds", 0), 2, "--rounds"),
        (("--teacher-penalty", -1), 2, "--teacher-penalty"),
        (("--learning-rate", "nan"), 2, "--learning-rate"),
    ],
)
def test_bad_options(corpus: Corpus, options: tuple[object, ...], code: int, message: str) -> None:
    command = ["discover", "selftrain", corpus.folder, *QUICK, *options, "--out", "m"]
    result = CliRunner().invoke(main, [str(a) for a in command])
    assert (result.exit_code, message in result.stderr) == (code, True), result.output
    assert not Path("m").exists()
