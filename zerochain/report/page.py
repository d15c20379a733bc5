"""The report: a run as one HTML file that needs no network.

Everything is inlined: styles, figures as SVG, sounds (FLAC) and their pictures (PNG) as data URIs;
the content security policy of the template forbids loading anything. Parts that a run lacks are
named at the top instead of leaving empty sections.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import zerochain
from zerochain.errors import InputError, counted, listed, speech_time
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.basis import ENOUGH
from zerochain.formats.bundle import each_once
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import short
from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.formats.synthesis import EACH_ITS_OWN
from zerochain.formats.units import UnitFile
from zerochain.metrics import names
from zerochain.metrics.names import Family
from zerochain.report import drawings, style
from zerochain.report.drawings import Rate
from zerochain.report.examples import examples, systems_to_show
from zerochain.report.exports import as_csv, as_latex, caption, data_uri
from zerochain.report.nearby import MARKER, PAGE, PageRecord, page_in, write_page_record
from zerochain.report.remarks import Remarks, of_model
from zerochain.report.run import Run, RunFiles, bundle_of, read_run
from zerochain.report.score_tables import (
    Difference,
    Group,
    ScoreTable,
    group_of,
    named_units,
    score_table,
)
from zerochain.report.style import TEMPLATES, render
from zerochain.report.translations import translations
from zerochain.report.unit_sounds import units_of_run
from zerochain.report.verdict import verdicts
from zerochain.scoring.abx_tables import difference_interval

_ABSENT = {
    "units": "scores of units ('zerochain score abx', 'zerochain score bitrate')",
    "tradeoff": "a system with both an ABX error across speakers and a bit rate",
    "resynthesis": "scores of resynthesised speech ('zerochain score resynthesis')",
    "players": "resynthesised speech ('zerochain invert synthesize')",
    "usage": "units ('zerochain encode')",
    "examples": "an utterance with both units and a recording ('zerochain report --corpus')",
    "unit_sounds": "units to listen to: with their recordings ('zerochain report --corpus')",
    "trainings": "a training log",
}
"""Parts that a run may lack → what the page calls them."""
_ALWAYS_WITHOUT = {names.DISTINCT_OUTPUTS.key, names.REAL_TIME_FACTOR.key}
_OF_TRANSLATION = {"players", "usage", "trainings"}
_TABLES: tuple[Family, ...] = tuple(filter(None, get_args(Family)))
"""Groups of scores that the page shows as tables."""
_NEED_EXAMPLES = {"examples", "players", "translated"}
"""Parts that n_examples=0 leaves out."""
UNITS_SHOWN = 40
"""Units of the report to listen to: the most frequent ones, most of the time of any speech."""


def write_report(
    out: Path,
    files: RunFiles,
    *,
    title: str = "Units, scores and resynthesis",
    published: str | None = "english",
    rate: Rate = "units",
    n_examples: int = 4,
    n_units: int = UNITS_SHOWN,
) -> Path:
    """Write `out`/index.html, and its main figure as tradeoff.svg and tradeoff.png.

    Args:
        files: the files of one or several runs; `run_files` finds them in their folders.
        published: the language whose published systems the main figure shows as well, "english" or
            "surprise" of ZeroSpeech 2019; None for none.
        rate: the bit rate on the main figure's x axis: that of "units", every one counted, as the
            published ones are; of "segments" without durations; or "timed", segments with them.
        n_examples: the number of test utterances to show.
        n_units: the number of units to listen to, the most frequent ones.

    Returns:
        The path of the page.

    Raises:
        InputError: a damaged input, a package of the extra `report` is missing, `out` is a
            folder that zerochain did not make, or holds a page of the same runs with parts that
            the new page would lack.
    """
    style.require_report_extra()
    earlier = page_in(out) if (out / PAGE).is_file() else PageRecord.nothing()
    run = read_run(files, out)
    with atomic_folder(out, MARKER) as folder, style.figure_style():
        context, parts = _context(run, title, published, rate, n_examples, n_units, folder)
        record = {
            "title": title,
            "inputs": [
                {"kind": s.kind, "path": str(s.path.absolute()), "id": s.id} for s in run.sources
            ],
            "runs": [str(root.absolute()) for root in files.roots],
            "present": _present(files),
            "folders": _folders(files, out),
            "parts": parts,
        }
        _check_as_rich(out, earlier, record, n_examples, n_units)
        (folder / PAGE).write_text(render("page.html.j2", context), encoding="utf-8")
        write_page_record(folder, **record)
    return out / PAGE


def _present(files: RunFiles) -> list[str]:
    """The present score files of the only run, relative to it."""
    if len(files.roots) != 1:
        return []
    inside = [path for path in files.present if path.is_relative_to(files.roots[0])]
    return [str(path.relative_to(files.roots[0])) for path in inside]


def _folders(files: RunFiles, out: Path) -> list[str]:
    """The folders shown of the run that the page lies in, where they aren't the whole of it."""
    run, roots = out.absolute().parent, [root.absolute() for root in files.roots]
    if not all(run in root.parents for root in roots):
        return []
    return [str(root.relative_to(run)) for root in roots]


