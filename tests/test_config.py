"""Configs refuse what they can't hold in the words of errors about arguments."""

from typing import ClassVar

import pytest
from pydantic import Field, ValidationError, model_validator

from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.features.f0 import F0Options
from zerochain.features.spectral import SpectralOptions
from zerochain.features.tone import ToneOptions
from zerochain.modules.code2spec import Code2SpecConfig
from zerochain.modules.encoder import EncoderConfig
from zerochain.modules.prosody import ProsodyConfig
from zerochain.modules.speaker_encoder import SpeakerNetConfig
from zerochain.modules.unit_translator import TranslatorConfig
from zerochain.modules.vqvae import F0VqvaeConfig


class Sizes(Config):
    """A config with a range, a field without a default and a check of its own."""

    width: int
    n_heads: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> "Sizes":
        if self.width % self.n_heads:
            raise ValueError(f"width={self.width} can't be divided by n_heads={self.n_heads}")
        return self


class Outer(Config):
    """A config with another in it."""

    sizes: Sizes = Sizes(width=8)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"width": 8, "n_heads": 0}, "n_heads=0 is invalid: it should be greater than or equal"),
        ({"width": 7}, "width=7 can't be divided by n_heads=4"),
        ({"width": 8, "n_head": 2}, "Sizes has no n_head="),
        ({}, "Sizes needs width="),
        ({"width": "wide"}, "width='wide' is invalid: it should be a valid integer"),
    ],
)
def test_what_a_config_cannot_hold_is_bad_input(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match="^" + said):
        Sizes(**given)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):  # of a file, which says what it was in
        Sizes.model_validate(given)


def test_configs_in_configs_are_named_with_their_place() -> None:
    with pytest.raises(InputError, match=r"^sizes\.n_heads=0 is invalid"):
        Outer(sizes={"width": 8, "n_heads": 0})  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Outer.model_validate({"sizes": {"width": 8, "n_heads": 0}})


class Kernels(Config):
    """A config with a tuple, and presets beside it."""

    presets: ClassVar = {("wide", True): {"stride": 2}}

    kernels: tuple[int, ...] = (3, 7)
    wide: bool = False
    stride: int = 1


@pytest.mark.parametrize("given", [Kernels(), Kernels(kernels=(5,), wide=True)])
def test_strict_json_holds_tuples(given: Kernels) -> None:
    """As bundles are read, where nothing passes for another type."""
    assert Kernels.model_validate_json(given.model_dump_json(), strict=True) == given
    with pytest.raises(ValidationError):
        Kernels.model_validate_json('{"kernels": ["5"]}', strict=True)
    with pytest.raises(ValidationError):
        Kernels.model_validate_json('{"stride": [2]}', strict=True)


def test_what_python_sets_is_refused_alike() -> None:
    """Options of features and sizes of networks, which the command line has under other names."""
    with pytest.raises(InputError, match=r"^n_heads=0 is invalid"):
        TranslatorConfig(n_heads=0)
    with pytest.raises(InputError, match=r"^high_hz=900 is invalid"):
        F0Options(high_hz=900)
    with pytest.raises(InputError, match=r"^spectral\.n_mels=0 is invalid"):
        ToneOptions(spectral={"n_mels": 0})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^n_mels 9 is too few for 13 cepstra"):
        SpectralOptions(n_mels=9)
    for sizes in (EncoderConfig, ProsodyConfig, SpeakerNetConfig, F0VqvaeConfig, Code2SpecConfig):
        with pytest.raises(InputError, match=r"^width=0 is invalid"):
            sizes(n_units=4, width=0) if "n_units" in sizes.model_fields else sizes(width=0)
