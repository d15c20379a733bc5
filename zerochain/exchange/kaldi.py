"""Import a Kaldi data directory: wav.scp, and if there are any segments, utt2spk and text.

Directories come in as recipes and lhotse leave them. Transcripts and speakers may be known of some
utterances only, filtering leaves entries of utterances that are gone, a segment may reach half a
second beyond its recording (as in Kaldi's extract-segments), and wav.scp may hold commands that
only decode a file. What was cut, is missing or left over is counted in the corpus's record.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from zerochain import audio
from zerochain.corpora.build import UNKNOWN, build_corpus
from zerochain.corpora.sounds import OVERSHOOT_S, ROUNDING_S, Bad, expand_channels
from zerochain.errors import InputError, counted, listed
from zerochain.exchange.alignment_times import Clock
from zerochain.exchange.alignments import read_alignments
from zerochain.exchange.kaldi_pipes import decoded_file
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.identity import check_unique, utterance_id
from zerochain.formats.inside import resolved
from zerochain.formats.text_files import fields_of, lines_of, read_text

_BY_SPEAKER = "spk2utt"
_MISSING = "None"
"""What lhotse writes for an unknown speaker or transcript."""


@dataclass(frozen=True)
class _Recording:
    """An entry of wav.scp."""

    path: Path
    channel: int | None = None
    """The one that its command selects, counted from 1."""
    side: int | None = None
    """The one that reco2file_and_channel names: of the file only if that has several."""
    rate: int | None = None
    """The rate that its command converts it to (Hz)."""
    called: str = ""
    """What reco2file_and_channel calls its file, and NIST's CTMs with it."""

    @cached_property
    def header(self) -> audio.AudioInfo | None:
        """None where it can't be read, which the decoder reports later."""
        try:
            return audio.info(self.path)
        except InputError:
            return None


@dataclass(frozen=True)
class _Segment:
    """A line of segments, or a whole recording."""

    recording: str
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    """Counted from 1."""

    def __str__(self) -> str:
        return f"{self.start} … {'end' if self.end is None else self.end} s of {self.recording!r}"


def import_kaldi(
    folder: Path,
    out: Path,
    *,
    recordings: Path | None = None,
    name: str | None = None,
    language: str = "",
    licence: str = "",
    source: str = "",
    split: str | None = None,
    alignments: Path | None = None,
    channel: str | None = None,
    tier: str | None = None,
    alignment_times: Clock | None = None,
    strip_word_positions: bool = False,
    skip_bad: bool = False,
    copy: bool = False,
    jobs: int | None = None,
) -> Corpus:
    """Import a Kaldi data directory as a corpus.

    A channel is chosen by the command in wav.scp, the fifth column of segments (counted from 0)
    or, of a file that has several, reco2file_and_channel. Segments that reach beyond their
    recording are cut, up to `OVERSHOOT_S`.

    Args:
        folder: holds wav.scp and optionally segments, utt2spk or spk2utt, text,
            reco2file_and_channel and reco2dur.
        out: the corpus's folder.
        recordings: where the relative paths in wav.scp start; `folder` by default.
        split: of all its utterances, since Kaldi has a directory for each.
        channel: as for a folder; so are all arguments that are not listed here.

    Raises:
        InputError: as for a folder; commands that do more than decode a file, and segments
            outside of their recording, both as unusable utterances; a malformed line; a text or
            utt2spk with none of the utterances.
    """
    entries = _recordings(folder, (recordings or folder).absolute())
    segments = _segments(folder / "segments", entries)
    notes: list[str] = []
    speakers = _column(_speakers_file(folder), segments, "speaker", notes)
    texts = _column(folder / "text", segments, "text", notes)
    placed, bad, n_cut = [], [], 0
    for one, segment in segments.items():
        recording = entries.get(segment.recording, InputError("is missing in wav.scp"))
        if isinstance(recording, InputError):
            bad.append(Bad(segment.recording, recording.found, one))
            continue
        try:
            within = _within(segment, recording)
            placed.append((utterance_id(one), recording, within))
            n_cut += within != segment and _overshoot(segment, recording) > ROUNDING_S
        except InputError as error:
            bad.append(Bad(one, error.found, one))
    if n_cut:
        notes.append(
            f"cut at the end of their recording: {n_cut} of {counted(len(segments), 'segment')}"
        )
    notes += _unused(entries, segments) + _other_lengths(folder / "reco2dur", entries)
    files = [entry.path for entry in entries.values() if isinstance(entry, _Recording)]
    root = Path(os.path.commonpath([p.parent for p in files] or [folder.absolute()]))
    draft = Corpus(
        name=name or out.absolute().name,
        utterances=tuple(
            Utterance(
                id=one,
                audio=recording.path.relative_to(root).as_posix(),
                duration=UNKNOWN,
                speaker=speakers.get(one) or None,
                start=segment.start,
                end=segment.end,
                split=split,
                text=texts.get(one),
                channel=segment.channel,
            )
            for one, recording, segment in placed
        ),
        audio_root=str(root),
        language=language,
        licence=licence,
        source=source,
        record={"kaldi": str(folder), "notes": notes},
    )
    draft = replace(draft, utterances=expand_channels(draft.utterances, root, channel))
    align = None
    if alignments is not None:
        align = partial(
            read_alignments,
            alignments,
            tier=tier,
            times=alignment_times,
            strip_word_positions=strip_word_positions,
            recordings={
                one: list(filter(None, (segment.recording, recording.called)))
                for one, recording, segment in placed
            },
        )
    return build_corpus(out, draft, bad=bad, align=align, skip_bad=skip_bad, copy=copy, jobs=jobs)