def _switched_off(n_examples: int, n_units: int) -> set[str]:
    """The parts that weren't asked for."""
    return (set() if n_examples else _NEED_EXAMPLES) | (set() if n_units else {"unit_sounds"})


def _check_as_rich(
    out: Path, earlier: PageRecord, record: Mapping[str, Any], n_examples: int, n_units: int
) -> None:
    """Refuse to replace a page of the same runs by one that shows less."""
    if earlier.runs != record["runs"]:
        return
    off = _switched_off(n_examples, n_units)
    lost = [part for part in earlier.parts if part not in {*record["parts"], *off}]
    if lost:
        what = [_ABSENT.get(part, part.replace("_", " ")) for part in lost]
        raise InputError(
            f"holds a page of this run that has more than the new one would: {listed(what)}",
            path=out / PAGE,
            cause="a corpus has moved, or files of the run were deleted since",
            remedy="give the corpus (corpora=FOLDER) or another out=; to give up the richer page, "
            "delete it first",
        )


def _context(
    run: Run,
    title: str,
    published: str | None,
    rate: Rate,
    n_examples: int,
    n_units: int,
    folder: Path,
) -> tuple[dict[str, Any], list[str]]:
    """What the template shows, and the names of the parts that are there."""
    difference = _differences(run)
    tables = _tables(run, difference)
    named = named_units(tables.get("units"), run.units)
    sounds, problems = _sounds(run, tables.get("units"), named, n_examples, n_units)
    parts: dict[str, Any] = {
        **{group: tables.get(group) for group in _TABLES},
        **_figures(run, tables.get("units"), named, published, rate, folder),
        **sounds,
    }
    context = {
        **parts,
        **_page_frame(run, title),
        **_downloads(run),
        "run": run,
        "remarks": Remarks(run),
        "reasons": _without_interval,
        "rates": _rates(tables.get("units")),
        "enough": ENOUGH,
        "corpora": [_facts(corpus) for corpus in run.corpora.values()],
        "summary": _summary(run, tables.get("units")),
        "verdicts": verdicts(tables.get("translation"), difference),
        "absent": _absent(parts, set() if n_units else {"unit_sounds"}),
        "problems": [*_lost_corpora(run), *problems],
    }
    return context, [name for name, part in parts.items() if part]


def _tables(run: Run, difference: Difference) -> dict[Family, ScoreTable]:
    """The scores that may stand beside each other, as tables."""
    grouped: dict[Family, list[Score]] = {}
    toplines = _toplines(run)
    for score in run.scores:
        if toplines & {score.inputs.get("chain"), score.inputs.get("inverter")}:
            one = replace(score, options={**score.options, FOR_REFERENCE: True})
        else:
            one = score
        grouped.setdefault(group_of(one), []).append(one)
    voices = {(s.inverter_id, s.units_id): s.voice for s in run.syntheses}
    present = {*run.units, *run.models, *run.features}
    return {
        group: score_table(
            scores,
            run.units,
            voices=voices,
            present=present,
            difference=difference,
            paths={source.id: run.shown(source.path) for source in run.sources},
        )
        for group, scores in grouped.items()
    }


