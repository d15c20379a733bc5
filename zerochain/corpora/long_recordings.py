"""Import long recordings: voice activity cuts each into utterances, which point into the original.

A recording is decoded once, block by block, by a detector for each channel that is wanted
(`zerochain.features.voice_activity`), and then by the import itself, which measures the utterances
found. Nothing is copied: an utterance is a start and an end in its file, at which other programs
can cut the same samples.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import joblib
from threadpoolctl import threadpool_limits

from zerochain import audio
from zerochain.corpora.build import UNKNOWN
from zerochain.corpora.folder import Pieces, import_folder
from zerochain.corpora.measuring import why_not
from zerochain.corpora.sounds import Bad, n_channels, part_id, stem, suffixed, within_recordings
from zerochain.corpora.speaker_clusters import Vectors, Voices, clustered
from zerochain.errors import InputError, counted, listed, printable
from zerochain.exchange.rttm import Turn, read_rttm, without_spaces
from zerochain.features.voice_activity import (
    Stretch,
    VoiceActivityConfig,
    detector,
    stretches,
)
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.identity import composed, ids_by_name, utterance_id
from zerochain.machine import cores
from zerochain.progress import track

_SILENT = 1e-3
"""-60 dB of full scale."""


def import_recordings(
    recordings: Path,
    out: Path,
    *,
    activity: VoiceActivityConfig | None = None,
    speakers: Literal["given", "cluster"] = "given",
    n_speakers: int | None = None,
    vectors: Vectors | None = None,
    rttm: Path | None = None,
    speaker_from: str | None = None,
    channel: str | None = None,
    jobs: int | None = None,
    **options: Any,
) -> Corpus:
    """Import recordings of any length as a corpus of the utterances in them.

    An utterance's id is the path of its recording without the suffix, and its times in
    milliseconds. A recording in which nobody speaks is listed in the corpus's record.

    Args:
        recordings: searched with its subfolders.
        out: the corpus's folder.
        activity: how recordings are cut; `VoiceActivityConfig()` by default.
        speakers: "given": those of `speaker_from` and `channel`, or unknown; "cluster": voices
            that are alike, see `zerochain.corpora.speaker_clusters.clustered`.
        n_speakers: how many there are, for "cluster"; by default they are counted as well.
        vectors: waveforms → voice vectors (n, E) for "cluster"; of MFCC statistics by default.
        rttm: a file of turns, which are the utterances, with their speakers, instead of what a
            detector finds; recordings are named by their paths without the suffix, or the last
            part of that. Turns on any channel are cut out of the mix of all, if that is imported.
        speaker_from: see `zerochain.corpora.folder.labels_from`.
        channel: mix (the default), left, right, a number, or each: the utterances of each channel
            are found by themselves and are a speaker of their own.
        jobs: threads.
        options: as `zerochain.corpora.folder.import_folder`; test_fraction is one of utterances.

    Raises:
        InputError: unusable files (all listed), impossible options, no speech in any recording.
    """
    if speakers == "cluster" and speaker_from is not None:
        raise InputError(
            "speakers='cluster' and speaker_from= are both given, and each says who speaks",
            remedy="leave out one of them",
        )
    if speakers != "cluster" and (n_speakers is not None or vectors is not None):
        raise InputError(
            "a number of speakers, or an encoder of voices, is given, but speakers are not sought",
            remedy="give speakers='cluster' as well",
        )
    if rttm is not None and (activity is not None or speakers == "cluster" or speaker_from):
        raise InputError(
            "rttm= is given, which says where utterances are and who speaks, and so are settings "
            "that find it out",
            remedy="leave out rttm=, or all of them",
        )
    if rttm is not None:
        turns = partial(_cut_by_turns, recordings, rttm, read_rttm(rttm))
        return import_folder(recordings, out, channel=channel, jobs=jobs, cut=turns, **options)
    cut = partial(
        _cut,
        recordings,
        activity or VoiceActivityConfig(),
        jobs=jobs or cores(),
        cluster=partial(clustered, n_speakers=n_speakers, vectors=vectors)
        if speakers == "cluster"
        else None,
    )
    return import_folder(
        recordings, out, speaker_from=speaker_from, channel=channel, jobs=jobs, cut=cut, **options
    )


@dataclass
class _Found:
    """What is in one recording: of each of its channels that is wanted, or why not."""

    duration_s: float = 0.0
    speech: dict[str, list[Stretch]] = field(default_factory=dict)
    """By the id of the channel, or of the whole recording."""
    silent: set[str] = field(default_factory=set)
    same: set[str] = field(default_factory=set)
    """Channels with the samples of an earlier one."""
    bad: list[Bad] = field(default_factory=list)


def _cut(
    recordings: Path,
    config: VoiceActivityConfig,
    whole: tuple[Utterance, ...],
    *,
    jobs: int,
    cluster: Callable[[Path, tuple[Utterance, ...]], Voices] | None,
) -> Pieces:
    detector(config)  # which may not be installed
    by_file: dict[str, list[Utterance]] = defaultdict(list)
    for u in whole:
        by_file[u.audio].append(u)
    calls = (
        joblib.delayed(_listen)(recordings / name, group, config) for name, group in by_file.items()
    )
    parallel = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    with threadpool_limits(1):  # of products so small that sharing them takes longer
        found = list(track(parallel(calls), "Finding speech", len(by_file)))
    bad = [one for file in found for one in file.bad]
    utterances, notes, without = [], [], []
    for group, file in zip(by_file.values(), found, strict=True):
        kept = [u for u in group if u.id in file.speech and u.id not in file.same]
        if file.same:
            notes.append(
                f"{printable(group[0].audio)}: {counted(len(file.same), 'channel')} left out, with "
                "the same samples as an earlier one"
            )
        one_voice = bool(file.same) and len(kept) == 1
        for u in kept:
            speech = file.speech[u.id]
            recording = _undivided(u) if one_voice else u
            utterances += [_piece(recording, stretch) for stretch in speech]
            if not speech:
                silent = " (silent: never above -60 dB)" if u.id in file.silent else ""
                without.append(f"{printable(u.id)}{silent}")
    if not utterances and not bad:
        raise InputError(
            f"no speech was found in {counted(len(by_file), 'recording')}: {listed(without, 5)}",
            path=recordings,
            cause="they are silent, the speech is on another channel, or it is too faint",
            remedy="listen to one; give another channel=, or a lower threshold= than "
            f"{config.threshold:g}",
        )
    if without:
        notes.append(f"no speech was found in {len(without)} of them: {listed(without, 5)}")
    voices = cluster(recordings, tuple(utterances)) if cluster is not None and utterances else None
    if voices is not None:
        utterances = list(voices.utterances)
        notes += [] if voices.is_clear else [f"speakers: {voices.note}"]
    record = {
        **config.model_dump(),
        "recordings_s": round(sum(file.duration_s for file in found), 2),
        "without_speech": without,
        "voices": "" if voices is None else voices.note,
    }
    return Pieces(tuple(utterances), bad, notes, {"voice_activity": record})


def _cut_by_turns(
    recordings: Path, rttm: Path, turns: Sequence[Turn], whole: tuple[Utterance, ...]
) -> Pieces:
    """The utterances that an RTTM file marks."""
    named = _named_by_turns(rttm, turns, whole)
    absent = sorted({turn.recording for turn in turns} - named.keys())
    turns = [turn for turn in turns if turn.recording in named]
    channels_in = cache(n_channels)
    pieces: dict[str, Utterance] = {}
    lasting = [turn for turn in turns if turn.start < turn.end]
    if not lasting:
        raise InputError(
            f"holds {counted(len(turns), 'turn')}, none of them with a length",
            path=rttm,
            cause="its fifth column is not the duration in seconds",
            remedy="write the duration there",
        )
    for turn in lasting:
        parts = named[turn.recording]
        fitting = [u for u in parts if not _is_divided(u) or u.channel == turn.channel]
        n = channels_in(recordings / parts[0].audio)
        if n is not None and turn.channel > 1:  # 1 is also written for a mix or a chosen channel
            _check_channel(turn, parts, n, rttm)
        for u in fitting:
            one = _piece(u, Stretch(turn.start, turn.end))
            one = replace(one, speaker=turn.speaker or one.speaker)
            others = pieces.get(one.id)
            if others is not None and others.speaker != one.speaker:  # two at the very same time
                one = replace(one, id=utterance_id(f"{one.id}_{turn.speaker}"))
            if one.id in pieces:
                raise InputError(
                    f"{turn.recording}: the turn from {turn.start:g} to {turn.end:g} s is there "
                    "twice",
                    path=rttm,
                    remedy="delete one of them",
                )
            pieces[one.id] = one
    used = {u.audio for u in pieces.values()}
    without = sorted(printable(u.audio) for u in whole if u.audio not in used)
    utterances, notes = within_recordings(tuple(pieces.values()), recordings)
    if absent:
        are = "is" if len(absent) == 1 else "are"
        notes.append(
            f"turns of {counted(len(absent), 'recording')} that {are} not there left out: "
            f"{listed(absent, 5)}"
        )
    if len(lasting) < len(turns):
        notes.append(f"{counted(len(turns) - len(lasting), 'turn')} without length left out")
    if without:
        notes.append(f"no turn in {counted(len(without), 'recording')}: {listed(without, 5)}")
    return Pieces(utterances, [], notes, {"rttm": str(rttm)})


def _named_by_turns(
    rttm: Path, turns: Sequence[Turn], whole: Sequence[Utterance]
) -> dict[str, list[Utterance]]:
    """The name that turns have for a recording → the recording, or its channels.

    Their file is often of a whole corpus, of which these recordings are a part.

    Raises:
        InputError: they name none of the recordings.
    """
    by_name: dict[str, list[Utterance]] = defaultdict(list)
    for u in whole:
        by_name[composed(stem(u.audio))].append(u)
    for name in [one for one in by_name if without_spaces(one) != one]:
        if without_spaces(name) not in by_name:  # as `write_rttm` calls it
            by_name[without_spaces(name)] = by_name[name]
    for name in {turn.recording for turn in turns} - by_name.keys():
        if PurePosixPath(name).suffix.lower() in audio.SUFFIXES and stem(name) in by_name:
            by_name[name] = by_name[stem(name)]
    names = {turn.recording for turn in turns}
    unknown = sorted(names - by_name.keys())
    last_parts = ids_by_name(by_name, "recordings") if unknown else {}
    found = {one: one if one in by_name else last_parts.get(one) for one in names}
    named = {one: by_name[name] for one, name in found.items() if name is not None}
    if not named:
        raise InputError(
            f"names {counted(len(names), 'recording')}, none of which is there: "
            f"{listed(sorted(names), 5)}",
            path=rttm,
            cause="it belongs to another folder of recordings",
            remedy=f"name them as they are in this one: {listed(sorted(by_name), 5)}",
        )
    return named


def _check_channel(turn: Turn, parts: Sequence[Utterance], n: int, rttm: Path) -> None:
    """Raise InputError if a turn's channel isn't one of the recording's n, or isn't imported."""
    imported = {u.channel for u in parts}
    if turn.channel > n:
        found = f"the recording has {counted(n, 'channel')}"
        remedy = "correct the channel; that of a mono recording is 1"
    elif not imported & {None, turn.channel}:  # None: they are mixed
        found = f"only channel {parts[0].channel} is imported"
        remedy = "give channel='each', or delete the turns on other channels"
    else:
        return
    raise InputError(
        f"{turn.recording}: the turn from {turn.start:g} to {turn.end:g} s is on channel "
        f"{turn.channel}, and {found}",
        path=rttm,
        remedy=remedy,
    )


def _listen(path: Path, group: Sequence[Utterance], config: VoiceActivityConfig) -> _Found:
    """Find the speech on the wanted channels of one recording, in one pass."""
    found = _Found()
    detectors = [detector(config) for _ in group]
    peaks, sums, lengths = ([0.0] * len(group), [0] * len(group), [0] * len(group))
    finished: set[int] = set()
    try:
        for block in audio.blocks(path, [u.part for u in group]):
            i = block.part
            if block.error is not None:
                found.bad.append(Bad(printable(group[i].audio), block.error.found, group[i].id))
                continue
            detectors[i].add(block.wave)
            lengths[i] += len(block.wave)
            peaks[i] = max(peaks[i], float(abs(block.wave).max(initial=0.0)))
            if len(group) > 1:
                sums[i] = zlib.crc32(block.wave.tobytes(), sums[i])
            if block.is_last:
                finished.add(i)
    except Exception as error:
        lost = (u for i, u in enumerate(group) if i not in finished)
        why = why_not(error)
        found.bad += [Bad(printable(u.audio), why, u.id) for u in lost]
    seen: set[int] = set()
    for i in sorted(finished):
        name = group[i].id
        found.duration_s = max(found.duration_s, lengths[i] / audio.SAMPLE_RATE)
        found.speech[name] = stretches(detectors[i].finish(), config)
        if peaks[i] < _SILENT:
            found.silent.add(name)
        if len(group) > 1 and sums[i] in seen:
            found.same.add(name)
        seen.add(sums[i])
    return found


def _undivided(channel: Utterance) -> Utterance:
    """The recording that a channel is of, by the speaker who is known of all of it."""
    name = stem(channel.audio)
    speaker = (channel.speaker or "").removesuffix(suffixed("", channel.channel))
    return replace(channel, id=utterance_id(name), speaker=None if speaker == name else speaker)


def _is_divided(recording: Utterance) -> bool:
    """Whether it is one of the channels that a recording was divided into."""
    return recording.id != utterance_id(stem(recording.audio))


def _piece(recording: Utterance, stretch: Stretch) -> Utterance:
    """An utterance; where channels are divided, the channel is part of its id."""
    channel = recording.channel if _is_divided(recording) else None
    start, end = round(stretch.start, 3), round(stretch.end, 3)
    name = part_id(recording.audio, start, end, channel)
    return replace(recording, id=utterance_id(name), start=start, end=end, duration=UNKNOWN)
