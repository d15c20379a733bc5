"""What all commands share: options from a YAML file, an example in the help, errors, options.

Errors of the library name arguments of functions; `Command` reports them with the names of options.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from zerochain.errors import InputError, printable, refusal

if TYPE_CHECKING:
    from zerochain.cli.options import Derived

_MORE = "close other programs, use fewer --jobs or shorter recordings, or a larger machine"
_ARGUMENT = re.compile(
    r"""(?<![\w/.-])(?P<name>[a-z_]\w*)=(?P<value>'[^'\n]*'|"[^"\n]*"|-?\w+(?:\.\w+)*)?"""
)
_OF_FOLDERS = "folders=False", "ids", "--ids name"
"""What functions call the choice of `ids_option`: the argument, the option's name, the option."""
_QUOTES = "'\""
SETTINGS = "ZEROCHAIN_SETTINGS"
"""The environment variable by which a pipeline says what its settings stand for: "voice=voice
split=train_split" are options, and the settings that they come from."""
OPTIONS = "ZEROCHAIN_OPTIONS"
"""The same for the one setting that holds all other options of a step."""
DERIVED = "__zerochain_derived__"
"""The attribute of a command's function that lists its options derived from configs."""
HELP = {"help_option_names": ["-h", "--help"]}
"""What click has to know of every command: it keeps a command's option of help once it is made."""
F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command with `--config FILE.yaml`, an example in its help and errors for bad input.

    `elsewhere` has options that users look for here but another command has, and what to do.
    """

    def __init__(
        self,
        *args: Any,
        example: str = "",
        elsewhere: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        if example:
            kwargs["epilog"] = "\b\nExample:\n" + "\n".join(f"  {e}" for e in example.splitlines())
        # click keeps the help option of a command's first context, which needn't be one of `main`.
        kwargs["context_settings"] = HELP | kwargs.get("context_settings", {})
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--config"],
                type=PathType(exists=True, folders=False),
                is_eager=True,
                expose_value=False,
                callback=_read_config,
                help="YAML file of options by name; the command line takes precedence.",
            )
        )
        self.elsewhere = dict(elsewhere or {})
        self.derived: tuple[Derived, ...] = getattr(self.callback, DERIVED, ())
        """Its options that are derived from configs, by `options.options_of`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As click does it, but without NaN and infinity; of options that another command has, say
        which."""
        try:
            rest = super().parse_args(context, args)
            for parameter in self.params:
                _check_finite(context, parameter)
            return rest
        except click.NoSuchOption as error:
            if error.option_name not in self.elsewhere:
                raise
            hint = self.elsewhere[error.option_name]
            raise click.UsageError(f"No option {error.option_name} here: {hint}", context) from None

    @property
    def options(self) -> dict[str, click.Option]:
        """Its options by all their names.

        These are the option's own with "_" for "-", the parameter's, and that of the field that it
        is derived from: of the method's recipe where its parts have recipes too, otherwise none if
        two configs have a field of that name.
        """
        mine = [p for p in self.params if isinstance(p, click.Option) and p.name != "config"]
        names = {str(p.name): p for p in mine}
        fields = [(field, names[name]) for d in self.derived for field, name in d.params.items()]
        shared = {field for field, n in Counter(field for field, _ in fields).items() if n > 1}
        own = {_plain(flag): p for p in mine for flag in p.opts}
        recipe = {
            f: names[name]
            for d in self.derived
            if d.into == "recipe"
            for f, name in d.params.items()
        }
        return {**{f: p for f, p in fields if f not in shared}, **recipe, **names, **own}

    def options_in(self, part: str) -> dict[str, click.Option]:
        """`options` as they are meant where a part of a training has options of its own."""
        own = [d for d in self.derived if part and d.training == part]
        if not own:
            return self.options
        names = {str(p.name): p for p in self.params if isinstance(p, click.Option)}
        of_others = {field for d in self.derived if d.into == "recipe" for field in d.params}
        others = {name: p for name, p in self.options.items() if name not in of_others}
        return others | {field: names[name] for d in own for field, name in d.params.items()}

    def invoke(self, context: click.Context) -> Any:
        """Run the command; bad input and refusals of the operating system exit with code 1."""
        try:
            with self._warnings_in_words():
                return super().invoke(context)
        except InputError as error:
            click.echo(f"Error: {self.in_options(error)}", err=True)
        except BrokenPipeError:  # the reader of the output closed it, as 'head' does: click ends
            raise
        except OSError as error:
            click.echo(f"Error: {self.in_options(refusal(error))}", err=True)
        except MemoryError as error:
            what = f" ({error})" if str(error) else ""
            click.echo(f"Error: {InputError(f'not enough memory{what}', remedy=_MORE)}", err=True)
        sys.exit(1)

    @contextmanager
    def _warnings_in_words(self) -> Iterator[None]:
        """Meanwhile warnings of ours are printed as they are, without the line of Python."""
        as_python = warnings.formatwarning

        def formatted(message: Any, category: type[Warning], *args: Any, **kwargs: Any) -> str:
            if category.__module__.partition(".")[0] != __package__.partition(".")[0]:
                return as_python(message, category, *args, **kwargs)
            return f"Warning: {printable(as_options(str(message), self.options), lines=True)}\n"

        warnings.formatwarning = formatted
        try:
            yield
        finally:
            warnings.formatwarning = as_python

    def in_options(self, error: InputError) -> InputError:
        """The same error with the names of options instead of arguments."""
        names = dict(pair.split("=") for pair in _exported(SETTINGS))
        options = self.options_in(error.part)
        settings = {
            name: names[flag]
            for name, option in options.items()
            if (flag := max(option.opts, key=len).lstrip("-")) in names
        }
        found, *rest = (
            text and as_options(text, options, settings)
            for text in (error.found, error.cause, error.remedy)
        )
        renamed = InputError(str(found), path=error.path, cause=rest[0], remedy=rest[1])
        if setting := os.environ.get(OPTIONS):
            also = f"the options of this step are in --set {setting}='…'"
            renamed.remedy = f"{renamed.remedy}; {also}" if renamed.remedy else also
        return renamed


def _check_finite(context: click.Context, parameter: click.Parameter) -> None:
    """Raise BadParameter for NaN and infinity, which click takes for numbers in any range."""
    value = context.params.get(str(parameter.name))
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, float) and not math.isfinite(one):
            raise click.BadParameter(f"{one} is not a finite number", context, parameter)


def _exported(variable: str) -> list[str]:
    return os.environ.get(variable, "").split()


def _read_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    from zerochain.formats.text_files import read_yaml  # slow, and help does without it

    try:
        values = read_yaml(path) or {}
    except InputError as error:
        raise click.BadParameter(f"{path} {error.found}") from error
    if not isinstance(values, dict):
        raise click.BadParameter(f"{path} does not contain a table of options")
    values = {str(key).replace("-", "_"): value for key, value in values.items()}
    assert isinstance(context.command, Command)
    known = context.command.options
    unknown = sorted(values.keys() - known.keys())
    if unknown:
        _refuse_unknown(unknown[0], values[unknown[0]], known, path)
    by_option: dict[str, list[str]] = {}
    for name in values:
        by_option.setdefault(str(known[name].name), []).append(name)
    if twice := [names for names in by_option.values() if len(names) > 1]:
        raise click.BadParameter(f"{path}: {' and '.join(twice[0])} are the same option")
    typed = {
        str(known[name].name): _as_typed(known[name], value, path)
        for name, value in values.items()
        if value is not None  # null is the default
    }
    context.default_map = {**(context.default_map or {}), **typed}


def _refuse_unknown(
    name: str, value: Any, known: Mapping[str, click.Option], path: Path
) -> NoReturn:
    """Refuse a name; of a switch that is written as its "--no-…" say how to write it."""
    for option in known.values():
        if name in {_plain(flag) for flag in option.secondary_opts} and isinstance(value, bool):
            on = option.opts[0].lstrip("-")
            raise click.BadParameter(
                f"{path}: {name.replace('_', '-')}: {str(value).lower()} is written as "
                f"{on}: {str(not value).lower()}"
            )
    flags = sorted({option.opts[0].lstrip("-") for option in known.values()})
    raise click.BadParameter(f"{path}: unknown option {name!r}; the options are {', '.join(flags)}")


def _plain(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _as_typed(option: click.Option, value: Any, path: Path) -> Any:
    """A YAML value as the command line would give it, so that click checks it in the same way."""
    if option.is_flag and isinstance(value, bool):
        return value
    several = value if option.multiple and isinstance(value, list) else [value]
    for one in several:
        if option.is_flag or isinstance(one, (bool, list, dict)):
            raise click.BadParameter(
                f"{path}: {option.opts[0]} can't be {one!r} (YAML reads yes, no, on and off as "
                "true and false unless they are in quotes)"
            )
    texts = [str(one) for one in several]
    for text in texts:
        if "\0" in text or not is_unicode(text):
            raise click.BadParameter(
                f"{path}: {option.opts[0]} can't be {text!a}: it contains a NUL character or an "
                "incomplete one"
            )
    return texts if option.multiple else texts[0]


def as_options(
    text: str, options: Mapping[str, click.Option], settings: Mapping[str, str] | None = None
) -> str:
    """A message of the library, with the command's options instead of arguments.

    The library writes an argument as in Python, `name=value`: "precision='fp16' needs a GPU"
    becomes "--precision fp16 needs a GPU", "restart=True" becomes "--restart" and "ema=False"
    "--no-ema". Names that are not arguments of the command stay as they are.

    Args:
        settings: argument → the setting of a pipeline that gives it: "voice='ana'" becomes
            "--set voice=ana".
    """

    def option(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"] or ""
        argument, choice, flag = _OF_FOLDERS
        if match.group() == argument and choice in options:
            return flag
        plain = value.strip(_QUOTES)
        if settings and name in settings:
            return "--set " + (
                shlex.quote(f"{settings[name]}={plain}") if plain else f"{settings[name]}=…"
            )
        known = options.get(name) or options.get(name.removeprefix("n_"))
        if known is None:
            return match[0]
        flag = max(known.opts, key=len)
        if known.is_flag and value in {"True", "False", "None"}:  # None: a switch that is off
            off = known.secondary_opts[0] if known.secondary_opts else f"no {flag}"
            return flag if value == "True" else off
        if value == "None":
            return f"no {flag}"
        return f"{flag} {shlex.quote(plain)}" if plain else flag

    return _ARGUMENT.sub(option, text)


def is_unicode(text: str) -> bool:
    """Whether it can be encoded as UTF-8, unlike half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class PathType(click.Path):
    """A path that is not empty: "", as from an unset variable, would be the current folder.

    Where a folder is wanted and a file is given, the error names the file's folder.
    """

    def __init__(self, *, exists: bool = False, files: bool = True, folders: bool = True) -> None:
        super().__init__(exists=exists, file_okay=files, dir_okay=folders, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, unless it is empty."""
        if not str(value):
            self.fail("a path cannot be empty", param, ctx)
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            if self.file_okay or not Path(value).is_file():
                raise
            folder = str(Path(value).parent)
            why = f"{str(value)!r} is a file, not a folder; the folder that holds it is {folder!r}"
            self.fail(why, param, ctx)


class TablePath(PathType):
    """A path of a Parquet table to write: another suffix would promise another format."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if it ends in .parquet or has no suffix."""
        path = super().convert(value, param, ctx)
        check_table(path)
        return path


def check_table(path: Path) -> None:
    """Raise click.BadParameter unless a Parquet table can be called so."""
    if path.suffix not in {"", ".parquet"}:
        raise click.BadParameter(
            f"{str(path)!r} ends in {path.suffix}, but Parquet is written: end it in .parquet "
            "(pandas reads it); 'zerochain export units' writes units as JSONL and text",
            param_hint="--out",
        )


class SpansPath(PathType):
    """A path of a table of spans to write, or of another format that the command has."""

    def __init__(self, *others: str) -> None:
        super().__init__(folders=False)
        self._suffixes = (".parquet", ".csv", *others)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if it has one of the suffixes or none."""
        path = super().convert(value, param, ctx)
        if path.suffix.lower() not in {"", *self._suffixes}:
            self.fail(f"{path} must end in {' or '.join(self._suffixes)}", param, ctx)
        return path


FOLDER = PathType(files=False)
TABLE = TablePath(folders=False)
FILE = PathType(folders=False)
PATH = PathType()


def out_option(what: str, kind: click.Path = PATH) -> Callable[[F], F]:
    """`--out`, required: where `what` is written."""
    return click.option("--out", type=kind, required=True, help=f"Where to write {what}.")


def corpus_option(function: F) -> F:
    """`--corpus`, required."""
    return click.option("--corpus", type=FOLDER, required=True, help="The corpus.")(function)


def silence_option(function: F) -> F:
    """`--silence`: labels of gold phones; `metrics.silences.chosen` reads it."""
    return click.option(
        "--silence",
        help="Labels that are not phones, separated by commas, in their exact spelling.  "
        "[default: the usual labels of aligners for pauses and noise, upper or lower case]",
    )(function)


shift_option = click.option(
    "--shift-ms",
    type=float,
    default=0.0,
    show_default=True,
    help="Added to the times of gold phones or items: automatic alignments can be late.",
)


def split_option(function: F) -> F:
    """`--split`."""
    return click.option("--split", help="Only the utterances of this split.")(function)


def device_option(function: F) -> F:
    """`--device auto|cpu|cuda`."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto uses a GPU if there is one.",
    )(function)


def seed_option(function: F) -> F:
    """`--seed`."""
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        show_default=True,
        help="Random seed.",
    )(function)


def channel_option(function: F) -> F:
    """`--channel` of one recording."""
    return click.option(
        "--channel",
        metavar="CHANNEL",
        default="mix",
        show_default=True,
        help="Channel of the recording: mix, left, right or a number, counted from 1.",
    )(function)


def ids_option(function: F) -> F:
    """`--ids path|name`: what the names in other programs' files refer to."""
    return click.option(
        "--ids",
        type=click.Choice(["path", "name"]),
        default="path",
        show_default=True,
        help="Whether names are whole ids, or only the part after the last slash of the corpus's "
        "ids.",
    )(function)


def jobs_option(function: F) -> F:
    """`--jobs`: processes."""
    return click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=None,
        help="Processes or threads at most; fewer where there is little work.  "
        "[default: the cores]",
    )(function)
