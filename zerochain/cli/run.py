"""`zerochain run`: a pipeline, the stages as a DAG of files, by Snakemake.

The pipeline's config.yaml with its changes is frozen into the run's folder, which is locked for one
run at a time; Snakemake then makes what is missing or out of date.
"""

from __future__ import annotations

import fcntl
import getpass
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml

from zerochain.cli.common import Command, is_unicode, out_option
from zerochain.cli.ending import STEP, ending_together, interrupted
from zerochain.cli.profiles import cores_options, elsewhere, profile_options
from zerochain.cli.run_times import estimate
from zerochain.errors import InputError, counted
from zerochain.formats.atomic import atomic_file, explained, scratch
from zerochain.formats.text_files import parse_yaml, read_yaml
from zerochain.machine import home_for_caches, resource, users_environment

SETTINGS = "config.yaml"
FOLDERS = {"corpus", "corpora", "copies", "source", "target", "pictures"}
"""Settings that name folders."""
FILES = {"pairs", "texts"}
"""Settings that name files, unless they are numbers."""
NAMES = FOLDERS | {"voice", "train_split", "test_split"}
"""Settings that are text even where it looks like a number."""
REFUSED = 3
"""Snakemake's exit code where pipelines/common.smk refuses a setting."""
CHECKS = "ZEROCHAIN_CHECKS"
"""The environment variable that has the two ends of pipes over which checks are asked for."""
RESTARTED = "ZEROCHAIN_RUN_RESTART"
PLANS = {"-n", "-np", "--dry-run", "--dryrun", "--dag", "--rulegraph", "--filegraph", "--summary"}
"""Options of Snakemake with which it runs nothing."""


@click.command(
    cls=Command,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True},
    example=(
        "zerochain run demo --out runs/demo\n"
        "zerochain run chain --out runs/mine --set corpus=corpora/mine --set voice=ana\n"
        "zerochain run tradeoff --out runs/tradeoff --set copies.mboshi=/data/mboshi\n"
        "zerochain run s2st --out runs/s2st --set source=en --set target=es --set pairs=pairs.tsv\n"
        "zerochain run demo --out runs/demo --profile slurm"
    ),
)
@click.argument("pipeline")
@click.argument("snakemake_options", nargs=-1, type=click.UNPROCESSED)
@out_option("the run")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting of the pipeline's config.yaml; dots go inside: inverter.width=64.",
)
@click.option(
    "--configfile",
    "configfiles",
    multiple=True,
    metavar="FILE",
    help="YAML that overrides the pipeline's config.yaml, before --set: a file, or the name of "
    "one beside the Snakefile. May be given several times.",
)
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    help="Cores that steps take together.  [default: all; on a cluster, what their jobs ask for]",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAME|FOLDER",
    help="Run steps on a cluster: slurm, or a profile of Snakemake's of your own. May be given "
    "several times.",
)
@click.option(
    "--restart",
    "restarted",
    multiple=True,
    metavar="STEP",
    help="Train this step (a rule of the Snakefile) anew rather than from its checkpoint. May be "
    "given several times.",
)
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Only check the settings, which every run does first, list the steps, and estimate their "
    "time by earlier runs; write nothing.",
)
def run(
    pipeline: str,
    snakemake_options: tuple[str, ...],
    out: Path,
    settings: tuple[str, ...],
    configfiles: tuple[str, ...],
    cores: int | None,
    profiles: tuple[str, ...],
    restarted: tuple[str, ...],
    only_check: bool,
) -> None:
    """Run a PIPELINE (demo, chain, tradeoff, evaluate, s2st, speechchain, codeswitching,
    captions, or a folder with a Snakefile) into a folder.

    Settings are checked before any step runs: whether voices, splits, columns and tools are there,
    and options exist. What is already made and still up to date is kept. A training that was
    interrupted, or is asked for more steps, continues; one whose other settings or inputs changed
    starts anew. Options after -- go to Snakemake.
    """
    try:
        steps = run_pipeline(
            pipeline,
            out,
            settings,
            cores,
            snakemake_options,
            configfiles=configfiles,
            profiles=profiles,
            restarted=restarted,
            only_check=only_check,
        )
    except KeyboardInterrupt:
        interrupted("the same command continues it, and finished steps are kept")
    if only_check:
        what = ", ".join(f"{name} {n}" if n > 1 else name for name, n in steps.items())
        n_steps = counted(sum(steps.values()), "step")
        click.echo(
            f"{pipeline}: the settings are fine; {n_steps} to run" + f": {what}" * bool(what)
        )
        known = read_yaml(find_recipe(pipeline) / SETTINGS) or {}
        for line in estimate(steps, out, set(known)):
            click.echo(line)
        return
    page = out / "report" / "index.html"
    click.echo(f"Done: {page.absolute() if page.exists() else out.absolute()}")


