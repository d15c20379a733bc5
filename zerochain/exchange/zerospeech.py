"""The layouts of ZeroSpeech submissions, and their rules: where vectors lie, what metadata says.

ZeroSpeech 2019, in the layout of 2020 (units and speech of two languages):

    metadata.yaml
    2019/metadata.yaml
    2019/code/                                         if the submission is open source
    2019/{english,surprise}/test/                      <id>.txt, a vector per line, and <id>.wav
    2019/{english,surprise}/auxiliary_embedding{1,2}/  <id>.txt, optional

ZeroSpeech 2021, the phonetic part, as the challenge's own server takes it:

    meta.yaml
    code/                                              optional
    phonetic/{dev,test}-{clean,other}/<id>.txt         a frame per line

The same part as benchmark abxLS of zerospeech-benchmarks, the toolkit that `zrc` (checked with
0.9.4) validates, scores and uploads today:

    meta.yaml                                          who, what, and trained on what
    params.yaml                                        the frame shift and the distance
    {dev,test}-{clean,other}/<id>.npy                  (T, D) in float64; or .txt, a frame per line
    scores/                                            if it was evaluated

The rules are those of each challenge's own validator, and what any score needs: finite numbers,
and none below zero where KL divergence is asked for. The lexical, syntactic and semantic parts of
2021 come from language models and aren't checked.
"""

from __future__ import annotations

import wave
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.exchange.feature_files import read_array, read_vectors
from zerochain.exchange.submission_rules import (
    ANY,
    Schema,
    Submission,
    Violation,
    array_file,
    optional_entries,
    text_file,
)

LANGUAGES = ("english", "surprise")
"""Of 2019."""
SUBSETS = ("dev-clean", "dev-other", "test-clean", "test-other")
"""Of 2021."""

# --- ZeroSpeech 2019 ---

_DISTANCES = ("dtw_cosine", "dtw_kl", "levenshtein")
_AUXILIARY = ("auxiliary_embedding1", "auxiliary_embedding2")
_TOP_2019: Schema = {"author": str, "affiliation": str, "open source": bool}
_SYSTEM_2019: Schema = {
    "abx distance": _DISTANCES,
    "system description": str,
    "using parallel train": bool,
    "using external data": bool,
    "auxiliary1 description": str,
    "auxiliary2 description": str,
}


def language_folder(root: Path, language: str) -> Path:
    """Where the vectors and the speech of a language of 2019 lie."""
    return root / "2019" / language / "test"


def distance_2019(root: Path) -> str:
    """The distance that 2019/metadata.yaml asks for; "" where it doesn't say."""
    metadata, _ = Submission(root).metadata(root / "2019" / "metadata.yaml", _SYSTEM_2019)
    return str(metadata.get("abx distance", ""))


def check_2019(
    root: Path, expected: Mapping[str, Collection[str]] | None = None
) -> Iterator[Violation]:
    """Every violation of the rules of ZeroSpeech 2019, one by one.

    Args:
        expected: language → the names of files that its test folder has to hold, "….txt" and
            "….wav"; a language that is left out is checked for what there is.
    """
    submission, expected = Submission(root), expected or {}
    yield from submission.entries(root, ("2019", "metadata.yaml"), ("2017",))
    top, violations = submission.metadata(root / "metadata.yaml", _TOP_2019)
    yield from violations
    inner = root / "2019"
    if not inner.is_dir():
        return
    yield from submission.entries(inner, ("metadata.yaml", *LANGUAGES), ("code",))
    yield from _code(submission, inner / "code", top.get("open source"))
    auxiliary = [n for n in _AUXILIARY if any((inner / x / n).is_dir() for x in LANGUAGES)]
    if auxiliary == ["auxiliary_embedding2"]:
        yield Violation("2019", "holds auxiliary_embedding2 and no auxiliary_embedding1")
    described = {f"{name.replace('_embedding', '')} description" for name in auxiliary}
    optional = {key for key in _SYSTEM_2019 if key.startswith("auxiliary")} - described
    metadata, violations = submission.metadata(inner / "metadata.yaml", _SYSTEM_2019, optional)
    yield from violations
    is_kl = metadata.get("abx distance") == "dtw_kl"
    negative = "which has no KL divergence ('abx distance' is dtw_kl)" if is_kl else ""
    for language in LANGUAGES:
        names = expected.get(language)
        yield from _language(submission, inner / language, auxiliary, names, negative)


def _code(submission: Submission, folder: Path, is_open: object) -> Iterator[Violation]:
    where = submission.where(folder)
    holds_code = folder.is_dir() and any(folder.iterdir())
    if is_open is True and not holds_code:
        yield Violation(where, "is missing or empty, and metadata.yaml says open source")
    if is_open is False and holds_code:
        yield Violation(where, "is not empty, and metadata.yaml says not open source")


