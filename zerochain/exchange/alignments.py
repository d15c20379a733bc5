"""Other people's alignments of phones: which of them belongs to which utterance, and its phones.

`read_alignments` reads one alignment after the other, keeps undecided times for the end, and
collects what makes a file unusable instead of stopping at it. Formats: `alignment_files`,
`textgrid`, `elan`; whose name an alignment bears: `alignment_names`; whose clock its times are on:
`alignment_times`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from zerochain.corpora.build import Alignment, Span
from zerochain.corpora.sounds import Bad, search, stem, unusable
from zerochain.errors import InputError, counted, listed
from zerochain.exchange.alignment_files import (
    BEYOND_S,
    CtmLines,
    is_of_many,
    read_ctm,
    read_of_many,
    read_phn,
)
from zerochain.exchange.alignment_names import Names, Target
from zerochain.exchange.alignment_times import (
    Clock,
    Evidence,
    Notes,
    Origin,
    beyond,
    cut,
    origin,
    overlapping,
    phones_in,
)
from zerochain.exchange.elan import SUFFIX as ELAN_SUFFIX
from zerochain.exchange.elan import ElanTiers, read_elan
from zerochain.exchange.textgrid import Interval, TextGrid, phones_of, read_textgrid
from zerochain.formats.identity import utterance_id
from zerochain.formats.phones import Phone, Phones
from zerochain.metrics.silences import SILENCES, without_position

ALIGNMENT_SUFFIXES = frozenset({".phn", ".phones", ".textgrid", ".ctm", ELAN_SUFFIX})
_TIERED = {".textgrid", ELAN_SUFFIX}
_SHARES = "phones have no times of their own, but even shares of the annotations above them"
_CHANNELS = {1: ("1", "a"), 2: ("2", "b")}
"""A CTM's names for the channels of a recording, in lower case."""


@dataclass(frozen=True)
class Source:
    """An alignment: a file of its own, or what a file of many recordings holds under one name."""

    path: Path
    name: str
    channels: Mapping[str, list[Interval]] | None = None
    """Of a file of many recordings, by channel."""
    elan: ElanTiers | None = None

    def named_for(self, names: Names) -> Source:
        """Of an ELAN file that has another name than its recording, with the recording's."""
        if self.elan is None or names.knows(self.name):
            return self
        media = (stem(name) for one in self.elan.media for name in one.names)
        known = next((name for name in media if names.knows(name)), self.name)
        return replace(self, name=known)


def read_alignments(
    path: Path,
    spans: Mapping[str, Span],
    spare: frozenset[str] = frozenset(),
    *,
    tier: str | None = None,
    times: Clock | None = None,
    strip_word_positions: bool = False,
    recordings: Mapping[str, Collection[str]] | None = None,
) -> Alignment:
    """The phones of a corpus's utterances, from a folder of alignments or a single file.

    A file, or line of a CTM or ZeroSpeech's .phn, belongs to the utterance of that id, or to all
    utterances cut from the recording of that name; the folders before the name count only where
    they have to. Times are the utterance's or the whole recording's, whichever fits; where both
    do, it is an error, unless
    others next to it decide, or its name is the utterance's id and not the recording's: then they
    are the utterance's, as Kaldi's are. A label across a cut belongs to the side with most of it.
    Gaps are fine, and so is an utterance without an alignment. Overlaps of up to 15 ms are rounding
    and repaired, labels without length are left out, and phones that end up to 50 ms after the
    utterance are cut off there; anything worse makes the file unusable.

    Args:
        path: a folder with .phn, .phones, .TextGrid, .eaf or .ctm files, or one such file.
        spans: the utterances by id.
        spare: ids of recordings that are not utterances but may well have an alignment.
        tier: of TextGrids and ELAN files; see `zerochain.exchange.textgrid.phones_of`.
        times: whose clock the alignments of cut utterances are on, where that is undecided.
        strip_word_positions: remove Kaldi's endings, AA1_B → AA1.
        recordings: names of their recordings, by the utterances' ids, where those are not the
            sound files' paths without the suffix, or not those alone.

    Raises:
        InputError: no alignment, alignments of unknown utterances (of a CTM, only such), or
            several of one.
    """
    notes = Notes()
    bad: list[Bad] = []
    sources = list(_sources(path, notes, bad))
    if not (sources or bad):
        raise InputError(
            f"holds no alignment{_other_files(path)}",
            path=path,
            remedy="alignments are .phn, .phones, .TextGrid, .eaf or .ctm files; a .phn has lines "
            "'onset offset phone', in seconds",
        )
    # A file of many recordings is often of a whole corpus, of which these are a part.
    of_many = {source.name for source in sources if source.channels is not None}
    names = Names(spans, spare, recordings or {})
    sources = [source.named_for(names) for source in sources]
    targets = names.resolve([source.name for source in sources], path, optional=of_many)
    reading = _Reading(tier, times, notes, bad)
    for source in sources:
        target = targets.get(source.name)
        if source.name not in targets:
            notes.unknown.append(source.name)
        elif target is not None:
            _check_channels(source, target)
            reading.add(source, target)
    reading.settle()
    reading.refuse_twice(path)
    by_id = {name: phones for name, phones in reading.by_id.items() if phones}
    if strip_word_positions:
        by_id = {name: _stripped(line) for name, line in by_id.items()}
    return Alignment(Phones(by_id, source=str(path)), reading.bad, notes.lines(by_id.values()))


