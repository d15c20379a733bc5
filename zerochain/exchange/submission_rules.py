"""What the rules of all submissions share: required entries, metadata, files of vectors.

A rule that is broken is a `Violation`, which names its file and, where there is one, its line; all
of them are reported rather than the first. The rules of each challenge are in `zerospeech`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from zerochain.errors import InputError, counted, printable
from zerochain.exchange.feature_files import scan_vectors
from zerochain.formats.inside import is_inside
from zerochain.formats.text_files import check_size
from zerochain.progress import track

Schema = Mapping[str, Any]
"""Key of a YAML table → str, bool, float, int, ANY, a tuple of texts, or an inner schema."""
ANY = object
"""In a schema: an entry that may hold anything."""
_NAMES = {
    str: "a text that isn't empty",
    bool: "true or false",
    float: "a number like 1.0",
    int: "a whole number",
}


@dataclass(frozen=True)
class Violation:
    """A rule that a submission breaks."""

    path: str
    """Inside the submission, with slashes."""
    found: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return printable(f"{where}: {self.found}")


Dims = dict[int, str]
"""Numbers per vector → the first file that has so many; grows as files are checked."""
Check = Callable[[Path, str, Dims], Iterator[Violation]]
"""(file, how violations name it, numbers per vector so far) → what is wrong with the file."""


@dataclass(frozen=True)
class Submission:
    """A submission's folder, and checks of what is in it."""

    root: Path

    def where(self, path: Path) -> str:
        """A path as violations name it."""
        return path.relative_to(self.root).as_posix()

    def is_outside(self, path: Path) -> bool:
        """Whether a path leads, by a link, out of the submission."""
        return not is_inside(path, self.root)

    def entries(
        self, folder: Path, required: Collection[str], optional: Collection[str] = ()
    ) -> Iterator[Violation]:
        """A folder holds all that is required, and nothing beyond what is optional."""
        if not folder.is_dir():
            yield Violation(self.where(folder), "is missing")
            return
        there = {path.name: path for path in folder.iterdir()}
        for name in sorted(set(required) - there.keys()):
            yield Violation(self.where(folder / name), "is missing")
        for name in sorted(there.keys() - set(required) - set(optional)):
            yield Violation(self.where(there[name]), "may not be there")
        for name in sorted(there):
            if self.is_outside(there[name]):
                yield Violation(self.where(there[name]), "is a link out of the submission")

    def vectors(
        self,
        folder: Path,
        expected: Collection[str] | None,
        check: Check,
        *,
        suffix: str = ".txt",
        also: Collection[str] = (),
        only_expected: bool = False,
    ) -> Iterator[Violation]:
        """A folder holds the files of vectors that are expected, each as `check` wants it.

        Args:
            expected: the names of files that have to be there; None where nobody knows.
            suffix: of the files of vectors.
            also: suffixes of other files that may be there.
            only_expected: files that aren't expected may not be there.
        """
        if not folder.is_dir():
            yield Violation(self.where(folder), "is missing")
            return
        files = sorted(folder.iterdir())
        names = {file.name for file in files}
        for name in sorted(set(expected or ()) - names):
            yield Violation(self.where(folder / name), "is missing")
        if expected is None and not any(file.suffix == suffix for file in files):
            yield Violation(self.where(folder), f"holds no {suffix} file")
        dims: Dims = {}
        for file in track(files, f"checking {folder.name}"):
            where = self.where(file)
            if self.is_outside(file):
                yield Violation(where, "is a link out of the submission")
            elif file.suffix not in (suffix, *also) or not file.is_file():
                yield Violation(where, "may not be there")
            elif only_expected and expected is not None and file.name not in expected:
                yield Violation(where, "belongs to no recording of the data set")
            elif file.suffix == suffix:
                yield from check(file, where, dims)

    def metadata(
        self, path: Path, schema: Schema, optional: Collection[str] = ()
    ) -> tuple[dict[str, Any], list[Violation]]:
        """A YAML file's entries as far as they follow a schema, and where they don't.

        Entries of inner tables are named "table/entry" in `optional`.

        A file that is missing, or a link out of the submission, is reported by `entries`.
        """
        where = self.where(path)
        if not path.is_file() or self.is_outside(path):
            return {}, []
        try:
            loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
            node = loader.get_single_node()
            check_size(node)
            found: list[Violation] = []
            values = _table(node, schema, optional, loader, "", where, found)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = None if mark is None else mark.line + 1
            return {}, [Violation(where, f"is not YAML: {error.problem}", line)]
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # not UTF-8, a bad date, …
            return {}, [Violation(where, f"is not YAML: {str(error).splitlines()[0]}")]
        return values, found


