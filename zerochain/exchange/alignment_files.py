"""Alignments in .phn, .phones and CTM files: the formats other than TextGrid.

.phn is TIMIT's `onset offset label`, in samples there and in seconds elsewhere; .phones may be the
same or Buckeye's, as ESPS xlabel writes it: a header that ends with "#", then `offset color label`.
CTM is NIST's and Kaldi's `id channel onset duration label`, in seconds, a whole corpus in one file;
so is ZeroSpeech's .phn or .wrd, `name onset offset label`. The others don't say which unit their
times have: it is worked out from the recording's length, and refused where that is ambiguous.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from zerochain.errors import InputError
from zerochain.exchange.textgrid import Interval
from zerochain.formats.identity import utterance_id
from zerochain.formats.text_files import fields_of, lines_of, read_text

BEYOND_S = 0.05
"""How much later than its recording an alignment may end: the aligner's last frame is padded."""
_TIMIT_RATE = 16_000
_WHOLE_SHARE, _FEW = 0.75, 0.1
_NO_SAMPLES = {1000: "milliseconds", 200: "frames of 5 ms", 100: "frames of 10 ms",
               50: "frames of 20 ms", 10**7: "HTK's units of 100 ns"}  # fmt: skip
"""Units of time that whole numbers may count, by how many make a second."""
_CTM_COLUMNS = range(5, 9)  # confidence, type and speaker may follow the label

_MARKS = _BEGIN, _NEXT, _END = "<ALT_BEGIN>", "<ALT>", "<ALT_END>"
"""NIST's marks around and between alternatives, such as two readings of a blurred word."""

CtmLines = dict[str, dict[str, list[Interval]]]
"""Intervals by id and channel."""


class Ctm(NamedTuple):
    """What a CTM holds."""

    by_id: CtmLines
    n_alternatives: int
    """Lines of NIST's alternatives that are left out, all but the first of each place."""


def read_phn(
    path: Path,
    duration_s: float,
    *,
    recording_s: float | None = None,
    sample_rate: int = _TIMIT_RATE,
) -> list[Interval]:
    """Lines `onset offset label`, in seconds or in samples, sorted; or an ESPS xlabel file.

    A line whose third column between tabs is empty is a gap, as Audacity's labels without a text.

    Times are samples if all are whole numbers and the last is more than 100 times the duration:
    samples at the recording's own rate or, as TIMIT's, at 16 kHz, whichever fits.

    Args:
        duration_s: of the utterance.
        recording_s: of the recording that it is cut from, if it is.
        sample_rate: of the recording, as its file has it.

    Raises:
        InputError: no label, a line of another form, samples that fit both rates, or whole numbers
            that count something else, such as milliseconds.
    """
    lines = [
        (i, fields_of(line))
        for i, line in enumerate(_lines(path), 1)
        if not re.fullmatch(r"[^\t]+\t[^\t]+\t\s*", line)
    ]
    lines = [(i, fields) for i, fields in lines if fields]
    if any(fields == ["#"] for _, fields in lines):
        return _xlabel(lines, path)
    if not lines:
        raise InputError("holds no phone", path=path)
    for i, fields in lines:
        if len(fields) != 3:
            raise InputError(
                f"line {i}: 'onset offset phone' expected, found {' '.join(fields)!r}", path=path
            )
    times = [(time(fields[0], i, path), time(fields[1], i, path)) for i, fields in lines]
    whole = all(text.isdecimal() for _, fields in lines for text in fields[:2])
    total_s = max(duration_s, recording_s or 0.0)
    last = max(offset for _, offset in times)
    scale = 1.0
    if whole and last > total_s + BEYOND_S:
        are_samples = last > 100 * duration_s
        _refuse_other_units(last, (duration_s, total_s), sample_rate, are_samples, path)
        if are_samples:
            scale = 1 / _rate(last, duration_s, total_s, sample_rate, path)
    intervals = [
        Interval(f"line {i}", onset * scale, offset * scale, fields[2])
        for (i, fields), (onset, offset) in zip(lines, times, strict=True)
    ]
    return sorted(intervals, key=_by_time)


def read_ctm(path: Path) -> Ctm:
    """Lines `id channel onset duration label`, in seconds, sorted by onset.

    A confidence, NIST's type and a speaker may follow. Channels are as the file writes them. Of
    NIST's alternatives the first is read.

    Raises:
        InputError: a line of another form, or a mark of alternatives out of place.
    """
    by_id: CtmLines = defaultdict(lambda: defaultdict(list))
    alternative = n_left_out = 0  # alternative 0 is outside of any
    for i, line in enumerate(_lines(path), 1):
        fields = fields_of(line)
        if not fields or fields[0].startswith(";;"):
            continue
        if mark := next((one for field in fields[2:] if (one := field.upper()) in _MARKS), None):
            alternative = _alternative(mark, alternative, i, path)
            continue
        if len(fields) not in _CTM_COLUMNS:
            raise InputError(
                f"line {i}: 'id channel onset duration phone' expected, found {line!r}",
                path=path,
                remedy="fix the line",
            )
        onset, lasting = time(fields[2], i, path), time(fields[3], i, path)
        if alternative > 1:
            n_left_out += 1
            continue
        interval = Interval(f"line {i}", onset, round(onset + lasting, 9), fields[4])
        by_id[utterance_id(fields[0])][fields[1]].append(interval)
    if alternative:
        raise InputError(
            f"ends within alternatives, without {_END}", path=path, cause="it was cut short"
        )
    for channels in by_id.values():
        for intervals in channels.values():
            intervals.sort(key=_by_time)
    return Ctm(by_id, n_left_out)


