"""A trained translator: all that is needed to translate, in memory and on disk.

    translator = Translator.load(Path("translators/en-es"))
    units = translator.translate({"u1": frames})  # (T, D) frames, or units → units

It predicts units with repeats merged and without durations, which an inverter adds. It refuses
what it was not trained for: utterances longer than `longest_s`, and other features or units
(`zerochain.translation.data`). What has no end of its own stops at a limit that is proportional
to the source's length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AliasChoices, Field

from zerochain.errors import InputError
from zerochain.formats.bundle import Bundle, Bundled
from zerochain.formats.units import Units
from zerochain.modules.decoders import teacher_forcing
from zerochain.modules.unit_translator import EncoderOutput, UnitTranslator
from zerochain.progress import track
from zerochain.training.crops import like_lengths
from zerochain.translation.data import SourceKind, check_lengths
from zerochain.translation.decoding import (
    Hypothesis,
    beam_search,
    ctc_best,
    greedy,
    length_limits,
    sample,
)
from zerochain.translation.pairs import Array, padded

_OLD_NAMES = {
    "said": "self_attention",
    "said_norm": "self_norm",
    "heard": "cross_attention",
    "heard_norm": "cross_norm",
}
"""What bundles of version 1 call parts of a decoder's layer."""
_BATCH_STEPS = 8_000  # frames or units of a padded batch; its beams share them


@dataclass(frozen=True)
class Search:
    """How units are chosen: the likeliest each time, by beam search, or at random.

    Attributes:
        beam: hypotheses that are kept; 1 is greedy.
        sample: draw each unit from this many of the likeliest instead; None doesn't.
        seed: of what is drawn.

    Raises:
        InputError: both a beam and sampling, or less than 1 of either.
    """

    beam: int = 1
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.beam < 1 or (self.sample is not None and (self.sample < 1 or self.beam > 1)):
            raise InputError(
                f"beam={self.beam} and sample={self.sample}: both are at least 1, and only one of "
                "them can be used",
                remedy="use a beam for the best translation, sample for varied ones",
            )

    def __str__(self) -> str:
        return f"beam {self.beam}" if self.sample is None else f"sampled from {self.sample}"


