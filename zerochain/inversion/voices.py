"""Who speaks: voices by name, or any voice from a recording of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from zerochain.errors import InputError, listed
from zerochain.features.f0 import F0Statistics
from zerochain.formats.identity import same_name

Vector = NDArray[np.float32]


class InverterConfig(BaseModel):
    """What the bundles of all inverters say."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    unit_model: str
    n_units: int = Field(ge=1)
    step_ms: float = Field(gt=0, le=1e6)
    voices: list[str] = Field(min_length=1)
    speaker_encoder_id: str


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice that an inverter is to speak in."""

    name: str
    told: int | Vector
    """What the network is told: its number, or what a speaker encoder hears in it (E,)."""
    statistics: F0Statistics

    def tensor(self, device: torch.device) -> Tensor:
        """A batch of one, as `VoiceEmbedding` takes it."""
        if isinstance(self.told, int):
            return torch.tensor([self.told], device=device)
        return torch.from_numpy(self.told.astype(np.float32))[None].to(device)


def named(voices: Sequence[str], name: str | None) -> int:
    """The number of a voice; None is the only one.

    Raises:
        InputError: it isn't known, or none is named and there are several.
    """
    if name is None and len(voices) == 1:
        return 0
    if name in voices:
        return list(voices).index(str(name))
    alike = [number for number, voice in enumerate(voices) if same_name(voice, name)]
    if alike:
        return alike[0]
    raise InputError(
        f"the inverter has {len(voices)} voices, and none was chosen"
        if name is None
        else f"the inverter has no voice {name!r}",
        remedy=f"choose one of its voices with --voice: {listed(list(voices))}",
    )


def check_n_reference(n_reference: int) -> None:
    """Raise InputError unless voices can be told by vectors, of `n_reference` dimensions."""
    if n_reference == 0:
        raise InputError(
            "the inverter knows its voices by name, not from recordings",
            cause="it was trained without a speaker encoder",
            remedy="choose a voice by name, or train with --speakers BUNDLE",
        )


def check_vector(vector: Vector, n_reference: int) -> None:
    """Raise InputError unless a network with `n_reference` can be told this vector."""
    check_n_reference(n_reference)
    if vector.shape != (n_reference,) or not np.isfinite(vector).all():
        raise InputError(
            f"a voice's vector has shape {vector.shape} or NaN in it; {n_reference} numbers are "
            "expected",
            cause="it comes from another speaker encoder",
            remedy="use the speaker encoder that the inverter was trained with",
        )
