"""A corpus: recordings, cut into utterances, with what is known of each.

On disk: `corpus.json` (name, language, licence, source, where the audio lies, what the import
skipped) and `utterances.parquet`; beside them, for evaluation alone, `phones.parquet`. Where the
recordings were moved, `moved.json` says where they are now. It isn't part of the corpus's id, so
that features and units of it stay valid.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pydantic import ConfigDict, Field

from zerochain import audio
from zerochain.audio import Part, Waveform
from zerochain.errors import InputError, counted, listed, speech_time
from zerochain.formats.atomic import atomic_folder, identity, one_version
from zerochain.formats.description import FIRST, Description, FileKind, Table
from zerochain.formats.headers import Header, read_header, write_json
from zerochain.formats.identity import check_ids, check_same_ids, file_id, same_name, short
from zerochain.formats.phones import PHONES_FILE, Phones, write_phones
from zerochain.formats.tables import read_table, write_table

KIND = "corpus"
MARKER = "corpus.json"
SAME_RECORDINGS = "same_recordings_as"
"""The key of a corpus's record that lists ids of corpora with the same utterances, of which it only
has other splits: features of these are features of it."""
MOVED, _MOVED_KIND = "moved.json", "moved recordings"
_TOLERANCE_S = 0.05
_ROWS_AT_ONCE = 1024
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("audio", pa.string(), nullable=False),
        pa.field("speaker", pa.string()),
        pa.field("start", pa.float64()),
        pa.field("end", pa.float64()),
        pa.field("duration", pa.float64(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("text", pa.string()),
        pa.field("channel", pa.int32()),
    ]
)


class CorpusWarning(UserWarning):
    """Something about a corpus deserves a look: its recordings, or what is joined with it."""


class _Header(Header):
    """People may edit it and add keys of their own."""

    name: str | None = None
    audio_root: str = "."
    language: str = ""
    licence: str = ""
    source: str = ""
    record: dict[str, Any] = Field(default_factory=dict)


class _Moved(Header):
    audio_root: str


class _TableHeader(Header):
    model_config = ConfigDict(extra="forbid")

    name: str = ""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech. Times in seconds; `start` and `end` are None for a whole file."""

    id: str
    audio: str
    """Path of the sound file, relative to the corpus's audio root."""
    duration: float
    speaker: str | None = None
    start: float | None = None
    end: float | None = None
    split: str | None = None
    text: str | None = None
    """Read by evaluation alone, never by training."""
    channel: int | None = None
    """Of the sound file, counted from 1; None is the mean of all its channels."""

    @property
    def part(self) -> Part:
        """Which part of its sound file it is."""
        return Part(self.start, self.end, self.channel)