Held = TextGrid | ElanTiers | Mapping[str, list[Interval]] | list[Interval]
"""What an alignment holds: tiers, the channels of a CTM, or the labels of a .phn."""


@dataclass(frozen=True)
class _Content:
    """What an alignment holds, before its utterance is known."""

    source: Source
    held: Held
    tier: str | None
    notes: Notes

    @property
    def covered(self) -> tuple[float, float] | None:
        """The start and end that a TextGrid declares (s)."""
        held = self.held
        return (held.start_s, held.end_s) if isinstance(held, TextGrid) else None

    def of(self, span: Span) -> tuple[list[Interval], bool]:
        """The labels for an utterance, and whether they are its own channel's or speaker's."""
        if isinstance(self.held, TextGrid | ElanTiers):
            intervals, note, is_own = phones_of(self.held, self.tier, span.utterance.speaker)
            shares = frozenset().union(*(tier.shares for tier in self.held.tiers))
            are_shares = any(one.place in shares for one in intervals)
            for one in filter(None, (note, _SHARES if are_shares else "")):
                if str(self.source.path) not in self.notes.tiers[one][-1:]:
                    self.notes.tiers[one].append(str(self.source.path))
            return intervals, is_own
        if isinstance(self.held, list):
            return self.held, False
        channel, only = span.utterance.channel, next(iter(self.held))
        if channel is None:
            return self.held[only], False
        names = _CHANNELS.get(channel, (str(channel),))
        found = [line for name, line in self.held.items() if name.lower() in names]
        if found or len(self.held) > 1 or only.isalpha():  # Kaldi writes 1 for any
            return [one for line in found for one in line], True
        return self.held[only], False


