"""Bits per second of discrete units.

The challenge's bit rate (ZeroSpeech 2019 and 2020) is B = N / D · H: N symbols in D seconds, and
H = -Σ p·log2 p over the whole set, in bits. It charges every symbol its share of the entropy of
single symbols and nothing for time, order or context: it is what a memoryless code would need.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from zerochain.errors import InputError
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile
from zerochain.metrics.bootstrap import histogram_interval


@dataclass(frozen=True)
class Bitrate:
    """A bit rate and what it rests on."""

    value: float
    """Bits per second."""
    interval: tuple[float, float] | None
    """95 %, over utterances; None for a single one."""
    n_symbols: int
    n_distinct: int
    entropy_bits: float
    duration_s: float
    n_utterances: int


def entropy(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in bits of counts (…, V) along the last axis; unused symbols count nothing."""
    total = counts.sum(axis=-1)
    logs = np.log2(counts, out=np.zeros_like(counts), where=counts > 0)
    return np.asarray(np.log2(total) - (counts * logs).sum(axis=-1) / total)


def bitrate(
    symbols: Mapping[str, Sequence[Hashable]], durations_s: Mapping[str, float], *, seed: int = 0
) -> Bitrate:
    """The challenge's bit rate of symbols by utterance.

    Args:
        symbols: utterance → its symbols, whatever they are: a unit, or the tuple of numbers on
            one line of a submission. Repeats are not merged.
        durations_s: utterance → seconds of its audio. Utterances that `symbols` lacks are left
            out, their seconds too.

    Raises:
        InputError: no symbol, an utterance without a duration, or a duration that isn't positive.
    """
    check_same_ids(list(symbols), list(durations_s), "units", "durations")
    seconds = np.array([durations_s[name] for name in symbols], np.float64)
    if len(seconds) == 0 or not any(len(line) for line in symbols.values()):
        raise InputError("there is no unit, so there is no bit rate", remedy="encode some speech")
    if not (np.isfinite(seconds) & (seconds > 0)).all():
        raise InputError(
            "a duration is not a positive number of seconds", remedy="import the corpus again"
        )
    histograms = _histograms(symbols)
    counts = np.asarray(histograms.sum(axis=0))
    value = float(counts.sum() / seconds.sum() * entropy(counts))
    return Bitrate(
        value=value,
        interval=histogram_interval(
            histograms,
            lambda drawn, weights: drawn.sum(axis=1) / (weights @ seconds) * entropy(drawn),
            value,
            seed=seed,
        ),
        n_symbols=int(counts.sum()),
        n_distinct=len(counts),
        entropy_bits=float(entropy(counts)),
        duration_s=float(seconds.sum()),
        n_utterances=len(seconds),
    )


def unit_bitrate(
    unit_file: UnitFile, durations_s: Mapping[str, float], *, seed: int = 0
) -> Bitrate:
    """The challenge's bit rate of a unit file: one symbol a unit, as the file holds them.

    Where units have durations, that is one symbol a segment, whatever it lasts.

    Raises:
        InputError: as `bitrate`.
    """
    return bitrate({k: v.tolist() for k, v in unit_file.units.items()}, durations_s, seed=seed)


def segment_bitrate(
    unit_file: UnitFile, durations_s: Mapping[str, float], *, seed: int = 0
) -> Bitrate:
    """The same formula over segments: repeated units are merged, their durations not paid for.

    Not comparable with the challenge's: a decoder would have to be told the durations as well.

    Raises:
        InputError: as `bitrate`.
    """
    merged = {name: unit_file.segments(name)[0].tolist() for name in unit_file.ids}
    return bitrate(merged, durations_s, seed=seed)


def timed_segment_bitrate(
    unit_file: UnitFile, durations_s: Mapping[str, float], *, seed: int = 0
) -> Bitrate:
    """The same formula over segments with their durations: a symbol is a unit and its steps.

    What it costs to say what `UnitFile.steps` holds, segment by segment; a unit that lasts longer
    is another symbol.

    Raises:
        InputError: as `bitrate`.
    """
    timed = {
        name: list(zip(*(values.tolist() for values in unit_file.segments(name)), strict=True))
        for name in unit_file.ids
    }
    return bitrate(timed, durations_s, seed=seed)


def factored_segment_bitrate(
    unit_file: UnitFile, durations_s: Mapping[str, float], *, seed: int = 0
) -> Bitrate:
    """The rate of segments whose units and durations are coded apart: N / D · (H(u) + H(d)).

    Never below `timed_segment_bitrate`, which makes use of what a unit tells of its duration, but
    it has far fewer symbols to know the frequencies of.

    Raises:
        InputError: as `bitrate`.
    """
    segments = {name: unit_file.segments(name) for name in unit_file.ids}
    codes = {k: u.tolist() for k, (u, _) in segments.items()}
    units = bitrate(codes, durations_s, seed=seed)
    lengths = {k: d.tolist() for k, (_, d) in segments.items()}
    n_units, apart = units.n_distinct, _histograms(lengths)
    both = sparse.hstack([_histograms(codes), apart], "csr")
    seconds = np.array([durations_s[name] for name in segments], np.float64)

    def rate(drawn: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        bits = entropy(drawn[:, :n_units]) + entropy(drawn[:, n_units:])
        return np.asarray(drawn[:, :n_units].sum(axis=1) / (weights @ seconds) * bits)

    every = np.ones((1, len(seconds)))
    value = float(rate(np.asarray(both.sum(axis=0))[None], every)[0])
    return replace(
        units,
        value=value,
        interval=histogram_interval(both, rate, value, seed=seed),
        n_distinct=n_units + apart.shape[1],
        entropy_bits=value * units.duration_s / units.n_symbols,
    )


def _histograms(symbols: Mapping[str, Sequence[Hashable]]) -> sparse.csr_array:
    """How often each utterance has each symbol: (utterances, symbols)."""
    code: dict[Hashable, int] = {}
    columns = [code.setdefault(s, len(code)) for line in symbols.values() for s in line]
    rows = np.repeat(np.arange(len(symbols)), [len(line) for line in symbols.values()])
    ones = np.ones(len(columns))
    return sparse.csr_array((ones, (rows, columns)), shape=(len(symbols), len(code)))
