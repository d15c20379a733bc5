"""The last step of every import: decode all recordings, report what is wrong, write the corpus.

An import plans utterances (`folder`, `exchange.kaldi`); here every one of them is decoded once and
measured, gold phones are read now that durations are known, and either all unusable files are
reported at once or, with `skip_bad`, left out and recorded. What deserves a look goes into the
corpus's record, and `findings` puts it into words.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib

import zerochain
from zerochain import audio
from zerochain.corpora.measuring import Job, Measured, measure_file
from zerochain.corpora.sounds import Bad, check_path, conversion, stem
from zerochain.errors import InputError, counted, listed, printable
from zerochain.formats.atomic import atomic_folder, check_replaceable
from zerochain.formats.corpus import (
    MARKER,
    Corpus,
    CorpusWarning,
    Utterance,
    fill_corpus,
    read_corpus,
)
from zerochain.formats.identity import composed
from zerochain.formats.inside import resolved
from zerochain.formats.phones import Phones
from zerochain.machine import cores
from zerochain.progress import track

UNKNOWN = math.nan
"""The duration of an utterance that nobody has measured yet."""
_MISSING = {"na", "n/a", "<na>", "nan", "none", "null"}
"""What other programs write for a missing value."""
_SHOWN = 50
_ALIKE = 4
"""From this many on, files with one cause share a line."""
_SHOWN_ALIKE = 3
_DETAIL = re.compile(r"'[^']*'|\d+(?:\.\d+)?")
_ANNOTATIONS = (".eaf", ".trs", ".flextext")
"""Suffixes of files that mostly say which utterances there are."""
_LONGEST_NAME = 255 - len(".flac")
_QUICK, _AT_ONCE = {".wav", ".flac", ".aif", ".aiff", ".w64", ".rf64", ".sph"}, 100


class Span(NamedTuple):
    """An utterance that could be decoded, its duration known, and its recording's header."""

    utterance: Utterance
    header: audio.AudioInfo


class Alignment(NamedTuple):
    """The phones of a corpus, unusable files of alignments, and what deserves a look."""

    phones: Phones
    bad: list[Bad]
    notes: list[str]


Align = Callable[[Mapping[str, Span], frozenset[str]], Alignment]
"""(utterances by id, ids without an utterance that may be aligned) → their phones."""


def build_corpus(
    out: Path,
    draft: Corpus,
    *,
    bad: Sequence[Bad] = (),
    align: Align | None = None,
    unlisted: frozenset[str] = frozenset(),
    skip_bad: bool = False,
    copy: bool = False,
    jobs: int | None = None,
) -> Corpus:
    """Decode every utterance of a draft and write the corpus that remains.

    Args:
        out: the corpus's folder.
        draft: the planned corpus, with durations as a table gives them, or `UNKNOWN`.
        bad: files already known to be unusable.
        align: reads the gold phones once the durations are known.
        unlisted: ids of recordings that are there but not in the draft.
        skip_bad: leave out what can't be used, and record it, instead of refusing.
        copy: write 16 kHz mono FLAC into `out`/audio instead of referring to the originals.
        jobs: threads; the number of cores by default.

    Raises:
        InputError: unusable files (all of them listed), or nothing usable.
    """
    root = Path(draft.audio_root)
    _check_places(out, draft)
    draft = replace(draft, utterances=tuple(map(_composed, draft.utterances)))
    with atomic_folder(out, MARKER) as temporary:
        names = copy_names(draft.ids) if copy else {}
        copies = {name: temporary / "audio" / file for name, file in names.items()}
        found = _decode_all(draft, copies if copy else None, jobs or cores())
        good = [(u, m) for u, m in found if isinstance(m, Measured)]
        lost = [m for _, m in found if isinstance(m, Bad)]
        utterances = tuple(replace(u, duration=m.duration) for u, m in good)
        aligned: Alignment | None = None
        if align is not None:
            spans = {u.id: Span(replace(u, duration=m.duration), m.header) for u, m in good}
            spare = {b.id for b in [*bad, *lost]} | {stem(u.audio) for u in draft.utterances}
            aligned = align(spans, unlisted | spare)
        bad = sorted({*bad, *lost, *(aligned.bad if aligned else ())})
        _refuse(bad, len(utterances), root, skip_bad)
        record = {**_record(good, bad), **draft.record}
        if aligned is not None:
            record["without_alignment"] = len(utterances) - len(aligned.phones.by_id)
            record["notes"] = [*record.get("notes", []), *aligned.notes]
        if notes := _label_notes(utterances):
            record["notes"] = [*record.get("notes", []), *notes]
        corpus = replace(draft, utterances=utterances, record=record)
        if copy:
            utterances = tuple(
                replace(u, audio=names[u.id], start=None, end=None, channel=None)
                for u in utterances
            )
            corpus = replace(corpus, utterances=utterances, audio_root="audio")
        fill_corpus(temporary, corpus, aligned.phones if aligned else None)
    written = read_corpus(out)
    for line in findings(written):
        warnings.warn(line, CorpusWarning, stacklevel=3)
    return written


