"""Units to listen to: what each of a model's units sounds like, and what is known of it.

`write_units_page` makes a page of all of them, `units_of_run` the part of a run's report. Every
unit has its best examples (nearest to the unit's mean in features, if some are given; of typical
duration otherwise), examples in its most frequent context, its synthesis by an inverter, the phones
it goes with, and how long it lasts. Examples are played in a row with short gaps. The most frequent
units come first, as many as fit on a page.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain import audio
from zerochain.errors import InputError, counted
from zerochain.formats.corpus import Corpus, CorpusWarning, read_corpus
from zerochain.formats.features import Features, read_features
from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.quality import align_frames
from zerochain.progress import track
from zerochain.report import style
from zerochain.report.examples import Sound, played
from zerochain.report.listening import Group, cut, fitting, left_out, of_many_speakers, write_page
from zerochain.report.run import Run

PER_UNIT = 4
MOST_BYTES = 4_000_000
"""Of all sounds of units in the report, which has other sounds as well."""
_GAP_S = 0.12
_LONGEST_S = 0.4
_AROUND_S = 0.02
_SPOKEN_MS = 300
_PHONES = 3


@dataclass(frozen=True)
class _Segments:
    """All segments of a unit file, (S,) each."""

    names: list[str]
    utterance: NDArray[np.int64]
    unit: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    before: NDArray[np.int64]
    """The unit before it in its utterance; -1 at the start."""
    after: NDArray[np.int64]

    @classmethod
    def of(cls, unit_file: UnitFile) -> _Segments:
        """Repeats are merged."""
        parts: list[list[NDArray[np.int64] | NDArray[np.float64]]] = []
        for i, name in enumerate(unit_file.ids):
            units, lengths = unit_file.segments(name)
            ends = np.cumsum(lengths) * unit_file.step_ms / 1000
            padded = np.concatenate([[-1], units, [-1]]).astype(np.int64)
            starts = np.append(0, ends[:-1])
            where = np.full(len(units), i, np.int64)
            parts.append([where, padded[1:-1], starts, ends, padded[:-2], padded[2:]])
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return cls(unit_file.ids, *columns)


def write_units_page(
    out: Path,
    units: Path,
    corpus: Path,
    *,
    features: Path | None = None,
    inverter: Path | None = None,
    voice: str | None = None,
    shift_ms: float = 0.0,
    per_unit: int = PER_UNIT,
) -> int:
    """Write the page of a unit file's units; the number of units shown.

    Args:
        features: of the corpus, such as the model's latents: their means say which examples are
            the best.
        inverter: speaks each unit for 300 ms; in `voice`, or its first one.
        shift_ms: added to the times of gold phones, if the corpus has some.
        per_unit: examples in a row.

    Raises:
        InputError: the packages of the extra `report` are missing, ids or lengths that are not the
            corpus's, or a recording that can't be read.
        ModelMismatchError: the inverter speaks units of another model.
    """
    style.require_report_extra()
    unit_file, recordings = read_units(units), read_corpus(corpus)
    sounds = UnitSounds.of(
        unit_file,
        recordings,
        features=None if features is None else read_features(features),
        speak=_speaker(inverter, unit_file, voice),
        shift_ms=shift_ms,
        per_unit=per_unit,
    )
    if sounds.of_another_corpus:
        warnings.warn(sounds.of_another_corpus, CorpusWarning, stacklevel=2)
    groups = fitting(sounds.groups())
    notes = left_out(len(sounds.order) - len(groups), "unit", "They are the least frequent ones.")
    write_page(
        out,
        {
            "eyebrow": "zerochain units",
            "title": "What units sound like",
            "summary": sounds.summary,
            "system": unit_file.method,
            "groups": groups,
            "notes": [*notes, *sounds.notes],
            "about": sounds.about,
        },
    )
    return len(groups)


@dataclass(frozen=True)
class RunUnits:
    """The units of a run's system, to listen to."""

    system: str
    summary: str
    groups: list[Group]
    notes: list[str]
    about: str


