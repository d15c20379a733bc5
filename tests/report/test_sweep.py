import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import small_corpus
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.features.extraction import extracted
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.bundle import Bundle, Fit, write_fit
from zerochain.formats.scores import Score, append_scores
from zerochain.metrics.names import ABX_ACROSS
from zerochain.report import figures, style
from zerochain.report.drawings import RATES
from zerochain.report.published import tjandra2019
from zerochain.report.sweep import (
    RATE,
    System,
    Title,
    as_csv,
    as_markdown,
    has_converged,
    of_features,
    of_model,
    paper_tables,
    way_to_topline,
    with_fronts,
)


def score(metric: str, value: float, name: str, protocol: str = "triphone") -> Score:
    return Score(metric, value, (0.9 * value, 1.1 * value), 9, protocol, name, {}, {})


def system(
    name: str,
    abx: float,
    rate: float,
    corpus: str = "here",
    method: str = "kmeans",
    **facts: object,
) -> System:
    """Units of K = 256 at 2T unless it is said otherwise; the rate of all units is double."""
    scores = {
        Title.of(one): one
        for one in (
            score("abx_across_%", abx, name),
            score("abx_across_%", abx / 2, name, "phone"),
            score("segment_bitrate_bit/s", rate, name, "segments"),
            score("bitrate_bit/s", 2 * rate, name, "zs2019"),
            score("codebook_usage", 0.5, name, "steps"),
        )
    }
    given = {"n_units": 256, "stride": 2, "penalty": 0.0, "features": "mfcc", **facts}
    return System(corpus, "km speaker", "units", scores, method, **given)  # type: ignore[arg-type]


FEATURES = System(
    "here",
    "mfcc none",
    "features",
    {Title(ABX_ACROSS, "triphone"): score("abx_across_%", 30, "mfcc")},
)


def cells(markdown: str, heading: str) -> list[list[str]]:
    """The rows of the first Markdown table after a heading, its head first."""
    lines = markdown.split(heading)[1].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    assert len({len(row) for row in table}) == 1
    return [table[0], *table[2:]]


def test_each_corpus_has_its_own_front() -> None:
    systems = [
        system("low", 30, 50),
        system("beaten", 31, 60),
        system("good", 20, 200),
        FEATURES,
        system("elsewhere", 40, 300, corpus="there"),
        system("silent", 5, 0),
    ]
    marked = {s.name: s.on_front for s in with_fronts(systems, "triphone")}
    assert {name for name, on in marked.items() if on} == {"low", "good", "elsewhere"}


def test_the_front_is_of_the_bit_rate_that_the_page_plots() -> None:
    """Every unit counts: a system whose segments alone are few bits is beaten there."""
    assert RATES["units"] == RATE
    few_segments, few_units = system("few segments", 25, 50), system("few units", 24, 90)
    every = replace(few_segments.scores[Title(RATE)], value=400.0)
    beaten = replace(few_segments, scores={**few_segments.scores, Title(RATE): every})
    assert [s.on_front for s in with_fronts([beaten, few_units], "triphone")] == [False, True]
    assert beaten.point("triphone").bitrate == 400  # type: ignore[union-attr]


def test_the_csv_is_the_scores() -> None:
    fitted = system("a", 21.23456, 100, fit=Fit(12.34, "CPU, 2 threads"), converged=False)
    plain, features = list(csv.DictReader(io.StringIO(as_csv([fitted, FEATURES]))))
    assert float(plain["abx_across_% triphone"]) == pytest.approx(21.23456, rel=1e-5)
    assert float(plain["abx_across_% triphone_high"]) == pytest.approx(1.1 * 21.23456, rel=1e-5)
    assert float(plain["abx_across_% phone"]) == pytest.approx(21.23456 / 2, rel=1e-5)
    assert (plain["n_used"], plain["fit_s"], plain["device"]) == ("128", "12.3", "CPU, 2 threads")
    assert (plain["converged"], plain["stride"], plain["perplexity"]) == ("false", "2", "")
    assert (features["n_units"], features["segment_bitrate_bit/s"], features["fit_s"]) == ("",) * 3


def test_the_table_for_people_says_what_ran_out_of_steps() -> None:
    systems = [system("a", 21.23456, 100, converged=False), system("b", 20, 90, on_front=True)]
    head, a, b = cells(as_markdown([*systems, system("c", 1, 1, "there")], "triphone"), "## here")
    assert head[2:5] == ["method", "K", "stride"]
    assert "ABX across, phone, %" in head
    assert a[:5] == ["", "a", "kmeans NOT CONVERGED", "256", "2"]
    assert b[:3] == ["●", "b", "kmeans"]
    assert a[head.index("ABX across, triphone, %")] == "21.2 (19.1–23.4)"
    assert a[head.index("ABX within, triphone, %")] == "–"


