"""The estimate of a run's time, by what earlier runs recorded."""

import json
import os
from pathlib import Path

from zerochain.cli.run_times import estimate, seconds_of


def record(run: Path, output: str, rule: str, job: int, seconds: float, **more: object) -> Path:
    """What Snakemake writes of one output."""
    path = run / ".snakemake" / "metadata" / output
    path.parent.mkdir(parents=True, exist_ok=True)
    times = {"starttime": 1e9 + job, "endtime": 1e9 + job + seconds}
    path.write_text(json.dumps({"rule": rule, "job_hash": job, **times, **more}))
    return path.parent


def test_jobs_are_counted_once(tmp_path: Path) -> None:
    record(tmp_path, "a", "discover", 1, 60)
    record(tmp_path, "b", "discover", 1, 60)  # another output of the same job
    record(tmp_path, "@long/c", "discover", 2, 120)
    record(tmp_path, "d", "extract", 3, 10, incomplete=True)
    record(tmp_path, "e", "extract", 4, -5)
    (tmp_path / ".snakemake" / "metadata" / "f").write_text("{")
    (tmp_path / ".snakemake" / "metadata" / "g").write_text('{"rule": "x", "endtime": null}')
    assert {rule: sorted(s) for rule, s in seconds_of(tmp_path).items()} == {"discover": [60, 120]}
    assert seconds_of(tmp_path / "none") == {}


def test_the_folder_itself_goes_before_the_latest_run_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    for job, seconds in enumerate((60, 120, 300)):
        record(out, str(job), "discover", job, seconds)
    record(tmp_path / "old", "x", "extract", 1, 3600)
    os.utime(record(tmp_path / "old", "y", "discover", 2, 1), (1, 1))
    record(tmp_path / "new", "x", "extract", 1, 600)
    record(tmp_path / "other pipeline", "x", "report", 1, 60)
    for run, setting in (("old", "corpus"), ("new", "corpus"), ("other pipeline", "source")):
        (tmp_path / run / "config.yaml").write_text(f"{setting}: x\n")
    lines = estimate({"discover": 2, "extract": 1, "report": 1}, out, {"corpus"})
    assert lines[0].startswith("time: about 14 min for 3 steps")  # 2 × 120 s and 600 s
    assert "took in mine, new;" in lines[0]
    assert lines[1:] == ["time: not known of report, which no run there has taken yet"]


def test_nothing_is_claimed_without_an_earlier_run(tmp_path: Path) -> None:
    assert estimate({}, tmp_path / "r", {"corpus"}) == []
    (line,) = estimate({"discover": 1}, tmp_path / "r", {"corpus"})
    assert line.startswith("time: not known")
    assert len(estimate({"discover": 1}, tmp_path / "nowhere" / "r", {"corpus"})) == 1
