"""Checkpoints from which training goes on as if it had never stopped: safetensors and JSON.

A checksum of all that they hold stands beside it: training that goes on from damaged numbers would
come to something else without a word.
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

_STATE, _SUM = "state", "sha256"
_BROKEN = (AttributeError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


def fingerprint(values: Mapping[str, Any]) -> str:
    """SHA-256 of settings and ids: what a checkpoint belongs to."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and plain values, atomically.

    A process killed meanwhile leaves the checkpoint before it.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_take_tensors(state, tensors))
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata={_STATE: text, _SUM: _digest(text, tensors)})


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any]:
    """Read a checkpoint of the run with this fingerprint.

    Raises:
        InputError: it can't be read, is damaged, or belongs to a run with other data or settings.
    """
    state = _read(path)
    if not isinstance(state, dict) or state.get("fingerprint") != fingerprint:
        raise InputError(
            "is the checkpoint of a training with other data or other settings",
            path=path,
            cause="the units, the corpus or an option changed since it was interrupted",
            remedy="use the same again to go on, or --restart to start anew",
        )
    return state


def damaged(path: Path, why: str) -> InputError:
    """What to say of a checkpoint from which training can't go on."""
    return InputError(
        f"can't be read ({why})",
        path=path,
        cause="it was damaged while it was copied, or another version wrote it",
        remedy="remove it or give --restart, and training starts again",
    )


def _read(path: Path) -> Any:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        text = metadata[_STATE]
        state = _put_tensors(parse_json(text, path), tensors)
        found = _digest(text, tensors)
    except (SafetensorError, *_BROKEN) as error:
        raise damaged(path, str(error).partition("\n")[0]) from error
    # Older versions wrote no checksum; nothing else was in the metadata then.
    if metadata.get(_SUM) != found and metadata.keys() != {_STATE}:
        raise damaged(path, "its checksum is another's")
    return state


def _digest(state: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the state and of all tensors' names, types, shapes and numbers."""
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()


def _take_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A JSON value in which each tensor is the name that it gets in `tensors`."""
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
            raise TypeError(f"a checkpoint can't hold a {type(other).__name__}")


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