def _language(
    submission: Submission,
    folder: Path,
    auxiliary: list[str],
    expected: Collection[str] | None,
    negative: str,
) -> Iterator[Violation]:
    if not folder.is_dir():
        return  # reported as missing already
    yield from submission.entries(folder, ("test", *auxiliary), _AUXILIARY)
    check = partial(text_file, single_spaces=True, negative=negative)
    for name in ("test", *auxiliary):
        if not (folder / name).is_dir():
            continue
        texts = None if expected is None else [n for n in expected if n.endswith(".txt")]
        yield from submission.vectors(
            folder / name,
            expected if name == "test" else texts,
            check,
            also=(".wav",) if name == "test" else (),
        )
    for file in sorted((folder / "test").glob("*.wav")):
        if not submission.is_outside(file):  # which is reported already
            yield from _speech(submission, file)


def _speech(submission: Submission, file: Path) -> Iterator[Violation]:
    try:
        with file.open("rb") as stream, wave.open(stream) as sound:
            if sound.getnframes() == 0:
                yield Violation(submission.where(file), "holds no sound")
    except (wave.Error, EOFError, OSError) as error:
        yield Violation(submission.where(file), f"is not a WAV file of whole numbers ({error})")


# --- ZeroSpeech 2021, in both layouts ---


@dataclass(frozen=True)
class PhoneticPart:
    """Where the vectors of a subset lie, and what its metadata says of them."""

    folder: Path
    suffix: str
    """Of its files: ".txt" or ".npy"."""
    step_ms: float
    """From one frame to the next."""
    distance: str
    """"cosine", "euclidean", "kl" or "kl_symmetric"; "" where it doesn't say."""


def subset_folder(root: Path, subset: str) -> Path:
    """Where the vectors of a subset lie in the server's layout."""
    return root / "phonetic" / subset


def is_abxls(root: Path) -> bool:
    """Whether a folder has the layout of abxLS rather than that of the challenge's own server."""
    return not (root / "phonetic").exists() and (
        (root / "params.yaml").exists() or any((root / subset).is_dir() for subset in SUBSETS)
    )


def phonetic_part(root: Path, subset: str) -> PhoneticPart:
    """A subset of a submission to ZeroSpeech 2021, in either layout.

    Raises:
        InputError: no frame shift between 0 and 1 s.
    """
    if is_abxls(root):
        parameters, _ = Submission(root).metadata(root / "params.yaml", _PARAMS_ABXLS)
        file, key = "params.yaml", "feature_size"
        shift_s, metric = parameters.get(key), str(parameters.get("distance_mode", ""))
        folder, suffix = root / subset, _suffix(parameters)
    else:
        meta, _ = Submission(root).metadata(root / "meta.yaml", _META_2021)
        phonetic = meta.get("parameters", {}).get("phonetic", {})
        file, key = "meta.yaml", "frame_shift"
        shift_s, metric = phonetic.get(key), str(phonetic.get("metric", ""))
        folder, suffix = subset_folder(root, subset), ".txt"
    if not isinstance(shift_s, float) or not 0 < shift_s < 1:
        raise InputError(
            f"gives no {key} in seconds",
            path=root / file,
            remedy="'zerochain check zerospeech2021' lists what is wrong with it",
        )
    distance = metric.replace("euclidian", "euclidean")
    return PhoneticPart(folder, suffix, round(shift_s * 1000, 6), distance)


def check_2021(
    root: Path,
    expected: Mapping[str, Collection[str]] | None = None,
    *,
    subsets: Collection[str] = SUBSETS,
) -> Iterator[Violation]:
    """Every violation of the rules of ZeroSpeech 2021 in the layout that the folder has.

    Args:
        expected: subset → the names of files that it has to hold, and no others. In abxLS their
            suffixes don't matter.
        subsets: those that have to be there.
    """
    check = _check_abxls if is_abxls(root) else _check_server
    return check(Submission(root), root, expected or {}, subsets)


_META_2021: Schema = {
    "author": str,
    "affiliation": str,
    "description": str,
    "open_source": bool,
    "train_set": str,
    "gpu_budget": float,
    "parameters": {
        "phonetic": {
            "metric": ("cosine", "euclidean", "kl", "kl_symmetric"),
            "frame_shift": float,
        },
        # The validator wants these entries even where there is no semantic part.
        "semantic": {"metric": str, "pooling": ("min", "max", "mean", "sum", "last", "lastlast")},
    },
}
_OTHER_PARTS = ("lexical", "syntactic", "semantic")


