"""The sound files of a folder: what is there, what can't be read, and where its links lead."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from zerochain import audio
from zerochain.corpora.bad import Bad, printable
from zerochain.corpora.search import search
from zerochain.errors import InputError, listed

UNREAD = (
    frozenset({".m4a", ".m4b", ".aac", ".mp4", ".m4v", ".mov", ".3gp", ".3gpp", ".3g2", ".amr"})
    | {".awb", ".wma", ".wmv", ".asf", ".webm", ".mka", ".mkv", ".avi", ".flv", ".mpg", ".mpeg"}
    | {".mts", ".m2ts", ".vob", ".ogv", ".ra", ".rm", ".ram", ".dss", ".ds2", ".ape", ".wv"}
    | {".tta", ".shn", ".spx", ".qcp", ".gsm", ".g722", ".g729", ".vox", ".pcm", ".al", ".ul"}
    | {".ac3", ".dts", ".mpc"}
)
"""Suffixes of sound, and of film with sound, that libsndfile doesn't read."""
_RARE = frozenset(
    {".wv1", ".wv2", ".avr", ".pvf", ".paf", ".svx", ".8svx", ".iff"}
    | {".sds", ".sf", ".ircam", ".xi", ".htk", ".sd2", ".mp1", ".amb"}
)
"""Suffixes of sound, but of other things as well: such a file has to begin like sound."""


@dataclass(frozen=True)
class Sounds:
    """The sound files of a folder."""

    files: list[str]
    """Relative to the folder, named as on the disk, sorted."""
    bad: list[Bad]
    """Links and folders behind which there may be recordings that can't be reached."""
    record: dict[str, Any]
    """The other files: how many of each suffix, how many hidden, which are sound of other formats
    (by suffix), which links lead nowhere or to what is there under its own name."""


def sound_files(recordings: Path) -> Sounds:
    """The sound files of a folder and of its subfolders, links to folders among them.

    Raises:
        InputError: not a folder, or no sound file in it.
    """
    if not recordings.is_dir():
        raise InputError("no such folder", path=recordings, remedy="check the path")
    found = search(recordings, audio.SUFFIXES | UNREAD)
    files = [file for file in found.files if _is_sound(recordings, file)]
    rest = sorted(set(found.files) - set(files))
    others = Counter(printable(PurePosixPath(file).suffix) for file in rest)
    unread = _unread(rest, files)
    if not files and not found.bad:
        _refuse(recordings, others, unread)
    record = {
        "other_files": dict(sorted(others.items())),
        "unread": unread,
        "hidden": len(found.hidden),
        "links_passed_over": sorted(map(printable, found.links)),
        "links_to_nowhere": sorted(map(printable, found.broken)),
    }
    return Sounds(files, found.bad, record)


def suffix(file: str) -> str:
    """The suffix in lower case: TIMIT's recordings are called .WAV."""
    return PurePosixPath(file).suffix.lower()


def conversion(file: str) -> str:
    """The command that converts sound of a format that isn't read."""
    return f"ffmpeg -i {shlex.quote(file)} {shlex.quote(str(Path(file).with_suffix('.wav')))}"


def _is_sound(root: Path, file: str) -> bool:
    if suffix(file) in audio.SUFFIXES or suffix(file) not in _RARE:
        return suffix(file) in audio.SUFFIXES
    try:
        audio.info(root / file)
    except InputError as error:  # a recording that is cut short or damaged is to be listed
        return not error.found.startswith(("not a readable sound file", "the file is empty"))
    return True


def _unread(files: Iterable[str], sounds: Collection[str]) -> dict[str, list[str]]:
    """Sound of other formats by suffix, unless it was converted: a.m4a beside a.wav."""
    converted = {PurePosixPath(file).with_suffix("") for file in sounds}
    unread: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if suffix(file) in UNREAD and PurePosixPath(file).with_suffix("") not in converted:
            unread[suffix(file)].append(printable(file))
    return dict(sorted(unread.items()))


def _refuse(recordings: Path, others: Counter[str], unread: dict[str, list[str]]) -> None:
    what = listed([f"{n} {suffix or '(no suffix)'}" for suffix, n in sorted(others.items())])
    remedy = f"convert them to one of {', '.join(sorted(audio.SUFFIXES))}"
    if unread:
        first = next(iter(unread.values()))[0]
        remedy = f"convert them: {conversion(str(recordings / first))}"
    raise InputError(
        f"holds no sound file; it holds {what or 'nothing'}",
        path=recordings,
        cause="it is another folder, or the recordings are of a format that isn't read",
        remedy=remedy,
    )
