"""Translations to listen to: source, reference and every system's, their units beneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.units import UnitFile
from zerochain.progress import track
from zerochain.report import style, utterances
from zerochain.report.run import Run
from zerochain.report.score_tables import group_of
from zerochain.report.utterances import Player, Sound, played, start

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BYTES = 5_000_000
_NUMBERED = 45  # units: more have no room for their numbers beside an attention map

_BRIGHT = 0.5  # of the attention: the same on all maps, so that one that listens anywhere is dark


@dataclass(frozen=True)
class Said:
    """A translation's units, or the reference's."""

    system: str
    parts: list[tuple[str, bool]]
    """Units in a row, and whether they are the reference's too."""


@dataclass(frozen=True)
class Translated:
    """A source, what it should become and what it became."""

    source: Utterance
    reference: Utterance
    players: list[Player]
    said: list[Said]
    attention: str
    """An <svg> of where the first system that has one listened; or nothing."""

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        return len(self.attention) + sum(player.size for player in self.players)


@dataclass(frozen=True)
class _Sides:
    """The translations of a run from one corpus to another."""

    source: Corpus
    target: Corpus
    references: Mapping[str, str]
    """Source → its first target."""
    spoken: UnitFile
    """Units of the targets' recordings."""
    systems: Mapping[str, UnitFile]


def translations(run: Run, n: int) -> tuple[list[Translated], list[str]]:
    """At most n translated utterances of the sources' test split, of as many speakers as can be.

    Returns:
        The examples, and why there are fewer.
    """
    sides = _sides(run)
    if sides is None:
        return [], []
    ids = [i for i in sides.references if all(i in units.units for units in sides.systems.values())]
    chosen = utterances.choose(sides.source, ids, n)
    made: list[Translated] = []
    try:
        for source in track(chosen, "Drawing translations"):
            one = _translated(run, sides, source)
            if made and sum(e.size for e in [*made, one]) > _MOST_BYTES:
                return made, [f"{len(made)} of {len(chosen)} translations fit into the page"]
            made.append(one)
    except InputError as error:
        return made, [f"a translation could not be shown: {error}"]
    return made, []


def _sides(run: Run) -> _Sides | None:
    """The first corpus that is translated and whose pairs, targets and their units are there."""
    scores = [score for score in run.scores if group_of(score) == "translation"]
    names = {score.inputs.get("units"): score.system for score in scores}
    for pairs in [p for both in run.pairs for p in (both, both.swapped())]:
        source, target = (run.corpora.get(i) for i in (pairs.source_corpus, pairs.target_corpus))
        made = [
            u
            for u in run.units.values()
            if u.is_translation and source and u.corpus_id == source.id
        ]
        models = {units.model_id for units in made}
        spoken = [
            units
            for units in run.units.values()
            if target and units.corpus_id == target.id and units.model_id in models
        ]
        if not made or not spoken or source is None or target is None:
            continue
        widest = max(spoken, key=lambda units: len(units.units))
        return _Sides(
            source,
            target,
            {a: b for a, b in reversed(pairs.pairs) if b in widest.units and b in target.by_id},
            widest,
            {names.get(u.id, u.method): u for u in made if u.model_id == widest.model_id},
        )
    return None


def _translated(run: Run, sides: _Sides, source: Utterance) -> Translated:
    reference = sides.target.by_id[sides.references[source.id]]
    wanted = sides.spoken.segments(reference.id)[0].tolist()
    said = [Said("reference", [(_text(wanted), False)])]
    said += [
        Said(name, matched(units.segments(source.id)[0].tolist(), wanted))
        for name, units in sides.systems.items()
    ]
    return Translated(
        source,
        reference,
        played(_sounds(run, sides, source, reference)),
        said,
        _attention(run, sides, source),
    )


def _sounds(run: Run, sides: _Sides, source: Utterance, reference: Utterance) -> list[Sound]:
    """The two recordings, the reference's units spoken, every translation spoken."""

    def who(utterance: Utterance, corpus: Corpus) -> str:
        return ", ".join([corpus.language or corpus.name, utterance.speaker or "unknown speaker"])

    sounds: list[Sound] = [
        ("source", who(source, sides.source), utterances.recording(sides.source, source)),
        ("reference", who(reference, sides.target), utterances.recording(sides.target, reference)),
    ]
    names = {units.id: name for name, units in sides.systems.items()}
    for s in run.syntheses:
        if s.corpus_id == sides.target.id and reference.id in s.ids and not s.is_translation:
            wave = start(s.audio_path(reference.id))
            sounds.append(("reference’s units, spoken", f"{s.method}, {s.voice}", wave))
    for s in run.syntheses:
        if s.units_id in names and source.id in s.ids:
            wave = start(s.audio_path(source.id))
            sounds.append((names[s.units_id], f"{s.method}, {s.voice}", wave))
    return sounds


def matched(units: Sequence[int], wanted: Sequence[int]) -> list[tuple[str, bool]]:
    """Units in runs: those that an alignment of the fewest edits finds in `wanted`, and others."""
    from rapidfuzz.distance import Levenshtein

    parts: list[tuple[str, bool]] = []
    for edit in Levenshtein.opcodes(units, wanted):
        if edit.src_end > edit.src_start:
            parts.append((_text(units[edit.src_start : edit.src_end]), edit.tag == "equal"))
    return parts


def _text(units: Sequence[int]) -> str:
    return " ".join(map(str, units))


def _attention(run: Run, sides: _Sides, source: Utterance) -> str:
    by_units = {attention.units_id: attention for attention in run.attentions}
    for name, units in sides.systems.items():
        attention = by_units.get(units.id)
        if attention is None or source.id not in attention.ids or attention.step_ms is None:
            continue
        figure = attention_map(
            attention.map(source.id), units.units[source.id], attention.step_ms, name
        )
        alt = f"Attention of {name}: which part of {source.id} each unit comes from"
        return style.inline_svg(figure, alt, f"attention-{source.id}")
    return ""


def attention_map(
    weights: NDArray[np.float32], units: NDArray[np.int32], step_ms: float, name: str
) -> Figure:
    """A picture of where a translator listened.

    Args:
        weights: (N, S).
        units: (N,), one a row, the first at the top.
        step_ms: of a column.
    """
    n, n_steps = weights.shape
    figure = style.new_figure(720, 90 + min(n, 60) * 9)
    axes = figure.subplots()
    axes.imshow(
        weights,
        aspect="auto",
        cmap="magma",
        vmin=0,
        vmax=_BRIGHT,
        extent=(0, n_steps * step_ms / 1000, n - 0.5, -0.5),
        interpolation="nearest",
        resample=False,
    )
    if n <= _NUMBERED:
        axes.set_yticks(range(n), [str(unit) for unit in units], size=6)
    axes.set_ylabel("units, as they were said")
    axes.set_xlabel("seconds of the source")
    axes.set_title(f"where {name} listened")
    return figure
