"""Import a Kaldi data directory: wav.scp, and if there are any utt2spk, segments and text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from zerochain.corpora.alignment_times import Clock
from zerochain.corpora.alignments import read_alignments
from zerochain.corpora.build import UNKNOWN, build_corpus
from zerochain.corpora.channels import expand_channels
from zerochain.corpora.tables import read_text
from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.identity import check_same_ids, check_unique, utterance_id


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

    Args:
        folder: holds wav.scp (plain paths) and optionally utt2spk, segments and text.
        out: the corpus's folder.
        recordings: where the relative paths in wav.scp start; `folder` by default.
        split: of all its utterances, since Kaldi has a directory for each.
        name, language, licence, source, alignments, tier, alignment_times, strip_word_positions,
            channel, skip_bad, copy, jobs: as for a folder.

    Raises:
        InputError: as for a folder; pipes in wav.scp; ids that one file has and another lacks.
    """
    paths = _wavs(folder / "wav.scp", (recordings or folder).absolute())
    utterances = _utterances(folder, list(paths))
    root = Path(os.path.commonpath([path.parent for path in paths.values()]))
    speakers = _optional(folder / "utt2spk", [u.id for u in utterances])
    texts = _optional(folder / "text", [u.id for u in utterances])
    draft = Corpus(
        name=name or out.absolute().name,
        utterances=tuple(
            Utterance(
                id=u.id,
                audio=paths[u.audio].relative_to(root).as_posix(),
                duration=UNKNOWN,
                speaker=speakers.get(u.id),
                start=u.start,
                end=u.end,
                split=split,
                text=texts.get(u.id),
            )
            for u in utterances
        ),
        audio_root=str(root),
        language=language,
        licence=licence,
        source=source,
        record={"kaldi": str(folder)},
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
            recordings={path.relative_to(root).as_posix(): name for name, path in paths.items()},
        )
    return build_corpus(out, draft, align=align, skip_bad=skip_bad, copy=copy, jobs=jobs)


def _wavs(scp: Path, start: Path) -> dict[str, Path]:
    entries = _read(scp)
    pipes = [name for name, value in entries.items() if value.endswith("|")]
    if pipes:
        raise InputError(
            f"{len(pipes)} recordings are pipes, commands to be run by a shell: {listed(pipes)}",
            path=scp,
            cause="the recipe decodes them on the fly, from SPHERE for example",
            remedy="zerochain runs no commands from files: convert the recordings once "
            "(Kaldi's wav-copy does it) and list the plain paths",
        )
    return {name: Path(os.path.normpath(start / value)) for name, value in entries.items()}


def _utterances(folder: Path, recordings: list[str]) -> list[Utterance]:
    """Ids and times, `audio` being the recording's id."""
    path = folder / "segments"
    if not path.exists():
        return [Utterance(utterance_id(name), name, UNKNOWN) for name in recordings]
    utterances = []
    for name, value in _read(path).items():
        recording, start, end = _segment(value, name, path)
        utterances.append(Utterance(utterance_id(name), recording, UNKNOWN, start=start, end=end))
    check_same_ids([u.audio for u in utterances], recordings, "segments", "wav.scp")
    return utterances


def _segment(value: str, name: str, path: Path) -> tuple[str, float, float | None]:
    try:
        recording, start, end = value.split()
        times = float(start), float(end)
    except ValueError as error:
        raise InputError(
            f"{name!r}: 'recording start end' expected, found {value!r}",
            path=path,
            remedy="mend the line",
        ) from error
    return recording, times[0], None if times[1] == -1 else times[1]


def _optional(path: Path, ids: list[str]) -> Mapping[str, str]:
    if not path.exists():
        return {}
    entries = _read(path)
    check_same_ids(ids, list(entries), "utterances", path.name)
    check_same_ids(list(entries), ids, path.name, "utterances")
    return entries


def _read(path: Path) -> dict[str, str]:
    """`id value` a line; the value may be empty (an utterance without a word)."""
    lines = [line.split(maxsplit=1) for line in read_text(path).splitlines() if line.strip()]
    check_unique((line[0] for line in lines), path)
    if not lines:
        raise InputError("is empty", path=path, remedy="check the data directory")
    return {line[0]: line[1].strip() if len(line) == 2 else "" for line in lines}
