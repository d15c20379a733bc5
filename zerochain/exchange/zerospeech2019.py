"""Submissions to ZeroSpeech 2019, in the layout of 2020: units and speech of two languages.

    metadata.yaml
    2019/metadata.yaml
    2019/code/                          where the submission is open source
    2019/{english,surprise}/test/       <id>.txt, a vector a line, and <id>.wav
    2019/{english,surprise}/auxiliary_embedding{1,2}/    <id>.txt, where there are any

The rules are those of the challenge's validator and of its scorer (which passes over lines of one
number), and what any score needs: finite numbers, none below zero where KL divergence is asked for.
"""

from __future__ import annotations

import wave
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from zerochain.exchange.submission_rules import Submission, Violation

LANGUAGES = ("english", "surprise")
DISTANCES = ("dtw_cosine", "dtw_kl", "levenshtein")
AUXILIARY = ("auxiliary_embedding1", "auxiliary_embedding2")
TOP_SCHEMA = {"author": str, "affiliation": str, "open source": bool}
SCHEMA = {
    "abx distance": DISTANCES,
    "system description": str,
    "using parallel train": bool,
    "using external data": bool,
    "auxiliary1 description": str,
    "auxiliary2 description": str,
}
_BELOW_ZERO = "which has no KL divergence ('abx distance' is dtw_kl)"


def vector_folder(root: Path, language: str) -> Path:
    """Where a language's vectors and speech lie."""
    return root / "2019" / language / "test"


def read_metadata(root: Path) -> dict[str, Any]:
    """What 2019/metadata.yaml says, as far as it can be read."""
    return Submission(root).metadata(root / "2019" / "metadata.yaml", SCHEMA)[0]


def check(root: Path, expected: Mapping[str, Collection[str]] | None = None) -> Iterator[Violation]:
    """Every violation of the rules, one by one.

    Args:
        expected: language → the names of files that its test folder has to hold, "….txt" and
            "….wav"; a language that is left out is checked for what there is.
    """
    submission, expected = Submission(root), expected or {}
    yield from submission.entries(root, ("2019", "metadata.yaml"), ("2017",))
    top, violations = submission.metadata(root / "metadata.yaml", TOP_SCHEMA)
    yield from violations
    if not (root / "2019").is_dir():
        return
    yield from submission.entries(root / "2019", ("metadata.yaml", *LANGUAGES), ("code",))
    yield from _code(submission, root / "2019" / "code", top.get("open source"))
    auxiliary = [n for n in AUXILIARY if any((root / "2019" / x / n).is_dir() for x in LANGUAGES)]
    if auxiliary == ["auxiliary_embedding2"]:
        yield Violation("2019", "holds auxiliary_embedding2 and no auxiliary_embedding1")
    described = {f"{name.replace('_embedding', '')} description" for name in auxiliary}
    optional = {key for key in SCHEMA if key.startswith("auxiliary")} - described
    metadata, violations = submission.metadata(root / "2019" / "metadata.yaml", SCHEMA, optional)
    yield from violations
    negative = _BELOW_ZERO if metadata.get("abx distance") == "dtw_kl" else ""
    for language in LANGUAGES:
        yield from _language(
            submission, root / "2019" / language, auxiliary, expected.get(language), negative
        )


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
        return  # said already
    yield from submission.entries(folder, ("test", *auxiliary), AUXILIARY)
    for name in ("test", *auxiliary):
        if not (folder / name).is_dir():
            continue
        is_test = name == "test"
        texts = None if expected is None else [n for n in expected if n.endswith(".txt")]
        yield from submission.vectors(
            folder / name,
            expected if is_test else texts,
            suffixes=(".txt", ".wav") if is_test else (".txt",),
            single_spaces=True,
            negative=negative,
        )
    for file in sorted((folder / "test").glob("*.wav")):
        yield from _speech(submission, file)


def _speech(submission: Submission, file: Path) -> Iterator[Violation]:
    if submission.is_outside(file):
        return  # said already
    try:
        with file.open("rb") as stream, wave.open(stream) as sound:
            if sound.getnframes() == 0:
                yield Violation(submission.where(file), "holds no sound")
    except (wave.Error, EOFError, OSError) as error:
        yield Violation(submission.where(file), f"is not a WAV file of whole numbers ({error})")
