"""Options that are derived from a method's config and its recipe.

    @click.command(cls=Command, example="zerochain recognise train corpora/es --out recogniser")
    @click.argument("corpus", type=FOLDER)
    @options_of(RecogniserConfig, RECIPE)
    @running_options
    def train(corpus: Path, config: RecogniserConfig, recipe: Recipe, running: Running) -> None:

adds an option for each field of the config and the usual ones of the recipe (`--steps`,
`--batch-size`, …), with their help, ranges and defaults, and calls the function with the config and
the recipe that the options give. Only options that a user sets are passed on, so that defaults have
one place, the config or the recipe; their validation errors become usage errors that name the
option.

An option has the name of its field, with dashes and without a leading `n_`: units of measurement
stay (`max_difference_ms` is `--max-difference-ms`). A field can declare another name
(`zerochain.config`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from zerochain.cli.common import DERIVED, Command, PathType, as_options

if TYPE_CHECKING:
    from zerochain.training.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=BaseModel)
RECIPE_OPTIONS = {
    "max_steps": "--steps",
    "batch_size": "--batch-size",
    "learning_rate": "--learning-rate",
    "annealing": "--annealing",
    "validate_every": "--validate-every",
    "patience": "--patience",
    "ema_decay": "--ema-decay",
    "precision": "--precision",
}
"""The fields of a recipe that have options. The seed is `--seed`; the method fixes the others."""


@dataclass(frozen=True)
class Row:
    """A row of the docs' table of options."""

    option: str
    default: str
    range: str
    """"≥ 1", or the choices; "" if any value of its type is allowed."""
    words: str


@dataclass(frozen=True)
class Setting:
    """A field of a config, and its option."""

    flags: str
    """"--width" or "--ema/--no-ema"."""
    default: Any
    info: FieldInfo
    required: bool = False
    presets: tuple[tuple[str, Any], ...] = ()
    """(choice in words, the default that it implies)."""
    part: str = ""
    """The part of the method that it is for; "" for the method itself."""

    @property
    def param(self) -> str:
        """The name of click's parameter."""
        return self.flags.partition("/")[0].lstrip("-").replace("-", "_")

    @property
    def words(self) -> str:
        """The first paragraph of its docstring, on one line."""
        paragraph = inspect.cleandoc(self.info.description or "").partition("\n\n")[0]
        text = " ".join(paragraph.split())
        return f"For {self.part}: {text[:1].lower()}{text[1:]}" if self.part else text

    @property
    def kind(self) -> Any:
        """The type, without "or None"."""
        annotation = self.info.annotation
        if get_origin(annotation) in {Union, UnionType}:
            kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
            return kinds[0] if len(kinds) == 1 else annotation
        return annotation

    @property
    def is_switch(self) -> bool:
        """Whether it is an optional inner config: on, with its defaults, or off."""
        return self.kind is not self.info.annotation and hasattr(self.kind, "model_fields")

    @property
    def choices(self) -> tuple[Any, ...]:
        """The choices of a Literal."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def bounds(self) -> dict[str, Any]:
        """The range, as arguments of click's range types."""
        found: dict[str, Any] = {}
        for limit in self.info.metadata:
            for name, side in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
                value = getattr(limit, name, None)
                if value is not None:
                    found |= {side: value, f"{side}_open": name in {"gt", "lt"}}
        return found

    @property
    def type(self) -> click.ParamType[Any] | None:
        """Click's type, which is None for a flag.

        Raises:
            TypeError: a field of a type that options don't support.
        """
        if self.choices:
            return click.Choice([str(choice) for choice in self.choices])
        if self.kind is bool or self.is_switch:
            return None
        if self.kind is int:
            return click.IntRange(**self.bounds) if self.bounds else click.INT
        if self.kind is float:
            return click.FloatRange(**self.bounds) if self.bounds else click.FLOAT
        if self.kind in {str, Path}:
            return click.STRING if self.kind is str else PathType()
        raise TypeError(f"{self.flags} can't be an option: it is of type {self.info.annotation}")

    def shown(self, value: Any) -> str:
        """A value as shown in the help."""
        if isinstance(value, bool) or self.is_switch:
            on, _, off = self.flags.partition("/")
            return (on if value else off or f"no {on}").lstrip("-")
        return "" if value is None else str(value)

    @property
    def default_text(self) -> str:
        """The default in words, with those that other choices imply: "4; rnn: 3"."""
        first = _extra(self.info).get("default", self.shown(self.default))
        others = [f"{choice}: {self.shown(value)}" for choice, value in self.presets]
        return "; ".join(text for text in (first, *others) if text)

    @property
    def range_text(self) -> str:
        """The range as a formula, or the choices."""
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        low, high = self.bounds.get("min"), self.bounds.get("max")
        opens = "<" if self.bounds.get("min_open") else "≤"
        closes = "<" if self.bounds.get("max_open") else "≤"
        if low is not None and high is not None:
            return f"{low} {opens} x {closes} {high}"
        if low is not None:
            return f"{'>' if opens == '<' else '≥'} {low}"
        return "" if high is None else f"{closes} {high}"

    def option(self) -> Callable[[F], F]:
        """The decorator."""
        default = self.default
        if self.is_switch:
            default = default is not None
        elif self.choices and default is not None:
            default = str(default)
        # Click would put a default in words into a second pair of brackets.
        in_words = bool(self.presets) or "default" in _extra(self.info)
        text = f"{self.words}  [default: {self.default_text}]" if in_words else self.words
        return click.option(
            self.flags,
            self.param,
            type=self.type,
            required=self.required,
            show_default=not in_words,
            help=text.strip(),
            **({} if self.required else {"default": default}),
        )

    def taken(self, value: Any) -> Any:
        """The config's value for click's value."""
        if self.is_switch:
            return (self.default or {}) if value else None
        return next((choice for choice in self.choices if str(choice) == value), value)


