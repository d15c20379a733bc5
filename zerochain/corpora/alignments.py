"""Other people's alignments of phones: .phn (seconds, or TIMIT's samples), TextGrid, CTM."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from zerochain.corpora.build import Bad
from zerochain.corpora.textgrid import Interval, read_textgrid
from zerochain.errors import InputError, listed
from zerochain.formats.identity import utterance_id
from zerochain.formats.lines import lines_of, read_text
from zerochain.formats.phones import Phone, Phones

SUFFIXES = frozenset({".phn", ".textgrid", ".ctm"})
_BEYOND_S = 0.05
_ROUNDING_S = 1e-3
_TIMIT_RATE = 16_000


@dataclass(frozen=True)
class _Source:
    """An utterance's alignment: a file of its own, or its share of a CTM."""

    path: Path
    intervals: tuple[Interval, ...] | None = None

    def read(self, duration: float, tier: str | None) -> list[Interval]:
        if self.intervals is not None:
            return list(self.intervals)
        if self.path.suffix.lower() == ".phn":
            return read_phn(self.path, duration)
        return read_textgrid(self.path, tier)


def read_alignments(
    path: Path,
    durations: Mapping[str, float],
    spare: frozenset[str] = frozenset(),
    *,
    tier: str | None = None,
) -> tuple[Phones, list[Bad]]:
    """The phones of a corpus's utterances, from a folder of alignments or a single file.

    Files belong to the utterance whose id is their path in the folder, or their name alone,
    without the suffix; times are relative to the utterance's start. Gaps are fine, and so is an
    utterance without an alignment. Overlaps of up to 1 ms are rounding and mended, and phones
    that end up to 50 ms after the utterance are cut off there; anything worse makes the file
    unusable.

    Args:
        path: a folder with .phn, .TextGrid or .ctm files, or one such file.
        durations: of the utterances, in seconds, by id.
        spare: ids of recordings that are not utterances but may well have an alignment.
        tier: the TextGrids' tier; see `read_textgrid`.

    Returns:
        The phones, and the files that can't be used.

    Raises:
        InputError: no alignment, or alignments of unknown utterances.
    """
    known = durations.keys() | spare
    sources = _gather(path, known)
    unknown = [name for name in sources if name not in known]
    if unknown:
        raise InputError(
            f"{len(unknown)} of {len(sources)} alignments belong to no recording: "
            f"{listed(unknown)}",
            path=path,
            cause="the folders of recordings and alignments are laid out differently; "
            f"recordings are called {listed(list(durations), 3)}",
            remedy="name and place every alignment like its recording, but for the suffix",
        )
    by_id: dict[str, list[Phone]] = {}
    bad: list[Bad] = []
    for name, source in sources.items():
        if name not in durations:
            continue
        try:
            intervals = source.read(durations[name], tier)
            by_id[name] = _mended(intervals, durations[name])
        except InputError as error:
            bad.append(Bad(str(source.path), f"{error.found} (alignment of {name})"))
    return Phones(by_id, source=str(path)), bad


def read_phn(path: Path, duration: float) -> list[Interval]:
    """`onset offset phone` a line, in seconds, or in samples at 16 kHz as TIMIT has them.

    They are samples if all are whole numbers and the last is more than 100 times the utterance's
    duration in seconds: read as samples, it would be 16,000 times.
    """
    lines = [(i, line.split()) for i, line in enumerate(lines_of(read_text(path)), 1)]
    lines = [(i, fields) for i, fields in lines if fields]
    if not lines:
        raise InputError("holds no phone", path=path)
    for i, fields in lines:
        if len(fields) != 3:
            raise InputError(
                f"line {i}: 'onset offset phone' expected, found {' '.join(fields)!r}", path=path
            )
    whole = all(time.isdecimal() for _, fields in lines for time in fields[:2])
    in_samples = whole and int(lines[-1][1][1]) > 100 * duration
    scale = 1 / _TIMIT_RATE if in_samples else 1.0
    return [
        Interval(f"line {i}", _time(onset, i) * scale, _time(offset, i) * scale, phone)
        for i, (onset, offset, phone) in lines
    ]


def read_ctm(path: Path) -> dict[str, list[Interval]]:
    """`id channel onset duration phone` a line, in seconds, by id."""
    by_id: dict[str, list[Interval]] = defaultdict(list)
    channels: dict[str, str] = {}
    for i, line in enumerate(lines_of(read_text(path)), 1):
        fields = line.split()
        if not fields or line.startswith(";;"):
            continue
        if len(fields) not in {5, 6}:  # the sixth is a confidence
            raise InputError(
                f"line {i}: 'id channel onset duration phone' expected, found {line!r}",
                path=path,
                remedy="mend the line",
            )
        name, channel, onset = utterance_id(fields[0]), fields[1], _time(fields[2], i)
        if channels.setdefault(name, channel) != channel:
            raise InputError(
                f"line {i}: {name!r} has several channels",
                path=path,
                cause="both sides of a telephone call",
                remedy="import each channel as a recording of its own",
            )
        by_id[name].append(Interval(f"line {i}", onset, onset + _time(fields[3], i), fields[4]))
    return by_id


def _gather(path: Path, known: Set[str]) -> dict[str, _Source]:
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES]
        root = path
    elif path.is_file():
        files, root = [path], path.parent
    else:
        raise InputError("no such file or folder", path=path, remedy="check the path")
    found: list[tuple[str, _Source]] = []
    for file in files:
        if file.suffix.lower() == ".ctm":
            found += [(name, _Source(file, tuple(line))) for name, line in read_ctm(file).items()]
        else:
            name = utterance_id(file.relative_to(root).with_suffix("").as_posix())
            alone = name.split("/")[-1]
            found.append((alone if name not in known and alone in known else name, _Source(file)))
    if not found:
        raise InputError(
            "holds no alignment",
            path=path,
            remedy="alignments are .phn, .TextGrid or .ctm files",
        )
    twice = [name for name, n in Counter(name for name, _ in found).items() if n > 1]
    if twice:
        raise InputError(
            f"{len(twice)} utterances have two alignments: {listed(twice)}",
            path=path,
            cause="formats are mixed in the folder",
            remedy="leave one alignment for every utterance",
        )
    return dict(found)


def _mended(intervals: list[Interval], duration: float) -> list[Phone]:
    phones: list[Phone] = []
    for place, onset, offset, label in intervals:
        previous = phones[-1].offset if phones else 0.0
        if not (math.isfinite(onset) and previous - _ROUNDING_S <= onset < offset):
            raise InputError(
                f"{place}: {label!r} from {onset:g} to {offset:g} s follows a phone that ends at "
                f"{previous:g} s"
            )
        if offset > duration + _BEYOND_S:
            raise InputError(
                f"{place}: {label!r} ends at {offset:g} s, the utterance at {duration:.3f} s"
            )
        phone = Phone(max(onset, previous), min(offset, duration), label)
        if phone.offset <= phone.onset:
            raise InputError(f"{place}: {label!r} at {onset:g} s lasts no time in the recording")
        phones.append(phone)
    return phones


def _time(text: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"line {line}: {text!r} is not a time")
    return value