class _Reading:
    """Reads one alignment after the other, and keeps the undecided ones for the end."""

    def __init__(self, tier: str | None, times: Clock | None, notes: Notes, bad: list[Bad]) -> None:
        self.tier, self.times, self.notes, self.bad = tier, times, notes, bad
        self.by_id: dict[str, list[Phone]] = {}
        self._undecided: list[tuple[_Content, Target]] = []
        self._proven: set[Clock] = set()
        self._files: dict[str, list[str]] = defaultdict(list)

    def add(self, source: Source, target: Target) -> None:
        """Read an alignment; if it is unusable, the reason goes to `bad`."""
        try:
            content = self._read(source, target)
            self._check_length(content, target.spans)
            if target.utterance is None and len(target.of_recording) > 1:
                self._cut(content, target.of_recording)
                return
            span = target.spans[0]
            intervals, _ = content.of(span)
            evidence = Evidence.of(
                intervals,
                content.covered,
                names_utterance=target.utterance is not None,
                names_recording=bool(target.of_recording),
            )
            begin = origin(span, evidence, self.times)
            if begin is None:
                self._undecided.append((content, target))
                return
            if begin.is_proven and target.utterance is not None:
                self._proven.add(begin.clock)
            self._place(content, target, begin)
        except (InputError, OSError) as error:
            self._refuse(source, error)

    def settle(self) -> None:
        """Decide where times fit both clocks: as the others next to them do, or as Kaldi's do."""
        for content, target in self._undecided:
            span = target.spans[0]
            by_name: set[Clock] = set() if target.of_recording else {"utterance"}
            try:
                match list(self._proven or by_name):
                    case ["utterance"]:
                        begin = Origin(0, "utterance")
                    case ["recording"]:
                        begin = Origin(span.utterance.start or 0.0, "recording")
                    case _:  # neither, or some are on one clock and some on the other
                        raise _unclear(span)
                self._place(content, target, begin)
            except InputError as error:
                self._refuse(content.source, error)

    def refuse_twice(self, path: Path) -> None:
        """Raise InputError where an utterance has several alignments."""
        twice = {name: files for name, files in self._files.items() if len(files) > 1}
        if twice:
            files = next(iter(twice.values()))
            raise InputError(
                f"two alignments for {counted(len(twice), 'utterance')}: {listed(list(twice))}",
                path=path,
                cause=f"the folder mixes formats, or holds copies: {listed(files)}",
                remedy="keep one alignment for every utterance",
            )

    def _read(self, source: Source, target: Target) -> _Content:
        held: Held
        if source.channels is not None:
            held = source.channels
        elif source.elan is not None:
            held = source.elan.on_recording(source.name)
        elif source.path.suffix.lower() == ".textgrid":
            held = read_textgrid(source.path)
        else:
            span = target.spans[0]
            whole = span.header.duration_s
            lasting = whole if target.utterance is None else span.utterance.duration
            rate = span.header.sample_rate
            held = read_phn(source.path, lasting, recording_s=whole, sample_rate=rate)
        return _Content(source, held, self.tier, self.notes)

    def _check_length(self, content: _Content, spans: Sequence[Span]) -> None:
        """Note a TextGrid that is as long as neither the recording nor the utterance."""
        grid = content.held
        if not isinstance(grid, TextGrid):
            return
        header = spans[0].header
        lengths = [header.duration_s, *(span.utterance.duration for span in spans)]
        if not any(map(grid.is_as_long_as, lengths)):
            what = f"{content.source.path} ({grid.end_s:g} s, not {header.duration_s:g} s)"
            self.notes.other_length.append(what)

    def _place(self, content: _Content, target: Target, begin: Origin) -> None:
        if begin.clock == "recording":
            self._cut(content, target.of_recording or target.spans)
            return
        span = target.spans[0]
        intervals, _ = content.of(span)
        shifted = [
            one._replace(onset=one.onset - begin.seconds, offset=one.offset - begin.seconds)
            for one in intervals
        ]
        self._keep(content, [(span, shifted if begin.seconds else intervals)])
        self._check_phones(content, intervals)

    def _cut(self, content: _Content, spans: Sequence[Span]) -> None:
        """Cut an alignment of a whole recording along its utterances."""
        if self.times == "utterance" and len(spans) > 1:
            raise InputError(
                f"belongs to {len(spans)} utterances, so its times can't be those of one",
                remedy="leave out alignment_times=",
            )
        shared = overlapping(spans)
        every: dict[str, Interval] = {}
        within: set[str] = set()
        shares: list[tuple[Span, list[Interval]]] = []
        for span in spans:
            intervals, is_own = content.of(span)
            if shared is not None and span in shared and not is_own:
                raise _shared(*shared)
            _check_end(intervals, span)
            u = span.utterance
            kept = cut(intervals, u.start or 0.0, u.duration, self.notes)
            every.update((one.place, one) for one in intervals)
            within.update(one.place for one in kept)
            shares.append((span, kept))
        self._keep(content, shares)
        left = [one for place, one in every.items() if place not in within]
        self.notes.outside += sum(one.label not in SILENCES for one in left)
        self._check_phones(content, every.values())

    def _keep(self, content: _Content, shares: Sequence[tuple[Span, list[Interval]]]) -> None:
        """All utterances' shares of an alignment, or none."""
        found = {
            span.utterance.id: phones_in(intervals, span.utterance.duration, self.notes)
            for span, intervals in shares
        }
        self.by_id.update(found)
        for name in found:
            self._files[name].append(str(content.source.path))

    def _check_phones(self, content: _Content, intervals: Iterable[Interval]) -> None:
        if all(one.label in SILENCES or one.offset <= one.onset for one in intervals):
            source = content.source
            place = f"{source.path} ({source.name})" if source.channels else str(source.path)
            self.notes.without_phone.append(place)

    def _refuse(self, source: Source, error: InputError | OSError) -> None:
        self.bad.append(unusable(source.path, error, source.name if source.channels else None))


