"""The page: everything a run holds, as one HTML file that needs no network."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zerochain
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import short
from zerochain.formats.scores import Score
from zerochain.formats.tables import write_json
from zerochain.formats.units import UnitFile
from zerochain.metrics.usage import codebook_usage
from zerochain.progress import track
from zerochain.report import figures, style, utterances
from zerochain.report.published import published_systems
from zerochain.report.run import Run, RunFiles, read_run
from zerochain.report.score_tables import Column, Group, ScoreTable, group_of, number, score_table

MARKER = "report.json"
PAGE = "index.html"
_WIDE, _NARROW = (980, 560), (350, 430)
_README_FIGURE = (1000, 600)
_TEMPLATES = Path(__file__).parent / "templates"
_ABSENT = {
    "scores": "no scores ('zerochain score … --out scores.jsonl')",
    "tradeoff": "no system with both an ABX error and a bit rate",
    "resynthesis": "no scores of resynthesised speech ('zerochain score resynthesis')",
    "players": "no resynthesised speech ('zerochain invert synthesize')",
    "usage": "no units ('zerochain encode')",
    "trainings": "no training log (log.csv)",
    "examples": "no utterance whose recording and units are both known (--corpus names a corpus)",
}


@dataclass(frozen=True)
class Drawing:
    """A figure in the page."""

    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Example:
    """An utterance to look at and listen to."""

    id: str
    speaker: str
    text: str
    seconds: str
    clipped: bool
    drawing: Drawing
    players: list[utterances.Player]


def write_report(
    out: Path,
    files: RunFiles,
    *,
    title: str = "zerochain report",
    published: str | None = "english",
    n_examples: int = 4,
) -> Path:
    """Write `out`/index.html, and the figure tradeoff.svg and .png beside it where there is one.

    Args:
        files: what to report on; `run_files` finds it in a run's folder.
        published: whose published systems stand faintly in the plot, "english" or "surprise"
            (the languages of ZeroSpeech 2019); None for none.
        n_examples: how many test utterances to show.

    Returns:
        The page.

    Raises:
        InputError: a damaged input, a package of the extra `report` is missing, or `out` is
            somebody else's folder.
    """
    style.require_report_extra()
    run = read_run(files)
    with atomic_folder(out, MARKER) as folder, style.figure_style():
        page = _render(_context(run, title, published, n_examples, folder))
        (folder / PAGE).write_text(page, encoding="utf-8")
        sources = [{"kind": s.kind, "path": str(s.path), "id": s.id} for s in run.sources]
        write_json(folder / MARKER, "report", {"title": title, "inputs": sources})
    return out / PAGE


def _render(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": short, "number": number}
    return environment.get_template("page.html.j2").render(context)


def _context(
    run: Run, title: str, published: str | None, n_examples: int, folder: Path
) -> dict[str, Any]:
    tables = _tables(run)
    plot = _tradeoff(tables.get("units"), published, folder)
    examples = _examples(run, tables.get("units"), n_examples)
    usages = [_usage(label, units) for label, units in _shown_units(run, tables.get("units"))]
    trainings = [
        _training(run.shown(path), log, i) for i, (path, log) in enumerate(run.trainings.items())
    ]
    there = {
        "scores": tables.get("units"),
        "tradeoff": plot,
        "resynthesis": tables.get("resynthesis"),
        "players": run.syntheses,
        "usage": usages,
        "trainings": trainings,
        "examples": examples,
    }
    return {
        "title": title,
        "css": (_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "run": run,
        "corpora": [_corpus_facts(corpus) for corpus in run.corpora.values()],
        "summary": _summary(run, tables),
        "tables": tables,
        "plot": plot,
        "examples": examples,
        "usages": usages,
        "trainings": trainings,
        "absent": [text for key, text in _ABSENT.items() if not there[key]],
        "version": zerochain.__version__,
        "versions": sorted({score.version for score in run.scores}),
        "devices": sorted(_devices(bundle.config for bundle in run.models.values())),
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%-d %B %Y, %H:%M UTC"),
    }


def _tables(run: Run) -> dict[Group, ScoreTable]:
    grouped: dict[Group, list[Score]] = {}
    for score in run.scores:
        grouped.setdefault(group_of(score), []).append(score)
    return {group: score_table(scores, run.units) for group, scores in grouped.items()}


def _corpus_facts(corpus: Corpus) -> dict[str, str]:
    splits = sorted({u.split for u in corpus.utterances if u.split is not None})
    return {
        "name": corpus.name,
        "language": corpus.language,
        "minutes": f"{corpus.duration / 60:.1f}",
        "utterances": f"{len(corpus.utterances):,}",
        "speakers": f"{len(corpus.speakers)}" if corpus.speakers else "unknown",
        "splits": ", ".join(
            f"{split} {corpus.select(split=split).duration / 60:.1f} min" for split in splits
        ),
        "licence": corpus.licence,
        "source": corpus.source,
        "id": short(corpus.id),
    }


def _summary(run: Run, tables: Mapping[Group, ScoreTable]) -> str:
    systems = tables["units"].rows if "units" in tables else []
    names = [f"{c.name} ({c.duration / 60:.0f} min)" for c in run.corpora.values()]
    parts = [f"{len(systems)} system{'s' * (len(systems) != 1)} scored"] if systems else []
    models = sorted({units.model_id for units in run.units.values()})
    if models:
        parts.append(f"units of {len(models)} unit model{'s' * (len(models) != 1)}")
    voices = sorted({s.voice for s in run.syntheses})
    if voices:
        parts.append(f"speech resynthesised in the voice{'s' * (len(voices) > 1)} of ")
        parts[-1] += " and ".join(voices)
    on = f", on {' and '.join(names)}" if names else ""
    return f"{'; '.join(parts) or 'No scores'}{on}." if parts or on else ""


def _devices(value: object) -> Iterable[str]:
    """Every "device" that a configuration names, however deep."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "device" and isinstance(inner, str):
                yield inner
            else:
                yield from _devices(inner)
    elif not isinstance(value, str) and isinstance(value, Iterable):
        for inner in value:
            if isinstance(inner, Mapping):
                yield from _devices(inner)