@dataclass(frozen=True)
class Corpus:
    """Utterances and where their audio lies.

    `audio_root` is absolute, or relative to the corpus's own folder. `record` keeps what the
    import noticed: the files it skipped and why.
    """

    name: str
    utterances: tuple[Utterance, ...]
    audio_root: str = "."
    language: str = ""
    licence: str = ""
    source: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    """Where it was read from or written to; None before it was written."""
    version: tuple[int, int] | None = field(default=None, repr=False, compare=False)
    """Of the folder that it was read from: another one may take its place."""

    @cached_property
    def id(self) -> str:
        """SHA-256 of corpus.json and utterances.parquet."""
        return file_id(self.home / MARKER, self.home / "utterances.parquet")

    @property
    def home(self) -> Path:
        if self.folder is None:
            raise InputError(
                f"corpus {self.name!r} was never written", remedy="call write_corpus first"
            )
        if self.version is not None and identity(self.folder) != self.version:
            raise InputError(
                "was replaced since it was read",
                path=self.folder,
                cause="the corpus was imported again meanwhile, or moved away",
                remedy="give the command again",
            )
        return self.folder

    @cached_property
    def by_id(self) -> dict[str, Utterance]:
        return {utterance.id: utterance for utterance in self.utterances}

    @property
    def ids(self) -> list[str]:
        return [utterance.id for utterance in self.utterances]

    @property
    def speakers(self) -> list[str]:
        """The known speakers, sorted."""
        return sorted({u.speaker for u in self.utterances if u.speaker is not None})

    @property
    def duration(self) -> float:
        """Seconds of speech."""
        return math.fsum(utterance.duration for utterance in self.utterances)

    def audio_path(self, utterance: Utterance) -> Path:
        """The sound file of an utterance."""
        root = Path(self.audio_root)
        return (root if root.is_absolute() else self.home / root) / utterance.audio

    def has_recordings_of(self, corpus_id: str) -> bool:
        """Whether the corpus with this id has the same utterances, but for their splits."""
        return corpus_id in self.record.get(SAME_RECORDINGS, [])

    def note_on(self, corpus_id: str, what: str) -> str:
        """That `what` was made of another corpus than this one; "" if it wasn't, or isn't known.

        Ids and lengths alone don't show it: cuts of one length often have the same names.
        """
        if corpus_id in ("", self.id) or self.has_recordings_of(corpus_id):
            return ""
        return (
            f"the {what} were made of corpus {short(corpus_id)}, not of {self.name} "
            f"({short(self.id)}): right only if that has the same recordings, imported at another "
            "time"
        )

    def without_texts(self, found: str, *, or_else: str = "") -> InputError:
        """The error where texts are needed and no utterance has one.

        Args:
            found: what follows "corpus 'x' has", such as "no transcripts to train a recogniser on".
            or_else: what else would help.
        """
        return InputError(
            f"corpus {self.name!r} has {found}",
            path=self.folder,
            cause="it was imported without a table, or its column 'text' is empty",
            remedy=f"import it again with a table that has a column 'text'{or_else}",
        )

    def missing_from(self, ids: Collection[str]) -> tuple[str, ...]:
        """The utterances that are not among `ids`, of the splits that these are of."""
        splits = {self.by_id[name].split for name in ids}
        return tuple(u.id for u in self.utterances if u.split in splits and u.id not in ids)

    def check_recordings(self) -> None:
        """Check that the folder of recordings is there.

        Raises:
            InputError: it isn't.
        """
        root = self.home / self.audio_root  # which is the latter where that is absolute
        if not root.is_dir():
            raise InputError(
                f"the recordings of corpus {self.name!r} are not there any more",
                path=root,
                cause="the folder was moved, or its disk is not connected",
                remedy=f"connect it, or give the new folder: zerochain corpus move {self.home} "
                "RECORDINGS",
            )

    def wave(self, utterance: Utterance) -> Waveform:
        """An utterance's samples, mono at 16 kHz.

        Raises:
            InputError: as `audio.read` and `check_recordings`.
        """
        self.check_recordings()
        return audio.read(self.audio_path(utterance), **utterance.part._asdict())

    def waves(self, utterances: Sequence[Utterance] | None = None) -> Iterator[Waveform]:
        """The samples of utterances (all by default), in their order, one after the other.

        Neighbours in one sound file are read in one pass, which is far faster than `wave` for
        each where the file is compressed.

        Raises:
            InputError: as `audio.read` and `check_recordings`.
        """
        self.check_recordings()
        chosen = self.utterances if utterances is None else utterances
        for path, group in groupby(chosen, key=self.audio_path):
            yield from audio.read_parts(path, [u.part for u in group])

    def select(self, *, split: str | None = None, speaker: str | None = None) -> Corpus:
        """The utterances of one split, one speaker, or both, however Unicode writes their names.

        Raises:
            InputError: there is none; the message lists the splits and speakers there are.
        """
        kept = tuple(
            u
            for u in self.utterances
            if (split is None or same_name(u.split, split))
            and (speaker is None or same_name(u.speaker, speaker))
        )
        if not kept:
            splits = sorted({str(u.split) for u in self.utterances if u.split is not None})
            if split is not None and not splits:
                raise InputError(
                    f"corpus {self.name!r} has no splits, so no split {split!r}",
                    path=self.folder,
                    cause="it was imported without --test-fraction, --split-from or a column "
                    "'split'",
                    remedy="leave split= out to take all utterances, or import it again with "
                    "--test-fraction 0.1",
                )
            wanted = " and ".join(
                f"{key} {value!r}"
                for key, value in (("split", split), ("speaker", speaker))
                if value is not None
            )
            raise InputError(
                f"corpus {self.name!r} has no utterance of {wanted}; splits: "
                f"{listed(splits) or 'none'}; speakers: {listed(self.speakers)}",
                remedy="choose one of those",
            )
        return self.restrict([u.id for u in kept])

    def restrict(self, ids: Collection[str]) -> Corpus:
        """The utterances with these ids, in the corpus's order; its id stays the whole corpus's."""
        wanted = set(ids)
        part = replace(self, utterances=tuple(u for u in self.utterances if u.id in wanted))
        if self.folder is not None:
            part.__dict__["id"] = self.id
        return part


