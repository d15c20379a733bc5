"""What a reader has to know of the models behind a row of scores, beside the numbers.

A training that ran out of steps, a codebook of which little is in use and a translator that gives
the same output for every input all have scores that look like any other. What a fit took, and on
what, belongs to the comparison as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zerochain.errors import counted
from zerochain.formats.bundle import Bundle, Fit
from zerochain.formats.scores import Score
from zerochain.metrics import names
from zerochain.metrics.names import Family
from zerochain.report.run import Run
from zerochain.report.score_tables import Row
from zerochain.scoring.translation import ignores_its_input

PARTS = {"f0_quantizer": "F0 units", "f0": "F0 units", "prosody": "durations and pitch"}
"""Parts of a model that are trained apart, by their names in its record → in words."""
COLLAPSED = 0.1
"""Codes in use, as a share, below which a codebook has collapsed …"""
STEPS_PER_UNIT = 10
"""… if there are this many steps for each unit: in less speech many units are unused by chance."""
PITCH_COLLAPSED = 0.25
"""Likewise of the F0 units."""
NOT_CONVERGED = "NOT CONVERGED"


@dataclass(frozen=True)
class Cost:
    """What the fit of one of a row's models took."""

    what: str
    """"units", "inverter" or "translator"."""
    fit: Fit


def unconverged(bundle: Bundle) -> list[str]:
    """The parts of a model that ran out of training steps; "" is the model itself."""
    parts = dict.fromkeys(PARTS.get(part, "") for part in _ran_out(bundle.config))
    return sorted(parts, key=lambda part: part != "")


def has_converged(bundle: Bundle) -> bool:
    """Whether no part of a model ran out of training steps, as its bundle records."""
    return not unconverged(bundle)


def training_cell(training: Mapping[str, Any]) -> str:
    """How a model was trained, for a table: "recogniser 900 steps, loop 400 steps NOT CONVERGED".

    Args:
        training: its bundle's record, with "steps", "converged" and, where several "parts" were
            trained, these of each.
    """
    done = []
    for part in training.get("parts") or [training]:
        ended = f" {NOT_CONVERGED}" if part["converged"] is False else ""
        done.append(f"{part.get('part', '')} {counted(part['steps'], 'step')}{ended}".strip())
    kept = "; kept its start" if training.get("kept_start") else ""
    device = training.get("computed_on")
    return ", ".join(done) + kept + (f"; {device}" if device else "")


def of_model(bundle: Bundle) -> list[str]:
    """What a model's own record says against it."""
    parts = unconverged(bundle)
    found = []
    if parts:
        of = ", ".join(part or "the network" for part in parts)
        found.append(NOT_CONVERGED if parts == [""] else f"{NOT_CONVERGED}: {of}")
    quantizer = bundle.config.get("f0_quantizer")
    if isinstance(quantizer, Mapping):
        used = _number(quantizer, "report", "n_used")
        of_all = _number(quantizer, "network", "n_units")
        seen = _number(quantizer, "report", "n_seen")  # older bundles lack it
        enough_for = math.inf if seen is None else seen / STEPS_PER_UNIT
        if used is not None and of_all and used < PITCH_COLLAPSED * min(of_all, enough_for):
            found.append(f"COLLAPSED: {used:g} of {of_all:g} F0 units in use")
    return found


def of_usage(scores: Iterable[Score]) -> list[str]:
    """Whether the units of a test set have collapsed, by the scores of a row."""
    for score in scores:
        if score.metric == names.CODEBOOK_USAGE.key:
            used, of_all = score.options.get("n_used"), score.options.get("n_units")
            if (
                isinstance(used, int)
                and isinstance(of_all, int)
                and used < COLLAPSED * of_all
                and score.n >= STEPS_PER_UNIT * of_all
            ):
                return [f"COLLAPSED: {used} of {of_all} units in use"]
    return []


def of_outputs(scores: Sequence[Score]) -> list[str]:
    """Whether a translator ignores its input, by its scores."""
    return ["IGNORES ITS INPUT"] if ignores_its_input(scores) else []


class Remarks:
    """The remarks on the rows of a run's tables, and what their models took to fit."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._translators = {
            score.inputs["units"]: score.inputs["translator"]
            for score in run.scores
            if {"units", "translator"} <= score.inputs.keys()
        }
        for attention in run.attentions:
            self._translators.setdefault(attention.units_id, attention.translator_id)
        self._translations: dict[str, list[Score]] = {}
        for score in run.scores:
            if score.metric in _OF_OUTPUTS and "units" in score.inputs:
                self._translations.setdefault(score.inputs["units"], []).append(score)

    def models(self, row: Row, family: Family) -> dict[str, str]:
        """What the scores of a row judge: its name → the id of the model.

        A speech chain is judged by what it recognises, and as an inverter by what it speaks.
        """
        units, inverter = row.unit_file, row.input("inverter")
        found: dict[str, str | None] = {}
        if inverter is None and units is not None and not units.is_translation:
            found["units"] = units.model_id
        if family in {"translation", "recognition"} and (made := row.input("units")):
            found["translator"] = row.input("translator") or self._translators.get(made)
        found["inverter"] = inverter
        found |= {name: row.input(name) for name in ("chain", "captioner")}
        return {name: one for name, one in found.items() if one is not None}

    def of(self, row: Row, family: Family) -> list[str]:
        """What a reader has to know of a row."""
        found: list[str] = []
        models = self.models(row, family)
        for what, identity in models.items():
            bundle = self._run.models.get(identity)
            remarks = [] if bundle is None else of_model(bundle)
            of = f" ({what})" if len(models) > 1 else ""
            found += [f"{remark}{of}" for remark in remarks]
        found += of_usage(cell.score for cell in row.cells.values())
        made = row.input("units")
        if family in {"translation", "recognition"} and made:
            found += of_outputs(self._translations.get(made, []))
        return list(dict.fromkeys(found))

    def costs(self, row: Row, family: Family) -> list[Cost]:
        """What the fits of a row's models took, as far as it was written down."""
        models = self.models(row, family)
        return [
            Cost(what, self._run.fits[identity])
            for what, identity in models.items()
            if identity in self._run.fits
        ]


_OF_OUTPUTS = {
    one.key
    for one in (
        *(
            variant
            for own in (names.UNIT_BLEU, names.UNIT_CHRF)
            for variant in (own, names.shuffled(own))
        ),
        names.DISTINCT_OUTPUTS,
    )
}
"""The scores that show whether a translator uses its input."""


def _ran_out(config: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The first name of every place in a configuration where "converged" is false."""
    if isinstance(config, Mapping):
        if config.get("converged") is False:
            yield next((part for part in path if part in PARTS), "")
        for name, inner in config.items():
            yield from _ran_out(inner, (*path, str(name)))


def _number(table: Mapping[str, Any], *names_: str) -> float | None:
    value: Any = table
    for name in names_:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
