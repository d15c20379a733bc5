"""Every metric that zerochain prints, in order of display: unit, direction, range, table, label.

A score file names a metric by its `key`, the name with its unit: "abx_across_%", "bitrate_bit/s".
Everything else about a metric is in its record, so nothing has to parse a key. For a metric of
another program, which has no record here, `metric` makes one without a direction.

This module imports nothing of zerochain: `formats.scores` checks the ranges when it reads a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Direction = Literal["lower", "higher", ""]
Family = Literal[
    "units",
    "phones",
    "terms",
    "search",
    "unaligned",
    "resynthesis",
    "conversion",
    "translation",
    "recognition",
    "",
]
"""The table of the report that a metric belongs to; "" for metrics of other programs."""


@dataclass(frozen=True)
class Metric:
    """What is measured, and how to read it."""

    name: str
    """Without the unit: "abx_across"."""
    label: str
    """What tables and plots call it."""
    family: Family = ""
    unit: str = ""
    direction: Direction = ""
    """Which values are better; "" where neither is, as for codebook usage or a reference value."""
    low: float = -math.inf
    high: float = math.inf
    """The range of possible values, both ends included."""
    meaning: str = ""
    """In one sentence, where names alone are easily confused."""

    @property
    def key(self) -> str:
        """How score files name it."""
        return f"{self.name}_{self.unit}" if self.unit else self.name


def metric(key: str) -> Metric:
    """The metric of that key; one that zerochain does not know has its key as its name."""
    return _BY_KEY.get(key) or Metric(key, key.replace("_", " "))


def rank(one: Metric) -> int:
    """The metric's place in the order of display; unknown metrics come last."""
    return _RANKS.get(one, len(_RANKS))


# Variants: the same measure of something else.


def mapped(one: Metric) -> Metric:
    """The metric of units that were first mapped to phones."""
    return replace(one, name=f"mapped_{one.name}", label=f"{one.label}, units mapped to phones")


def under(one: Metric, change: str) -> Metric:
    """The metric under a change of the recordings, one of `CHANGES`."""
    return replace(one, name=f"{one.name}_{change}", label=f"{one.label} under {CHANGES[change]}")


def shuffled(one: Metric) -> Metric:
    """The metric of the same outputs against the references of other sources."""
    label = f"{one.label}, shuffled sources"
    return replace(one, name=f"{one.name}_shuffled", label=label, direction="")


def floor(one: Metric) -> Metric:
    """The metric of random targets in place of the outputs."""
    label = f"{one.label} of random targets"
    return replace(one, name=f"{one.name}_floor", label=label, direction="")


# Units alone, and ABX.

ABX_ACROSS = Metric("abx_across", "ABX across", "units", "%", "lower", 0, 100)
ABX_WITHIN = Metric("abx_within", "ABX within", "units", "%", "lower", 0, 100)
ABX: Mapping[Literal["within", "across"], Metric] = {"within": ABX_WITHIN, "across": ABX_ACROSS}
"""Mode → metric."""
_ABX_ANY = Metric("abx_any", "ABX any", "units", "%", "lower", 0, 100)  # older score files
BITRATE = Metric(
    "bitrate",
    "bit rate, every unit",
    "units",
    "bit/s",
    "lower",
    0,
    meaning="every unit of the file is a symbol, repeats included, as the challenges count: the "
    "rate to put beside published ones",
)
SEGMENT_BITRATE = Metric(
    "segment_bitrate",
    "bit rate, segments without durations",
    "units",
    "bit/s",
    "lower",
    0,
    meaning="repeats are merged into segments and their durations are not sent: what a listener "
    "who gets the order of the units alone would receive",
)
TIMED_SEGMENT_BITRATE = Metric(
    "timed_segment_bitrate",
    "bit rate, segments with durations",
    "units",
    "bit/s",
    "lower",
    0,
    meaning="a unit and its duration are one symbol (run-length coding): what it takes to send "
    "the units with their timing",
)
FACTORED_SEGMENT_BITRATE = Metric(
    "factored_segment_bitrate",
    "bit rate, segments plus durations apart",
    "units",
    "bit/s",
    "lower",
    0,
    meaning="units and durations are coded as two streams: as the one with durations, with fewer "
    "symbols to estimate",
)
BITRATES = (BITRATE, SEGMENT_BITRATE, TIMED_SEGMENT_BITRATE, FACTORED_SEGMENT_BITRATE)
"""None of them is good or bad alone: a single unit has a rate of 0."""
CODEBOOK_USAGE = Metric("codebook_usage", "codebook usage", "units", low=0, high=1)
PERPLEXITY = Metric("perplexity", "perplexity", "units")