def run_pipeline(
    pipeline: str,
    out: Path,
    settings: tuple[str, ...],
    cores: int | None,
    extra: tuple[str, ...] = (),
    *,
    configfiles: tuple[str, ...] = (),
    profiles: tuple[str, ...] = (),
    restarted: tuple[str, ...] = (),
    only_check: bool = False,
) -> dict[str, int]:
    """Write the run's frozen config.yaml and let Snakemake make what it asks for.

    Where Snakemake is only asked for its plan, or refuses a setting, the run's config.yaml is left
    as it is.

    Args:
        cores: None is all of this machine, or on a cluster no limit but that of its profile.
        extra: further options of Snakemake.
        profiles: "slurm", or profiles as Snakemake takes them.
        only_check: check the settings, and run and write nothing.
        restarted: steps whose trainings start anew; pipelines/common.smk takes them from the
            environment.

    Returns:
        With `only_check`, the steps that a run would take: rule → number of times.

    Raises:
        InputError: no such pipeline, setting or folder, Snakemake or what a profile needs is
            missing, another run is at work in the folder, a setting is refused, or a step failed.
    """
    recipe = find_recipe(pipeline)
    if importlib.util.find_spec("snakemake") is None:
        raise InputError(
            "pipelines need Snakemake, which is not installed",
            remedy="pip install 'zerochain[pipelines]'",
        )
    config = _settings(recipe, configfiles, settings)
    plans = only_check or bool(PLANS & set(extra))
    where = cores_options(cores, profiles, extra, submits=not plans)
    where += profile_options(profiles, submits=not plans)
    out = out.absolute()
    environment = _environment()
    with _alone(out, write=not only_check) as lock, scratch() as planning:
        frozen = planning / SETTINGS if plans else out / SETTINGS
        before = frozen.read_bytes() if frozen.is_file() else None
        with atomic_file(frozen) as temporary:
            text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
            temporary.write_text(text, encoding="utf-8")
        there = out if lock is not None else planning
        # On a cluster Snakemake cancels jobs at Ctrl-C: whether it could is worth reading.
        is_elsewhere = elsewhere(profiles, extra)
        module = "snakemake" if is_elsewhere else "zerochain.cli.quiet_snakemake"
        command = [sys.executable, "-P", "-m", module]
        command += ["--snakefile", str(recipe / "Snakefile")]
        command += ["--configfile", str(frozen), "--directory", str(there), "--nolock"]
        # Quiet about rules, Snakemake hides why a job failed; steps on this machine say it here.
        quiet = ["host"] if is_elsewhere else ["rules", "host"]
        command += ["--quiet", *quiet, "--rerun-incomplete", *where, *extra]
        if only_check:
            command.append("--dry-run")
        if restarted:
            environment[RESTARTED] = " ".join(restarted)
            command += ["--forcerun", *restarted]
        code, plan, error = _snakemake(
            command, environment, [] if lock is None else [lock], captured=only_check
        )
        if code == REFUSED:
            if before is not None:
                frozen.write_bytes(before)
            else:
                frozen.unlink(missing_ok=True)
    if error is not None:
        raise error
    if code == REFUSED:
        raise InputError(f"pipeline {pipeline!r} can't use the setting above; nothing was run")
    if code:
        raise InputError(
            f"pipeline {pipeline!r} failed (exit code {code})",
            path=out,
            cause="the first error above names the step and the reason",
            remedy="fix it and give the same command again: finished steps are kept",
        )
    return _planned(plan, recipe.name)