@dataclass(frozen=True)
class Derived:
    """Options of a command that are derived from a config or a recipe.

    Attributes:
        base: the config's class, or an instance whose values are the defaults.
        fields: field → its option.
        into: the argument of the command's function that receives the config or recipe.
        training: of a recipe of one of several trainings, what `Running.part` calls it.
    """

    base: type[BaseModel] | BaseModel
    fields: Mapping[str, Setting]
    into: str
    training: str = ""

    @property
    def params(self) -> dict[str, str]:
        """Field → the name of click's parameter."""
        return {name: field.param for name, field in self.fields.items()}

    @property
    def rows(self) -> list[Row]:
        """The rows of the docs' table."""
        return [
            Row(f.flags.replace("/", " / "), f.default_text, f.range_text, f.words)
            for f in self.fields.values()
        ]

    def built(self, context: click.Context) -> BaseModel:
        """The config or recipe that the options give.

        Raises:
            click.UsageError: it is not valid; the error names the option.
        """
        given = {
            name: field.taken(context.params[field.param])
            for name, field in self.fields.items()
            if context.get_parameter_source(field.param) is not ParameterSource.DEFAULT
        }
        try:
            if isinstance(self.base, type):
                return self.base.model_validate(given)
            if "seed" in type(self.base).model_fields and "seed" in context.params:
                given["seed"] = context.params["seed"]
            return type(self.base).model_validate({**self.base.model_dump(), **given})
        except ValidationError as error:
            raise _usage_error(error, self, context) from error


def checked(model: type[M], **values: Any) -> M:
    """A pydantic model built from options; its validation errors become usage errors."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        where, message = _first(error)
        raise click.BadParameter(": ".join([*where, message])) from error


def _first(error: ValidationError) -> tuple[list[str], str]:
    """Where the first mistake is, from the outermost field on, and what it is."""
    first = error.errors()[0]
    return [*map(str, first["loc"])], first["msg"].removeprefix("Value error, ")


def _usage_error(
    error: ValidationError, derived: Derived, context: click.Context
) -> click.UsageError:
    """A config's validation error, as one that names the option."""
    where, message = _first(error)
    if isinstance(context.command, Command):
        message = as_options(message, context.command.options)
    field = derived.fields.get(where[0]) if where else None
    if field is None:
        return click.UsageError(": ".join([*where, message]), context)
    option = next((p for p in context.command.params if p.name == field.param), None)
    return click.BadParameter(message, context, option)