def _sources(path: Path, notes: Notes, bad: list[Bad]) -> Iterator[Source]:
    if not path.exists():
        raise InputError("no such file or folder", path=path, remedy="check the path")
    root = path if path.is_dir() else path.parent
    files = _files(path, notes, bad) if path.is_dir() else [path]
    for file in files:
        try:
            if (of_many := _of_many(file, notes)) is not None:
                yield from (Source(file, name, channels) for name, channels in of_many.items())
                continue
            name = utterance_id(stem(file.relative_to(root).as_posix()))
            yield Source(file, name, elan=_elan(file) if _is_elan(file.name) else None)
        except InputError as error:
            if len(files) == 1:
                raise
            bad.append(unusable(file, error))
        except OSError as error:
            bad.append(unusable(file, error))


def _of_many(file: Path, notes: Notes) -> CtmLines | None:
    """What a CTM or ZeroSpeech's file of a whole corpus holds; None of a recording's own file."""
    suffix = file.suffix.lower()
    if suffix == ".ctm":
        ctm = read_ctm(file)
        notes.alternatives += ctm.n_alternatives
        return ctm.by_id
    if suffix in _TIERED or not is_of_many(file):
        return None
    # It has no channels: as Kaldi's 1, the only one stands for any.
    return {name: {"1": intervals} for name, intervals in read_of_many(file).items()}


def _other_files(folder: Path) -> str:
    """How many files of which kinds a folder holds instead, or "" of none."""
    files = (path for path in folder.rglob("*") if path.is_file())
    kinds = Counter(path.suffix or "without suffix" for path in files)
    found = [f"{n} {kind}" for kind, n in kinds.most_common()]
    return f" but {listed(found, 3)}" if found else ""


def _elan(file: Path) -> ElanTiers:
    """An ELAN file without its text, since those of a whole corpus are held at once."""
    held = read_elan(file)
    return ElanTiers(held.tiers, held.media)


def _files(folder: Path, notes: Notes, bad: list[Bad]) -> list[Path]:
    """Files of alignments; a link to another file may well be another utterance's alignment.

    An ELAN file beside another alignment of its name is left out: the other was made from it, or
    for this purpose.
    """
    found = search(folder, ALIGNMENT_SUFFIXES)
    bad += found.bad
    hidden = [file for file in found.hidden if PurePosixPath(file).name.startswith(".")]
    notes.hidden += sum(map(_is_alignment, hidden))
    files = [file for file in (*found.files, *found.links) if _is_alignment(file)]
    stems = Counter(map(stem, files))
    beside = [file for file in files if _is_elan(file) and stems[stem(file)] > 1]
    notes.elan_beside += beside
    files = sorted(set(files) - set(beside))
    return sorted(folder / file for file in files if (folder / file).is_file())


def _is_elan(file: str) -> bool:
    return PurePosixPath(file).suffix.lower() == ELAN_SUFFIX


def _is_alignment(file: str) -> bool:
    return PurePosixPath(file).suffix.lower() in ALIGNMENT_SUFFIXES


def _check_channels(source: Source, target: Target) -> None:
    """Raise InputError where a CTM has several channels and an utterance names none of them."""
    if source.channels is None or len(source.channels) == 1:
        return
    if any(span.utterance.channel is None for span in target.spans):
        second = list(source.channels.values())[1][0]
        raise InputError(
            f"{second.place}: {source.name!r} has several channels",
            path=source.path,
            cause="both sides of a telephone call",
            remedy="import each channel as utterances of its own",
        )


def _check_end(intervals: Sequence[Interval], span: Span) -> None:
    last = max(intervals, key=lambda one: one.offset, default=None)
    if last is not None and last.offset > span.header.duration_s + BEYOND_S:
        end = f"the recording at {span.header.duration_s:.3f} s"
        raise beyond(last.place, last.offset, last.label, end)


def _unclear(span: Span) -> InputError:
    u = span.utterance
    return InputError(
        f"utterance {u.id!r} begins at {u.start:g} s of its recording, and the alignment's times "
        "fit both",
        remedy="choose alignment_times='utterance' or alignment_times='recording'",
    )


def _shared(one: Span, other: Span) -> InputError:
    return InputError(
        f"{one.utterance.id!r} and {other.utterance.id!r} overlap in the recording, "
        "and nothing decides which of them a phone belongs to",
        remedy="give each an alignment of its own, a CTM with channels, or tiers named after "
        "speakers",
    )


def _stripped(line: list[Phone]) -> list[Phone]:
    return [phone._replace(phone=without_position(phone.phone)) for phone in line]