def _toplines(run: Run) -> set[str | None]:
    """The ids of speech chains that were trained on all texts, which the others don't have."""
    return {
        model.id
        for model in run.models.values()
        if model.model == "speech-chain" and model.config.get("training", {}).get("method") == "all"
    }


def _figures(
    run: Run,
    table: ScoreTable | None,
    named: Sequence[tuple[str, UnitFile]],
    published: str | None,
    rate: Rate,
    folder: Path,
) -> dict[str, Any]:
    """The parts that are drawn; the main figure is written into `folder` as well."""
    return {
        "phone_maps": list(drawings.phone_maps(run, named)),
        "abx_maps": list(drawings.abx_maps(run)),
        "tradeoff": drawings.tradeoffs(table, published, folder, rate),
        "usage": [drawings.usage(name, units) for name, units in named],
        "trainings": [
            drawings.training(run.shown(p), log, _of_training(run, p))
            for p, log in run.trainings.items()
        ],
    }


def _sounds(
    run: Run,
    table: ScoreTable | None,
    named: Sequence[tuple[str, UnitFile]],
    n_examples: int,
    n_units: int,
) -> tuple[dict[str, Any], list[str]]:
    """The parts to listen to, and what can't be played."""
    shown, problems = examples(run, table, named, n_examples)
    translated, more_problems = translations(run, n_examples)
    of_units, unplayed = units_of_run(run, systems_to_show(run, table, named), n_units)
    parts = {
        "translated": translated,
        "players": run.syntheses if shown or translated else [],
        "examples": shown,
        "unit_sounds": of_units,
    }
    return parts, [*problems, *more_problems, *unplayed]


def _downloads(run: Run) -> dict[str, Callable[[Group], str]]:
    """The caption of a group of scores, and the group as CSV and LaTeX, as links' addresses."""
    corpus_names = {identity: corpus.name for identity, corpus in run.corpora.items()}

    def named(group: Group) -> str:
        corpus = group.test.corpus
        return caption(group, corpus_names.get(corpus, short(corpus)) if corpus else "")

    return {
        "caption": named,
        "csv": lambda group: data_uri("text/csv", as_csv(group, named(group))),
        "latex": lambda group: data_uri("application/x-tex", as_latex(group, named(group))),
    }


def _page_frame(run: Run, title: str) -> dict[str, Any]:
    """Title, script and what the page is of: versions, devices, date."""
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return {
        "title": title,
        "script": script,
        "script_hash": f"sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}",
        "version": zerochain.__version__,
        "versions": sorted({score.version for score in run.scores} - {zerochain.__version__}),
        "devices": each_once(
            {d for model in run.models.values() for d in _devices(model.config)}
            | {fit.device for fit in run.fits.values()}
        ),
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0"),
    }


def _differences(run: Run) -> Difference:
    """The interval of the difference of two scores, where the run knows it: of ABX errors from the
    cells of both, and of others from what their scoring compared them with."""
    cells = {
        _of_cells(one.system, one.protocol, one.distance, one.inputs): one for one in run.abx_cells
    }
    modes = {one.key: mode for mode, one in names.ABX.items()}

    def difference(first: Score, second: Score) -> tuple[float, float] | None:
        if known := first.interval_beside(second.system):
            return known
        if known := second.interval_beside(first.system):
            return -known[1], -known[0]
        both = [
            cells.get(_of_cells(s.system, s.protocol, s.options.get("distance"), s.inputs))
            for s in (first, second)
        ]
        mode = modes.get(first.metric)
        if mode is None or both[0] is None or both[1] is None:
            return None
        return difference_interval(both[0], both[1], mode)

    return difference


def _of_cells(system: str, protocol: str, distance: object, inputs: Mapping[str, str]) -> object:
    return system, protocol, str(distance), tuple(sorted(inputs.items()))


