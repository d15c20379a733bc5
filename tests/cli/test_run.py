"""`zerochain run`: its settings, its errors, and the pipelines from recordings to the page."""

import fcntl
import importlib.util
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from commands import jobs, run, settings
from tones import phone_corpus
from zerochain.cli import main
from zerochain.cli.ending import STEP, ending_together
from zerochain.cli.run import change, overlay
from zerochain.formats.bundle import read_bundle
from zerochain.formats.corpus import Corpus, write_corpus
from zerochain.formats.phones import read_phones
from zerochain.formats.scores import read_scores
from zerochain.formats.synthesis import read_synthesis
from zerochain.formats.units import read_units
from zerochain.machine import resource

SMALL = "--batch-size 2 --prosody-steps 5"
"""Of trainings whose steps are looked at, and not what they learn."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("warm")
def test_chain(capfd: pytest.CaptureFixture[str]) -> None:
    """One test, for the run that its parts look at takes half a minute."""
    corpus = phone_corpus(Path("my corpora/tönes"))
    given = {
        "corpus": corpus.folder,
        "voice": "ana",
        "systems": "[{units: 8, stride: 1}, {units: 6, stride: 2}]",
        "inverter.units": 8,
        "inverters.unit-means": "train --method unit-means --prosody-steps 0",
        "inverters.code2spec": f"train --width 8 --steps 20 {SMALL}",
        "inverters.convnext": f"train-neural --width 8 --f0-steps 5 --steps 10 {SMALL}",
        "speaker_steps": 5,
        "judge": "none",
    }
    chain = ("run", "chain", "--out", "my runs/ü", "--cores", 2, *settings(given))
    assert "Done: " in run(*chain).stdout
    out = Path("my runs/ü")
    assert "22 of 22 steps (100%) done" in capfd.readouterr().err

    config = yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))
    assert config["corpus"] == str(Path("my corpora/tönes").absolute())
    assert config["systems"] == [{"units": 8, "stride": 1}, {"units": 6, "stride": 2}]
    assert (config["voice"], config["inverter"]["units"], config["seed"]) == ("ana", 8, 0)

    tests = ["u2", "u3", "u6", "u7"]
    for system, n_units, step_ms in (("km8-1t", 8, 10), ("km6-2t", 6, 20)):
        model = read_bundle(out / "models" / system)
        everything = read_units(out / "units" / f"{system}.parquet")
        test = read_units(out / "units" / f"{system}.test.parquet")
        assert (everything.n_units, everything.step_ms) == (n_units, step_ms)
        assert everything.model_id == test.model_id == model.id
        assert (everything.ids, test.ids) == (corpus.ids, tests)
        scores = {s.metric: s for s in read_scores(out / "scores" / f"{system}.jsonl")}
        assert {s.system for s in scores.values()} == {system}
        assert list(scores) == [
            "abx_within_%",
            "abx_across_%",
            "bitrate_bit/s",
            "segment_bitrate_bit/s",
            "timed_segment_bitrate_bit/s",
            "factored_segment_bitrate_bit/s",
            "codebook_usage",
            "perplexity",
        ]
        assert scores["abx_within_%"].value < 10  # three clean vowels
        assert scores["bitrate_bit/s"].inputs["units"] == test.id
    spoken = read_units(out / "units" / "km8-1t.test.parquet")
    for inverter in ("code2spec", "unit-means", "convnext"):
        assert read_bundle(out / "inverters" / inverter).model == inverter
        synthesis = read_synthesis(out / "wavs" / inverter)
        assert list(synthesis.ids) == tests
        assert synthesis.units_id == spoken.id
        scores = {s.metric: s for s in read_scores(out / f"scores/resynthesis-{inverter}.jsonl")}
        assert {"log_spectral_distance_dB", "estoi", "mcd_sp2mc24_dB"} <= set(scores)
        assert scores["estoi"].n == 2  # ana's
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    for part in ("km8-1t", "km6-2t", "code2spec", "unit-means", "béa"):
        assert part in page

    made = {p: p.stat().st_mtime_ns for p in out.rglob("*") if ".snakemake" not in str(p)}
    run(*chain)
    assert "Nothing to be done" in capfd.readouterr().err
    settled = out / "config.yaml"
    assert {settled} >= {
        p for p, time in made.items() if p.is_file() and p.stat().st_mtime_ns != time
    }

    def planned(values: dict[str, object]) -> dict[str, int]:
        run(*chain, *settings(values), "--", "--dry-run")
        return jobs(capfd.readouterr().out)

    def retrained(options: str, *more: str) -> tuple[dict[str, Any], str]:
        changed = settings({"inverters.code2spec": f"train {options} {SMALL}"})
        run(*chain, *changed, *more, "--", "inverters/code2spec")
        return read_bundle(out / "inverters/code2spec").config, capfd.readouterr().err

    longer, said = retrained("--width 8 --steps 25")
    assert longer["training"]["extended_at"] == [20]
    assert "continues from step 20 of 25" in said
    wider, said = retrained("--width 16 --steps 25")
    assert (wider["training"]["extended_at"], wider["network"]["width"]) == ([], 16)
    assert "starts anew, as something changed: width=8 → 16" in said
    again, said = retrained("--width 16 --steps 25", "--restart", "invert")
    assert again == wider
    assert "step 25 of 25" in said
    assert "already finished" not in said

    seed = planned({"seed": 1})
    assert (seed["discover"], seed["encode"], seed["score"], seed["invert"]) == (2, 2, 2, 3)
    assert "extract" not in seed
    both = planned({"protocol": "phone", "inverters.code2spec": "train --width 8 --steps 21"})
    assert (both["score"], both["invert"], both["report"]) == (2, 1, 1)
    assert not {"extract", "discover", "encode"} & set(both)
    moved = tuple(replace(u, split="train") if u.id == "u2" else u for u in corpus.utterances)
    phones = read_phones(Path("my corpora/tönes/phones.parquet"))
    write_corpus(Path("my corpora/tönes"), replace(corpus, utterances=moved), phones)
    assert planned({})["extract"] == 1


@pytest.mark.usefixtures("warm")
def test_a_failing_step_says_why(
    make_corpus: Callable[..., Corpus], capfd: pytest.CaptureFixture[str]
) -> None:
    corpus = make_corpus(3)
    broken = corpus.audio_path(corpus.utterances[1])
    broken.write_bytes(broken.read_bytes()[:2000])
    given = {"corpus": corpus.folder, "abx": "false", "voice": "ana"}
    error = run("run", "chain", "--out", "r", *settings(given), code=1).stderr
    assert "r: pipeline 'chain' failed" in error
    assert "the first error above" in error
    assert f"Error: {broken}: cut short: the header promises " in capfd.readouterr().err
    assert not Path("r/features").exists()
    assert Path("r/config.yaml").exists()


@pytest.mark.usefixtures("warm")
def test_a_chain_without_a_corpus_or_its_phones(
    make_corpus: Callable[..., Corpus], capfd: pytest.CaptureFixture[str]
) -> None:
    run("run", "chain", "--out", "r", code=1)
    assert "give one with --set corpus=FOLDER" in capfd.readouterr().err
    run("run", "tradeoff", "--out", "r", code=1)
    assert "--set copies.mboshi=" in capfd.readouterr().err
    corpus = make_corpus(3)
    given = ("run", "chain", "--out", "r", "--set", f"corpus={corpus.folder}")
    assert "phones.parquet, which ABX needs" in run(*given, code=1).stderr
    error = run(*given, "--set", "abx=false", "--set", "train_split=trian", code=1).stderr
    assert "train_split is 'trian'" in error
    assert "it has test, train" in error
    moved = tuple(replace(u, speaker=None) if u.split == "test" else u for u in corpus.utterances)
    write_corpus(Path("unheard"), replace(corpus, utterances=moved))
    unheard = settings({"corpus": Path("unheard"), "abx": "false", "voice": "ana"})
    error = run("run", "chain", "--out", "r", *unheard, code=1).stderr
    assert "no utterance of split 'test'" in error
    assert not Path("r/features").exists()


@pytest.mark.usefixtures("warm")
def test_a_pipeline_of_ones_own(capfd: pytest.CaptureFixture[str]) -> None:
    recipe = Path("my {recipes} %#/greet")
    recipe.mkdir(parents=True)
    (recipe / "config.yaml").write_text("name: nobody\n")
    (recipe / "Snakefile").write_text(
        "rule all:\n    output: 'greeting'\n    params: name=config['name']\n"
        "    shell: 'echo hello {params.name:q} > {output}'\n"
    )
    common = ("run", recipe, "--out", "r", "--set", "name=José's 李")
    run(*common, "--dry-run")
    assert not Path("r/greeting").exists()
    assert not Path("r/config.yaml").exists()
    assert "Done: " in run(*common).stdout
    assert Path("r/greeting").read_text(encoding="utf-8") == "hello José's 李\n"
    config = Path("r/config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(config) == {"name": "José's 李"}
    assert "unrecognized arguments" not in capfd.readouterr().err
    run("run", recipe, "--out", "r", "--set", "name=another", "--", "-n")
    assert Path("r/config.yaml").read_text(encoding="utf-8") == config
    run(*common, "--no-such-option-of-snakemake", code=1)
    assert "--no-such-option-of-snakemake" in capfd.readouterr().err
    (recipe / "loud.yaml").write_text("name: EVERYBODY\n")
    run("run", recipe, "--out", "loud", "--configfile", "loud.yaml")
    assert Path("loud/greeting").read_text() == "hello EVERYBODY\n"


@contextmanager
def begun(
    step: str, *command: str, before: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """zerochain in processes of its own, once a step has written a file; they are killed then.

    Args:
        before: words before the command's.
    """
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "zerochain", *command],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not Path(step).exists():
            assert process.poll() is None
            time.sleep(0.05)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_one_run_at_a_time_and_a_killed_one_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    Path("slow").mkdir()
    Path("slow/config.yaml").write_text("after: null\n")
    Path("slow/Snakefile").write_text(
        "rule all:\n    output: 'done'\n"
        "    shell: 'touch begun; until [ -e go ]; do sleep 0.1; done; touch {output}'\n"
    )
    command = ("run", "slow", "--out", "r")
    with begun("r/begun", *command):
        error = run(*command, "--set", "after=1", code=1).stderr
        assert "another 'zerochain run' is at work here" in error
        assert "null" in Path("r/config.yaml").read_text()
    folder = os.open("r", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # waits until its Snakemake is dead too
    os.close(folder)
    Path("r/go").touch()
    run(*command)
    assert Path("r/done").exists()


@pytest.mark.parametrize("ignored", [False, True], ids=["", "nohup"])
def test_a_run_that_is_told_to_end_ends_its_steps(ignored: bool) -> None:
    """Also where Ctrl-C is ignored, as a shell without job control has it behind `&`."""
    Path("slow").mkdir()
    Path("slow/config.yaml").write_text("{}\n")
    Path("slow/Snakefile").write_text(
        "rule all:\n    output: 'done'\n"
        "    shell: 'echo $$ > step.new; mv step.new step; sleep 600; touch {output}'\n"
    )
    before = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"] if ignored else []
    with begun("r/step", "run", "slow", "--out", "r", before=before) as process:
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
        folder = os.open("r", os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its Snakemake has ended
        os.close(folder)
        with pytest.raises(ProcessLookupError):
            os.kill(int(Path("r/step").read_text()), 0)
        assert not Path("r/done").exists()


def in_a_terminal(command: Sequence[str], step: str) -> tuple[int, str]:
    """Run a command in a terminal of its own, press Ctrl-C once a step has written a file.

    Returns:
        Its exit code, and what the terminal shows after that.
    """
    ours, theirs = pty.openpty()
    there = (
        "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "signal.signal(signal.SIGINT, signal.SIG_DFL); "  # tests in the background ignore it
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", there, *command],
        start_new_session=True,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        while not Path(step).exists():
            assert process.poll() is None
            if select.select([ours], [], [], 0.05)[0]:
                os.read(ours, 1 << 16)
        os.write(ours, b"\x03")
        shown = b""
        with suppress(OSError):  # what a terminal gives where nobody writes to it any more
            while more := os.read(ours, 1 << 16):
                shown += more
        return process.wait(), shown.decode()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(ours)


def test_ctrl_c_ends_a_run_within_a_run_with_one_line() -> None:
    """Neither Snakemake's account of steps that ended nor one line of each command."""
    for name, made, shell in (
        ("within", "done", "echo $$ > step.new; mv step.new step; sleep 600"),
        ("whole", "part/done", "{Z:q} run ../within --out=part --cores=1"),
    ):
        Path(name).mkdir()
        Path(name, "config.yaml").write_text("{}\n")
        Path(name, "Snakefile").write_text(
            f"Z = {[sys.executable, '-m', 'zerochain']}\n"
            f"rule all:\n    output: {made!r}\n    shell: {shell!r}\n"
        )
    command = [sys.executable, "-m", "zerochain", "run", "whole", "--out", "r", "--cores", "1"]
    code, shown = in_a_terminal(command, "r/part/step")
    # For a shell both are 130: Python dies of the signal itself where it meets it in some imports.
    assert code in {128 + signal.SIGINT, -signal.SIGINT}
    said = [line for line in shown.removeprefix("^C").splitlines() if line]
    assert said == ["Interrupted: the same command continues it, and finished steps are kept"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("r/part/step").read_text()), 0)
    for out in ("r", "r/part"):
        folder = os.open(out, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its Snakemake has ended
        os.close(folder)


def test_ctrl_c_ends_any_command_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zerochain.cli.show._other", interrupt)
    ended = CliRunner().invoke(main, ["show", "."])
    assert (ended.exit_code, ended.output) == (128 + signal.SIGINT, "\nInterrupted\n")
    monkeypatch.setenv(STEP, "1")  # of a run, which says it
    ended = CliRunner().invoke(main, ["show", "."])
    assert (ended.exit_code, ended.output) == (128 + signal.SIGINT, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_request_to_end_is_kept_where_exceptions_are_dropped(
    number: signal.Signals,
) -> None:
    class Dropped:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    def interrupted() -> None:
        asleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        with (
            subprocess.Popen(asleep, stderr=subprocess.DEVNULL) as process,
            ending_together(process),
        ):
            Dropped()
            process.kill()  # where Ctrl-C is ignored it sleeps on

    kind = SystemExit if number == signal.SIGTERM else KeyboardInterrupt
    # Where tests run in the background, Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(kind) as ended:
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    if isinstance(ended.value, SystemExit):
        assert ended.value.code == 128 + number


def test_an_unknown_pipeline_lists_those_there_are() -> None:
    error = run("run", "chian", "--out", "r", code=1).stderr
    there = ", ".join(sorted(p.parent.name for p in resource("pipelines").glob("*/Snakefile")))
    assert f"unknown pipeline 'chian'; there are {there}" in error
    assert {"chain", "demo", "tradeoff"} <= set(there.split(", "))
    assert not Path("r").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("colour=red", "there is no such setting"),
        ("inverter.depth=3", "there is no such setting"),
        ("inverter.units.more=3", "there is no such setting"),
        ("systems.more=kmeans", "there is no such setting"),
        ("inverters.more=train", "inverters has unit-means, code2spec, convnext; where names"),
        ("seed", "write --set name=value"),
        ("voice=[a", "is not YAML"),
        ("title=Mboshi: first", "a text with a colon needs quotes"),
        ("inverter=5", "inverter can't be 5 in place of {'units'"),
        ("systems=", "systems can't be None in place of ["),
        ("corpus=nowhere", "nowhere: corpus: there is no such folder"),
    ],
)
def test_settings_that_make_no_sense(setting: str, said: str) -> None:
    assert said in run("run", "chain", "--out", "r", "--set", setting, code=1).stderr
    assert not Path("r").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sedd: 3", "settings that the pipeline doesn't have: sedd"),
        ("[1]", "settings that the pipeline doesn't have: [1]"),
        ("a: [", "is not YAML"),
        ("corpus: nowhere", "nowhere: corpus: there is no such folder"),
        ("systems: 5", "over.yaml: systems can't be 5 in place of ["),
        ("inverters: [a]", "over.yaml: inverters can't be ['a'] in place of {"),
        ("inverters: {unit-means: [a]}", "inverters.unit-means can't be ['a'] in place of 'train"),
        ("title: {a: b}", "title can't be {'a': 'b'} in place of"),
        (None, "can't be read"),
    ],
)
def test_config_files_that_make_no_sense(text: str | None, said: str) -> None:
    if text is not None:
        Path("over.yaml").write_text(text)
    assert said in run("run", "chain", "--out", "r", "--configfile", "over.yaml", code=1).stderr
    assert not Path("r").exists()


