"""The files of a run, found in its folder and read once: all that the report knows.

Files are recognised by their headers, whatever their names. Recordings and feature frames are not
read here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerochain.errors import InputError, counted, listed
from zerochain.formats import (
    abx_cells,
    attention,
    corpus,
    features,
    kinds,
    pairs,
    scores,
    synthesis,
    training_log,
    units,
)
from zerochain.formats.abx_cells import AbxCells
from zerochain.formats.attention import Attention
from zerochain.formats.bundle import Bundle, Fit, read_fit
from zerochain.formats.corpus import Corpus
from zerochain.formats.description import FileKind
from zerochain.formats.features import FeaturesHeader, read_features_header
from zerochain.formats.identity import file_id
from zerochain.formats.inside import resolved
from zerochain.formats.kinds import find
from zerochain.formats.pairs import Pairs
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import Synthesis
from zerochain.formats.training_log import TrainingLog
from zerochain.formats.units import UnitFile


@dataclass(frozen=True)
class RunFiles:
    """The files of a run, by kind; give them explicitly, or let `run_files` find them."""

    corpora: tuple[Path, ...] = ()
    features: tuple[Path, ...] = ()
    bundles: tuple[Path, ...] = ()
    units: tuple[Path, ...] = ()
    scores: tuple[Path, ...] = ()
    syntheses: tuple[Path, ...] = ()
    trainings: tuple[Path, ...] = ()
    pairs: tuple[Path, ...] = ()
    attentions: tuple[Path, ...] = ()
    abx_cells: tuple[Path, ...] = ()
    root: Path | None = None
    """Paths are shown relative to it."""
    passed_over: tuple[tuple[Path, str], ...] = ()
    """Files that were not used, and the reason."""


def run_files(root: Path, corpora: Iterable[Path] = ()) -> RunFiles:
    """The files of a run: everything of a known kind in its folder.

    Args:
        root: the run's folder.
        corpora: corpora in other folders.

    Raises:
        InputError: no such folder, or nothing in it that a report could show.
    """
    findings = find(root)
    by_kind: dict[str, list[Path]] = {"corpora": list(corpora)}
    passed_over = list(findings.passed_over)
    inside = {resolved(path) for path in by_kind["corpora"]}
    for path, kind in findings.found:
        part = _PARTS.get(kind.name)
        if part is None:
            passed_over.append((path, f"{kind.name}: not part of a report"))
        elif resolved(path) not in inside:
            by_kind.setdefault(part.field, []).append(path)
    if not {"scores", "units", "syntheses", "trainings"} & by_kind.keys():
        raise InputError(
            "holds no scores, units, resynthesised speech or training log",
            path=root,
            cause="it is not the folder of a run, or nothing was run yet"
            + (f"; not used: {listed([str(p) for p, _ in passed_over])}" if passed_over else ""),
            remedy="give the folder that holds units.parquet and scores.jsonl",
        )
    found = {name: tuple(paths) for name, paths in by_kind.items()}
    return RunFiles(root=root, passed_over=tuple(passed_over), **found)


@dataclass(frozen=True)
class Source:
    """One input of the report: its kind, path and id."""

    kind: str
    path: Path
    id: str
    what: str


@dataclass(frozen=True)
class Run:
    """A run, read."""

    files: RunFiles
    corpora: dict[str, Corpus]
    """By id."""
    units: dict[str, UnitFile]
    """By id."""
    models: dict[str, Bundle]
    """By id; inverters too."""
    syntheses: list[Synthesis]
    scores: list[Score]
    trainings: dict[Path, TrainingLog]
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Headers of features, by id."""
    fits: dict[str, Fit] = field(default_factory=dict)
    """Time and device of fits, by the models' ids."""
    pairs: list[Pairs] = field(default_factory=list)
    attentions: list[Attention] = field(default_factory=list)
    """Attention maps of translators."""
    abx_cells: list[AbxCells] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def shown(self, path: Path) -> str:
        """A path as the report shows it: relative to the run where it lies inside."""
        root = self.files.root
        return str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)

    def corpus_of(self, unit_file: UnitFile) -> Corpus | None:
        """The corpus that units were encoded from, if the run knows it."""
        return self.corpora.get(unit_file.corpus_id)

    def phones_of(self, corpus: Corpus) -> Phones | None:
        """A corpus's gold phones, if it has some."""
        path = (corpus.folder or Path()) / PHONES_FILE
        return read_phones(path) if path.is_file() else None


