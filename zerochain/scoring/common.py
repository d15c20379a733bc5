"""What all scorings share: the parts of a corpus that are scored, and the record of the scores.

A scoring takes files and gives a `Scored`: lines for scores.jsonl, and notes for the person who
reads them. Ids that one side lacks are an error; whatever is left out on purpose is noted.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.corpora.sounds import Found, search, stem
from zerochain.errors import InputError, counted, listed
from zerochain.formats.basis import shortfall_note
from zerochain.formats.corpus import MARKER as CORPUS_MARKER
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids, composed
from zerochain.formats.pairs import Pairs
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.scores import Score
from zerochain.formats.spans import LabelledSpan
from zerochain.formats.synthesis import MARKER, Synthesis, read_synthesis
from zerochain.formats.units import UnitFile
from zerochain.metrics.names import Metric
from zerochain.metrics.silences import SILENCES

Interval = tuple[float, float] | None
REAL_SPEECH = "real speech"
"""The system of scores of a corpus's own recordings."""


@dataclass(frozen=True)
class Scored:
    """Scores, and notes for the person who reads them."""

    scores: list[Score]
    notes: list[str] = field(default_factory=list)

    @property
    def shortfalls(self) -> list[str]:
        """Why some of the scores rest on too little data to be shown, one line each."""
        return [note for score in self.scores if (note := shortfall_note(score))]


@dataclass(frozen=True)
class Common:
    """The fields that all scores of one scoring have in common."""

    system: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]

    def score(
        self,
        metric: Metric,
        value: float,
        interval: Interval,
        n: int,
        protocol: str,
        *,
        chance: float | None = None,
        **options: Any,
    ) -> Score:
        """A line of scores.jsonl.

        Args:
            chance: the chance level, where there is one.
            options: added to the common ones; a None leaves the option out.
        """
        stated = {k: v for k, v in {**options, "chance": chance}.items() if v is not None}
        return Score(
            metric.key,
            value,
            interval,
            n,
            protocol,
            self.system,
            self.inputs,
            {**self.options, **stated},
        )


def exclusion_notes(scores: Sequence[Score]) -> list[str]:
    """One line per exclusion, without repeats."""
    lines = {
        f"left out: {count:,} {why.replace('_', ' ')}": None
        for score in scores
        for why, count in score.options.get("exclusions", {}).items()
    }
    return list(lines)


def selected_units(
    unit_file: UnitFile, corpus: Corpus, split: str | None
) -> tuple[UnitFile, list[str]]:
    """The units of a split, or all of them, and notes on utterances without units and on units
    that were made of another corpus.

    Raises:
        InputError: ids that the corpus lacks, units longer or shorter than its recordings, or a
            split that the unit file does not cover.
    """
    notes = [note] if (note := unit_file.check_corpus(corpus)) else []
    if split is None:
        missing = sorted(set(corpus.ids) - set(unit_file.ids))
        if missing:
            notes.append(
                f"{counted(len(missing), 'utterance')} of the corpus without units: left out, also "
                f"from the total duration: {listed(missing)}"
            )
        return unit_file, notes
    ids = corpus.select(split=split).ids
    check_same_ids(ids, unit_file.ids, f"split {split!r}", "unit file")
    return unit_file.restrict(ids), notes


def gold_phones(corpus: Corpus, silences: Collection[str] = SILENCES) -> Phones:
    """A corpus's alignments; warns of silences that it lacks, and of usual ones that are not named.

    Raises:
        InputError: it has none.
    """
    path = corpus.home / PHONES_FILE
    if not path.is_file():
        raise InputError(
            f"corpus {corpus.name!r} has no gold phones",
            path=path,
            remedy="import it again with alignments ('zerochain import folder --alignments …'); "
            "without them, 'zerochain score' has bitrate, usage, leakage, robustness and "
            "sentences, and ABX takes .item files",
        )
    phones = read_phones(path)
    if silences is not SILENCES:
        labels = Counter(one.phone for line in phones.by_id.values() for one in line)
        lacking = sorted(repr(name) for name in silences if name not in labels)
        if lacking:
            _warn(f"silences that are no label of corpus {corpus.name!r}: {listed(lacking)}")
        usual = [one for one in labels if one in SILENCES and one not in silences]
        if usual:
            some = [f"{one!r} ({counted(labels[one], 'time')})" for one in sorted(usual)]
            _warn(f"labels that usually are silences count as phones: {listed(some)}")
    return phones


def in_utterances(rows: Iterable[LabelledSpan], corpus: Corpus) -> tuple[list[LabelledSpan], int]:
    """Stretches by the names of recordings as stretches of utterances, and how many have none.

    A stretch belongs to the utterance that has most of it, of two the one of its speaker, and is
    clipped there. Those whose name is an utterance's id, or unknown, stay as they are.
    """
    cut_from: dict[str, list[Utterance]] = defaultdict(list)
    for u in corpus.utterances:
        cut_from[composed(stem(u.audio))].append(u)
    placed, ids = [], set(corpus.ids)
    n_outside = 0
    for row in rows:
        if row.recording in ids or row.recording not in cut_from:
            placed.append(row)
            continue

        def shared_s(u: Utterance, row: LabelledSpan = row) -> float:
            start = u.start or 0.0
            return min(row.end_s, start + u.duration) - max(row.start_s, start)

        best = max(cut_from[row.recording], key=lambda u: (shared_s(u), u.speaker == row.speaker))
        if 2 * shared_s(best) <= row.end_s - row.start_s:
            n_outside += 1
            continue
        start = best.start or 0.0
        begin, end = max(row.start_s - start, 0.0), min(row.end_s - start, best.duration)
        placed.append(row._replace(recording=best.id, start_s=begin, end_s=end))
    return placed, n_outside


