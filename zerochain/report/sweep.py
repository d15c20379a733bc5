"""Tables of many systems on some corpora: settings, scores and cost, as CSV and as Markdown.

A sweep scores every system under one or several ABX protocols and by its bit rates; systems on
their corpus's Pareto front are marked. `paper_tables` puts the published numbers of Tables 2–5 of
Tjandra et al. (Interspeech 2019) next to a sweep's systems of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerochain.formats.bundle import Fit, read_bundle, read_fit
from zerochain.formats.scores import Score, read_scores
from zerochain.formats.text_files import csv_text
from zerochain.metrics import names
from zerochain.metrics.bootstrap import sums_interval
from zerochain.metrics.names import Metric, metric
from zerochain.report.figures import Point, front
from zerochain.report.published import PaperRow, tjandra2019
from zerochain.report.remarks import has_converged
from zerochain.report.score_tables import number

_RATES = {
    names.SEGMENT_BITRATE: "segments, bit/s",
    names.TIMED_SEGMENT_BITRATE: "segments with durations, bit/s",
    names.BITRATE: "every unit, bit/s",
}
"""Bit rates of the tables → their headings."""
RATE = names.BITRATE
"""The bit rate of fronts and plots: the challenges', as the page of a run has it by default and the
published points do."""
_ABX = (names.ABX_ACROSS, names.ABX_WITHIN)
TOPLINE = "topline"
"""The method whose systems were trained on gold phones."""


class Title(NamedTuple):
    """What one column of a sweep's tables compares: a metric, of ABX under one protocol."""

    metric: Metric
    protocol: str = ""

    @classmethod
    def of(cls, score: Score) -> Title:
        """The column of a score."""
        one = metric(score.metric)
        return cls(one, score.protocol if one in _ABX else "")

    def __str__(self) -> str:
        """The heading in the CSV."""
        return f"{self.metric.key} {self.protocol}".rstrip()

    @property
    def heading(self) -> str:
        """The heading for people."""
        if self.metric in _RATES:
            return _RATES[self.metric]
        return f"{self.metric.label}, {self.protocol}, %"


@dataclass(frozen=True)
class System:
    """One row of a sweep's table; None where a setting does not apply, as the K of features."""

    corpus: str
    variant: str
    """The same for systems that differ only in size: a series in the plot."""
    kind: Literal["units", "posteriors", "features"]
    scores: Mapping[Title, Score]
    method: str = "–"
    n_units: int | None = None
    stride: int | None = None
    penalty: float | None = None
    features: str = ""
    """In a few words, with context and components but without the normalisation."""
    normalisation: str = ""
    context: int = 0
    fit: Fit | None = None
    converged: bool = True
    on_front: bool = False

    @property
    def name(self) -> str:
        """The system's name in its scores."""
        return next(iter(self.scores.values())).system

    def value(self, one: Metric, protocol: str = "") -> float | None:
        """A score, of ABX by a protocol; None where there is none."""
        score = self.scores.get(Title(one, protocol))
        return None if score is None else score.value

    @property
    def n_used(self) -> int | None:
        """Units that occur in the test set."""
        usage = self.value(names.CODEBOOK_USAGE)
        return None if usage is None or self.n_units is None else round(usage * self.n_units)

    def point(self, protocol: str) -> Point | None:
        """The system in the plane of ABX across speakers and `RATE`, if it has both."""
        error = self.scores.get(Title(names.ABX_ACROSS, protocol))
        rate = self.scores.get(Title(RATE))
        if error is None or rate is None or rate.value <= 0:
            return None
        intervals = error.interval, rate.interval
        return Point(self.name, error.value, rate.value, *intervals, self.variant)