def _tradeoff(
    table: ScoreTable | None, published: str | None, folder: Path
) -> dict[str, Any] | None:
    """The plot for the page in two widths; tradeoff.svg and .png are written into `folder`."""
    columns = table.columns if table else []
    abx = _most_filled(table, [c for c in columns if c.stem == "abx_across"])
    rate = _most_filled(table, [c for c in columns if c.stem == "bitrate"])
    if table is None or abx is None or rate is None:
        return None
    both = [row for row in table.rows if abx in row.cells and rate in row.cells]
    if not both or any(row.cells[rate].score.value <= 0 for row in both):
        return None
    points = [
        figures.Point(
            row.system,
            row.cells[abx].score.value,
            row.cells[rate].score.value,
            row.cells[abx].score.interval,
            row.cells[rate].score.interval,
        )
        for row in both
    ]
    references = [
        (row.system, row.cells[abx].score.value)
        for row in table.rows
        if abx in row.cells and "features" in row.cells[abx].score.inputs
    ]
    others = published_systems(published) if published else []
    alt = "ABX error across speakers against bit rate: " + "; ".join(
        f"{p.name} {p.abx:.1f} % at {p.bitrate:.0f} bit/s" for p in points
    )

    def draw(size: tuple[int, int], theirs: bool = True) -> Any:
        shown = others if theirs else []
        return figures.tradeoff(points, references, shown, width_px=size[0], height_px=size[1])

    figure = draw(_README_FIGURE)
    for kind in ("svg", "png"):
        (folder / f"tradeoff.{kind}").write_bytes(style.to_bytes(figure, kind, style.PAPER))
    return {
        "wide": style.inline_svg(draw(_WIDE), alt, "tradeoff-wide"),
        "narrow": style.inline_svg(draw(_NARROW, theirs=False), alt, "tradeoff-narrow"),
        "protocol": abx.under,
        "published": published if others else None,
    }


def _most_filled(table: ScoreTable | None, columns: list[Column]) -> Column | None:
    rows = table.rows if table else []
    return max(columns, key=lambda c: sum(c in row.cells for row in rows), default=None)


def _shown_units(run: Run, table: ScoreTable | None) -> list[tuple[str, UnitFile]]:
    """Unit files with their names for people: those scored; without scores, one a unit model."""
    scored = {row.unit_file.id: row.system for row in (table.rows if table else []) if row.unit_file}
    if scored:
        return [(name, run.units[identity]) for identity, name in scored.items()]
    first = {units.model_id: units for units in reversed(run.units.values())}
    return [(units.method, units) for units in first.values()]