@dataclass(frozen=True, eq=False)
class UnitSequenceModel(Bundled):
    """Features or units in, units out: what a translator, a denoiser and a normaliser share.

    Attributes:
        source: what it takes.
        unit_model: id of the unit model whose units it predicts.
        unit_method: that model, in a few words for people.
        step_ms: of one of those units, before repeats were merged.
        longest_s: longer utterances are refused.
        max_length_ratio: the most units per frame or unit of the source.
        training: how it was trained.
    """

    network: UnitTranslator
    source: SourceKind
    unit_model: str
    unit_method: str
    step_ms: Annotated[float, Field(gt=0)]
    longest_s: Annotated[float, Field(gt=0)]
    # Bundles up to version 1 call it "ratio".
    max_length_ratio: Annotated[
        float, Field(gt=0, validation_alias=AliasChoices("max_length_ratio", "ratio"))
    ]
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network.eval()

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """What a bundle holds, with the names of today."""
        tensors = {
            ".".join(_OLD_NAMES.get(part, part) for part in name.split(".")): tensor
            for name, tensor in bundle.tensors.items()
        }
        return super().from_bundle(replace(bundle, tensors=tensors), device)

    def check(self) -> None:
        sizes = self.network.config
        if (sizes.n_in, sizes.from_units) != (self.source.n_in, self.source.is_units):
            raise ValueError(f"its network has other inputs than {self.source}")

    @property
    def architecture(self) -> str:
        return self.network.config.architecture

    @property
    def n_units(self) -> int:
        """How many units there are to predict."""
        return self.network.config.n_units

    @property
    def device(self) -> torch.device:
        """Where its network lies."""
        return next(self.network.parameters()).device

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
            inputs: frames (T, D) of each, or units (T,), one per step or with repeats merged.
            beam: hypotheses that are kept; 1 is greedy.
            sample: draw each unit from this many of the likeliest instead.

        Raises:
            InputError: as `hypotheses`.
        """
        found = self.hypotheses(inputs, Search(beam, sample, seed))
        return {name: hypothesis.units for name, hypothesis in found.items()}

    def hypotheses(
        self, inputs: Mapping[str, Array], search: Search | None = None
    ) -> dict[str, Hypothesis]:
        """A translation of each utterance with its score, as it would be alone.

        Raises:
            InputError: an utterance that is too long, empty or holds NaN; a beam or sampling for
                CTC, which predicts all units at once.
        """
        search = search or Search()
        if self.architecture == "ctc" and search != Search(seed=search.seed):
            raise InputError(
                f"a CTC translator has no {search}: it predicts all units at once",
                remedy="leave beam and sample out, or train another architecture",
            )
        found: dict[str, Hypothesis] = {}
        for names, encoded, limits in self._batches(inputs, "Translating"):
            found.update(zip(names, self._decoded(names, encoded, limits, search), strict=True))
        return {name: found[name] for name in inputs}

    def attention(
        self, inputs: Mapping[str, Array], units: Units
    ) -> dict[str, NDArray[np.float32]]:
        """Which steps of the source each unit was predicted from: (N, S), rows that sum to 1.

        S is the number of the encoder's steps. The cross-attention, averaged over layers and heads;
        for CTC, which has none, the step at which a unit was predicted: `units` has to be what
        `translate` returned.
        """
        maps: dict[str, NDArray[np.float32]] = {}
        for names, encoded, _ in self._batches(inputs, "Attending"):
            steps = encoded.lengths.tolist()
            for name, rows, n in zip(names, self._maps(names, encoded, units), steps, strict=True):
                maps[name] = rows[: len(units[name]), :n]
        return {name: maps[name] for name in inputs}

    @property
    def attention_step_ms(self) -> float | None:
        """Of one column of `attention`; None where the source is units of any length."""
        if self.source.is_units:
            return None
        return self.source.step_ms * self.network.config.subsampling

    def _batches(
        self, inputs: Mapping[str, Array], what: str
    ) -> Iterator[tuple[list[str], EncoderOutput, torch.Tensor]]:
        """Names, the encoder's output for them, and the most units that each may get."""
        seconds = {name: self.source.seconds(array) for name, array in inputs.items()}
        check_lengths(seconds, self.longest_s)
        names = list(inputs)
        prepared = [self.source.prepared(inputs[name], name) for name in names]
        groups = list(like_lengths([len(one) for one in prepared], _BATCH_STEPS))
        with torch.inference_mode():
            for group in track(groups, what):
                x, lengths = (t.to(self.device) for t in padded([prepared[i] for i in group]))
                limits = length_limits(lengths, self.max_length_ratio)
                yield [names[i] for i in group], self.network.encode(x, lengths), limits

    def _decoded(
        self, names: list[str], encoded: EncoderOutput, limits: torch.Tensor, search: Search
    ) -> list[Hypothesis]:
        if self.architecture == "ctc":
            return [hypothesis for hypothesis, _ in ctc_best(self.network, encoded)]
        if search.sample is not None:
            # The name is part of the seed, so that what is drawn depends on no other utterance.
            seeds = [[search.seed, *name.encode()] for name in names]
            return sample(self.network, encoded, limits, search.sample, seeds)
        if search.beam == 1:
            return greedy(self.network, encoded, limits)
        return beam_search(self.network, encoded, limits, search.beam)

    def _maps(
        self, names: list[str], encoded: EncoderOutput, units: Units
    ) -> list[NDArray[np.float32]]:
        if self.architecture == "ctc":
            one_hot = np.eye(encoded.memory.shape[1], dtype=np.float32)
            return [one_hot[steps] for _, steps in ctc_best(self.network, encoded)]
        given, lengths = (t.to(self.device) for t in padded([units[name] for name in names]))
        tokens, _ = teacher_forcing(given, lengths, self.n_units)
        weights = self.network.decoder.attention(tokens, encoded.memory, encoded.lengths)
        return list(weights.float().cpu().numpy())


@dataclass(frozen=True, eq=False)
class Translator(UnitSequenceModel):
    """Speech of one language, as features or units → units of another language."""

    MODEL = WHAT = "translator"
