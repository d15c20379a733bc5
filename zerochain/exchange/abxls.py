"""Submissions to the benchmark abxLS of zerospeech-benchmarks: ZeroSpeech 2021's phonetic part.

    meta.yaml                                       who, what, and trained on what
    params.yaml                                     the frame shift and the distance
    {dev,test}-{clean,other}/<id>.npy               (T, D) in float64; or .txt, a frame a line
    scores/                                         where it was evaluated

It is the layout that `zrc` (checked with zerospeech-benchmarks 0.9.4) validates, scores and
uploads today; the challenge's own server took that of `zerospeech2021`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.exchange.feature_files import read_vectors
from zerochain.exchange.submission_rules import ANY, Schema, Submission, Violation

NAME = "abxLS"
SUBSETS = ("dev-clean", "dev-other", "test-clean", "test-other")
METRICS = ("euclidian", "cosine", "kl", "kl_symmetric")
"""As they are spelled there."""
SUFFIXES = (".npy", ".txt")
META: Schema = {
    "benchmark_name": (NAME, f"test-{NAME}"),
    "model_info": {
        "system_description": str,
        "train_set": str,
        "model_id": ANY,
        "gpu_budget": ANY,
    },
    "publication": {
        "authors": str,
        "institution": str,
        "publication_year": int,
        "author_label": ANY,
        "paper_title": ANY,
        "paper_url": ANY,
        "bib_reference": ANY,
        "DOI": ANY,
        "team": ANY,
    },
    "open_source": bool,
    "username": ANY,
    "submission_id": ANY,
    "code_url": ANY,
}
PARAMS: Schema = {
    "feature_size": float,
    "distance_mode": METRICS,
    "score_file_type": SUFFIXES,
    **dict.fromkeys(
        ("quiet", "cuda", "speaker_mode", "context", "max_size_group", "max_x_across", "seed"), ANY
    ),
    **dict.fromkeys(("result_filename", "path_checkpoint", "out"), ANY),
}
_BELOW_ZERO = "holds a number below zero, which has no KL divergence (distance_mode is {})"


def is_abxls(root: Path) -> bool:
    """Whether a folder has this layout rather than that of the challenge's own server."""
    return not (root / "phonetic").exists() and (
        (root / "params.yaml").exists() or any((root / subset).is_dir() for subset in SUBSETS)
    )


def read_parameters(root: Path) -> dict[str, Any]:
    """What params.yaml says, as far as it can be read."""
    return Submission(root).metadata(root / "params.yaml", PARAMS)[0]


def file_type(parameters: Mapping[str, Any]) -> str:
    """The suffix of the files of vectors."""
    given = parameters.get("score_file_type")
    return given if given in SUFFIXES else SUFFIXES[0]


def check(
    root: Path,
    expected: Mapping[str, Collection[str]] | None = None,
    *,
    subsets: Collection[str] = SUBSETS,
) -> Iterator[Violation]:
    """Every violation of the rules, one by one.

    The toolkit takes a missing params.yaml for 10 ms and the cosine; here it has to be there.

    Args:
        expected: subset → the names of files that it has to hold, and no others; their suffixes
            don't matter.
        subsets: those that have to be there.
    """
    submission, expected = Submission(root), expected or {}
    optional = {*SUBSETS, "scores", "help.md"}
    yield from submission.entries(root, ("meta.yaml", "params.yaml", *subsets), optional)
    yield from submission.metadata(root / "meta.yaml", META, _free(META))[1]
    parameters, violations = submission.metadata(
        root / "params.yaml", PARAMS, {*_free(PARAMS), "score_file_type"}
    )
    yield from violations
    shift, metric = parameters.get("feature_size"), str(parameters.get("distance_mode"))
    if isinstance(shift, float) and not 0 < shift < 1:
        yield Violation("params.yaml", f"entry 'feature_size' is {shift}, which are no seconds")
    suffix = file_type(parameters)
    for subset in (name for name in SUBSETS if (root / name).is_dir()):
        names = expected.get(subset)
        yield from _subset(
            submission,
            root / subset,
            None if names is None else {f"{Path(name).stem}{suffix}" for name in names},
            suffix,
            _BELOW_ZERO.format(metric) if metric.startswith("kl") else "",
        )


def read_array(path: Path) -> NDArray[np.float64]:
    """The vectors (T, D) in a .npy or .txt file.

    Raises:
        InputError: it can't be read, isn't as the toolkit wants it, or holds NaN.
    """
    if path.suffix == ".txt":
        return read_vectors(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"is not a readable .npy file ({error})",
            path=path,
            cause="it was cut short, or holds Python objects, which may run programs when read",
            remedy="save the array with numpy.save(…, allow_pickle=False)",
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype != np.float64:
        raise InputError(
            f"holds {getattr(array, 'dtype', 'no array')} of shape "
            f"{getattr(array, 'shape', '')}, not float64 of shape (T, D)",
            path=path,
            remedy="save one (T, D) array of float64 for each recording",
        )
    if array.size == 0:
        raise InputError("is empty", path=path, remedy="leave the recording out")
    if not np.isfinite(array).all():
        raise InputError("holds NaN or infinity", path=path, remedy="extract it again")
    return array


def _free(schema: Schema, prefix: str = "") -> set[str]:
    """The entries that may be missing."""
    free = {f"{prefix}{key}" for key, expected in schema.items() if expected is ANY}
    for key, inner in schema.items():
        if isinstance(inner, Mapping):
            free |= _free(inner, f"{prefix}{key}/")
    return free


def _subset(
    submission: Submission,
    folder: Path,
    expected: Collection[str] | None,
    suffix: str,
    negative: str,
) -> Iterator[Violation]:
    files = {file.name: file for file in sorted(folder.iterdir())}
    for name in sorted(set(expected or ()) - files.keys()):
        yield Violation(submission.where(folder / name), "is missing")
    if not any(file.suffix == suffix for file in files.values()):
        yield Violation(submission.where(folder), f"holds no {suffix} file")
    dims: dict[int, str] = {}
    for file in files.values():
        where = submission.where(file)
        if submission.is_outside(file):
            yield Violation(where, "is a link out of the submission")
        elif file.suffix != suffix or not file.is_file():
            yield Violation(where, "may not be there")
        elif expected is not None and file.name not in expected:
            yield Violation(where, "belongs to no recording of the data set")
        else:
            yield from _vectors(file, where, dims, negative)


def _vectors(file: Path, where: str, dims: dict[int, str], negative: str) -> Iterator[Violation]:
    try:
        array = read_array(file)
    except InputError as error:
        line = str(error.path).removeprefix(f"{file}:") if str(error.path) != str(file) else ""
        yield Violation(where, error.found, int(line) if line.isdigit() else None)
        return
    if len(array) < 2:
        yield Violation(where, "has 1 frame, and the benchmark wants 2 or more")
    if negative and array.min() < 0:
        yield Violation(where, negative)
    dims.setdefault(array.shape[1], where)
    dim, first = next(iter(dims.items()))
    if array.shape[1] != dim:
        yield Violation(where, f"has {array.shape[1]} numbers a frame, {first} has {dim}")
