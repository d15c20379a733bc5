"""The files of a run, found in its folder and read once: all that the report knows.

Files are recognised by their headers, whatever their names. Recordings and feature frames are not
read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerochain.errors import InputError, counted, listed
from zerochain.formats.abx_cells import AbxCells, read_cells
from zerochain.formats.attention import MARKER as ATTENTION_MARKER
from zerochain.formats.attention import Attention, read_attention
from zerochain.formats.bundle import Bundle, Fit, read_bundle, read_fit
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import read_features_header
from zerochain.formats.identity import file_id
from zerochain.formats.inside import resolved
from zerochain.formats.kinds import find
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.scores import Score, read_scores
from zerochain.formats.synthesis import Synthesis, read_synthesis
from zerochain.formats.training_log import TrainingLog, read_training_log
from zerochain.formats.units import UnitFile, read_units


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


_KINDS: Mapping[str, str] = {
    "corpus": "corpora",
    "features": "features",
    "bundle": "bundles",
    "units": "units",
    "scores": "scores",
    "synthesis": "syntheses",
    "training": "trainings",
    "pairs": "pairs",
    "attention": "attentions",
    "abx-cells": "abx_cells",
}


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
        if kind.name not in _KINDS:
            passed_over.append((path, f"{kind.name}: not part of a report"))
        elif resolved(path) not in inside:
            by_kind.setdefault(_KINDS[kind.name], []).append(path)
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
    run.sources.extend(_read(run))
    return run


def _read(run: Run) -> Iterator[Source]:
    files = run.files
    for path in files.corpora:
        corpus = read_corpus(path)
        run.corpora[corpus.id] = corpus
        yield Source("corpus", path, corpus.id, corpus.name)
    for path in files.features:
        header, identity = read_features_header(path)
        run.features[identity] = header.model_dump()
        yield Source("features", path, identity, header.extractor)
    for path in files.bundles:
        bundle = read_bundle(path)
        run.models[bundle.id] = bundle
        if fit := read_fit(path):
            run.fits[bundle.id] = fit
        yield Source("model", path, bundle.id, bundle.model)
    for path in files.units:
        unit_file = read_units(path)
        run.units[unit_file.id] = unit_file
        yield Source("units", path, unit_file.id, unit_file.method)
    for path in files.syntheses:
        synthesis = read_synthesis(path)
        run.syntheses.append(synthesis)
        n_wavs = counted(len(synthesis.ids), "wav")
        what = f"{synthesis.method}, voice {synthesis.voice}, {n_wavs}"
        yield Source("resynthesis", path, synthesis.id, what)
    for path in files.scores:
        scores = read_scores(path)
        run.scores.extend(scores)
        yield Source("scores", path, file_id(path), counted(len(scores), "score"))
    for path in files.trainings:
        log = read_training_log(path)
        run.trainings[path] = log
        n_rows = counted(len(log["step"]), "row")
        yield Source("training log", path, file_id(path / "log.csv"), n_rows)
    for path in files.pairs:
        pairs = read_pairs(path)
        run.pairs.append(pairs)
        yield Source("pairs", path, file_id(path), counted(len(pairs.pairs), "pair"))
    for path in files.attentions:
        attention = read_attention(path)
        run.attentions.append(attention)
        identity = file_id(path / ATTENTION_MARKER)
        yield Source("attention", path, identity, counted(len(attention.ids), "map"))
    for path in files.abx_cells:
        cells = read_cells(path)
        run.abx_cells.append(cells)
        n_cells = counted(cells.table.num_rows, "cell")
        yield Source("ABX cells", path, cells.id, f"{n_cells}, {cells.system}")