def findings(corpus: Corpus) -> list[str]:
    """What an import noticed about its recordings, one line each, for people."""
    record = corpus.record
    lines = [
        _skipped(record.get("skipped", [])),
        _unread(record.get("unread", {})),
        _noticed(record.get("noticed", [])),
        _not_consulted(record),
    ]
    counts = {
        "unlisted": ("recording", "in the folder but not in the table"),
        "unannotated": (
            "recording",
            "without a file of annotations"
            + (f": {listed(files, 3)}" if (files := record.get("unannotated_files")) else ""),
        ),
        "hidden": ("hidden file", "passed over"),
        "without_alignment": ("utterance", "without an alignment"),
    }
    lines += [
        f"{counted(record[key], one)} {what}"
        for key, (one, what) in counts.items()
        if record.get(key)
    ]
    links = {
        "links_passed_over": ("link", "passed over, to files that are in the folder themselves"),
        "links_to_nowhere": ("broken link", "found"),
    }
    lines += [
        f"{counted(len(record[key]), one)} {what}: {listed(record[key])}"
        for key, (one, what) in links.items()
        if record.get(key)
    ]
    lines += record.get("notes", [])
    return [line for line in lines if line]


def _check_places(out: Path, draft: Corpus) -> None:
    """Refuse an `out` that holds the recordings: writing replaces it."""
    check_replaceable(resolved(out), MARKER)
    root = Path(draft.audio_root)
    folders = {root, *(draft.audio_path(u).parent for u in draft.utterances)}
    for folder in sorted(folders):
        check_path(folder)
    inside = [f for f in sorted(folders) if resolved(f).is_relative_to(resolved(out))]
    if inside:
        raise InputError(
            f"the recordings lie in {inside[0]}, inside the corpus to be written",
            path=out,
            cause="writing it would replace the folder, recordings and all",
            remedy="choose another path",
        )


def _composed(utterance: Utterance) -> Utterance:
    """The utterance with its labels in Unicode's composed form, so that a speaker has one name."""
    speaker, split, text = (
        None if label is None else composed(label)
        for label in (utterance.speaker, utterance.split, utterance.text)
    )
    return replace(utterance, speaker=speaker, split=split, text=text)


def _decode_all(
    draft: Corpus, copies: Mapping[str, Path] | None, jobs: int
) -> list[tuple[Utterance, Measured | Bad]]:
    """Measure every utterance, those of one file in one pass."""
    found: dict[str, Measured | Bad] = {}
    if copies is not None:
        found |= {u.id: bad for u in draft.utterances if (bad := _unnamable(u))}
    work = list(_jobs(draft, copies, found))
    calls = (joblib.delayed(measure_file)(job) for job in work)
    results = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(calls)
    for one in track(results, "Decoding", len(work)):
        found |= one
    return [(u, found[u.id]) for u in draft.utterances]


def _unnamable(utterance: Utterance) -> Bad | None:
    if all(len(name.encode()) <= _LONGEST_NAME for name in utterance.id.split("/")):
        return None
    why = f"its id is too long for the name of a copy: over {_LONGEST_NAME} bytes"
    return Bad(printable(utterance.audio), why, utterance.id)


def _jobs(draft: Corpus, copies: Mapping[str, Path] | None, but: Collection[str]) -> Iterator[Job]:
    """The utterances of each file; where seeking is quick, a hundred at a time."""
    by_file: dict[Path, list[Utterance]] = defaultdict(list)
    for u in (u for u in draft.utterances if u.id not in but):
        by_file[draft.audio_path(u)].append(u)
    for path, utterances in by_file.items():
        utterances.sort(key=lambda u: u.start or 0.0)
        n = _AT_ONCE if path.suffix.lower() in _QUICK else len(utterances)
        for i in range(0, len(utterances), n):
            yield Job(path, tuple(utterances[i : i + n]), copies)


def copy_names(ids: Collection[str]) -> dict[str, str]:
    """Id → the name of its copy: `ID.flac`, or `ID-2.flac` where another id differs only in case.

    Disks of macOS and Windows take such names for one file, and one copy would replace the other.
    """
    found: dict[str, str] = {}
    taken, seen = {name.casefold() for name in ids}, set()
    for name in sorted(ids):
        free = name
        if name.casefold() in seen:
            numbered = (f"{name}-{n}" for n in itertools.count(2))
            free = next(one for one in numbered if one.casefold() not in taken)
            taken.add(free.casefold())
        seen.add(name.casefold())
        found[name] = f"{free}.flac"
    return found


def _refuse(bad: Sequence[Bad], n_good: int, root: Path, skip_bad: bool) -> None:
    causes = _by_file(bad)
    lines = [f"\n    {line}" for line in grouped(causes)]
    more = f"\n    and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    why = "".join(lines[:_SHOWN]) + more
    if bad and not skip_bad:
        raise InputError(
            f"{counted(len(causes), 'file')} can't be used:{why}",
            path=root,
            remedy="fix or remove them, or leave them out with skip_bad=True",
        )
    if n_good == 0:
        raise InputError(f"holds no usable recording{why}", path=root, remedy="check the folder")