def _usage(label: str, unit_file: UnitFile) -> Drawing:
    counts = np.zeros(unit_file.n_units)
    for name in unit_file.ids:
        counts += np.bincount(unit_file.steps(name), minlength=unit_file.n_units)
    usage = codebook_usage(unit_file)
    alt = (
        f"{label}: {usage.n_used} of {usage.n_units} units used, perplexity {usage.perplexity:.1f}"
    )
    figure = figures.usage(counts, label, usage.perplexity)
    return Drawing(style.inline_svg(figure, alt, f"usage-{unit_file.id}"))


def _training(name: str, log: dict[str, list[float]], i: int) -> Drawing:
    last = ", ".join(f"{key} {values[-1]:.4g}" for key, values in log.items() if "loss" in key)
    seconds = f" after {log['seconds'][-1]:,.0f} s" if "seconds" in log else ""
    caption = f"{log['step'][-1]:,.0f} steps{seconds}: {last}"
    figure = figures.training(log, name.removesuffix(".training"))
    return Drawing(style.inline_svg(figure, f"{name}: {caption}", f"training-{i}"), caption)


def _examples(run: Run, table: ScoreTable | None, n: int) -> list[Example]:
    shown = _example_tiers(run, table)
    if not shown:
        return []
    unit_file = shown[-1][1]
    corpus = run.corpus_of(unit_file)
    if corpus is None:
        return []
    chosen = utterances.choose(corpus, unit_file.ids, n)
    return [_example(run, corpus, u, shown, i) for i, u in enumerate(track(chosen, "Drawing"))]


def _example_tiers(run: Run, table: ScoreTable | None) -> list[tuple[str, UnitFile]]:
    """The systems whose units are drawn: the one with the best ABX, and the one that was spoken."""
    known = [(name, units) for name, units in _shown_units(run, table) if run.corpus_of(units)]
    spoken = {s.units_id for s in run.syntheses}
    last = [(name, units) for name, units in known if units.id in spoken]
    last += [(run.units[i].method, run.units[i]) for i in sorted(spoken) if i in run.units]
    last = [(name, units) for name, units in last if run.corpus_of(units)][:1] or known[:1]
    best = next(
        (
            (row.system, row.unit_file)
            for row in (table.rows if table else [])
            for column, cell in row.cells.items()
            if column.stem == "abx_across" and cell.best and row.unit_file
        ),
        None,
    )
    same_corpus = best and last and best[1].corpus_id == last[0][1].corpus_id
    return [best, *last] if best and same_corpus and best[1].id != last[0][1].id else last


def _example(
    run: Run, corpus: Corpus, utterance: Any, tiers: list[tuple[str, UnitFile]], i: int
) -> Example:
    wave = utterances.recording(corpus, utterance)
    phones = run.phones_of(corpus)
    gold = [p for p in (phones.by_id.get(utterance.id, []) if phones else [])]
    there = [(name, units) for name, units in tiers if utterance.id in units.units]
    figure = utterances.picture(wave, gold, there, utterance.id)
    unit_tiers = " and ".join(name for name, _ in there)
    alt = f"Spectrogram of {utterance.id} with the units of {unit_tiers}"
    players = [utterances.player(f"original, {utterance.speaker or 'unknown speaker'}", wave)]
    players += [
        utterances.player(f"{s.method}, voice {s.voice}", _spoken(s.audio_path(utterance.id)))
        for s in run.syntheses
        if utterance.id in s.ids and s.corpus_id == corpus.id
    ]
    return Example(
        id=utterance.id,
        speaker=utterance.speaker or "unknown",
        text=utterance.text or "",
        seconds=f"{utterance.duration:.1f}",
        clipped=utterance.duration > utterances.LONGEST_S,
        drawing=Drawing(style.inline_svg(figure, alt, f"example-{i}")),
        players=players,
    )


def _spoken(path: Path) -> Any:
    from zerochain import audio

    wave = audio.read(path)
    if not len(wave):
        raise InputError("holds no sample", path=path, remedy="synthesise again")
    return wave[: round(utterances.LONGEST_S * audio.SAMPLE_RATE)]
