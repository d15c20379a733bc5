"""Adapted features: what a unit model's front end makes of recordings, for any other method.

A speaker-adaptive mixture (`adaptive.py`) learns transforms that K-Means or a network can use as
well. The features name the model that adapted them, by path and id, so that a method which was
fitted on them can encode recordings: they are adapted first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from zerochain.config import Config
from zerochain.discovery.model import UnitModel
from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.progress import track

KIND: Literal["adapted"] = "adapted"


class AdaptedOptions(Config):
    """Which model adapts features."""

    model: str
    """Its id."""
    front_end: str
    """What it does, in a few words for people."""
    path: str
    """Where it was: elsewhere the same model gives the same features."""

    @classmethod
    def of(cls, model: UnitModel, folder: Path) -> Self:
        """Of a fitted model, which is at a folder.

        Raises:
            InputError: it adapts nothing.
        """
        front_end = model.front_end
        assert front_end is not None
        if front_end.adaptation is None and not front_end.is_discriminant:
            raise InputError(
                f"{model.name} units whose front end adapts nothing",
                path=folder,
                cause="the model was fitted without adapt=",
                remedy="'zerochain discover gmm CORPUS --adapt fmllr --out MODEL', and give that",
            )
        return cls(model=model.id, front_end=front_end.summary, path=str(folder.absolute()))

    def check(self, model: UnitModel | None) -> UnitModel:
        """The model, if it is the one that adapted the features.

        Args:
            model: what is at the path; None if nothing can be read there.

        Raises:
            InputError: it is gone or another one.
        """
        if model is not None and model.id == self.model:
            return model
        what = "is gone" if model is None else "has changed since"
        raise InputError(
            f"the model that adapted the features {what}",
            path=self.path,
            cause="it was moved, removed or replaced",
            remedy="put it back; or, where it is now, 'zerochain extract CORPUS --adapt MODEL "
            "--out FOLDER', and give that with --features FOLDER",
        )


def adapted(model: UnitModel, features: Features) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Ids and adapted frames (T, D) of all utterances, whatever the model's stride."""
    assert model.front_end is not None
    front_end = model.front_end.covering(features, pool=model.pool_speakers)
    return ((name, front_end.prepared(features, name)) for name in track(features.ids, "Adapting"))


def in_memory(model: UnitModel, features: Features, options: Mapping[str, Any]) -> Features:
    """Adapted features of these, in memory."""
    return Features.from_arrays(
        dict(adapted(model, features)),
        speakers=features.speakers,
        extractor=KIND,
        options=options,
        step_ms=features.step_ms,
    )
