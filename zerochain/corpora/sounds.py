"""Which sound files a folder holds, which of them can't be used, and which channel is meant.

A link to a folder is followed, since recordings often lie on another disk, but every folder is
visited once: a link to where the search has been, or to a folder above, is passed over. So are
hidden files, as macOS leaves them beside every file on other systems' disks (._a.wav). What can't
be used is kept with its reason, as `Bad`, so that an import can list all of it at once.

Telephone calls and interviews with two microphones have a speaker on each channel; the mean of
the channels would be two people talking at once.
"""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from zerochain import audio
from zerochain.errors import InputError, counted, listed, printable
from zerochain.formats.corpus import Utterance


class Bad(NamedTuple):
    """A file, or an utterance in it, that can't be used, and the reason."""

    file: str
    reason: str
    id: str = ""
    """Of the utterance that is lost; empty where the file belongs to no known utterance."""


def unusable(path: Path, error: InputError | OSError, name: str | None = None) -> Bad:
    """A file of annotations that can't be read or used, with the likely cause and the fix.

    Args:
        name: of the recording in it, where it is of several.
    """
    if isinstance(error, OSError):
        error = InputError(f"can't be read ({error.strerror})", remedy="check who may read it")
    return Bad(str(path), reason(error, "" if name is None else f" (in {name!r})"))


def reason(error: InputError, where: str = "") -> str:
    """What was found, `where`, with the likely cause and the fix, on one line."""
    more = {"likely cause": error.cause, "fix": error.remedy}
    return "; ".join([error.found + where, *(f"{k}: {v}" for k, v in more.items() if v)])


def check_path(folder: Path) -> None:
    """Raise InputError if no corpus could refer to a folder, since its path isn't text."""
    if any(unicodedata.category(c) in {"Cs", "Cc"} for c in str(folder)):
        raise InputError(
            "the folder's path is not text",
            path=printable(str(folder)),
            cause="it was named in an encoding other than UTF-8, or with control characters",
            remedy="rename the folder",
        )


UNREAD = (
    frozenset({".m4a", ".m4b", ".aac", ".mp4", ".m4v", ".mov", ".3gp", ".3gpp", ".3g2", ".amr"})
    | {".awb", ".wma", ".wmv", ".asf", ".webm", ".mka", ".mkv", ".avi", ".flv", ".mpg", ".mpeg"}
    | {".mts", ".m2ts", ".vob", ".ogv", ".ra", ".rm", ".ram", ".dss", ".ds2", ".ape", ".wv"}
    | {".tta", ".shn", ".spx", ".qcp", ".gsm", ".g722", ".g729", ".vox", ".pcm", ".al", ".ul"}
    | {".ac3", ".dts", ".mpc"}
)
"""Suffixes of sound, and of video with sound, that libsndfile doesn't read."""
_RARE = frozenset(
    {".wv1", ".wv2", ".avr", ".pvf", ".paf", ".svx", ".8svx", ".iff"}
    | {".sds", ".sf", ".ircam", ".xi", ".htk", ".sd2", ".mp1", ".amb"}
)
"""Suffixes of sound but also of other files: such a file has to begin like sound."""


@dataclass(frozen=True)
class Sounds:
    """The sound files of a folder."""

    files: list[str]
    """Relative to the folder, named as on the disk, sorted."""
    bad: list[Bad]
    """Links and folders that may hide recordings."""
    record: dict[str, Any]
    """The other files: how many of each suffix, how many hidden, which are sound in other formats
    (by suffix), which links are broken or lead to what is there under its own name."""


def sound_files(recordings: Path) -> Sounds:
    """The sound files of a folder and its subfolders, including linked folders.

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


def stem(file: str) -> str:
    """A path without its suffix: the id of a whole recording."""
    return PurePosixPath(file).with_suffix("").as_posix()


def conversion(file: str) -> str:
    """The command that converts sound in a format that isn't read."""
    return f"ffmpeg -i {shlex.quote(file)} {shlex.quote(str(Path(file).with_suffix('.wav')))}"


def _is_sound(root: Path, file: str) -> bool:
    if suffix(file) in audio.SUFFIXES or suffix(file) not in _RARE:
        return suffix(file) in audio.SUFFIXES
    try:
        audio.info(root / file)
    except InputError as error:  # but a damaged recording counts, and is reported later
        return not error.found.startswith(("not a readable sound file", "the file is empty"))
    return True


