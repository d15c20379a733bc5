"""What a file or folder of zerochain is, told by what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from zerochain.errors import InputError
from zerochain.formats import attention, bundle, corpus, features, synthesis, training_log
from zerochain.formats.headers import Header, parse_json, read_header
from zerochain.formats.inside import resolved
from zerochain.formats.tables import table_header

Kind = Literal[
    "corpus",
    "features",
    "bundle",
    "synthesis",
    "attention",
    "training",
    "phones",
    "pairs",
    "units",
    "abx-cells",
    "scores",
]
_MARKERS: dict[str, Kind] = {
    corpus.MARKER: "corpus",
    features.MARKER: "features",
    bundle.MARKER: "bundle",
    synthesis.MARKER: "synthesis",
    attention.MARKER: "attention",
    training_log.MARKER: "training",
}
_COULD_BE = (
    "give a folder with corpus.json, features.json, config.json (a model), synthesis.json, "
    "attention.json or log.csv (a training), or a units.parquet, phones.parquet, pairs.parquet, "
    "abx_cells.parquet or scores.jsonl"
)


def kind_of(path: Path) -> Kind:
    """The kind of a file or folder that zerochain wrote; a folder's marker stands for the folder.

    Raises:
        InputError: there is no such path, or it is of no kind; the message lists what there is.
    """
    if path.is_dir():
        for marker, kind in _MARKERS.items():
            if (path / marker).is_file():
                return _checked(path / marker, kind)
        raise InputError("is a folder of no kind that zerochain knows", path=path, remedy=_COULD_BE)
    if not path.is_file():
        raise InputError("no such file or folder", path=path, remedy="check the path")
    if path.name in _MARKERS:
        return _checked(path, _MARKERS[path.name])
    if path.suffix == ".parquet":
        found = str(table_header(path).get("kind"))
        for kind in get_args(Kind):
            if found == kind and kind not in _MARKERS.values():
                return kind  # type: ignore[no-any-return]
        raise InputError(
            f"is a table of kind {found!r}, which is shown with its folder or not at all",
            path=path,
            remedy=_COULD_BE,
        )
    if path.suffix == ".jsonl" and _holds_scores(path):
        return "scores"
    raise InputError("is a file of no kind that zerochain knows", path=path, remedy=_COULD_BE)


@dataclass
class Findings:
    """What a folder holds."""

    found: list[tuple[Path, Kind]]
    """Everything of a known kind, in sorted order."""
    passed_over: list[tuple[Path, str]]
    """What is named like a file of ours and isn't one, or is damaged, and why."""


def find(root: Path) -> Findings:
    """Everything of zerochain's inside a folder, the folder itself included.

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
    marked = [path / name for name in _MARKERS if (path / name).is_file()]
    if marked or path.suffix in {".parquet", ".jsonl"}:
        try:
            kind = kind_of(path)
            findings.found.append((path, kind))
            if kind != "training":  # a training's folder is the only kind that may hold others
                return
        except InputError as error:
            findings.passed_over.append((marked[0] if marked else path, error.found))
    if path.is_dir() and resolved(path) not in seen:  # links may run in circles
        seen.add(resolved(path))
        for child in sorted(path.iterdir()):
            if not child.name.startswith("."):
                _walk(child, findings, seen)


def _checked(marker: Path, kind: Kind) -> Kind:
    if kind != "training":
        read_header(marker, kind, Header)
    return kind


def _holds_scores(path: Path) -> bool:
    """Whether the first line is a score; unit files of other programs are .jsonl as well."""
    with path.open("rb") as stream:
        line = stream.readline()
    try:
        row = parse_json(line, path)
    except InputError:
        return False
    return isinstance(row, dict) and {"metric", "value"} <= row.keys()
