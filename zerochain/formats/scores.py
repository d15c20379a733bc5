"""`scores.jsonl`: one score a line, with what it was computed from and how."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import zerochain
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file, explained
from zerochain.formats.lines import lines_of, read_text

_TYPES = {
    "metric": str,
    "n": int,
    "protocol": str,
    "system": str,
    "inputs": dict,
    "options": dict,
    "version": str,
}
_FIELDS = {*_TYPES, "value", "interval"}
FOR_REFERENCE = "for_reference"
"""The option that is true for a topline or a ceiling: it stands below, never the best."""


@dataclass(frozen=True)
class Score:
    """One number, and everything needed to trust it."""

    metric: str
    """Name with its unit: "abx_across_%", "bitrate_bit/s", "estoi"."""
    value: float
    interval: tuple[float, float] | None
    """Bootstrap 95 % interval; None where it can't be estimated (one utterance, say)."""
    n: int
    """How many things it rests on; `options["n_of"]` says of what."""
    protocol: str
    system: str
    """What was scored, in a few words for people."""
    inputs: Mapping[str, str]
    """Name of an input ("units", "corpus", "model", …) → its id."""
    options: Mapping[str, Any] = field(default_factory=dict)
    version: str = zerochain.__version__


def append_scores(path: Path, scores: Iterable[Score]) -> None:
    """Append scores atomically: readers and a killed writer leave whole lines only.

    Raises:
        InputError: as `read_scores`, for the new scores and those in the file; nothing is
            written then.
    """
    new = [_line(score, path) for score in scores]
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        if path.exists():
            read_scores(path)
        before = (
            [line for line in lines_of(read_text(path)) if line.strip()] if path.exists() else []
        )
        with atomic_file(path) as temporary:
            text = "".join(f"{line}\n" for line in before + new)
            temporary.write_text(text, encoding="utf-8", newline="\n")


def read_scores(path: Path) -> list[Score]:
    """Read scores in the order they were appended.

    Raises:
        InputError: no such file, a line that isn't JSON, a missing field or a value that isn't
            a finite number; the message names the line.
    """
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="run 'zerochain score …' first")
    return [
        _score(line, f"{path}:{n}")
        for n, line in enumerate(lines_of(read_text(path)), 1)
        if line.strip()
    ]


def _line(score: Score, path: Path) -> str:
    try:
        return json.dumps(asdict(score), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(
            f"{score.metric} of {score.system} is {score.value} with interval {score.interval} "
            f"and options {dict(score.options)}: not a finite number somewhere",
            path=path,
            cause="the score is undefined for this input",
            remedy="score more utterances; an undefined score is left out, not written as 0",
        ) from error


def _score(line: str, where: str) -> Score:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"is not JSON ({error})",
            path=where,
            cause="the file was edited, or cut short while it was copied",
            remedy="delete the line and score again",
        ) from error
    missing = sorted(_FIELDS - row.keys()) if isinstance(row, dict) else sorted(_FIELDS)
    wrong = [] if missing else _wrong(row)
    if missing or wrong:
        raise InputError(
            f"lacks {', '.join(missing)}" if missing else f"has {' with '.join(wrong)}",
            path=where,
            cause="it was not written by zerochain",
            remedy="delete the line and score again",
        )
    interval = None if row["interval"] is None else (row["interval"][0], row["interval"][1])
    return Score(**{name: row[name] for name in _FIELDS - {"interval"}}, interval=interval)


def _wrong(row: Mapping[str, Any]) -> list[str]:
    """The fields of a line that are of another type, and what they hold."""
    wrong = [name for name, expected in _TYPES.items() if not isinstance(row[name], expected)]
    if not _is_number(row["value"]) or not _is_interval(row["interval"]):
        wrong += ["value", "interval"]
    return [f"{name} {row[name]!r}" for name in wrong]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_interval(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two processes that append lose nothing."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; appends there are atomic but not serialised
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