def test_the_paper_s_tables_have_every_published_number_and_ours_beside_it() -> None:
    systems = [
        FEATURES,
        system("a", 21.0, 100),
        system("p", 19.0, 50, penalty=1.0),
        system("odd", 25.0, 70, n_units=100, stride=3),
        system("g", 22.0, 300, method="gmm"),
        system("cpc", 12.0, 300, method="vqcpc"),
    ]
    text = paper_tables(systems, "triphone")
    assert "not point by point" in text
    assert cells(text, "Table 2")[-1] == ["mfcc none", "30.0", "–"]
    head, *rows = cells(text, "Table 3")
    assert head == ["K", "stride", "published: ABX", "bit/s", "km speaker: ABX", "bit/s"]
    assert ["256", "2", "23.7", "369", "21.0", "200"] in rows
    assert ["100", "3", "", "", "25.0", "140"] in rows
    assert len(rows) == 9 + 1
    assert "Table 4" in text
    assert "Table 5" not in text  # no VQ-VAE
    assert "12.0" not in text
    published = {(str(r.n_units), str(r.stride)): r for r in tjandra2019() if r.table == 3}
    for k, stride, abx, rate, *_ in rows:
        if (k, stride) in published:
            row = published[k, stride]
            assert float(abx) == pytest.approx(row.abx, abs=0.05)
            assert float(rate) == pytest.approx(row.bitrate, abs=0.5)


def test_systems_from_files(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    options = FrontEndOptions(normalisation="utterance", context=2, components=7)
    with extracted(corpus, SpectralOptions(kind="mfcc"), jobs=1) as features:
        KMeansUnits(4, 3, options=options).fit(features).save(tmp_path / "m")
    write_fit(tmp_path / "m", Fit(1.0, "CPU"))
    append_scores(tmp_path / "s.jsonl", [score("codebook_usage", 0.75, "km-p2", "steps")])
    found = of_model(tmp_path / "s.jsonl", tmp_path / "m", corpus="c", variant="km", penalty=2.0)
    assert (found.name, found.method, found.n_units, found.stride) == ("km-p2", "kmeans", 4, 3)
    assert (found.features, found.normalisation, found.context) == ("mfcc ±2→7", "utterance", 2)
    assert (found.n_used, found.fit, found.converged) == (3, Fit(1.0, "CPU"), True)
    options = {"normalise": "speaker"}
    line = Score("abx_across_%", 9, None, 9, "phone", "log-mel-speaker", {}, options)
    append_scores(tmp_path / "f.jsonl", [line])
    reference = of_features(tmp_path / "f.jsonl", corpus="c")
    assert (reference.features, reference.normalisation) == ("log-mel", "speaker")


def test_convergence_is_read_however_deep_it_stands() -> None:
    def bundle(settings: dict[str, object]) -> Bundle:
        return Bundle("vqvae", {"settings": settings}, {}, {}, "")

    assert has_converged(bundle({"seed": 0}))
    assert has_converged(bundle({"outcome": {"converged": True}}))
    assert not has_converged(bundle({"outcome": {"converged": False}}))


def test_of_many_points_only_the_front_is_named_and_joined() -> None:
    rng = np.random.default_rng(0)
    points = [
        figures.Point(f"s{i}", abx, rate, series=f"series {i % 3}")
        for i, (abx, rate) in enumerate(rng.uniform(20, 500, (40, 2)) / [10, 1])
    ]
    best = {points[i].name for i in figures.front(points)}
    with style.figure_style():
        figure = figures.tradeoff(points, [], [], (1000, 600), paper=tjandra2019()[4:])
        axes = figure.axes[0]
        assert {text.get_text() for text in axes.texts} == best
        legend = {text.get_text() for text in axes.get_legend().get_texts()}
    assert sum("series" in text for text in legend) == 3
    (line,) = [line for line in axes.lines if line.get_label() == "Pareto front"]
    assert len(line.get_xdata()) == len(best)  # type: ignore[arg-type]


def test_the_way_from_raw_mfccs_to_the_topline() -> None:
    raw = replace(FEATURES, scores={Title.of(s): s for s in [score("abx_across_%", 40, "raw")]})
    km, top = system("km", 30, 150), system("top", 22, 90, method="topline")
    posteriors = replace(top, kind="posteriors", scores=system("top", 20, 90).scores)
    there = system("there", 30, 150, corpus="elsewhere")
    systems = [raw, km, top, posteriors, there]
    ways = [way_to_topline(one, systems, "triphone") for one in systems]
    assert ways == [0, 50, 90, 100, None]
    assert way_to_topline(km, [raw, km, top], "triphone") == pytest.approx(100 * 10 / 18)
    assert way_to_topline(km, [raw, km], "triphone") is None
    assert way_to_topline(km, systems, "phone") is None  # raw MFCCs have no such score
    worse = replace(posteriors, scores=system("top", 41, 90).scores)
    assert way_to_topline(km, [raw, km, worse], "triphone") is None
    rows = list(csv.DictReader(io.StringIO(as_csv(systems))))
    assert [row["way_to_topline_% triphone"] for row in rows] == ["0", "50", "90", "100", ""]
    heading = "of the way from raw MFCC to the topline"
    assert heading in as_markdown(systems, "triphone")
    assert heading not in as_markdown([raw, km], "triphone")