def units_of_run(
    run: Run, named: Sequence[tuple[str, UnitFile]], n: int
) -> tuple[RunUnits | None, list[str]]:
    """The n most frequent units of a run's system.

    The system is the first one whose recordings are known, one with an inverter before others.
    Latents of its model show which examples are the best, where the run has them.

    Args:
        named: unit files under the names of their systems, the best first.
        n: 0 shows none.

    Returns:
        The units, if any, and what could not be played.
    """
    known = [(name, units, run.corpus_of(units)) for name, units in named]
    spoken = {id(units): _inverters(run, units) for _, units, _ in known}
    known.sort(key=lambda one: not spoken[id(one[1])])
    name, unit_file, corpus = next((one for one in known if one[2]), ("", None, None))
    if n < 1 or unit_file is None or corpus is None:
        return None, []
    problems: list[str] = []
    speak: Callable[[int], audio.Waveform] | None = None
    for path, voice in spoken[id(unit_file)]:
        try:
            speak = _speaker(path, unit_file, voice)
            break
        except InputError as error:
            problems.append(f"units can't be synthesised: {error}")
    paths = [
        source.path
        for source in run.sources
        if source.kind == "features"
        and source.value[0].options.get("model") == unit_file.model_id
        and (source.value[0].extractor, source.value[0].corpus_id) == ("latents", corpus.id)
    ]
    try:
        features = read_features(paths[0]) if paths else None
        if features is not None and not features.index.keys() >= unit_file.units.keys():
            features = None  # of another split
        sounds = UnitSounds.of(unit_file, corpus, features=features, speak=speak)
        groups = fitting(sounds.groups(n), MOST_BYTES)
    except InputError as error:
        return None, [*problems, f"units could not be played: {error}"]
    n_more = len(sounds.order) - len(groups)
    shown = next(run.shown(s.path) for s in run.sources if s.id == unit_file.id)
    more = (
        f"{counted(n_more, 'rarer unit')} not shown: 'zerochain units {shown}' makes a page of all."
    )
    notes = [*([more] if n_more else []), *sounds.notes]
    return RunUnits(name, sounds.summary, groups, notes, sounds.about), problems


def _inverters(run: Run, unit_file: UnitFile) -> list[tuple[Path, str | None]]:
    """Inverters of a run that speak these units, and a voice of each; a baseline comes last.

    The voice is that of the run's resynthesis; None is the inverter's first one.
    """
    used = {s.inverter_id: s.voice for s in run.syntheses if s.units_id == unit_file.id}
    found: list[tuple[bool, bool, Path, str | None]] = []
    for source in run.sources:
        if source.kind != "model":
            continue
        config = source.value.config
        speaks = "voices" in config and config.get("unit_model") == unit_file.model_id
        if source.id in used or speaks:
            voice = used.get(source.id)
            is_baseline = source.value.model == "unit-means"
            known = voice if voice in config.get("voices", ()) else None
            found.append((is_baseline, source.id not in used, source.path, known))
    found.sort(key=lambda one: one[:2])
    return [(path, voice) for *_, path, voice in found]


