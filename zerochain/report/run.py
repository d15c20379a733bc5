"""The files of a run, found in its folder and read once: all that the report knows.

Files are recognised by their headers, whatever their names. Recordings and feature frames are not
read here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
from zerochain.formats.features import read_features_header
from zerochain.formats.identity import file_id
from zerochain.formats.inside import resolved
from zerochain.formats.kinds import Findings, find
from zerochain.formats.pairs import Pairs
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import Synthesis
from zerochain.formats.training_log import TrainingLog
from zerochain.formats.units import UnitFile
from zerochain.report.nearby import corpora_near, last_page, shown_folders


@dataclass(frozen=True)
class RunFiles:
    """The files of one or several runs, by kind; `run_files` finds them in the runs' folders."""

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
    roots: tuple[Path, ...] = ()
    """The runs' folders, or those of their parts. Paths are shown relative to the only one, or to
    what several share."""
    names: Mapping[Path, str] = field(default_factory=dict)
    """What the roots are called beside others; by default as their folders."""
    present: tuple[Path, ...] = ()
    """The score files that the present configuration made; none: whatever is there counts."""
    passed_over: tuple[tuple[Path, str], ...] = ()
    """Files that were not used, and the reason."""

    def name_of(self, root: Path) -> str:
        """What a run is called beside others."""
        return self.names.get(root, root.absolute().name)


_CORPORA = ("corpus", "recordings")
"""Inputs of scores that are corpora."""


def run_files(*roots: Path, corpora: Iterable[Path] = (), present: Iterable[Path] = ()) -> RunFiles:
    """The files of runs: everything of a known kind in their folders.

    Of a pipeline's run whose own page is of some of its folders only, these: what else it holds
    is of the same systems again, such as the scores of each fold.

    Args:
        roots: the runs' folders.
        corpora: corpora in other folders.
        present: the score files that the present configuration of a pipeline made: other outputs
            in their run's folder, of former settings, are listed but not shown. None: as the
            pipeline recorded it in the last page of each folder.

    Raises:
        InputError: no such folder, or nothing in it that a report could show.
    """
    by_kind: dict[str, list[Path]] = {"corpora": list(corpora)}
    passed_over: list[tuple[Path, str]] = []
    made = [*present]
    shown = {run: [run] if made else shown_folders(run) for run in roots}
    made = made or [path for run, folders in shown.items() for path in _made(run, folders)]
    for run, folders in shown.items():
        if folders != [run]:
            there = listed([str(folder.relative_to(run)) for folder in folders])
            passed_over.append((run, f"only its {there}, as on its own page"))
    names = _names(shown)
    roots = tuple(names)
    inside = {resolved(path) for path in by_kind["corpora"]}
    for root in roots:
        findings = find(root)
        passed_over += findings.passed_over
        _check_run(root, findings)
        for path, kind in findings.found:
            if kind.name not in _PARTS:
                passed_over.append((path, f"{kind.name}: not part of a report"))
            elif resolved(path) not in inside:
                inside.add(resolved(path))
                by_kind.setdefault(_PARTS[kind.name].field, []).append(path)
    found = {name: tuple(paths) for name, paths in by_kind.items()}
    return RunFiles(
        roots=roots,
        names=names,
        present=tuple(made),
        passed_over=tuple(passed_over),
        **found,
    )


def _made(run: Path, folders: list[Path]) -> list[Path]:
    """The present score files of a run: its page has them of one folder, those of parts theirs."""
    if len(folders) == 1:
        return last_page(run).present_in(folders[0])
    return [path for folder in folders for path in last_page(folder).present_in(folder)]


def _names(shown: Mapping[Path, list[Path]]) -> dict[Path, str]:
    """What the folders of runs are called: run, or run/part; a part of the only run as itself."""
    names: dict[Path, str] = {}
    for run, name in zip(shown, _distinct_ends(shown), strict=True):
        folders = shown[run]
        for folder, part in zip(folders, _distinct_ends(folders), strict=True):
            whole = name if len(folders) == 1 else f"{name}/{part}"
            names[folder] = whole if len(shown) > 1 else part
    return names


def _distinct_ends(paths: Collection[Path]) -> list[str]:
    """The last names of paths, as few as set them apart."""
    parts = [path.absolute().parts for path in paths]
    n = 1
    while n < max(map(len, parts)) and len({one[-n:] for one in parts}) < len(set(parts)):
        n += 1
    return [str(Path(*one[-n:])) for one in parts]


def _check_run(root: Path, findings: Findings) -> None:
    """Refuse a folder in which there is nothing to show."""
    if {"scores", "units", "synthesis", "training"} & {kind.name for _, kind in findings.found}:
        return
    unused = [str(path) for path, _ in findings.passed_over]
    unused += [str(path) for path, kind in findings.found if kind.name not in _PARTS]
    raise InputError(
        "holds no scores, units, resynthesised speech or training log",
        path=root,
        cause="it is not the folder of a run, or nothing was run yet"
        + (f"; not used: {listed(unused)}" if unused else ""),
        remedy="give the folder that holds units.parquet and scores.jsonl",
    )


