"""Run readers over damaged files in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COMMAND = Path(__file__).resolve().parent / "__main__.py"
_MOST_CRASHES = 5


def fuzzed(names: list[str], n: int, seed: int = 0, first: int = 0) -> list[dict[str, Any]]:
    """What comes of `n` damaged files of each of these readers: counts and failures.

    A process that crashes is a failure; reading goes on behind the file that crashed it.
    """
    rows: list[dict[str, Any]] = []
    left, at, crashes = list(names), first, 0
    failures: list[str] = []
    while left:
        found, mark, said = _worker(left if at == first else left[:1], n + first - at, seed, at)
        for row in found:
            rows.append({**row, "failures": failures + row["failures"]})
            left, at, crashes, failures = left[1:], first, 0, []
        if mark is None:
            continue
        place, crashes = int(mark.split()[-1]), crashes + 1
        failures.append(f"{left[0]} {place}: crashed: {said[-500:]}")
        at = place + 1
        if at >= first + n or crashes >= _MOST_CRASHES:
            rows.append({"reader": left[0], "read": 0, "refused": 0, "failures": failures})
            left, at, crashes, failures = left[1:], first, 0, []
    return rows


def _worker(
    names: list[str], n: int, seed: int, first: int
) -> tuple[list[dict[str, Any]], str | None, str]:
    """The rows of a process, and, if it crashed, where it did and what it said."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "report.jsonl")
        report.touch()
        command = [sys.executable, str(COMMAND), "--worker", str(report), "-n", str(n)]
        command += ["--seed", str(seed), "--first", str(first), *names]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        rows = [json.loads(line) for line in report.read_text().splitlines()]
        said = f"exit code {ended.returncode}: {ended.stderr}"
        if len(rows) == len(names):
            return rows, None, said
        mark = report.with_suffix(".at")
        where = mark.read_text() if mark.exists() else ""
        if not where.startswith(f"{names[len(rows)]} "):
            raise RuntimeError(f"{names[len(rows)]} can't even be made: {said[-3000:]}")
        return rows, where, said
