"""What a translator may begin with: an encoder or a decoder that knows the language already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import bundle_id
from zerochain.formats.identity import short
from zerochain.modules.unit_translator import UnitTranslator
from zerochain.translation.source import SourceKind
from zerochain.translation.translator import Translator

DENOISER = "denoiser"
Part = Literal["encoder", "decoder"]
_SIZES: Mapping[Part, tuple[str, ...]] = {
    "encoder": ("width", "n_encoder_layers", "n_heads", "factor", "kernel", "subsampling"),
    "decoder": ("width", "n_decoder_layers", "n_heads", "factor", "decoder_width"),
}
"""What has to be the same for a part to fit; LSTMs' `embedding` is one more."""


@dataclass(frozen=True, eq=False)
class Start:
    """Parts of pretrained networks."""

    parts: Mapping[Part, Translator]
    trained_on: Mapping[str, str]
    """The bundles they are of."""

    @property
    def sizes(self) -> dict[str, Any]:
        """The fields of TranslatorConfig that a network has to share for its parts to fit."""
        sizes: dict[str, Any] = {}
        for part, model in self.parts.items():
            given = model.network.config.model_dump()
            names = (*_SIZES[part], "embedding", *(("architecture",) if part == "decoder" else ()))
            sizes |= {name: given[name] for name in names}
        return sizes

    def give(self, network: UnitTranslator) -> None:
        """Put the parts into a network of these sizes."""
        for part, model in self.parts.items():
            getattr(network, part).load_state_dict(getattr(model.network, part).state_dict())


def read_start(
    folders: Sequence[Path],
    source: SourceKind,
    unit_model: str,
    chosen: Mapping[str, Any],
) -> Start:
    """Take the encoder of what knows the source's units, the decoder of what knows the target's.

    Args:
        unit_model: id of the target's.
        chosen: fields of TranslatorConfig that somebody asked for.

    Raises:
        ModelMismatchError: it knows neither.
        InputError: no denoiser, two for the same part, or other sizes than those chosen.
    """
    parts: dict[Part, Translator] = {}
    for folder in folders:
        model = Translator.load(folder, model=DENOISER)
        for part in _of_use(model, folder, source, unit_model, chosen):
            if part in parts:
                raise InputError(
                    f"is a second {part} to start from",
                    path=folder,
                    remedy="give one for the source's units and one for the target's",
                )
            parts[part] = model
    start = Start(parts, {f"start {i}": bundle_id(f) for i, f in enumerate(folders, start=1)})
    _check_alike(list(parts.values()))
    for name, size in start.sizes.items():
        if chosen.get(name, size) != size:
            raise InputError(
                f"{name} {chosen[name]} was asked for, and what to start from has {size}",
                path=folders[0],
                remedy="leave it out, or pretrain a network of that size",
            )
    return start


def _of_use(
    model: Translator, folder: Path, source: SourceKind, unit_model: str, chosen: Mapping[str, Any]
) -> list[Part]:
    parts: list[Part] = []
    recurrent = model.architecture == "rnn"
    if source.hears_units and source.name == model.unit_model:
        parts.append("encoder")
    if unit_model == model.unit_model and chosen.get("architecture") != "ctc":
        parts.append("decoder")
    if not parts:
        heard = f"units of {short(source.name)}" if source.hears_units else source.name
        raise ModelMismatchError(
            f"knows units of {short(model.unit_model)}, but the translator goes from {heard} to "
            f"units of {short(unit_model)}"
            + (" by CTC, which has no decoder" if chosen.get("architecture") == "ctc" else ""),
            path=folder,
            cause="it was pretrained on units of another model",
            remedy="pretrain on the units that the translator hears or says",
        )
    if recurrent != (chosen.get("architecture", model.architecture) == "rnn"):
        raise InputError(
            f"is of architecture {model.architecture}, and {chosen['architecture']} was asked for",
            path=folder,
            remedy=f"pretrain with --architecture {chosen['architecture']}",
        )
    return parts


def _check_alike(models: Sequence[Translator]) -> None:
    configs = [model.network.config.model_dump() for model in models]
    for name in ("architecture", "width", "n_heads", "factor", "embedding"):
        found = {config[name] for config in configs}
        if len(found) > 1:
            raise InputError(
                f"what to start from differs in {name}: {' and '.join(map(str, sorted(found)))}",
                remedy="pretrain both sides with the same sizes",
            )
