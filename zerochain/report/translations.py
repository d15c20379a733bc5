"""Examples of translations: source, reference and every system's output, as sound and as units.

Units that agree with the reference are marked, by an alignment with the fewest edits. An attention
map shows which part of the source each unit was predicted from: a translator that uses its input
has a map that changes with the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from zerochain.errors import InputError, counted
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.units import UnitFile
from zerochain.progress import track
from zerochain.report import style
from zerochain.report.examples import MOST_BYTES, Player, Sound, choose, played, recording, start
from zerochain.report.run import Run
from zerochain.report.score_tables import group_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBERED = 45  # units: an attention map has no room for the numbers of more
_SENTENCE = 3  # words
_BRIGHT = 0.5  # the weight of the brightest colour, on all maps: diffuse attention is dark


@dataclass(frozen=True)
class Output:
    """A translation's units, or the reference's."""

    system: str
    parts: list[tuple[str, bool]]
    """Runs of units, and whether they agree with the reference."""


@dataclass(frozen=True)
class Translated:
    """A source utterance, its reference and its translations."""

    source: Utterance
    reference: Utterance
    players: list[Player]
    outputs: list[Output]
    attention: str
    """An <svg> of the attention of the first system that has some, else ""."""

    @property
    def size(self) -> int:
        """Bytes in the page."""
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
    """At most n translated utterances of the sources' test split, of many speakers.

    Returns:
        The examples, and why there are fewer.
    """
    sides = _sides(run)
    if sides is None:
        return [], []
    ids = [i for i in sides.references if all(i in units.units for units in sides.systems.values())]
    chosen = choose(sides.source, _sentences(sides, ids, n), n)
    made: list[Translated] = []
    try:
        for source in track(chosen, "Drawing translations"):
            one = _translated(run, sides, source)
            if made and sum(e.size for e in [*made, one]) > MOST_BYTES:
                note = f"{len(made)} of {counted(len(chosen), 'translation')} shown: more would "
                return made, [f"{note}make the page too large"]
            made.append(one)
    except InputError as error:
        return made, [f"a translation could not be shown: {error}"]
    return made, []


def _sentences(sides: _Sides, ids: Sequence[str], n: int) -> Sequence[str]:
    """Those of some sources that are sentences, if there are n: a word or two show little.

    By their targets' texts, three words or more; without texts, as many segments as the median.
    """
    texts = {i: sides.target.by_id[sides.references[i]].text for i in ids}
    if all(texts.values()):
        some = [i for i in ids if len(str(texts[i]).split()) >= _SENTENCE]
    else:
        sizes = {i: len(sides.spoken.segments(sides.references[i])[0]) for i in ids}
        usual = median(sizes.values()) if sizes else 0
        some = [i for i in ids if sizes[i] >= usual]
    return some if len(some) >= n else ids


def _sides(run: Run) -> _Sides | None:
    """The first translated corpus with pairs, targets and units of the targets."""
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
    outputs = [Output("reference", [(_text(wanted), False)])]
    outputs += [
        Output(name, matched(units.segments(source.id)[0].tolist(), wanted))
        for name, units in sides.systems.items()
    ]
    return Translated(
        source,
        reference,
        played(_sounds(run, sides, source, reference)),
        outputs,
        _attention(run, sides, source),
    )


def _sounds(run: Run, sides: _Sides, source: Utterance, reference: Utterance) -> list[Sound]:
    """The two recordings, the resynthesised reference, and every synthesised translation."""

    def who(utterance: Utterance, corpus: Corpus) -> str:
        return ", ".join([corpus.language or corpus.name, utterance.speaker or "unknown speaker"])

    sounds = [
        Sound("source", who(source, sides.source), recording(sides.source, source)),
        Sound("reference", who(reference, sides.target), recording(sides.target, reference)),
    ]
    names = {units.id: name for name, units in sides.systems.items()}
    for s in run.syntheses:
        if s.corpus_id == sides.target.id and reference.id in s.ids and not s.is_translation:
            wave = start(s.audio_path(reference.id))
            sounds.append(Sound("reference, resynthesised", f"{s.method}, {s.voice}", wave))
    for s in run.syntheses:
        if s.units_id in names and source.id in s.ids:
            wave = start(s.audio_path(source.id))
            sounds.append(Sound(names[s.units_id], f"{s.method}, {s.voice}", wave))
    return sounds


def matched(units: Sequence[int], wanted: Sequence[int]) -> list[tuple[str, bool]]:
    """Units in runs, and whether an alignment with the fewest edits finds them in `wanted`."""
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
        alt = f"Attention of {name}: the part of {source.id} that each unit was predicted from"
        return style.inline_svg(figure, alt, f"attention-{source.id}")
    return ""


def attention_map(
    weights: NDArray[np.float32], units: NDArray[np.int32], step_ms: float, name: str
) -> Figure:
    """A picture of a translator's attention.

    Args:
        weights: (N, S).
        units: (N,), one per row, the first at the top.
        step_ms: of one column.
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
    axes.set_ylabel("output units, in order")
    axes.set_xlabel("time in the source (s)")
    most = 100 * float(weights.max(initial=0.0))
    axes.set_title(f"attention of {name} (at most {most:.3g} % on one step)")
    return figure