@dataclass(frozen=True)
class Source:
    """One input of the report: its kind, path and id."""

    kind: str
    path: Path
    id: str
    what: str
    value: Any = None
    """What was read."""


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
    former: list[Source] = field(default_factory=list)
    """Outputs of former settings, which are listed but not shown."""

    def shown(self, path: Path) -> str:
        """A path as the report shows it: relative to the run where it lies inside.

        With several runs it begins with the name of its run.
        """
        for root in self.files.roots:
            if path.is_relative_to(root):
                inside = path.relative_to(root)
                return str(
                    inside if len(self.files.roots) == 1 else self.files.name_of(root) / inside
                )
        return str(path)

    @property
    def needed_corpora(self) -> set[str]:
        """Ids of the corpora that units, scores and synthesised speech are of."""
        ids = {units.corpus_id for units in self.units.values()}
        ids |= {synthesis.corpus_id for synthesis in self.syntheses}
        ids |= {score.inputs[k] for score in self.scores for k in _CORPORA if k in score.inputs}
        return ids - {""}

    def corpus_of(self, unit_file: UnitFile) -> Corpus | None:
        """The corpus that units were encoded from, if the run knows it."""
        return self.corpora.get(unit_file.corpus_id)

    def phones_of(self, corpus: Corpus) -> Phones | None:
        """A corpus's gold phones, if it has some."""
        path = (corpus.folder or Path()) / PHONES_FILE
        return read_phones(path) if path.is_file() else None


def read_run(files: RunFiles, page: Path | None = None) -> Run:
    """Read everything but recordings and frames.

    A corpus that is in none of the folders is looked for where `nearby.corpora_near` does. The
    systems of several runs have the names of their runs before their own.

    Args:
        page: a folder in which there may be an earlier page of the run.

    Raises:
        InputError: one of the files is damaged.
    """
    sources = list(_read(files))
    kept, former = _sorted_out(sources, files)
    run = Run(files, {}, {}, {}, [], [], {}, former=former)
    for source in kept:
        _add(run, source)
    for path, near in corpora_near(files.roots, page, run.needed_corpora - run.corpora.keys()):
        _add(run, Source("corpus", path, near.id, near.name, near))
    return run


def _add(run: Run, source: Source) -> None:
    next(part for part in _PARTS.values() if part.called == source.kind).add(run, source)
    run.sources.append(source)


def _read(files: RunFiles) -> Iterator[Source]:
    for part in _PARTS.values():
        for path in getattr(files, part.field):
            value = part.of_run((part.read or part.kind.read)(path), path, files)
            yield Source(part.called, path, *part.known(path, value), value)


def _named(system: str, path: Path, files: RunFiles) -> str:
    """A system's name; with its run's before it where there are several runs."""
    root = next((root for root in files.roots if path.is_relative_to(root)), None)
    return system if root is None or len(files.roots) < 2 else f"{files.name_of(root)}: {system}"


def _sorted_out(sources: list[Source], files: RunFiles) -> tuple[list[Source], list[Source]]:
    """What the present configuration made, by the ids in its score files; and the rest."""
    present = {resolved(path) for path in files.present}
    within = [root for root in files.roots if any(p.is_relative_to(root) for p in files.present)]
    is_present = _Present(
        [s for s in sources if s.kind == "scores" and resolved(s.path) in present]
    )
    is_present.follow(sources)
    kept: list[Source] = []
    former: list[Source] = []
    for source in sources:
        is_inside = any(source.path.is_relative_to(root) for root in within)
        (former if is_inside and source not in is_present else kept).append(source)
    return kept, former


class _Present:
    """What belongs to some score files: their inputs, and what these were made with."""

    def __init__(self, scores: list[Source]) -> None:
        self._scores = {source.path for source in scores}
        self._named = {i for s in scores for score in s.value for i in score.inputs.values()}
        self._models = set(self._named)
        self._trained: dict[Path, str] = {}
        self._units: set[str] = set()
        self._judges_speech = False

    def follow(self, sources: list[Source]) -> None:
        """Find out what is meant, from all that is there."""
        self._trained = {s.path: s.id for s in sources if s.kind == "model"}
        self._models |= {
            s.value.model_id for s in sources if s.kind == "units" and s.id in self._named
        }
        inverters = {s.value.inverter_id for s in sources if s.kind == "resynthesis"}
        self._judges_speech = bool(inverters & self._named)
        self._units = {s.id for s in sources if s.kind == "units" and s in self}
        for source in sources:
            if source.kind == "resynthesis" and source in self:
                self._models.add(source.value.inverter_id)
            elif source.kind == "attention" and source in self:
                self._models.add(source.value.translator_id)

    def __contains__(self, source: Source) -> bool:
        value, belongs = source.value, True
        match source.kind:
            case "scores":
                belongs = source.path in self._scores
            case "units":
                belongs = source.id in self._named or value.model_id in self._models
            case "model":
                belongs = source.id in self._models
            case "resynthesis":  # by the units only where no speech is scored
                made_from = {value.units_id} & (self._named | self._units)
                judged = {value.inverter_id} & self._named
                belongs = bool(judged if self._judges_speech else made_from)
            case "attention":
                belongs = value.units_id in self._named
            case "training log":
                belongs = self._trained.get(bundle_of(source.path)) in {None, *self._models}
            case "ABX cells":
                belongs = not self._named.isdisjoint(value.inputs.values())
        return belongs