def test_a_config_file_joins_tables_and_replaces_all_else() -> None:
    entries = {"a": {"units": [1, 2]}, "c": {"units": [1]}}
    config = {"systems": entries, "seed": 0, "copies": {"x": None}}
    Path("over.yaml").write_text(
        "systems: {a: {units: [3]}, b: {units: [4]}, c: null}\ncopies: {x: .}\n"
    )
    overlay(config, Path("over.yaml"))
    assert config == {
        "systems": {"a": {"units": [3]}, "b": {"units": [4]}, "c": None},
        "seed": 0,
        "copies": {"x": str(Path().absolute())},
    }


def test_usage_errors_exit_with_2() -> None:
    assert "--out" in run("run", "chain", code=2).stderr
    assert "PIPELINE" in run("run", "--out", "r", code=2).stderr
    assert "--cores" in run("run", "chain", "--out", "r", "--cores", 0, code=2).stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [1\n", "is not YAML"), ("- a\n", "is not a table"), (None, "can't be read")],
)
def test_a_pipeline_whose_settings_are_broken(text: str | None, said: str) -> None:
    Path("mine").mkdir()
    Path("mine/Snakefile").touch()
    if text is not None:
        Path("mine/config.yaml").write_text(text)
    assert f"mine/config.yaml: {said}" in run("run", "mine", "--out", "r", code=1).stderr


