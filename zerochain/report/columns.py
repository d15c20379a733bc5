"""Columns of scores: what metrics are called for people, and which way each is better."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

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
