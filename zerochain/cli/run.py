"""Run a pipeline: the stages as a DAG of files, by Snakemake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import Command, out_option
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file, explained
from zerochain.resources import resource

SETTINGS = "config.yaml"
FOLDERS = {"corpus", "copies"}  # the settings that name folders, in every pipeline
NAMES = FOLDERS | {"voice", "train_split", "test_split"}  # text even where it looks like a number


@click.command(
    cls=Command,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True},
    example=(
        "zerochain run demo --out runs/demo\n"
        "zerochain run chain --out runs/mine --set corpus=corpora/mine --set voice=ana\n"
        "zerochain run demo --out runs/demo -- --executor slurm --jobs 50"
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
    help="Change a setting of the pipeline's config.yaml; dots go deeper: inverter.width=64.",
)
@click.option("--cores", type=click.IntRange(min=1), help="Cores.  [default: all]")
def run(
    pipeline: str,
    snakemake_options: tuple[str, ...],
    out: Path,
    settings: tuple[str, ...],
    cores: int | None,
) -> None:
    """Run a PIPELINE (demo, chain, tradeoff, or a folder with a Snakefile) into a folder.

    What is already made and still up to date is kept. Options after -- go to Snakemake.
    """
    from zerochain.cores import cores as all_cores

    run_pipeline(pipeline, out, settings, cores or all_cores(), snakemake_options)
    page = out / "report" / "index.html"
    click.echo(f"Done: {page.absolute() if page.exists() else out.absolute()}")


def run_pipeline(
    pipeline: str, out: Path, settings: tuple[str, ...], cores: int, extra: tuple[str, ...] = ()
) -> None:
    """Write the run's frozen config.yaml and let Snakemake make what it says.

    Raises:
        InputError: no such pipeline or setting, Snakemake is missing, another run is at work
            in the folder, or a step failed.
    """
    import importlib.util

    import yaml

    recipe = find_recipe(pipeline)
    if importlib.util.find_spec("snakemake") is None:
        raise InputError(
            "pipelines need Snakemake, which is not installed",
            remedy="pip install 'zerochain[pipelines]'",
        )
    config = yaml.safe_load((recipe / SETTINGS).read_text(encoding="utf-8")) or {}
    for setting in settings:
        change(config, setting)
    out = out.absolute()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(recipe / "Snakefile")]
    command += ["--configfile", str(out / SETTINGS), "--directory", str(out), "--nolock"]
    command += ["--cores", str(cores), "--quiet", "rules", "host", "--rerun-incomplete", *extra]
    with _alone(out) as lock:
        with atomic_file(out / SETTINGS) as temporary:
            text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
            temporary.write_text(text, encoding="utf-8")
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        result = subprocess.run(command, check=False, env=environment, pass_fds=[lock])
    if result.returncode:
        raise InputError(
            f"pipeline {pipeline!r} failed (exit code {result.returncode})",
            path=out,
            cause="the first error above says which step and why",
            remedy="mend it and give the same command again: finished steps are kept",
        )


@contextmanager
def _alone(out: Path) -> Iterator[int]:
    """Hold the folder for one run; a killed one lets go of it, unlike with Snakemake's own lock."""
    import fcntl

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
        f"there is no pipeline {pipeline!r}; there are {', '.join(known)}",
        remedy="choose one of those, or give the folder of a Snakefile",
    )


def change(config: dict[str, Any], setting: str) -> None:
    """Apply "name=value" or "outer.inner=value"; folders that exist become absolute.

    Raises:
        InputError: no "=" in it, no such setting, no YAML, or of another form.
    """
    import yaml

    name, equals, text = setting.partition("=")
    *outer, last = name.split(".")
    table: Any = config
    for key in outer:
        table = table.get(key) if isinstance(table, dict) else None
    if not equals or not isinstance(table, dict) or last not in table:
        raise InputError(
            f"--set {setting}: there is no such setting",
            remedy=f"the settings are {', '.join(config)}; write --set name=value",
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(
            f"--set {setting}: the value is not YAML ({str(error).splitlines()[0]})",
            remedy=f"put it into quotes: --set '{name}=\"…\"'",
        ) from error
    several, old = (dict, list), table[last]
    if (isinstance(old, several) or isinstance(value, several)) and type(value) is not type(old):
        raise InputError(
            f"--set {setting}: {name} can't be {value!r} in place of {old!r}",
            remedy=f"give it in the same form; a text with a colon needs quotes: '{name}=\"…\"'",
        )
    first = [*outer, last][0]
    if first in NAMES and value is not None and not isinstance(value, str | dict):
        value = text.strip()
    is_folder = first in FOLDERS and isinstance(value, str) and Path(value).exists()
    table[last] = str(Path(value).absolute()) if is_folder else value