def of_features(path: Path, *, corpus: str) -> System:
    """Features without a unit model, from their scores.jsonl."""
    scores = read_scores(path)
    normalisation = str(scores[0].options.get("normalise", ""))
    name = scores[0].system.removesuffix(f"-{normalisation}")
    return System(
        corpus=corpus,
        variant=f"{name} {normalisation}",
        kind="features",
        scores={Title.of(score): score for score in scores},
        features=name,
        normalisation=normalisation,
    )


def of_model(
    path: Path,
    model: Path,
    *,
    corpus: str,
    variant: str,
    penalty: float | None,
    kind: Literal["units", "posteriors"] = "units",
) -> System:
    """Units or posteriors of a unit model, from their scores.jsonl and the model's bundle.

    Raises:
        InputError: a damaged file, or not a unit model.
    """
    # Late: it imports torch, which the report of a run does without.
    from zerochain.discovery.stage import load_unit_model

    fitted, bundle = load_unit_model(model), read_bundle(model)
    front_end = fitted.front_end
    assert front_end is not None
    words = front_end.summary.split()
    return System(
        corpus=corpus,
        variant=variant,
        kind=kind,
        scores={Title.of(score): score for score in read_scores(path)},
        method=bundle.model,
        n_units=fitted.n_units,
        stride=round(fitted.step_ms / front_end.step_ms),
        penalty=penalty,
        features=" ".join(word for word in words if not word.startswith("norm=")),
        normalisation=front_end.normalisation.kind,
        context=0 if front_end.projection is None else front_end.projection.context,
        fit=read_fit(model),
        converged=has_converged(bundle),
    )


def protocols(systems: Sequence[System]) -> list[str]:
    """The ABX protocols of the systems' scores, in the order in which they occur."""
    titles = [title for system in systems for title in system.scores if title.metric in _ABX]
    return list(dict.fromkeys(title.protocol for title in titles))


def with_fronts(systems: Sequence[System], protocol: str) -> list[System]:
    """The systems, marked where they are on their corpus's Pareto front."""
    best: set[int] = set()
    for corpus in dict.fromkeys(system.corpus for system in systems):
        there = [
            (i, point)
            for i, system in enumerate(systems)
            if system.corpus == corpus and (point := system.point(protocol))
        ]
        best |= {there[i][0] for i in front([point for _, point in there])}
    return [replace(system, on_front=i in best) for i, system in enumerate(systems)]


def way_to_topline(system: System, systems: Sequence[System], protocol: str) -> float | None:
    """How much of the way from raw MFCCs to the topline a system goes, in %, by ABX across.

    0 is the error of raw MFCCs and 100 that of a network that was trained on gold phones, by its
    posteriors where they are scored; both on the system's corpus. None where one of the three was
    not scored, or the topline is no better than raw MFCCs.
    """
    here = [one for one in systems if one.corpus == system.corpus]
    raw = [s for s in here if s.kind == "features" and s.variant == "mfcc none"]
    top = sorted((s for s in here if s.method == TOPLINE), key=lambda s: s.kind != "posteriors")
    ends = [one[0].value(names.ABX_ACROSS, protocol) if one else None for one in (raw, top)]
    error = system.value(names.ABX_ACROSS, protocol)
    if error is None or ends[0] is None or ends[1] is None or ends[1] >= ends[0]:
        return None
    return 100 * (ends[0] - error) / (ends[0] - ends[1])


def _has_topline(systems: Sequence[System]) -> bool:
    return any(system.method == TOPLINE for system in systems)


