"""Submissions to the ZeroSpeech challenges, written from our units and features.

Units become vectors, since that is all a submission holds: each its model's codebook vector, or
one-hot. Layouts and rules are in `zerospeech`; submissions of others are imported by `importing`.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from zerochain.errors import InputError, counted, listed
from zerochain.exchange import zerospeech
from zerochain.exchange.feature_files import vector_text
from zerochain.formats.atomic import atomic_file, atomic_folder, scratch
from zerochain.formats.features import read_features
from zerochain.formats.identity import ids_by_name
from zerochain.formats.inside import files_inside
from zerochain.formats.units import UnitFile, codebook_of, read_units
from zerochain.progress import track

Lines = Literal["step", "unit"]
"""A line for every step, or for every unit of the file, whatever it lasts."""
_MARKER = "zerochain.json"
"""No submission has this file, so that no existing folder is ever replaced."""


@dataclass(frozen=True)
class Part:
    """The parts that one language or subset of a submission is made from."""

    source: Path
    """units.parquet or a features folder; every utterance of it goes in."""
    model: Path | None = None
    """The units' model: lines are its vectors; without one they are one-hot."""
    wavs: Path | None = None
    """A folder of <id>.wav, the resynthesised speech."""
    folders: bool = True
    """Whether ids with folders are refused, as a submission has none; or else cut down to names."""


def export_zerospeech2019(
    out: Path,
    parts: Mapping[str, Part],
    *,
    author: str,
    affiliation: str,
    description: str,
    distance: str,
    parallel_train: bool = False,
    external_data: bool = False,
    code: Path | None = None,
    lines: Lines = "step",
) -> None:
    """Write a submission to ZeroSpeech 2019 in the layout of 2020, atomically.

    Args:
        parts: language ("english", "surprise") → what it is made from.
        distance: "dtw_cosine", "dtw_kl" or "levenshtein": the challenge's distance for ABX.
        code: the source code's folder; with it the submission is open source.

    Raises:
        InputError: `out` exists; ids with folders; wavs of other utterances; a source that can't
            be read or is of another model.
    """
    top = {"author": author, "affiliation": affiliation, "open source": code is not None}
    metadata = {
        "abx distance": distance,
        "system description": description,
        "using parallel train": parallel_train,
        "using external data": external_data,
    }
    with _new_folder(out) as folder:
        (folder / "2019").mkdir()
        _write_yaml(folder / "metadata.yaml", top)
        _write_yaml(folder / "2019" / "metadata.yaml", metadata)
        if code is not None:
            _copy_code(code, folder / "2019" / "code")
        for language, part in parts.items():
            target = zerospeech.language_folder(folder, language)
            _write_part(part, target, lines)


def export_zerospeech2021(
    out: Path,
    parts: Mapping[str, Part],
    *,
    author: str,
    affiliation: str,
    description: str,
    train_set: str,
    metric: str,
    gpu_budget: float = 0.0,
    code: Path | None = None,
) -> None:
    """Write the phonetic part of a submission to the server of ZeroSpeech 2021, atomically.

    Args:
        parts: subset ("dev-clean", …) → what it is made from; all with the same step.
        metric: "cosine", "euclidean", "kl" or "kl_symmetric".
        gpu_budget: hours of training on a GPU.

    Raises:
        InputError: as `export_zerospeech2019`; parts of different steps.
    """
    meta = {
        "author": author,
        "affiliation": affiliation,
        "description": description,
        "open_source": code is not None,
        "train_set": train_set,
        "gpu_budget": float(gpu_budget),
        "parameters": {
            "phonetic": {"metric": metric, "frame_shift": _frame_shift_s(parts)},
            # There is no semantic part, but the challenge's validator requires these entries.
            "semantic": {"metric": "cosine", "pooling": "mean"},
        },
    }
    with _new_folder(out) as folder:
        _write_yaml(folder / "meta.yaml", meta)
        if code is not None:
            _copy_code(code, folder / "code")
        for subset, part in parts.items():
            _write_part(part, zerospeech.subset_folder(folder, subset), "step")


