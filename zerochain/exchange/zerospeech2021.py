"""Submissions to the server of ZeroSpeech 2021, their phonetic part: vectors of each recording.

    meta.yaml
    code/                                                where there is any
    phonetic/{dev,test}-{clean,other}/<id>.txt           a frame a line

The lexical, syntactic and semantic parts are of language models; they may be there and aren't
checked. meta.yaml has to speak of the semantic part even where there is none. The layout is that of
the challenge and its tools (zerospeech2021-validate); what the successors take is in `abxls`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from zerochain.exchange.submission_rules import Submission, Violation

SUBSETS = ("dev-clean", "dev-other", "test-clean", "test-other")
METRICS = ("cosine", "euclidean", "kl", "kl_symmetric")
POOLINGS = ("min", "max", "mean", "sum", "last", "lastlast")
OTHER_PARTS = ("lexical", "syntactic", "semantic")
SCHEMA = {
    "author": str,
    "affiliation": str,
    "description": str,
    "open_source": bool,
    "train_set": str,
    "gpu_budget": float,
    "parameters": {
        "phonetic": {"metric": METRICS, "frame_shift": float},
        "semantic": {"metric": str, "pooling": POOLINGS},
    },
}
_BELOW_ZERO = "which has no KL divergence (the phonetic metric is {})"


def vector_folder(root: Path, subset: str) -> Path:
    """Where a subset's vectors lie."""
    return root / "phonetic" / subset


def read_metadata(root: Path) -> dict[str, Any]:
    """What meta.yaml says, as far as it can be read."""
    return Submission(root).metadata(root / "meta.yaml", SCHEMA)[0]


def check(
    root: Path,
    expected: Mapping[str, Collection[str]] | None = None,
    *,
    subsets: Collection[str] = SUBSETS,
) -> Iterator[Violation]:
    """Every violation of the rules, one by one.

    Args:
        expected: subset → the names of files that it has to hold, and no others.
        subsets: those that have to be there.
    """
    submission, expected = Submission(root), expected or {}
    yield from submission.entries(root, ("meta.yaml", "phonetic"), ("code", *OTHER_PARTS))
    metadata, violations = submission.metadata(root / "meta.yaml", SCHEMA)
    yield from violations
    phonetic = metadata.get("parameters", {}).get("phonetic", {})
    shift, metric = phonetic.get("frame_shift"), phonetic.get("metric")
    if isinstance(shift, float) and not 0 < shift < 1:
        found = f"entry 'parameters/phonetic/frame_shift' is {shift}, which are no seconds"
        yield Violation("meta.yaml", found)
    if not (root / "phonetic").is_dir():
        return
    yield from submission.entries(root / "phonetic", subsets, SUBSETS)
    negative = _BELOW_ZERO.format(metric) if str(metric).startswith("kl") else ""
    for subset in SUBSETS:
        if vector_folder(root, subset).is_dir():
            yield from submission.vectors(
                vector_folder(root, subset),
                expected.get(subset),
                only_expected=True,
                min_lines=2,
                negative=negative,
            )
