"""What a translator takes as its source: features of one kind, or units of one unit model.

A translator is tied to its source as an inverter is to its unit model: other features, or units of
another model, are refused rather than translated into something that looks plausible. Features are
normalised by each utterance's own mean and deviation, so that a single recording of an unknown
speaker is translated as it would be among others; units lose their repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from zerochain.errors import InputError, ModelMismatchError, listed
from zerochain.features.normalisation import Moments
from zerochain.formats.features import Features, check_frames, read_features
from zerochain.formats.identity import short
from zerochain.formats.units import UnitFile, read_units, run_lengths

Array = NDArray[Any]
_SILENT = 1e-4  # standard deviation over time, in the features' own unit: digital silence is at 0


class SourceKind(BaseModel):
    """Which features, or units of which model, a translator takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["features", "units"]
    name: str
    """The extractor, or the unit model's id."""
    options: dict[str, Any] = {}
    """Of the extractor."""
    n_in: int = Field(ge=1)
    """Dimensions of a frame, or the number of units."""
    step_ms: float = Field(gt=0, allow_inf_nan=False)

    @classmethod
    def of(cls, given: Features | UnitFile) -> SourceKind:
        """The kind of these features or units."""
        if isinstance(given, UnitFile):
            return cls(kind="units", name=given.model_id, n_in=given.n_units, step_ms=given.step_ms)
        return cls(
            kind="features",
            name=given.extractor,
            options=dict(given.options),
            n_in=given.dim,
            step_ms=given.step_ms,
        )

    @property
    def is_units(self) -> bool:
        return self.kind == "units"

    def check(self, given: Features | UnitFile, path: Path | None = None) -> None:
        """Refuse a source of another kind.

        Raises:
            ModelMismatchError: units of another model.
            InputError: units instead of features or the reverse, or other features.
        """
        theirs = SourceKind.of(given)
        if theirs.kind == self.kind == "units" and theirs.name != self.name:
            raise ModelMismatchError(
                f"the units are of unit model {short(theirs.name)}, but the translator takes "
                f"those of {short(self.name)}",
                path=path,
                cause="the recordings were encoded with another model, or source and target "
                "were swapped",
                remedy=f"encode with unit model {short(self.name)}",
            )
        if theirs._compared != self._compared:
            raise InputError(
                f"holds {theirs}, but the translator takes {self}",
                path=path,
                cause="they were extracted with other options",
                remedy="extract the same features that it was trained on",
            )

    def seconds(self, array: Array) -> float:
        """Duration of an utterance, given its frames or its units, one per step."""
        return len(array) * self.step_ms / 1000

    def is_silent(self, array: Array) -> bool:
        """Whether nothing changes over the utterance: digital silence, or one unit throughout."""
        if self.is_units:
            return bool((array == array[0]).all())
        return bool(array.std(axis=0).max() < _SILENT)

    def prepared(self, array: Array, name: str) -> Array:
        """The network's input: frames (T, D) normalised, or units (T,) with repeats merged.

        Raises:
            InputError: frames of another shape, NaN, or units out of range.
        """
        if not self.is_units:
            check_frames(array, self.n_in, name)
            return Moments.of([array]).apply(array)
        if array.ndim != 1 or not len(array) or array.min() < 0 or array.max() >= self.n_in:
            raise InputError(
                f"utterance {name!r} has no units, or some outside 0 … {self.n_in - 1}",
                cause="they are of another unit model",
                remedy="encode the recording with the unit model of the translator's source",
            )
        return run_lengths(array.astype(np.int32))[0]

    @property
    def _compared(self) -> tuple[object, ...]:
        """What has to be equal; where a checkpoint is stored doesn't matter."""
        options = {name: value for name, value in self.options.items() if name != "path"}
        return self.kind, self.name, options, self.n_in, self.step_ms

    def __str__(self) -> str:
        if self.is_units:
            return f"units of {short(self.name)}"
        options = ", ".join(f"{key} {value}" for key, value in self.options.items())
        return f"{self.name} features ({options or 'no options'}) of {self.n_in} dimensions"


def read_source(path: Path) -> Features | UnitFile:
    """The features in a folder, or the units in a file.

    Raises:
        InputError: it is neither, or damaged.
    """
    return read_features(path) if path.is_dir() else read_units(path)


def arrays(given: Features | UnitFile) -> Mapping[str, Array]:
    """Utterance → its frames (T, D), or its units, one per step (T,)."""
    if isinstance(given, UnitFile):
        return {name: given.steps(name) for name in given.ids}
    return {name: given[name] for name in given.ids}


def check_lengths(seconds: Mapping[str, float], longest_s: float) -> None:
    """Refuse utterances that are too long.

    Raises:
        InputError: there are some; the message lists them.
    """
    if long := too_long(seconds, longest_s):
        raise InputError(
            f"utterances are longer than {longest_s:g} s: {listed(long)}",
            cause="whole recordings were given rather than sentences",
            remedy="cut them at pauses, or train with a larger longest_s=",
        )


def too_long(seconds: Mapping[str, float], longest_s: float) -> list[str]:
    """Utterances of more than `longest_s`, with their durations; rounding is allowed for."""
    return [f"{name} ({s:.0f} s)" for name, s in seconds.items() if s > longest_s + 0.1]