def export_abxls(
    out: Path,
    parts: Mapping[str, Part],
    *,
    author: str,
    affiliation: str,
    description: str,
    train_set: str,
    metric: str,
    year: int,
    gpu_budget: float = 0.0,
    code_url: str | None = None,
) -> None:
    """Write a submission to the benchmark abxLS of zerospeech-benchmarks, atomically.

    Args:
        parts, metric, gpu_budget: as for `export_zerospeech2021`.
        year: of the publication.
        code_url: where the source code is; with it the submission is open source.

    Raises:
        InputError: as `export_zerospeech2021`.
    """
    meta = {
        "benchmark_name": zerospeech.BENCHMARK,
        "model_info": {
            "system_description": description,
            "train_set": train_set,
            "gpu_budget": f"{gpu_budget:g}",
        },
        "publication": {
            "author_label": author,
            "authors": author,
            "institution": affiliation,
            "publication_year": year,
        },
        "open_source": code_url is not None,
        "code_url": code_url or "",
    }
    parameters = {
        "feature_size": _frame_shift_s(parts),
        "distance_mode": "euclidian" if metric == "euclidean" else metric,
        "score_file_type": ".npy",
    }
    with _new_folder(out) as folder:
        _write_yaml(folder / "meta.yaml", meta)
        _write_yaml(folder / "params.yaml", parameters)
        for subset, part in parts.items():
            texts, files = _texts(part)
            (folder / subset).mkdir()
            for name, one in track(files.items(), f"writing {subset}", len(files)):
                array = np.array([line.split() for line in texts(one)], np.float64)
                np.save(folder / subset / f"{name}.npy", array, allow_pickle=False)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    if out.exists():
        raise InputError(
            "is there already, and a submission is never overwritten",
            path=out,
            remedy="remove it, or choose another out=",
        )
    with atomic_folder(out, _MARKER) as folder:
        yield folder


def zip_submission(submission: Path, archive: Path) -> None:
    """Pack a submission's folder as a ZIP archive, its metadata at the top, atomically.

    The same files make the same bytes: entries are sorted, and have no times.

    Raises:
        InputError: a link leads out of the folder, or the archive can't be written.
    """
    with atomic_file(archive) as temporary, zipfile.ZipFile(temporary, "w") as packed:
        for path in sorted(files_inside(submission)):
            entry = zipfile.ZipInfo(path.relative_to(submission).as_posix())
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16  # a regular file that everybody may read
            with path.open("rb") as content, packed.open(entry, "w", force_zip64=True) as stream:
                shutil.copyfileobj(content, stream)


@contextmanager
def unpacked(submission: Path) -> Iterator[Path]:
    """A submission's folder; of a ZIP archive, a temporary one that holds its files.

    Raises:
        InputError: a file that isn't a ZIP archive, or a damaged one.
    """
    if submission.is_dir():
        yield submission
        return
    with scratch() as folder:
        try:
            with zipfile.ZipFile(submission) as packed:
                packed.extractall(folder)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise InputError(
                f"is neither a folder nor a ZIP archive that can be read: {error}",
                path=submission,
                remedy="give the submission's folder, or its ZIP archive",
            ) from error
        yield folder


def _frame_shift_s(parts: Mapping[str, Part]) -> float:
    """Seconds per line, the same for all parts."""
    steps = {subset: _opened(part)[1] for subset, part in parts.items()}
    if len(set(steps.values())) > 1:
        raise InputError(
            f"the subsets have steps of {listed([f'{n}: {s:g} ms' for n, s in steps.items()])}",
            cause="they were encoded by different models",
            remedy="encode all of them with one; a submission has one frame shift",
        )
    return round(next(iter(steps.values())) / 1000, 9)


