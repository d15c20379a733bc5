"""What was found in each recording of a corpus, by tier: for files that are of whole recordings.

A recording may hold many utterances and speakers. Utterances, units and labelled stretches are on
the clock of their recording here; `elan_export` and `textgrid_export` write them.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from zerochain.corpora.sounds import duration_s, stem
from zerochain.errors import InputError
from zerochain.exchange.elan_edit import OURS, SEGMENTS
from zerochain.exchange.textgrid import UTTERANCES
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids, composed
from zerochain.formats.spans import Spans, read_spans
from zerochain.formats.units import read_units

_BEYOND_S = 0.05
Stretch = TypeVar("Stretch", bound=tuple[Any, ...])

Key = tuple[str, str, str]
"""A tier's name, its linguistic type, its speaker."""


class Found:
    """Annotations by recording and tier, in seconds of the recording."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.by_recording: dict[str, dict[Key, list[tuple[float, float, str]]]] = {}

    def add(
        self, tier: str, kind: str, place: Utterance | str, begin: float, end: float, label: str,
        speaker: str | None = None,
    ) -> None:  # fmt: skip
        """Add one, of an utterance or of a recording's file; its times are the recording's."""
        if isinstance(place, Utterance):
            speaker = speaker or place.speaker
            place = place.audio
        tiers = self.by_recording.setdefault(place, {})
        tiers.setdefault((tier, kind, speaker or ""), []).append((begin, end, label))


def _add_units(
    found: Found, tier: str, path: Path, corpus: Corpus, names: Sequence[str] | None
) -> None:
    unit_file = read_units(path)
    if note := unit_file.check_corpus(corpus):
        warnings.warn(f"{path}: {note}", CorpusWarning, stacklevel=5)
    if names is not None:
        check_same_ids(names, unit_file.ids, "split", "unit file")
    for name in unit_file.ids if names is None else names:
        u = corpus.by_id[name]
        units, lasting = unit_file.segments(name)
        times = np.append(0, np.cumsum(lasting)) * unit_file.step_ms / 1000
        begin = u.start or 0.0
        for onset, offset, unit in zip(times[:-1], times[1:], units.tolist(), strict=True):
            # The last step may reach beyond the utterance
            end = begin + min(float(offset), u.duration)
            if begin + onset < end:
                found.add(tier, f"{OURS}units", u, begin + float(onset), end, str(unit))


def _add_spans(found: Found, tier: str, spans: Spans, path: Path, chosen: set[str]) -> None:
    corpus = found.corpus
    files = {composed(stem(u.audio)): u.audio for u in corpus.utterances}
    names = list(dict.fromkeys(row.recording for row in spans.rows))
    check_same_ids(names, {*corpus.ids, *files}, "spans", f"corpus {corpus.name}")
    kind = OURS + re.sub(r"\s+", "-", spans.what)
    lasting = cache(duration_s)
    for row in spans.rows:
        u = corpus.by_id.get(row.recording)
        if u is None:
            file = files[row.recording]
            lasts = lasting(root_of(corpus) / file)
            if lasts is not None and row.end_s > lasts + _BEYOND_S:
                raise InputError(
                    f"{row.label!r} ends at {row.end_s:g} s, and the recording {row.recording!r} "
                    f"at {lasts:.3f} s",
                    path=path,
                    cause="times in another unit than seconds, or of another recording",
                    remedy="give times in seconds of the recording",
                )
            found.add(tier, kind, file, row.start_s, row.end_s, row.label, row.speaker)
            continue
        if row.end_s > u.duration + _BEYOND_S:
            raise InputError(
                f"{row.label!r} ends at {row.end_s:g} s, and the utterance {u.id!r} at "
                f"{u.duration:.3f} s",
                path=path,
                cause="times are the recording's, and the utterance is a part of it",
                remedy="give the recording's name instead of the utterance's id",
            )
        if u.id in chosen:
            begin = u.start or 0.0
            end = begin + min(row.end_s, u.duration)
            if begin + row.start_s < end:
                found.add(tier, kind, u, begin + row.start_s, end, row.label, row.speaker)


def gathered(
    corpus: Path,
    *,
    units: Mapping[str, Path] | None,
    spans: Mapping[str, Path] | None,
    segments: bool,
    split: str | None,
    without_text: str = "",
) -> Found:
    """What files of units and of labelled stretches hold, by recording.

    Args:
        units, spans: tier → file.
        segments: whether the utterances, with their texts, are a tier "utterances" as well.
        split: only this split, all of which needs units; stretches of whole recordings are all
            taken.
        without_text: the label of an utterance that has no text.

    Raises:
        InputError: utterances or recordings that the corpus lacks, units of another length,
            stretches beyond their utterance or recording, or nothing to write.
    """
    whole = read_corpus(corpus)
    chosen = whole if split is None else whole.select(split=split)
    found = Found(whole)
    if segments:
        for u in chosen.utterances:
            begin = u.start or 0.0
            found.add(UTTERANCES, SEGMENTS, u, begin, begin + u.duration, u.text or without_text)
    for tier, path in (units or {}).items():
        _add_units(found, tier, path, whole, None if split is None else chosen.ids)
    for tier, path in (spans or {}).items():
        _add_spans(found, tier, read_spans(path), path, set(chosen.ids))
    if not found.by_recording:
        raise InputError(
            "there is nothing to write",
            path=corpus,
            remedy="give files of units or spans of this corpus, or its segments",
        )
    return found


def by_speaker(
    found: Mapping[Key, Sequence[tuple[float, float, str]]], *, always: str = ""
) -> Iterator[tuple[str, Key, Sequence[tuple[float, float, str]]]]:
    """The tiers of one recording by name: "units", or "units@ana" where several have some.

    Args:
        always: the tier that is named after its speaker also where there is only one.
    """
    speakers = defaultdict(set)
    for name, _, speaker in found:
        speakers[name].add(speaker)
    for key, stretches in found.items():
        name, _, speaker = key
        of_one = speaker and (name == always or len(speakers[name]) > 1)
        yield f"{name}@{speaker}" if of_one else name, key, stretches


def apart(stretches: Iterable[Stretch]) -> list[list[Stretch]]:
    """(begin, end, …) on as few tiers as hold them without overlap, each on the first with room."""
    tiers: list[list[Stretch]] = []
    for one in sorted(stretches):
        room = next((tier for tier in tiers if tier[-1][1] <= one[0]), None)
        if room is None:
            tiers.append([one])
        else:
            room.append(one)
    return tiers


def root_of(corpus: Corpus) -> Path:
    """The folder of a corpus's recordings."""
    return corpus.home / corpus.audio_root  # which is absolute, or below the corpus
