"""Pretrain a translator's network on units alone: to say again what it hears with gaps.

Text infilling (BART, Lewis et al. 2020) on units, as Popuri et al. (2022) pretrained their unit
decoder: it learns which units follow which in a language, without any pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from zerochain.errors import InputError
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.bundle import MARKER
from zerochain.formats.units import read_units
from zerochain.modules.unit_translator import hidden_of
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Row
from zerochain.translation.data import Material, Pair, held_out
from zerochain.translation.fitting import DENOISER, Running, fit, keep
from zerochain.translation.source import Array, SourceKind
from zerochain.translation.task import TranslationConfig, TranslationTask
from zerochain.translation.translator import Translator, check_lengths, network_config

HIDDEN = 0.3
"""Part of the units that is hidden (Popuri et al. 2022)."""
SPAN = 10.0
"""Units of a gap, on average (same); a short utterance has shorter ones."""
CONFIG = TranslationConfig(hidden_units=0, concatenated=0)


def infilled(
    units: NDArray[np.int32], token: int, part: float, mean: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Units (N,) with spans of them replaced by one token each: (M,), M ≤ N.

    Args:
        token: what stands for a span.
        part: how many units are hidden, in all.
        mean: of the lengths of spans, which are Poisson-distributed and at least 1.
    """
    hidden = np.zeros(len(units), bool)
    left = round(part * len(units))
    while left > 0:
        length = min(max(1, int(rng.poisson(mean))), left)
        start = int(rng.integers(len(units) - length + 1))
        left -= int((~hidden[start : start + length]).sum())
        hidden[start : start + length] = True
    kept = np.concatenate([[True], ~(hidden[1:] & hidden[:-1])])
    tokens: NDArray[np.int64] = np.where(hidden, token, units)[kept].astype(np.int64)
    return tokens


class DenoisingTask(TranslationTask):
    """Translate units with gaps into the units; other gaps in every step."""

    _rng: np.random.Generator

    def batch(self, step: int, process: int) -> Batch:
        """As any translation's, from numbers of this step alone."""
        self._rng = np.random.default_rng([self._training.seed, process, step])
        return super().batch(step, process)

    def validate(self, network: nn.Module) -> Row:
        """As any translation's, with the same gaps every time."""
        self._rng = np.random.default_rng(self._training.seed)
        return super().validate(network)

    def _prepared(self, pair: Pair) -> Array:
        token = hidden_of(self._source.n_in)
        return infilled(super()._prepared(pair), token, HIDDEN, SPAN, self._rng)


def pretrain(
    units: Sequence[Path],
    out: Path,
    *,
    network: Mapping[str, Any] | None = None,
    config: TranslationConfig = CONFIG,
    training: TrainingConfig | None = None,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> tuple[Translator, dict[str, Any]]:
    """Train a network to mend the units of one model, whoever says them; save it as `out`.

    A translator from these units can start from its encoder, one into them from its decoder.

    Args:
        units: unit files, of any corpora.
        network: fields of TranslatorConfig.

    Returns:
        The network, as a translator into the units that it hears, and how its training went.

    Raises:
        InputError: fewer than two utterances, one that is too long, or CTC, which has no decoder.
        ModelMismatchError: units of several models.
    """
    check_replaceable(out, MARKER)
    training = training or TrainingConfig()
    if (network or {}).get("architecture") == "ctc":
        raise InputError(
            "a CTC network can't be pretrained: it says a unit for each that it hears",
            remedy="pretrain a conformer, whose encoder a CTC translator can start from",
        )
    material = _material(units)
    check_lengths(
        {p.names[0].split(" ", 1)[1]: material.source.seconds(p.source) for p in material.pairs},
        config.longest_s,
    )
    learned, valid = held_out(material.pairs, config.validation)
    built = network_config(material, network or {})
    translator, report = fit(
        material,
        built,
        (learned, valid),
        out,
        config,
        training,
        Running(device, restart, tensorboard),
        task=DenoisingTask,
        settings={"hidden": HIDDEN, "span": SPAN},
    )
    report |= {"n_utterances": len(material.pairs), "n_held_out": len(valid)}
    keep(translator, out, material.trained_on, report, DENOISER)
    return translator, report


def _material(files: Sequence[Path]) -> Material:
    """Each utterance as the translation of itself."""
    given = [read_units(path) for path in files]
    for one in given:
        one.check_model(given[0].model_id, "first file")
    pairs = [
        Pair(one.steps(name), one.segments(name)[0], None, (f"{i} {name}", f"{i} {name}"))
        for i, one in enumerate(given)
        for name in one.ids
    ]
    trained_on = {f"units {i}": one.id for i, one in enumerate(given, start=1)}
    return Material(pairs, SourceKind.of(given[0]), given[0], None, trained_on)
