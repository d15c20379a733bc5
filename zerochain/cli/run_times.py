"""How long a pipeline will take: an estimate by what its steps took in earlier runs.

Snakemake records when every job began and ended, in the folder of its run. Nothing is measured
beforehand: a training's time depends on its network and its steps, which only a training shows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from statistics import median

from zerochain.errors import InputError, counted, listed
from zerochain.formats.text_files import read_yaml
from zerochain.training.log import duration

_RECORDS = Path(".snakemake", "metadata")
_MOST = 20
"""Other runs that are looked at, the latest first."""


def seconds_of(run: Path) -> dict[str, list[float]]:
    """The wall time of every job that a run has finished, by rule; of a later version, nothing."""
    jobs: dict[tuple[str, object], float] = {}
    for path in sorted((run / _RECORDS).rglob("*")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            job = (
                record["rule"],
                record["job_hash"],
            )  # each of its outputs has one
            seconds = record["endtime"] - record["starttime"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(job[0], str) and seconds >= 0 and not record.get("incomplete"):
            jobs[job] = max(seconds, jobs.get(job, 0.0))
    by_rule: dict[str, list[float]] = defaultdict(list)
    for (rule, _), seconds in jobs.items():
        by_rule[rule].append(seconds)
    return by_rule


def estimate(steps: Mapping[str, int], out: Path, settings: Collection[str]) -> list[str]:
    """How long steps will take, in lines for people.

    A step takes the median of what it took in the folder `out` or else in the latest run beside it
    that took it.

    Args:
        steps: rule → how often it runs.
        settings: the names of the pipeline's settings; other pipelines have other ones, and other
            steps of the same names.
    """
    if not steps:
        return []
    known: dict[str, float] = {}
    used: list[str] = []
    for run in _runs(out.absolute(), settings):
        fresh = {
            rule: median(took)
            for rule, took in seconds_of(run).items()
            if rule in steps and rule not in known
        }
        if fresh:
            known |= fresh
            used.append(run.name)
    unknown = [rule for rule in steps if rule not in known]
    if not known:
        return [
            "time: not known, as no run of this pipeline has taken these steps yet in "
            f"{out.absolute().parent}"
        ]
    total = sum(known[rule] * n for rule, n in steps.items() if rule in known)
    n_known = sum(n for rule, n in steps.items() if rule in known)
    lines = [
        f"time: about {duration(total)} for {counted(n_known, 'step')} one after the other, an "
        f"estimate by what they took in {listed(used)}; other recordings and settings take another "
        "time"
    ]
    if unknown:
        lines.append(f"time: not known of {listed(unknown)}, which no run there has taken yet")
    return lines


def _runs(out: Path, settings: Collection[str]) -> Iterator[Path]:
    """The folder itself, then the runs beside it, the latest first."""
    if (out / _RECORDS).is_dir():
        yield out
    if not out.parent.is_dir():
        return
    beside = [path for path in out.parent.iterdir() if (path / _RECORDS).is_dir() and path != out]
    for run in sorted(beside, key=_made, reverse=True)[:_MOST]:
        if _settings(run) == set(settings):
            yield run


def _settings(run: Path) -> set[str]:
    """The names of a run's settings; none where they can't be read."""
    path = run / "config.yaml"
    try:
        values = read_yaml(path) if path.is_file() else None
    except InputError:
        return set()
    return set(values) if isinstance(values, dict) else set()


def _made(run: Path) -> float:
    return (run / _RECORDS).stat().st_mtime