def _warn(found: str) -> None:
    warnings.warn(found, CorpusWarning, stacklevel=4)


def wav_of(folder: Path, name: str) -> Path:
    """The wav of an utterance, whose name on disk may be in decomposed letters, as macOS writes."""
    path = folder / f"{name}.wav"
    decomposed = folder / unicodedata.normalize("NFD", f"{name}.wav")
    return decomposed if not path.exists() and decomposed.exists() else path


@dataclass(frozen=True)
class Wavs:
    """A folder of <id>.wav, and its synthesis.json where zerochain wrote it."""

    folder: Path
    ids: list[str]
    """Of the files, sorted."""
    synthesis: Synthesis | None

    @classmethod
    def of(cls, folder: Path) -> Wavs:
        """List a folder.

        Raises:
            InputError: a damaged synthesis.json.
        """
        found = search(folder, {".wav"}) if folder.is_dir() else Found()
        files = [file for file in (*found.files, *found.links) if file.endswith(".wav")]
        synthesis = read_synthesis(folder) if (folder / MARKER).exists() else None
        return cls(folder, sorted(composed(stem(file)) for file in files), synthesis)

    def voice(self, given: str | None) -> str:
        """The voice that they are in: the given one, else that of synthesis.json.

        Raises:
            InputError: neither is there.
        """
        if given is not None:
            return given
        if self.synthesis is None:
            raise InputError(
                "has no synthesis.json, so the voice of its wavs is unknown",
                path=self.folder,
                cause="another program made them",
                remedy="give voice='SPEAKER'",
            )
        return self.synthesis.voice

    @property
    def known_voice(self) -> str | None:
        """That of synthesis.json; None without one."""
        return None if self.synthesis is None else self.synthesis.voice

    @property
    def system(self) -> str:
        """What made them: unit model and inverter, else the folder's name."""
        made = self.synthesis
        return self.folder.name if made is None else f"{made.unit_method} → {made.method}"

    @property
    def inputs(self) -> dict[str, str]:
        """The ids of inverter and units, where they are known."""
        made = self.synthesis
        return {} if made is None else {"inverter": made.inverter_id, "units": made.units_id}


@dataclass(frozen=True)
class Speech:
    """Synthesised speech or real recordings, to be judged."""

    folder: Path
    ids: list[str]
    system: str
    """What made them, in a few words."""
    inputs: Mapping[str, str]
    corpus: Corpus | None = None
    """Where the recordings are real, their corpus."""
    voice: str | None = None
    """Of synthesised speech, where it is known."""

    @classmethod
    def of(cls, folder: Path) -> Speech:
        """A folder of wavs of any origin, or a corpus.

        Raises:
            InputError: neither.
        """
        if (folder / CORPUS_MARKER).exists():
            corpus = read_corpus(folder)
            return cls(folder, corpus.ids, REAL_SPEECH, {"recordings": corpus.id}, corpus)
        wavs = Wavs.of(folder)
        ids = wavs.ids if wavs.synthesis is None else list(wavs.synthesis.ids)
        if not ids:
            raise InputError(
                "holds no wav",
                path=folder,
                cause="it is another folder",
                remedy="synthesise some speech, or give a corpus",
            )
        return cls(folder, ids, wavs.system, wavs.inputs, voice=wavs.known_voice)

    def waves(self, ids: Sequence[str]) -> Iterator[Waveform]:
        """Recordings at 16 kHz, one after the other."""
        if self.corpus is None:
            return (audio.read(wav_of(self.folder, name)) for name in ids)
        return self.corpus.waves([self._utterances[name] for name in ids])

    @cached_property
    def _utterances(self) -> dict[str, Utterance]:
        return {} if self.corpus is None else {u.id: u for u in self.corpus.utterances}


def transcripts(corpus: Corpus, names: Sequence[str]) -> dict[str, str]:
    """The texts of some utterances, unchanged from the corpus.

    Raises:
        InputError: the corpus lacks an utterance or its text.
    """
    check_same_ids(names, corpus.ids, "utterances", f"corpus {corpus.name}")
    texts = {u.id: u.text for u in corpus.utterances}
    without = [name for name in names if not texts[name]]
    if without:
        raise InputError(
            f"{len(without)} of {counted(len(names), 'utterance')} without a text: "
            f"{listed(without)}",
            path=corpus.folder,
            cause="the corpus was imported without transcripts",
            remedy="import it again with a table that has a column 'text'",
        )
    return {name: str(texts[name]) for name in names}


def scored_pairs(
    pairs: Pairs, outputs: Collection[str], corpus: Corpus | None, split: str | None
) -> Pairs:
    """The pairs of a split of one of the two corpora; without a split, those with an output.

    Raises:
        InputError: a pair of the split without an output, or an output without a pair.
    """
    if split is None:
        check_same_ids(outputs, {source for source, _ in pairs.pairs}, "outputs", "pairs")
        there = set(outputs)
        return replace(pairs, pairs=tuple(p for p in pairs.pairs if p[0] in there))
    if corpus is None:
        raise InputError(
            f"split {split!r} of which corpus?",
            remedy="give corpus=, that of the sources or that of the targets",
        )
    inside = pairs.of_split(corpus, split)
    sources = list(dict.fromkeys(source for source, _ in inside.pairs))
    check_same_ids(sources, outputs, f"pairs of split {split!r}", "outputs")
    return inside
