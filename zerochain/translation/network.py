"""The network that the data ask for: its sizes, CTC's steps, the most units it may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from zerochain.errors import InputError, listed
from zerochain.modules.unit_translator import TranslatorConfig
from zerochain.translation.data import Pair, steps_needed
from zerochain.translation.parallel import Material
from zerochain.translation.source import SourceKind

_MOST_UPSAMPLING = 8
_SLACK = 1.5  # of the length that nearly all pairs stay below


def network_config(material: Material, chosen: Mapping[str, Any]) -> TranslatorConfig:
    """The network as chosen, with what the data say about it.

    Raises:
        InputError: what was chosen doesn't fit together, or a CTC would need too many steps.
    """
    source, own = material.source, material.own
    usual = TranslatorConfig.published() if chosen.get("architecture") == "rnn" else {}
    if source.hears_units:
        usual["subsampling"] = 1
    if own is not None:
        usual |= {"auxiliary": "ctc", "n_auxiliary_units": own.n_units}
    facts = {
        "n_in": source.n_in,
        "hears_units": source.hears_units,
        "n_units": material.target.n_units,
    }
    try:
        built = TranslatorConfig(**{**usual, **chosen, **facts})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(reason, remedy="choose other sizes of the network") from error
    if built.auxiliary != "none" and own is None:
        raise InputError(
            f"the auxiliary loss {built.auxiliary!r} predicts the source's own units, and there "
            "are none",
            remedy="give a unit file of the source's recordings with --source-units",
        )
    update = {}
    if built.architecture == "ctc":
        said = [len(pair.target) for pair in material.pairs]
        update["upsampling"] = _upsampling(material, said, built.subsampling, "target")
    if built.auxiliary == "ctc":
        lengths = [len(pair.own) for pair in material.pairs if pair.own is not None]
        factor = _upsampling(material, lengths, built.subsampling, "source's own")
        update["auxiliary_upsampling"] = factor
    return built.model_copy(update=update)


def _upsampling(material: Material, said: list[int], subsampling: int, whose: str) -> int:
    """Steps of CTC for one of the encoder, so that every pair has enough of them."""
    heard = [len(pair.source) for pair in material.pairs]
    if material.source.hears_units:
        heard = [len(material.source.prepared(p.source, p.names[0])) for p in material.pairs]
    factor = steps_needed(list(zip(heard, said, strict=True)), subsampling)
    if factor > _MOST_UPSAMPLING:
        wrong = [
            pair.names[0].split(" ", 1)[1]
            for pair, a, b in zip(material.pairs, heard, said, strict=True)
            if steps_needed([(a, b)], subsampling) > _MOST_UPSAMPLING
        ]
        raise InputError(
            f"{len(wrong)} pairs have too many {whose} units for the length of their source, as "
            f"CTC goes: {listed(wrong)}",
            cause="the pairs don't say the same, or the units are short",
            remedy="mend the pairs, take a smaller --subsampling or longer units, or (for the "
            "translation) another architecture",
        )
    return factor


def most_for_one(pairs: Sequence[Pair], source: SourceKind) -> float:
    """The most units for a frame or unit of a source: what 99 % of pairs have, and half more."""
    ratios = [len(p.target) / len(source.prepared(p.source, p.names[0])) for p in pairs]
    return float(_SLACK * np.quantile(ratios, 0.99))