def _recordings(folder: Path, start: Path) -> dict[str, _Recording | InputError]:
    """The entries of wav.scp by recording, or why one can't be used."""
    sides = folder / "reco2file_and_channel"
    channels = _read(sides) if sides.exists() else {}
    found: dict[str, _Recording | InputError] = {}
    for name, value in _read(folder / "wav.scp", needed=True).items():
        try:
            called, side = _side(channels[name], name, sides) if name in channels else ("", None)
            found[name] = replace(_recording(value, start), called=called, side=side)
        except InputError as error:
            found[name] = error
    return found


def _recording(value: str, start: Path) -> _Recording:
    if not value:
        raise InputError("wav.scp names no file for it")
    if re.search(r"\.ark:\d+$", value):
        raise InputError("lies in one of Kaldi's archives: write it to a file of its own")
    if not value.endswith("|"):
        return _Recording(_located(start, value))
    decoded = decoded_file(value[:-1])
    recording = _Recording(_located(start, decoded.file), decoded.channel, rate=decoded.rate)
    lowest = min(audio.SAMPLE_RATE, recording.header.sample_rate if recording.header else 0)
    if decoded.rate is not None and decoded.rate < lowest:
        raise InputError(
            f"a command that lowers its rate to {decoded.rate} Hz: write its output to a file and "
            "list that"
        )
    return recording


def _located(start: Path, value: str) -> Path:
    """The path of a file, in whichever Unicode form its name is on disk."""
    path = start / value
    if ".." in path.parts:  # as the system resolves it: behind a link it is another folder
        path = resolved(path.parent) / path.name
    forms = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    # Path.exists raises where a name is too long.
    return next((p for p in (path, *forms) if os.path.exists(p)), path)  # noqa: PTH110


def _side(value: str, name: str, path: Path) -> tuple[str, int]:
    """The file and the channel, counted from 1, in 'file channel': A, B, … or 1, 2, …"""
    called, channel = [*fields_of(value), "", ""][:2]
    if re.fullmatch("[1-9][0-9]?", channel):
        return called, int(channel)
    if re.fullmatch("[A-Za-z]", channel):
        return called, ord(channel.upper()) - ord("A") + 1
    raise InputError(f"'file channel' expected in {path.name}, found {value!r}")


def _segments(path: Path, entries: Mapping[str, _Recording | InputError]) -> dict[str, _Segment]:
    """By utterance: the lines of segments or, without any, whole recordings."""
    if not path.exists():
        return {name: _Segment(name) for name in entries}
    return {name: _segment(line, name, path) for name, line in _read(path, needed=True).items()}


def _segment(value: str, name: str, path: Path) -> _Segment:
    try:
        recording, start, end, *more = fields_of(value)
        channel = int(more[0]) if more else -1
        if len(more) > 1 or channel < -1:
            raise ValueError
        return _Segment(
            _composed(recording),
            float(start),
            None if float(end) == -1 else float(end),
            None if channel == -1 else channel + 1,
        )
    except ValueError as error:
        raise InputError(
            f"{name!r}: 'recording start end' expected, and maybe a channel from 0, found "
            f"{value!r}",
            path=path,
            remedy="fix the line",
        ) from error


def _within(segment: _Segment, recording: _Recording) -> _Segment:
    """A segment as it can be read: cut at the recording's end, and of one of its channels.

    Raises:
        InputError: it lies outside of the recording.
    """
    end = segment.end
    if segment.start is not None:
        last = math.inf if end is None else end
        if not 0 <= segment.start < math.inf:
            raise InputError(f"{segment}: it does not begin at 0 s or later")
        if not segment.start < last or end == math.inf:
            raise InputError(f"{segment}: it does not end after it starts")
        if recording.header is not None:
            duration = recording.header.duration_s
            if segment.start >= duration or _overshoot(segment, recording) > OVERSHOOT_S:
                raise InputError(f"{segment}, which lasts {duration:.3f} s")
            end = None if last >= duration else end
    return replace(segment, end=end, channel=_channel(segment, recording))


def _overshoot(segment: _Segment, recording: _Recording) -> float:
    """How far a segment reaches beyond its recording (s)."""
    if segment.end is None or recording.header is None:
        return 0.0
    return segment.end - recording.header.duration_s


