"""Import a folder of recordings, all of it or what a table lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from zerochain.corpora.alignment_times import Clock
from zerochain.corpora.alignments import read_alignments
from zerochain.corpora.bad import Bad, check_path
from zerochain.corpora.build import build_corpus
from zerochain.corpora.channels import expand_channels
from zerochain.corpora.patterns import hashed_split, labels_from
from zerochain.corpora.plan import plan_folder, plan_table, stem, with_own_ids
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance


def import_folder(
    recordings: Path,
    out: Path,
    *,
    name: str | None = None,
    language: str = "",
    licence: str = "",
    source: str = "",
    table: Path | None = None,
    speaker_from: str | None = None,
    split_from: str | None = None,
    test_fraction: float | None = None,
    alignments: Path | None = None,
    tier: str | None = None,
    channel: str | None = None,
    alignment_times: Clock | None = None,
    strip_word_positions: bool = False,
    skip_bad: bool = False,
    copy: bool = False,
    jobs: int | None = None,
    keep: Callable[[Utterance], bool] = lambda _: True,
) -> Corpus:
    """Import recordings (WAV, FLAC, OGG, MP3, …; any rate, any number of channels) as a corpus.

    An utterance's id is its path in the folder without the suffix. Every file is decoded.
    Links to folders are followed (see `zerochain.corpora.sounds`).

    Args:
        recordings: searched with its subfolders.
        out: the corpus's folder.
        name: of the corpus; that of `out` by default.
        table: TSV or CSV with a column `file` and any of id, speaker, start, end, split, text,
            seconds (checked against the recording), channel (left, right, A, B or a number
            counted from 1); only its recordings are imported.
        speaker_from, split_from: see `zerochain.corpora.patterns.labels_from`.
        test_fraction: the share of utterances in split "test", chosen by a hash of the id.
        alignments: gold phones, see `zerochain.corpora.alignments.read_alignments`.
        tier: the TextGrids' tier of phones: a name, a pattern, or "#2" for the second.
        alignment_times: whether alignments of cut utterances have the utterance's times or the
            recording's, where that can't be told.
        strip_word_positions: take Kaldi's endings off the phones, AA1_B → AA1.
        channel: mix (the default), left, right, a number or each; see
            `zerochain.corpora.channels.expand_channels`.
        skip_bad: leave out unusable files, and record them, instead of refusing.
        copy: convert to 16 kHz mono FLAC inside the corpus instead of referring to the files.
        jobs: threads.
        keep: which of the planned utterances to import.

    Raises:
        InputError: unusable files (all listed), options or a table that make no sense.
    """
    _check_options(recordings, split_from, test_fraction)
    if table:
        plan = plan_table(recordings, table, skip_bad=skip_bad)
    else:
        plan = plan_folder(recordings, skip_bad=skip_bad)
    planned = tuple(filter(keep, plan.utterances))
    left_out = {u.id for u in plan.utterances} - {u.id for u in planned}
    bad = list(plan.bad)
    utterances = _labelled(planned, "speaker", speaker_from, skip_bad, bad)
    utterances = _labelled(utterances, "split", split_from, skip_bad, bad)
    utterances = _split_by_hash(utterances, test_fraction)  # channels stay in one split
    utterances = expand_channels(utterances, recordings, channel)
    why = "a recording's channels are called as another recording is"
    utterances, clashes = with_own_ids(utterances, recordings, why, skip_bad=skip_bad)
    recorded = {stem(u.audio) for u in plan.utterances}  # their alignments may lie there as well
    options = {
        "speaker_from": speaker_from,
        "split_from": split_from,
        "test_fraction": test_fraction,
        "alignments": str(alignments) if alignments else None,
        "tier": tier,
        "channel": channel,
        "alignment_times": alignment_times,
        "strip_word_positions": strip_word_positions,
    }
    draft = Corpus(
        name=name or out.absolute().name,
        utterances=utterances,
        audio_root=str(recordings.absolute()),
        language=language,
        licence=licence,
        source=source,
        record={**plan.record, "left_out": len(left_out), "options": options},
    )
    return build_corpus(
        out,
        draft,
        bad=[*bad, *clashes],
        align=partial(
            read_alignments,
            alignments,
            tier=tier,
            times=alignment_times,
            strip_word_positions=strip_word_positions,
        )
        if alignments
        else None,
        unlisted=plan.unlisted | left_out | recorded,
        skip_bad=skip_bad,
        copy=copy,
        jobs=jobs,
    )


def _labelled(
    utterances: tuple[Utterance, ...],
    field: Literal["speaker", "split"],
    pattern: str | None,
    skip_bad: bool,
    bad: list[Bad],
) -> tuple[Utterance, ...]:
    """The utterances with a label; those in whose names there is none join `bad`."""
    if pattern is None:
        return utterances
    if any(getattr(u, field) is not None for u in utterances):
        raise InputError(
            f"the table has a column {field!r} and --{field}-from is given as well",
            remedy="leave one of them out",
        )
    labels = labels_from(pattern, [stem(u.audio) for u in utterances], field, skip_bad=skip_bad)
    pairs = list(zip(utterances, labels, strict=True))
    why = f"--{field}-from {pattern!r} finds no {field} in its name"
    bad += [Bad(u.audio, why, u.id) for u, label in pairs if label is None]
    if field == "speaker":
        return tuple(replace(u, speaker=label) for u, label in pairs if label is not None)
    return tuple(replace(u, split=label) for u, label in pairs if label is not None)


def _split_by_hash(
    utterances: tuple[Utterance, ...], test_fraction: float | None
) -> tuple[Utterance, ...]:
    if test_fraction is None:
        return utterances
    if any(u.split is not None for u in utterances):
        raise InputError(
            "the table has a column 'split' and --test-fraction is given as well",
            remedy="leave one of them out",
        )
    return tuple(replace(u, split=hashed_split(u.id, test_fraction)) for u in utterances)


def _check_options(recordings: Path, split_from: str | None, test_fraction: float | None) -> None:
    if not recordings.is_dir():
        raise InputError("no such folder", path=recordings, remedy="check the path")
    check_path(recordings.absolute())
    if test_fraction is not None and split_from is not None:
        raise InputError("--split-from and --test-fraction are both given", remedy="choose one")
    if test_fraction is not None and not 0 < test_fraction < 1:
        raise InputError(
            f"a test fraction of {test_fraction}", remedy="give one between 0 and 1, such as 0.1"
        )
