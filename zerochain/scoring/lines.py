"""The lines of somebody's submission: how long each lasts, and which are the same unit."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids, ids_by_name
from zerochain.formats.units import UnitFile

SPREAD_STEP_MS = 10.0
"""What durations are counted in where lines share their recording evenly."""


@dataclass(frozen=True)
class Timing:
    """How long lines last."""

    step_ms: float
    spread: bool
    corpus: Corpus | None
    root: Path

    @property
    def corpus_id(self) -> str:
        return "" if self.corpus is None else self.corpus.id

    def ids(self, names: Iterable[str], folders: bool) -> dict[str, str]:
        """Name → id: the same or, without folders, the corpus's id that ends with the name.

        Raises:
            InputError: listing the ids that the corpus lacks.
        """
        ids = {name: name for name in names}
        if self.corpus is None:
            return ids
        where = f"corpus {self.corpus.name}"
        if not folders:
            by_name = ids_by_name(self.corpus.ids, where)
            ids = {name: by_name.get(name, name) for name in ids}
        check_same_ids(list(ids.values()), self.corpus.ids, f"files in {self.root}", where)
        return ids

    def speakers(self, ids: Collection[str]) -> dict[str, str | None]:
        """The speakers of utterances; None where no corpus tells."""
        by_id = {} if self.corpus is None else self.corpus.by_id
        return {name: by_id[name].speaker if name in by_id else None for name in ids}

    def durations(self, name: str, n_lines: int) -> NDArray[np.int32]:
        """Steps that each of an utterance's lines lasts, where they share it evenly."""
        assert self.corpus is not None
        steps = round(self.corpus.by_id[name].duration * 1000 / self.step_ms)
        if n_lines > steps:
            raise InputError(
                f"{name!r} has {n_lines} lines in {steps} steps of {self.step_ms:g} ms",
                path=self.root,
                cause="its lines are no segments",
                remedy="say what a line lasts with --step-ms instead of --spread",
            )
        return np.diff(np.round(np.linspace(0, steps, n_lines + 1))).astype(np.int32)

    def check_lengths(self, unit_file: UnitFile) -> None:
        """Raise InputError unless the lines last as long as the recordings."""
        if self.corpus is None:
            return
        seconds = {u.id: u.duration for u in self.corpus.utterances}
        try:
            unit_file.check_durations(seconds, f"corpus {self.corpus.name}")
        except InputError as error:
            raise InputError(
                error.found,
                path=self.root,
                cause="--step-ms is wrong, or repeats were merged and a line is a segment",
                remedy="give the right --step-ms; segments come in from a submission, by --spread",
            ) from error


def line_timing(step_ms: float | None, corpus: Path | None, spread: bool, root: Path) -> Timing:
    """How long the lines of `root` last: a step each, or an even share of their recording.

    Raises:
        InputError: both or neither, or no corpus to share out.
    """
    if spread and corpus is None:
        raise InputError("--spread needs the recordings' lengths", remedy="give --corpus")
    if spread == (step_ms is not None):
        raise InputError(
            "a submission doesn't say how long a line lasts",
            path=root,
            remedy="give either --step-ms or, where lines are segments, --spread",
        )
    whole = None if corpus is None else read_corpus(corpus)
    return Timing(step_ms or SPREAD_STEP_MS, spread, whole, root)


class Symbols:
    """Lines as units: equal vectors are the same one, numbered as they first occur."""

    def __init__(self) -> None:
        self.units: dict[str, NDArray[np.int32]] = {}
        self.codes: dict[bytes, int] = {}
        self.digest = hashlib.sha256()
        self.dim = 0
        self.first = ""

    def add(self, name: str, vectors: NDArray[np.float64]) -> None:
        """Number an utterance's lines (T, D)."""
        # + 0.0: a negative zero is the same number. Keys of 16 bytes: vectors may be long.
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in vectors + 0.0]
        codes = [self.codes.setdefault(key, len(self.codes)) for key in keys]
        self.units[name] = np.array(codes, np.int32)
        for key in keys:
            self.digest.update(key)
        self.dim, self.first = self.dim or vectors.shape[1], self.first or name
