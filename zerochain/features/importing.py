"""Features that other programs made, a file an utterance, as a features folder of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, listed
from zerochain.formats.arrays import BrokenArrayError, mapped
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import Features, read_features, write_features
from zerochain.formats.identity import check_same_ids, foreign_id, ids_by_name
from zerochain.formats.inside import files_inside, resolved
from zerochain.formats.text_vectors import read_vectors
from zerochain.progress import track

SUFFIXES = (".npy", ".txt")


def import_features(
    folder: Path,
    out: Path,
    *,
    step_ms: float,
    corpus: Path | None = None,
    folders: bool = True,
    extractor: str | None = None,
) -> tuple[Features, Mapping[str, int]]:
    """Write the .npy (T, D) and .txt files (a frame a line) in a folder as features.

    Args:
        step_ms: from one frame to the next.
        corpus: gives the speakers; every file has to be of one of its utterances, and as long.
        folders: an id is the path inside the folder without .npy or .txt; else the name alone,
            or the corpus's id that ends with it.
        extractor: what the features are called; None takes the folder's name.

    Returns:
        The features, and how many other files there were, by suffix.

    Raises:
        InputError: no such folder, no file, two of one id, one that is no (T, D) array of finite
            numbers or of another D than the first, or utterances that the corpus lacks or that
            last longer or shorter there.
    """
    files, others = feature_files(folder, folders)
    whole = None if corpus is None else read_corpus(corpus)
    known = {} if whole is None else whole.by_id
    if whole is not None:
        where = f"corpus {whole.name}"
        if not folders:
            by_name = ids_by_name(whole.ids, where)
            files = {by_name.get(name, name): file for name, file in files.items()}
        check_same_ids(list(files), whole.ids, "features", where)
    name = extractor or resolved(folder).name
    options: dict[str, Any] = {"imported": True}
    corpus_id = "" if whole is None else whole.id
    with write_features(
        out, extractor=name, options=options, step_ms=step_ms, corpus_id=corpus_id
    ) as writer:
        dim, first = 0, next(iter(files.values()))
        for utterance, file in track(files.items(), "importing features", len(files)):
            frames = read_frames(file)
            dim = dim or frames.shape[1]
            if frames.shape[1] != dim:
                raise InputError(
                    f"has {frames.shape[1]} numbers a frame, and {first} has {dim}",
                    path=file,
                    cause="features of different extractors were mixed",
                    remedy="extract all of them again with the same options",
                )
            if whole is not None:
                _check_length(
                    file, len(frames) * step_ms / 1000, known[utterance].duration, step_ms
                )
            writer.add(utterance, frames, known[utterance].speaker if whole is not None else None)
    return read_features(out), others


def feature_files(folder: Path, folders: bool = True) -> tuple[dict[str, Path], Mapping[str, int]]:
    """Id → file, sorted by path, and how many other files there are, by suffix.

    Raises:
        InputError: as `files_inside`; no such folder, no file, or two of one id.
    """
    if not folder.is_dir():
        raise InputError("no such folder", path=folder, remedy="check the path")
    files: dict[str, Path] = {}
    others = Counter[str]()
    for path in sorted(files_inside(folder)):
        if path.suffix not in SUFFIXES:
            others[path.suffix or "without suffix"] += 1
            continue
        relative = path.relative_to(folder).as_posix()
        name = foreign_id(relative, folders=folders, suffix=path.suffix)
        if name in files:
            raise InputError(
                f"{files[name]} has the same id, {name!r}",
                path=path,
                cause="there are two files of one recording, or of one name in two folders",
                remedy="keep one of the two, or take whole paths as ids",
            )
        files[name] = path
    if not files:
        found = ", ".join(f"{n} {suffix}" for suffix, n in others.items()) or "no file"
        raise InputError(
            f"holds no .npy and no .txt file ({found})",
            path=folder,
            cause="they are of another format; .pt and .pkl files may run programs when read",
            remedy="save each utterance with numpy.save as a (T, D) array",
        )
    return files, others


def read_frames(path: Path) -> NDArray[np.float32]:
    """The frames (T, D) in a .npy or .txt file.

    Raises:
        InputError: it can't be read, is no (T ≥ 1, D ≥ 1) array of numbers, or holds NaN.
    """
    array = _array(path) if path.suffix == ".npy" else read_vectors(path)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise InputError(
            f"holds {array.dtype} of shape {array.shape}, not numbers of shape (T ≥ 1, D ≥ 1)",
            path=path,
            cause="the recording is empty, or the array has an axis too few or too many",
            remedy="save one (T, D) array an utterance",
        )
    with np.errstate(over="ignore"):
        frames = np.asarray(array, np.float32)
    bad = np.flatnonzero(~np.isfinite(frames).all(axis=1))
    if len(bad):
        raise InputError(
            f"holds NaN, infinity or more than float32 holds in {len(bad)} of {len(frames)} "
            f"frames: {listed([str(i) for i in bad], 5)}",
            path=path,
            cause="the recording holds NaN, or features were normalised by a zero deviation",
            remedy="mend the recording, or leave it out",
        )
    return frames


def _check_length(file: Path, seconds: float, duration_s: float, step_ms: float) -> None:
    if abs(seconds - duration_s) > 2 * step_ms / 1000 + 0.03:  # as units may be longer or shorter
        raise InputError(
            f"lasts {seconds:.2f} s at {step_ms:g} ms a frame, its recording {duration_s:.2f} s",
            path=file,
            cause="--step-ms is wrong, or the features are of other recordings of the same names",
            remedy="give the step that they were extracted with",
        )


def _array(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(mapped(path))
    except BrokenArrayError as error:
        raise InputError(
            f"is not a readable .npy file ({error})",
            path=path,
            cause="it was cut short, or holds Python objects, which may run programs when read",
            remedy="save the array with numpy.save(…, allow_pickle=False)",
        ) from error
