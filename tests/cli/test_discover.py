"""extract, discover kmeans, encode: from recordings to units, and whatever goes wrong there."""

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from commands import leftovers, run, run_apart
from conftest import voice
from zerochain.cli import main
from zerochain.cli.common import Command
from zerochain.formats.bundle import bundle_id, read_bundle
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import read_features
from zerochain.formats.units import UnitFile, read_units

RATE = 16_000


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def corpus_of(waves: dict[str, np.ndarray], rate: int = RATE, speaker: str | None = "s") -> Path:
    """A corpus of these recordings, float WAVs, in the folder "c"."""
    utterances = []
    for i, (name, wave) in enumerate(waves.items()):
        Path("audio").mkdir(exist_ok=True)
        soundfile.write(f"audio/{i}.wav", wave, rate, subtype="FLOAT")
        utterances.append(Utterance(name, f"{i}.wav", len(wave) / rate, speaker))
    write_corpus(Path("c"), Corpus("c", tuple(utterances), audio_root="../audio"))
    return Path("c")


def speech(seconds: float = 0.6, rate: int = RATE) -> np.ndarray:
    return voice(np.random.default_rng(0), seconds, 120, rate)


def discovered(corpus: object, *options: object, units: int = 6) -> UnitFile:
    """The units of a corpus, of a model fitted on it."""
    run("discover", "kmeans", corpus, "--units", units, "--out", "km", *options)
    run("encode", "km", corpus, "--out", "u.parquet")
    return read_units(Path("u.parquet"))


def same_units(left: UnitFile, right: UnitFile) -> bool:
    return left.ids == right.ids and all(
        np.array_equal(left.units[name], right.units[name]) for name in left.ids
    )


@pytest.mark.parametrize("kind", ["mfcc", "log-mel"])
def test_a_features_folder_saves_time_and_changes_nothing(
    make_corpus: Callable[..., Corpus], kind: str
) -> None:
    corpus = make_corpus().folder
    assert "6 utterances" in run("extract", corpus, "--features", kind, "--out", "f").output
    common = ("discover", "kmeans", corpus, "--units", 6)
    said = run(*common, "--features", kind, "--out", "without").output
    assert said.startswith("without: kmeans K=6 1T")
    run(*common, "--features", "f", "--out", "with")
    assert bundle_id(Path("with")) == bundle_id(Path("without"))
    said = run("encode", "without", corpus, "--out", "without.parquet").output
    assert said.startswith("without.parquet: 6 utterances, ")
    run("encode", "with", corpus, "--features", "f", "--out", "with.parquet")
    one, two = read_units(Path("with.parquet")), read_units(Path("without.parquet"))
    assert same_units(one, two)
    assert one.model_id == bundle_id(Path("with"))
    assert one.speakers == {f"u{i}": ("ana", "béa")[i % 2] for i in range(6)}
    assert len(np.unique(np.concatenate(list(one.units.values())))) == 6