def read_run(files: RunFiles) -> Run:
    """Read everything but recordings and frames.

    Raises:
        InputError: one of the files is damaged.
    """
    run = Run(files, {}, {}, {}, [], [], {})
    for part in _PARTS.values():
        for path in getattr(files, part.field):
            identity, what = part.add(run, path, (part.read or part.kind.read)(path))
            run.sources.append(Source(part.name or part.kind.name, path, identity, what))
    return run


def _add_corpus(run: Run, _: Path, content: Corpus) -> Known:
    run.corpora[content.id] = content
    return content.id, content.name


def _add_features(run: Run, _: Path, content: tuple[FeaturesHeader, str]) -> Known:
    header, identity = content
    run.features[identity] = header.model_dump()
    return identity, header.extractor


def _add_model(run: Run, path: Path, content: Bundle) -> Known:
    run.models[content.id] = content
    if fit := read_fit(path):
        run.fits[content.id] = fit
    return content.id, content.model


def _add_units(run: Run, _: Path, content: UnitFile) -> Known:
    run.units[content.id] = content
    return content.id, content.method


def _add_synthesis(run: Run, _: Path, content: Synthesis) -> Known:
    run.syntheses.append(content)
    n_wavs = counted(len(content.ids), "wav")
    return content.id, f"{content.method}, voice {content.voice}, {n_wavs}"


def _add_scores(run: Run, path: Path, content: list[Score]) -> Known:
    run.scores.extend(content)
    return file_id(path), counted(len(content), "score")


def _add_training(run: Run, path: Path, content: TrainingLog) -> Known:
    run.trainings[path] = content
    return file_id(path / training_log.MARKER), counted(len(content["step"]), "row")


def _add_pairs(run: Run, path: Path, content: Pairs) -> Known:
    run.pairs.append(content)
    return file_id(path), counted(len(content.pairs), "pair")


def _add_attention(run: Run, path: Path, content: Attention) -> Known:
    run.attentions.append(content)
    return file_id(path / attention.MARKER), counted(len(content.ids), "map")


def _add_cells(run: Run, _: Path, content: AbxCells) -> Known:
    run.abx_cells.append(content)
    return content.id, f"{counted(content.table.num_rows, 'cell')}, {content.system}"


Known = tuple[str, str]
"""The id of an input, and what it is in a few words."""


@dataclass(frozen=True)
class _Part:
    """A kind of file that a report is made of."""

    kind: FileKind[Any]
    field: str
    """Of `RunFiles`."""
    add: Callable[[Run, Path, Any], Known]
    """Adds what was read to the run."""
    name: str = ""
    """What the page calls it; "" is the kind's own name."""
    read: Callable[[Path], Any] | None = None
    """Reads less than the kind does."""


_PARTS: Mapping[str, _Part] = {
    part.kind.name: part
    for part in (
        _Part(corpus.FILE_KIND, "corpora", _add_corpus),
        _Part(features.FILE_KIND, "features", _add_features, read=read_features_header),
        _Part(kinds.BUNDLE, "bundles", _add_model, "model"),
        _Part(units.FILE_KIND, "units", _add_units),
        _Part(synthesis.FILE_KIND, "syntheses", _add_synthesis, "resynthesis"),
        _Part(scores.FILE_KIND, "scores", _add_scores),
        _Part(training_log.FILE_KIND, "trainings", _add_training, "training log"),
        _Part(pairs.FILE_KIND, "pairs", _add_pairs),
        _Part(attention.FILE_KIND, "attentions", _add_attention),
        _Part(abx_cells.FILE_KIND, "abx_cells", _add_cells, "ABX cells"),
    )
}
"""Kinds, by their names, in the order in which the page lists their files. Gold phones aren't among
them: they come with their corpus."""
