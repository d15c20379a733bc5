"""The report: a run as one HTML file that needs no network.

Everything is inlined: styles, figures as SVG, sounds (FLAC) and their pictures (PNG) as data URIs;
the content security policy of the template forbids loading anything. Parts that a run lacks are
named at the top instead of leaving empty sections.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import zerochain
from zerochain.errors import counted
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus
from zerochain.formats.headers import write_json
from zerochain.formats.identity import short
from zerochain.formats.scores import Score
from zerochain.metrics.names import Family
from zerochain.report import drawings, style
from zerochain.report.examples import examples
from zerochain.report.run import Run, RunFiles, read_run
from zerochain.report.score_tables import ScoreTable, group_of, named_units, score_table
from zerochain.report.sweep import has_converged
from zerochain.report.translations import translations

MARKER = "report.json"
PAGE = "index.html"
_TEMPLATES = Path(__file__).parent / "templates"
_ABSENT = {
    "units": "scores of units ('zerochain score abx', 'zerochain score bitrate')",
    "tradeoff": "a system with both an ABX error across speakers and a bit rate",
    "resynthesis": "scores of resynthesised speech ('zerochain score resynthesis')",
    "players": "resynthesised speech ('zerochain invert synthesize')",
    "usage": "units ('zerochain encode')",
    "examples": "an utterance with both units and a recording ('zerochain report --corpus')",
    "trainings": "a training log",
}
"""Parts that a run may lack → what the page calls them."""
_OF_TRANSLATION = {"players", "usage", "trainings"}


def write_report(
    out: Path,
    files: RunFiles,
    *,
    title: str = "Units, scores and resynthesis",
    published: str | None = "english",
    n_examples: int = 4,
) -> Path:
    """Write `out`/index.html, and its main figure as tradeoff.svg and tradeoff.png.

    Args:
        files: the run's files; `run_files` finds them in its folder.
        published: the language whose published systems the main figure shows as well, "english" or
            "surprise" of ZeroSpeech 2019; None for none.
        n_examples: the number of test utterances to show.

    Returns:
        The path of the page.

    Raises:
        InputError: a damaged input, a package of the extra `report` is missing, or `out` is a
            folder that zerochain did not make.
    """
    style.require_report_extra()
    run = read_run(files)
    with atomic_folder(out, MARKER) as folder, style.figure_style():
        context = _context(run, title, published, n_examples, folder)
        (folder / PAGE).write_text(_render(context), encoding="utf-8")
        inputs = [{"kind": s.kind, "path": str(s.path), "id": s.id} for s in run.sources]
        write_json(folder / MARKER, "report", {"title": title, "inputs": inputs})
    return out / PAGE


def _render(context: Mapping[str, Any]) -> str:
    # Late: it is optional (the extra `report`).
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    environment.filters["counted"] = counted
    return environment.get_template("page.html.j2").render(context)


def _context(
    run: Run, title: str, published: str | None, n_examples: int, folder: Path
) -> dict[str, Any]:
    grouped: dict[Family, list[Score]] = {}
    for score in run.scores:
        grouped.setdefault(group_of(score), []).append(score)
    tables = {group: score_table(scores, run.units) for group, scores in grouped.items()}
    units_table = tables.get("units")
    named = named_units(units_table, run.units)
    shown, problems = examples(run, units_table, named, n_examples)
    translated, more_problems = translations(run, n_examples)
    parts = {
        "units": units_table,
        "phones": tables.get("phones"),
        "phone_maps": list(drawings.phone_maps(run, named)),
        "abx_maps": list(drawings.abx_maps(run)),
        "unaligned": tables.get("unaligned"),
        "tradeoff": drawings.tradeoffs(units_table, published, folder),
        "resynthesis": tables.get("resynthesis"),
        "conversion": tables.get("conversion"),
        "translation": tables.get("translation"),
        "recognition": tables.get("recognition"),
        "translated": translated,
        "players": run.syntheses,
        "usage": [drawings.usage(name, units) for name, units in named],
        "examples": shown,
        "trainings": [drawings.training(run.shown(p), log) for p, log in run.trainings.items()],
    }
    return {
        **parts,
        "title": title,
        "css": (_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "run": run,
        "unconverged": {i for i, model in run.models.items() if not has_converged(model)},
        "corpus_names": {identity: corpus.name for identity, corpus in run.corpora.items()},
        "corpora": [_facts(corpus) for corpus in run.corpora.values()],
        "summary": _summary(run, units_table),
        "absent": _absent(parts),
        "problems": [*problems, *more_problems],
        "version": zerochain.__version__,
        "versions": sorted({score.version for score in run.scores} - {zerochain.__version__}),
        "devices": sorted(
            {d for model in run.models.values() for d in _devices(model.config)}
            | {fit.device for fit in run.fits.values()}
        ),
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0"),
    }


def _absent(parts: Mapping[str, Any]) -> list[str]:
    """The parts that are missing; for a run that translates, only those that belong to that."""
    expected = _OF_TRANSLATION if parts["translation"] or parts["translated"] else set(_ABSENT)
    return [text for name, text in _ABSENT.items() if name in expected and not parts[name]]


def _facts(corpus: Corpus) -> dict[str, str]:
    splits = sorted({u.split for u in corpus.utterances if u.split is not None})
    return {
        "name": corpus.name,
        "language": corpus.language,
        "speech": f"{corpus.duration / 60:.1f} min in "
        + counted(len(corpus.utterances), "utterance"),
        "speakers": f"{len(corpus.speakers)}" if corpus.speakers else "unknown",
        "splits": ", ".join(
            f"{split} {corpus.select(split=split).duration / 60:.1f} min" for split in splits
        ),
        "licence": corpus.licence,
        "source": corpus.source,
        "id": short(corpus.id),
    }


def _summary(run: Run, table: ScoreTable | None) -> str:
    """One sentence: what was done, and on which corpora."""
    models = {units.model_id for units in run.units.values()}
    voices = sorted({synthesis.voice for synthesis in run.syntheses})
    did = [
        counted(len(models), "unit model") if models else "",
        f"{counted(len(table.rows), 'system')} scored" if table else "",
        f"speech resynthesised from units in the voice of {_and(voices)}" if voices else "",
        counted(len(run.trainings), "training log") if run.trainings else "",
    ]
    names = [f"{c.name} ({c.duration / 60:.0f} min)" for c in run.corpora.values()]
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