def test_without_snakemake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    assert "zerochain[pipelines]" in run("run", "chain", "--out", "r", code=1).stderr


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("seed=3", {"seed": 3}),
        ("title='a=b: c'", {"title": "a=b: c"}),
        ("voice=ana", {"voice": "ana"}),  # a folder of that name is there, but voices are none
        ("voice=", {"voice": None}),
        ("voice=010", {"voice": "010"}),
        ("voice=no", {"voice": "no"}),
        ("voice=1:30", {"voice": "1:30"}),
        ("copies.x=ana", {"copies": {"x": "HERE/ana"}}),
        ("copies={y: ana, z: null}", {"copies": {"y": "HERE/ana", "z": None}}),
        ("corpus=ana", {"corpus": "HERE/ana"}),
        ("pictures=ana", {"pictures": "HERE/ana"}),
        ("texts=béa.txt", {"texts": "HERE/béa.txt"}),
        ("pairs=3", {"pairs": 3}),
        ("systems=[{units: 2}]", {"systems": [{"units": 2}]}),
        ("copies.x=null", {"copies": {"x": None}}),
        ("inverters.a=null", {"inverters": {"a": None}}),
        ("inverter.width=8", {"inverter": {"width": 8, "steps": 2}}),
    ],
)
def test_change(setting: str, expected: dict[str, Any]) -> None:
    Path("ana").mkdir()
    Path("béa.txt").touch()
    config: dict[str, Any] = {
        "seed": 0,
        "pictures": None,
        "texts": None,
        "pairs": 5,
        "title": "t",
        "voice": None,
        "corpus": None,
        "copies": {"x": None},
        "systems": [],
        "inverter": {"width": 64, "steps": 2},
        "inverters": {"a": {"steps": 2}},
    }
    before = dict(config)
    change(config, setting)
    text = yaml.safe_dump(expected).replace("HERE", str(Path().absolute()))
    assert config == {**before, **yaml.safe_load(text)}


def test_modules_in_the_folders_at_work_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake is started where the user stands, and the steps in the folder of the run."""
    recipe, out = Path("greet"), Path("r")
    for folder in (recipe, out):
        folder.mkdir()
    for name in ("snakemake", "random", "yaml", "zerochain", "click"):
        for folder in (Path(), out):
            (folder / f"{name}.py").write_text("raise SystemExit('run')")
    (recipe / "config.yaml").write_text("")
    (recipe / "Snakefile").write_text(
        f"include: {str(resource('pipelines') / 'common.smk')!r}\n"
        "rule all:\n    output: 'greeting'\n"
        """    shell: "{PY:q} -c 'import yaml' && {Z:q} --version > {output:q}"\n"""
    )
    monkeypatch.setenv("PYTHONPATH", str(resource("zerochain").parent), prepend=os.pathsep)
    assert "Done: " in run("run", recipe, "--out", out).stdout
    assert (out / "greeting").read_text().startswith("zerochain")