def test_a_split_is_fitted_and_encoded_alone(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus()
    run("discover", "kmeans", corpus.folder, "--split", "train", "--units", 4, "--out", "km")
    part = write_corpus(Path("part"), replace(corpus.select(split="train"), folder=None))
    run("discover", "kmeans", part.folder, "--units", 4, "--out", "km-part")
    codebooks = [read_bundle(Path(name)).tensors["codebook"] for name in ("km", "km-part")]
    np.testing.assert_allclose(*codebooks, atol=1e-4)
    run("encode", "km", corpus.folder, "--out", "all.parquet")
    run("encode", "km", corpus.folder, "--split", "test", "--out", "test.parquet")
    whole, test = read_units(Path("all.parquet")), read_units(Path("test.parquet"))
    assert test.ids == ["u2", "u5"]
    for name in test.ids:
        np.testing.assert_array_equal(test.units[name], whole.units[name])
    error = run("encode", "km", corpus.folder, "--split", "dev", "--out", "x", code=1).stderr
    assert "splits: test, train" in error


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_a_unit_lasts_the_stride(make_corpus: Callable[..., Corpus], stride: int) -> None:
    corpus = make_corpus(3)
    units = discovered(corpus.folder, "--stride", stride)
    assert units.step_ms == 10 * stride
    for u in corpus.utterances:
        n_frames = 1 + round(u.duration * RATE) // 160
        assert len(units.units[u.id]) == -(-n_frames // stride)


@pytest.mark.parametrize(
    ("speakers", "asked", "got"),
    [
        (("ana", "béa"), "auto", "speaker"),
        (("only",), "auto", "speaker"),
        ((None,), "auto", "utterance"),
        (("ana", None), "auto", "utterance"),
        (("ana", None), "speaker", "speaker"),
        (("ana",), "none", "none"),
        ((None,), "corpus", "corpus"),
        (("ana",), "utterance", "utterance"),
    ],
)
def test_normalisation_and_speakers(
    make_corpus: Callable[..., Corpus], speakers: tuple[str | None, ...], asked: str, got: str
) -> None:
    units = discovered(make_corpus(3, speakers=speakers).folder, "--normalisation", asked)
    assert units.method == f"kmeans K=6 1T mfcc norm={got} ±4→40"
    assert list(units.speakers.values()) == [speakers[i % len(speakers)] for i in range(3)]


def test_names_of_any_language() -> None:
    names = ["ŋá/ɓú 1", "мир", "它.wav", "-x", "a b/c"]
    corpus = corpus_of({name: speech() for name in names}, speaker="Zoë ✨ 李")
    units = discovered(corpus)
    assert units.ids == names
    assert set(units.speakers.values()) == {"Zoë ✨ 李"}
    assert same_units(units, replace(units, units=dict.fromkeys(names, units.units["мир"])))


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_other_sample_rates_and_channels(rate: int) -> None:
    mono = speech(0.6, rate)
    corpus = corpus_of({"mono": mono, "stereo": np.stack([mono, mono], axis=1)}, rate)
    units = discovered(corpus, units=4).units
    assert len(units["mono"]) == len(units["stereo"]) == 61
    np.testing.assert_array_equal(units["mono"], units["stereo"])


def test_recordings_of_one_frame_silence_and_clipping() -> None:
    waves = {
        "click": speech()[:80],
        "silence": np.zeros(RATE // 2, np.float32),
        "clipped": np.clip(20 * speech(), -1, 1),
        "speech": speech(),
    }
    units = discovered(corpus_of(waves), "--normalisation", "corpus").units
    assert [len(units[name]) for name in waves] == [1, 51, 61, 61]
    assert len(set(units["silence"].tolist())) == 1
    assert len(set(units["clipped"].tolist())) > 1


@pytest.mark.parametrize("kind", ["none", "corpus", "speaker", "utterance"])
def test_nothing_but_silence_of_one_frame(kind: str) -> None:
    corpus = corpus_of({"a": np.zeros(80), "b": np.zeros(1)})
    units = discovered(corpus, "--normalisation", kind, "--stride", 4, units=2)
    assert {name: len(u) for name, u in units.units.items()} == {"a": 1, "b": 1}


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def poisoned(path: Path) -> None:
    wave, _ = soundfile.read(path)
    wave[100] = np.nan
    soundfile.write(path, wave, RATE, subtype="FLOAT")


def shortened(path: Path) -> None:
    wave, _ = soundfile.read(path)
    soundfile.write(path, wave[: len(wave) // 2], RATE)


BROKEN = {
    "cut short": truncated,
    "NaN": poisoned,
    "empty": lambda path: path.write_bytes(b""),
    "no such file": Path.unlink,
    "not a readable sound file": lambda path: path.write_text("hello " * 99),
    "s when it was imported": shortened,
}


@pytest.mark.parametrize("found", BROKEN)
def test_recordings_that_broke_after_the_import(
    make_corpus: Callable[..., Corpus], tmp_path: Path, found: str
) -> None:
    corpus = make_corpus(4)
    discovered(corpus.folder)
    before = Path("u.parquet").read_bytes(), bundle_id(Path("km"))
    broken = corpus.audio_path(corpus.by_id["u2"])
    BROKEN[found](broken)
    discover = ("discover", "kmeans", corpus.folder, "--units", 4)
    for command in (
        ("extract", corpus.folder, "--out", "new"),
        (*discover, "--out", "new"),
        (*discover, "--out", "km"),
        ("encode", "km", corpus.folder, "--out", "new"),
        ("encode", "km", corpus.folder, "--out", "u.parquet"),
    ):
        error = run(*command, code=1).stderr
        assert error.startswith(f"Error: {broken}: ")
        assert found in error
        assert "fix: " in error
    assert not Path("new").exists()
    assert before == (Path("u.parquet").read_bytes(), bundle_id(Path("km")))
    assert not leftovers(tmp_path)


def test_features_of_another_corpus_or_kind_are_refused(make_corpus: Callable[..., Corpus]) -> None:
    mine, other = make_corpus(3).folder, make_corpus(3, name="other").folder
    run("extract", other, "--out", "other-f")
    run("extract", mine, "--n-mels", 40, "--out", "f40")
    discover = ("discover", "kmeans", mine, "--units", 4, "--out", "km")
    error = run(*discover, "--features", "other-f", code=1).stderr
    assert "other-f: the features are of corpus" in error
    assert "not of tiny" in error
    assert "no such file" in run(*discover, "--features", "mfc", code=1).stderr
    assert not Path("km").exists()
    run(*discover)
    encode = ("encode", "km", mine, "--out", "u.parquet", "--features")
    assert "the features are of corpus" in run(*encode, "other-f", code=1).stderr
    error = run(*encode, "f40", code=1).stderr
    assert "'n_mels': 40" in error
    assert "use no --features" in error
    assert not Path("u.parquet").exists()


def test_more_units_than_frames_are_refused() -> None:
    corpus = corpus_of({"a": speech(0.2)})
    error = run("discover", "kmeans", corpus, "--units", 22, "--out", "km", code=1).stderr
    assert "22 units can't be found in 21 frames" in error
    assert "--units 21 at most" in error
    assert not Path("km").exists()
    assert len(discovered(corpus, units=21).units["a"]) == 21


def test_without_a_gpu_cuda_is_refused(
    make_corpus: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    corpus = make_corpus(2).folder
    discovered(corpus, "--device", "auto")
    for command in (
        ("extract", corpus),
        ("discover", "kmeans", corpus),
        ("encode", "km", corpus),
    ):
        error = run(*command, "--out", "new", "--device", "cuda", code=1).stderr
        assert "torch sees no GPU" in error
        assert "--device auto" in error
    assert not Path("new").exists()


def test_a_foreign_folder_is_refused_before_the_work(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(3)
    discovered(corpus.folder)
    corpus.audio_path(corpus.utterances[0]).unlink()  # what the work would stumble over
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("years of work")
    for command in (("extract", corpus.folder), ("discover", "kmeans", corpus.folder)):
        error = run(*command, "--out", "mine", code=1).stderr
        assert "mine: exists and is not a folder that zerochain made" in error
        assert "choose another path" in error
    assert "is a directory" in run("encode", "km", corpus.folder, "--out", "mine", code=2).stderr
    assert [p.name for p in Path("mine").iterdir()] == ["thesis.tex"]


def test_again_gives_the_same_and_another_seed_another(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus().folder
    one, two = discovered(corpus), discovered(corpus)
    assert one.id == two.id
    assert discovered(corpus, "--seed", 1).model_id != one.model_id


def test_a_random_subset_of_the_frames(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(3).folder
    options = ("--units", 4, "--max-frames", 50, "--out", "km")
    assert " 50 frames" in run("discover", "kmeans", corpus, *options).output


def test_options_of_an_extractor_reach_it(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(1)
    options = ("--features", "log-mel", "--n-mels", 20, "--step-ms", 5, "--window-ms", 20)
    run("extract", corpus.folder, *options, "--out", "f")
    features = read_features(Path("f"))
    assert (features.dim, features.step_ms, features.options["window_ms"]) == (20, 5, 20)
    assert len(features["u0"]) == 1 + round(corpus.utterances[0].duration * RATE) // 80
    run("discover", "kmeans", corpus.folder, "--units", 4, "--features", "f", "--out", "km")
    run("encode", "km", corpus.folder, "--out", "u.parquet")  # extracts with the same options
    assert read_units(Path("u.parquet")).step_ms == 5


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("extract", "c"), "Missing option '--out'"),
        (("extract", "c", "--out", "f", "--features", "plp"), "plp"),
        (("extract", "c", "--out", "f", "--step-ms", "nan"), "--step-ms"),
        (("extract", "c", "--out", "f", "--step-ms", "inf"), "--step-ms"),
        (("extract", "c", "--out", "f", "--step-ms", "0.01"), "step_ms"),
        (("extract", "c", "--out", "f", "--step-ms", "11.6"), "the nearest is 11.625"),
        (("extract", "c", "--out", "f", "--window-ms", "0"), "window_ms"),
        (("extract", "c", "--out", "f", "--n-mels", "5"), "too few for 13 cepstra"),
        (("extract", "c", "--out", "f", "--jobs", "0"), "--jobs"),
        (("discover", "kmeans", "c", "--out", "km", "--units", "0"), "--units"),
        (("discover", "kmeans", "c", "--out", "km", "--units", "many"), "many"),
        (("discover", "kmeans", "c", "--out", "km", "--stride", "0"), "--stride"),
        (("discover", "kmeans", "c", "--out", "km", "--seed", "-1"), "--seed"),
        (("discover", "kmeans", "c", "--out", "km", "--speed", "1"), "--speed"),
        (("discover", "kmeens", "c", "--out", "km"), "kmeens"),
        (("encode", "km", "--out", "u.parquet"), "CORPUS"),
        (("encode", "km", "c", "--out", "u.parquet", "--features", "f.parquet"), "f.parquet"),
    ],
)
def test_usage_errors_exit_with_2(command: tuple[str, ...], said: str) -> None:
    Path("f.parquet").touch()
    assert said in run(*command, code=2).stderr


def test_what_is_no_corpus_or_model_exits_with_1(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(2).folder
    Path("empty").mkdir()
    assert "corpus.json: no such file" in run("extract", "empty", "--out", "f", code=1).stderr
    error = run("encode", corpus, corpus, "--out", "u.parquet", code=1).stderr
    assert "config.json: no such file" in error
    discovered(corpus)
    Path("km/weights.safetensors").write_bytes(b"")
    error = run("encode", "km", corpus, "--out", "u2.parquet", code=1).stderr
    assert "weights.safetensors: can't be read" in error


class TestConfig:
    """--config FILE.yaml."""

    def write(self, text: str) -> Path:
        Path("o.yaml").write_text(text, encoding="utf-8")
        return Path("o.yaml")

    def test_the_same_names_and_the_command_line_wins(
        self, make_corpus: Callable[..., Corpus]
    ) -> None:
        corpus = make_corpus().folder
        config = self.write("units: 5\nstride: 2\nmax-frames: 70\nsplit: train\nout: km\n")
        said = run("discover", "kmeans", corpus, "--config", config).output
        assert said.startswith("km: kmeans K=5 2T mfcc norm=speaker ±4→40, 70 frames")
        said = run("discover", "kmeans", corpus, "--stride", 4, "--config", config).output
        assert "K=5 4T" in said

    def test_null_and_an_empty_file_are_the_defaults(
        self, make_corpus: Callable[..., Corpus]
    ) -> None:
        corpus = make_corpus(2).folder
        run("extract", corpus, "--config", self.write("jobs: null\n"), "--out", "f")
        run("extract", corpus, "--config", self.write("\n"), "--out", "g")
        assert read_features(Path("f")).id == read_features(Path("g")).id

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("unit: 5", "unknown option 'unit'; the options are "),
            ("config: other.yaml", "unknown option 'config'"),
            ("units: many", "many"),
            ("units: 0", "--units"),
            ("units: [1, 2]", "--units"),
            ("units: 1.5", "1.5"),
            ("features: {a: 1}", "--features can't be {'a': 1}"),
            ("split: no", "--split can't be False"),
            ("- units", "does not contain a table of options"),
            ("units", "does not contain a table of options"),
            ("units: [", "is not YAML"),
            ("device: tpu", "tpu"),
        ],
    )
    def test_mistakes_are_named(self, text: str, said: str) -> None:
        config = self.write(text)
        error = run("discover", "kmeans", "c", "--out", "km", "--config", config, code=2).stderr
        assert said in error

    def test_flags_and_options_that_are_given_several_times(self) -> None:
        @click.command(cls=Command)
        @click.option("--many", multiple=True)
        @click.option("--one/--other", default=True)
        @click.option("--day")
        def show(**options: object) -> None:
            click.echo(json.dumps(options))

        def shown(text: str) -> object:
            result = CliRunner().invoke(show, ["--config", str(self.write(text))])
            assert result.exit_code == 0, result.output
            return json.loads(result.output)

        one = shown("many: abc\none: false\nday: 2019-01-01")
        assert one == {"many": ["abc"], "one": False, "day": "2019-01-01"}
        assert shown("many: [a, 1]") == {"many": ["a", "1"], "one": True, "day": None}
        self.write("one: maybe")
        assert CliRunner().invoke(show, ["--config", "o.yaml"]).exit_code == 2

    def test_a_missing_or_binary_file(self) -> None:
        common = ("discover", "kmeans", "c", "--out", "km", "--config")
        assert "does not exist" in run(*common, "none.yaml", code=2).stderr
        Path("o.yaml").write_bytes(b"\xff\xfe\x00")
        assert "is not YAML" in run(*common, "o.yaml", code=2).stderr


@pytest.mark.usefixtures("warm")
def test_a_full_disk_leaves_nothing(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus(4).folder
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    for command in (
        ("extract", corpus, "--out", "new"),
        ("discover", "kmeans", corpus, "--units", 4, "--out", "new"),
    ):
        done = run_apart(limit, *command)
        assert done.returncode == 1, done.stderr
        assert "the disk (or the quota) is full" in done.stderr
        assert "Traceback" not in done.stderr
    assert not Path("new").exists()
    assert not leftovers(tmp_path)


def commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)


@pytest.mark.parametrize(
    ("names", "command"), [pytest.param(n, c, id=" ".join(n)) for n, c in commands(main)]
)
def test_every_command_has_help_with_an_example(
    names: tuple[str, ...], command: click.Command
) -> None:
    for flag in ("--help", "-h"):
        result = CliRunner().invoke(main, [*names, flag])
        assert result.exit_code == 0
    if isinstance(command, click.Group):
        return
    usage, example = result.output.split("Example:")
    assert f"zerochain {' '.join(names)} " in example
    assert "--config" in usage
    options = [p for p in command.params if isinstance(p, click.Option)]
    for option in options:
        assert option.opts[0] in usage


def imports_its_stage(command: click.Command) -> bool:
    """Whether the command's file imports, at its top, what the command runs."""
    if command.callback is None:
        return False
    file = inspect.getsourcefile(sys.modules[command.callback.__module__])
    assert file
    top = [
        n.module or ""
        for n in ast.parse(Path(file).read_text()).body
        if isinstance(n, ast.ImportFrom)
    ]
    return any(re.match(r"zerochain\.(?!cli)\w+\.", n) for n in top)


def test_help_loads_nothing_slow() -> None:
    """But for commands whose files import their stage; groups: `test_lazy.py`."""
    every = [" ".join(names) for names, one in commands(main) if not imports_its_stage(one)]
    assert every
    script = f"""
import sys
from click.testing import CliRunner
from zerochain.cli import main
for names in {every!r}:
    assert CliRunner().invoke(main, [*names.split(), "--help"]).exit_code == 0
print(*{{name.split(".")[0] for name in sys.modules}})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    slow = {"torch", "numba", "sklearn", "librosa", "scipy", "matplotlib", "pyarrow", "accelerate"}
    assert not slow & set(done.stdout.split())
