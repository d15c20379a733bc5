"""Decoding: from an encoder's output to units, in batches.

Greedy search, beam search and top-k sampling go token by token until the end token; CTC decodes all
steps at once. Three rules hold whatever the network predicts: no unit repeats the one before it,
since repeats were merged in training; there is at least one unit; and there are no more than a
limit, as a network may never predict the end. An utterance's result does not depend on the batch.
With `merged=False`, for characters, the first two rules don't hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.modules.captioner import Captioner
from zerochain.modules.decoders import begin_of, end_of, select
from zerochain.modules.joint_recogniser import Encoded, JointRecogniser
from zerochain.modules.unit_translator import EncoderOutput, UnitTranslator

Choose = Callable[[Tensor, int], Tensor]
"""Log-probabilities (B, K + 1) and the number of units so far → tokens (B,)."""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A translation."""

    units: NDArray[np.int32]
    """(N,), N ≥ 1, no two neighbours alike."""
    score: float
    """The mean log-probability of its tokens, the end included; for CTC of its steps."""
    cut: bool
    """Whether it was cut at the limit: most likely the network did not come to an end."""


class Prior(Protocol):
    """A language model in beam search: what it adds to the scores of the next token."""

    def begin(self, n: int) -> Tensor:
        """The states (n, …) before the first tokens."""

    def step(self, states: Tensor, tokens: Tensor) -> Tensor:
        """The states after tokens (n,); begin and end leave them as they are."""

    def scores(self, states: Tensor) -> Tensor:
        """What is added to the log-probabilities of the next token, (n, K + 1)."""


def length_limits(lengths: Tensor, max_length_ratio: float) -> Tensor:
    """The most units that translations of sources of these lengths may have, (B,)."""
    return (lengths * max_length_ratio).ceil().long() + 10


def greedy(
    network: UnitTranslator | JointRecogniser | Captioner,
    encoded: EncoderOutput | Encoded,
    limits: Tensor,
    *,
    merged: bool = True,
) -> list[Hypothesis]:
    """The likeliest unit each time.

    Args:
        encoded: of a batch.
        limits: the most units of each (B,).
        merged: no unit repeats the one before it, and there is at least one.
    """
    return _one_by_one(network, encoded, limits, lambda scores, _: scores.argmax(dim=1), merged)


def sample(
    network: UnitTranslator,
    encoded: EncoderOutput,
    limits: Tensor,
    top: int,
    seeds: Sequence[Sequence[int]],
) -> list[Hypothesis]:
    """One of the `top` likeliest units each time, in proportion to their probabilities.

    Args:
        seeds: one of each utterance.
    """
    # All numbers are drawn before, so that a draw depends on no other utterance of the batch.
    most = int(limits.max()) + 1
    drawn = np.stack([np.random.default_rng(seed).random(most) for seed in seeds])
    dice = torch.from_numpy(drawn).float().to(encoded.memory.device)

    def choose(scores: Tensor, n: int) -> Tensor:
        best, tokens = scores.topk(min(top, scores.shape[1]), dim=1)
        sums = best.softmax(dim=1).cumsum(dim=1)
        place = (sums < dice[:, n, None] * sums[:, -1:]).sum(dim=1)
        return tokens.gather(1, place[:, None])[:, 0]

    return _one_by_one(network, encoded, limits, choose)


def _one_by_one(
    network: UnitTranslator | JointRecogniser | Captioner,
    encoded: EncoderOutput | Encoded,
    limits: Tensor,
    choose: Choose,
    merged: bool = True,
) -> list[Hypothesis]:
    n_units, n_rows = network.config.n_units, len(encoded.memory)
    end, state = end_of(n_units), network.decoder.begin(encoded.memory, encoded.lengths)
    tokens = limits.new_full((n_rows,), begin_of(n_units))
    finished = torch.zeros_like(tokens, dtype=torch.bool)
    total, steps = torch.zeros(n_rows, device=tokens.device), []
    for n in range(int(limits.max()) + 1):
        scores, state = network.decoder.step(tokens, state)
        scores = scores.float().log_softmax(dim=1)
        tokens = choose(_allowed(scores, tokens, n) if merged else scores, n)
        tokens = tokens.masked_fill(finished | (limits <= n), end)
        total += scores.gather(1, tokens[:, None])[:, 0].masked_fill(finished, 0.0)
        finished = finished | (tokens == end)
        steps.append(tokens)
        if bool(finished.all()):
            break
    rows = torch.stack(steps, dim=1).cpu().numpy()
    counts = (rows != end).sum(axis=1)
    return [
        _hypothesis(row[:count], float(score), limit)
        for row, count, score, limit in zip(
            rows, counts, total.tolist(), limits.tolist(), strict=True
        )
    ]