def _extra(info: FieldInfo) -> dict[str, Any]:
    extra = info.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def _flags(name: str, info: FieldInfo) -> str | None:
    """A field's option, by the rule or as the field declares; None for no option."""
    rule = "--" + name.removeprefix("n_").replace("_", "-")
    flag: str | None = _extra(info).get("option", rule)
    field = Setting(str(flag), None, info)
    if flag is None or "/" in flag or not (field.kind is bool or field.is_switch):
        return flag
    return f"{flag}/--no-{flag.removeprefix('--')}"


def _derived(
    base: type[BaseModel] | BaseModel,
    into: str,
    flags: Mapping[str, str | None],
    without: Collection[str] = (),
    part: str = "",
) -> Derived:
    config = base if isinstance(base, type) else type(base)
    presets: Mapping[tuple[str, Any], Mapping[str, Any]] = getattr(config, "presets", {})
    if isinstance(base, type):
        required = {name for name, info in config.model_fields.items() if info.is_required()}
        defaults = {
            name: None if name in required else info.get_default(call_default_factory=True)
            for name, info in config.model_fields.items()
        }
    else:
        required, presets = set(), {}
        defaults = {name: getattr(base, name) for name in config.model_fields}
    fields = {}
    for name, flag in flags.items():
        if flag is not None and name not in without:
            others = [
                (field if choice is True else str(choice), under[name])
                for (field, choice), under in presets.items()
                if name in under
            ]
            info = config.model_fields[name]
            fields[name] = Setting(
                flag, defaults[name], info, name in required, tuple(others), part
            )
    return Derived(base, fields, into)


def _decorator(parts: list[Derived]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_configs(*args: Any, **values: Any) -> Any:
            context = click.get_current_context()
            made = {part.into: part.built(context) for part in parts}
            for part in parts:
                for param in part.params.values():
                    values.pop(param)
            return function(*args, **values, **made)

        wrapped: Any = with_configs
        setattr(wrapped, DERIVED, (*parts, *getattr(function, DERIVED, ())))
        for field in reversed([field for part in parts for field in part.fields.values()]):
            wrapped = field.option()(wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate


def _parts(
    config: type[BaseModel] | BaseModel,
    recipe: Recipe | None,
    without: Collection[str],
    into: str,
) -> list[Derived]:
    kind = config if isinstance(config, type) else type(config)
    flags = {name: _flags(name, info) for name, info in kind.model_fields.items()}
    offered = flags.keys() | (RECIPE_OPTIONS.keys() if recipe is not None else set())
    unknown = set(without) - offered
    if unknown:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    parts = [_derived(config, into, flags, without)]
    if recipe is not None:
        parts.append(_derived(recipe, "recipe", RECIPE_OPTIONS, without))
    return parts


def options_of(
    config: type[BaseModel] | BaseModel,
    recipe: Recipe | None = None,
    *,
    without: Collection[str] = (),
    into: str = "config",
) -> Callable[[F], F]:
    """The options of a config, and those of a method's recipe.

    The command's function gets the config as its argument `into`, the recipe as `recipe`.

    Args:
        config: its class or, for defaults other than the class's, an instance.
        without: fields of either for which this command has no options.
    """
    return _decorator(_parts(config, recipe, without, into))


def recipe_options(
    recipe: Recipe,
    *,
    only: Collection[str] = tuple(RECIPE_OPTIONS),
    prefix: str = "",
    into: str = "recipe",
    part: str = "",
    training: str = "",
) -> Callable[[F], F]:
    """The options of a recipe alone, such as that of an additional part of the method.

    `recipe_options(pitch.RECIPE, only=["max_steps"], prefix="f0", into="f0", part="F0 units")` is
    `--f0-steps`, with "For F0 units: …" as its help.

    Args:
        training: what `Running.part` calls the training of this part, if it isn't `prefix`.
    """
    start = f"--{prefix}-" if prefix else "--"
    flags = {name: start + flag[2:] for name, flag in RECIPE_OPTIONS.items() if name in only}
    derived = _derived(recipe, into, flags, part=part)
    return _decorator([replace(derived, training=training or prefix)])


def options_table(config: type[BaseModel], recipe: Recipe | None = None) -> list[Row]:
    """The options of a method for the docs: those of its config, then those of its recipe."""
    return [row for part in _parts(config, recipe, (), "config") for row in part.rows]
