"""Scores as tables for people: one row a system, one column a metric.

Columns of scores: what metrics are called for people, and which way each is better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.formats.units import UnitFile

_UNITS_OF_MEASURE = ("%", "bit/s", "dB", "ms", "s", "Hz", "cents")
_LOWER = (
    r"abx_|((timed|factored)_)?(segment_)?bitrate|.*(error|error_rate|rmse|distance)$|mcd|"
    r"(cer|wer|per)$|ued_|unit_changes_|speaker_probe_|"
    r"speaker_similarity_to_source$|real_time_factor$"
)
_HIGHER = (
    r".*(stoi|pesq|pnmi|bleu|chrf|f1|r_value|purity|v_measure|homogeneity|completeness)$|"
    r".*boundary_(precision|recall)$|.*f0_correlation$|speaker_similarity(_converted)?$|retrieval_(mrr|recall@\d+)$"
)
_NAMES = {
    "abx_across": "ABX across",
    "abx_within": "ABX within",
    "abx_any": "ABX any",
    "bitrate": "bit rate",
    "segment_bitrate": "segment bit rate",
    "timed_segment_bitrate": "segment bit rate with durations",
    "factored_segment_bitrate": "segment bit rate, durations coded apart",
    "codebook_usage": "codebook usage",
    "estoi": "ESTOI",
    "mcd_sp2mc24": "MCD (sp2mc24)",
    "log_spectral_distance": "log-spectral distance",
    "multi_resolution_distance": "multi-resolution spectral distance",
    "log_f0_rmse": "log-F0 RMSE",
    "voicing_decision_error": "voicing error",
    "f0_frame_error": "F0 frame error",
    "source_f0_correlation": "F0 correlation with the source",
    "source_voicing_decision_error": "voicing error against the source",
    "speaker_similarity": "speaker similarity",
    "speaker_similarity_converted": "similarity to the voice",
    "speaker_similarity_to_source": "similarity to the source speaker",
    "speaker_similarity_recordings": "the voice's recordings: speaker similarity",
    "speaker_similarity_others": "other speakers' recordings: similarity to the voice",
    "unit_bleu": "unit BLEU",
    "unit_bleu_shuffled": "unit BLEU, shuffled sources",
    "unit_bleu_floor": "unit BLEU of random targets",
    "unit_chrf": "unit chrF",
    "unit_chrf_shuffled": "unit chrF, shuffled sources",
    "unit_chrf_floor": "unit chrF of random targets",
    "unit_error_rate": "unit error rate",
    "length_ratio": "length ratio",
    "distinct_output_ratio": "distinct outputs",
    "retrieval_mrr": "retrieval MRR",
    "retrieval_recall@1": "retrieval recall@1",
    "retrieval_recall@10": "retrieval recall@10",
    "real_time_factor": "real-time factor of translating",
    "cer": "CER",
    "wer": "WER",
    "asr_bleu": "ASR-BLEU",
    "recogniser_cer": "recogniser's CER on real speech",
    "pnmi": "PNMI (homogeneity)",
    "v_measure": "V-measure (NMI)",
    "completeness": "completeness",
    "phone_purity": "phone purity",
    "cluster_purity": "cluster purity",
    "phone_error_rate": "phone error rate",
    "boundary_precision": "boundary precision",
    "boundary_recall": "boundary recall",
    "boundary_f1": "boundary F1",
    "over_segmentation": "over-segmentation",
    "r_value": "R-value",
    "mapped_boundary_precision": "boundary precision, units as phones",
    "mapped_boundary_recall": "boundary recall, units as phones",
    "mapped_boundary_f1": "boundary F1, units as phones",
    "mapped_over_segmentation": "over-segmentation, units as phones",
    "mapped_r_value": "R-value, units as phones",
    "speaker_probe_histograms": "speaker probe on unit histograms",
    "speaker_probe_vectors": "speaker probe on code vectors",
    "sentence_distance": "one sentence by two speakers, edit distance",
} | {
    f"{metric}_{change}": f"{name} under {change}"
    for metric, name in (
        ("ued", "unit edit distance"),
        ("unit_changes", "edits a segment"),
    )
    for change in ("noise", "pitch", "speed", "reverberation")
}
_ORDER = list(_NAMES)


class Column(NamedTuple):
    """What is compared down a column: one metric, under one protocol, by one distance."""

    metric: str
    protocol: str
    distance: str

    @property
    def stem(self) -> str:
        return split_unit(self.metric)[0]

    @property
    def unit(self) -> str:
        return split_unit(self.metric)[1]

    @property
    def label(self) -> str:
        return _NAMES.get(self.stem, self.stem.replace("_", " "))

    @property
    def under(self) -> str:
        """The protocol, and the distance where there is one."""
        return ", ".join(part for part in (self.protocol, self.distance) if part)

    @property
    def arrow(self) -> str:
        return {"lower": "↓", "higher": "↑", "": ""}[self.better]

    @property
    def better(self) -> Literal["lower", "higher", ""]:
        """Which way is better; "" where neither is, as for codebook usage."""
        if re.match(_LOWER, self.stem):
            return "lower"
        return "higher" if re.match(_HIGHER, self.stem) else ""

    @property
    def place(self) -> tuple[int, str, str, str]:
        """By which columns are sorted: metrics that have a name here first, in their order."""
        rank = _ORDER.index(self.stem) if self.stem in _ORDER else len(_ORDER)
        return (rank, *self)


def split_unit(metric: str) -> tuple[str, str]:
    """A metric's name and its unit: "abx_across_%" → ("abx_across", "%")."""
    stem, _, unit = metric.rpartition("_")
    return (stem, unit) if stem and unit in _UNITS_OF_MEASURE else (metric, "")


