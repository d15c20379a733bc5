"""ABX by what two phones differ in: tone alone, vowel quality alone, or anything else.

A phone table gives every label its properties: a column `phone`, and one column for each property.

    phone,base,tone
    á,a,high
    a,a,low
    m,m,

A pair belongs to the group of the columns in which its values differ ("tone", "base", "base+tone");
an empty value is a value of its own, and differs from any other. One overall ABX error hides that a
system can't tell tones apart, since few pairs differ in tone alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from zerochain.errors import InputError, counted, listed
from zerochain.formats.identity import composed
from zerochain.formats.text_files import read_rows, write_csv
from zerochain.scoring.abx_tables import PairError

PHONE = "phone"
GROUPS = "abx_groups.csv"
NOTHING = "nothing"
"""The group of phones that have the same values everywhere."""


@dataclass(frozen=True)
class PhoneTable:
    """Properties of phones."""

    columns: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    """Phone → its value in each column; "" where it has none."""
    path: Path | None = None

    def group(self, one: str, other: str) -> str:
        """The columns in which two phones differ, joined by "+", or "nothing"."""
        pairs = zip(self.columns, self.values[one], self.values[other], strict=True)
        return "+".join(column for column, a, b in pairs if a != b) or NOTHING

    def check_covers(self, phones: Collection[str]) -> None:
        """Raise InputError, listing them, where phones are missing."""
        missing = sorted(set(phones) - set(self.values))
        if missing:
            raise InputError(
                f"lacks {counted(len(missing), 'phone')} that ABX compares: {listed(missing)}",
                path=self.path,
                cause="the table is of another alphabet, or in another case",
                remedy="add a row for each of them, with empty values where nothing applies",
            )


def read_phone_table(path: Path) -> PhoneTable:
    """Read a phone table: a .csv, or tab-separated.

    Raises:
        InputError: as `read_rows`; no column beside `phone`, a row without a phone, or a phone
            that is listed twice.
    """
    columns, rows = read_rows(path, (PHONE,))
    kinds = tuple(column for column in columns if column != PHONE)
    if not kinds:
        raise InputError(
            f"has no column beside {PHONE!r}",
            path=path,
            remedy="add one for each property of phones, such as 'base' and 'tone'",
        )
    values: dict[str, tuple[str, ...]] = {}
    for row in rows:
        phone = composed(row.values.get(PHONE, ""))
        if not phone or phone in values:
            raise InputError(
                f"line {row.line} has no phone" if not phone else f"lists phone {phone!r} twice",
                path=path,
                remedy="give each phone one row",
            )
        values[phone] = tuple(composed(row.values.get(kind, "")) for kind in kinds)
    return PhoneTable(kinds, values, path)


@dataclass(frozen=True)
class GroupError:
    """The ABX error of the pairs of phones that differ in the same columns."""

    mode: str
    group: str
    error: float
    """In per cent, the mean over the group's ordered pairs of phones."""
    n_pairs: int
    n_cells: int
    n_triples: int

    @property
    def record(self) -> dict[str, float | int]:
        """What a score's options hold of it."""
        return {
            "error_%": self.error,
            "n_pairs": self.n_pairs,
            "n_cells": self.n_cells,
            "n_triples": self.n_triples,
        }

    @property
    def text(self) -> str:
        """It in a line for people."""
        alone = "" if "+" in self.group or self.group == NOTHING else " alone"
        return (
            f"{self.mode}, phones that differ in {self.group}{alone}: {self.error:.2f} % "
            f"({counted(self.n_pairs, 'pair')}, {counted(self.n_cells, 'cell')})"
        )


def write_groups(folder: Path, groups: Iterable[GroupError]) -> None:
    """Write abx_groups.csv into a folder."""
    header = ("mode", "differ_in", "error_%", "pairs", "cells", "triples")
    write_csv(
        folder / GROUPS,
        header,
        [(g.mode, g.group, g.error, g.n_pairs, g.n_cells, g.n_triples) for g in groups],
    )


def group_errors(pairs: Iterable[PairError], table: PhoneTable) -> list[GroupError]:
    """Errors of pairs of phones, averaged by what the two phones differ in.

    The mean over all pairs, weighted by a group's number of pairs, is the mean of its groups.

    Args:
        pairs: one for each ordered pair of phones and mode (`abx_tables.phone_errors`).

    Returns:
        By mode; groups of fewer columns first.

    Raises:
        InputError: a phone that the table lacks; all of them are listed.
    """
    found = list(pairs)
    table.check_covers({phone for pair in found for phone in pair[1:3]})

    def key(pair: PairError) -> tuple[str, int, str]:
        group = table.group(pair[1], pair[2])
        return pair[0], 0 if group == NOTHING else group.count("+") + 1, group

    grouped = groupby(sorted(found, key=key), key=key)
    return [_error(mode, group, list(members)) for (mode, _, group), members in grouped]


def _error(mode: str, group: str, pairs: list[PairError]) -> GroupError:
    error = float(np.mean([pair[3] for pair in pairs]))
    n_cells, n_triples = (sum(int(pair[i]) for pair in pairs) for i in (4, 5))
    return GroupError(mode, group, error, len(pairs), n_cells, n_triples)
