"""A language model of texts alone, which decodes along with a chain's recogniser.

The probability of a symbol depends on those before it, as many as the order less one: n-grams,
interpolated after Witten and Bell (1991; Chen and Goodman 1998, section 2.3). A context h that was
followed n(h) times, by t(h) different symbols, and its shorter one h' give

    p(w | h) = (count(h w) + t(h) · p(w | h')) / (n(h) + t(h))

and below the shortest all symbols and the end are alike. From a few hundred sentences, n-grams of
characters learn in a second what a network takes minutes for, and decoding costs a table look-up
per symbol: every known context is a state, with a row of log-probabilities and one of the states
that follow.

In decoding its log-probability is added to the recogniser's with a weight (shallow fusion; Gülçehre
et al. 2015), which is chosen on held-out pairs.

From top to bottom: the config, the model, what the decoder with attention takes, counting.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.formats.bundle import Bundled
from zerochain.speechchain.ctc import Fusion, Ints
from zerochain.speechchain.data import Symbols

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2)
"""Which are tried on held-out pairs."""
_START = -1  # stands before the first symbol of a text, and is never predicted
_MOST_CELLS = 2**24  # of a table: 64 MiB; the rarest contexts are left out
Context = tuple[int, ...]


class LanguageModelConfig(Config):
    """How a language model is made."""

    order: int = Field(6, ge=1, le=20)
    """Symbols of an n-gram: those before a symbol that its probability depends on, and itself."""


@dataclass(frozen=True, eq=False)
class LanguageModel(Bundled):
    """The probability of each symbol after those before it.

    Attributes:
        logs: (S, K + 1) log-probabilities of the next symbol in each state, the end last. Texts
            begin in state 0.
        after: (S, K), the state after each symbol.
        symbols: the names of the symbols.
        unit_model: id of the unit model whose units they are; "" for characters.
        weight: of its log-probability in decoding.
    """

    MODEL = "chain-language-model"
    WHAT = "language model of a speech chain"

    logs: NDArray[np.float32]
    after: NDArray[np.int32]
    symbols: tuple[str, ...]
    unit_model: str = ""
    order: int = 6
    weight: float = 0.0
    training: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        n_states, n = len(self.logs), len(self.symbols)
        fits = self.logs.shape == (n_states, n + 1) and self.after.shape == (n_states, n)
        if not fits or not n_states:
            raise ValueError("its tables don't fit its symbols")
        if self.after.size and not 0 <= int(self.after.min()) <= int(self.after.max()) < n_states:
            raise ValueError("its table of states leads nowhere")
        if not self.weight >= 0:
            raise ValueError("its weight is negative")

    @classmethod
    def of(cls, texts: Sequence[Ints], symbols: Symbols, order: int = 6) -> LanguageModel:
        """A model of texts, each the symbols (U,).

        Raises:
            InputError: no text.
        """
        if not len(texts):
            raise InputError("there is no text to make a language model of", remedy="give texts=")
        n = len(symbols.names)
        counts = _counted(texts, order, n)
        contexts = _kept(counts, max(1, _MOST_CELLS // (n + 1)))
        state = {context: i for i, context in enumerate(contexts)}
        logs = np.empty((len(contexts), n + 1), np.float32)
        after = np.empty((len(contexts), n), np.int32)
        chances = np.empty((len(contexts), n + 1))
        by_length = sorted(contexts, key=len)  # a context's shorter one comes before it
        for context in by_length:
            row = np.zeros(n + 1)
            followed = counts[context]
            row[list(followed)] = list(followed.values())
            lower = chances[state[context[1:]]] if context else np.full(n + 1, 1 / (n + 1))
            chances[state[context]] = (row + len(followed) * lower) / (row.sum() + len(followed))
        np.log(chances, out=logs, casting="same_kind")
        for context in by_length:
            own = after[state[context]]
            # As after the shorter context, but for the symbols after which a longer one is known.
            own[:] = after[state[context[1:]]] if context else state[()]
            for symbol in counts[context]:
                longer = (*context, symbol)[-(order - 1) :] if order > 1 else ()
                if symbol < n and longer in state:
                    own[symbol] = state[longer]
        start = state.get((_START,), state[()])
        order_of = np.arange(len(contexts))
        order_of[[0, start]] = order_of[[start, 0]]  # texts begin in state 0
        return cls(
            logs[order_of],
            order_of[after[order_of]].astype(np.int32),
            symbols.names,
            symbols.unit_model,
            order,
        )

    @property
    def spelling(self) -> Symbols:
        """Between texts and symbols."""
        return Symbols(self.symbols, self.unit_model)

    def score(self, symbols: Ints) -> float:
        """The log-probability of a text, with its end."""
        state, total = 0, 0.0
        for symbol in symbols.tolist():
            total += float(self.logs[state, symbol])
            state = int(self.after[state, symbol])
        return total + float(self.logs[state, -1])

    def perplexity(self, texts: Sequence[Ints]) -> float:
        """Of texts, per symbol with the ends."""
        total = sum(self.score(text) for text in texts)
        return math.exp(-total / sum(len(text) + 1 for text in texts))

    @property
    def fusion(self) -> Fusion:
        """What CTC's beam search takes."""
        return Fusion(self.logs, self.after, self.weight)

    def prior(self, device: torch.device) -> Prior:
        """What the beam search of a decoder with attention takes."""
        return Prior(
            torch.from_numpy(self.weight * self.logs).to(device),
            torch.from_numpy(self.after).to(device),
        )


@dataclass(frozen=True, eq=False)
class Prior:
    """Weighted log-probabilities (S, K + 1) and following states (S, K) on a device."""

    logs: Tensor
    after: Tensor

    def begin(self, n: int) -> Tensor:
        """The states (n,) before the first symbols."""
        return torch.zeros(n, dtype=torch.long, device=self.logs.device)

    def step(self, states: Tensor, tokens: Tensor) -> Tensor:
        """The states after tokens (n,); begin and end leave them as they are."""
        n = self.after.shape[1]
        new = self.after[states, tokens.clamp(max=n - 1)].long()
        return torch.where(tokens < n, new, states)

    def scores(self, states: Tensor) -> Tensor:
        """What is added to the log-probabilities of the next token, (n, K + 1)."""
        return self.logs[states]


def _counted(texts: Sequence[Ints], order: int, end: int) -> dict[Context, Counter[int]]:
    """How often each symbol, or the end, follows each context, of all lengths below the order."""
    counts: dict[Context, Counter[int]] = {(): Counter()}
    for text in texts:
        whole = [_START, *text.tolist(), end]
        for i in range(1, len(whole)):
            for first in range(max(0, i - order + 1), i + 1):
                counts.setdefault(tuple(whole[first:i]), Counter())[whole[i]] += 1
    return counts


def _kept(counts: Mapping[Context, Counter[int]], most: int) -> list[Context]:
    """The contexts that are seen most often; of each, the shorter ones are among them."""
    # A shorter context is seen at least as often: it comes first.
    return sorted(counts, key=lambda c: (-counts[c].total(), len(c), c))[:most]
