"""`zerochain show`: what any file or folder of zerochain is, printed readably."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import PATH, Command
from zerochain.cli.printing import plain, print_facts, print_table
from zerochain.errors import InputError, listed
from zerochain.formats.identity import short

_FIRST = 5
_MOST_ROWS = 30


@click.command(cls=Command, example="zerochain show units.parquet\nzerochain show corpora/mine")
@click.argument("path", metavar="FILE", type=PATH)
def show(path: Path) -> None:
    """Say what FILE is (any file or folder that zerochain writes) and print it readably."""
    print_file(path)


def print_file(path: Path) -> None:
    """Print a file or folder of any kind.

    Raises:
        InputError: it is of no kind, or damaged.
    """
    from zerochain.formats.kinds import kind_of

    kind = kind_of(path)
    folder = path if path.is_dir() else path.parent
    match kind:
        case "corpus":
            _corpus(folder)
        case "features":
            _features(folder)
        case "bundle":
            _bundle(folder)
        case "synthesis":
            _synthesis(folder)
        case "attention":
            _attention(folder)
        case "training":
            _training(folder)
        case "phones":
            _phones(path)
        case "pairs":
            _pairs(path)
        case "units":
            _units(path)
        case "abx-cells":
            _abx_cells(path)
        case "scores":
            _scores(path)


def _corpus(folder: Path) -> None:
    from zerochain.corpora.build import findings
    from zerochain.formats.corpus import MARKER, read_corpus
    from zerochain.formats.phones import PHONES_FILE

    corpus = read_corpus(folder)
    facts = {
        "language": corpus.language,
        "licence": corpus.licence,
        "source": corpus.source,
        "audio": corpus.audio_root,
        "minutes": f"{corpus.duration / 60:.1f}",
        "utterances": f"{len(corpus.utterances)}",
        "id": short(corpus.id),
    }
    print_facts(f"corpus {corpus.name!r}", facts)
    splits = sorted({u.split for u in corpus.utterances}, key=str)
    rows = []
    for speaker in sorted({u.speaker for u in corpus.utterances}, key=str):
        parts = [
            [u.duration for u in corpus.utterances if (u.speaker, u.split) == (speaker, split)]
            for split in splits
        ]
        cells = [f"{sum(p) / 60:.1f} min ({len(p)})" if p else "–" for p in parts]
        rows.append([speaker or "unknown", *cells])
    header = ["speaker", *(split or "no split" for split in splits)]
    title = f"minutes (utterances) of {len(rows)} speakers"
    print_table(title, header, rows, _MOST_ROWS)
    first = [
        [u.id, u.speaker or "–", f"{u.duration:.2f}", u.text or "–"]
        for u in corpus.utterances[:_FIRST]
    ]
    print_table("first utterances", ["id", "speaker", "seconds", "text"], first)
    try:
        noticed = findings(corpus)
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise InputError(
            f"its record makes no sense ({type(error).__name__}: {error})",
            path=folder / MARKER,
            cause="it was edited by hand",
            remedy="import the recordings again, or take the record out",
        ) from error
    for line in noticed:
        click.echo(f"noticed by the import: {plain(line)}")
    if (folder / PHONES_FILE).is_file():
        _phones(folder / PHONES_FILE)


def _phones(path: Path) -> None:
    from collections import Counter

    from zerochain.formats.phones import read_phones

    phones = read_phones(path)
    counts = Counter(phone.phone for line in phones.by_id.values() for phone in line)
    facts = {
        "utterances": f"{len(phones.by_id)}",
        "phones": f"{counts.total()}, of {len(counts)} kinds",
        "most frequent": ", ".join(f"{name} {n}" for name, n in counts.most_common(12)),
        "source": phones.source,
    }
    print_facts("gold phones", facts)


def _pairs(path: Path) -> None:
    from zerochain.formats.pairs import read_pairs

    pairs = read_pairs(path)
    facts = {
        "pairs": f"{len(pairs.pairs)}",
        "source corpus": short(pairs.source_corpus),
        "target corpus": short(pairs.target_corpus),
    }
    print_facts("pairs of utterances that say the same", facts)
    print_table("first pairs", ["source", "target"], pairs.pairs[:_FIRST])


def _abx_cells(path: Path) -> None:
    from zerochain.formats.abx_cells import read_cells

    cells = read_cells(path)
    facts = {
        "system": cells.system,
        "protocol": f"{cells.protocol}, {cells.distance}",
        "cells": f"{cells.table.num_rows:,}",
        "triples": f"{sum(cells.table['n'].to_pylist()):,}",
    }
    print_facts("the ABX score of every cell", facts)
    first = [list(map(str, row.values())) for row in cells.table.slice(0, _FIRST).to_pylist()]
    print_table("first cells", cells.table.column_names, first)


def _features(folder: Path) -> None:
    from zerochain.formats.features import read_features

    features = read_features(folder)
    n_frames = sum(count for _, count in features.index.values())
    facts = {
        "extractor": features.extractor,
        "options": _options(features.options),
        "utterances": f"{len(features)}",
        "frames": f"{n_frames} of {features.dim} numbers, one every {features.step_ms:g} ms "
        f"({n_frames * features.step_ms / 60_000:.1f} min)",
        "corpus": short(features.corpus_id),
        "id": short(features.id),
    }
    print_facts("features", facts)


def _bundle(folder: Path) -> None:
    from zerochain.cli.show_model import model_facts
    from zerochain.formats.bundle import read_bundle

    bundle = read_bundle(folder)
    options = sorted(_flat(bundle.config))
    places = {text for name, text in options if name.endswith("computed_on")} - {""}
    facts = {
        **model_facts(bundle, folder),
        **({"computed on": "; ".join(sorted(places))} if places else {}),
        **{f"trained on {name}": short(identity) for name, identity in bundle.trained_on.items()},
        "id": short(bundle.id),
    }
    print_facts(f"model of kind {bundle.model!r}", facts)
    print_table("configuration", ["option", "value"], options, _MOST_ROWS)
    tensors = [
        [name, " × ".join(map(str, tensor.shape)) or "1", str(tensor.dtype)]
        for name, tensor in sorted(bundle.tensors.items())
    ]
    count = sum(tensor.size for tensor in bundle.tensors.values())
    print_table(
        f"{len(tensors)} tensors, {count:,} numbers", ["name", "shape", "type"], tensors, _MOST_ROWS
    )


def _units(path: Path) -> None:
    from zerochain.formats.units import read_units

    units = read_units(path)
    n_symbols = sum(len(line) for line in units.units.values())
    seconds = sum(units.duration_s(name) for name in units.ids)
    timing = "each lasts one step" if units.durations is None else "with durations"
    facts = {
        "method": units.method,
        "unit model": short(units.model_id),
        "units": f"{units.n_units}",
        "step": f"{units.step_ms:g} ms, {timing}",
        "utterances": f"{len(units.ids)}, {seconds / 60:.1f} min",
        "symbols": f"{n_symbols}, {n_symbols / seconds:.1f} a second",
        "corpus": short(units.corpus_id),
        "id": short(units.id),
    }
    print_facts("units", facts)
    rows = []
    for name in units.ids[:_FIRST]:
        line = units.units[name]
        lasts = units.durations[name] if units.durations is not None else None
        shown = [
            str(unit) if lasts is None else f"{unit}×{lasts[i]}" for i, unit in enumerate(line[:16])
        ]
        more = f" … {len(line) - 16} more" if len(line) > 16 else ""
        rows.append([name, units.speakers.get(name) or "–", " ".join(shown) + more])
    print_table("first utterances", ["id", "speaker", "units"], rows)


def _synthesis(folder: Path) -> None:
    from zerochain.formats.synthesis import read_synthesis

    synthesis = read_synthesis(folder)
    facts = {
        "voice": synthesis.voice,
        "method": synthesis.method,
        "inverter": short(synthesis.inverter_id),
        "units": short(synthesis.units_id),
        "corpus": short(synthesis.corpus_id),
        "speaker encoder": short(synthesis.speaker_encoder_id or ""),
        "wavs": f"{len(synthesis.ids)} at {synthesis.sample_rate} Hz: "
        f"{listed(list(synthesis.ids), _FIRST)}",
    }
    print_facts("resynthesised speech", facts)


def _attention(folder: Path) -> None:
    from zerochain.formats.attention import read_attention

    maps = read_attention(folder)
    facts = {
        "of units": short(maps.units_id),
        "translator": short(maps.translator_id),
        "a column": "a unit of the source" if maps.step_ms is None else f"{maps.step_ms:g} ms",
    }
    print_facts("attention maps: where each unit of a translation comes from", facts)
    first = maps.ids[:_FIRST]
    rows = [[name, *(str(n) for n in maps.map(name).shape)] for name in first]
    header = ["id", "units", "steps of the source"]
    print_table(f"the first {len(first)} of {len(maps.ids)} maps", header, rows)


def _training(folder: Path) -> None:
    from zerochain.formats.training_log import read_training_log

    log = read_training_log(folder)
    print_facts("training log", {"rows": f"{len(log['step'])}"})
    rows = [[f"{value:g}" for value in row] for row in zip(*log.values(), strict=True)]
    print_table("last rows", list(log), rows[-_FIRST:])


def _scores(path: Path) -> None:
    from zerochain.formats.scores import read_scores

    scores = read_scores(path)
    rows = []
    for score in scores:
        interval = "–" if score.interval is None else "{:.4g} … {:.4g}".format(*score.interval)
        n_of = f"{score.n} {score.options.get('n_of', '')}".strip()
        rows.append(
            [score.system, score.metric, f"{score.value:.4g}", interval, n_of, score.protocol]
        )
    print_facts(f"{len(scores)} scores", {})
    header = ["system", "metric", "value", "95 % interval", "n", "protocol"]
    print_table("scores", header, rows)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and len(value) > 8:
            yield f"{prefix}{key}", f"{', '.join(map(str, value[:8]))} … {len(value) - 8} more"
        else:
            yield f"{prefix}{key}", str(value)


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in _flat(options))
