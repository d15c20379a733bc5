"""Units beside gold phones as TextGrids, to be looked at in Praat."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zerochain.corpora.textgrid import Segment, textgrid_text
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import read_corpus
from zerochain.formats.headers import write_json
from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.units import UnitFile, read_units
from zerochain.progress import track

MARKER = "textgrids.json"


def export_textgrids(
    units: Path, corpus: Path, out: Path, *, split: str | None = None
) -> tuple[int, int]:
    """Write `out`/<id>.TextGrid for every utterance, with tiers "units" and "phones".

    Repeated units are merged. An utterance without gold phones has no tier "phones".

    Args:
        split: only this split, all of which has to have units; None: all utterances that have.

    Returns:
        How many were written, and how many of them have phones.

    Raises:
        InputError: units that the corpus lacks or that are longer or shorter than its recordings,
            a split without units, or `out` is somebody else's folder.
    """
    unit_file, whole = read_units(units), read_corpus(corpus)
    check_same_ids(unit_file.ids, whole.ids, "unit file", f"corpus {whole.name}")
    durations = {u.id: u.duration for u in whole.utterances}
    unit_file.check_durations(durations, f"corpus {whole.name}")
    names = unit_file.ids if split is None else whole.select(split=split).ids
    check_same_ids(names, unit_file.ids, f"split {split!r}", "unit file")
    path = whole.home / PHONES_FILE
    phones = read_phones(path) if path.is_file() else Phones({})
    with atomic_folder(out, MARKER) as temporary:
        for name in track(names, "Writing TextGrids"):
            tiers = {"units": _unit_segments(unit_file, name)}
            if name in phones.by_id:
                tiers["phones"] = [(p.onset, p.offset, p.phone) for p in phones.by_id[name]]
            file = temporary / f"{name}.TextGrid"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textgrid_text(durations[name], tiers), encoding="utf-8")
        inputs = {"units": unit_file.id, "corpus": whole.id}
        write_json(temporary / MARKER, "textgrids", inputs)
    return len(names), sum(name in phones.by_id for name in names)


def _unit_segments(unit_file: UnitFile, name: str) -> list[Segment]:
    units, lasting = unit_file.segments(name)
    times = np.append(0, np.cumsum(lasting)) * unit_file.step_ms / 1000
    return [
        (float(onset), float(offset), str(unit))
        for onset, offset, unit in zip(times[:-1], times[1:], units.tolist(), strict=True)
    ]