@dataclass(frozen=True)
class UnitSounds:
    """Everything that is known of the units of a file, and where to hear them."""

    segments: _Segments
    corpus: Corpus
    n_units: int
    order: list[int]
    """The units in use, the most frequent first."""
    phones: Mapping[int, str]
    distance: NDArray[np.float64] | None
    speak: Callable[[int], audio.Waveform] | None
    per_unit: int
    of_another_corpus: str
    """A note where the units are; "" if they aren't."""

    @classmethod
    def of(
        cls,
        unit_file: UnitFile,
        corpus: Corpus,
        *,
        features: Features | None = None,
        speak: Callable[[int], audio.Waveform] | None = None,
        shift_ms: float = 0.0,
        per_unit: int = PER_UNIT,
    ) -> UnitSounds:
        """Args are those of `write_units_page`, read.

        Raises:
            InputError: ids or lengths that are not the corpus's.
        """
        note = unit_file.check_corpus(corpus)
        segments = _Segments.of(unit_file)
        distance = None
        if features is not None:
            distance = _distances(segments, unit_file.n_units, features)
        counts = np.bincount(segments.unit, minlength=unit_file.n_units)
        order = [int(u) for u in np.argsort(-counts, kind="stable") if counts[u]]
        phones = _phones(unit_file, corpus, shift_ms)
        return cls(
            segments, corpus, unit_file.n_units, order, phones, distance, speak, per_unit, note
        )

    def groups(self, n: int | None = None) -> Iterator[Group]:
        """The n most frequent units, or all of them."""
        for unit in track(self.order[:n], "Cutting sounds of units"):
            chosen = np.flatnonzero(self.segments.unit == unit)
            facts = _facts(chosen, self.segments, self.corpus, self.phones.get(unit, ""))
            sounds = _sounds(chosen, self.segments, self.corpus, self.distance, self.per_unit)
            if self.speak is not None:
                sounds.append(Sound("synthesis", f"{_SPOKEN_MS} ms", self.speak(unit)))
            yield Group(f"Unit {unit}", facts, played(sounds))

    @property
    def summary(self) -> str:
        """How much there is of them, in a sentence."""
        return (
            f"{counted(len(self.order), 'unit')} in {counted(len(self.segments.unit), 'segment')} "
            f"of {counted(len(self.segments.names), 'utterance')} of corpus {self.corpus.name}."
        )

    @property
    def about(self) -> str:
        """What to know of the sounds."""
        return f"Up to {self.per_unit} examples are played in a row."

    @property
    def notes(self) -> list[str]:
        """On units of another corpus, and on units that never occur."""
        n = self.n_units - len(self.order)
        unused = f"{counted(n, 'unit')} of {self.n_units} never used." if n else ""
        return [note for note in (self.of_another_corpus, unused) if note]


def _facts(
    chosen: NDArray[np.int64], segments: _Segments, corpus: Corpus, phones: str
) -> list[str]:
    ms = 1000 * (segments.end_s - segments.start_s)[chosen]
    low, middle, high = np.percentile(ms, [10, 50, 90])
    voices = {
        corpus.by_id[segments.names[i]].speaker for i in np.unique(segments.utterance[chosen])
    }
    facts = [
        f"{counted(len(chosen), 'segment')}, {100 * len(chosen) / len(segments.unit):.1f} %",
        f"{middle:.0f} ms ({low:.0f} to {high:.0f} for 80 %)",
        counted(len(voices), "speaker"),
    ]
    return [*facts, f"phones: {phones}"] if phones else facts


def _phones(unit_file: UnitFile, corpus: Corpus, shift_ms: float) -> dict[int, str]:
    """The phones that each unit goes with, by time; none where the corpus has no alignments."""
    path = corpus.home / PHONES_FILE
    if not path.is_file():
        return {}
    gold = read_phones(path)
    aligned_ids = [name for name in unit_file.ids if name in gold.by_id]
    if not aligned_ids:
        return {}
    try:
        aligned = align_frames(
            unit_file.restrict(aligned_ids),
            Phones({name: gold.by_id[name] for name in aligned_ids}),
            shift_ms=shift_ms,
        )
    except InputError:  # no frame is in a phone
        return {}
    found = {}
    for unit, column in enumerate(aligned.table.T):
        total = column.sum()
        top = [int(p) for p in np.argsort(-column, kind="stable")[:_PHONES] if column[p]]
        names = [*aligned.names, "silence"]
        found[unit] = ", ".join(f"{names[p]} {100 * column[p] / total:.0f} %" for p in top)
    return found


