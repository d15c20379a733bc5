"""Units and vectors of others, from submissions and text files, as units and features of ours.

A submission is lines of numbers. As units, equal lines are one symbol, as the challenge's bit rate
counts them; as features, each line is a frame. A line lasts one step, or an even share of its
recording where lines are segments of unknown length. With a corpus, ids and lengths are checked
against its recordings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted, listed
from zerochain.exchange import zerospeech
from zerochain.exchange.unit_text import UnitSource, read_unit_files, read_unit_text
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import FeaturesWriter, write_features
from zerochain.formats.identity import check_same_ids, file_id, foreign_id, ids_by_name
from zerochain.formats.inside import check_inside, resolved
from zerochain.formats.units import UnitFile, write_units
from zerochain.progress import track

SPREAD_STEP_MS = 10.0
"""The step of durations where lines share their recording evenly."""


@dataclass(frozen=True)
class Timing:
    """How long lines last, and the corpus that they are checked against."""

    step_ms: float
    spread: bool
    corpus: Corpus | None
    root: Path
    can_spread: bool = False
    """Whether the import has `spread`."""

    @property
    def corpus_id(self) -> str:
        return "" if self.corpus is None else self.corpus.id

    def ids(self, names: Iterable[str], folders: bool) -> dict[str, str]:
        """Name → id: the same or, without folders, the corpus's id that ends with the name.

        Raises:
            InputError: listing the ids that the corpus lacks.
        """
        ids = {name: name for name in names}
        if self.corpus is None:
            return ids
        where = f"corpus {self.corpus.name}"
        if not folders:
            by_name = ids_by_name(self.corpus.ids, where)
            ids = {name: by_name.get(name, name) for name in ids}
        check_same_ids(list(ids.values()), self.corpus.ids, f"files in {self.root}", where)
        return ids

    def speakers(self, ids: Collection[str]) -> dict[str, str | None]:
        """The speakers of utterances; None without a corpus."""
        by_id = {} if self.corpus is None else self.corpus.by_id
        return {name: by_id[name].speaker if name in by_id else None for name in ids}

    def missing(self, ids: Collection[str]) -> tuple[str, ...]:
        """Utterances of the corpus that are not among `ids`, of the splits that these are of."""
        return () if self.corpus is None else self.corpus.missing_from(ids)

    def durations(self, name: str, n_lines: int) -> NDArray[np.int32]:
        """Steps that each of an utterance's lines lasts, where they share it evenly."""
        assert self.corpus is not None
        steps = round(self.corpus.by_id[name].duration * 1000 / self.step_ms)
        if n_lines > steps:
            raise InputError(
                f"{name!r} has {counted(n_lines, 'line')} in {counted(steps, 'step')} of "
                f"{self.step_ms:g} ms",
                path=self.root,
                cause="its lines are not segments",
                remedy="give the length of a line with step_ms= instead of spread=True",
            )
        return np.diff(np.round(np.linspace(0, steps, n_lines + 1))).astype(np.int32)

    def check_lengths(self, unit_file: UnitFile) -> None:
        """Raise InputError unless the lines last as long as the recordings."""
        if self.corpus is None:
            return
        seconds = {u.id: u.duration for u in self.corpus.utterances}
        try:
            unit_file.check_durations(seconds, f"corpus {self.corpus.name}")
        except InputError as error:
            raise InputError(
                error.found,
                path=self.root,
                cause="step_ms= is wrong, or repeats were merged and a line is a segment",
                remedy="give the right step_ms="
                + (
                    "; spread=True where a line is a segment"
                    if self.can_spread
                    else ", or units with a unit for each step"
                ),
            ) from error


def line_timing(
    step_ms: float | None,
    corpus: Path | None,
    spread: bool,
    root: Path,
    *,
    can_spread: bool = False,
) -> Timing:
    """How long the lines of `root` last: one step each, or an even share of their recording.

    Args:
        can_spread: whether a message may tell to spread them.

    Raises:
        InputError: both or neither, or no corpus for an even share.
    """
    if spread and corpus is None:
        raise InputError("spread=True needs the recordings' lengths", remedy="give corpus=")
    if spread == (step_ms is not None):
        raise InputError(
            "a submission does not say how long a line lasts",
            path=root,
            remedy="give either step_ms= or, where lines are segments, spread=True",
        )
    whole = None if corpus is None else read_corpus(corpus)
    return Timing(step_ms or SPREAD_STEP_MS, spread, whole, root, can_spread)