def _unread(files: Iterable[str], sounds: Collection[str]) -> dict[str, list[str]]:
    """Sound in other formats by suffix, unless it was converted: a.m4a next to a.wav."""
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
        cause="it is another folder, or the recordings are in a format that isn't read",
        remedy=remedy,
    )


@dataclass
class Found:
    """What a search found; paths are relative to where it began."""

    files: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    """Folders that can't be opened, and broken links with a wanted suffix."""
    links: list[str] = field(default_factory=list)
    """Links to what is found under its own name."""
    broken: list[str] = field(default_factory=list)
    """Other broken links."""


def search(folder: Path, wanted: Collection[str]) -> Found:
    """What is in a folder and its subfolders, including linked folders.

    Args:
        wanted: suffixes in lower case; broken links with such a suffix are bad.

    Raises:
        InputError: the folder can't be opened.
    """
    return _Search(folder, wanted).found()


class _Search:
    """A walk through a folder; `real` paths have their links resolved, to visit each once."""

    def __init__(self, root: Path, wanted: Collection[str]) -> None:
        self._root, self._wanted = root, wanted
        self._home = os.path.realpath(root)
        self._found = Found()
        self._folders = [("", self._home)]
        self._been: set[str] = set()
        self._files: set[str] = set()
        self._folder_links: list[tuple[str, str, str]] = []
        self._file_links: list[tuple[str, str]] = []

    def found(self) -> Found:
        """All files but the hidden ones, sorted."""
        while self._folders or self._folder_links:
            # What can be reached without a link goes by that name, so links wait until the end.
            if not self._folders:
                self._follow(*self._folder_links.pop(0))
            else:
                self._visit(*self._folders.pop())
                self._folder_links.sort()
        for path, real in self._file_links:
            (self._found.links if real in self._files else self._found.files).append(path)
        self._found.files.sort()
        return self._found

    def _follow(self, path: str, real: str, holder: str) -> None:
        above = any(Path(place).is_relative_to(real) for place in (holder, self._home))
        if real in self._been or above:
            self._found.links.append(path)
        else:
            self._folders.append((path, real))

    def _visit(self, path: str, real: str) -> None:
        if real in self._been:
            return
        self._been.add(real)
        try:
            with os.scandir(real) as entries:
                for entry in entries:
                    self._sort(f"{path}/{entry.name}" if path else entry.name, entry, real)
        except OSError as error:
            why = f"the folder can't be opened ({error.strerror})"
            if not path:
                raise InputError(
                    why, path=self._root, remedy="ask its owner for permission"
                ) from error
            self._found.bad.append(Bad(printable(path), why))

    def _sort(self, path: str, entry: os.DirEntry[str], holder: str) -> None:
        if entry.name.startswith("."):
            self._found.hidden += _files(path, entry)
        elif entry.is_symlink():
            self._sort_link(path, entry.path, holder)
        elif entry.is_dir():
            self._folders.append((path, entry.path))
        elif entry.is_file():
            self._found.files.append(path)
            self._files.add(entry.path)

    def _sort_link(self, path: str, link: str, holder: str) -> None:
        real = os.path.realpath(link)
        if Path(real).is_dir():
            self._folder_links.append((path, real, holder))
        elif Path(real).is_file():
            self._file_links.append((path, real))
        elif PurePosixPath(path).suffix.lower() in self._wanted:
            why = f"a link to {printable(str(Path(link).readlink()))}, where there is no file"
            self._found.bad.append(Bad(printable(path), why))
        elif not Path(real).exists():
            self._found.broken.append(path)


def _files(path: str, hidden: os.DirEntry[str]) -> list[str]:
    """A hidden file, or all files of a hidden folder."""
    if not hidden.is_dir(follow_symlinks=False):
        return [path] if hidden.is_file() else []
    return [f"{path}/{name}" for _, _, names in os.walk(hidden.path) for name in names]


_NAMES = {"left": 1, "l": 1, "a": 1, "right": 2, "r": 2, "b": 2}
_MOST = 1024  # the most that libsndfile reads


def channel_of(text: str) -> int | None:
    """A channel's number, counted from 1: `2`, `left` and `right`, `A` and `B`; None is `mix`.

    Raises:
        InputError: none of these.
    """
    name = text.strip().lower()
    if name == "mix":
        return None
    number = _NAMES.get(name)
    if number is None and name.removesuffix(".0").isdecimal():  # a spreadsheet's 1.0
        number = int(name.removesuffix(".0"))
    if number is None or not 1 <= number <= _MOST:
        raise InputError(
            f"{text!r} is not a channel",
            remedy="write left, right, A, B or a number counted from 1",
        )
    return number


