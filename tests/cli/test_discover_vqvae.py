"""discover vqvae: from recordings to learned units, and whatever goes wrong there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from interruption import interrupted

from commands import leftovers, run
from edits import took
from zerochain.cli import main
from zerochain.discovery.vqvae import VQVAEConfig, VqvaeTask
from zerochain.formats.bundle import bundle_id, read_bundle, read_fit
from zerochain.formats.corpus import Corpus
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import read_units

SMALL = ("--units", 16, "--width", 16, "--segment-frames", 32, "--batch-size", 4)
QUICK = (*SMALL, "--steps", 6, "--validate-every", 2)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus()


@pytest.mark.parametrize(
    ("options", "stride"),
    [
        ((), 4),
        (("--stride", 2, "--teacher", "none", "--no-augment", "--kernel", 3), 2),
        (("--encoder", "conv", "--stride", 2, "--instance-norm", "--tail", "gru", "--no-ema"), 2),
        (("--stride", 1, "--codebook-from", "kmeans", "--random-start", "--blocks", 0), 1),
        (("--features", "log-mel", "--normalisation", "utterance"), 4),
        (("--encoder", "published", "--width", 4, "--stride", 8), 8),
        (("--encoder", "published", "--width", 4, "--features", "log-mel", "--components", 39), 4),
    ],
)
def test_discover_and_encode(corpus: Corpus, options: tuple[object, ...], stride: int) -> None:
    said = run("discover", "vqvae", corpus.folder, *QUICK, *options, "--out", "m").stdout
    assert said.startswith(f"m: vqvae K=16 {stride}T ")
    assert "2 speakers" in said
    assert "6 steps (NOT CONVERGED: steps ran out)" in said
    assert "of 16 units in use, perplexity" in said
    log = read_training_log(Path("m.training"))
    assert log["step"] == [2, 4, 6]
    assert {"reconstruction", "perplexity", "n_used", "valid_loss"} <= set(log)
    assert Path("m.training/checkpoint.safetensors").exists()
    run("encode", "m", corpus.folder, "--out", "u.parquet")
    units = read_units(Path("u.parquet"))
    assert units.model_id == bundle_id(Path("m"))
    for u in corpus.utterances:
        n_frames = 1 + round(u.duration * 16_000) // 160
        assert len(units.units[u.id]) == -(-n_frames // stride)
    run("encode", "m", corpus.folder, "--penalty", 1, "--out", "segments.parquet")
    segments = read_units(Path("segments.parquet"))
    assert all(len(segments.units[i]) <= len(units.units[i]) for i in units.ids)


def test_published_stands_for_the_whole_system(corpus: Corpus) -> None:
    quick = ("--steps", 1, "--batch-size", 1, "--segment-frames", 8, "--units", 4)
    options = ("--encoder", "published", "--width", 4, "--jitter", 0.1)
    run("discover", "vqvae", corpus.folder, *quick, *options, "--out", "m")
    config = read_bundle(Path("m")).config["settings"]["config"]
    published = VQVAEConfig(encoder="published").model_dump()
    assert published == VQVAEConfig.published().model_dump()
    assert config == {**published, "width": 4, "jitter": 0.1, "n_frames": 8}
    assert published["commitment"] == 0.25
    assert not published["ema"]


def test_interrupted_and_repeated(corpus: Corpus) -> None:
    command = ["discover", "vqvae", corpus.folder, *QUICK]
    run(*command, "--out", "whole")
    with interrupted(VqvaeTask, 5):
        result = CliRunner().invoke(main, [str(a) for a in (*command, "--out", "m")])
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert Path("m.training/checkpoint.safetensors").exists()
    assert not Path("m").exists()
    error = run(*command, "--jitter", 0.9, "--out", "m", code=1).stderr
    assert "other data or other settings" in error
    took(Path("m.training"), 5000)
    run(*command, "--out", "m")
    resumed, whole = read_fit(Path("m")), read_fit(Path("whole"))
    assert resumed
    assert whole
    assert resumed.seconds > 5000 > whole.seconds
    assert resumed.device.startswith("CPU, ")
    assert bundle_id(Path("m")) == bundle_id(Path("whole"))
    assert not leftovers(Path())


def test_more_steps_go_on_from_the_checkpoint(corpus: Corpus) -> None:
    command = ("discover", "vqvae", corpus.folder, *SMALL, "--validate-every", 2, "--out", "m")
    run(*command, "--steps", 4)
    first = bundle_id(Path("m"))
    assert "extended at step 4" in run(*command, "--steps", 8).stdout
    assert read_training_log(Path("m.training"))["step"] == [2, 4, 6, 8]
    assert bundle_id(Path("m")) != first
    error = run(*command, "--steps", 8, "--batch-size", 5, code=1).stderr
    assert "--batch-size 4 → 5" in error
    assert "--restart" in error


def test_divergence_is_an_error_and_no_model(corpus: Corpus) -> None:
    options = ("--learning-rate", 1e30, "--out", "m")
    error = run("discover", "vqvae", corpus.folder, *QUICK, *options, code=1).stderr
    assert "training diverged at step " in error
    assert not Path("m").exists()


def test_without_speakers_it_says_so(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(speakers=(None,))
    result = run("discover", "vqvae", corpus.folder, *QUICK, "--out", "m")
    assert "no known speaker" in result.stdout
    assert "Warning: no speaker is known: all share one embedding" in result.stderr


def test_too_little_speech(make_corpus: Callable[..., Corpus]) -> None:
    one = make_corpus(1).folder
    error = run("discover", "vqvae", one, *QUICK, "--out", "m", code=1).stderr
    assert "can't be trained on 1 utterance" in error
    corpus = make_corpus(2, name="two").folder
    options = ("--units", 512, "--out", "m")
    error = run("discover", "vqvae", corpus, *QUICK, *options, code=1).stderr
    assert "512 units can't be found in" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--jitter", 1.5), "'--jitter'"),
        (("--decay", 1), "'--decay'"),
        (("--learning-rate", "nan"), "'--learning-rate'"),
        (
            ("--encoder", "conv", "--tail", "gru", "--width", 15),
            "a gru can't share a width of 15 among 2",
        ),
        (("--encoder", "published", "--tail", "gru"), "--tail gru only applies to --encoder conv"),
        (
            ("--encoder", "published", "--blocks", 2),
            "--blocks 2 only applies to --encoder convnext or --encoder conv",
        ),
        (("--kernel", 4), "--kernel 4 must be odd"),
    ],
)
def test_usage_errors_exit_with_2(
    corpus: Corpus, options: tuple[object, ...], message: str
) -> None:
    command = ["discover", "vqvae", corpus.folder, *QUICK, *options, "--out", "m"]
    result = CliRunner().invoke(main, [str(a) for a in command])
    assert result.exit_code == 2, result.output
    assert message in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--stride", 3), "--units 16 must be ≥ 1 and --stride 3 one of 1, 2, 4 and 8"),
        (
            ("--encoder", "published", "--features", "log-mel", "--width", 4),
            "39 dimensions, these have 80",
        ),
        (("--precision", "fp16", "--device", "cpu"), "fp16 needs a GPU"),
    ],
)
def test_what_it_can_not_do_exits_with_1(
    corpus: Corpus, options: tuple[object, ...], message: str
) -> None:
    error = run("discover", "vqvae", corpus.folder, *QUICK, *options, "--out", "m", code=1).stderr
    assert message in error


def test_half_precision_on_a_cpu(corpus: Corpus) -> None:
    run("discover", "vqvae", corpus.folder, *QUICK, "--precision", "bf16", "--out", "m")
    assert np.isfinite(read_training_log(Path("m.training"))["valid_loss"]).all()