# Resynthesised and converted speech.

ESTOI = Metric("estoi", "ESTOI", "resynthesis", "", "higher", -1, 1)
MCD = Metric("mcd_sp2mc24", "MCD (sp2mc24)", "resynthesis", "dB", "lower")
LOG_SPECTRAL_DISTANCE = Metric(
    "log_spectral_distance", "log-spectral distance", "resynthesis", "dB", "lower", 0
)
MULTI_RESOLUTION_DISTANCE = Metric(
    "multi_resolution_distance", "multi-resolution spectral distance", "resynthesis", "", "lower"
)
LOG_F0_RMSE = Metric("log_f0_rmse", "log-F0 RMSE", "resynthesis", "cents", "lower", 0)
VOICING_ERROR = Metric(
    "voicing_decision_error", "voicing error", "resynthesis", "%", "lower", 0, 100
)
F0_FRAME_ERROR = Metric("f0_frame_error", "F0 frame error", "resynthesis", "%", "lower", 0, 100)
SOURCE_F0_CORRELATION = Metric(
    "source_f0_correlation", "F0 correlation with the source", "conversion", "", "higher", -1, 1
)
SOURCE_VOICING_ERROR = replace(
    VOICING_ERROR,
    name="source_voicing_decision_error",
    label="voicing error against the source",
    family="conversion",
)
_DNSMOS = Metric(
    "dnsmos_overall",
    "DNSMOS overall",
    "resynthesis",
    "",
    "higher",
    meaning="the opinion of listeners, 1 to 5, as a network predicts it that was trained on other "
    "speech: to be read beside its opinion of the recordings",
)
DNSMOS = (
    _DNSMOS,
    replace(_DNSMOS, name="dnsmos_signal", label="DNSMOS signal"),
    replace(_DNSMOS, name="dnsmos_background", label="DNSMOS background"),
    replace(_DNSMOS, name="dnsmos_p808", label="DNSMOS P.808"),
)
"""Overall, signal and background by ITU-T P.835; the last by P.808."""
DNSMOS_CONVERTED = tuple(
    replace(one, name=f"{one.name}_converted", label=f"{one.label}, converted", family="conversion")
    for one in DNSMOS
)
DNSMOS_TRANSLATED = tuple(
    replace(
        one, name=f"{one.name}_translated", label=f"{one.label}, translated", family="recognition"
    )
    for one in DNSMOS
)
"""Of translations, whose recordings are other utterances than those they are heard beside."""
SPEAKER_SIMILARITY = Metric(
    "speaker_similarity", "speaker similarity", "resynthesis", "", "higher", -1, 1
)
SIMILARITY_CONVERTED = replace(
    SPEAKER_SIMILARITY,
    name="speaker_similarity_converted",
    label="similarity to the target voice",
    family="conversion",
)
SIMILARITY_TO_SOURCE = replace(
    SIMILARITY_CONVERTED,
    name="speaker_similarity_to_source",
    label="similarity to the source speaker",
    direction="lower",
)
SIMILARITY_RECORDINGS = replace(
    SPEAKER_SIMILARITY,
    name="speaker_similarity_recordings",
    label="speaker similarity of the voice's recordings",
    direction="",
)
SIMILARITY_OTHERS = replace(
    SIMILARITY_CONVERTED,
    name="speaker_similarity_others",
    label="similarity of other speakers' recordings to the voice",
    direction="",
)

# Translations.

UNIT_BLEU = Metric("unit_bleu", "unit BLEU", "translation", "", "higher")
UNIT_CHRF = Metric("unit_chrf", "unit chrF", "translation", "", "higher")
UNIT_ERROR_RATE = Metric("unit_error_rate", "unit error rate", "translation", "%", "lower", 0)
LENGTH_RATIO = Metric("length_ratio", "length ratio", "translation", low=0)
DISTINCT_OUTPUTS = Metric("distinct_output_ratio", "distinct outputs", "translation", low=0, high=1)
RETRIEVAL_MRR = Metric("retrieval_mrr", "retrieval MRR", "translation", "", "higher", 0, 1)
RETRIEVAL_RECALL: Mapping[int, Metric] = {
    k: Metric(
        f"retrieval_recall@{k}", f"retrieval recall@{k}", "translation", "%", "higher", 0, 100
    )
    for k in (1, 10)
}
"""k → recall among the first k candidates."""
REAL_TIME_FACTOR = Metric(
    "real_time_factor", "real-time factor of translating", "translation", "", "lower"
)

# Recognised speech.