class Symbols:
    """Lines as units: equal vectors are one unit, numbered in order of first occurrence."""

    def __init__(self) -> None:
        self.units: dict[str, NDArray[np.int32]] = {}
        self.codes: dict[bytes, int] = {}
        self.digest = hashlib.sha256()
        self.dim = 0
        self.first = ""

    def add(self, name: str, vectors: NDArray[np.float64]) -> None:
        """Assign codes to the lines (T, D) of an utterance."""
        # + 0.0: a negative zero is the same number. Keys of 16 bytes: vectors may be long.
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in vectors + 0.0]
        codes = [self.codes.setdefault(key, len(self.codes)) for key in keys]
        self.units[name] = np.array(codes, np.int32)
        for key in keys:
            self.digest.update(key)
        self.dim, self.first = self.dim or vectors.shape[1], self.first or name


@dataclass(frozen=True)
class Imported:
    """What an import found."""

    unit_file: UnitFile
    dim: int
    distance: str
    """The distance that the submission asks for; "" where it doesn't say."""
    missing: tuple[str, ...] = ()
    """Utterances of the corpus that are not in the submission, of the splits that it has."""


class ImportedUnits(NamedTuple):
    """What an import of units found."""

    unit_file: UnitFile
    missing: tuple[str, ...]
    """Utterances of the corpus that have no units, of the splits of those that have."""
    others: Mapping[str, int]
    """How many files were left out, by suffix."""


def import_zerospeech2019(
    root: Path,
    out: Path,
    language: str,
    *,
    step_ms: float | None = None,
    corpus: Path | None = None,
    spread: bool = False,
    only: Collection[str] | None = None,
    folders: bool = True,
    system: str | None = None,
) -> Imported:
    """Import one language of a submission, as `out`/units.parquet and `out`/features.

    A unit is a line: equal lines are one unit, as the challenge's bit rate counts them.

    Args:
        step_ms: the length of a line.
        corpus: the recordings; gives speakers, and the lengths that lines are checked against.
        spread: the lines share their recording evenly instead, as segments of unknown times do.
        only: the names of the files to take ("….txt"), rather than all.
        folders: names are the corpus's ids; otherwise the last parts of them.

    Raises:
        InputError: no step, or lines that don't last their recording; a file that breaks the
            rules, with its line; files that `only` lists and aren't there.
    """
    folder = zerospeech.language_folder(root, language)
    return _import(
        _files(folder, root, only),
        out,
        line_timing(step_ms, corpus, spread, root, can_spread=True),
        folders,
        system or f"{resolved(root).name} {language}",
        zerospeech.distance_2019(root),
    )


def import_zerospeech2021(
    root: Path,
    out: Path,
    subset: str,
    *,
    corpus: Path | None = None,
    only: Collection[str] | None = None,
    folders: bool = True,
    system: str | None = None,
) -> Imported:
    """Import one subset of a submission, in the layout of 2021's server or of abxLS.

    A line lasts the frame_shift of meta.yaml, or the feature_size of params.yaml.

    Raises:
        InputError: as `import_zerospeech2019`.
    """
    part = zerospeech.phonetic_part(root, subset)
    return _import(
        _files(part.folder, root, only, part.suffix),
        out,
        line_timing(part.step_ms, corpus, False, root),
        folders,
        system or f"{resolved(root).name} {subset}",
        part.distance,
    )


