"""`units.parquet`: the discrete units of each utterance, and the unit model they come from.

Units are integers from 0 to n_units - 1. Each lasts one step of `step_ms`, unless the file has
durations in steps. The model's id goes with the units, so that a stage trained on another model's
units refuses them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from zerochain.errors import InputError, ModelMismatchError, counted, listed, speech_time
from zerochain.formats.arrays import LIST, Sequences
from zerochain.formats.bundle import read_bundle
from zerochain.formats.corpus import Corpus
from zerochain.formats.description import FIRST, Description, FileKind, Table
from zerochain.formats.headers import Header
from zerochain.formats.identity import (
    check_ids,
    check_same_ids,
    short,
)
from zerochain.formats.tables import read_table, write_table

KIND = "units"
UNITS_FILE = "units.parquet"
_SHOWN = 16
TRANSLATED = "translated"
"""How `UnitFile.method` begins where a translator predicted the units."""
Units = Mapping[str, NDArray[np.int32]]
"""Utterance id → its units (N,), each in 0 … n_units - 1, in order of time."""

_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("speaker", pa.string()),
        pa.field("units", LIST, nullable=False),
        pa.field("durations", LIST),
    ]
)


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    model_id: str
    n_units: int = Field(ge=1, le=2**31)
    step_ms: float = Field(gt=0)
    method: str
    corpus_id: str = ""


@dataclass(frozen=True, eq=False)
class UnitFile:
    """The units of many utterances and what is needed to use them.

    `durations` are in steps of `step_ms`, one per unit; None where every unit lasts one step.
    """

    units: Units
    n_units: int
    step_ms: float
    model_id: str
    method: str
    """How they were made, in a few words for people: "kmeans K=256 4T mfcc speaker-norm"."""
    speakers: Mapping[str, str | None] = field(default_factory=dict)
    durations: Units | None = None
    corpus_id: str = ""
    id: str = ""

    @property
    def ids(self) -> list[str]:
        return list(self.units)

    @property
    def is_translation(self) -> bool:
        """Whether they translate the recordings of the same ids."""
        return self.method.startswith(TRANSLATED)

    def restrict(self, names: Sequence[str]) -> UnitFile:
        """The units of these utterances, in the order given; its id stays the whole file's.

        Raises:
            InputError: an utterance has no units; the message lists them.
        """
        check_same_ids(names, self.units, "utterances asked for", "units")
        durations = self.durations
        return replace(
            self,
            units=Sequences.of(self.units).restrict(names),
            durations=None if durations is None else Sequences.of(durations).restrict(names),
        )

    def steps(self, name: str) -> NDArray[np.int32]:
        """An utterance's units with each repeated for as many steps as it lasts."""
        units = self.units[name]
        return units if self.durations is None else np.repeat(units, self.durations[name])

    def segments(self, name: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """An utterance's units with repeats merged (N,), and how many steps each lasts (N,)."""
        return run_lengths(self.steps(name))

    def duration_s(self, name: str) -> float:
        """Seconds that an utterance's units last."""
        steps = len(self.units[name]) if self.durations is None else self.durations[name].sum()
        return float(steps) * self.step_ms / 1000

    def check_durations(self, durations_s: Mapping[str, float], where: str) -> None:
        """Raise InputError unless the units are as long as the recordings of the same ids.

        Two steps and a frame or two of slack: units may reach beyond a recording's end.
        """
        slack_s = 2 * self.step_ms / 1000 + 0.03
        wrong = [
            name
            for name in self.ids
            if name in durations_s and abs(self.duration_s(name) - durations_s[name]) > slack_s
        ]
        if wrong:
            name = wrong[0]
            raise InputError(
                f"units of another length than their recordings in the {where}: {len(wrong)} of "
                f"{counted(len(self.units), 'utterance')}, {listed(wrong)} ({name!r}: "
                f"{self.duration_s(name):.2f} s of units, {durations_s[name]:.2f} s of sound)",
                cause="another corpus has the same ids, or the recordings were cut differently",
                remedy="encode this corpus, and score those units",
            )

    def check_corpus(self, corpus: Corpus) -> str:
        """Check that these can be units of a corpus, or of some of its utterances.

        Returns:
            A note that they were made of another corpus; "" if they weren't, or it isn't known.

        Raises:
            InputError: ids that the corpus lacks, or units longer or shorter than its recordings.
        """
        where = f"corpus {corpus.name}"
        check_same_ids(self.ids, corpus.ids, "unit file", where)
        self.check_durations({u.id: u.duration for u in corpus.utterances}, where)
        return corpus.note_on(self.corpus_id, "units")

    def check_model(self, model_id: str, stage: str) -> None:
        """Raise ModelMismatchError unless these units are of the model that `stage` knows."""
        if self.model_id != model_id:
            raise ModelMismatchError(
                f"the units are of unit model {short(self.model_id)}, "
                f"but the {stage} was trained on units of {short(model_id)}",
                cause="the units were encoded with another model, or the model was fitted again",
                remedy=f"encode with unit model {short(model_id)}, which 'zerochain show' of the "
                f"{stage} may find, or train the {stage} on these units",
            )


def run_lengths(steps: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Units of every step (T,) with repeats merged: units (N,) and durations in steps (N,)."""
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    return steps[starts], np.diff(starts, append=len(steps)).astype(np.int32)


def write_units(path: Path, unit_file: UnitFile) -> None:
    """Write a unit file atomically.

    Raises:
        InputError: as `read_units`.
    """
    check_ids(unit_file.ids, path)
    _check(unit_file, path)
    units, durations = Sequences.of(unit_file.units), unit_file.durations
    table = pa.Table.from_arrays(
        [
            pa.array(units.ids, pa.string()),
            pa.array([unit_file.speakers.get(name) for name in units], pa.string()),
            units.column(),
            pa.nulls(len(units), LIST)
            if durations is None
            else Sequences.of(durations).restrict(units.ids).column(),
        ],
        schema=_SCHEMA,
    )
    header = {
        "model_id": unit_file.model_id,
        "n_units": unit_file.n_units,
        "step_ms": unit_file.step_ms,
        "method": unit_file.method,
        "corpus_id": unit_file.corpus_id,
    }
    write_table(path, KIND, table, header)


def read_units(path: Path) -> UnitFile:
    """Read a unit file.

    Raises:
        InputError: not a unit file, an unknown version, a missing column, a duplicate id, no
            utterance, one without units, a unit out of range, or durations that don't fit.
    """
    table, header, identity = read_table(path, KIND, _SCHEMA, _Header)
    ids = table["id"].to_pylist()
    check_ids(ids, path)  # before they are keys, which can't be duplicates
    has_durations = table["durations"].null_count == 0 and len(ids) > 0
    if not has_durations and table["durations"].null_count < len(ids):
        raise InputError(
            "some utterances have durations and some have none",
            path=path,
            cause="two unit files were joined",
            remedy="encode all utterances with one model",
        )
    unit_file = UnitFile(
        units=_sequences(ids, table["units"], path),
        n_units=header.n_units,
        step_ms=header.step_ms,
        model_id=header.model_id,
        method=header.method,
        speakers=dict(zip(ids, table["speaker"].to_pylist(), strict=True)),
        durations=_sequences(ids, table["durations"], path) if has_durations else None,
        corpus_id=header.corpus_id,
        id=identity,
    )
    _check(unit_file, path)
    del table
    pa.default_memory_pool().release_unused()
    return unit_file


def _sequences(ids: list[str], column: pa.ChunkedArray, path: Path) -> Sequences:
    try:
        return Sequences.of_column(ids, column)
    except ValueError as error:
        raise InputError(
            "a unit is null", path=path, remedy="encode the recordings again"
        ) from error


def _check(unit_file: UnitFile, path: Path) -> None:
    if not unit_file.units:
        raise InputError("holds no utterance", path=path, remedy="encode some recordings")
    if not (unit_file.n_units >= 1 and 0 < unit_file.step_ms < math.inf):
        raise InputError(
            f"n_units {unit_file.n_units} and step_ms {unit_file.step_ms} are impossible",
            path=path,
            remedy="encode the recordings again",
        )
    units = Sequences.of(unit_file.units)
    empty = _names(units, units.lengths == 0)
    if empty:
        raise InputError(
            f"there are no units for {counted(len(empty), 'utterance')}: {listed(empty)}",
            path=path,
            cause="another program removed them",
            remedy="leave them out, with their recordings, or encode again",
        )
    least, most = units.extremes()
    wrong = _names(units, (least < 0) | (most >= unit_file.n_units))
    if wrong:
        raise InputError(
            f"units outside 0 … {unit_file.n_units - 1} in {counted(len(wrong), 'utterance')}: "
            f"{listed(wrong)}",
            path=path,
            cause="the units count from 1, or are of a model with more units",
            remedy="fix n_units, or encode the recordings again",
        )
    if unit_file.durations is None:
        return
    check_same_ids(unit_file.ids, unit_file.durations, "units", "durations")
    durations = Sequences.of(unit_file.durations).restrict(units.ids)
    unfit = units.lengths != durations.lengths
    if not unfit.any():
        unfit = durations.extremes()[0] < 1
    for name in _names(units, unfit)[:1]:
        raise InputError(
            f"utterance {name!r}: {counted(len(units[name]), 'unit')}, "
            f"{counted(len(durations[name]), 'duration')}, or one shorter than a step",
            path=path,
            remedy="encode the recordings again",
        )


def _names(units: Sequences, chosen: NDArray[np.bool_]) -> list[str]:
    ids = units.ids
    return [ids[row] for row in np.flatnonzero(chosen)]


def _describe(unit_file: UnitFile) -> Description:
    n_symbols = sum(len(line) for line in unit_file.units.values())
    seconds = sum(unit_file.duration_s(name) for name in unit_file.ids)
    timing = "each lasts one step" if unit_file.durations is None else "with durations"
    rows = [
        [name, unit_file.speakers.get(name) or "–", _first_units(unit_file, name)]
        for name in unit_file.ids[:FIRST]
    ]
    return Description(
        "units",
        {
            "method": unit_file.method,
            "unit model": short(unit_file.model_id),
            "units": f"{unit_file.n_units}",
            "step": f"{unit_file.step_ms:g} ms, {timing}",
            "utterances": f"{len(unit_file.ids)}, {speech_time(seconds)}",
            "symbols": f"{n_symbols}, {n_symbols / seconds:.1f} per second",
            "corpus": short(unit_file.corpus_id),
            "id": short(unit_file.id),
        },
        (Table("first utterances", ["id", "speaker", "units"], rows),),
    )


def _first_units(unit_file: UnitFile, name: str) -> str:
    """An utterance's first units, with their durations where they have some: 7×3."""
    units = unit_file.units[name]
    lasting = None if unit_file.durations is None else unit_file.durations[name]
    shown = [
        str(unit) if lasting is None else f"{unit}×{lasting[i]}"
        for i, unit in enumerate(units[:_SHOWN])
    ]
    more = f" … {len(units) - _SHOWN} more" if len(units) > _SHOWN else ""
    return " ".join(shown) + more


def codebook_of(unit_file: UnitFile, model: Path, *, without: str) -> NDArray[np.floating]:
    """The vectors (K, D) of a unit file's units, from the bundle of their model.

    Args:
        without: what happens without a model, for the message.

    Raises:
        ModelMismatchError: the units are of another model.
        InputError: the model has no codebook.
    """
    bundle = read_bundle(model)
    unit_file.check_model(bundle.id, "model given")
    if "codebook" not in bundle.tensors:
        raise InputError(
            f"a {bundle.model} model has no codebook",
            path=model,
            remedy=f"leave model= out: {without}",
        )
    return bundle.tensors["codebook"]


FILE_KIND: FileKind[UnitFile] = FileKind(KIND, UNITS_FILE, read_units, _describe)