def as_csv(systems: Sequence[System]) -> str:
    """One row per system, for programs: unrounded numbers, empty where there is none."""
    titles = [*_abx_titles(systems), *map(Title, _RATES), Title(names.PERPLEXITY)]
    facts = ["corpus", "system", "kind", "method", "n_units", "stride", "penalty"]
    facts += ["features", "normalisation", "context"]
    ways = protocols(systems) if _has_topline(systems) else []
    costs = ["n_used", "fit_s", "device", "converged", "on_front"]
    costs += [f"way_to_topline_% {protocol}" for protocol in ways]
    ends = ("", "_low", "_high")
    header = [*facts, *(f"{title}{end}" for title in titles for end in ends), *costs]
    rows: list[list[object]] = []
    for s in systems:
        numbers = [cell for title in titles for cell in _numbers(s.scores.get(title))]
        cost = [f"{s.fit.seconds:.1f}", s.fit.device] if s.fit else ["", ""]
        row: list[object] = [
            s.corpus,
            s.name,
            s.kind,
            s.method,
            s.n_units,
            s.stride,
            s.penalty,
            s.features,
        ]
        row += [s.normalisation, s.context, *numbers, s.n_used, *cost]
        row += [str(s.converged).lower(), str(s.on_front).lower()]
        gone = [way_to_topline(s, systems, protocol) for protocol in ways]
        rows.append([*row, *("" if way is None else f"{way:.6g}" for way in gone)])
    return csv_text(header, rows)


def as_markdown(systems: Sequence[System], protocol: str) -> str:
    """One table per corpus, for people; ● marks the systems on the Pareto front.

    Where there is a topline, another column has how much of the way to it each system goes.
    """
    titles = [*_abx_titles(systems), *map(Title, _RATES)]
    heads = ["", "system", "method", "K", "stride", "penalty", "features", "normalisation"]
    heads += [*(title.heading for title in titles), "units used", "perplexity", "fit, s", "device"]
    ways = protocols(systems) if _has_topline(systems) else []
    heads += [f"of the way from raw MFCC to the topline, {one}, %" for one in ways]
    parts = [
        f"● is on the Pareto front of {Title(names.ABX_ACROSS, protocol).heading} and the bit rate "
        "of every unit, as the challenges count it. 95 % intervals in brackets. – is undefined, or "
        "was not measured.\n"
    ]
    for corpus in dict.fromkeys(system.corpus for system in systems):
        rows = [
            _row(system, titles) + [_way(way_to_topline(system, systems, one)) for one in ways]
            for system in systems
            if system.corpus == corpus
        ]
        parts.append(f"## {corpus}\n\n{markdown_table(heads, rows, 8)}")
    return "\n".join(parts)


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], n_left: int) -> str:
    """A Markdown table; all but the first `n_left` columns are numbers."""
    rule = ["---" if i < n_left else "--:" for i in range(len(heads))]
    lines = [" | ".join(cells) for cells in (heads, rule, *rows)]
    return "".join(f"| {line} |\n" for line in lines)


def measured(
    sums: NDArray[np.float64],
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    n_decimals: int = 1,
) -> str:
    """A score of sums over utterances (n, S), with its 95 % interval: "5.3 [4.7, 5.9]".

    Args:
        score: sums (R, S) → (R,), NaN where undefined.
    """
    value = float(score(sums.sum(axis=0)[None])[0])
    interval = sums_interval(sums, score)
    ends = "" if interval is None else ", ".join(f"{end:.{n_decimals}f}" for end in interval)
    return f"{value:.{n_decimals}f}" + (f" [{ends}]" if ends else "")


def _row(s: System, titles: Sequence[Title]) -> list[str]:
    perplexity = s.value(names.PERPLEXITY)
    trained = "" if s.converged else " NOT CONVERGED"
    return [
        "●" if s.on_front else "",
        s.name,
        f"{s.method}{trained}",
        _text(s.n_units),
        _text(s.stride),
        _text(s.penalty),
        s.features,
        s.normalisation,
        *(_cell(s.scores.get(title)) for title in titles),
        _text(s.n_used),
        "–" if perplexity is None else number(perplexity),
        f"{s.fit.seconds:.1f}" if s.fit else "–",
        s.fit.device if s.fit else "–",
    ]


