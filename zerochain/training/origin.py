"""Whether training may continue from a checkpoint: it needs the same recipe and inputs.

The checkpoint stores both as JSON, so that an error can name what changed. Of long inputs (ids,
texts) it stores the SHA-256 and the length.

There are three kinds of changes, with different consequences:

- `max_steps` may change: training continues to the new number of steps;
- `precision` may become "auto", which continues in the form that training began with;
- any other change of the recipe or the inputs is an error, and `restart=True` starts anew;
- a change in the result of an earlier part of the same training (`follows`) starts this part anew:
  a network trained on F0 units, for instance, is useless once these were trained for longer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerochain.errors import InputError, listed
from zerochain.training.checkpoint import damaged, fingerprint
from zerochain.training.recipe import Recipe

_LONGEST = 4000  # characters of JSON of an input that is stored as it is
_SHOWN = 60  # characters of a value that an error shows
_LONG = "sha256"
_ID = re.compile(r"[0-9a-f]{64}")
_ABSENT = object()
_MAX_STEPS = "max_steps"
_PRECISION, _AUTO = "precision", "auto"


class OtherTrainingError(InputError):
    """A checkpoint is that of a training with other settings, other data or more steps."""


@dataclass(frozen=True)
class Origin:
    """Everything that the result of a training depends on, as its checkpoint records it."""

    recipe: Recipe
    inputs: Mapping[str, Any]
    """JSON values by name: settings of the network, ids of files, ids of utterances."""
    follows: Mapping[str, Any]
    """JSON values by name: digests of the results of earlier parts of the same training."""

    def record(self) -> dict[str, Any]:
        """The part of a checkpoint that describes it."""
        return {
            "recipe": self.recipe.model_dump(),
            "inputs": _recorded(self.inputs),
            "follows": _recorded(self.follows),
        }

    def check(self, state: Mapping[str, Any], path: Path) -> None:
        """Raise OtherTrainingError if the state of a checkpoint belongs to another training.

        `max_steps` and `follows` are not compared.
        """
        if "recipe" not in state:
            self._check_older(state, path)
            return
        before, now = _recipe_of(state, path), self.recipe.model_dump(exclude={_MAX_STEPS})
        if now[_PRECISION] == _AUTO:  # which keeps to what training began with
            before[_PRECISION] = _AUTO
        changes = [
            *_changes(before, now),
            *_changes(state.get("inputs", {}), _recorded(self.inputs)),
        ]
        if changes:
            raise _other(
                ": " + listed(changes, 5),
                path,
                "settings or data changed since this training was begun, or another version of "
                "zerochain began it, whose settings were others",
            )

    def still_follows(self, state: Mapping[str, Any]) -> bool:
        """Whether the earlier parts of this training are the same as in the checkpoint."""
        return "recipe" not in state or bool(state.get("follows") == _recorded(self.follows))

    def max_steps_of(self, state: Mapping[str, Any]) -> int:
        """The `max_steps` of the checkpoint's training."""
        recipe = state.get("recipe")
        return self.recipe.max_steps if recipe is None else int(recipe[_MAX_STEPS])

    def _check_older(self, state: Mapping[str, Any], path: Path) -> None:
        """Older versions recorded one hash, of the inputs and, as "training", of the recipe."""
        recipes = [self.recipe]
        if self.recipe.precision == _AUTO:  # there was no such choice, and "no" was the default
            recipes.append(self.recipe.model_copy(update={_PRECISION: "no"}))
        known = [fingerprint({**self.inputs, "training": r.model_dump()}) for r in recipes]
        if state.get("fingerprint") not in known:
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
    """All fields except `max_steps`; those that an older version didn't have get defaults."""
    try:
        return Recipe(**state["recipe"]).model_dump(exclude={_MAX_STEPS})
    except (TypeError, InputError) as error:
        raise damaged(path, f"its recipe: {str(error).partition(chr(10))[0]}") from error


def _recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Each value as it is after a round trip through JSON, or its SHA-256 and length."""
    found = {}
    for name, value in values.items():
        text = json.dumps(value, sort_keys=True)
        found[name] = json.loads(text)
        if len(text) > _LONGEST:
            found[name] = {_LONG: hashlib.sha256(text.encode()).hexdigest(), "n": len(value)}
    return found


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], of: str = "") -> Iterator[str]:
    """The settings that differ, as arguments: "batch_size=16 → 32", "width=8 → 4 (of network)".

    Ids say nothing to people: "other units".
    """
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name, _ABSENT), now.get(name, _ABSENT)
        if old == new:
            continue
        if _is_table(old) and _is_table(new):
            yield from _changes(old, new, f" (of {name})")
        elif _is_digest(old) and _is_digest(new):
            yield f"{name} ({old['n']} → {new['n']} of them){of}"
        elif _is_id(old) and _is_id(new):
            yield f"other {name}{of}"
        elif old is _ABSENT:
            yield f"{name}={_shown(new)} is new{of}"
        elif new is _ABSENT:
            yield f"{name}={_shown(old)} is gone{of}"
        else:
            yield f"{name}={_shown(old)} → {_shown(new)}{of}"


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_digest(value: Any) -> bool:
    return isinstance(value, dict) and _LONG in value


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and _LONG not in value


def _shown(value: Any) -> str:
    text = f"{value['n']} of them" if _is_digest(value) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
