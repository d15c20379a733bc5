"""What lies near a run: its last page, and corpora that are outside its folder.

A page's report.json records its inputs. A new page in the same place finds the same corpora again,
and has to show at least as much: one that lost the recordings would replace what nobody asked to
lose.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field

from zerochain.errors import InputError
from zerochain.formats.corpus import MARKER as CORPUS_MARKER
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.headers import Header, read_header, write_json
from zerochain.formats.text_files import read_yaml

KIND, MARKER, PAGE = "report", "report.json", "index.html"
PAGE_FOLDER = "report"
"""Where pipelines write the page of a run, in its folder."""
_SETTINGS = "config.yaml"
_LEVELS, _MOST = 2, 60
"""Folders above a run that are looked into, and the most corpora that are read there."""


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
