"""A bundle: a fitted model as `config.json` and `weights.safetensors`, everything to use it.

A model that is a frozen dataclass inherits `save` and `load` from `Bundled`, which reads from the
annotations of its fields what goes where. Others pass their configuration and tensors to
`write_bundle`. Keys are sorted, so that the id of a model doesn't depend on their order in the
code; bundles of version 1, whose keys are not, are read as they are, and keep their ids.

`fit.json` stands beside them: how long the fit took, and on what. It is no part of the bundle's id:
the same model can be fitted faster elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, partial
from inspect import signature
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticUndefined, to_jsonable_python
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

import zerochain
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_folder, one_version
from zerochain.formats.headers import (
    NEWEST,
    Header,
    explained_by,
    json_text,
    read_header,
    sealed,
    write_json,
)
from zerochain.formats.identity import file_id
from zerochain.formats.weights import weights_of, with_weights

KIND = "bundle"
MARKER = "config.json"
SAMPLE = "sample.wav"
"""Beside an inverter's weights, for whoever looks for a voice; like fit.json no part of the id."""
_WEIGHTS = "weights.safetensors"
B = TypeVar("B", bound="Bundled")
F = TypeVar("F", bound=Callable[..., Any])


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    model: str
    zerochain: str = ""
    """The version that wrote it."""
    trained_on: dict[str, str]
    config: dict[str, Any]
    weights_sha256: str | None = None
    """Older versions wrote none."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model on disk. `id` is the SHA-256 of config.json and weights.safetensors."""

    model: str
    """What it is: "kmeans", "code2spec", …"""
    config: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    trained_on: Mapping[str, str]
    """What it was trained on: a name ("corpus", "units", "features") → its id."""
    id: str


@contextmanager
def opened_as(what: str, folder: Path, remedy: str) -> Iterator[None]:
    """Turn what goes wrong while a bundle becomes a model into an InputError that says so.

    Args:
        what: the model: "inverter", …
        remedy: how to get a new one.
    """
    try:
        yield
    except InputError as error:
        if error.path is not None:
            raise
        raise _unusable(what, folder, remedy, error.found) from error
    except ValidationError as error:
        raise _unusable(what, folder, remedy, explained_by(error)) from error
    except KeyError as error:
        raise _unusable(what, folder, remedy, f"lacks {error}") from error
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        IndexError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise _unusable(what, folder, remedy, said) from error


def _unusable(what: str, folder: Path, remedy: str, said: str) -> InputError:
    return InputError(
        f"is not a valid {what}: {said}",
        path=folder,
        cause="it was edited, or made by another version of zerochain",
        remedy=remedy,
    )