def import_units(
    path: Path,
    out: Path,
    kind: UnitSource,
    *,
    step_ms: float,
    n_units: int | None = None,
    corpus: Path | None = None,
    folders: bool = True,
    suffix: str = "",
    system: str | None = None,
) -> ImportedUnits:
    """Import units from JSONL, fairseq's text or a folder of files, one unit per step.

    Args:
        n_units: None takes the highest unit plus one.
        corpus: gives the speakers, and the lengths that units are checked against.
        folders, suffix: as `foreign_id` takes them; names without folders are the last parts of
            the corpus's ids.

    Raises:
        InputError: as `read_unit_text` or `read_unit_files`; utterances that the corpus lacks or of
            another length.
    """
    others: Mapping[str, int] = {}
    if kind == "files":
        units, others = read_unit_files(path, folders=folders, suffix=suffix)
    else:
        units = read_unit_text(path, kind, folders=folders, suffix=suffix)
    timing = line_timing(step_ms, corpus, False, path)
    ids = timing.ids(units, folders)
    units = {ids[name]: line for name, line in units.items()}
    highest = max(int(values.max()) for values in units.values())
    unit_file = UnitFile(
        units,
        n_units or highest + 1,
        step_ms,
        _digest(units) if kind == "files" else file_id(path),
        system or f"imported {resolved(path).name}",
        timing.speakers(units),
        corpus_id=timing.corpus_id,
    )
    timing.check_lengths(unit_file)
    write_units(out, unit_file)
    return ImportedUnits(unit_file, timing.missing(units), others)


def _digest(units: Mapping[str, NDArray[np.int32]]) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(units.items()):
        digest.update(f"{name}\0{len(values)}\0".encode() + values.astype("<i4").tobytes())
    return digest.hexdigest()


def _files(
    folder: Path, root: Path, only: Collection[str] | None, suffix: str = ".txt"
) -> dict[str, Path]:
    """Id → its file of vectors in a folder of the submission `root`; `only` names them as .txt."""
    if not folder.is_dir():
        raise InputError(
            "no such folder",
            path=folder,
            cause="it is not a submission, or lacks this part",
            remedy="give the folder that holds metadata.yaml and 2019/, or meta.yaml",
        )
    there = {f"{file.stem}.txt": file for file in sorted(folder.glob(f"*{suffix}"))}
    missing = sorted(name for name in only or () if name not in there and name.endswith(".txt"))
    if missing or not there:
        raise InputError(
            f"lacks {counted(len(missing), 'file')} of the list: {listed(missing)}"
            if missing
            else f"holds no {suffix} file",
            path=folder,
            remedy="'zerochain check' lists everything that is missing",
        )
    for file in there.values():
        check_inside(file, root, "submission")
    kept = [file for name, file in there.items() if only is None or name in only]
    return {foreign_id(file.name, suffix=suffix): file for file in kept}


def _import(
    files: Mapping[str, Path],
    out: Path,
    timing: Timing,
    folders: bool,
    system: str,
    distance: str,
) -> Imported:
    ids = timing.ids(files, folders)
    files = {ids[name]: file for name, file in files.items()}
    speakers, symbols = timing.speakers(files), Symbols()
    durations: dict[str, NDArray[np.int32]] = {}
    features = out / "features"
    with write_features(
        features,
        extractor=system,
        options={"imported": True},
        step_ms=timing.step_ms,
        corpus_id=timing.corpus_id,
    ) as writer:
        for name, file in track(files.items(), "reading vectors", len(files)):
            vectors = zerospeech.read_benchmark_array(file)
            symbols.add(name, vectors)
            if timing.spread:
                durations[name] = timing.durations(name, len(vectors))
                vectors = np.repeat(vectors, durations[name], axis=0)
            _add(writer, name, vectors, speakers[name], file, symbols)
        unit_file = UnitFile(
            symbols.units,
            len(symbols.codes),
            timing.step_ms,
            symbols.digest.hexdigest(),
            system,
            speakers,
            durations if timing.spread else None,
            timing.corpus_id,
        )
        if not timing.spread:
            timing.check_lengths(unit_file)
    write_units(out / "units.parquet", unit_file)
    return Imported(unit_file, symbols.dim, distance, timing.missing(files))


def _add(
    writer: FeaturesWriter,
    name: str,
    vectors: NDArray[np.float64],
    speaker: str | None,
    file: Path,
    symbols: Symbols,
) -> None:
    if vectors.shape[1] != symbols.dim:
        raise InputError(
            f"has {counted(vectors.shape[1], 'number')} per line, and {symbols.first!r} has "
            f"{symbols.dim}",
            path=file,
            cause="outputs of two systems were mixed",
            remedy="write all of them with one system",
        )
    with np.errstate(over="ignore"):
        writer.add(name, vectors.astype(np.float32), speaker)