def _settings(
    recipe: Path, configfiles: tuple[str, ...], settings: tuple[str, ...]
) -> dict[str, Any]:
    """The pipeline's own settings with the user's files and changes on top of them."""
    config = read_yaml(recipe / SETTINGS) or {}
    if not isinstance(config, dict):
        raise InputError(
            "is not a table of settings",
            path=recipe / SETTINGS,
            remedy="write each setting as name: value",
        )
    for name in configfiles:
        overlay(config, Path(name) if Path(name).exists() else recipe / name)
    for setting in settings:
        change(config, setting)
    check_texts(config)
    return config


def _snakemake(
    command: list[str], environment: dict[str, str], locks: list[int], *, captured: bool
) -> tuple[int, str, InputError | None]:
    """Run Snakemake, and make the checks that the Snakefile asks for.

    Returns:
        Its exit code, what it printed if that is captured, and the error of a check.
    """
    requests, asking = os.pipe()
    reading, replies = os.pipe()
    with (
        tempfile.TemporaryFile("w+") as printed,  # a pipe could fill up while checks are made
        subprocess.Popen(
            command,
            env={**environment, CHECKS: f"{asking},{reading}"},
            pass_fds=[*locks, asking, reading],
            stdout=printed if captured else None,
        ) as process,
        ending_together(process),
    ):
        os.close(asking)
        os.close(reading)
        with os.fdopen(requests) as asked, os.fdopen(replies, "w") as told:
            from zerochain.cli.checks import answer  # takes long; Snakemake starts meanwhile

            error = answer(asked, told)
        code = process.wait()
        printed.seek(0)
        return code, printed.read(), error


def _planned(plan: str, pipeline: str) -> dict[str, int]:
    """The rules of Snakemake's plan, and how often each runs; without the one for the page."""
    lines = re.findall(r"^(\w+) +(\d+)$", plan, flags=re.MULTILINE)
    gathering = {"all", "total", pipeline}
    return {name: int(n) for name, n in lines if name not in gathering}


def _environment() -> dict[str, str]:
    """Snakemake's: it stops where it has no folder for its cache or finds no user's name."""
    home_for_caches()
    environment = {**users_environment(), "PYTHONUNBUFFERED": "1", STEP: "1"}
    try:
        getpass.getuser()
    except (KeyError, OSError):  # in a container that was started for a user it doesn't know
        environment["LOGNAME"] = f"uid-{os.getuid()}"
    return environment


@contextmanager
def _alone(out: Path, *, write: bool) -> Iterator[int | None]:
    """Lock the folder for one run; unlike Snakemake's own, the lock ends with a killed run.

    Args:
        write: make the folder; otherwise there is no lock where there is no folder.
    """
    if not write and not out.is_dir():
        yield None
        return
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "another 'zerochain run' is at work here",
                path=out,
                remedy="wait until it has ended, or choose another --out",
            ) from error
        yield handle
    finally:
        os.close(handle)


def find_recipe(pipeline: str) -> Path:
    """The folder of a pipeline, by its name or its path.

    Raises:
        InputError: there is none; the message lists those that come with zerochain.
    """
    for folder in (resource("pipelines") / pipeline, Path(pipeline)):
        if (folder / "Snakefile").is_file():
            return folder
    known = sorted(path.parent.name for path in resource("pipelines").glob("*/Snakefile"))
    raise InputError(
        f"unknown pipeline {pipeline!r}; there are {', '.join(known)}",
        remedy="choose one of those, or give the folder of a Snakefile",
    )


def overlay(config: dict[str, Any], path: Path) -> None:
    """Override settings with those of a YAML file: tables are merged, all else is replaced.

    Raises:
        InputError: no such file, no YAML, or a setting that isn't there or has another form.
    """
    if not path.is_file():
        raise InputError(
            "can't be read (no such file)",
            path=path,
            remedy="give a YAML file, or the name of one beside the pipeline's Snakefile",
        )
    values = read_yaml(path) or {}
    if not isinstance(values, dict) or not values.keys() <= config.keys():
        names = values if isinstance(values, dict) else [values]
        unknown = ", ".join(str(name) for name in names if str(name) not in config)
        raise InputError(
            f"holds settings that the pipeline doesn't have: {unknown}",
            path=path,
            remedy=f"the settings are {', '.join(config)}",
        )
    for name, value in values.items():
        try:
            config[name] = _joined(name, config[name], _absolute(name, value))
        except _OtherFormError as error:
            raise InputError(
                str(error), path=path, remedy="give it in the same form; lists are in brackets"
            ) from error


