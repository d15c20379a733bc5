"""What a translator listens to: features of one kind, or units of one model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.normalisation import Moments
from zerochain.formats.features import Features, check_frames, read_features
from zerochain.formats.identity import short
from zerochain.formats.units import UnitFile, read_units, run_lengths

Array = NDArray[Any]
_STILL = 1e-4  # of a standard deviation over time: nothing changes in digital silence


class SourceKind(BaseModel):
    """Which features or units: a translator understands no other ones.

    Features are normalised by each utterance's own mean and deviation, so that a single recording
    of an unknown speaker is translated as it would be among others; units lose their repeats.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["features", "units"]
    name: str
    """The extractor, or the unit model's id."""
    options: dict[str, Any] = {}
    n_in: int = Field(ge=1)
    """Dimensions of a frame, or how many units there are."""
    step_ms: float = Field(gt=0, allow_inf_nan=False)

    @classmethod
    def of(cls, given: Features | UnitFile) -> SourceKind:
        """The kind of these."""
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
    def hears_units(self) -> bool:
        return self.kind == "units"

    def check(self, given: Features | UnitFile, path: Path | None = None) -> None:
        """Refuse what is of another kind.

        Raises:
            ModelMismatchError: units of another model.
            InputError: units instead of features or the reverse, or other features.
        """
        theirs = SourceKind.of(given)
        if theirs.kind == self.kind == "units" and theirs.name != self.name:
            raise ModelMismatchError(
                f"the units are of unit model {short(theirs.name)}, but the translator listens to "
                f"those of {short(self.name)}",
                path=path,
                cause="the recordings were encoded with another model, or source and target "
                "were swapped",
                remedy=f"encode with unit model {short(self.name)}",
            )
        if theirs.essence != self.essence:
            raise InputError(
                f"holds {theirs}, but the translator listens to {self}",
                path=path,
                cause="they were extracted with other options",
                remedy="extract features like those that it was trained on",
            )

    @property
    def essence(self) -> tuple[object, ...]:
        """What has to be equal; where a checkpoint lay doesn't matter."""
        options = {name: value for name, value in self.options.items() if name != "path"}
        return self.kind, self.name, options, self.n_in, self.step_ms

    def seconds(self, array: Array) -> float:
        """How long an utterance is, given its frames or its units, one a step."""
        return len(array) * self.step_ms / 1000

    def is_still(self, array: Array) -> bool:
        """Whether nothing happens in it: digital silence, or the same unit all along."""
        if self.hears_units:
            return bool((array == array[0]).all())
        return bool(array.std(axis=0).max() < _STILL)

    def prepared(self, array: Array, name: str) -> Array:
        """What the network is given of (T, D) frames or of units, one a step.

        Raises:
            InputError: frames that are no frames, NaN, or units out of range.
        """
        if not self.hears_units:
            check_frames(array, self.n_in, name)
            return Moments.of([array]).apply(array)
        if array.ndim != 1 or not len(array) or array.min() < 0 or array.max() >= self.n_in:
            raise InputError(
                f"utterance {name!r} has no units, or some outside 0 … {self.n_in - 1}",
                cause="they are of another unit model",
                remedy="encode the recording with the unit model of the translator's source",
            )
        return run_lengths(array.astype(np.int32))[0]

    def __str__(self) -> str:
        if self.hears_units:
            return f"units of {short(self.name)}"
        options = ", ".join(f"{key} {value}" for key, value in self.options.items())
        return f"{self.name} features ({options or 'no options'}) of {self.n_in} numbers"


def read_source(path: Path) -> Features | UnitFile:
    """The features in a folder, or the units in a file.

    Raises:
        InputError: it is neither, or damaged.
    """
    return read_features(path) if path.is_dir() else read_units(path)


def arrays(given: Features | UnitFile) -> Mapping[str, Array]:
    """Utterance → its frames (T, D), or its units, one a step (T,)."""
    if isinstance(given, UnitFile):
        return {name: given.steps(name) for name in given.ids}
    return {name: given[name] for name in given.ids}
