"""Where the steps of a pipeline run, and what each of them asks a cluster for."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from commands import run, settings
from zerochain.cli import profiles
from zerochain.cli.profiles import cores_options, profile_options
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.machine import cores, resource

PIPELINES = resource("pipelines")
SLURM = PIPELINES / "profiles" / "slurm"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Stand-ins for the plugin and for Slurm's commands, with a configuration of Slurm's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)

    def configured(line: str) -> None:
        for name, printed in (("sbatch", ""), ("scontrol", f"Configuration data\n{line}")):
            (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{printed}\nEND\n")
            (folder / name).chmod(0o755)

    return configured


@pytest.mark.parametrize(
    ("named", "options", "limited"),
    [
        ([], [], True),
        ([], ["--executor", "local"], True),
        ([], ["--executor=slurm", "--jobs", "5"], False),
        ([], ["-e", "slurm"], False),
        ([], ["--profile", "mine"], False),
        (["slurm"], [], False),
    ],
)
def test_cores_of_this_machine_limit_its_own_jobs_alone(
    named: list[str], options: list[str], limited: bool
) -> None:
    here = ["--cores", str(cores())] if limited else []
    assert cores_options(None, named, options, submits=True) == here
    assert cores_options(3, named, options, submits=True) == ["--cores", "3"]


@pytest.mark.parametrize(
    ("line", "squeue"),
    [
        ("AccountingStorageType   = accounting_storage/none", True),
        ("AccountingStorageType   = (null)", True),
        ("AccountingStorageType   = accounting_storage/slurmdbd", False),
        ("", False),
    ],
)
def test_jobs_are_watched_without_accounting_too(
    slurm: Callable[[str], None], line: str, squeue: bool
) -> None:
    slurm(line)
    found = profile_options(["slurm", "mine"], submits=True)
    status = ["--slurm-status-command=squeue"] if squeue else []
    assert found == [f"--profile={SLURM}", *status, "--profile=mine"]


def test_what_slurm_needs_is_named(
    slurm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="no such command here"):
        profile_options(["slurm"], submits=True)
    assert profile_options(["slurm"], submits=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"zerochain\[slurm\]"):
        profile_options(["slurm"], submits=False)


def test_the_profile_that_is_shipped() -> None:
    profile = yaml.safe_load((SLURM / "config.yaml").read_text(encoding="utf-8"))
    assert (profile["executor"], profile["jobs"]) == ("slurm", 50)
    assert set(profile["default-resources"]) == {"mem_mb", "runtime"}


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*/Snakefile")), ids=lambda p: p.parent.name)
def test_every_rule_says_what_it_needs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "workflow.cores" not in text
    rules = [rule for rule in re.split(r"^(?=\w)", text, flags=re.M) if rule.startswith("rule ")]
    assert rules
    for rule in rules:
        if "    shell:" in rule:
            assert re.search(r"^    threads: \S", rule, re.M), rule
            assert re.search(r"^        \*\*needs\(memory_gb=\d+, hours=\d+", rule, re.M), rule
            assert ("device=config" in rule) == ("{params.device:q}" in rule), rule


def test_jobs_that_are_tried_again_get_more_and_a_gpu_where_it_is_asked_for() -> None:
    names: dict[str, Any] = {"shell": SimpleNamespace(prefix=lambda text: None)}
    path = PIPELINES / "common.smk"
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), names)
    needs = names["needs"]
    asked = needs(memory_gb=8, hours=2, device="cuda")
    assert asked["gpu"] == 1
    assert [asked["mem_mb"]({}, attempt) for attempt in (1, 2, 3)] == [8000, 16000, 24000]
    assert [asked["runtime"]({}, attempt) for attempt in (1, 2, 3)] == [120, 240, 360]
    for device in (None, "auto", "cpu"):
        assert set(needs(memory_gb=8, hours=2, device=device)) == {"mem_mb", "runtime"}


def test_a_plan_shows_what_jobs_ask_for(
    make_corpus: Callable[..., Corpus],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("jobs: 3\n")
    corpus = make_corpus(6)
    given = {"corpus": corpus.folder, "abx": "false", "voice": corpus.speakers[0], "device": "cuda"}
    given["threads"] = 3  # of a step, at most
    plan = ("--profile", "mine", *settings(given), "--", "--dry-run")
    run("run", "chain", "--out", "r", *plan)
    jobs = re.findall(
        r"^rule (\w+):\n(?:    .*\n)*?(?:    threads: (\d+)\n)?    resources: (.*)",
        capfd.readouterr().out,
        re.M,
    )
    wanted = {rule: (threads or "1", asked) for rule, threads, asked in jobs if rule != "all"}
    assert {rule: threads for rule, (threads, _) in wanted.items()} == {
        **{"extract": "3", "discover": "3", "encode": "3", "score": "1", "invert": "3"},
        **{"synthesize": "3", "score_resynthesis": "1", "report": "1"},
    }
    assert "mem_mb=16000" in wanted["invert"][1]
    assert "runtime=720" in wanted["invert"][1]
    on_gpus = {rule for rule, (_, asked) in wanted.items() if "gpu=1" in asked}
    assert on_gpus == {"extract", "discover", "encode", "invert", "synthesize"}
