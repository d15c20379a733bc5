"""Features as other programs write them: .npy arrays, and text with one vector per line.

Text is that of ZeroSpeech's submissions and Libri-Light: numbers with spaces between them, written
here with nine digits, which give back every float32 exactly. `import_features` turns a folder with
one file per utterance into a features folder of ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted, listed
from zerochain.formats.arrays import BrokenArrayError, mapped
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import Features, read_features, write_features
from zerochain.formats.identity import check_same_ids, foreign_id, ids_by_name
from zerochain.formats.inside import files_inside, resolved
from zerochain.progress import track


class Line(NamedTuple):
    """One line of a file: its vector (D,), or the problem with it."""

    number: int
    """Counted from 1."""
    vector: NDArray[np.float64]
    problem: str


_NONE = np.zeros(0)


def vector_text(vector: NDArray[np.float32]) -> str:
    """A vector (D,) as a line of text without its line end."""
    return " ".join([f"{value:.9g}" for value in vector.tolist()])


def scan_vectors(path: Path, *, single_spaces: bool = False) -> Iterator[Line]:
    """The lines of a file one by one, bad ones included; an empty file gives none.

    Args:
        single_spaces: refuse anything but one space between two numbers.
    """
    dim = None
    # Latin-1 keeps every byte, and text ends its lines at \n, \r\n and \r, which bytes don't.
    with path.open(encoding="latin-1") as stream:
        for number, raw in enumerate(stream, 1):
            line = _line(number, raw.rstrip("\n").encode("latin-1"), single_spaces)
            if not line.problem:
                dim = dim or len(line.vector)
                if len(line.vector) != dim:
                    found = f"has {counted(len(line.vector), 'number')}, the lines before it {dim}"
                    line = Line(number, _NONE, found)
            yield line


def read_vectors(path: Path, *, single_spaces: bool = False) -> NDArray[np.float64]:
    """The vectors in a file (T, D).

    Raises:
        InputError: no such file, no line, or a bad one; the message names the line.
    """
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    rows = []
    for number, vector, problem in scan_vectors(path, single_spaces=single_spaces):
        if problem:
            raise InputError(
                problem,
                path=f"{path}:{number}",
                cause="the file is not a table of numbers, or was cut short",
                remedy="write one vector per line, all of the same length, finite numbers only",
            )
        rows.append(vector)
    if not rows:
        raise InputError(
            "is empty",
            path=path,
            cause="the recording has no frame, or the program that wrote it was killed",
            remedy="write it again, or leave the recording out",
        )
    return np.stack(rows)


def _line(number: int, text: bytes, single_spaces: bool) -> Line:
    words = text.split()
    if not words:
        return Line(number, _NONE, "is blank")
    if single_spaces and b" ".join(words) != text:
        return Line(number, _NONE, "has something other than one space between its numbers")
    try:
        vector = np.array([float(word) for word in words])
    except ValueError:
        return Line(number, _NONE, f"holds {_first_bad(words)!r}, which is not a number")
    if b"_" in text:  # Python reads 1_000
        return Line(number, _NONE, f"holds {_first_bad(words)!r}, which is not a number")
    if not np.isfinite(vector).all():
        return Line(number, _NONE, "holds NaN or infinity")
    return Line(number, vector, "")


def _first_bad(words: list[bytes]) -> str:
    for word in words:
        try:
            bad = b"_" in word or not isinstance(float(word), float)
        except ValueError:
            bad = True
        if bad:
            return word[:30].decode("utf-8", "replace")
    return ""


SUFFIXES = (".npy", ".txt")


class ImportedFeatures(NamedTuple):
    """What an import of features found."""

    features: Features
    others: Mapping[str, int]
    """How many files were left out, by suffix."""
    missing: tuple[str, ...]
    """Utterances of the corpus that have no features, of the splits of those that have."""


def import_features(
    folder: Path,
    out: Path,
    *,
    step_ms: float,
    corpus: Path | None = None,
    folders: bool = True,
    extractor: str | None = None,
) -> ImportedFeatures:
    """Write the .npy (T, D) and .txt files (a frame per line) in a folder as features.

    Args:
        step_ms: from one frame to the next.
        corpus: gives the speakers; every file has to be of one of its utterances, and as long.
        folders: an id is the path inside the folder without .npy or .txt; else the name alone,
            or the corpus's id that ends with it.
        extractor: what the features are called; None takes the folder's name.

    Raises:
        InputError: no such folder, no file, two of one id, one that isn't a (T, D) array of finite
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
                    f"has {counted(frames.shape[1], 'number')} per frame, and {first} has {dim}",
                    path=file,
                    cause="features of different extractors were mixed",
                    remedy="extract all of them again with the same options",
                )
            if whole is not None:
                _check_length(
                    file, len(frames) * step_ms / 1000, known[utterance].duration, step_ms
                )
            writer.add(utterance, frames, known[utterance].speaker if whole is not None else None)
    missing = () if whole is None else whole.missing_from(files)
    return ImportedFeatures(read_features(out), others, missing)


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
                cause="there are two files for one recording, or one name in two folders",
                remedy="keep one of the two, or take whole paths as ids",
            )
        files[name] = path
    if not files:
        found = ", ".join(f"{n} {suffix}" for suffix, n in others.items()) or "no file"
        raise InputError(
            f"holds no .npy and no .txt file ({found})",
            path=folder,
            cause="they have another format; .pt and .pkl files may run programs when read",
            remedy="save each utterance with numpy.save as an array",
        )
    return files, others


def read_frames(path: Path) -> NDArray[np.float32]:
    """The frames (T, D) in a .npy or .txt file.

    Raises:
        InputError: it can't be read, isn't a (T ≥ 1, D ≥ 1) array of numbers, or holds NaN.
    """
    array = read_array(path) if path.suffix == ".npy" else read_vectors(path)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise InputError(
            f"holds {array.dtype} of shape {array.shape}, not numbers of shape (T ≥ 1, D ≥ 1)",
            path=path,
            cause="the recording is empty, or the array has an axis too few or too many",
            remedy="save one (T, D) array per utterance",
        )
    with np.errstate(over="ignore"):
        frames = np.asarray(array, np.float32)
    bad = np.flatnonzero(~np.isfinite(frames).all(axis=1))
    if len(bad):
        raise InputError(
            f"holds NaN, infinity or numbers too large for float32 in {len(bad)} of "
            f"{counted(len(frames), 'frame')}: {listed([str(i) for i in bad], 5)}",
            path=path,
            cause="the recording holds NaN, or features were normalised by a zero deviation",
            remedy="fix the recording, or leave it out",
        )
    return frames


def read_array(path: Path) -> NDArray[Any]:
    """The array in a .npy file.

    Raises:
        InputError: it can't be read, or holds Python objects.
    """
    try:
        return np.asarray(mapped(path))
    except BrokenArrayError as error:
        raise InputError(
            f"is not a readable .npy file ({error})",
            path=path,
            cause="it was cut short, or holds Python objects, which may run programs when read",
            remedy="save the array with numpy.save(…, allow_pickle=False)",
        ) from error


def _check_length(file: Path, seconds: float, duration_s: float, step_ms: float) -> None:
    if abs(seconds - duration_s) > 2 * step_ms / 1000 + 0.03:  # the tolerance for units
        raise InputError(
            f"lasts {seconds:.2f} s at {step_ms:g} ms per frame, its recording {duration_s:.2f} s",
            path=file,
            cause=f"step_ms={step_ms:g} is wrong, or the features are of other recordings with "
            "the same names",
            remedy="give the step that they were extracted with",
        )
