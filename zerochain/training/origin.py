"""Whether training may go on from a checkpoint: it has to be of the same recipe and inputs.

The checkpoint holds both as JSON, so that a refusal can name what changed. Long inputs (ids,
texts) are held as their SHA-256 and their length.

Three kinds of changes differ in what follows from them:

- `max_steps` may change: training goes on to the new number;
- anything else that the user chose (recipe, inputs) is refused, and `restart=True` starts anew;
- what an earlier part of the same training made (`follows`) starts this part anew: once the F0
  units are trained for longer, what was trained on them is of no use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zerochain.errors import InputError, listed
from zerochain.training.checkpoint import damaged, fingerprint
from zerochain.training.recipe import Recipe

_LONGEST = 4000  # characters of JSON of an input that is held as it is
_SHOWN = 60  # characters of a value that an error shows
_LONG = "sha256"
_ABSENT = object()
_MAX_STEPS = "max_steps"


class OtherTrainingError(InputError):
    """A checkpoint is of a training with other settings or other data, or of more steps."""


@dataclass(frozen=True)
class Origin:
    """What a training is made from, and what its checkpoint therefore belongs to."""

    recipe: Recipe
    inputs: Mapping[str, Any]
    """JSON values by name: settings of the network, ids of files, ids of utterances."""
    follows: Mapping[str, Any]
    """JSON values by name: digests of what earlier parts of the same training made."""

    def record(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "recipe": self.recipe.model_dump(),
            "inputs": _recorded(self.inputs),
            "follows": _recorded(self.follows),
        }

    def check(self, state: Mapping[str, Any], path: Path) -> None:
        """Raise OtherTrainingError where the state of a checkpoint belongs to another training.

        Neither `max_steps` nor `follows` matter.
        """
        if "recipe" not in state:
            self._check_older(state, path)
            return
        before, now = _recipe_of(state, path), self.recipe.model_dump(exclude={_MAX_STEPS})
        changes = [
            *_changes(before, now),
            *_changes(state.get("inputs", {}), _recorded(self.inputs)),
        ]
        if changes:
            raise _other(
                ": " + listed(changes, 5),
                path,
                "settings or data changed since this training was begun",
            )

    def still_follows(self, state: Mapping[str, Any]) -> bool:
        """Whether the earlier parts of this training are those that the checkpoint follows."""
        return "recipe" not in state or bool(state.get("follows") == _recorded(self.follows))

    def max_steps_of(self, state: Mapping[str, Any]) -> int:
        """The number of steps that the checkpoint's training was asked for."""
        recipe = state.get("recipe")
        return self.recipe.max_steps if recipe is None else int(recipe[_MAX_STEPS])

    def _check_older(self, state: Mapping[str, Any], path: Path) -> None:
        """Older versions recorded one hash, of the inputs and, as "training", of the recipe."""
        whole = fingerprint({**self.inputs, "training": self.recipe.model_dump()})
        if state.get("fingerprint") != whole:
            raise _other(
                "",
                path,
                "an earlier version wrote it, which did not record what it was trained with; or "
                "settings or data changed",
            )


def _other(changes: str, path: Path, cause: str) -> InputError:
    return OtherTrainingError(
        f"is the checkpoint of a training with other data or other settings{changes}",
        path=path,
        cause=cause,
        remedy="use the same again to continue, or restart=True to start anew",
    )


def _recipe_of(state: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Its fields but `max_steps`; of those that an earlier version didn't have, the defaults."""
    try:
        return Recipe(**state["recipe"]).model_dump(exclude={_MAX_STEPS})
    except (TypeError, ValidationError) as error:
        raise damaged(path, f"its recipe: {str(error).partition(chr(10))[0]}") from error


def _recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Each as JSON would give it back, or as its SHA-256 and length."""
    found = {}
    for name, value in values.items():
        text = json.dumps(value, sort_keys=True)
        found[name] = json.loads(text)
        if len(text) > _LONGEST:
            found[name] = {_LONG: hashlib.sha256(text.encode()).hexdigest(), "n": len(value)}
    return found


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], of: str = "") -> Iterator[str]:
    """The settings that differ, as arguments: "batch_size=16 → 32", "width=8 → 4 (of network)"."""
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name, _ABSENT), now.get(name, _ABSENT)
        if old == new:
            continue
        if _is_table(old) and _is_table(new):
            yield from _changes(old, new, f" (of {name})")
        elif _is_digest(old) and _is_digest(new):
            yield f"{name} ({old['n']} → {new['n']} of them){of}"
        elif old is _ABSENT:
            yield f"{name}={_shown(new)} is new{of}"
        elif new is _ABSENT:
            yield f"{name}={_shown(old)} is gone{of}"
        else:
            yield f"{name}={_shown(old)} → {_shown(new)}{of}"


def _is_digest(value: Any) -> bool:
    return isinstance(value, dict) and _LONG in value


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and _LONG not in value


def _shown(value: Any) -> str:
    text = f"{value['n']} of them" if _is_digest(value) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