Group = Literal[
    "units", "phones", "unaligned", "resynthesis", "conversion", "translation", "recognition"
]
_RESYNTHESIS = (
    "log_spectral",
    "estoi",
    "stoi",
    "pesq",
    "mcd",
    "f0",
    "log_f0",
    "voicing",
    "multi_resolution",
    "speaker_similarity",
)
_CONVERSION = (
    "source_",
    "speaker_similarity_converted",
    "speaker_similarity_to_source",
    "speaker_similarity_others",
)
"""Of what other speakers say, in the inverter's voice."""
_TRANSLATION = (
    "real_time_factor",
    "bleu",
    "unit_bleu",
    "unit_chrf",
    "unit_error_rate",
    "length_ratio",
    "distinct",
    "retrieval",
)
_REFERENCES = {"features", "recordings", FOR_REFERENCE}
"""Inputs and options of scores that are no system's."""
_PHONES = (
    "pnmi",
    "v_measure",
    "completeness",
    "phone_purity",
    "cluster_purity",
    "phone_error_rate",
    "boundary_",
    "over_segmentation",
    "r_value",
    "mapped_",
)
_UNALIGNED = ("speaker_probe_", "sentence_distance", "ued_", "unit_changes_")
_RECOGNITION = ("cer", "wer", "asr_bleu", "recogniser_cer")


@dataclass
class Cell:
    """One score in a table."""

    score: Score
    best: bool = False

    @property
    def value(self) -> str:
        return number(self.score.value)

    @property
    def interval(self) -> str:
        if self.score.interval is None:
            return ""
        to = " … " if self.score.interval[0] < 0 else "–"
        return to.join(number(end, like=self.score.value) for end in self.score.interval)

    @property
    def chance(self) -> str:
        """What is expected of one that knows nothing, where the score says so."""
        chance = self.score.options.get("chance")
        return number(chance) if isinstance(chance, int | float) else ""


@dataclass
class Row:
    """One system: what its scores are of, and its cells by column."""

    system: str
    unit_file: UnitFile | None
    cells: dict[Column, Cell]
    is_reference: bool = False
    """Features, real speech, a topline or ceiling: for reference, below the others, never best."""
    corpus: str = ""
    """Its id; rows of one corpus stand together, for only they compare."""


@dataclass
class ScoreTable:
    """A table of scores."""

    columns: list[Column]
    rows: list[Row]
    replaced: list[str]
    """Scores of the same thing as a later one, which alone is in the table."""


def group_of(score: Score) -> Group:
    """The table that a score belongs to."""
    stem, inputs = split_unit(score.metric)[0], score.inputs
    rules: dict[Group, bool] = {
        "recognition": stem in _RECOGNITION,
        "translation": "translator" in inputs or stem.startswith(_TRANSLATION),
        "conversion": stem.startswith(_CONVERSION),
        "resynthesis": "inverter" in inputs or stem.startswith(_RESYNTHESIS),
        "phones": stem.startswith(_PHONES),
        "unaligned": stem.startswith(_UNALIGNED),
    }
    return next((group for group, holds in rules.items() if holds), "units")


def score_table(scores: Iterable[Score], units: Mapping[str, UnitFile]) -> ScoreTable:
    """Lay scores out, one row a system and input; the best units of each column are marked.

    A later score of the same thing takes the place of an earlier one, which is listed then.
    """
    rows: dict[tuple[str, str], Row] = {}
    columns: set[Column] = set()
    replaced = []
    for score in scores:
        inputs = score.inputs
        of = inputs.get("inverter") or inputs.get("units") or inputs.get("features") or ""
        key = (score.system, of)
        unit_file = units.get(inputs.get("units", ""))
        corpus = inputs.get("corpus") or (unit_file.corpus_id if unit_file else "")
        row = rows.setdefault(key, Row(score.system, unit_file, {}, corpus=corpus))
        row.is_reference |= not _REFERENCES.isdisjoint({*inputs, *score.options})
        column = Column(score.metric, score.protocol, str(score.options.get("distance", "")))
        columns.add(column)
        if column in row.cells:
            earlier = row.cells[column].score
            replaced.append(f"{column.label} of {score.system}: {number(earlier.value)}")
        row.cells[column] = Cell(score)
    corpora = list(dict.fromkeys(row.corpus for row in rows.values()))
    place = {corpus: i for i, corpus in enumerate(corpora)}
    ordered = sorted(rows.values(), key=lambda row: (place[row.corpus], row.is_reference))
    table = ScoreTable(sorted(columns, key=lambda column: column.place), ordered, replaced)
    _mark_best(table)
    return table


def number(value: float, like: float | None = None) -> str:
    """A score with as many decimals as people compare: 474, 21.6, 4.37, 0.421.

    Args:
        like: take as many as this value has, so that the ends of an interval match it.
    """
    size = abs(value if like is None else like)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}".replace("-", "−")


def _mark_best(table: ScoreTable) -> None:
    for corpus, column in product({row.corpus for row in table.rows}, table.columns):
        there = [row for row in table.rows if row.corpus == corpus]
        rows = [row for row in there if column in row.cells and not row.is_reference]
        cells = [row.cells[column] for row in rows]
        if not column.better or len(cells) < 2:
            continue
        best = (min if column.better == "lower" else max)(cell.score.value for cell in cells)
        for cell in cells:
            cell.best = cell.score.value == best