def write_corpus(folder: Path, corpus: Corpus, phones: Phones | None = None) -> Corpus:
    """Write a corpus (and its gold phones) atomically.

    Returns:
        The corpus as it can be read from `folder`.
    """
    with atomic_folder(folder, MARKER) as temporary:
        fill_corpus(temporary, corpus, phones)
    return replace(corpus, folder=folder, version=None)


def fill_corpus(folder: Path, corpus: Corpus, phones: Phones | None = None) -> None:
    """Write a corpus's tables into a folder that the caller puts in place with `atomic_folder`.

    For whoever writes audio into the corpus as well.
    """
    _check(corpus.utterances, folder)
    header = {
        "name": corpus.name,
        "language": corpus.language,
        "licence": corpus.licence,
        "source": corpus.source,
        "audio_root": corpus.audio_root,
        "record": dict(corpus.record),
    }
    write_json(folder / MARKER, KIND, header, editable=True)
    rows = pa.Table.from_pylist([asdict(u) for u in corpus.utterances], schema=_SCHEMA)
    write_table(folder / "utterances.parquet", KIND, rows, {"name": corpus.name})
    if phones is not None:
        check_same_ids(list(phones.by_id), corpus.ids, "phones", f"corpus {corpus.name}")
        write_phones(folder / PHONES_FILE, phones)


def read_corpus(folder: Path) -> Corpus:
    """Read a corpus.

    Raises:
        InputError: not a corpus, an unknown version, a missing column, a duplicate id, an id or
            audio path that leaves its folder, impossible times, or no utterance.
    """
    return one_version(folder, lambda: _read(folder))


def _read(folder: Path) -> Corpus:
    header = read_header(folder / MARKER, KIND, _Header)
    path = folder / "utterances.parquet"
    table, _, _ = read_table(path, KIND, _SCHEMA, _TableHeader, optional=("channel",))
    batches = table.to_batches(max_chunksize=_ROWS_AT_ONCE)  # as dicts, rows take twice the memory
    utterances = tuple(Utterance(**row) for batch in batches for row in batch.to_pylist())
    _check(utterances, path)
    corpus = Corpus(
        name=folder.name if header.name is None else header.name,
        utterances=utterances,
        audio_root=_moved_to(folder) or header.audio_root,
        language=header.language,
        licence=header.licence,
        source=header.source,
        record=header.record,
        folder=folder,
        version=identity(folder),
    )
    _ = corpus.id  # of what was read, not of what may lie there later
    return corpus


def _moved_to(folder: Path) -> str | None:
    """Where the recordings are now; None where they never moved."""
    if not (folder / MOVED).is_file():
        return None
    return read_header(folder / MOVED, _MOVED_KIND, _Moved).audio_root


