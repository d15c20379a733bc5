"""Many systems on some corpora: what each is, its scores, its cost; as CSV and as Markdown.

Tables 2–5 of Tjandra et al. 2019 with a sweep's systems of the same kind beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from zerochain.formats.bundle import Bundle, Fit, read_bundle, read_fit
from zerochain.formats.scores import Score, read_scores
from zerochain.formats.text_files import csv_text
from zerochain.report.figures import Point, front
from zerochain.report.published import PaperRow, tjandra2019
from zerochain.report.score_tables import number

RATES = ("segment_bitrate_bit/s", "timed_segment_bitrate_bit/s", "bitrate_bit/s")
_HEADS = {
    "segment_bitrate_bit/s": "segments, bit/s",
    "timed_segment_bitrate_bit/s": "segments with durations, bit/s",
    "bitrate_bit/s": "every unit, bit/s",
}


@dataclass(frozen=True)
class System:
    """One row of a sweep's table; None where a thing makes no sense, as the K of features."""

    corpus: str
    variant: str
    """What it has in common with systems of other sizes: a curve in the plot."""
    kind: Literal["units", "posteriors", "features"]
    scores: Mapping[str, Score]
    """Metric, of ABX with its protocol: "abx_across_% triphone", "bitrate_bit/s"."""
    method: str = "–"
    n_units: int | None = None
    stride: int | None = None
    penalty: float | None = None
    features: str = ""
    """With context, components and all else in a few words, but for the normalisation."""
    normalisation: str = ""
    context: int = 0
    fit: Fit | None = None
    converged: bool = True
    on_front: bool = False

    @property
    def name(self) -> str:
        """What the scores call it."""
        return next(iter(self.scores.values())).system

    def value(self, metric: str) -> float | None:
        """A score; None where there is none."""
        return self.scores[metric].value if metric in self.scores else None

    @property
    def n_used(self) -> int | None:
        """Units that occur in the test set."""
        usage = self.value("codebook_usage")
        return None if usage is None or self.n_units is None else round(usage * self.n_units)

    def point(self, protocol: str) -> Point | None:
        """It in the plane of ABX across speakers and the segment bit rate, if it has both."""
        error = self.scores.get(f"abx_across_% {protocol}")
        rate = self.scores.get(RATES[0])
        if error is None or rate is None or rate.value <= 0:
            return None
        intervals = error.interval, rate.interval
        return Point(self.name, error.value, rate.value, *intervals, self.variant)