def _by_file(bad: Iterable[Bad]) -> list[tuple[str, str]]:
    """Each file and why it can't be used, with its utterances if there are several."""
    ids: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in bad:
        ids[one.file, one.reason].append(one.id)
    return [
        (file, reason + f" ({len(names)} utterances: {listed(names, 3)})" * (len(names) > 1))
        for (file, reason), names in ids.items()
    ]


def grouped(bad: Iterable[tuple[str, str]]) -> list[str]:
    """One line per file and why it can't be used, or for many files with one cause.

    Causes that differ only in numbers and quoted text count as one; the first file's is shown.

    Args:
        bad: files and reasons, in the order to be shown.
    """
    causes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for file, reason in bad:
        causes[_DETAIL.sub("…", reason)].append((file, reason))
    lines = []
    for entries in causes.values():
        if len(entries) < _ALIKE:
            lines += [f"{file}: {reason}" for file, reason in entries]
            continue
        same = len({reason for _, reason in entries}) == 1
        files = list(dict.fromkeys(file for file, _ in entries))
        if len(files) == 1:
            lines.append(f"{files[0]}: {entries[0][1]}, and {len(entries) - 1} more like it")
            continue
        like = "" if same else ", such as the first of them"
        lines.append(f"{len(files)} files{like}: {entries[0][1]} ({listed(files, _SHOWN_ALIKE)})")
    return lines


def _label_notes(utterances: Sequence[Utterance]) -> list[str]:
    """Speakers and splits that may be none, or the same as others."""
    notes = []
    for field in ("speaker", "split"):
        counts = Counter(label for u in utterances if (label := getattr(u, field)) is not None)
        by_form: dict[str, list[str]] = defaultdict(list)
        for label in sorted(counts):
            by_form[label.casefold()].append(label)
            if label.casefold() in _MISSING:
                notes.append(
                    f"{field} {label!r}, of {counted(counts[label], 'utterance')}, is taken for a "
                    "name: leave the cell empty if it means that nobody knows"
                )
        for labels in by_form.values():
            if len(labels) > 1:
                names = " and ".join(map(repr, labels))
                notes.append(f"{field}s {names} differ only in case, and count as {len(labels)}")
    return notes


def _record(good: list[tuple[Utterance, Measured]], bad: Sequence[Bad]) -> dict[str, Any]:
    headers = {u.audio: m.header for u, m in good}.values()
    rates = Counter(header.sample_rate for header in headers)
    channels = Counter(header.n_channels for header in headers)
    return {
        "zerochain": zerochain.__version__,
        "sample_rates": {str(rate): rates[rate] for rate in sorted(rates)},
        "channels": {str(n): channels[n] for n in sorted(channels)},
        "skipped": [b._asdict() for b in bad],
        "noticed": [{"id": u.id, "what": what} for u, m in good for what in m.oddities],
    }


def _skipped(entries: list[dict[str, str]]) -> str:
    bad = [
        Bad(str(e.get("file", "")), str(e.get("reason", "")), str(e.get("id", ""))) for e in entries
    ]
    return _first(f"skipped {len(bad)}", grouped(_by_file(bad)))


def _noticed(entries: list[dict[str, str]]) -> str:
    ids: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        ids[str(entry.get("what", ""))].append(str(entry.get("id", "")))
    lines = [f"{listed(names, 3)}: {what}" for what, names in ids.items()]
    return _first(f"noticed {len(entries)}", lines)


def _unread(files: Mapping[str, Sequence[str]]) -> str:
    if not files:
        return ""
    first = next(iter(files.values()))[0]
    kinds = ", ".join(f"{len(names)} {suffix}" for suffix, names in files.items())
    names = listed([name for group in files.values() for name in group], 3)
    return (
        f"sound in formats that aren't read ({kinds}): {names}; "
        f"convert it and import again: {conversion(first)}"
    )


def _not_consulted(record: Mapping[str, Any]) -> str:
    """Annotations that may say where utterances are, where voice activity was asked instead."""
    others = record.get("other_files", {})
    kinds = [f"{others[suffix]} {suffix}" for suffix in _ANNOTATIONS if suffix in others]
    if not kinds or "voice_activity" not in record:
        return ""
    return (
        f"{', '.join(kinds)} beside the recordings, and utterances are those of voice activity; "
        "where annotations mark them already, 'import folder' with segments_from= takes these"
    )


def _first(what: str, lines: Sequence[str]) -> str:
    shown = [f"\n  {line}" for line in lines[:10]]
    more = f"\n  and {len(lines) - 10} more" if len(lines) > 10 else ""
    return f"{what}:{''.join(shown)}{more}" if lines else ""
