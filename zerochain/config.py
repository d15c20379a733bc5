"""What the configuration of a method is: a frozen table of fields that carry their own words.

A config is the one place where a setting is declared. The command line takes its options from it
(`zerochain.cli.options`), Python its defaults, a bundle its record and the docs their tables:

    class TinyConfig(Config):
        width: int = Field(256, ge=1)
        '''Channels per layer.'''

The docstring under a field is its help: the first paragraph, with the unit in it. `ge`, `gt`, `le`
and `lt` are its range, a Literal its choices, None "not given". What only the command line needs
is said beside the range:

    Field(128, ge=1, json_schema_extra={"option": "--segment-frames"})  # another name
    Field(16, json_schema_extra=NO_OPTION)                              # no option
    Field(None, json_schema_extra={"default": "a third of the steps"})  # words for None
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from zerochain.errors import InputError

NO_OPTION: dict[str, Any] = {"option": None}
"""Of a field that only Python sets."""


class Config(BaseModel):
    """A frozen config, whose fields' docstrings are their help; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    presets: ClassVar[Mapping[tuple[str, Any], Mapping[str, Any]]] = {}
    """(field, its value) → the defaults that other fields have under that choice.

    {("architecture", "rnn"): {"width": 256}}: where the architecture is rnn and no width is
    given, the width is 256. What is given is kept.
    """

    if not TYPE_CHECKING:  # whose arguments are the fields

        def __init__(self, **values: Any) -> None:
            """A config of these values.

            Raises:
                InputError: one is out of range or of another type, or there is no such field.
            """
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise _refused(error, type(self)) from error

        __init__.__pydantic_base_init__ = True  # not called where pydantic validates a table

    @model_validator(mode="wrap")
    @classmethod
    def _preset(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Fill presets in; as defaults, they are not part of `model_fields_set`."""
        given = values
        if isinstance(values, dict):
            # Of JSON, pydantic gives a Python validator lists, which strict reading doesn't take
            # for a field's tuple.
            values = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
            for (field, choice), defaults in cls.presets.items():
                if values.get(field, cls.model_fields[field].default) == choice:
                    values = {**defaults, **values}
        made = handler(values)
        if values is not given:
            made.model_fields_set.difference_update(values.keys() - given.keys())
        return made


def _refused(error: ValidationError, config: type[Config]) -> InputError:
    """What pydantic found first, in the words of errors about arguments."""
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    match first["type"]:
        case "value_error":  # of a validator of ours, with a message of its own
            return InputError(first["msg"].removeprefix("Value error, "))
        case "extra_forbidden":
            fields = ", ".join(config.model_fields)
            return InputError(f"{config.__name__} has no {name}=", remedy=f"it has {fields}")
        case "missing":
            return InputError(f"{config.__name__} needs {name}=")
        case _:
            said = first["msg"].removeprefix("Input ")
            return InputError(f"{name}={first['input']!r} is invalid: it {said}")