def expand_channels(
    utterances: Iterable[Utterance], root: Path, choice: str | None
) -> tuple[Utterance, ...]:
    """The utterances of the chosen channel, or of each channel.

    With `each`, an utterance of a recording of two channels becomes two, `ID_ch1` and `ID_ch2`;
    one of a single channel stays as it is. Each channel is a speaker of its own: `ana_ch1` and
    `ana_ch2` where the speaker is known to be ana, else `RECORDING_ch1` and `RECORDING_ch2`, as
    Kaldi's recipes count the sides of a telephone call: who they are and whether they speak in
    other recordings is unknown, but they are two.

    Args:
        utterances: of any recordings in `root`.
        choice: mix, left, right, a number counted from 1, or each; None leaves all as they are.

    Raises:
        InputError: no such choice, the utterances name their channels themselves, or one to be
            split has a text, which belongs to one of the channels.
    """
    chosen = tuple(utterances)
    if choice is None:
        return chosen
    each = choice.strip().lower() == "each"
    number = None if each else _chosen(choice)
    if any(u.channel is not None for u in chosen):
        raise InputError(
            f"channel={choice!r} is given, but the table, or Kaldi's directory, already names the "
            "channels of utterances",
            remedy="leave one of them out",
        )
    if each:
        channels_in = cache(n_channels)
        return tuple(one for u in chosen for one in _split(u, channels_in(root / u.audio) or 1))
    return tuple(replace(u, channel=number) for u in chosen)


def suffixed(name: str, channel: int | None) -> str:
    """An id or a speaker of one channel: `call_ch1`."""
    return name if channel is None else f"{name}_ch{channel}"


def part_id(file: str, start: float | None, end: float | None, channel: int | None) -> str:
    """The file's path without its suffix; with the segment's milliseconds and the channel."""
    name = stem(file)
    if start is not None or end is not None:
        last = "end" if end is None else f"{round(end * 1000):08d}"
        name = f"{name}_{round((start or 0.0) * 1000):08d}-{last}"
    return suffixed(name, channel)


def _chosen(choice: str) -> int | None:
    try:
        return channel_of(choice)
    except InputError as error:
        raise InputError(
            f"channel={choice!r} is not a channel",
            remedy="choose mix, left, right, each, or a number counted from 1",
        ) from error


def _split(utterance: Utterance, n: int) -> Sequence[Utterance]:
    if n == 1:
        return [utterance]
    if utterance.text is not None:
        raise InputError(
            f"channel='each' is given, but {utterance.id!r} has a text, and which of its "
            f"{n} channels it belongs to is unknown",
            remedy="name it in a column 'channel' of a table=, or leave out the texts",
        )
    return [
        replace(
            utterance,
            id=suffixed(utterance.id, channel),
            speaker=suffixed(utterance.speaker or stem(utterance.audio), channel),
            channel=channel,
        )
        for channel in range(1, n + 1)
    ]


OVERSHOOT_S = 0.5
"""How far an utterance may reach beyond its recording; it is cut there. Kaldi's --max-overshoot."""
ROUNDING_S = 0.01
"""Times that are rounded may lie this far behind the end, and need no word."""


def within_recordings(
    utterances: tuple[Utterance, ...], folder: Path
) -> tuple[tuple[Utterance, ...], list[str]]:
    """The utterances, those that reach a little beyond their recording cut there, and a note."""
    lasting = cache(duration_s)

    def within(u: Utterance) -> Utterance:
        lasts = None if u.end is None else lasting(folder / u.audio)
        if u.end is None or lasts is None or not (u.start or 0.0) < lasts:
            return u
        return replace(u, end=lasts) if ROUNDING_S < u.end - lasts <= OVERSHOOT_S else u

    kept = tuple(map(within, utterances))
    n_cut = sum(one != other for one, other in zip(kept, utterances, strict=True))
    notes = [f"{counted(n_cut, 'utterance')} cut where the recording ends"] if n_cut else []
    return kept, notes


def duration_s(path: Path) -> float | None:
    """How long a recording lasts; None if it can't be read, which the import reports later."""
    header = _header(path)
    return None if header is None else header.duration_s


def n_channels(path: Path) -> int | None:
    """The number of channels; None if the file can't be read, which the import reports later."""
    header = _header(path)
    return None if header is None else header.n_channels


def _header(path: Path) -> audio.AudioInfo | None:
    try:
        return audio.info(path)
    except (InputError, OSError, ValueError):
        return None
