"""Checkpoints from which training goes on as if it had never stopped: safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, contiguous_format

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file


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
        save_file(tensors, temporary, metadata={"state": text})


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any]:
    """Read a checkpoint of the run with this fingerprint.

    Raises:
        InputError: it can't be read, or belongs to a run with other data or settings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            layout = json.loads((file.metadata() or {})["state"])
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise InputError(
            f"can't be read ({str(error).splitlines()[0]})",
            path=path,
            cause="it was cut short while it was copied, or is no checkpoint",
            remedy="remove it, and training starts again",
        ) from error
    state: dict[str, Any] = _put_tensors(layout, tensors)
    if state.get("fingerprint") != fingerprint:
        raise InputError(
            "is the checkpoint of a training with other data or other settings",
            path=path,
            cause="the units, the corpus or an option changed since it was interrupted",
            remedy="use the same again to go on, or --restart to start anew",
        )
    return state


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
