"""The page: everything a run holds, as one HTML file that needs no network."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import zerochain
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus
from zerochain.formats.headers import write_json
from zerochain.formats.identity import short
from zerochain.formats.scores import Score
from zerochain.report import drawings, style
from zerochain.report.examples import examples, scored_units
from zerochain.report.maps import abx_maps, phone_maps
from zerochain.report.run import Run, RunFiles, read_run
from zerochain.report.score_tables import Group, ScoreTable, group_of, score_table
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
    "examples": "an utterance whose units and recording are both at hand (--corpus)",
    "trainings": "a training log",
}
"""What a run may lack → how the page says so."""
_OF_TRANSLATION = {"players", "usage", "trainings"}


def write_report(
    out: Path,
    files: RunFiles,
    *,
    title: str = "Units, scores and resynthesis",
    published: str | None = "english",
    n_examples: int = 4,
) -> Path:
    """Write `out`/index.html, and its main figure as tradeoff.svg and tradeoff.png beside it.

    Args:
        files: what to report on; `run_files` finds it in a run's folder.
        published: whose published systems stand faintly in that figure: "english" or "surprise",
            the languages of ZeroSpeech 2019; None for none.
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
        context = _context(run, title, published, n_examples, folder)
        (folder / PAGE).write_text(_render(context), encoding="utf-8")
        inputs = [{"kind": s.kind, "path": str(s.path), "id": s.id} for s in run.sources]
        write_json(folder / MARKER, "report", {"title": title, "inputs": inputs})
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
    environment.filters["short"] = short
    return environment.get_template("page.html.j2").render(context)


def _context(
    run: Run, title: str, published: str | None, n_examples: int, folder: Path
) -> dict[str, Any]:
    grouped: dict[Group, list[Score]] = {}
    for score in run.scores:
        grouped.setdefault(group_of(score), []).append(score)
    tables = {group: score_table(scores, run.units) for group, scores in grouped.items()}
    units_table = tables.get("units")
    shown, problems = examples(run, units_table, n_examples)
    translated, more_problems = translations(run, n_examples)
    parts = {
        "units": units_table,
        "phones": tables.get("phones"),
        "phone_maps": list(phone_maps(run, units_table)),
        "abx_maps": list(abx_maps(run)),
        "unaligned": tables.get("unaligned"),
        "tradeoff": drawings.tradeoffs(units_table, published, folder),
        "resynthesis": tables.get("resynthesis"),
        "conversion": tables.get("conversion"),
        "translation": tables.get("translation"),
        "recognition": tables.get("recognition"),
        "translated": translated,
        "players": run.syntheses,
        "usage": [drawings.usage(*named) for named in scored_units(run, units_table)],
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
    """What isn't there; of a run that translates, only what belongs to that."""
    expected = _OF_TRANSLATION if parts["translation"] or parts["translated"] else set(_ABSENT)
    return [text for name, text in _ABSENT.items() if name in expected and not parts[name]]


def _facts(corpus: Corpus) -> dict[str, str]:
    splits = sorted({u.split for u in corpus.utterances if u.split is not None})
    return {
        "name": corpus.name,
        "language": corpus.language,
        "speech": f"{corpus.duration / 60:.1f} min in {len(corpus.utterances):,} utterances",
        "speakers": f"{len(corpus.speakers)}" if corpus.speakers else "unknown",
        "splits": ", ".join(
            f"{split} {corpus.select(split=split).duration / 60:.1f} min" for split in splits
        ),
        "licence": corpus.licence,
        "source": corpus.source,
        "id": short(corpus.id),
    }


def _summary(run: Run, table: ScoreTable | None) -> str:
    """One sentence: what ran on what."""
    models = {units.model_id for units in run.units.values()}
    voices = sorted({synthesis.voice for synthesis in run.syntheses})
    did = [
        _count(len(models), "unit model") if models else "",
        f"{_count(len(table.rows), 'system')} scored" if table else "",
        f"speech resynthesised from units in the voice of {_and(voices)}" if voices else "",
        _count(len(run.trainings), "training log") if run.trainings else "",
    ]
    names = [f"{c.name} ({c.duration / 60:.0f} min)" for c in run.corpora.values()]
    on = f"On {_and(names)}: " if names else ""
    text = on + ", ".join(part for part in did if part)
    return f"{text[:1].upper()}{text[1:]}."


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _devices(value: object) -> Iterator[str]:
    """Every "device" that a configuration names, however deep."""
    if isinstance(value, Mapping):
        device = value.get("device")
        if isinstance(device, str) and device != "cpu":  # its fit says how many threads
            yield device
        for inner in value.values():
            yield from _devices(inner)
