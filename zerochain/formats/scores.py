"""`scores.jsonl`: one score per line, with what it was computed from and how.

Scores are appended under a lock, whole lines only. A value that its metric can't have (an ABX error
above 100 %, a negative bit rate) is refused when it is written and when it is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

import zerochain
from zerochain.errors import InputError, counted
from zerochain.formats.atomic import atomic_file, explained
from zerochain.formats.basis import shortfall
from zerochain.formats.description import Description, FileKind, Table
from zerochain.formats.headers import json_object, json_text, validated
from zerochain.formats.text_files import lines_of, read_text
from zerochain.leftovers import locked
from zerochain.metrics.names import metric

KIND, SCORES_FILE = "scores", "scores.jsonl"
FOR_REFERENCE = "for_reference"
"""The option that is true for a topline or a ceiling, which is listed apart and never the best."""
_ID_IN_PROTOCOL = re.compile(r"^(merged units|encoder|recogniser)(?: of)? [0-9a-f]{12}$")
"""Protocols as older files have them, with the id of what is among the score's inputs as well."""
BESIDE = "beside"
"""The option with the 95 % intervals of the score's differences from other systems' on the same
things: system → [low, high]."""


@dataclass(frozen=True)
class Score:
    """One number, and everything needed to trust it."""

    metric: str
    """The key of its record in `metrics.names`: "abx_across_%", "bitrate_bit/s", "estoi"."""
    value: float
    interval: tuple[float, float] | None
    """Bootstrap 95 % interval; None where it can't be estimated, as from one utterance."""
    n: int
    """How many things it rests on; `options["n_of"]` names them."""
    protocol: str
    system: str
    """What was scored, in a few words for people."""
    inputs: Mapping[str, str]
    """Name of an input ("units", "corpus", "model", …) → its id."""
    options: Mapping[str, Any] = field(default_factory=dict)
    version: str = zerochain.__version__

    def interval_beside(self, system: str) -> tuple[float, float] | None:
        """The 95 % interval of the difference from another system's value; None if not recorded."""
        match self.options.get(BESIDE):
            case {**known} if isinstance(ends := known.get(system), list | tuple):
                match ends:
                    case [int() | float() as low, int() | float() as high]:
                        return low, high
        return None


def append_scores(path: Path, scores: Iterable[Score]) -> None:
    """Append scores atomically: readers and a killed writer leave whole lines only.

    Raises:
        InputError: as `read_scores`, for the new scores and those in the file; nothing is
            written then.
    """
    new = [_line(score, path) for score in scores]
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
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
        InputError: no such file, a line that isn't JSON, a missing field, or a value that isn't
            a finite number or that its metric can't have; the message names the line.
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
        text = json_text(asdict(score), allow_nan=False)
    except ValueError as error:
        raise InputError(
            f"{score.metric} of {score.system} is {score.value} with interval {score.interval} "
            f"and options {dict(score.options)}: not a finite number somewhere",
            path=path,
            cause="the score is undefined for this input",
            remedy="score more utterances; an undefined score is left out, not written as 0",
        ) from error
    _check_range(score, path)
    return text


class _Line(BaseModel):
    """What a line holds; other programs may add keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    metric: str
    value: float
    interval: list[float] | None = Field(min_length=2, max_length=2)
    n: int = Field(ge=0)
    protocol: str
    system: str
    inputs: dict[str, str]
    options: dict[str, Any]
    version: str


def _score(line: str, where: str) -> Score:
    try:
        row = validated(_Line, json_object(line, where), where)
        score = Score(
            **{name: value for name, value in row if name not in {"interval", "protocol"}},
            interval=None if row.interval is None else (row.interval[0], row.interval[1]),
            protocol=_ID_IN_PROTOCOL.sub(r"\1", row.protocol),
        )
        _check_range(score, where)
    except InputError as error:
        raise InputError(
            error.found,
            path=where,
            cause="the file was edited or damaged, or not written by zerochain",
            remedy="delete the line and score again",
        ) from error
    return score


def _check_range(score: Score, path: Path | str) -> None:
    """Raise InputError where a metric can't have this value."""
    known = metric(score.metric)
    low, high = known.low, known.high
    numbers = [score.value, *(score.interval or ())]
    slack = 1e-6 * max(abs(low), 1.0) if math.isinf(high) else 1e-6 * high
    wrong = [n for n in numbers if not low - slack <= n <= high + slack]
    if wrong or sorted(score.interval or ()) != list(score.interval or ()):
        found = f"{wrong[0]}" if wrong else f"an interval of {score.interval}"
        raise InputError(
            f"{score.metric} of {score.system} is {found}, which is impossible",
            path=path,
            cause="the number was edited or damaged, or a fraction was taken for a percentage",
            remedy="score again",
        )


def _describe(scores: list[Score]) -> Description:
    rows = []
    for score in scores:
        interval = "–" if score.interval is None else "{:.4g} … {:.4g}".format(*score.interval)
        n_of = f"{score.n} {score.options.get('n_of', '')}".strip()
        value = "too little data" if shortfall(score) else f"{score.value:.4g}"
        rows.append([score.system, score.metric, value, interval, n_of, score.protocol])
    header = ["system", "metric", "value", "95 % interval", "n", "protocol"]
    return Description(counted(len(scores), "score"), {}, (Table("scores", header, rows),))


FILE_KIND: FileKind[list[Score]] = FileKind(KIND, SCORES_FILE, read_scores, _describe)
