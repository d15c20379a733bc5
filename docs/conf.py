"""How `make docs` builds the site: Sphinx reads the Markdown pages of this folder."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

import zerochain
from zerochain.cli import main

project = "zerochain"
author = "The zerochain authors"
copyright = "the zerochain authors"
release = version = zerochain.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
default_role = "literal"  # docstrings have `names` in single backquotes

smartquotes = False  # of two hyphens they make a dash
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "zerochain"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

API_GROUPS = {
    "formats": "Files and what they hold",
    "audio": "Sound",
    "corpora": "Corpora",
    "exchange": "Other people's files",
    "features": "Features",
    "discovery": "Unit models",
    "inversion": "Inverters",
    "translation": "Translators",
    "listeners": "Recognisers and speaker encoders",
    "search": "Search",
    "speechchain": "The speech chain",
    "recordings": "Single recordings",
    "metrics": "Metrics",
    "scoring": "From files to scores",
    "report": "Report",
    "training": "Training",
    "errors": "Errors",
}
"""Part of the package → the heading under which the API reference lists its public names."""


def public_names() -> dict[str, list[str]]:
    """Heading → the public names below it, as `zerochain.__all__` orders them."""
    groups: dict[str, list[str]] = {heading: [] for heading in API_GROUPS.values()}
    for name in zerochain.__all__:
        if name.startswith("_"):
            continue
        module = getattr(getattr(zerochain, name), "__module__", "zerochain.formats")
        part = module.split(".")[1] if "." in module else "formats"
        groups.setdefault(API_GROUPS.get(part, part.capitalize()), []).append(name)
    return {heading: names for heading, names in groups.items() if names}


def api_reference() -> Iterator[str]:
    """The lines of the API reference: reStructuredText, which autodoc's docstrings need."""
    for heading, names in public_names().items():
        yield from ("", f"## {heading}", "")
        for name in names:
            found = getattr(zerochain, name)
            kind = "class" if isinstance(found, type) else "function"
            if not callable(found):
                kind = "data"
            yield "```{eval-rst}"
            yield f".. auto{kind}:: zerochain.{name}"
            if kind == "class":
                yield "   :members:"
                yield "   :inherited-members: BaseModel, ABC, tuple"
                yield "   :exclude-members: model_config, add_note, with_traceback"
            yield from ("```", "")


def options_reference(group: click.Group, context: click.Context) -> Iterator[str]:
    """The lines of the reference of all commands: what each `--help` prints, as Markdown."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        here = click.Context(command, info_name=name, parent=context)
        level = here.command_path.count(" ") + 1
        yield from (f"{'#' * min(level, 3)} {here.command_path}", "")
        if isinstance(command, click.Group):
            yield from (as_markdown(command.help or ""), "")
            yield from options_reference(command, here)
            continue
        usage = " ".join(command.collect_usage_pieces(here))
        yield from ("```text", f"{here.command_path} {usage}", "```", "")
        yield from (as_markdown(command.help or ""), "")
        yield from ("| option | what it is |", "|---|---|")
        for parameter in command.get_params(here):
            record = parameter.get_help_record(here)
            if record and record[1] and not {"--config", "--help"} & set(parameter.opts):
                option, text = (part.replace("|", "\\|") for part in record)
                yield f"| `{option}` | {escaped(text)} |"
        example = inspect.cleandoc((command.epilog or "").replace("\b\nExample:\n", ""))
        yield from ("", "```shell", example, "```", "")


def as_markdown(text: str) -> str:
    """A help text; paragraphs that click does not rewrap (after \\b) stay as they are."""
    paragraphs = inspect.cleandoc(text.partition("\f")[0]).split("\n\n")
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(p[1:])}\n```" if p.startswith("\b") else escaped(p)
        for p in paragraphs
    )


def escaped(text: str) -> str:
    """Text that Markdown would take for its own signs."""
    return re.sub(r"[_*`<>\[\]]", r"\\\g<0>", text)


def plain_types(
    app: Any,
    what: str,
    name: str,
    thing: Any,
    options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str | None] | None:
    """Signatures with types as they are read: `ndarray[float32]`, `Path`."""
    del app, what, name, thing, options
    array = r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]"

    def plain(text: str) -> str:
        text = re.sub(
            r"~?\b(collections\.abc|pathlib|typing|numpy|zerochain)(\.[a-z_0-9]+)*\.(?=\w)",
            "",
            text,
        )
        text = re.sub(array, r"ndarray[\1]", text.replace("~", ""))
        return re.sub(r"Annotated\[([^,]+), [^\]]*\]", r"\1", text)

    return signature and (plain(signature), returned and plain(returned))


_attribute_lines: dict[str, list[str]] = {}


def keep_attribute(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Remember what stands under an attribute, before napoleon takes "Name: text" for a type."""
    del app, thing, options
    if what in {"attribute", "data", "property"}:
        _attribute_lines[name] = list(lines)


def restore_attribute(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Put back what `keep_attribute` remembered."""
    del app, what, thing, options
    lines[:] = _attribute_lines.pop(name, lines)


GENERATED = {
    "reference/api": ("<!-- public names -->", api_reference),
    "reference/options": (
        "<!-- all options -->",
        lambda: options_reference(
            main, click.Context(main, info_name="zerochain", **main.context_settings)
        ),
    ),
}
"""Page → where in it something is generated, and by what."""


def add_generated(app: Any, page: str, source: list[str]) -> None:
    """Put in what a page asks for."""
    del app
    if page in GENERATED:
        mark, lines = GENERATED[page]
        assert mark in source[0]
        source[0] = source[0].replace(mark, "\n".join(lines()))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_generated)
    app.connect("autodoc-process-signature", plain_types)
    app.connect("autodoc-process-docstring", keep_attribute, priority=400)
    app.connect("autodoc-process-docstring", restore_attribute, priority=600)
