"""invert train, invert synthesize: from units to speech, and whatever goes wrong there."""

import importlib.util
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from interruption import interrupted

from commands import contents, leftovers, run, run_apart
from conftest import small_corpus
from zerochain.cli import main
from zerochain.formats.bundle import bundle_id, read_bundle
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.inversion.spectral import AdversaryWarning, Code2SpecTask

SMALL = ("--width", 8, "--batch-size", 2, "--prosody-steps", 0)
QUICK = ("--steps", 6, "--validate-every", 2, *SMALL)
PLAIN = ("--adversary", "none")
NAMES = ["ŋá/ɓú 1", "мир", "它.wav", "-x", "u4", "u5"]


@dataclass(frozen=True)
class Prepared:
    root: Path

    @property
    def corpus(self) -> Path:
        return self.root / "tiny"

    @property
    def units(self) -> Path:
        return self.root / "u.parquet"

    @property
    def inverter(self) -> Path:
        """The baseline, in ana's voice."""
        return self.root / "means"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A corpus with names of any language, its units and an inverter; for reading only."""
    made = Prepared(tmp_path_factory.mktemp("prepared"))
    corpus = small_corpus(made.root, seconds=0.7)
    renamed = (replace(u, id=i) for u, i in zip(corpus.utterances, NAMES, strict=True))
    write_corpus(made.corpus, replace(corpus, utterances=tuple(renamed)))
    run("discover", "kmeans", made.corpus, "--units", 6, "--stride", 2, "--out", made.root / "km")
    run("encode", made.root / "km", made.corpus, "--out", made.units)
    train = ("invert", "train", made.units, made.corpus, "--voice", "ana")
    run(*train, "--method", "unit-means", "--prosody-steps", 0, "--out", made.inverter)
    return made


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(prepared: Prepared, *options: object, code: int = 0) -> Any:
    return run(
        "invert", "train", prepared.units, prepared.corpus, "--voice", "ana", *options, code=code
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "unit-means"),
        ("--method", "unit-means", "--scale", "linear"),
        (*PLAIN,),
        (*PLAIN, "--scale", "linear", "--split", "train"),
        (*PLAIN, "--plain"),
    ],
    ids=" ".join,
)
def test_train_and_synthesize(prepared: Prepared, options: tuple[str, ...]) -> None:
    network = "unit-means" not in options
    said = train(prepared, *options, *QUICK, "--out", "i").stdout
    assert said.startswith(f"i: {'code2spec' if network else 'unit-means'} from ")
    assert ("NOT CONVERGED: steps ran out" in said) == network
    bundle = read_bundle(Path("i"))
    assert bundle.config["voices"] == ["ana"]
    assert bundle.config["spectrogram"]["scale"] == ("linear" if "linear" in options else "log")
    n_utterances = 2 if "--split" in options else 3
    assert bundle.config["training"]["n_utterances"] == n_utterances
    if network:
        assert bundle.config["network"]["correct_means"] == ("--plain" not in options)
        assert read_training_log(Path("i.training"))["step"] == [2, 4, 6]
    assert Path("i.training").exists() == network
    assert run("invert", "synthesize", "i", prepared.units, "--out", "w").output == "w: 6 wavs\n"
    units, synthesis = read_units(prepared.units), read_synthesis(Path("w"))
    assert list(synthesis.ids) == NAMES
    assert synthesis.inverter_id == bundle_id(Path("i"))
    assert synthesis.units_id == units.id
    assert sorted(p.relative_to("w").as_posix() for p in Path("w").rglob("*.wav")) == sorted(
        f"{name}.wav" for name in NAMES
    )
    for name in NAMES:
        header = soundfile.info(synthesis.audio_path(name))
        assert (header.samplerate, header.frames) == (16_000, 320 * len(units.units[name]))


def test_a_seed_decides_a_phase_from_random_numbers(prepared: Prepared) -> None:
    for seed, out in ((0, "a"), (0, "b"), (1, "c")):
        speak = ("invert", "synthesize", prepared.inverter, prepared.units, "--out", out)
        run(*speak, "--seed", seed, "--phase", "fgla")
    one, same, other = (Path(out, "u4.wav").read_bytes() for out in "abc")
    assert one == same != other


def test_units_of_another_model_are_refused(prepared: Prepared) -> None:
    units = read_units(prepared.units)
    write_units(Path("other.parquet"), replace(units, model_id="f" * 64))
    error = run(
        "invert", "synthesize", prepared.inverter, "other.parquet", "--out", "w", code=1
    ).stderr
    assert "the units are of unit model ffffffffffff" in error
    assert f"trained on units of {units.model_id[:12]}" in error
    assert not Path("w").exists()


def test_the_voice_has_to_be_there_and_known(
    prepared: Prepared, make_corpus: Callable[..., Corpus]
) -> None:
    common = ("invert", "train", prepared.units, prepared.corpus, "--out", "i")
    assert "speakers: ana, béa" in run(*common, "--voice", "carl", code=1).stderr
    error = run(*common, code=1).stderr
    assert "2 known speakers: ana, béa" in error
    assert "--voice SPEAKER" in error
    nobody = make_corpus(2, speakers=(None,)).folder
    error = run("invert", "train", prepared.units, nobody, "--out", "i", code=1).stderr
    assert "no known speaker" in error
    assert "--speaker-from" in error
    assert not Path("i").exists()


def test_an_adversary_is_logged_and_named(prepared: Prepared) -> None:
    said = train(prepared, *QUICK, "--adversary", "wgan", "--adversary-from", 4, "--out", "i")
    assert "all steps, as an adversary has no end of its own" in said.output
    log = read_training_log(Path("i.training"))
    assert np.isnan(log["discriminator_loss"]).tolist() == [True, False, False]
    assert {"generator_loss", "score_real", "score_made", "accuracy", "contrast"} < log.keys()
    config = read_bundle(Path("i")).config["training"]
    assert config["adversary"]["form"] == "wgan"
    assert config["training"]["keep"] == "last"
    assert config["converged"] is None
    assert config["best_step"] == 6


def test_an_adversary_that_ruins_the_inverter_is_said(prepared: Prepared) -> None:
    options = ("--adversary-from", 1, "--alpha", 1e-6, "--learning-rate", 0.06, "--out", "i")
    with pytest.warns(AdversaryWarning, match="no longer follows its units"):
        said = train(prepared, *QUICK, *options).output
    assert "WARNING: at step 6 the adversary has driven the error" in said
    assert "--alpha" in said


def test_durations_are_learned_where_asked(prepared: Prepared) -> None:
    train(prepared, "--method", "unit-means", "--prosody-steps", 2, "--out", "i")
    assert "prosody" in read_bundle(Path("i")).config
    assert read_training_log(Path("i.training/prosody"))["step"] == [2]
    speak = (prepared.units, "--durations", "predicted", "--phase", "pghi", "--out", "w")
    run("invert", "synthesize", "i", *speak)
    assert list(read_synthesis(Path("w")).ids) == NAMES
    error = run("invert", "synthesize", prepared.inverter, *speak, code=1).stderr
    assert "trained without prosody" in error


def test_many_voices(prepared: Prepared) -> None:
    command = ("invert", "train", prepared.units, prepared.corpus, *QUICK, *PLAIN, "--out")
    run(*command, "all", "--all-voices")
    run(*command, "named", "--voice", "béa", "--voice", "ana")
    assert contents(Path("all")) == contents(Path("named"))
    assert read_bundle(Path("all")).config["voices"] == ["ana", "béa"]
    speak = ("invert", "synthesize", "all", prepared.units, "--out", "w")
    error = run(*speak, code=1).stderr
    assert "2 voices, and none was chosen" in error
    assert "--voice: ana, béa" in error
    assert "no voice 'carl'" in run(*speak, "--voice", "carl", code=1).stderr
    assert not Path("w").exists()
    run(*speak, "--voice", "béa")
    assert read_synthesis(Path("w")).voice == "béa"
    assert (
        "exclude each other" in run(*command, "x", "--all-voices", "--voice", "ana", code=2).stderr
    )
    assert "--like requires --speakers" in run(*speak, "--like", prepared.units, code=2).stderr


def test_the_only_voice_needs_no_name(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(3, speakers=("only",), seconds=0.4).folder
    run("discover", "kmeans", corpus, "--units", 3, "--out", "km")
    run("encode", "km", corpus, "--out", "u.parquet")
    run("invert", "train", "u.parquet", corpus, "--method", "unit-means", *QUICK, "--out", "i")
    assert read_bundle(Path("i")).config["voices"] == ["only"]


def test_units_of_an_odd_length_are_refused(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(3, speakers=("only",), seconds=0.4).folder
    run("extract", corpus, "--step-ms", 12.5, "--out", "f")
    for stride, code in ((4, 0), (1, 1)):
        options = ("--units", 3, "--stride", stride, "--features", "f", "--out", "km")
        run("discover", "kmeans", corpus, *options)
        run("encode", "km", corpus, "--out", "u.parquet")
        means = (
            "invert",
            "train",
            "u.parquet",
            corpus,
            "--method",
            "unit-means",
            *QUICK,
            "--out",
            "i",
        )
        result = run(*means, code=code)
    assert "a unit lasts 12.5 ms, which is not a multiple of 10 ms" in result.stderr


def test_utterances_of_a_frame_or_of_silence() -> None:
    Path("audio").mkdir()
    rng = np.random.default_rng(0)
    utterances = []
    for i, n in enumerate((80, 1, 159, 161, 3000, 8000)):
        wave = np.zeros(n) if n == 3000 else 0.1 * rng.standard_normal(n)
        soundfile.write(f"audio/{i}.wav", wave, 16_000)
        utterances.append(Utterance(f"u{i}", f"{i}.wav", n / 16_000, "s"))
    write_corpus(Path("c"), Corpus("c", tuple(utterances), audio_root="../audio"))
    run("discover", "kmeans", "c", "--units", 3, "--stride", 4, "--out", "km")
    run("encode", "km", "c", "--out", "u.parquet")
    run("invert", "train", "u.parquet", "c", *QUICK, "--out", "i")
    run("invert", "synthesize", "i", "u.parquet", "--out", "w")
    lengths = [soundfile.info(f"w/u{i}.wav").frames for i in range(6)]
    assert lengths == [640, 640, 640, 640, 3200, 8320]


def test_units_that_do_not_fit_the_corpus(
    prepared: Prepared, make_corpus: Callable[..., Corpus]
) -> None:
    other = make_corpus(3, speakers=("ana",)).folder
    error = run(
        "invert", "train", prepared.units, other, "--voice", "ana", "--out", "i", code=1
    ).stderr
    assert "ids of the voice ana are missing" in error
    assert "u0, u1, u2" in error
    assert not Path("i").exists()


def test_interrupted_and_repeated(prepared: Prepared) -> None:
    train(prepared, *QUICK, "--out", "whole")
    checkpoint = Path("i.training/checkpoint.safetensors")
    command = ["invert", "train", prepared.units, prepared.corpus, "--voice", "ana", "--out", "i"]
    with interrupted(Code2SpecTask, 5):
        result = CliRunner().invoke(main, [str(a) for a in (*command, *QUICK)])
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert checkpoint.exists()
    assert not Path("i").exists()

    error = train(prepared, *QUICK, "--learning-rate", 0.01, "--out", "i", code=1).stderr
    assert "other data or other settings" in error
    assert "--restart to start anew" in error

    train(prepared, *QUICK, "--out", "i")
    assert checkpoint.exists()  # for more steps
    assert read_training_log(checkpoint.parent)["step"] == [2, 4, 6]
    weights = [Path(name, "weights.safetensors").read_bytes() for name in ("whole", "i")]
    assert weights[0] == weights[1]


def test_restart_and_a_broken_checkpoint(prepared: Prepared) -> None:
    Path("i.training").mkdir()
    Path("i.training/checkpoint.safetensors").write_bytes(b"garbage")
    error = train(prepared, *QUICK, "--out", "i", code=1).stderr
    assert "checkpoint.safetensors: can't be read" in error
    train(prepared, *QUICK, "--restart", "--out", "i")
    assert Path("i/config.json").exists()


def test_divergence_is_an_error_and_no_inverter(prepared: Prepared) -> None:
    for adversary in ("none", "lsgan"):
        options = ("--learning-rate", 1e30, "--plain", "--adversary", adversary, "--out", "i")
        error = train(prepared, *QUICK, *options, code=1).stderr
        assert "training diverged at step " in error
        assert "lower --learning-rate" in error
        assert not Path("i").exists()


def test_tensorboard_gets_the_log_too(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(prepared, *QUICK, "--tensorboard", "--out", "i")
    events = EventAccumulator("i.training/tensorboard").Reload()
    log = read_training_log(Path("i.training"))
    scalars = events.Scalars("valid_loss")
    assert [s.step for s in scalars] == log["step"]
    np.testing.assert_allclose([s.value for s in scalars], log["valid_loss"], rtol=1e-5)

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "tensorboard" else find(name)
    )
    error = train(prepared, *QUICK, "--tensorboard", "--out", "j", code=1).stderr
    assert "zerochain[tensorboard]" in error


def test_precision(prepared: Prepared) -> None:
    options = (*QUICK, "--device", "cpu", "--out", "i", "--precision")
    train(prepared, *options, "bf16")
    options = (*QUICK, "--device", "cpu", "--restart", "--out", "i", "--precision")
    assert "needs a GPU" in train(prepared, *options, "fp16", code=1).stderr
    train(prepared, *options, "no")  # accelerate's state is one for a process


def test_without_a_gpu_cuda_is_refused(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU" in train(prepared, "--device", "cuda", "--out", "i", code=1).stderr
    speak = ("invert", "synthesize", prepared.inverter, prepared.units, "--out", "w")
    assert "no GPU" in run(*speak, "--device", "cuda", code=1).stderr


@pytest.mark.filterwarnings("ignore:the units were made of corpus")
def test_a_recording_with_nan_is_named(prepared: Prepared) -> None:
    shutil.copytree(prepared.root, "copy")
    broken = Path("copy/tiny-audio/u4.wav")
    wave, _ = soundfile.read(broken)
    wave[77] = np.nan
    soundfile.write(broken, wave, 16_000, subtype="FLOAT")
    corpus = Path("copy/tiny/corpus.json")
    root = str(prepared.root / "tiny-audio")
    corpus.write_text(corpus.read_text().replace(root, "../tiny-audio"))
    command = ("invert", "train", prepared.units, "copy/tiny", "--voice", "ana", "--out", "i")
    error = run(*command, code=1).stderr
    assert "u4.wav: NaN or infinity in 1 sample" in error
    assert not Path("i").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--width", 12), "a multiple of 8"),
        (("--width", 0), "--width"),
        (("--steps", 0), "--steps"),
        (("--learning-rate", 0), "--learning-rate"),
        (("--learning-rate", "nan"), "--learning-rate"),
        (("--learning-rate", "inf"), "--learning-rate"),
        (("--scale", "mel"), "--scale"),
        (("--method", "vocoder"), "vocoder"),
        (("--seed", -1), "--seed"),
        (("--alpha", 0), "--alpha"),
        (("--alpha", "inf"), "alpha"),
        (("--adversary", "gan"), "--adversary"),
        (("--adversary-from", 0), "--adversary-from"),
    ],
)
def test_usage_errors_exit_with_2(
    prepared: Prepared, options: tuple[object, ...], said: str
) -> None:
    assert said in train(prepared, *options, "--out", "i", code=2).stderr


def test_a_foreign_folder_is_refused_before_the_work(prepared: Prepared) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("years of work")
    for error in (
        train(prepared, "--out", "mine", code=1).stderr,
        run(
            "invert", "synthesize", prepared.inverter, prepared.units, "--out", "mine", code=1
        ).stderr,
    ):
        assert "mine: exists and is not a folder that zerochain made" in error
    assert not Path("mine.training").exists()
    assert [p.name for p in Path("mine").iterdir()] == ["thesis.tex"]


def test_swapped_and_broken_arguments(prepared: Prepared) -> None:
    units, corpus, inverter = prepared.units, prepared.corpus, prepared.inverter
    km = prepared.root / "km"
    assert "is a directory" in run("invert", "train", corpus, units, "--out", "i", code=2).stderr
    speak = ("invert", "synthesize")
    error = run(*speak, km, units, "--out", "w", code=1).stderr
    assert "holds a kmeans, not a code2spec or unit-means" in error
    assert "not a unit model" in run("encode", inverter, corpus, "--out", "u", code=1).stderr
    Path("empty.parquet").touch()
    for bad in ("empty.parquet", "none.parquet", corpus / "utterances.parquet"):
        error = run(*speak, inverter, bad, "--out", "w", code=1).stderr
        assert Path(bad).name in error
        assert "fix:" in error or "no such file" in error
    assert not Path("w").exists()


def test_one_unit_is_spoken_in_its_length(prepared: Prepared) -> None:
    units = read_units(prepared.units)
    one = UnitFile(
        {"one": np.array([3], np.int32), "two": np.array([0, 5], np.int32)},
        units.n_units,
        units.step_ms,
        units.model_id,
        "by hand",
        durations={"one": np.array([1], np.int32), "two": np.array([2, 3], np.int32)},
    )
    write_units(Path("one.parquet"), one)
    run("invert", "synthesize", prepared.inverter, "one.parquet", "--out", "w")
    assert soundfile.info("w/one.wav").frames == 320
    assert soundfile.info("w/two.wav").frames == 5 * 320


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))"
KILLED = """
    import os, signal
    from zerochain import audio
    write = audio.write_chunks
    def deadly(path, *rest):
        write(path, *rest)
        if path.name == "u4.wav":
            os.kill(os.getpid(), signal.SIGKILL)
    audio.write_chunks = deadly
"""


@pytest.mark.usefixtures("warm")
def test_a_full_disk_and_a_kill_leave_the_former_wavs(prepared: Prepared, tmp_path: Path) -> None:
    speak = ("invert", "synthesize", prepared.inverter, prepared.units, "--out")
    done = run_apart(FULL, *speak, "new")
    assert done.returncode == 1
    assert "the disk (or the quota) is full" in done.stderr
    assert "new/" in done.stderr
    assert not Path("new").exists()

    run(*speak, "w", "--phase", "pghi")
    former = contents(Path("w"))
    assert run_apart(FULL, *speak, "w").returncode == 1
    assert not leftovers(tmp_path)
    assert run_apart(KILLED, *speak, "w").returncode == -signal.SIGKILL
    assert contents(Path("w")) == former
    assert list(read_synthesis(Path("w")).ids) == NAMES

    run(*speak, "w")
    assert contents(Path("w")) != former