CER = Metric("cer", "CER", "recognition", "%", "lower", 0)
WER = Metric("wer", "WER", "recognition", "%", "lower", 0)
CAPTION_CER = Metric("caption_cer", "CER of captions", "recognition", "%", "lower", 0)
CAPTION_EXACT = Metric(
    "caption_exact", "captions without an error", "recognition", "%", "higher", 0, 100
)
PICTURE_FIRST = Metric(
    "picture_recall_at_1",
    "texts whose picture is found first",
    "recognition",
    "%",
    "higher",
    0,
    100,
    meaning="among the pictures of all utterances that are compared: with fewer it is easier",
)
PICTURE_FIVE = Metric(
    "picture_recall_at_5",
    "texts whose picture is among the first five",
    "recognition",
    "%",
    "higher",
    0,
    100,
)
TAGGED_CER = Metric(
    "tagged_cer",
    "CER of characters and languages",
    "recognition",
    "%",
    "lower",
    0,
    meaning="a character that is recognised in the wrong language is an error",
)
ASR_BLEU = Metric("asr_bleu", "ASR-BLEU", "recognition", "", "higher")
RECOGNISER_CER = Metric(
    "recogniser_cer", "recogniser's CER on real speech", "recognition", "%", low=0
)

# Units and gold phones.

PNMI = Metric("pnmi", "PNMI (homogeneity)", "phones", "", "higher", 0, 1)
V_MEASURE = Metric("v_measure", "V-measure (NMI)", "phones", "", "higher", 0, 1)
COMPLETENESS = Metric("completeness", "completeness", "phones", "", "higher", 0, 1)
PHONE_PURITY = Metric("phone_purity", "phone purity", "phones", "", "higher", 0, 1)
CLUSTER_PURITY = Metric("cluster_purity", "cluster purity", "phones", "", "higher", 0, 1)
PHONE_ERROR_RATE = Metric("phone_error_rate", "phone error rate", "phones", "%", "lower", 0)
BOUNDARY_PRECISION = Metric(
    "boundary_precision", "boundary precision", "phones", "%", "higher", 0, 100
)
BOUNDARY_RECALL = replace(BOUNDARY_PRECISION, name="boundary_recall", label="boundary recall")
BOUNDARY_F1 = replace(BOUNDARY_PRECISION, name="boundary_f1", label="boundary F1")
OVER_SEGMENTATION = Metric("over_segmentation", "over-segmentation", "phones", "%")
R_VALUE = Metric("r_value", "R-value", "phones", "%", "higher")
BOUNDARIES = (BOUNDARY_PRECISION, BOUNDARY_RECALL, BOUNDARY_F1, OVER_SEGMENTATION, R_VALUE)

# Discovered terms and gold words.

NED = Metric(
    "ned",
    "NED",
    "terms",
    "%",
    "lower",
    0,
    100,
    meaning="normalised edit distance between the phones of two spans of one cluster; counts "
    "pairs, so that large clusters outweigh small ones; low where few terms are found, so read it "
    "beside coverage",
)
WEIGHTED_NED = Metric(
    "weighted_ned",
    "NED weighted by spans",
    "terms",
    "%",
    "lower",
    0,
    100,
    meaning="a cluster counts by its spans, not by its pairs; a span alone in its cluster counts "
    "as 0",
)
INVERSE_NED = Metric(
    "inverse_ned",
    "inverse NED",
    "terms",
    "%",
    "lower",
    0,
    100,
    meaning="how differently the tokens of one gold word are labelled; high where words are "
    "spread over clusters or not found",
)
COVERAGE = Metric(
    "coverage",
    "coverage of the phones",
    "terms",
    "%",
    "higher",
    0,
    100,
    meaning="the phones that are in any span; a lexicon covers nearly all, whatever its words",
)
TERM_RATES: Mapping[str, tuple[Metric, Metric, Metric]] = {
    kind: (
        Metric(f"{kind}_precision", f"{words} precision", "terms", "%", "higher", 0, 100),
        Metric(f"{kind}_recall", f"{words} recall", "terms", "%", "higher", 0, 100),
        Metric(
            f"{kind}_f1",
            f"{words} F1",
            "terms",
            "%",
            "higher",
            0,
            100,
            meaning=f"of {meaning}",
        ),
    )
    for kind, words, meaning in (
        ("grouping", "grouping", "pairs of spans with the same phones, and in one cluster"),
        ("token", "word token", "spans with exactly the phones of a word"),
        ("type", "word type", "different words, however often each is said"),
        ("word_boundary", "word boundary", "places where a word begins or ends"),
    )
}
"""What is compared → its precision, recall and F1."""