def _channel(segment: _Segment, recording: _Recording) -> int | None:
    header, asked = recording.header, segment.channel
    n_channels = None if header is None else header.n_channels
    if recording.channel is not None:
        if asked not in {None, 1, recording.channel}:  # one is left, the first
            raise InputError(f"channel {asked} asked for, and wav.scp takes {recording.channel}")
        channel: int | None = recording.channel
    elif asked is None and n_channels != 1:
        channel = recording.side
    else:
        channel = asked
    if n_channels is not None and channel is not None and channel > n_channels:
        raise InputError(f"channel {channel} asked for, but the file has {n_channels}")
    return None if n_channels == 1 else channel


def _column(path: Path, ids: Collection[str], what: str, notes: list[str]) -> dict[str, str]:
    """The speakers or texts of the utterances that have one; missing and extra ones are noted."""
    if not path.exists():
        return {}
    entries = _inverted(path) if path.name == _BY_SPEAKER else _read(path)
    kept = {one: value for one, value in entries.items() if one in ids}
    if entries and not kept:
        raise InputError(
            f"none of its {counted(len(entries), 'id')} is an utterance's: "
            f"{listed(list(entries), 3)}; utterances are {listed(list(ids), 3)}",
            path=path,
            cause="it is of another data directory, or wav.scp lists recordings and the file with "
            "their segments is missing",
            remedy="copy the whole directory",
        )
    absent = [one for one, value in kept.items() if value == _MISSING]
    if absent:
        notes.append(
            f"taken for a missing {what}, which lhotse writes as {_MISSING!r}: {len(absent)} of "
            f"{_entries(entries, path)} ({listed(absent, 3)})"
        )
    if len(entries) > len(kept):
        others = [one for one in entries if one not in ids]
        notes.append(
            f"without an utterance: {len(others)} of {_entries(entries, path)} "
            f"({listed(others, 3)})"
        )
    if lacking := [one for one in ids if one not in kept]:
        some = listed(lacking, 3)
        notes.append(
            f"without a {what}: {len(lacking)} of {counted(len(ids), 'utterance')} ({some})"
        )
    return {one: _composed(value) for one, value in kept.items() if value != _MISSING}


def _entries(entries: Collection[str], path: Path) -> str:
    return f"{counted(len(entries), 'entry', 'entries')} of {path.name}"


def _speakers_file(folder: Path) -> Path:
    """utt2spk or, where it is missing, spk2utt, which has the same content."""
    files = [folder / "utt2spk", folder / _BY_SPEAKER]
    return next((path for path in files if path.exists()), files[0])


def _inverted(path: Path) -> dict[str, str]:
    """Speakers by utterance, of lines with a speaker and all of its utterances."""
    pairs = [(one, who) for who, said in _read(path).items() for one in fields_of(_composed(said))]
    check_unique([one for one, _ in pairs], path)
    return dict(pairs)


def _unused(
    entries: Mapping[str, _Recording | InputError], segments: Mapping[str, _Segment]
) -> list[str]:
    used = {segment.recording for segment in segments.values()}
    unused = [name for name in entries if name not in used]
    if not unused:
        return []
    some = listed(unused, 3)
    of = counted(len(entries), "recording")
    return [f"without a segment, so left out: {len(unused)} of {of} ({some})"]


def _other_lengths(path: Path, entries: Mapping[str, _Recording | InputError]) -> list[str]:
    """Recordings that don't last as long as reco2dur says.

    lhotse writes the lengths and segments of speech whose speed it changed, with the paths of the
    unchanged files.
    """
    if not path.exists():
        return []
    differ = []
    for name, value in _read(path).items():
        entry = entries.get(name)
        if not isinstance(entry, _Recording) or entry.header is None:
            continue
        try:
            claimed = float(value)
        except ValueError:
            continue
        if abs(claimed - entry.header.duration_s) > max(0.1, 0.02 * claimed):
            differ.append(f"{name} lasts {entry.header.duration_s:.2f} s, not {claimed:.2f} s")
    if not differ:
        return []
    return [
        "longer or shorter than in reco2dur, so that times of segments may be wrong: "
        f"{len(differ)} of {counted(len(entries), 'recording')} ({listed(differ, 3)}); lhotse "
        "writes such directories of speech whose speed it changed, with the unchanged files"
    ]


def _read(path: Path, *, needed: bool = False) -> dict[str, str]:
    """Lines `id value`, ids composed; the value may be empty (an utterance without a word)."""
    lines = [line.strip(" \t") for line in lines_of(read_text(path))]
    rows = [[*re.split("[ \t]+", line, maxsplit=1), ""] for line in lines if line]
    ids = [_composed(row[0]) for row in rows]
    check_unique(ids, path)
    if needed and not rows:
        raise InputError("is empty", path=path, remedy="check the data directory")
    return {one: row[1] for one, row in zip(ids, rows, strict=True)}


def _composed(text: str) -> str:
    """Words in Unicode's composed form, with single spaces."""
    return re.sub("[ \t]+", " ", unicodedata.normalize("NFC", text))
