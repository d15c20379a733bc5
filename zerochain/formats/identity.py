"""Ids: the SHA-256 of files, and what an utterance's id may look like.

An utterance's id is a relative path in Unicode's composed form (NFC), so that ids from any file
system join; it names output files, so it can't leave its folder. Readers check ids once, where a
file enters (`check_ids`); behind them only joins are checked (`check_same_ids`).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from zerochain.errors import InputError, counted, listed


def file_id(*paths: Path) -> str:
    """SHA-256 of the files' bytes, one after the other, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def short(identity: str) -> str:
    """The first 12 digits of an id, enough for people to compare."""
    return identity[:12]


def composed(text: str) -> str:
    """Text in Unicode's composed form (NFC), in which one letter is written in one way."""
    return unicodedata.normalize("NFC", text)


def same_name(one: str | None, other: str | None) -> bool:
    """Whether two names are the same in Unicode's composed form."""
    return one == other or (
        one is not None and other is not None and composed(one) == composed(other)
    )


def utterance_id(text: str) -> str:
    """An utterance's id in Unicode's composed form, so that ids from any file system join.

    Raises:
        InputError: empty, with control characters, or a path that leaves its folder.
    """
    name = composed(text)
    if (
        not name
        or name != name.strip()
        or not name.isprintable()
        or "\\" in name
        or any(part in {"", ".", ".."} for part in name.split("/"))
    ):
        if "\\" in name:
            raise InputError(
                f"{text!r} can't be an utterance's id: it has a backslash",
                cause="a path as Windows writes it",
                remedy="write / between folders",
            )
        raise InputError(
            f"{text!r} can't be an utterance's id",
            cause="ids name output files, so they may not be empty, hold control characters, "
            "start or end with a space, or leave their folder",
            remedy="rename it",
        )
    return name


def foreign_id(text: str, *, folders: bool = True, suffix: str = "") -> str:
    """The id in a name that another program wrote; nothing is cut off unless asked for.

    Args:
        folders: keep the folders before the name.
        suffix: what every name ends with but no id does: ".wav".

    Raises:
        InputError: the name doesn't end with the suffix, or what is left can't be an id.
    """
    if suffix and not text.endswith(suffix):
        raise InputError(
            f"{text!r} doesn't end with {suffix!r}", remedy="give the suffix that all names have"
        )
    name = text.removesuffix(suffix) if suffix else text
    return utterance_id(name if folders else name.rpartition("/")[2])


def ids_by_name(ids: Iterable[str], where: str) -> dict[str, str]:
    """The last part of each id → the id.

    Raises:
        InputError: two ids have the same last part.
    """
    by_name: dict[str, str] = {}
    for one in ids:
        name = one.rpartition("/")[2]
        if by_name.setdefault(name, one) != one:
            raise InputError(
                f"{by_name[name]!r} and {one!r} of the {where} have the same last part",
                cause="ids are paths, and a name occurs in two folders",
                remedy="give whole paths as ids, or import the recordings under other names",
            )
    return by_name


def check_unique(ids: Iterable[str], path: Path, column: str = "id") -> None:
    """Raise InputError listing every id that occurs more than once."""
    repeated = [name for name, count in Counter(iter(ids)).items() if count > 1]
    if repeated:
        raise InputError(
            f"column {column!r} holds {counted(len(repeated), 'duplicate id')}: {listed(repeated)}",
            path=path,
            cause="two tables were joined, or two files share a name",
            remedy="give every utterance its own id",
        )


def check_ids(ids: Collection[str], path: Path, column: str = "id") -> None:
    """Raise InputError unless every id occurs once and is as `utterance_id` gives it."""
    check_unique(ids, path, column)
    for name in ids:
        try:
            same = utterance_id(name) == name
        except InputError as error:
            raise InputError(
                error.found, path=path, cause=error.cause, remedy=error.remedy
            ) from error
        if not same:
            raise InputError(
                f"id {name!r} is not in Unicode's composed form (NFC)",
                path=path,
                remedy="import the recordings again",
            )


def check_same_ids(left: Collection[str], right: Collection[str], what: str, where: str) -> None:
    """Raise InputError listing the ids of `left` that `right` lacks; extra ids in `right` are fine.

    Args:
        left, right: the ids needed and the ids that are there.
        what, where: how to name both sides in the error, e.g. "units" and "corpus demo".
    """
    there = set(right)
    missing = [name for name in left if name not in there]
    suffixes = {PurePosixPath(name).suffix for name in missing}
    if missing and all(name.removesuffix(PurePosixPath(name).suffix) in there for name in missing):
        raise InputError(
            f"ids of the {what} end in {listed(sorted(suffixes))}, those in the {where} don't: "
            f"{listed(missing, 3)}",
            cause="they are names of files",
            remedy="write them without; of units, 'zerochain import units --suffix' leaves it out",
        )
    if missing:
        raise InputError(
            f"{len(missing)} of {counted(len(left), 'id')} of the {what} "
            f"{'is' if len(missing) == 1 else 'are'} missing in the {where}: "
            f"{listed(missing)}",
            cause=f"the {what} and the {where} come from different corpora or splits",
            remedy="make both from the same corpus, or select the same split for both",
        )