def _way(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _abx_titles(systems: Sequence[System]) -> list[Title]:
    return [Title(one, protocol) for protocol in protocols(systems) for one in _ABX]


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _numbers(score: Score | None) -> list[str]:
    """Value, low and high end of the interval; empty where there is none."""
    values = () if score is None else (score.value, *(score.interval or ()))
    return [f"{value:.6g}" for value in values] + [""] * (3 - len(values))


def _cell(score: Score | None) -> str:
    if score is None:
        return "–"
    text = number(score.value)
    if score.interval is not None:
        text += " ({}–{})".format(*(number(end, like=score.value) for end in score.interval))
    return text


_METHODS = {3: ("kmeans", "K-Means"), 4: ("gmm", "GMM"), 5: ("vqvae", "VQ-VAE")}
_NOTE = """\
In the layout of Tables 2–5 of Tjandra et al., "VQVAE unsupervised unit discovery and multi-scale
Code2Spec inverter for Zerospeech Challenge 2019". The published numbers are of the challenge's
English, with other training and test speech, other phones and another scorer: compare trends,
not point by point. ABX across speakers in %{protocol}; bit rates count every unit, as the challenge
does; only units without a penalty. The paper's GMM is scored by its posteriors.
"""
Key = tuple[int | None, int | None]


def paper_tables(systems: Sequence[System], protocol: str) -> str:
    """Markdown: for each corpus one table of features, K-Means, GMM and VQ-VAE (K × stride).

    Args:
        systems: of any kind; kinds that the paper does not have are left out.
        protocol: that of the ABX errors in the tables.
    """
    parts = ["# Next to the paper's tables\n", _NOTE.format(protocol=f" ({protocol})")]
    for corpus in dict.fromkeys(system.corpus for system in systems):
        there = [system for system in systems if system.corpus == corpus]
        parts.append(f"## {corpus}\n")
        parts.append(f"Table 2, features\n\n{_features(there, protocol)}")
        for table, (method, name) in _METHODS.items():
            ours = [s for s in there if s.method == method and not s.penalty]
            if ours:
                parts.append(f"Table {table}, {name}\n\n{_sizes(table, ours, protocol)}")
    return "\n".join(parts)


def _features(systems: Sequence[System], protocol: str) -> str:
    rows = [
        [f"{row.system}, published", number(row.abx), number(row.bitrate)]
        for row in tjandra2019()
        if row.table == 2
    ]
    rows += [
        [system.variant, _cell_text(system.value(names.ABX_ACROSS, protocol)), "–"]
        for system in systems
        if system.kind == "features"
    ]
    return markdown_table(["features", "ABX", "bit/s"], rows, 1)


def _sizes(table: int, systems: Sequence[System], protocol: str) -> str:
    published = {(row.n_units, row.stride): row for row in tjandra2019() if row.table == table}
    variants: dict[str, dict[Key, System]] = {}
    for system in systems:
        name = system.variant + (" posteriors" if system.kind == "posteriors" else "")
        variants.setdefault(name, {})[system.n_units, system.stride] = system
    keys = {*published, *(key for ours in variants.values() for key in ours)}
    heads = ["K", "stride"]
    for name in ("published", *variants):
        heads += [f"{name}: ABX", "bit/s"]
    rows = []
    for key in sorted(keys, key=lambda key: (key[0] or 0, key[1] or 0)):
        cells = [str(key[0]), str(key[1]), *_published(published.get(key))]
        for ours in variants.values():
            cells += _ours(ours.get(key), protocol)
        rows.append(cells)
    return markdown_table(heads, rows, 0)


def _published(row: PaperRow | None) -> list[str]:
    return ["", ""] if row is None else [number(row.abx), number(row.bitrate)]


def _ours(system: System | None, protocol: str) -> list[str]:
    if system is None:
        return ["", ""]
    return [
        _cell_text(system.value(names.ABX_ACROSS, protocol)),
        _cell_text(system.value(names.BITRATE)),
    ]


def _cell_text(value: float | None) -> str:
    return "–" if value is None else number(value)
