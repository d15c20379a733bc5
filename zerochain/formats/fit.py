"""`fit.json`, in a model's bundle: how long its fit took, and on what.

It is no part of the bundle's id: the same model can be fitted faster elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from zerochain.formats.headers import Header, read_header, write_json

KIND = "fit"
FILE = "fit.json"


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0)
    device: str


@dataclass(frozen=True)
class Fit:
    """What the fit of a model took, without extracting features."""

    seconds: float
    """Of wall time, of all runs if it was interrupted."""
    device: str
    """In a few words for people: "CPU, 2 threads", "NVIDIA H100"."""


def timeless(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a training is recorded by in a bundle's configuration, and so in its id."""
    return {name: value for name, value in report.items() if name != "seconds"}


def write_fit(bundle: Path, fit: Fit) -> None:
    """Write it into the folder of a bundle."""
    write_json(bundle / FILE, KIND, asdict(fit))


def read_fit(bundle: Path) -> Fit | None:
    """What the fit of a bundle took; None where nobody wrote it down.

    Raises:
        InputError: a damaged file.
    """
    path = bundle / FILE
    if not path.is_file():
        return None
    header = read_header(path, KIND, _Header)
    return Fit(header.seconds, header.device)
