"""A trained translator: everything that is needed to translate, in memory and on disk.

The network that the data ask for: its sizes, CTC's steps, the most units it may say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zerochain.errors import InputError, listed
from zerochain.formats.bundle import Bundle, opened_as, read_bundle, write_bundle
from zerochain.formats.units import Units
from zerochain.formats.weights import weights_of, with_weights
from zerochain.modules.unit_translator import Heard, TranslatorConfig, UnitTranslator
from zerochain.progress import track
from zerochain.training.crops import like_lengths
from zerochain.translation.data import Material, Pair, padded, steps_needed, taught
from zerochain.translation.decoding import (
    Hypothesis,
    beam_search,
    ctc_best,
    greedy,
    most_units,
    sample,
)
from zerochain.translation.source import Array, SourceKind

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


MODEL = "translator"
_BATCH = 8_000
"""Frames or units of a padded batch; beams share them."""


class BundleConfig(BaseModel):
    """What a bundle says; `training` beside it is for people."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    network: TranslatorConfig
    source: SourceKind
    unit_model: str
    unit_method: str
    n_units: int = Field(ge=1)
    step_ms: float = Field(gt=0)
    longest_s: float = Field(gt=0)
    ratio: float = Field(gt=0)


@dataclass(frozen=True)
class Search:
    """How to say units: the likeliest each time, by a beam, or by chance.

    Attributes:
        beam: beginnings that are kept; 1 is greedy.
        sample: draw from so many of the likeliest units instead; None doesn't.
        seed: of what is drawn.
    """

    beam: int = 1
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.beam < 1 or (self.sample is not None and (self.sample < 1 or self.beam > 1)):
            raise InputError(
                f"beam {self.beam} and sample {self.sample}: each is 1 or more, and one alone",
                remedy="take a beam for the best translation, sample for varied ones",
            )

    def __str__(self) -> str:
        return f"beam {self.beam}" if self.sample is None else f"sampled from {self.sample}"