def move_recordings(folder: Path, recordings: Path) -> Corpus:
    """Record that the recordings of a corpus are in another folder; its id stays the same.

    Args:
        recordings: has the same files at the same paths as the corpus's audio root had.

    Raises:
        InputError: recordings that are not there (listed), or that end before an utterance does.
    """
    corpus = read_corpus(folder)
    moved = replace(corpus, audio_root=str(recordings.absolute()))
    missing = sorted({u.audio for u in corpus.utterances if not moved.audio_path(u).is_file()})
    if missing:
        raise InputError(
            f"lacks {counted(len(missing), 'recording')} of corpus {corpus.name!r}: "
            f"{listed(missing, 5)}",
            path=recordings,
            cause="it is the folder above or below the one that was imported, or only a part of it",
            remedy=f"give the folder that holds {corpus.utterances[0].audio!r}",
        )
    ends: dict[str, float] = {}
    for u in corpus.utterances:
        end = (u.start or 0.0) + u.duration
        ends[u.audio] = max(end, ends.get(u.audio, 0.0))
    short_ones = [
        name
        for name, end in ends.items()
        if audio.info(Path(moved.audio_root) / name).duration_s < end - _TOLERANCE_S
    ]
    if short_ones:
        raise InputError(
            f"{counted(len(short_ones), 'recording')} shorter than at the import: "
            f"{listed(short_ones, 5)}",
            path=recordings,
            cause="they are other recordings with the same names",
            remedy="give the folder of the recordings that were imported, or import these",
        )
    write_json(folder / MOVED, _MOVED_KIND, {"audio_root": moved.audio_root}, editable=True)
    return read_corpus(folder)


def _check(utterances: tuple[Utterance, ...], path: Path) -> None:
    if not utterances:
        raise InputError("holds no utterance", path=path, remedy="import some recordings")
    check_ids([u.id for u in utterances], path)
    for u in utterances:
        audio = PurePosixPath(u.audio)
        if audio.is_absolute() or ".." in audio.parts or not audio.name or "\0" in u.audio:
            raise InputError(
                f"utterance {u.id!r}: audio {u.audio!r} is not a path inside the audio folder",
                path=path,
                cause="the table was edited by hand",
                remedy="write paths relative to the folder of recordings",
            )
        if u.channel is not None and u.channel < 1:
            raise InputError(
                f"utterance {u.id!r}: no channel {u.channel} can exist",
                path=path,
                remedy="count channels from 1",
            )
        times = [u.duration, u.start if u.start is not None else 0.0]
        if not all(math.isfinite(t) and t >= 0 for t in times) or u.duration == 0:
            raise InputError(
                f"utterance {u.id!r}: a duration of {u.duration} s from {u.start} s is impossible",
                path=path,
                remedy="import the recordings again",
            )
        if u.end is not None and not (u.start or 0.0) < u.end < math.inf:
            raise InputError(
                f"utterance {u.id!r} ends at {u.end} s, which is not after its start",
                path=path,
                remedy="fix start and end in the table it was imported from",
            )


_MOST_SPEAKERS = 30


def _describe(corpus: Corpus) -> Description:
    first = [
        [u.id, u.speaker or "–", f"{u.duration:.2f}", u.text or "–"]
        for u in corpus.utterances[:FIRST]
    ]
    return Description(
        f"corpus {corpus.name!r}",
        {
            "language": corpus.language,
            "licence": corpus.licence,
            "source": corpus.source,
            "audio": corpus.audio_root,
            "duration": speech_time(corpus.duration),
            "utterances": f"{len(corpus.utterances)}",
            "id": short(corpus.id),
        },
        (
            _by_speaker(corpus),
            Table("first utterances", ["id", "speaker", "seconds", "text"], first),
        ),
    )


def _by_speaker(corpus: Corpus) -> Table:
    """A row per speaker, a column per split."""
    durations: dict[tuple[str | None, str | None], list[float]] = defaultdict(list)
    for u in corpus.utterances:
        durations[u.speaker, u.split].append(u.duration)
    speakers = sorted({speaker for speaker, _ in durations}, key=str)
    splits = sorted({split for _, split in durations}, key=str)
    rows = []
    for speaker in speakers:
        parts = [durations.get((speaker, split), []) for split in splits]
        cells = [f"{speech_time(sum(p))} ({len(p)})" if p else "–" for p in parts]
        rows.append([speaker or "unknown", *cells])
    title = f"speech (utterances) of {counted(len(rows), 'speaker')}"
    header = ["speaker", *(split or "no split" for split in splits)]
    return Table(title, header, rows, _MOST_SPEAKERS)


FILE_KIND: FileKind[Corpus] = FileKind(KIND, MARKER, read_corpus, _describe)
