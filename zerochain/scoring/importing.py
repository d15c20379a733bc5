"""Units and vectors of others, from submissions and text, as files that scoring takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, listed
from zerochain.formats.features import FeaturesWriter, write_features
from zerochain.formats.identity import file_id, foreign_id
from zerochain.formats.inside import check_inside, resolved
from zerochain.formats.submissions import abxls, zerospeech2019, zerospeech2021
from zerochain.formats.unit_text import UnitText, read_unit_text
from zerochain.formats.units import UnitFile, write_units
from zerochain.progress import track
from zerochain.scoring.lines import Symbols, Timing, line_timing


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    unit_file: UnitFile
    dim: int
    distance: str
    """What the submission asks to be scored by; "" where it doesn't say."""
    missing: tuple[str, ...] = ()
    """Utterances of the corpus that it lacks."""


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
    """Take one language of a submission in: `out`/units.parquet and `out`/features.

    A unit is a line: equal lines are one unit, as the challenge's bit rate counts them.

    Args:
        step_ms: what a line lasts.
        corpus: the recordings; gives speakers, and the lengths that lines are checked against.
        spread: the lines share their recording evenly instead, as segments of unknown times do.
        only: the names of the files to take ("….txt"), rather than all.
        folders: names are the corpus's ids; else the last parts of them.

    Raises:
        InputError: no step, or lines that don't last their recording; a file that breaks the
            rules, with its line; files that `only` lists and aren't there.
    """
    folder = zerospeech2019.vector_folder(root, language)
    metadata = zerospeech2019.read_metadata(root)
    return _import(
        _files(folder, root, only),
        out,
        line_timing(step_ms, corpus, spread, root),
        folders,
        system or f"{resolved(root).name} {language}",
        str(metadata.get("abx distance", "")),
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
    """Take one subset of a submission in, of the layout of 2021's server or of abxLS.

    A line lasts the frame_shift of meta.yaml, or the feature_size of params.yaml.

    Raises:
        InputError: as `import_zerospeech2019`.
    """
    if abxls.is_abxls(root):
        parameters = abxls.read_parameters(root)
        suffix, folder = abxls.file_type(parameters), root / subset
        shift = parameters.get("feature_size")
        metric = str(parameters.get("distance_mode", "")).replace("euclidian", "euclidean")
        file, key = "params.yaml", "feature_size"
    else:
        phonetic = zerospeech2021.read_metadata(root).get("parameters", {}).get("phonetic", {})
        suffix, folder = ".txt", zerospeech2021.vector_folder(root, subset)
        shift, metric = phonetic.get("frame_shift"), str(phonetic.get("metric", ""))
        file, key = "meta.yaml", "frame_shift"
    if not isinstance(shift, float) or not 0 < shift < 1:
        raise InputError(
            f"says no {key} in seconds",
            path=root / file,
            remedy="'zerochain check zerospeech2021' lists what is wrong with it",
        )
    return _import(
        _files(folder, root, only, suffix),
        out,
        line_timing(round(shift * 1000, 6), corpus, False, root),
        folders,
        system or f"{resolved(root).name} {subset}",
        metric,
    )


def import_units(
    path: Path,
    out: Path,
    kind: UnitText,
    *,
    step_ms: float,
    n_units: int | None = None,
    corpus: Path | None = None,
    folders: bool = True,
    suffix: str = "",
    system: str | None = None,
) -> UnitFile:
    """Take units in from JSONL or fairseq's text, one unit a step.

    Args:
        n_units: None takes the highest unit plus one.
        corpus: gives the speakers, and the lengths that units are checked against.
        folders, suffix: as `foreign_id` takes them; names without folders are the last parts of
            the corpus's ids.

    Raises:
        InputError: as `read_unit_text`; utterances that the corpus lacks or of another length.
    """
    units = read_unit_text(path, kind, folders=folders, suffix=suffix)
    timing = line_timing(step_ms, corpus, False, path)
    ids = timing.ids(units, folders)
    units = {ids[name]: line for name, line in units.items()}
    highest = max(int(values.max()) for values in units.values())
    unit_file = UnitFile(
        units,
        n_units or highest + 1,
        step_ms,
        file_id(path),
        system or f"imported {path.name}",
        timing.speakers(units),
        corpus_id=timing.corpus_id,
    )
    timing.check_lengths(unit_file)
    write_units(out, unit_file)
    return unit_file


def _files(
    folder: Path, root: Path, only: Collection[str] | None, suffix: str = ".txt"
) -> dict[str, Path]:
    """Id → its file of vectors in a folder of the submission `root`; `only` names them as .txt."""
    if not folder.is_dir():
        raise InputError(
            "no such folder",
            path=folder,
            cause="it is no submission, or lacks this part",
            remedy="give the folder that holds metadata.yaml and 2019/, or meta.yaml",
        )
    there = {f"{file.stem}.txt": file for file in sorted(folder.glob(f"*{suffix}"))}
    missing = sorted(name for name in only or () if name not in there and name.endswith(".txt"))
    if missing or not there:
        raise InputError(
            f"lacks {len(missing)} of the files listed: {listed(missing)}"
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
            vectors = abxls.read_array(file)
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
    missing = [] if timing.corpus is None else [n for n in timing.corpus.ids if n not in files]
    return Imported(unit_file, symbols.dim, distance, tuple(missing))


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
            f"has {vectors.shape[1]} numbers a line, and {symbols.first!r} has {symbols.dim}",
            path=file,
            cause="outputs of two systems were mixed",
            remedy="write all of them with one",
        )
    with np.errstate(over="ignore"):
        writer.add(name, vectors.astype(np.float32), speaker)