def beam_search(
    network: UnitTranslator | JointRecogniser | Captioner,
    encoded: EncoderOutput | Encoded,
    limits: Tensor,
    width: int,
    *,
    merged: bool = True,
    prior: Prior | None = None,
) -> list[Hypothesis]:
    """The best hypothesis of a beam search that keeps the `width` likeliest at each step.

    Scores are divided by lengths, the end included (Tjandra et al. 2020). An utterance is finished
    once `width` hypotheses that reached their end have been among its `width` likeliest, and none
    that goes on has a better score by then. Where a network is sure, the end is among the likeliest
    tokens at any step however unlikely it is, so the first that end would all be too short.

    Args:
        merged: no unit repeats the one before it, and there is at least one.
        prior: a language model, which is part of the hypotheses' scores (shallow fusion).
    """
    n_units, n_rows = network.config.n_units, len(encoded.memory)
    end, device = end_of(n_units), encoded.memory.device
    state = network.decoder.begin(encoded.memory, encoded.lengths)
    state = select(state, torch.arange(n_rows, device=device).repeat_interleave(width))
    first = torch.arange(n_rows, device=device)[:, None] * width
    sums = torch.full((n_rows, width), -torch.inf, device=device)
    sums[:, 0] = 0.0
    tokens = limits.new_full((n_rows, width), begin_of(n_units))
    units = tokens.new_zeros(n_rows, width, 0)
    known = tokens if prior is None else prior.begin(n_rows * width)
    found: list[list[Hypothesis]] = [[] for _ in range(n_rows)]
    finished = [False] * n_rows
    for n in range(int(limits.max()) + 1):
        scores, state = network.decoder.step(tokens.flatten(), state)
        scores = scores.float().log_softmax(dim=1)
        if prior is not None:
            known = prior.step(known, tokens.flatten())
            scores = scores + prior.scores(known)
        scores = _allowed(scores, tokens.flatten(), n) if merged else scores
        scores = scores.view(n_rows, width, -1)
        over = (limits <= n)[:, None]
        scores[..., :end] = scores[..., :end].masked_fill(over[..., None], -torch.inf)
        totals = sums[..., None] + scores
        best, places = totals.flatten(1).topk(min(2 * width, totals[0].numel()), dim=1)
        beams, new = places // (n_units + 1), places % (n_units + 1)
        ended = new[:, :width] == end
        _keep_ended(found, finished, units, best[:, :width], beams[:, :width], ended, limits)
        # A unit ends each hypothesis at most once, so that of 2 · width candidates at least width
        # go on; the sort is stable, so the likeliest of them stay first.
        going = (new == end).long().argsort(dim=1, stable=True)[:, :width]
        sums = best.gather(1, going).masked_fill(new.gather(1, going) == end, -torch.inf)
        finished = [
            one or (len(ones) >= width and score <= max(o.score for o in ones))
            for one, ones, score in zip(
                finished, found, (sums.max(dim=1).values / (n + 1)).tolist(), strict=True
            )
        ]
        if all(finished):
            break
        beams, tokens = beams.gather(1, going), new.gather(1, going)
        units = torch.cat(
            [units.gather(1, beams[..., None].expand(-1, -1, n)), tokens[..., None]], dim=2
        )
        if beams.shape[1] < width:  # fewer candidates than beams: at first, or with few units
            missing = width - beams.shape[1]
            beams = torch.nn.functional.pad(beams, (0, missing))
            sums = torch.nn.functional.pad(sums, (0, missing), value=-torch.inf)
            tokens = torch.nn.functional.pad(tokens, (0, missing))
            units = torch.nn.functional.pad(units, (0, 0, 0, missing))
        state = select(state, (first + beams).flatten())
        if prior is not None:
            known = known[(first + beams).flatten()]
    return [max(hypotheses, key=lambda h: h.score) for hypotheses in found]


def _keep_ended(
    found: list[list[Hypothesis]],
    finished: list[bool],
    units: Tensor,
    sums: Tensor,
    beams: Tensor,
    ended: Tensor,
    limits: Tensor,
) -> None:
    """Add the hypotheses that reached their end, of utterances that aren't finished."""
    for row, place in (ended & sums.isfinite()).nonzero().tolist():
        if not finished[row]:
            one = units[row, beams[row, place]].cpu().numpy()
            found[row].append(_hypothesis(one, float(sums[row, place]), int(limits[row])))


def ctc_best(
    network: UnitTranslator, encoded: EncoderOutput
) -> list[tuple[Hypothesis, NDArray[np.int64]]]:
    """The units of CTC's likeliest path, and the encoder's step of each."""
    scores, lengths = network.ctc(encoded)
    end = end_of(network.config.n_units)
    logs = scores.float().log_softmax(dim=2).cpu()
    results = []
    for row, length in zip(logs, lengths.tolist(), strict=True):
        best, path = row[:length].max(dim=1)
        steps = torch.nonzero(path != end)[:, 0].numpy()
        if not len(steps):  # only blanks: the likeliest unit of any step
            steps = np.array([int(row[:length, :end].max(dim=1).values.argmax())])
            path[steps[0]] = row[steps[0], :end].argmax()
        units = path.numpy()[steps].astype(np.int32)
        first = np.flatnonzero(np.diff(units, prepend=-1))
        hypothesis = Hypothesis(units[first], float(best.mean()), cut=False)
        results.append((hypothesis, steps[first] // network.config.upsampling))
    return results


def _allowed(scores: Tensor, newest: Tensor, n: int) -> Tensor:
    """Scores (B, K + 1) that rule out a repeat of the newest tokens, or, at first, the end."""
    end = scores.shape[1] - 1
    scores = scores.clone()
    if n == 0:
        scores[:, end] = -torch.inf
        return scores
    return scores.scatter(1, newest.clamp(max=end - 1)[:, None], -torch.inf)


def _hypothesis(units: NDArray[np.int64], total: float, limit: int) -> Hypothesis:
    return Hypothesis(units.astype(np.int32), total / (len(units) + 1), cut=len(units) >= limit)
