"""What lies near a run or a file: a run's last page, corpora that are outside its folder, and what
a file was made from.

A page's report.json records its inputs. A new page in the same place finds the same corpora again,
and has to show at least as much: one that lost the recordings would replace what nobody asked to
lose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field

from zerochain.errors import InputError
from zerochain.formats.bundle import MARKER as BUNDLE_MARKER
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import MARKER as CORPUS_MARKER
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import MARKER as FEATURES_MARKER
from zerochain.formats.features import read_features_header
from zerochain.formats.headers import Header, read_header, write_json
from zerochain.formats.identity import file_id
from zerochain.formats.text_files import read_yaml

KIND, MARKER, PAGE = "report", "report.json", "index.html"
PAGE_FOLDER = "report"
"""Where pipelines write the page of a run, in its folder."""
_SETTINGS = "config.yaml"
_LEVELS, _MOST = 2, 60
"""Folders above a run that are looked into, and the most corpora that are read there."""
_DEEPEST = 5
"""How many folders down from its run a file is looked for at most: units/<dataset>/<system>/."""


class PageRecord(Header):
    """A page's report.json."""

    model_config = ConfigDict(extra="ignore")

    title: str = ""
    inputs: list[dict[str, str]] = Field(default_factory=list)
    """Kind, path and id of each file or folder."""
    runs: list[str] = Field(default_factory=list)
    """Absolute paths of the runs' folders."""
    present: list[str] = Field(default_factory=list)
    """The score files of the present configuration, relative to the only run."""
    folders: list[str] = Field(default_factory=list)
    """The folders that it shows of the run that it lies in, relative to that; none: the whole."""
    parts: list[str] = Field(default_factory=list)
    """The parts of the page that are not empty."""

    @classmethod
    def nothing(cls) -> Self:
        """The record of a page that isn't there."""
        return cls(kind=KIND, version=1)

    def present_in(self, root: Path) -> list[Path]:
        """The present score files that are there."""
        return [root / path for path in self.present if (root / path).is_file()]


def write_page_record(folder: Path, **fields: Any) -> None:
    """Write report.json: the fields of `PageRecord`."""
    write_json(folder / MARKER, KIND, fields)


def page_in(folder: Path) -> PageRecord:
    """The record of the page in a folder; an empty one where there is no page of ours."""
    try:
        return read_header(folder / MARKER, KIND, PageRecord)
    except InputError:
        return PageRecord.nothing()


def last_page(root: Path) -> PageRecord:
    """The record of a run's page where pipelines write it."""
    return page_in(root / PAGE_FOLDER)


def shown_folders(root: Path) -> list[Path]:
    """The folders of a run that its own page shows; the run's itself where that isn't limited.

    A run of several parts keeps scores of its parts, and its own of the same systems, which would
    be shown twice.
    """
    if not (root / _SETTINGS).is_file():
        return [root]
    paths = [root / name for name in last_page(root).folders]
    return [path for path in paths if path.is_relative_to(root) and path.is_dir()] or [root]


def corpora_near(
    roots: Sequence[Path], page: Path | None, ids: Collection[str]
) -> list[tuple[Path, Corpus]]:
    """Corpora with these ids, from where a run's record points to and from beside its folder.

    In this order: the paths in the run's config.yaml, the corpora of its last page and of the one
    in the folder `page`, and folders beside the run or in a folder "corpora" there, up to two
    levels up. Damaged ones are left out.
    """
    wanted = set(ids)
    found: list[tuple[Path, Corpus]] = []
    seen: set[Path] = set()
    places = chain.from_iterable(_places(root, page) for root in roots)
    for path in islice(places, _MOST) if wanted else ():
        if path in seen or not (path / CORPUS_MARKER).is_file():
            continue
        seen.add(path)
        try:
            corpus = read_corpus(path)
        except InputError:
            continue
        if corpus.id in wanted:
            wanted.remove(corpus.id)
            found.append((path, corpus))
        if not wanted:
            break
    return found


def made_from(path: Path, ids: Collection[str]) -> dict[str, Path]:
    """Where what a file was made from lies: id, or the beginning of one → path.

    Files record ids alone, so that they can be moved. Looked into are the pages of the run that
    the file belongs to, its folder and those beside it, or three folders above a file of no run.
    A path is only given for what has the id now.
    """
    wanted, found = set(ids), dict[str, Path]()
    seen = {path.absolute()}
    for place in _sources(path.absolute(), wanted):
        if not wanted or len(seen) > _MOST:
            break
        if place in seen:
            continue
        seen.add(place)
        identity = _id_of(place)
        for one in [one for one in wanted if identity.startswith(one)]:
            wanted.remove(one)
            found[one] = place
    return found


def _sources(path: Path, wanted: Collection[str]) -> Iterator[Path]:
    above = _above(path)
    for folder in above:
        for one in [*last_page(folder).inputs, *page_in(folder).inputs]:
            if one.get("path") and one.get("id", "").startswith(tuple(wanted)):
                yield folder / one["path"]
    for folder in above:
        levels = 3 if (folder / _SETTINGS).is_file() else 2  # in a run models/<dataset>/<system>
        for pattern in ["/".join("*" * n) for n in range(1, levels + 1)]:
            for marker in _IDS:
                yield from (found.parent for found in _matching(folder, f"{pattern}/{marker}"))
    for folder in above:
        for pattern in ("*.parquet", "*/*.parquet"):
            yield from _matching(folder, pattern)


def _matching(folder: Path, pattern: str) -> list[Path]:
    """What fits a pattern; nothing where a folder vanishes meanwhile or can't be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _above(path: Path) -> list[Path]:
    """The folders above a file: to the one beside its run or, outside of any run, three."""
    folders = [folder for folder in path.parents if folder.parent != folder]
    runs = [i for i, one in enumerate(folders[:_DEEPEST]) if (one / _SETTINGS).is_file()]
    return folders[: runs[0] + 2 if runs else _LEVELS + 1]


_IDS: dict[str, Callable[[Path], str]] = {
    BUNDLE_MARKER: bundle_id,
    CORPUS_MARKER: lambda folder: file_id(folder / CORPUS_MARKER, folder / "utterances.parquet"),
    FEATURES_MARKER: lambda folder: read_features_header(folder)[1],
}
"""Marker of a folder → its id, with as little reading as there can be."""


def _id_of(path: Path) -> str:
    """The id of what lies in a place; "" for what has none, or can't be read."""
    try:
        for marker, identified in _IDS.items():
            if (path / marker).is_file():
                return identified(path)
        return file_id(path) if path.is_file() else ""
    except (InputError, OSError):
        return ""


def _places(root: Path, page: Path | None) -> Iterator[Path]:
    for text in _texts(_settings(root)):
        if text and "\0" not in text and len(text) < 4096:
            yield root / text
    for one in [*last_page(root).inputs, *(page_in(page).inputs if page else [])]:
        if one.get("kind") == "corpus":
            yield Path(one.get("path", ""))
    for parent in root.absolute().parents[:_LEVELS]:
        for pattern in (f"*/{CORPUS_MARKER}", f"corpora/*/{CORPUS_MARKER}"):
            for marker in sorted(parent.glob(pattern)):
                yield marker.parent


def _settings(root: Path) -> Any:
    path = root / _SETTINGS
    try:
        return read_yaml(path) if path.is_file() else None
    except InputError:
        return None


def _texts(value: Any) -> Iterator[str]:
    """All texts in a configuration."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
