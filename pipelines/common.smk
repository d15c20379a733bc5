"""What all pipelines share: how a setting gets into a command, into a name and into a path.

A shell line is made of fixed text and of fields that end in :q. Snakemake quotes each word of such
a field by itself, so that a setting is one inert argument, whatever is in it:

    params: corpus=given(CORPUS), split=given(option("split", config["split"]))
    shell: "{Z:q} extract {params.corpus:q} {params.split:q} --out={output:q}"

Settings enter params by way of `given`, since Snakemake looks for wildcards in plain texts, and
options are --name=value: a value of its own could be empty, which Snakemake leaves out, or begin
with a dash.
"""

import hashlib
import re
import shlex
import sys
from pathlib import Path

PY = [sys.executable, "-P"]  # without the modules that may lie in the folder of the run
Z = [*PY, "-m", "zerochain"]

shell.prefix("set -euo pipefail; ")


def refuse(problem):
    sys.exit(f"Error: {problem}")


def given(value):
    """A value of params as it is, braces and all."""
    return lambda wildcards: value


def option(name, value):
    """The words of an option; none where the setting is null."""
    return [] if value is None else [f"--{name}={value}"]


def words(setting, text):
    """The words of a setting that holds options."""
    try:
        return shlex.split(str(text or ""))
    except ValueError as error:
        refuse(f"{setting} is {text!r}, which is no list of options: {error}")


def path(setting, value):
    """A path of the settings as a command takes it, which never looks like an option."""
    if not isinstance(value, str) or not value:
        refuse(f"{setting} is {value!r}, which is no path")
    return f"./{value}" if value.startswith("-") else value


def watched(outside):
    """A path as the input of a rule.

    Snakemake takes braces for wildcards, and there is no way to escape them: a link without any
    stands for such a path.
    """
    if not re.search("[{}]", outside):
        return outside
    there = Path(outside).absolute()
    link = Path(".inputs", hashlib.sha256(str(there).encode()).hexdigest()[:16])
    link.parent.mkdir(exist_ok=True)
    try:
        link.symlink_to(there)
    except FileExistsError:
        pass  # of the same path, which it is named after
    return str(link)


def in_paths(setting, names):
    """The names, if the files of a run can be named after them: they leave no folder."""
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[^\W_][^/{}\x00-\x1f]*", name):
            refuse(
                f"{setting}: {name!r} can't name a file: begin it with a letter or a digit, and "
                "leave out slashes, braces and line breaks"
            )
    return names


def lowercase(setting, names):
    """Names of a fixed set, which the command knows: lower-case letters alone, and hyphens."""
    for name in names:
        if not isinstance(name, str) or not re.fullmatch("[a-z]+(-[a-z]+)*", name):
            refuse(f"{setting}: there is no {name!r}")
    return names


def several(setting, value):
    """A list of a table's entry, whose form nobody has looked at."""
    if not isinstance(value, list):
        refuse(f"{setting} is {value!r}, not a list: [{value}]")
    return value


def is_name(text):
    """Whether it is made of letters, digits and -, as the names of systems and datasets are."""
    return isinstance(text, str) and re.fullmatch(r"\w[\w-]*", text) is not None


def whole(setting, value, least=1):
    """A whole number, for names and threads."""
    if type(value) is not int or value < least:
        refuse(f"{setting} is {value!r}, not a whole number from {least}")
    return value