def text_file(
    file: Path,
    where: str,
    dims: Dims,
    *,
    single_spaces: bool = False,
    min_lines: int = 1,
    negative: str = "",
) -> Iterator[Violation]:
    """A .txt file holds a vector per line, of two numbers or more.

    Args:
        single_spaces: one space and nothing else between two numbers.
        negative: why no number may be below zero; "" where one may.
    """
    n_lines, dim = 0, 0
    for number, vector, problem in scan_vectors(file, single_spaces=single_spaces):
        n_lines = number
        if problem:
            yield Violation(where, problem, number)
        elif negative and vector.min() < 0:
            yield Violation(where, f"holds a number below zero, {negative}", number)
        dim = dim or len(vector)
    if n_lines == 0:
        yield Violation(where, "is empty")
    elif n_lines < min_lines:
        found = f"has {counted(n_lines, 'line')}, and the challenge reads {min_lines} or more"
        yield Violation(where, found)
    if dim == 1:
        yield Violation(where, "has one number per line, which the challenge doesn't read", 1)
    if dim:
        yield from _same_dim(dim, where, dims, "line", 1)


def array_file(
    file: Path,
    where: str,
    dims: Dims,
    *,
    read: Callable[[Path], NDArray[np.float64]],
    negative: str = "",
) -> Iterator[Violation]:
    """A file holds an array (T ≥ 2, D), as `read` wants it."""
    try:
        array = read(file)
    except InputError as error:
        line = str(error.path).removeprefix(f"{file}:") if str(error.path) != str(file) else ""
        yield Violation(where, error.found, int(line) if line.isdigit() else None)
        return
    if len(array) < 2:
        found = f"has {counted(len(array), 'frame')}, and the benchmark wants 2 or more"
        yield Violation(where, found)
    if negative and array.min() < 0:
        yield Violation(where, f"holds a number below zero, {negative}")
    yield from _same_dim(array.shape[1], where, dims, "frame")


def _same_dim(
    dim: int, where: str, dims: Dims, per: str, line: int | None = None
) -> Iterator[Violation]:
    dims.setdefault(dim, where)
    other, first = next(iter(dims.items()))
    if dim != other:
        yield Violation(where, f"has {dim} numbers per {per}, {first} has {other}", line)


def optional_entries(schema: Schema, prefix: str = "") -> set[str]:
    """The entries that may hold anything, and so may be missing."""
    optional = {f"{prefix}{key}" for key, expected in schema.items() if expected is ANY}
    for key, inner in schema.items():
        if isinstance(inner, Mapping):
            optional |= optional_entries(inner, f"{prefix}{key}/")
    return optional


def _table(
    node: Any,
    schema: Schema,
    optional: Collection[str],
    loader: Any,
    prefix: str,
    where: str,
    found: list[Violation],
) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        line = None if node is None else node.start_mark.line + 1
        found.append(Violation(where, f"{prefix or 'the file'} is not a table of entries", line))
        return {}
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        name = f"{prefix}{key}"
        if key in values:
            found.append(Violation(where, f"entry {name!r} is there twice", line))
        elif key not in schema:
            found.append(Violation(where, f"entry {name!r} is not allowed", line))
        elif isinstance(schema[key], Mapping):
            inner = (loader, f"{name}/", where, found)
            values[key] = _table(value_node, schema[key], optional, *inner)
        else:
            values[key] = loader.construct_object(value_node, deep=True)
            if wrong := _wrong(values[key], schema[key]):
                found.append(Violation(where, f"entry {name!r} {wrong}", line))
    for key in schema:
        if key not in values and f"{prefix}{key}" not in optional:
            found.append(Violation(where, f"entry '{prefix}{key}' is missing"))
    return values


def _wrong(value: object, expected: Any) -> str:
    """What is wrong with an entry; "" where nothing is."""
    if expected is ANY:
        return ""
    if isinstance(expected, tuple):
        return "" if value in expected else f"is {value!r}, not one of {', '.join(expected)}"
    if value is None:
        return "is empty"
    if type(value) is not expected or value == "":
        return f"is {value!r}, not {_NAMES[expected]}"
    return ""
