"""All kinds of files and folders that zerochain writes, and which of them a path is.

A folder is recognised by its marker, a table by the kind that its metadata names, and scores by
their first line, whatever they are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerochain.errors import InputError, counted
from zerochain.formats import (
    abx_cells,
    attention,
    bundle,
    corpus,
    features,
    pairs,
    phones,
    scores,
    spans,
    synthesis,
    training_log,
    transcripts,
    units,
)
from zerochain.formats.description import Description, FileKind, Table, flat
from zerochain.formats.headers import Header, parse_json, read_header
from zerochain.formats.identity import short
from zerochain.formats.inside import resolved
from zerochain.formats.tables import table_header

_MOST_ROWS = 30


def _describe_bundle(model: bundle.Bundle) -> Description:
    options = sorted(flat(model.config))
    devices = {text for name, text in options if name.endswith("computed_on")}
    tensors = [
        [name, " × ".join(map(str, tensor.shape)) or "1", str(tensor.dtype)]
        for name, tensor in sorted(model.tensors.items())
    ]
    n_numbers = sum(tensor.size for tensor in model.tensors.values())
    title = f"{counted(len(tensors), 'tensor')}, {counted(n_numbers, 'number')}"
    return Description(
        f"model of kind {model.model!r}",
        {
            "computed on": "; ".join(bundle.each_once(devices)),
            **{f"trained on {name}": short(one) for name, one in model.trained_on.items()},
            "id": short(model.id),
        },
        (
            Table("configuration", ["option", "value"], options, _MOST_ROWS),
            Table(title, ["name", "shape", "type"], tensors, _MOST_ROWS),
        ),
    )


BUNDLE = FileKind(bundle.KIND, bundle.MARKER, bundle.read_bundle, _describe_bundle)
KINDS: tuple[FileKind[Any], ...] = (
    corpus.FILE_KIND,
    features.FILE_KIND,
    BUNDLE,
    synthesis.FILE_KIND,
    attention.FILE_KIND,
    training_log.FILE_KIND,
    phones.FILE_KIND,
    pairs.FILE_KIND,
    units.FILE_KIND,
    spans.FILE_KIND,
    transcripts.FILE_KIND,
    abx_cells.FILE_KIND,
    scores.FILE_KIND,
)
_FOLDERS = {kind.marker: kind for kind in KINDS if kind.is_folder}
FOLDER_MARKERS = tuple(_FOLDERS)
_FILES = {kind.name: kind for kind in KINDS if not kind.is_folder}
_COULD_BE = (
    f"give a folder with one of {', '.join(_FOLDERS)}, or a file such as "
    f"{', '.join(kind.marker for kind in _FILES.values())}"
)


def kind_of(path: Path) -> FileKind[Any]:
    """The kind of a file or folder that zerochain wrote; a folder's marker stands for the folder.

    Raises:
        InputError: no such path, or of an unknown kind; the message lists the known ones.
    """
    if path.is_dir():
        for marker, kind in _FOLDERS.items():
            if (path / marker).is_file():
                return _checked(path / marker, kind)
        raise InputError("is a folder of unknown kind", path=path, remedy=_COULD_BE)
    if not path.is_file():
        raise InputError("no such file or folder", path=path, remedy="check the path")
    if path.name in _FOLDERS:
        return _checked(path, _FOLDERS[path.name])
    if path.suffix == ".parquet" or (not path.suffix and _is_parquet(path)):
        found = str(table_header(path).get("kind"))
        if found in _FILES:
            return _FILES[found]
        raise InputError(
            f"is a table of kind {found!r}, which is shown with its folder or not at all",
            path=path,
            remedy=_COULD_BE,
        )
    if path.suffix == ".jsonl" and _holds_scores(path):
        return scores.FILE_KIND
    raise InputError("is a file of unknown kind", path=path, remedy=_COULD_BE)


@dataclass
class Findings:
    """What a folder holds."""

    found: list[tuple[Path, FileKind[Any]]]
    """Everything of a known kind, in sorted order."""
    passed_over: list[tuple[Path, str]]
    """What is named like one of our files but isn't one, or is damaged, and why."""


def find(root: Path) -> Findings:
    """Everything of a known kind inside a folder, the folder itself included.

    Hidden files and folders are left out: half-written files are called `.writing-…`.

    Raises:
        InputError: there is no such folder.
    """
    if not root.is_dir():
        raise InputError("no such folder", path=root, remedy="check the path")
    findings = Findings([], [])
    _walk(root, findings, set())
    return findings


def _walk(path: Path, findings: Findings, seen: set[Path]) -> None:
    marked = [path / name for name in _FOLDERS if (path / name).is_file()]
    if marked or path.suffix in {".parquet", ".jsonl"}:
        try:
            kind = kind_of(path)
            findings.found.append((path, kind))
            if kind is not training_log.FILE_KIND:  # only a training's folder may hold others
                return
        except InputError as error:
            findings.passed_over.append((marked[0] if marked else path, error.found))
    if path.is_dir() and resolved(path) not in seen:  # links may run in circles
        seen.add(resolved(path))
        for child in sorted(path.iterdir()):
            if not child.name.startswith("."):
                _walk(child, findings, seen)


def _checked(marker: Path, kind: FileKind[Any]) -> FileKind[Any]:
    if kind is not training_log.FILE_KIND:  # whose marker is a CSV without a header of ours
        read_header(marker, kind.name, Header)
    return kind


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def _holds_scores(path: Path) -> bool:
    """Whether the first line is a score; unit files of other programs are .jsonl as well."""
    with path.open("rb") as stream:
        line = stream.readline()
    try:
        row = parse_json(line, path)
    except InputError:
        return False
    return isinstance(row, dict) and {"metric", "value"} <= row.keys()