def _alternative(mark: str, current: int, line: int, path: Path) -> int:
    """The number of the alternative that a mark begins; 0 behind the last."""
    if (mark == _BEGIN) == bool(current):
        raise InputError(
            f"line {line}: {mark} {'within' if current else 'outside of'} alternatives",
            path=path,
            remedy=f"write {_BEGIN}, the alternatives with {_NEXT} between them, {_END}",
        )
    return 0 if mark == _END else current + 1


def is_of_many(path: Path) -> bool:
    """Whether a file has lines `name onset offset label`, by its first; a .phn has three fields."""
    first = next((fields for line in _lines(path) if (fields := fields_of(line))), [])
    return len(first) == 4 and all(_is_number(text) for text in first[1:3])


def read_of_many(path: Path) -> dict[str, list[Interval]]:
    """Lines `name onset offset label` of many recordings, in seconds, sorted by onset.

    Raises:
        InputError: a line of another form.
    """
    by_id: dict[str, list[Interval]] = defaultdict(list)
    for i, line in enumerate(_lines(path), 1):
        fields = fields_of(line)
        if not fields:
            continue
        if len(fields) != 4:
            raise InputError(f"line {i}: 'name onset offset label' expected: {line!r}", path=path)
        onset, offset = time(fields[1], i, path), time(fields[2], i, path)
        by_id[utterance_id(fields[0])].append(Interval(f"line {i}", onset, offset, fields[3]))
    for intervals in by_id.values():
        intervals.sort(key=_by_time)
    return by_id


def time(text: str, line: int, path: Path) -> float:
    """A finite number of seconds or samples."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"line {line}: {text!r} is not a time",
            path=path,
            cause="the decimal point is a comma"
            if "," in text
            else "a header, or a line cut short",
            remedy="write times as numbers of seconds, with a point",
        )
    return value


def _by_time(interval: Interval) -> tuple[float, float]:
    return interval.onset, interval.offset


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _lines(path: Path) -> list[str]:
    """Lines in Unicode's composed form, so that one letter is one phone however it was typed."""
    return lines_of(unicodedata.normalize("NFC", read_text(path)))


def _refuse_other_units(
    last: float, lasting_s: Iterable[float], own: int, are_samples: bool, path: Path
) -> None:
    """Raise InputError where times fit the recording in another unit, but not as samples.

    Samples that end in the first tenth of a recording don't fit: milliseconds are more likely.
    """

    def ends(per_s: int) -> bool:
        return any(_ends(last / per_s, one) for one in lasting_s)

    def share(per_s: int) -> float:
        return max(last / per_s / one for one in lasting_s)

    units = [name for per_s, name in _NO_SAMPLES.items() if ends(per_s)]
    rate = min(own, _TIMIT_RATE)
    if are_samples and not units and share(rate) < _FEW:  # the end may have no label
        units = [name for per_s, name in _NO_SAMPLES.items() if share(per_s) <= 1 < rate / per_s]
    if units and not (ends(own) or ends(_TIMIT_RATE)):
        raise InputError(
            f"its times are whole numbers up to {last:g}, neither seconds nor samples: they may be "
            f"{units[0]}",
            path=path,
            remedy="write the times in seconds",
        )


def _ends(last_s: float, lasting_s: float) -> bool:
    """Whether a recording of this length may well have its last label end there."""
    return _WHOLE_SHARE * lasting_s <= last_s <= lasting_s + BEYOND_S


def _rate(last: float, duration_s: float, total_s: float, own: int, path: Path) -> int:
    """The sample rate at which the last sample lies in the recording."""
    rates = sorted({own, _TIMIT_RATE})
    fitting = [rate for rate in rates if last / rate <= total_s + BEYOND_S]
    if len(fitting) < 2:
        return fitting[0] if fitting else own
    # At the lower rate it lasts longer; labels for only half of a recording are unlikely.
    ends = last / fitting[0]
    if any(_ends(ends, one) for one in (duration_s, total_s)):
        return fitting[0]
    raise InputError(
        f"counts samples, the last is {last:g}, and that fits {duration_s:.3f} s at "
        f"{' Hz as well as at '.join(map(str, fitting))} Hz",
        path=path,
        remedy="write the times in seconds",
    )


def _xlabel(lines: list[tuple[int, list[str]]], path: Path) -> list[Interval]:
    """Buckeye's and ESPS's labels; each begins where the one before it ends."""
    begin = next(k for k, (_, fields) in enumerate(lines) if fields == ["#"]) + 1
    intervals: list[Interval] = []
    onset = 0.0
    for i, fields in lines[begin:]:
        if len(fields) < 2:
            raise InputError(f"line {i}: 'offset color phone' expected", path=path)
        offset = time(fields[0], i, path)
        label = " ".join(fields[2:]).split(";")[0].strip()  # Buckeye's comments follow a semicolon
        if label:
            intervals.append(Interval(f"line {i}", onset, offset, label))
        onset = offset
    if not intervals:
        raise InputError("holds no phone", path=path)
    return intervals