@dataclass(frozen=True, eq=False)
class Translator:
    """Speech of one language → units of another.

    Attributes:
        source: what it listens to.
        unit_model: id of the unit model whose units it says.
        unit_method: that model, in a few words for people.
        step_ms: of one of those units, before repeats were merged.
        longest_s: longer utterances are refused.
        ratio: the most units for a frame or unit of the source.
    """

    network: UnitTranslator
    source: SourceKind
    unit_model: str
    unit_method: str
    step_ms: float
    longest_s: float
    ratio: float
    device: str = "cpu"
    id: str = ""
    """Of the bundle that it was read from."""

    @property
    def architecture(self) -> str:
        return self.network.config.architecture

    def translate(
        self,
        inputs: Mapping[str, Array],
        *,
        beam: int = 1,
        sample: int | None = None,
        seed: int = 0,
    ) -> Units:
        """The units of a translation of each utterance, without repeats, at least one.

        Args:
            inputs: frames (T, D) of each, or units, one a step or with repeats merged.
            beam: beginnings that are kept; 1 is greedy.
            sample: draw from so many of the likeliest units instead.

        Raises:
            InputError: as `hypotheses`.
        """
        found = self.hypotheses(inputs, Search(beam, sample, seed))
        return {name: hypothesis.units for name, hypothesis in found.items()}

    def hypotheses(
        self, inputs: Mapping[str, Array], search: Search | None = None
    ) -> dict[str, Hypothesis]:
        """A translation of each utterance with its score.

        Raises:
            InputError: an utterance that is too long, empty or holds NaN; a beam or sampling for
                CTC, which says everything at once.
        """
        search = search or Search()
        if self.architecture == "ctc" and search != Search(seed=search.seed):
            raise InputError(
                f"a CTC translator has no {search}: it says all units at once",
                remedy="leave beam and sample out, or train another architecture",
            )
        found: dict[str, Hypothesis] = {}
        for names, heard, limits in self._batches(inputs, "Translating"):
            found.update(zip(names, self._said(names, heard, limits, search), strict=True))
        return {name: found[name] for name in inputs}

    def attention(
        self, inputs: Mapping[str, Array], units: Units
    ) -> dict[str, NDArray[np.float32]]:
        """Where the source was when each unit was said: (N, S), rows that sum to 1.

        S is the number of the encoder's steps. Cross-attention, the mean of its layers and heads;
        for CTC, which has none, the step at which it said the unit: `units` has to be what
        `translate` said.
        """
        maps: dict[str, NDArray[np.float32]] = {}
        for names, heard, _ in self._batches(inputs, "Attending"):
            steps = heard.lengths.tolist()
            for name, rows, n in zip(names, self._maps(names, heard, units), steps, strict=True):
                maps[name] = rows[: len(units[name]), :n]
        return {name: maps[name] for name in inputs}

    @property
    def attention_step_ms(self) -> float | None:
        """Of one column of `attention`; None where the source is units of any length."""
        if self.source.hears_units:
            return None
        return self.source.step_ms * self.network.config.subsampling

    def _batches(
        self, inputs: Mapping[str, Array], what: str
    ) -> Iterator[tuple[list[str], Heard, torch.Tensor]]:
        """Names, what the encoder makes of them, and the most units each may get."""
        self._check_lengths(inputs)
        names = list(inputs)
        prepared = [self.source.prepared(inputs[name], name) for name in names]
        self.network.to(self.device).eval()
        groups = list(like_lengths([len(one) for one in prepared], _BATCH))
        with torch.inference_mode():
            for group in track(groups, what):
                x, lengths = (t.to(self.device) for t in padded([prepared[i] for i in group]))
                limits = most_units(lengths, self.ratio)
                yield [names[i] for i in group], self.network.hear(x, lengths), limits

    def _check_lengths(self, inputs: Mapping[str, Array]) -> None:
        seconds = {name: self.source.seconds(array) for name, array in inputs.items()}
        check_lengths(seconds, self.longest_s)

    def _said(
        self, names: list[str], heard: Heard, limits: torch.Tensor, search: Search
    ) -> list[Hypothesis]:
        if self.architecture == "ctc":
            return [hypothesis for hypothesis, _ in ctc_best(self.network, heard)]
        if search.sample is not None:
            seeds = [[search.seed, *name.encode()] for name in names]
            return sample(self.network, heard, limits, search.sample, seeds)
        if search.beam == 1:
            return greedy(self.network, heard, limits)
        return beam_search(self.network, heard, limits, search.beam)

    def _maps(self, names: list[str], heard: Heard, units: Units) -> list[NDArray[np.float32]]:
        if self.architecture == "ctc":
            n = heard.memory.shape[1]
            return [
                np.eye(n, dtype=np.float32)[steps] for _, steps in ctc_best(self.network, heard)
            ]
        said, lengths = (t.to(self.device) for t in padded([units[name] for name in names]))
        tokens, _ = taught(said, lengths, self.network.config.n_units)
        weights = self.network.decoder.attention(tokens, heard.memory, heard.lengths)
        return list(weights.float().cpu().numpy())

    def save(
        self,
        folder: Path,
        trained_on: Mapping[str, str],
        training: Mapping[str, Any],
        model: str = MODEL,
    ) -> str:
        """Write a bundle of a `model` and return its id; `training` says how it was trained."""
        config = {
            "network": self.network.config.model_dump(),
            "source": self.source.model_dump(),
            "unit_model": self.unit_model,
            "unit_method": self.unit_method,
            "n_units": self.network.config.n_units,
            "step_ms": self.step_ms,
            "longest_s": self.longest_s,
            "ratio": self.ratio,
            "training": dict(training),
        }
        return write_bundle(folder, model, config, weights_of(self.network), trained_on)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", model: str = MODEL) -> Self:
        """The translator that `save` wrote.

        Raises:
            InputError: not a bundle of a translator, or one that was edited.
        """
        bundle = read_bundle(folder, model)
        with opened_as("translator", folder, "train the translator again"):
            return cls.from_bundle(bundle, device)

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """What a bundle holds; `load` says what is wrong with one that is damaged."""
        config = bundle.config
        known = BundleConfig.model_validate(config)
        sizes = known.network
        if (sizes.n_units, sizes.n_in) != (known.n_units, known.source.n_in):
            raise ValueError("its network is of other numbers of units or inputs than it says")
        if sizes.hears_units != known.source.hears_units:
            raise ValueError("its network listens to something else than it says")
        return cls(
            network=with_weights(lambda: UnitTranslator(sizes), bundle.tensors, device),
            source=known.source,
            unit_model=known.unit_model,
            unit_method=known.unit_method,
            step_ms=known.step_ms,
            longest_s=known.longest_s,
            ratio=known.ratio,
            device=device,
            id=bundle.id,
        )


def check_lengths(seconds: Mapping[str, float], longest_s: float) -> None:
    """Refuse utterances that are too long.

    Raises:
        InputError: there are some; the message lists them.
    """
    if long := too_long(seconds, longest_s):
        raise InputError(
            f"utterances are longer than {longest_s:g} s: {listed(long)}",
            cause="whole recordings were given rather than sentences",
            remedy="cut them at pauses, or train with a larger --longest",
        )


def too_long(seconds: Mapping[str, float], longest_s: float) -> list[str]:
    """Utterances of more than `longest_s`, a moment excepted, with how long they are."""
    return [f"{name} ({s:.0f} s)" for name, s in seconds.items() if s > longest_s + 0.1]