def bundle_of(training: Path) -> Path:
    """The bundle that a training's folder, or that of one of its parts, is of."""
    for folder in (training, *training.parents):
        if folder.suffix == ".training":
            return folder.with_suffix("")
    return training


def _add_corpus(run: Run, source: Source) -> None:
    run.corpora[source.id] = source.value


def _add_features(run: Run, source: Source) -> None:
    run.features[source.id] = source.value[0].model_dump()


def _add_model(run: Run, source: Source) -> None:
    run.models[source.id] = source.value
    if fit := read_fit(source.path):
        run.fits[source.id] = fit


def _add_units(run: Run, source: Source) -> None:
    run.units[source.id] = source.value


def _add_training(run: Run, source: Source) -> None:
    run.trainings[source.path] = source.value


def _synthesis(_: Path, synthesis: Synthesis) -> Known:
    n_wavs = counted(len(synthesis.ids), "wav")
    return synthesis.id, f"{synthesis.method}, voice {synthesis.voice}, {n_wavs}"


def _named_scores(scores: list[Score], path: Path, files: RunFiles) -> list[Score]:
    return [replace(score, system=_named(score.system, path, files)) for score in scores]


def _named_cells(cells: AbxCells, path: Path, files: RunFiles) -> AbxCells:
    return replace(cells, system=_named(cells.system, path, files))


Known = tuple[str, str]
"""The id of an input, and what it is in a few words."""


@dataclass(frozen=True)
class _Part:
    """A kind of file that a report is made of."""

    kind: FileKind[Any]
    field: str
    """Of `RunFiles`."""
    known: Callable[[Path, Any], Known]
    add: Callable[[Run, Source], None]
    """Adds what was read to the run."""
    name: str = ""
    """What the page calls it; "" is the kind's own name."""
    read: Callable[[Path], Any] | None = None
    """Reads less than the kind does."""
    of_run: Callable[[Any, Path, RunFiles], Any] = lambda value, path, files: value
    """Names the run in what was read, where there are several runs."""

    @property
    def called(self) -> str:
        """The name of the kind on the page."""
        return self.name or self.kind.name


_PARTS: Mapping[str, _Part] = {
    part.kind.name: part
    for part in (
        _Part(corpus.FILE_KIND, "corpora", lambda _, c: (c.id, c.name), _add_corpus),
        _Part(
            features.FILE_KIND,
            "features",
            lambda _, found: (found[1], found[0].extractor),
            _add_features,
            read=read_features_header,
        ),
        _Part(kinds.BUNDLE, "bundles", lambda _, b: (b.id, b.model), _add_model, "model"),
        _Part(units.FILE_KIND, "units", lambda _, u: (u.id, u.method), _add_units),
        _Part(
            synthesis.FILE_KIND,
            "syntheses",
            _synthesis,
            lambda run, source: run.syntheses.append(source.value),
            "resynthesis",
        ),
        _Part(
            scores.FILE_KIND,
            "scores",
            lambda path, found: (file_id(path), counted(len(found), "score")),
            lambda run, source: run.scores.extend(source.value),
            of_run=_named_scores,
        ),
        _Part(
            training_log.FILE_KIND,
            "trainings",
            lambda path, log: (
                file_id(path / training_log.MARKER),
                counted(len(log["step"]), "row"),
            ),
            _add_training,
            "training log",
        ),
        _Part(
            pairs.FILE_KIND,
            "pairs",
            lambda path, found: (file_id(path), counted(len(found.pairs), "pair")),
            lambda run, source: run.pairs.append(source.value),
        ),
        _Part(
            attention.FILE_KIND,
            "attentions",
            lambda path, maps: (file_id(path / attention.MARKER), counted(len(maps.ids), "map")),
            lambda run, source: run.attentions.append(source.value),
        ),
        _Part(
            abx_cells.FILE_KIND,
            "abx_cells",
            lambda _, cells: (cells.id, f"{counted(cells.table.num_rows, 'cell')}, {cells.system}"),
            lambda run, source: run.abx_cells.append(source.value),
            "ABX cells",
            of_run=_named_cells,
        ),
    )
}
"""Kinds, by their names, in the order in which the page lists their files. Gold phones aren't among
them: they come with their corpus."""