def _check_server(
    submission: Submission,
    root: Path,
    expected: Mapping[str, Collection[str]],
    subsets: Collection[str],
) -> Iterator[Violation]:
    yield from submission.entries(root, ("meta.yaml", "phonetic"), ("code", *_OTHER_PARTS))
    metadata, violations = submission.metadata(root / "meta.yaml", _META_2021)
    yield from violations
    phonetic = metadata.get("parameters", {}).get("phonetic", {})
    shift_s, metric = phonetic.get("frame_shift"), str(phonetic.get("metric"))
    yield from _frame_shift("meta.yaml", "parameters/phonetic/frame_shift", shift_s)
    if not (root / "phonetic").is_dir():
        return
    yield from submission.entries(root / "phonetic", subsets, SUBSETS)
    is_kl = metric.startswith("kl")
    negative = f"which has no KL divergence (the phonetic metric is {metric})" if is_kl else ""
    check = partial(text_file, min_lines=2, negative=negative)
    for subset in SUBSETS:
        folder, names = subset_folder(root, subset), expected.get(subset)
        if folder.is_dir():
            yield from submission.vectors(folder, names, check, only_expected=True)


def _frame_shift(file: str, entry: str, shift_s: object) -> Iterator[Violation]:
    if isinstance(shift_s, float) and not 0 < shift_s < 1:
        found = f"entry {entry!r} is {shift_s}, not a number of seconds between 0 and 1"
        yield Violation(file, found)


BENCHMARK = "abxLS"
_SUFFIXES = (".npy", ".txt")
_META_ABXLS: Schema = {
    "benchmark_name": (BENCHMARK, f"test-{BENCHMARK}"),
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
_PARAMS_ABXLS: Schema = {
    "feature_size": float,
    "distance_mode": ("euclidian", "cosine", "kl", "kl_symmetric"),  # spelled so there
    "score_file_type": _SUFFIXES,
    **dict.fromkeys(
        ("quiet", "cuda", "speaker_mode", "context", "max_size_group", "max_x_across", "seed"), ANY
    ),
    **dict.fromkeys(("result_filename", "path_checkpoint", "out"), ANY),
}


def _suffix(parameters: Mapping[str, Any]) -> str:
    given = parameters.get("score_file_type")
    return given if given in _SUFFIXES else _SUFFIXES[0]


def _check_abxls(
    submission: Submission,
    root: Path,
    expected: Mapping[str, Collection[str]],
    subsets: Collection[str],
) -> Iterator[Violation]:
    """The toolkit takes a missing params.yaml for 10 ms and the cosine; here it is required."""
    optional = {*SUBSETS, "scores", "help.md"}
    yield from submission.entries(root, ("meta.yaml", "params.yaml", *subsets), optional)
    yield from submission.metadata(root / "meta.yaml", _META_ABXLS, optional_entries(_META_ABXLS))[
        1
    ]
    parameters, violations = submission.metadata(
        root / "params.yaml", _PARAMS_ABXLS, {*optional_entries(_PARAMS_ABXLS), "score_file_type"}
    )
    yield from violations
    yield from _frame_shift("params.yaml", "feature_size", parameters.get("feature_size"))
    metric, suffix = str(parameters.get("distance_mode")), _suffix(parameters)
    is_kl = metric.startswith("kl")
    negative = f"which has no KL divergence (distance_mode is {metric})" if is_kl else ""
    check = partial(array_file, read=read_benchmark_array, negative=negative)
    for subset in (name for name in SUBSETS if (root / name).is_dir()):
        names = expected.get(subset)
        names = None if names is None else {f"{Path(name).stem}{suffix}" for name in names}
        folder = root / subset
        yield from submission.vectors(folder, names, check, suffix=suffix, only_expected=True)


def read_benchmark_array(path: Path) -> NDArray[np.float64]:
    """The vectors (T, D) in a .npy or .txt file of a submission.

    Raises:
        InputError: it can't be read, isn't float64 as the toolkit wants it, or holds NaN.
    """
    if path.suffix == ".txt":
        return read_vectors(path)
    array = read_array(path)
    if array.ndim != 2 or array.dtype != np.float64:
        raise InputError(
            f"holds {array.dtype} of shape {array.shape}, not float64 of shape (T, D)",
            path=path,
            remedy="save one (T, D) array of float64 for each recording",
        )
    if array.size == 0:
        raise InputError("is empty", path=path, remedy="leave the recording out")
    if not np.isfinite(array).all():
        raise InputError("holds NaN or infinity", path=path, remedy="extract it again")
    return array
