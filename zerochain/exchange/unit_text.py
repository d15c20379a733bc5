"""Units as other programs write them: JSONL of DiscoPhon and fastabx, text of fairseq and textless.

    {"file": "u1", "audio": "u1.wav", "units": [12, 12, 33]}        jsonl
    u1|12 12 33                                                     fairseq

Or a folder with a file for each utterance: text, or .npy (N,).

None has durations: a line holds a unit for every step, or segments without their times.

JSONL has the keys of both its readers. DiscoPhon takes "file" as it is. fastabx takes "audio"
(its default; "file" where DiscoPhon's ABX calls it) and keeps what is between the last slash and
the last dot, which is why "audio" carries a suffix: without it, an id's own dot would be cut at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted, listed
from zerochain.exchange.feature_files import feature_files, read_array
from zerochain.formats.atomic import atomic_file
from zerochain.formats.identity import foreign_id

UnitText = Literal["jsonl", "fairseq"]
UnitSource = Literal[UnitText, "files"]
_UNDECODED = re.compile("[\udc80-\udcff]")
_LARGEST = np.iinfo(np.int32).max


def write_unit_text(path: Path, kind: UnitText, units: Mapping[str, NDArray[np.int32]]) -> None:
    """Write units atomically, one utterance per line, names unchanged."""
    line = _json_line if kind == "jsonl" else _fairseq_line
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(line(name, values.tolist()) + "\n" for name, values in units.items())


def misread_by_fastabx(names: Iterable[str]) -> str:
    """Which names in JSONL fastabx and DiscoPhon's ABX can't match with an .item file.

    Returns:
        A sentence with the fix; "" where they find every utterance.
    """
    names = list(names)
    nested = [name for name in names if "/" in name]
    dotted = [name for name in names if "." in name.rpartition("/")[2]]
    if nested:
        return (
            f"folders in {counted(len(nested), 'name')} ({listed(nested, 3)}): fastabx and "
            "DiscoPhon's ABX keep the part after the last slash; write units and items with "
            "folders=False"
        )
    if dotted:
        return (
            f"a dot in {counted(len(dotted), 'name')} ({listed(dotted, 3)}): DiscoPhon's ABX cuts "
            "names at the last dot and won't find them in its .item file; fastabx does, by 'audio'"
        )
    return ""


def read_unit_text(
    path: Path, kind: UnitText, *, folders: bool = True, suffix: str = ""
) -> dict[str, NDArray[np.int32]]:
    """Read units; names stay exactly as they are, but for Unicode's composed form.

    Args:
        folders, suffix: as `foreign_id` takes them.

    Raises:
        InputError: no such file, no utterance, a line of another form, a name that can't be an id
            or occurs twice, no units, or a unit that isn't a whole number ≥ 0; the message names
            the line.
    """
    if path.is_dir():
        raise InputError(
            f"is a folder, not a file of {kind!r}",
            path=path,
            cause="it has a file for each utterance",
            remedy="give kind='files' if these hold units; if they hold vectors, use 'zerochain "
            "import features' or 'zerochain import zerospeech2019'",
        )
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    parse = _from_json if kind == "jsonl" else _from_fairseq
    units: dict[str, NDArray[np.int32]] = {}
    seen: dict[str, int] = {}
    # Undecodable bytes come through as surrogates, so that their line is refused.
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.rstrip("\n").removeprefix("\ufeff")
            if line.strip():
                text, values = _parsed(line, parse, f"{path}:{number}")
                name = _named(text, f"{path}:{number}", folders, suffix)
                if name in seen:
                    raise InputError(
                        f"{name!r} is in line {seen[name]} already",
                        path=f"{path}:{number}",
                        cause="two files were joined",
                        remedy="keep one of the two",
                    )
                units[name], seen[name] = values, number
    if not units:
        raise InputError("holds no units", path=path, remedy="make it again")
    return units


def read_unit_files(
    folder: Path, *, folders: bool = True, suffix: str = ""
) -> tuple[dict[str, NDArray[np.int32]], Mapping[str, int]]:
    """Read a folder with a file for each utterance: .txt with units between spaces or line ends, or
    .npy of whole numbers (N,).

    Args:
        folders, suffix: as `foreign_id` takes them, for paths inside the folder without .txt or
            .npy.

    Returns:
        The units, and how many other files there were, by suffix.

    Raises:
        InputError: as `feature_files`; a file without units, or with something else in it.
    """
    if folder.is_file():
        raise InputError(
            "is a file, not a folder with a file for each utterance",
            path=folder,
            remedy="give kind='jsonl' or kind='fairseq'",
        )
    files, others = feature_files(folder, folders)
    units: dict[str, NDArray[np.int32]] = {}
    for text, path in files.items():
        name = _named(text, str(path), folders, suffix)
        units[name] = _array(path) if path.suffix == ".npy" else _text(path, name)
    return units, others


def _array(path: Path) -> NDArray[np.int32]:
    array = read_array(path)
    whole = array.dtype.kind in "iu" and array.ndim == 1 and array.size > 0
    if not whole or array.min() < 0 or array.max() > _LARGEST:
        raise InputError(
            f"holds {array.dtype} of shape {array.shape}, not units: whole numbers ≥ 0 of shape "
            "(N ≥ 1,)",
            path=path,
            cause="these are vectors, or the recording is empty",
            remedy="import vectors with 'zerochain import features'",
        )
    return array.astype(np.int32)


def _text(path: Path, name: str) -> NDArray[np.int32]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        lines = [line.split() for line in stream]
    lines = [line for line in lines if line]
    if len(lines) > 1 and any(len(line) > 1 for line in lines):
        raise InputError(
            f"holds {counted(len(lines), 'line')} with several numbers each",
            path=path,
            cause="they are vectors, as in a submission to ZeroSpeech",
            remedy="import them with 'zerochain import zerospeech2019' or 'zerochain import "
            "features'; units stand in one line, or one in each line",
        )
    return _parsed(
        " ".join(word for line in lines for word in line),
        lambda text: (name, text.split()),
        str(path),
    )[1]


def _json_line(name: str, units: list[int]) -> str:
    return json.dumps({"file": name, "audio": f"{name}.wav", "units": units}, ensure_ascii=False)


def _fairseq_line(name: str, units: list[int]) -> str:
    return f"{name}|{' '.join(map(str, units))}"


def _parsed(
    line: str, parse: Callable[[str], tuple[str, Iterable[Any]]], where: str
) -> tuple[str, NDArray[np.int32]]:
    try:
        if _UNDECODED.search(line):
            raise ValueError("it is not in UTF-8")
        name, values = parse(line)
        units = [_unit(value) for value in values]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"is not a line of units ({error})",
            path=where,
            cause="the file has another format, or was cut short",
            remedy="see 'zerochain import units --help' for the formats",
        ) from error
    if not units:
        raise InputError(
            f"{name!r} has no units",
            path=where,
            cause="its recording is empty, or the program that wrote it failed",
            remedy="leave the line out",
        )
    return name, np.array(units, np.int32)


def _named(text: str, where: str, folders: bool, suffix: str) -> str:
    try:
        return foreign_id(text, folders=folders, suffix=suffix)
    except InputError as error:
        raise InputError(
            error.found,
            path=where,
            cause=error.cause,
            remedy="leave out folders with folders=False, and endings with suffix=",
        ) from error


def _from_json(line: str) -> tuple[str, list[Any]]:
    row = json.loads(line)
    names = [row.get(key) for key in ("file", "audio")] if isinstance(row, dict) else []
    name = next(
        (name for name in names if name is not None), None
    )  # polars writes null for a missing one
    if not isinstance(name, str):
        raise ValueError('it has no text "file" or "audio"')
    if not isinstance(row.get("units"), list):
        raise ValueError('it has no list "units"')
    if row.get("durations") is not None:
        raise ValueError('it has "durations", which would be lost: write a unit for every step')
    return name, row["units"]


def _from_fairseq(line: str) -> tuple[str, list[str]]:
    name, bar, text = line.rpartition("|")  # a name may hold a bar, units may not
    if not bar:
        raise ValueError("it has no |")
    return name, text.split()


def _unit(value: object) -> int:
    is_text = isinstance(value, str) and value.isascii() and value.isdigit()
    is_whole = isinstance(value, float) and value.is_integer()  # as pandas writes 12
    if not (is_text or is_whole) and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError(f"{value!r} is not a unit")
    number = int(value)  # type: ignore[call-overload]
    if not 0 <= number <= _LARGEST:
        raise ValueError(f"{value!r} is not a unit")
    return int(number)
