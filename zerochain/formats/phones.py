"""`phones.parquet`: gold phones with id, onset, offset (s) and label, read by evaluation alone.

Labels are kept in Unicode's composed form (NFC), so that one letter is one phone however it was
typed. The phones of an utterance follow each other in time; gaps between them are allowed.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import ConfigDict

from zerochain.errors import InputError, counted
from zerochain.formats.description import Description, FileKind
from zerochain.formats.headers import Header
from zerochain.formats.identity import check_ids
from zerochain.formats.tables import read_table, write_table

PHONES_FILE = "phones.parquet"
KIND = "phones"
_MOST_FREQUENT = 12
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("onset", pa.float64(), nullable=False),
        pa.field("offset", pa.float64(), nullable=False),
        pa.field("phone", pa.string(), nullable=False),
    ]
)


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    source: str = ""


class Phone(NamedTuple):
    """One phone: from `onset` to `offset`, in seconds from the utterance's start."""

    onset: float
    offset: float
    phone: str


@dataclass(frozen=True)
class Phones:
    """Alignments by utterance id, each in the order of time, and where they come from."""

    by_id: dict[str, list[Phone]]
    source: str = ""


def write_phones(path: Path, phones: Phones) -> None:
    """Write alignments atomically, their labels composed (NFC).

    An utterance without a phone has no row, so it isn't read back.
    """
    _check(phones, path)
    rows = [(name, *composed(phone)) for name, line in phones.by_id.items() for phone in line]
    table = pa.Table.from_arrays(
        [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(_SCHEMA)],
        schema=_SCHEMA,
    )
    write_table(path, KIND, table, {"source": phones.source})


def read_phones(path: Path) -> Phones:
    """Read alignments; labels are composed (NFC), whichever program wrote the table.

    Raises:
        InputError: not a phones table, or a phone that ends before it starts.
    """
    table, header, _ = read_table(path, KIND, _SCHEMA, _Header)
    by_id: dict[str, list[Phone]] = {}
    columns = (table[name].to_pylist() for name in _SCHEMA.names)
    for name, onset, offset, phone in zip(*columns, strict=True):
        by_id.setdefault(name, []).append(composed(Phone(onset, offset, phone)))
    phones = Phones(by_id, header.source)
    _check(phones, path)
    return phones


def composed(phone: Phone) -> Phone:
    """The phone with its label in Unicode's composed form."""
    if unicodedata.is_normalized("NFC", phone.phone):
        return phone
    return phone._replace(phone=unicodedata.normalize("NFC", phone.phone))


def _check(phones: Phones, path: Path) -> None:
    check_ids(phones.by_id, path)
    for name, line in phones.by_id.items():
        previous = 0.0
        for phone in line:
            if not (math.isfinite(phone.offset) and previous - 1e-6 <= phone.onset < phone.offset):
                raise InputError(
                    f"utterance {name!r}: phone {phone.phone!r} from {phone.onset} to "
                    f"{phone.offset} s follows one that ends at {previous} s",
                    path=path,
                    cause="phones overlap, run backwards or have no duration",
                    remedy="fix the alignment",
                )
            previous = phone.offset


def _describe(phones: Phones) -> Description:
    counts = Counter(phone.phone for line in phones.by_id.values() for phone in line)
    most = counts.most_common(_MOST_FREQUENT)
    return Description(
        "gold phones",
        {
            "utterances": f"{len(phones.by_id)}",
            "phones": f"{counts.total()}, of {counted(len(counts), 'kind')}",
            "most frequent": ", ".join(f"{name} {n}" for name, n in most),
            "source": phones.source,
        },
    )


FILE_KIND: FileKind[Phones] = FileKind(KIND, PHONES_FILE, read_phones, _describe)
