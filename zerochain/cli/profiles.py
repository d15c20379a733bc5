"""Where the steps of a pipeline run: on this machine, or as jobs of a cluster.

Snakemake's profiles are files with its options for one cluster. `slurm` comes with zerochain, in
pipelines/profiles/; others are named as for Snakemake itself.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from zerochain.errors import InputError
from zerochain.machine import cores as all_cores
from zerochain.machine import resource

_HERE = {"local", "dryrun", "touch"}  # Snakemake's executors that submit nothing
_NO_LIMIT = 1_000_000
_PLUGIN = "snakemake_executor_plugin_slurm"


def cores_options(
    cores: int | None, profiles: Sequence[str], options: Sequence[str], *, submits: bool
) -> list[str]:
    """Snakemake's option for the cores that steps take together.

    By default they are all of this machine. With a profile, or an executor that submits jobs, there
    is no limit: it would be that of a machine which only submits them.

    Args:
        options: other options of Snakemake.
        submits: whether steps are run, rather than planned alone.
    """
    if cores is None and not elsewhere(profiles, options):
        cores = all_cores()
    if cores is None and not submits:
        cores = _NO_LIMIT  # where none are given, Snakemake plans with a single one
    return [] if cores is None else ["--cores", str(cores)]


def elsewhere(profiles: Sequence[str], options: Sequence[str]) -> bool:
    """Whether a profile or an executor says where jobs run."""
    if profiles:
        return True
    for option, following in zip_longest(options, options[1:], fillvalue=""):
        name, equals, value = option.partition("=")
        if name == "--profile":
            return True
        if name in ("--executor", "-e") and (value if equals else following) not in _HERE:
            return True
    return False


def profile_options(profiles: Sequence[str], *, submits: bool) -> list[str]:
    """The options of Snakemake for profiles, in their order: later ones replace entries.

    Args:
        profiles: "slurm", or what Snakemake takes: a folder, a file, or the name of a folder where
            it looks for profiles.
        submits: whether jobs are submitted, rather than planned alone.

    Raises:
        InputError: a package or Slurm itself is missing.
    """
    options = []
    for name in profiles:
        folder = _shipped(name)
        options.append(f"--profile={name if folder is None else folder}")
        if folder is not None and name == "slurm":
            options += _options_of_slurm(submits=submits)
    return options


def _shipped(name: str) -> Path | None:
    """The folder of a profile that comes with zerochain."""
    folder = resource("pipelines") / "profiles" / name
    return folder if "/" not in name and (folder / "config.yaml").is_file() else None


def _options_of_slurm(*, submits: bool) -> list[str]:
    """What the profile can't say, as it depends on the cluster."""
    if importlib.util.find_spec(_PLUGIN) is None:
        raise InputError(
            f"--profile slurm needs the package {_PLUGIN.replace('_', '-')}, which is not "
            "installed",
            remedy="pip install 'zerochain[slurm]'",
        )
    if submits and shutil.which("sbatch") is None:
        raise InputError(
            "--profile slurm submits jobs with sbatch, and there is no such command here",
            cause="this is not a machine of the cluster, or Slurm is not on its PATH",
            remedy="give the command on the cluster's login node",
        )
    return [] if _has_accounting() else ["--slurm-status-command=squeue"]


def _has_accounting() -> bool:
    """Whether Slurm keeps a record of jobs that have ended, which sacct prints.

    Without one, which is how Slurm is installed, sacct is there and fails.
    """
    try:
        done = subprocess.run(
            ["scontrol", "show", "config"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return True  # as the plugin supposes
    stored = re.search(r"^AccountingStorageType\s*=\s*(\S+)", done.stdout, flags=re.MULTILINE)
    return stored is None or stored[1] not in ("accounting_storage/none", "(null)")
