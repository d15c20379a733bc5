"""Where a translator listened when it said each unit: `attention.json` and one `<id>.npz` each."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.identity import check_ids
from zerochain.formats.tables import read_json, write_json
from zerochain.formats.units import Units

KIND, MARKER = "attention", "attention.json"


@dataclass(frozen=True)
class Attention:
    """A folder of maps, one an utterance."""

    translator_id: str
    units_id: str
    """Of the file of the units that were said."""
    step_ms: float | None
    """Of a column; None where the source is units of any length."""
    ids: tuple[str, ...]
    folder: Path

    def map(self, name: str) -> NDArray[np.float32]:
        """An utterance's map: (N units, S steps of the source), rows that sum to 1.

        Raises:
            InputError: it is missing or damaged.
        """
        path = self.folder / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                weights = arrays["attention"]
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(
                f"holds no attention map ({error})",
                path=path,
                cause="the file is missing, or was cut off",
                remedy="translate again with --attention",
            ) from error
        return np.asarray(weights, np.float32)


def write_attention(
    folder: Path,
    maps: Mapping[str, NDArray[np.float32]],
    units: Units,
    *,
    translator_id: str,
    units_id: str,
    step_ms: float | None,
) -> None:
    """Write maps (N, S), as float16, with the units (N,) that they are of, atomically."""
    header: dict[str, object] = {"translator_id": translator_id, "units_id": units_id}
    header["ids"] = list(maps)
    if step_ms is not None:
        header["step_ms"] = step_ms
    with atomic_folder(folder, MARKER) as temporary:
        for name, weights in maps.items():
            file = temporary / f"{name}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, attention=weights.astype(np.float16), units=units[name])
        write_json(temporary / MARKER, KIND, header)


def read_attention(folder: Path) -> Attention:
    """Read what a folder of maps says of itself.

    Raises:
        InputError: no such folder, a missing key, or an id that leaves the folder.
    """
    header = read_json(folder / MARKER, KIND, "translator_id", "units_id", "ids")
    ids = tuple(str(name) for name in header["ids"])
    check_ids(ids, folder / MARKER, "ids")
    step_ms = header.get("step_ms")
    return Attention(
        translator_id=str(header["translator_id"]),
        units_id=str(header["units_id"]),
        step_ms=None if step_ms is None else float(step_ms),
        ids=ids,
        folder=folder,
    )
