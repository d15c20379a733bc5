"""Checkpoints: training continues from them as if it had never stopped. Safetensors and JSON.

Tensors are stored as they are; everything else is JSON in the file's metadata. The metadata also
holds a checksum of the whole: training that continued from damaged numbers would give a different
model without any error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, contiguous_format, uint8

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file
from zerochain.formats.headers import parse_json

CHECKPOINT = "checkpoint.safetensors"
"""Its file name in a training's folder. It stays there after training has finished, so that
training can be extended later."""
_STATE, _SUM = "state", "sha256"
_BROKEN = (AttributeError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


def training_folder(out: Path) -> Path:
    """Where the checkpoint and the log of what becomes `out` are kept: beside it."""
    return out.parent / f"{out.name}.training"


def fingerprint(values: Mapping[str, Any]) -> str:
    """SHA-256 of settings and ids."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and plain values, atomically.

    If the process is killed while writing, the previous checkpoint stays.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_take_tensors(state, tensors))
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata={_STATE: text, _SUM: digest_of(tensors, text)})


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        InputError: it can't be read or is damaged.
    """
    state = _read(path)
    if not isinstance(state, dict):
        raise damaged(path, f"it contains a {type(state).__name__} instead of a table")
    return state


def damaged(path: Path, why: str) -> InputError:
    """The error for a checkpoint that can't be used."""
    return InputError(
        f"can't be read ({why})",
        path=path,
        cause="it was damaged while it was copied, or another version wrote it",
        remedy="delete it or use restart=True to train from the start",
    )


def _read(path: Path) -> Any:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        text = metadata[_STATE]
        state = _put_tensors(parse_json(text, path), tensors)
        found = digest_of(tensors, text)
    except (SafetensorError, *_BROKEN) as error:
        raise damaged(path, str(error).partition("\n")[0]) from error
    # Older versions wrote no checksum; nothing else was in the metadata then.
    if metadata.get(_SUM) != found and metadata.keys() != {_STATE}:
        raise damaged(path, "its checksum is wrong")
    return state


def digest_of(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 of a text and of all tensors' names, types, shapes and numbers."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()


def _take_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A JSON value in which each tensor is replaced by its key in `tensors`, which is filled."""
    match value:
        case Tensor():
            name = f"{len(tensors):06d}"
            tensors[name] = value.detach().cpu().clone(memory_format=contiguous_format)
            return {"tensor": name}
        case dict():
            return {"dict": [[key, _take_tensors(v, tensors)] for key, v in value.items()]}
        case list() | tuple():
            return {"list": [_take_tensors(v, tensors) for v in value]}
        case None | bool() | int() | float() | str():
            return {"value": value}
        case other:
            raise TypeError(f"a checkpoint can't contain a {type(other).__name__}")


def _put_tensors(layout: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    """The inverse of `_take_tensors`."""
    ((kind, value),) = layout.items()
    match kind:
        case "tensor":
            return tensors[value]
        case "dict":
            return {key: _put_tensors(v, tensors) for key, v in value}
        case "list":
            return [_put_tensors(v, tensors) for v in value]
        case _:
            return value