def _write_part(part: Part, target: Path, lines: Lines) -> None:
    target.mkdir(parents=True)
    texts, files = _texts(part, lines)
    for name, one in track(files.items(), f"writing {target.parent.name}", len(files)):
        with (target / f"{name}.txt").open("w", encoding="ascii", newline="\n") as stream:
            stream.writelines(line + "\n" for line in texts(one))
    if part.wavs is not None:
        _copy_wavs(part.wavs, target, files)


def _texts(
    part: Part, lines: Lines = "step"
) -> tuple[Callable[[str], Iterator[str]], dict[str, str]]:
    """A function from id to lines, and name in the submission → id."""
    texts, _, ids = _opened(part, lines)
    nested = [name for name in ids if "/" in name]
    if nested and part.folders:
        raise InputError(
            f"folders in {counted(len(nested), 'id')}, and a submission has none: "
            f"{listed(nested, 3)}",
            path=part.source,
            remedy="leave out the folders with folders=False",
        )
    return texts, ids_by_name(ids, f"file {part.source.name}")


def _opened(
    part: Part, lines: Lines = "step"
) -> tuple[Callable[[str], Iterator[str]], float, list[str]]:
    """A function from id to lines, milliseconds per line, and the ids."""
    if part.source.is_dir():
        if part.model is not None:
            raise InputError(
                "a model gives units their vectors, and these are features",
                path=part.source,
                remedy="leave the model out, or export a unit file",
            )
        features = read_features(part.source)
        return lambda name: map(vector_text, features[name]), features.step_ms, features.ids
    unit_file = read_units(part.source)
    table = _vector_table(unit_file, part.model)
    units: Callable[[str], Any] = unit_file.steps if lines == "step" else unit_file.units.get
    return lambda name: (table[u] for u in units(name)), unit_file.step_ms, unit_file.ids


def _vector_table(unit_file: UnitFile, model: Path | None) -> list[str]:
    """The line of every unit: its codebook vector, or one-hot."""
    if model is None:
        n = unit_file.n_units
        return [" ".join(["0"] * u + ["1"] + ["0"] * (n - 1 - u)) for u in range(n)]
    codebook = codebook_of(unit_file, model, without="units are then written one-hot")
    table = [vector_text(vector) for vector in codebook.astype(np.float32)]
    used = np.unique(np.concatenate(list(unit_file.units.values())))
    n_different = len({table[u] for u in used})
    if n_different < len(used):
        raise InputError(
            f"{len(used)} units have only {counted(n_different, 'different vector')}",
            path=model,
            cause="some codes are equal, and a submission distinguishes units by their vectors",
            remedy="leave the model out: units are then written one-hot",
        )
    return table


def _copy_wavs(wavs: Path, target: Path, files: Mapping[str, str]) -> None:
    """Copy the `<id>.wav` that are there, given name → id, and refuse wavs without an id."""
    sounds = {f.relative_to(wavs).with_suffix("").as_posix(): f for f in wavs.rglob("*.wav")}
    unknown = sorted(sounds.keys() - set(files.values()))
    if unknown or not sounds:
        raise InputError(
            f"no utterance is exported for {len(unknown)} of {counted(len(sounds), 'wav')}: "
            f"{listed(unknown)}",
            path=wavs,
            cause="they were made from other units",
            remedy="synthesise the units that are exported",
        )
    for name, one in files.items():
        if one in sounds:
            shutil.copyfile(sounds[one], target / f"{name}.wav")


def _copy_code(code: Path, target: Path) -> None:
    links = [path for path in code.rglob("*") if path.is_symlink()]
    if links or not code.is_dir() or not any(code.iterdir()):
        raise InputError(
            f"holds the link {links[0].name}" if links else "is not a folder with code in it",
            path=code,
            remedy="give a folder of source files",
        )
    shutil.copytree(code, target)


def _write_yaml(path: Path, values: Mapping[str, object]) -> None:
    text = yaml.safe_dump(dict(values), allow_unicode=True, sort_keys=False)
    path.write_text(text, encoding="utf-8")