def _distances(segments: _Segments, n_units: int, features: Features) -> NDArray[np.float64]:
    """How far the mean of each segment's frames is from the mean of all of its unit, (S,).

    Raises:
        InputError: utterances without features.
    """
    check_same_ids(segments.names, features.ids, "units", "features")
    means = np.zeros((len(segments.unit), features.dim))
    bounds = np.searchsorted(segments.utterance, np.arange(len(segments.names) + 1))
    for i, name in enumerate(segments.names):
        frames = np.asarray(features[name], np.float64)
        inside = slice(bounds[i], bounds[i + 1])
        sums = np.vstack([np.zeros(frames.shape[1]), np.cumsum(frames, axis=0)])
        scale = 1000 / features.step_ms
        begin = np.clip(np.rint(segments.start_s[inside] * scale).astype(int), 0, len(frames) - 1)
        end = np.clip(np.rint(segments.end_s[inside] * scale).astype(int), begin + 1, len(frames))
        means[inside] = (sums[end] - sums[begin]) / (end - begin)[:, None]
    counts = np.bincount(segments.unit, minlength=n_units)
    totals = np.zeros((n_units, features.dim))
    np.add.at(totals, segments.unit, means)
    centres = totals / np.maximum(counts, 1)[:, None]
    return np.asarray(np.linalg.norm(means - centres[segments.unit], axis=1))


def _sounds(
    chosen: NDArray[np.int64],
    segments: _Segments,
    corpus: Corpus,
    distance: NDArray[np.float64] | None,
    n: int,
) -> list[Sound]:
    lasting = (segments.end_s - segments.start_s)[chosen]
    typical = np.abs(lasting - np.median(lasting))
    contexts = Counter(
        zip(segments.before[chosen].tolist(), segments.after[chosen].tolist(), strict=True)
    )
    (before, after), n_there = contexts.most_common(1)[0]
    there = (segments.before[chosen] == before) & (segments.after[chosen] == after)
    rank = typical if distance is None else distance[chosen]
    best = _of_many_speakers(chosen[np.argsort(rank, kind="stable")], segments, corpus, n)
    usual = _of_many_speakers(
        chosen[there][np.argsort(rank[there], kind="stable")], segments, corpus, n
    )
    sides = [str(u) if u >= 0 else "the edge" for u in (before, after)]
    what = "typical length" if distance is None else "best"
    return [
        Sound(what, counted(len(best), "example"), _in_a_row(best, segments, corpus)),
        Sound(
            "most frequent context",
            f"between {sides[0]} and {sides[1]}, {100 * n_there / len(chosen):.0f} %",
            _in_a_row(usual, segments, corpus),
        ),
    ]


def _of_many_speakers(
    ranked: NDArray[np.int64], segments: _Segments, corpus: Corpus, n: int
) -> list[int]:
    """Of the best ones, the first of each speaker, then the second ones."""
    return of_many_speakers(
        ranked[: 50 * n].tolist(),
        lambda i: corpus.by_id[segments.names[segments.utterance[i]]].speaker,
        n,
    )


def _in_a_row(chosen: Sequence[int], segments: _Segments, corpus: Corpus) -> audio.Waveform:
    gap = np.zeros(round(_GAP_S * audio.SAMPLE_RATE), np.float32)
    parts = []
    for i in chosen:
        place = segments.names[segments.utterance[i]], segments.start_s[i], segments.end_s[i]
        wave, _ = cut(corpus, *place, around_s=_AROUND_S, longest_s=_LONGEST_S)
        parts += [wave, gap]
    return np.concatenate(parts[:-1]).astype(np.float32)


def _speaker(
    inverter: Path | None, unit_file: UnitFile, voice: str | None
) -> Callable[[int], audio.Waveform] | None:
    """What speaks a unit, alone."""
    if inverter is None:
        if voice is not None:
            raise InputError("voice= only applies to inverter=", remedy="give the inverter too")
        return None
    from zerochain.inversion.speaking import load_inverter  # with torch

    model = load_inverter(inverter)
    unit_file.check_model(model.unit_model, "inverter")
    chosen = voice if voice is not None else model.voices[0]
    n_steps = max(1, round(_SPOKEN_MS / model.step_ms))

    def speak(unit: int) -> audio.Waveform:
        return model.synthesize(np.full(n_steps, unit, np.int32), chosen)

    return speak