def check_texts(value: Any, name: str = "") -> None:
    """Refuse settings that can't be arguments of a command.

    Raises:
        InputError: a text or a name with a NUL character in it, or with half of a character.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            check_texts(key, f"{name}.{key}" if name else str(key))
            check_texts(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for inner in value:
            check_texts(inner, name)
    elif isinstance(value, str) and ("\0" in value or not is_unicode(value)):
        raise InputError(
            f"setting {name!a} is {value!a}, which can't be an argument of a program",
            cause="it holds a NUL character, or bytes that aren't UTF-8",
            remedy="write it without them",
        )


class _OtherFormError(Exception):
    """A table, a list or a plain value is given in place of something else."""


def _check_form(name: str, old: Any, new: Any) -> None:
    """Raise _OtherFormError; within a table, null stands for an entry that is left out."""
    several = (dict, list)
    if "." in name and (old is None or new is None):
        return
    if (isinstance(old, several) or isinstance(new, several)) and type(new) is not type(old):
        raise _OtherFormError(f"{name} can't be {new!r} in place of {old!r}")


def _joined(name: str, old: Any, new: Any) -> Any:
    _check_form(name, old, new)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {
        **old,
        **{
            key: _joined(f"{name}.{key}", old[key], value) if key in old else value
            for key, value in new.items()
        },
    }


def change(config: dict[str, Any], setting: str) -> None:
    """Apply "name=value" or "outer.inner=value"; folders and files become absolute.

    Raises:
        InputError: no "=" in it, no such setting, folder or file, no YAML, or of another form.
    """
    name, equals, text = setting.partition("=")
    *outer, last = name.split(".")
    table: Any = config
    for key in outer:
        table = table.get(key) if isinstance(table, dict) else None
    if not equals or not isinstance(table, dict) or last not in table:
        raise InputError(
            f"--set {setting}: there is no such setting",
            remedy=_there_are(config, outer, table),
        )
    try:
        value = parse_yaml(text)
    except InputError as error:
        raise InputError(
            f"--set {setting}: the value {error.found}",
            remedy=f"put it into quotes: --set '{name}=\"…\"'",
        ) from error
    try:
        _check_form(name, table[last], value)
    except _OtherFormError as error:
        raise InputError(
            f"--set {setting}: {error}",
            remedy=f"give it in the same form; a text with a colon needs quotes: '{name}=\"…\"'",
        ) from error
    first = [*outer, last][0]
    if first in NAMES and value is not None and not isinstance(value, str | dict):
        value = text.strip()
    table[last] = _absolute(first, value)


def _there_are(config: dict[str, Any], outer: list[str], table: Any) -> str:
    """What to write instead of a setting that isn't there; tables of names may be given whole."""
    if not outer or not isinstance(table, dict):
        return f"the settings are {', '.join(config)}; write --set name=value"
    name = ".".join(outer)
    return (
        f"{name} has {', '.join(map(str, table)) or 'no entry'}; where names in it are free, give "
        f"all of it: --set '{name}={{name: value, other: value}}'"
    )


def _absolute(setting: str, value: Any) -> Any:
    """A setting's value; where it names folders or files, these with their whole paths."""
    is_file = setting in FILES and isinstance(value, str)
    if value is None or not (is_file or setting in FOLDERS):
        return value
    if isinstance(value, dict):
        return {name: _absolute(setting, inner) for name, inner in value.items()}
    path = Path(str(value))
    if not (path.is_file() if is_file else path.is_dir()):
        raise InputError(
            f"{setting}: there is no such {'file' if is_file else 'folder'}",
            path=str(value),
            cause="the path is mistyped, or seen from another folder",
            remedy="check the path",
        )
    return str(path.absolute())