def of_features(path: Path, *, corpus: str) -> System:
    """Features as they are, from their scores.jsonl."""
    scores = read_scores(path)
    normalisation = str(scores[0].options.get("normalise", ""))
    name = scores[0].system.removesuffix(f"-{normalisation}")
    return System(
        corpus=corpus,
        variant=f"{name} {normalisation}",
        kind="features",
        scores=_by_title(scores),
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
    from zerochain.discovery.stage import load_unit_model

    fitted, bundle = load_unit_model(model), read_bundle(model)
    front_end = fitted.front_end
    assert front_end is not None
    words = front_end.summary.split()
    return System(
        corpus=corpus,
        variant=variant,
        kind=kind,
        scores=_by_title(read_scores(path)),
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


def has_converged(bundle: Bundle) -> bool:
    """Whether nothing in a bundle says that its training ran out of steps."""
    return not _says(bundle.config, "converged", False)


def _says(value: Any, key: str, what: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return value.get(key) is what or any(_says(inner, key, what) for inner in value.values())


def _by_title(scores: Sequence[Score]) -> dict[str, Score]:
    return {
        f"{s.metric} {s.protocol}" if s.metric.startswith("abx_") else s.metric: s for s in scores
    }


def protocols(systems: Sequence[System]) -> list[str]:
    """The ABX protocols that systems were scored by, the first one first."""
    titles = [title for system in systems for title in system.scores if title.startswith("abx_")]
    return list(dict.fromkeys(title.partition(" ")[2] for title in titles))


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


def as_csv(systems: Sequence[System]) -> str:
    """A row a system, for machines: numbers as they are, empty where there is none."""
    metrics = [*_abx(systems), *RATES, "perplexity"]
    facts = ["corpus", "system", "kind", "method", "n_units", "stride", "penalty"]
    facts += ["features", "normalisation", "context"]
    costs = ["n_used", "fit_s", "device", "converged", "on_front"]
    ends = ("", "_low", "_high")
    header = [*facts, *(f"{m}{end}" for m in metrics for end in ends), *costs]
    rows: list[list[object]] = []
    for s in systems:
        numbers = [cell for metric in metrics for cell in _numbers(s.scores.get(metric))]
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
        rows.append([*row, str(s.converged).lower(), str(s.on_front).lower()])
    return csv_text(header, rows)


def as_markdown(systems: Sequence[System], protocol: str) -> str:
    """A table a corpus, for people; ● marks what is on the Pareto front."""
    metrics = [*_abx(systems), *RATES]
    heads = ["", "system", "method", "K", "stride", "penalty", "features", "normalisation"]
    heads += [*map(_head, metrics), "units used", "perplexity", "fit, s", "device"]
    parts = [
        f"● is on the Pareto front of {_head(f'abx_across_% {protocol}')} and the segment bit "
        "rate. 95 % intervals in brackets. – is undefined, or was not measured.\n"
    ]
    for corpus in dict.fromkeys(system.corpus for system in systems):
        rows = [_row(system, metrics) for system in systems if system.corpus == corpus]
        parts.append(f"## {corpus}\n\n{markdown_table(heads, rows, 8)}")
    return "\n".join(parts)


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], n_left: int) -> str:
    """A Markdown table; all but the first `n_left` columns are numbers."""
    rule = ["---" if i < n_left else "--:" for i in range(len(heads))]
    lines = [" | ".join(cells) for cells in (heads, rule, *rows)]
    return "".join(f"| {line} |\n" for line in lines)


def _row(s: System, metrics: Sequence[str]) -> list[str]:
    perplexity = s.value("perplexity")
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
        *(_cell(s.scores.get(metric)) for metric in metrics),
        _text(s.n_used),
        "–" if perplexity is None else number(perplexity),
        f"{s.fit.seconds:.1f}" if s.fit else "–",
        s.fit.device if s.fit else "–",
    ]


def _abx(systems: Sequence[System]) -> list[str]:
    ways = [(p, way) for p in protocols(systems) for way in ("across", "within")]
    return [f"abx_{way}_% {protocol}" for protocol, way in ways]


def _head(metric: str) -> str:
    if metric in _HEADS:
        return _HEADS[metric]
    way, _, protocol = metric.removeprefix("abx_").partition(" ")
    return f"ABX {way.removesuffix('_%')}, {protocol}, %"


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
In the shape of Tables 2–5 of Tjandra et al., "VQVAE unsupervised unit discovery and multi-scale
Code2Spec inverter for Zerospeech Challenge 2019". The published numbers are of the challenge's
English, with other training and test speech, other phones and another scorer: read them in trend,
not point by point. ABX across speakers in %{protocol}; bit rates count every unit, as the challenge
does; units without a penalty only. The paper's GMM is scored by its posteriors.
"""
Key = tuple[int | None, int | None]


def paper_tables(systems: Sequence[System], protocol: str) -> str:
    """Markdown: features, K-Means, GMM and VQ-VAE, K × stride; a table each and a corpus each.

    Args:
        systems: of any kind; those that the paper has no like of are left out.
        protocol: whose ABX errors stand in the tables.
    """
    parts = ["# Beside the paper's tables\n", _NOTE.format(protocol=f" ({protocol})")]
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
        [system.variant, _cell_text(system.value(f"abx_across_% {protocol}")), "–"]
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
        _cell_text(system.value(f"abx_across_% {protocol}")),
        _cell_text(system.value("bitrate_bit/s")),
    ]


def _cell_text(value: float | None) -> str:
    return "–" if value is None else number(value)