def within(part: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a part of a model, which are named `part`.…, by the rest of their names."""
    start = f"{part}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def bundle_id(folder: Path) -> str:
    """SHA-256 of a bundle's config.json and weights.safetensors."""
    return file_id(folder / MARKER, folder / _WEIGHTS)


def pack(
    model: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    trained_on: Mapping[str, str],
) -> tuple[bytes, bytes]:
    """The bytes of config.json and weights.safetensors, the same for the same model."""
    # Not np.ascontiguousarray, which makes a vector of a scalar.
    weights = save({n: np.asarray(value, order="C") for n, value in tensors.items()})
    header = {
        "kind": KIND,
        "version": NEWEST[KIND],
        "model": model,
        "zerochain": zerochain.__version__,
        "trained_on": dict(trained_on),
        "config": dict(config),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    ordered = json.loads(json_text(header, sort_keys=True))
    text = json.dumps(sealed(ordered), ensure_ascii=False, indent=2) + "\n"
    return text.encode(), weights


def packed_id(config: bytes, weights: bytes) -> str:
    """The id that a bundle of these bytes has on disk."""
    return hashlib.sha256(config + weights).hexdigest()


def write_bundle(
    folder: Path,
    model: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    trained_on: Mapping[str, str],
) -> str:
    """Write a bundle atomically and return its id.

    Raises:
        InputError: a tensor holds NaN, the folder is somebody else's, or the disk is full.
    """
    _check_finite(tensors, folder)
    header, weights = pack(model, config, tensors, trained_on)
    with atomic_folder(folder, MARKER) as temporary:
        (temporary / MARKER).write_bytes(header)
        (temporary / _WEIGHTS).write_bytes(weights)
    return packed_id(header, weights)


def read_bundle(folder: Path, *models: str) -> Bundle:
    """Read a bundle; with `models`, only one of those.

    Raises:
        InputError: not a bundle, an unknown version, weights that can't be read, hold NaN or are
            other than their checksum's, or another model than asked for.
    """
    return one_version(folder, lambda: _read(folder, models))


def _read(folder: Path, models: Collection[str]) -> Bundle:
    header = read_header(folder / MARKER, KIND, _Header)
    model = header.model
    if models and model not in models:
        raise InputError(
            f"holds a {model}, not a {' or '.join(models)}",
            path=folder,
            cause="two arguments were swapped",
            remedy="'zerochain show FOLDER' says what a bundle is",
        )
    path = folder / _WEIGHTS
    try:
        tensors = load_file(path)
        identity = file_id(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise InputError(
            f"can't be read ({str(error).partition(chr(10))[0]})",
            path=path,
            cause="it is missing, or was cut short while it was copied",
            remedy="copy the bundle again, or train it again",
        ) from error
    _check_finite(tensors, path)
    if header.weights_sha256 not in (None, identity):
        raise InputError(
            f"are not the weights that {MARKER} was written with: their checksum is another's",
            path=path,
            cause="the file was damaged while it was copied, or is another model's",
            remedy="copy the bundle again, or train it again",
        )
    return Bundle(model, header.config, tensors, header.trained_on, bundle_id(folder))


def _check_finite(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    broken = [name for name, value in tensors.items() if not np.isfinite(value).all()]
    if broken:
        raise InputError(
            f"tensor {broken[0]!r} holds NaN or infinity",
            path=path,
            cause="training diverged",
            remedy="train again with a lower learning rate",
        )


@dataclass(frozen=True, eq=False)
class Bundled:
    """A model that can be saved and loaded: a frozen dataclass whose fields are its bundle.

    What a field is follows from its annotation:

    - a torch module, whose constructor takes a `config` and keeps it: that configuration, and the
      weights as tensors `FIELD.…` (where a model has nothing but one network, without the prefix);
    - an array, NDArray[…]: a tensor;
    - another `Bundled`: its configuration, and its tensors as `FIELD.…`;
    - all else is configuration, checked by pydantic: numbers, texts, tuples, tables, pydantic
      models and dataclasses of these. Bounds stand in the annotation, Annotated[float,
      Field(gt=0)]; so does the default, Field(default=…), of what older bundles lack.

    `check` says what has to hold between fields. A class without a `MODEL` loads whichever of its
    subclasses the bundle is of.
    """

    trained_on: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """What it was trained on: a name ("corpus", "units", "features") → its id."""
    id: str = field(default="", kw_only=True)
    """Of the bundle that it was read from; "" for a model that was made otherwise."""

    MODEL: ClassVar[str]
    """What config.json calls it: "recogniser", "hifigan", …"""
    WHAT: ClassVar[str]
    """What messages call it: "recogniser", "inverter", …"""

    def check(self) -> None:
        """Raise ValueError unless the fields were made for each other."""

    def save(self, folder: Path) -> str:
        """Write the model as a bundle and return its id.

        Raises:
            InputError: as `write_bundle`.
        """
        return write_bundle(folder, self.MODEL, *self.parts(), self.trained_on)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """The model that `save` wrote, its networks on a device and out of training.

        Raises:
            InputError: not a bundle, a bundle of something else, or one that was edited.
        """
        bundle = read_bundle(folder, *_kinds(cls))
        with opened_as(cls.WHAT, folder, f"train the {cls.WHAT} again"):
            return cls.from_bundle(bundle, device)

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """What a bundle holds; `load` says what is wrong with one that is damaged."""
        given = {"trained_on": bundle.trained_on, "id": bundle.id}
        return _kinds(cls)[bundle.model].from_parts(bundle.config, bundle.tensors, device, **given)

    def parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Configuration and tensors, as a bundle holds them."""
        config: dict[str, Any] = {}
        tensors: dict[str, NDArray[Any]] = {}
        for own in _fields(type(self)):
            value = getattr(self, own.name)
            if own.role == "array":
                tensors |= {} if value is None else {own.name: value}
            elif own.role == "config" or value is None:
                config[own.name] = to_jsonable_python(value)
            else:
                config[own.name], held = (
                    value.parts()
                    if own.role == "part"
                    else (value.config.model_dump(mode="json"), weights_of(value))
                )
                tensors |= {f"{own.prefix}{name}": tensor for name, tensor in held.items()}
        return config, tensors

    @classmethod
    def from_parts(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, NDArray[Any]],
        device: str = "cpu",
        **given: Any,
    ) -> Self:
        """The model of a configuration and tensors as `parts` gives them.

        Raises:
            ValueError, KeyError: they don't fit together, or something is missing.
        """
        # As JSON, where a tuple is a list, and nothing else passes for another type.
        known = _config_model(cls).model_validate_json(json.dumps(dict(config)), strict=True)
        return cls._made(known, tensors, device, **given)

    @classmethod
    def _made(
        cls, known: BaseModel, tensors: Mapping[str, NDArray[Any]], device: str, **given: Any
    ) -> Self:
        for own in _fields(cls):
            value = getattr(known, own.name, None)
            held = within(own.prefix[:-1], tensors) if own.prefix else tensors
            if own.role == "array":
                given[own.name] = _array(own, tensors)
            elif own.role == "config" or value is None:
                given[own.name] = value
            elif own.role == "part":
                given[own.name] = own.type._made(value, held, device)
            else:
                given[own.name] = with_weights(partial(own.type, value), held, device)
        model = cls(**given)
        model.check()
        return model


@dataclass(frozen=True)
class _Field:
    """What a bundle holds of a field of a model."""

    name: str
    role: Literal["config", "array", "network", "part"]
    annotation: Any = None
    """In config.json."""
    type: Any = None
    """Of the network or part; the data type of an array."""
    optional: bool = False
    prefix: str = ""
    """Of the names of its tensors."""


def _once(of_class: F) -> F:
    """`functools.cache`; mypy takes the hash of a class for that of its instances."""
    return cast(F, cache(of_class))


@_once
def _fields(model: type[Bundled]) -> tuple[_Field, ...]:
    """What a bundle of this model holds, in the order of the fields."""
    hints = get_type_hints(model, include_extras=True)
    own = [f.name for f in fields(model) if f.name not in {f.name for f in fields(Bundled)}]
    found = [_field(name, hints[name]) for name in own]
    if [f.role for f in found if f.role != "config"] == ["network"]:
        return tuple(found)
    return tuple(replace(f, prefix=f"{f.name}.") if f.role != "config" else f for f in found)


def _unaliased(kind: Any) -> Any:
    """What an alias stands for: from numpy 2.5 on, NDArray[…] is a "type" alias of ndarray[…]."""
    value = getattr(get_origin(kind), "__value__", None)
    return kind if value is None else value[get_args(kind)]


def _field(name: str, hint: Any) -> _Field:
    inner, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    options = get_args(inner) if get_origin(inner) in {Union, UnionType} else (inner,)
    optional = NoneType in options
    kind = _unaliased(next(option for option in options if option is not NoneType))
    if get_origin(kind) is np.ndarray:
        (dtype,) = get_args(get_args(kind)[1])
        return _Field(name, "array", None, dtype, optional)
    is_part = isinstance(kind, type) and issubclass(kind, Bundled)
    if not is_part and not hasattr(kind, "load_state_dict"):
        return _Field(name, "config", hint)
    config = _config_model(kind) if is_part else _config_of(kind)
    held = config | None if optional else config
    for extra in extras:
        held = Annotated[held, extra]
    return _Field(name, "part" if is_part else "network", held, kind, optional)


def _config_of(network: Any) -> Any:
    """The type of the configuration that a network is made from."""
    return signature(network, eval_str=True).parameters["config"].annotation


@_once
def _config_model(model: type[Bundled]) -> type[BaseModel]:
    """What config.json says of such a model: to make this takes longer than reading a bundle."""
    said: dict[str, Any] = {
        f.name: (f.annotation, PydanticUndefined) for f in _fields(model) if f.role != "array"
    }
    how = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    return create_model(model.__name__, __config__=how, **said)


def _array(own: _Field, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    if own.optional and own.name not in tensors:
        return None
    array = tensors[own.name]
    if not np.issubdtype(array.dtype, own.type):
        raise ValueError(f"its {own.name} is of {array.dtype}, not of {own.type.__name__}")
    return array


def _kinds(model: type[B]) -> dict[str, type[B]]:
    """The classes that a bundle of this class may be of, by their names."""
    kinds = {model.MODEL: model} if hasattr(model, "MODEL") else {}
    for kind in model.__subclasses__():
        kinds |= _kinds(kind)
    return kinds


FIT_KIND = "fit"
FIT_FILE = "fit.json"


class _FitHeader(Header):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0)
    device: str


@dataclass(frozen=True)
class Fit:
    """What the fit of a model took, without extracting features."""

    seconds: float
    """Of wall time, of all runs if it was interrupted."""
    device: str
    """In a few words for people: "CPU, 2 threads", "NVIDIA H100"."""


def each_once(devices: Iterable[str]) -> list[str]:
    """Devices without those of which another says more, sorted: "CPU, 2 threads, bf16".

    Parts of a model can be computed on one device in several forms, and a configuration may name a
    GPU "cuda" that `Fit` names in full.
    """
    known = {device for device in devices if device}
    full = {device for device in known if device != "cuda" or all(map(_is_cpu, known - {device}))}
    return sorted(d for d in full if not any(other.startswith(f"{d}, ") for other in full))


def _is_cpu(device: str) -> bool:
    return device.startswith("CPU")


def timeless(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a training is recorded by in a bundle's configuration, and so in its id."""
    return {name: value for name, value in report.items() if name != "seconds"}


def write_fit(bundle: Path, fit: Fit) -> None:
    """Write it into the folder of a bundle."""
    write_json(bundle / FIT_FILE, FIT_KIND, asdict(fit))


def read_fit(bundle: Path) -> Fit | None:
    """What the fit of a bundle took; None where nobody wrote it down.

    Raises:
        InputError: a damaged file.
    """
    path = bundle / FIT_FILE
    if not path.is_file():
        return None
    header = read_header(path, FIT_KIND, _FitHeader)
    return Fit(header.seconds, header.device)