def _of_training(run: Run, folder: Path) -> str:
    """What the model of a training says against it."""
    bundles = {s.path: run.models[s.id] for s in run.sources if s.kind == "model"}
    bundle = bundles.get(bundle_of(folder))
    return "" if bundle is None else "; ".join(of_model(bundle))


def _rates(table: ScoreTable | None) -> list[names.Metric]:
    """The bit rates of a table, whose names are easily confused."""
    there = {column.metric for column in table.columns} if table else set()
    return [rate for rate in names.BITRATES if rate in there]


def _without_interval(table: ScoreTable) -> list[str]:
    """Why scores have no interval, each reason once: "distinct outputs: a count …"."""
    reasons = {
        f"{cell.score.system}, {column.metric.label}: {cell.over}"
        if cell.score.metric not in _ALWAYS_WITHOUT
        else f"{column.metric.label}: {cell.over}"
        for row in table.rows
        for column, cell in row.cells.items()
        if cell.score.interval is None and not cell.shortfall
    }
    by_reason: dict[str, list[str]] = {}
    for reason in sorted(reasons):
        what, _, why = reason.rpartition(": ")
        by_reason.setdefault(why, []).append(what)
    return [f"{listed(what, 4)}: {why}" for why, what in by_reason.items()]


def _lost_corpora(run: Run) -> list[str]:
    """What is not shown because a corpus was not found."""
    lost = sorted({u.corpus_id for u in run.units.values()} - run.corpora.keys() - {""})
    if not lost:
        return []
    return [
        f"Not found: {counted(len(lost), 'corpus', 'corpora')} that units are of "
        f"({listed([short(one) for one in lost])}). Give --corpus to see and hear utterances."
    ]


def _absent(parts: Mapping[str, Any], off: Collection[str]) -> list[str]:
    """The parts that are missing; for a run that translates or only recognises speech, those that
    belong to that.

    Args:
        off: parts that weren't asked for.
    """
    if parts["translation"] or parts["translated"]:
        expected = _OF_TRANSLATION
    elif parts["recognition"] and not parts["units"] and not parts["usage"]:  # of speech and texts
        expected = {"trainings"}
    else:
        expected = set(_ABSENT)
    wanted = set(expected) - set(off)
    return [text for name, text in _ABSENT.items() if name in wanted and not parts[name]]


def _facts(corpus: Corpus) -> dict[str, str]:
    splits = sorted({u.split for u in corpus.utterances if u.split is not None})
    return {
        "name": corpus.name,
        "language": corpus.language,
        "speech": f"{speech_time(corpus.duration)} in "
        + counted(len(corpus.utterances), "utterance"),
        "speakers": f"{len(corpus.speakers)}" if corpus.speakers else "unknown",
        "splits": ", ".join(
            f"{split} {speech_time(corpus.select(split=split).duration)}" for split in splits
        ),
        "licence": corpus.licence,
        "source": corpus.source,
        "id": short(corpus.id),
    }


def _summary(run: Run, table: ScoreTable | None) -> str:
    """One sentence: what was done, and on which corpora."""
    models = {units.model_id for units in run.units.values()}
    voices = sorted(
        {"each recording" if s.voice == EACH_ITS_OWN else s.voice for s in run.syntheses}
    )
    did = [
        counted(len(models), "unit model") if models else "",
        f"{counted(len(table.rows), 'system')} scored" if table else "",
        f"speech resynthesised in the voice of {_and(voices)}" if voices else "",
        counted(len(run.trainings), "training log") if run.trainings else "",
    ]
    names = [f"{c.name} ({speech_time(c.duration)})" for c in run.corpora.values()]
    on = f"On {_and(names)}: " if names else ""
    text = on + ", ".join(part for part in did if part)
    return f"{text[:1].upper()}{text[1:]}."


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _devices(value: object) -> Iterator[str]:
    """Every "device" in a configuration, at any depth."""
    if isinstance(value, Mapping):
        device = value.get("device")
        if isinstance(device, str) and device != "cpu":  # fit.json names the CPU in more detail
            yield device
        for inner in value.values():
            yield from _devices(inner)
