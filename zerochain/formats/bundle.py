"""A bundle: a fitted model as `config.json` and `weights.safetensors`, everything to use it.

`fit.json`, in a model's bundle: how long its fit took, and on what.

It is no part of the bundle's id: the same model can be fitted faster elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

import zerochain
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_folder, one_version
from zerochain.formats.headers import VERSION, Header, explained_by, read_header, sealed, write_json
from zerochain.formats.identity import file_id

KIND = "bundle"
MARKER = "config.json"
SAMPLE = "sample.wav"
"""Beside an inverter's weights, for whoever looks for a voice; like fit.json no part of the id."""
_WEIGHTS = "weights.safetensors"


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    model: str
    zerochain: str = ""
    """The version that wrote it."""
    trained_on: dict[str, str]
    config: dict[str, Any]
    weights_sha256: str | None = None
    """Older versions wrote none."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model on disk. `id` is the SHA-256 of config.json and weights.safetensors."""

    model: str
    """What it is: "kmeans", "code2spec", …"""
    config: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    trained_on: Mapping[str, str]
    """What it was trained on: a name ("corpus", "units", "features") → its id."""
    id: str


@contextmanager
def opened_as(what: str, folder: Path, remedy: str) -> Iterator[None]:
    """Turn what goes wrong while a bundle becomes a model into an InputError that says so.

    Args:
        what: the model: "inverter", …
        remedy: how to get a new one.
    """
    try:
        yield
    except InputError as error:
        if error.path is not None:
            raise
        raise _unusable(what, folder, remedy, error.found) from error
    except ValidationError as error:
        raise _unusable(what, folder, remedy, explained_by(error)) from error
    except KeyError as error:
        raise _unusable(what, folder, remedy, f"lacks {error}") from error
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        IndexError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise _unusable(what, folder, remedy, said) from error


def _unusable(what: str, folder: Path, remedy: str, said: str) -> InputError:
    return InputError(
        f"is no {what} that can be used: {said}",
        path=folder,
        cause="it was edited, or made by another version of zerochain",
        remedy=remedy,
    )


def within(part: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a part of a model, which are named `part`.…, by the rest of their names."""
    start = f"{part}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def bundle_id(folder: Path) -> str:
    """SHA-256 of a bundle's config.json and weights.safetensors."""
    return file_id(folder / MARKER, folder / _WEIGHTS)


def pack(
    model: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    trained_on: Mapping[str, str],
) -> tuple[bytes, bytes]:
    """The bytes of config.json and weights.safetensors, the same for the same model."""
    # Not np.ascontiguousarray, which makes a vector of a scalar.
    weights = save({n: np.asarray(value, order="C") for n, value in tensors.items()})
    header = {
        "kind": KIND,
        "version": VERSION,
        "model": model,
        "zerochain": zerochain.__version__,
        "trained_on": dict(trained_on),
        "config": dict(config),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(sealed(header), ensure_ascii=False, indent=2) + "\n"
    return text.encode(), weights


def packed_id(config: bytes, weights: bytes) -> str:
    """The id that a bundle of these bytes has on disk."""
    return hashlib.sha256(config + weights).hexdigest()


def write_bundle(
    folder: Path,
    model: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    trained_on: Mapping[str, str],
) -> str:
    """Write a bundle atomically and return its id.

    Raises:
        InputError: a tensor holds NaN, the folder is somebody else's, or the disk is full.
    """
    _check_finite(tensors, folder)
    header, weights = pack(model, config, tensors, trained_on)
    with atomic_folder(folder, MARKER) as temporary:
        (temporary / MARKER).write_bytes(header)
        (temporary / _WEIGHTS).write_bytes(weights)
    return packed_id(header, weights)


def read_bundle(folder: Path, *models: str) -> Bundle:
    """Read a bundle; with `models`, only one of those.

    Raises:
        InputError: not a bundle, an unknown version, weights that can't be read, hold NaN or are
            other than their checksum's, or another model than asked for.
    """
    return one_version(folder, lambda: _read(folder, models))


def _read(folder: Path, models: Collection[str]) -> Bundle:
    header = read_header(folder / MARKER, KIND, _Header)
    model = header.model
    if models and model not in models:
        raise InputError(
            f"holds a {model}, not a {' or '.join(models)}",
            path=folder,
            cause="two arguments were swapped",
            remedy="'zerochain show FOLDER' says what a bundle is",
        )
    path = folder / _WEIGHTS
    try:
        tensors = load_file(path)
        identity = file_id(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise InputError(
            f"can't be read ({str(error).partition(chr(10))[0]})",
            path=path,
            cause="it is missing, or was cut short while it was copied",
            remedy="copy the bundle again, or train it again",
        ) from error
    _check_finite(tensors, path)
    if header.weights_sha256 not in (None, identity):
        raise InputError(
            f"are not the weights that {MARKER} was written with: their checksum is another's",
            path=path,
            cause="the file was damaged while it was copied, or is another model's",
            remedy="copy the bundle again, or train it again",
        )
    return Bundle(model, header.config, tensors, header.trained_on, bundle_id(folder))


def _check_finite(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    broken = [name for name, value in tensors.items() if not np.isfinite(value).all()]
    if broken:
        raise InputError(
            f"tensor {broken[0]!r} holds NaN or infinity",
            path=path,
            cause="training diverged",
            remedy="train again with a lower learning rate",
        )


FIT_KIND = "fit"
FIT_FILE = "fit.json"


class _FitHeader(Header):
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
    write_json(bundle / FIT_FILE, FIT_KIND, asdict(fit))


def read_fit(bundle: Path) -> Fit | None:
    """What the fit of a bundle took; None where nobody wrote it down.

    Raises:
        InputError: a damaged file.
    """
    path = bundle / FIT_FILE
    if not path.is_file():
        return None
    header = read_header(path, FIT_KIND, _FitHeader)
    return Fit(header.seconds, header.device)