# Hits of a search.

SEARCH_MAP = Metric(
    "mean_average_precision",
    "mean average precision",
    "search",
    "",
    "higher",
    0,
    1,
    meaning="how far up a query's ranking what is right stands: 1 where nothing wrong is above it",
)
SEARCH_PRECISION = Metric(
    "precision@10",
    "precision at 10",
    "search",
    "",
    "higher",
    0,
    1,
    meaning="a word that is said fewer than ten times can't reach 1",
)
SEARCH_MTWV = Metric(
    "mtwv",
    "MTWV (maximum term-weighted value)",
    "search",
    "",
    "higher",
    0,
    1,
    meaning="one threshold for all queries: 1 is perfect, 0 is to return nothing",
)

# Without an alignment.

PROBE_HISTOGRAMS = Metric(
    "speaker_probe_histograms",
    "speaker probe on unit histograms",
    "unaligned",
    "%",
    "lower",
    0,
    100,
)
PROBE_VECTORS = replace(
    PROBE_HISTOGRAMS, name="speaker_probe_vectors", label="speaker probe on code vectors"
)
SENTENCE_DISTANCE = Metric(
    "sentence_distance", "edit distance, one sentence by two speakers", "unaligned", "%", "lower", 0
)
UNIT_EDIT_DISTANCE = Metric("ued", "unit edit distance", "unaligned", "%", "lower")
UNIT_CHANGES = Metric("unit_changes", "edits per segment", "unaligned", "%", "lower")
CHANGES = {
    "noise": "noise",
    "pitch": "a pitch shift",
    "speed": "a change of speed",
    "reverberation": "reverberation",
}
"""Changes of recordings under which units are compared (`corpora.changes`) → words in labels."""

_ELSEWHERE = (
    Metric("bleu", "BLEU", "translation", "", "higher"),
    Metric("per", "PER", "phones", "", "lower"),
    Metric("stoi", "STOI", "resynthesis", "", "higher"),
    Metric("pesq", "PESQ", "resynthesis", "", "higher"),
)
"""Metrics that other programs append to a score file under names that the field agrees on."""

METRICS: tuple[Metric, ...] = (
    ABX_ACROSS,
    ABX_WITHIN,
    _ABX_ANY,
    *BITRATES,
    CODEBOOK_USAGE,
    PERPLEXITY,
    ESTOI,
    MCD,
    LOG_SPECTRAL_DISTANCE,
    MULTI_RESOLUTION_DISTANCE,
    LOG_F0_RMSE,
    VOICING_ERROR,
    F0_FRAME_ERROR,
    *DNSMOS,
    SOURCE_F0_CORRELATION,
    SOURCE_VOICING_ERROR,
    *DNSMOS_CONVERTED,
    SPEAKER_SIMILARITY,
    SIMILARITY_CONVERTED,
    SIMILARITY_TO_SOURCE,
    SIMILARITY_RECORDINGS,
    SIMILARITY_OTHERS,
    *(each for one in (UNIT_BLEU, UNIT_CHRF) for each in (one, shuffled(one), floor(one))),
    UNIT_ERROR_RATE,
    LENGTH_RATIO,
    DISTINCT_OUTPUTS,
    RETRIEVAL_MRR,
    *RETRIEVAL_RECALL.values(),
    REAL_TIME_FACTOR,
    CER,
    WER,
    TAGGED_CER,
    CAPTION_CER,
    CAPTION_EXACT,
    PICTURE_FIRST,
    PICTURE_FIVE,
    ASR_BLEU,
    RECOGNISER_CER,
    *DNSMOS_TRANSLATED,
    PNMI,
    V_MEASURE,
    COMPLETENESS,
    PHONE_PURITY,
    CLUSTER_PURITY,
    PHONE_ERROR_RATE,
    *BOUNDARIES,
    *map(mapped, BOUNDARIES),
    NED,
    COVERAGE,
    WEIGHTED_NED,
    INVERSE_NED,
    *(one for rates in TERM_RATES.values() for one in rates),
    SEARCH_MAP,
    SEARCH_PRECISION,
    SEARCH_MTWV,
    PROBE_HISTOGRAMS,
    PROBE_VECTORS,
    SENTENCE_DISTANCE,
    *(under(one, change) for one in (UNIT_EDIT_DISTANCE, UNIT_CHANGES) for change in CHANGES),
    *_ELSEWHERE,
)
"""In order of display."""
_BY_KEY = {one.key: one for one in METRICS}
_RANKS = {one: i for i, one in enumerate(METRICS)}
