"""`attention.json` and one `<id>.npz` each: where a translator attended for each unit it predicted.

A map has a row per predicted unit and a column per step of the source; each row sums to 1. Maps are
kept as float16, with the predicted units beside them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from zerochain.errors import InputError, counted
from zerochain.formats.arrays import BrokenArrayError, from_archive
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.description import FIRST, Description, FileKind, Table
from zerochain.formats.headers import Header, read_header, write_json
from zerochain.formats.identity import check_ids, short
from zerochain.formats.inside import file_content
from zerochain.formats.units import Units

KIND, MARKER = "attention", "attention.json"
_ROW_SLACK = 0.05  # float16 keeps three digits, and most weights are small


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    translator_id: str
    units_id: str
    ids: list[str]
    step_ms: float | None = Field(None, gt=0)
    maps_sha256: list[str] | None = None
    """Of each file, in the order of the ids; older versions wrote none."""


@dataclass(frozen=True)
class Attention:
    """A folder of maps, one per utterance."""

    translator_id: str
    units_id: str
    """Of the file of the predicted units."""
    step_ms: float | None
    """Of a column; None where the source is units of any length."""
    ids: tuple[str, ...]
    folder: Path
    maps_sha256: Mapping[str, str] = field(default_factory=dict)
    """Id → of its file."""

    def map(self, name: str) -> NDArray[np.float32]:
        """An utterance's map (N units, S steps of the source); its rows sum to 1.

        Raises:
            InputError: it is missing or damaged, or another translation's.
        """
        path = self.folder / f"{name}.npz"
        try:
            found = file_content(path)
            expected = self.maps_sha256.get(name)
            if expected not in (None, hashlib.sha256(found).hexdigest()):
                raise BrokenArrayError("its checksum does not match")
            return _checked(from_archive(found, "attention"))
        except (OSError, BrokenArrayError) as error:
            raise InputError(
                f"holds no attention map ({error})",
                path=path,
                cause="the file is missing or damaged, or the folder was written again meanwhile",
                remedy="translate again ('zerochain translate decode … --attention FOLDER')",
            ) from error


def _checked(weights: NDArray[np.generic]) -> NDArray[np.float32]:
    """Weights (N, S) whose rows sum to 1."""
    if weights.ndim != 2 or weights.size == 0 or weights.dtype.kind != "f":
        raise BrokenArrayError(f"{weights.dtype} of shape {weights.shape}")
    rows = np.asarray(weights, np.float32)
    off = np.abs(rows.sum(axis=1) - 1) > _ROW_SLACK
    if not np.isfinite(rows).all() or rows.min() < 0 or off.any():
        raise BrokenArrayError("weights below 0, NaN, or rows that don't sum to 1")
    return rows


def write_attention(
    folder: Path,
    maps: Mapping[str, NDArray[np.float32]],
    units: Units,
    *,
    translator_id: str,
    units_id: str,
    step_ms: float | None,
) -> None:
    """Write maps (N, S) as float16, with the predicted units (N,), atomically."""
    header: dict[str, object] = {"translator_id": translator_id, "units_id": units_id}
    header["ids"] = list(maps)
    if step_ms is not None:
        header["step_ms"] = step_ms
    sums: list[str] = []
    header["maps_sha256"] = sums
    with atomic_folder(folder, MARKER) as temporary:
        for name, weights in maps.items():
            stream = io.BytesIO()
            np.savez_compressed(stream, attention=weights.astype(np.float16), units=units[name])
            file = temporary / f"{name}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(stream.getvalue())
            sums.append(hashlib.sha256(stream.getvalue()).hexdigest())
        write_json(temporary / MARKER, KIND, header)


def read_attention(folder: Path) -> Attention:
    """Read the header of a folder of maps.

    Raises:
        InputError: no such folder, a missing key, or an id that leaves the folder.
    """
    path = folder / MARKER
    header = read_header(path, KIND, _Header)
    check_ids(header.ids, path, "ids")
    sums = header.maps_sha256
    if sums is not None and len(sums) != len(header.ids):
        raise InputError(
            f"has {counted(len(sums), 'checksum')} for {counted(len(header.ids), 'map')}",
            path=path,
            cause="it was edited",
            remedy="translate again ('zerochain translate decode … --attention FOLDER')",
        )
    return Attention(
        translator_id=header.translator_id,
        units_id=header.units_id,
        step_ms=header.step_ms,
        ids=tuple(header.ids),
        folder=folder,
        maps_sha256={} if sums is None else dict(zip(header.ids, sums, strict=True)),
    )


def _describe(maps: Attention) -> Description:
    first = maps.ids[:FIRST]
    rows = [[name, *(str(n) for n in maps.map(name).shape)] for name in first]
    step = "a unit of the source" if maps.step_ms is None else f"{maps.step_ms:g} ms"
    title = f"the first {len(first)} of {counted(len(maps.ids), 'map')}"
    return Description(
        "attention maps: where each unit of a translation comes from",
        {
            "of units": short(maps.units_id),
            "translator": short(maps.translator_id),
            "one column": step,
        },
        (Table(title, ["id", "units", "steps of the source"], rows),),
    )


FILE_KIND: FileKind[Attention] = FileKind(KIND, MARKER, read_attention, _describe)
