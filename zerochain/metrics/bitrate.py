"""Bit rates of discrete units, and the usage of their codebook.

The challenge's bit rate (ZeroSpeech 2019 and 2020) is B = N / D · H: N symbols in D seconds, and
H = -Σ p·log2 p, the entropy of the symbols of the whole set, in bits. That is what a code without
memory needs; timing, order and context cost nothing. Where units are run-length coded, what counts
as a symbol makes four bit rates (`UnitBitrates`), and only the first compares with the challenge's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy  # scipy.sparse is loaded where it is used
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.formats.arrays import Sequences
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile
from zerochain.metrics.bootstrap import centred_interval, histogram_interval, histogram_replicates

Interval = tuple[float, float] | None
Coding = Callable[[NDArray[np.float64]], list[NDArray[np.float64]]]
"""Summed histograms (R, V) → counts (R, …) of each symbol stream; streams are coded separately."""
_UNITS_AT_ONCE = 1_000_000
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Bitrate:
    """A bit rate and the numbers behind it."""

    value: float
    """Bits per second."""
    interval: tuple[float, float] | None
    """95 %, over utterances; None for a single one."""
    n_symbols: int
    n_distinct: int
    entropy_bits: float
    duration_s: float
    n_utterances: int


def bitrate(
    symbols: Mapping[str, Sequence[Hashable]], durations_s: Mapping[str, float], *, seed: int = 0
) -> Bitrate:
    """The challenge's bit rate of symbols by utterance.

    Args:
        symbols: utterance → its symbols of any kind: units, or the tuples of numbers on the lines
            of a submission. Repeats are not merged.
        durations_s: utterance → seconds of its audio. Utterances that `symbols` lacks are left
            out, and so are their seconds.

    Raises:
        InputError: no symbol, an utterance without a duration, or a duration that isn't positive.
    """
    seconds = _seconds(symbols, durations_s)
    code: dict[Hashable, int] = {}
    codes = [code.setdefault(s, len(code)) for line in symbols.values() for s in line]
    lengths = np.array([len(line) for line in symbols.values()], np.int64)
    histograms = histograms_of(np.array(codes, np.int64), lengths, len(code))
    return _bitrates([histograms], seconds, [lambda drawn: [drawn]], seed)[0]


@dataclass(frozen=True)
class UnitBitrates:
    """The four bit rates of a unit file; their intervals share the resampled utterances."""

    units: Bitrate
    """The challenge's: one symbol per unit of the file. Where units have durations, that is one
    symbol per segment, however long."""
    segments: Bitrate
    """Repeated units are merged, and durations cost nothing. Not comparable with the challenge's: a
    decoder would need the durations as well."""
    timed_segments: Bitrate
    """Run-length coding: a symbol is a unit with its duration, so a unit that lasts longer is
    another symbol."""
    factored_segments: Bitrate
    """Units and durations coded separately: N / D · (H(u) + H(d)). Never below `timed_segments`,
    which uses that units and durations are dependent, but with far fewer symbols to estimate."""


def unit_bitrates(
    unit_file: UnitFile, durations_s: Mapping[str, float], *, seed: int = 0
) -> UnitBitrates:
    """All bit rates of a unit file.

    Raises:
        InputError: as `bitrate`.
    """
    seconds = _seconds(unit_file.units, durations_s)
    units, steps, lengths = laid_out(unit_file)
    timed, unit_of, steps_of = _timed_histograms(units, steps, lengths)
    n_timed = len(unit_of)
    to_units, to_steps = _sums_by(unit_of), _sums_by(steps_of)
    tables = [timed]
    if steps is not None:
        found, codes = _numbered(units)
        tables.append(histograms_of(codes, lengths, len(found)))
    to_whole = scipy.sparse.diags_array(steps_of.astype(np.float64)) @ to_units

    def whole(drawn: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The units of the file: without durations, one for each step of a segment."""
        return [drawn @ to_whole if steps is None else drawn[:, n_timed:]]

    challenge, merged, together, apart = _bitrates(
        tables,
        seconds,
        [
            whole,
            lambda drawn: [drawn[:, :n_timed] @ to_units],
            lambda drawn: [drawn[:, :n_timed]],
            lambda drawn: [drawn[:, :n_timed] @ to_units, drawn[:, :n_timed] @ to_steps],
        ],
        seed,
    )
    return UnitBitrates(challenge, merged, together, apart)


@dataclass(frozen=True)
class Usage:
    """Codebook usage over a whole unit file; a unit counts once per step that it lasts."""

    usage: float
    """The fraction of the units that occur at all."""
    perplexity: float
    """2^H: the number of equally frequent units with the same entropy."""
    usage_interval: Interval
    perplexity_interval: Interval
    """95 %, over utterances; None for a single one."""
    n_used: int
    n_units: int
    n_steps: int


def codebook_usage(unit_file: UnitFile, *, seed: int = 0) -> Usage:
    """Usage and perplexity of the units in a file.

    A perplexity far below the number of units used means that a few units take most of the time;
    a usage far below 1, that the codebook has collapsed or is too large for the speech.
    """
    k = unit_file.n_units
    units, steps, lengths = laid_out(unit_file)
    histograms = histograms_of(units, lengths, k, steps)
    counts = np.asarray(histograms.sum(axis=0), np.float64)
    n_used = int((counts > 0).sum())
    usage, perplexity = n_used / k, float(2 ** entropy(counts))
    return Usage(
        usage=usage,
        perplexity=perplexity,
        usage_interval=histogram_interval(
            histograms, lambda drawn: (drawn > 0).mean(axis=1), usage, highest=1, seed=seed
        ),
        perplexity_interval=histogram_interval(
            histograms, lambda drawn: 2 ** entropy(drawn), perplexity, highest=k, seed=seed
        ),
        n_used=n_used,
        n_units=k,
        n_steps=int(counts.sum()),
    )


def entropy(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in bits of counts (…, V) along the last axis; unused symbols add nothing."""
    total = counts.sum(axis=-1)
    logs = np.log2(counts, out=np.zeros_like(counts), where=counts > 0)
    logs *= counts
    return np.asarray(np.log2(total) - logs.sum(axis=-1) / total)


def laid_out(
    unit_file: UnitFile,
) -> tuple[NDArray[np.int32], NDArray[np.int32] | None, NDArray[np.int64]]:
    """A file's units end to end (N,), their durations in steps or None, and units per utterance."""
    units = Sequences.of(unit_file.units)
    if unit_file.durations is None:
        return units.end_to_end(), None, units.lengths
    durations = Sequences.of(unit_file.durations).restrict(units.ids)
    return units.end_to_end(), durations.end_to_end(), units.lengths


def histograms_of(
    codes: NDArray[np.integer[Any]],
    lengths: NDArray[np.int64],
    n_codes: int,
    weights: NDArray[np.integer[Any]] | None = None,
) -> scipy.sparse.csr_array:
    """Counts of symbols per utterance: (n, V).

    Args:
        codes: symbols of all utterances, end to end (N,), each in 0 … V - 1.
        lengths: number of symbols of each utterance (n,).
        weights: of each symbol (N,); None for 1.
    """
    values = np.ones(len(codes), np.int32) if weights is None else weights.astype(np.int32)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    index = np.int32 if len(codes) < 2**31 else np.int64
    histograms = scipy.sparse.csr_array(
        (values, codes.astype(index), bounds.astype(index)), shape=(len(lengths), n_codes)
    )
    histograms.sum_duplicates()
    return histograms


def _bitrates(
    histograms: Sequence[scipy.sparse.csr_array],
    seconds: NDArray[np.float64],
    codings: Sequence[Coding],
    seed: int,
) -> list[Bitrate]:
    """One bit rate per coding of the same histograms, all on the same resampled utterances."""

    def rates(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Summed histograms and, in the last column, seconds (R, V + 1) → (R, codings)."""
        streams = [coding(sums[:, :-1]) for coding in codings]
        bits = [np.sum([entropy(counts) for counts in one], axis=0) for one in streams]
        symbols = [one[0].sum(axis=1) for one in streams]
        return np.asarray(np.stack(symbols, axis=1) / sums[:, -1:] * np.stack(bits, axis=1))

    tables = [*histograms, scipy.sparse.csr_array(seconds[:, None])]
    whole = np.concatenate([_column_sums(one) for one in tables])[None]
    values = rates(whole)[0]
    replicates = histogram_replicates(tables, rates, seed=seed) if len(seconds) > 1 else None
    results = []
    for i, coding in enumerate(codings):
        streams = [counts[0] for counts in coding(whole[:, :-1])]
        n_symbols = int(streams[0].sum())
        results.append(
            Bitrate(
                value=float(values[i]),
                interval=None
                if replicates is None
                else centred_interval(replicates[:, i], float(values[i])),
                n_symbols=n_symbols,
                n_distinct=sum(int(np.count_nonzero(counts)) for counts in streams),
                entropy_bits=float(np.sum([entropy(counts) for counts in streams])),
                duration_s=float(whole[0, -1]),
                n_utterances=len(seconds),
            )
        )
    return results


def _timed_histograms(
    units: NDArray[np.int32], steps: NDArray[np.int32] | None, lengths: NDArray[np.int64]
) -> tuple[scipy.sparse.csr_array, NDArray[np.int64], NDArray[np.int64]]:
    """Counts of segments, units with their durations in steps, per utterance.

    In blocks of utterances, and each block twice (to collect the symbols, then to count them): the
    arrays for all at once would take several times the memory of the units.

    Args:
        units, steps, lengths: as `laid_out` gives them.

    Returns:
        Histograms (n, V), and the unit and the duration of each column (V,).
    """
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    firsts = np.unique(np.searchsorted(bounds, np.arange(0, len(units), _UNITS_AT_ONCE)))
    firsts = firsts[bounds[firsts] < len(units)]

    def parts() -> Iterator[_Segments]:
        for first, last in pairwise([*firsts.tolist(), len(lengths)]):
            here = slice(bounds[first], bounds[last])
            some = None if steps is None else steps[here]
            yield _segments_of(units[here], some, lengths[first:last])

    found = [(part.keys, len(part.symbols)) for part in parts()]
    keys = np.unique(np.concatenate([one for one, _ in found]))
    n_most = sum(n for _, n in found)
    index = np.int32 if n_most < 2**31 else np.int64  # all of one type, or scipy copies them
    counts, columns = np.empty(n_most, np.int32), np.empty(n_most, index)
    ends = [np.zeros(1, index)]
    for part in parts():
        of_symbol = np.searchsorted(keys, part.keys)
        some = histograms_of(of_symbol[part.symbols], part.lengths, len(keys))
        end = int(ends[-1][-1])
        counts[end : end + some.nnz], columns[end : end + some.nnz] = some.data, some.indices
        ends.append((some.indptr[1:] + end).astype(index))
    end = int(ends[-1][-1])
    histograms = scipy.sparse.csr_array(
        (counts[:end], columns[:end], np.concatenate(ends)), shape=(len(lengths), len(keys))
    )
    return histograms, keys >> 32, keys & (2**32 - 1)


class _Segments(NamedTuple):
    """Segments of some utterances, end to end."""

    symbols: NDArray[np.int32]
    """The index of each segment into `keys` (M,)."""
    lengths: NDArray[np.int64]
    """Segments of each utterance (n,)."""
    keys: NDArray[np.int64]
    """The distinct segments, unit · 2³² + duration in steps; ascending."""


def _segments_of(
    units: NDArray[np.int32], steps: NDArray[np.int32] | None, lengths: NDArray[np.int64]
) -> _Segments:
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    starts, lasting = _segments(units, steps, bounds[:-1][lengths > 0])
    found, codes = _numbered(units[starts])
    durations, numbers = _numbered(lasting)
    pairs, symbols = _numbered(codes * np.int64(len(durations)) + numbers)
    code_of, number_of = np.divmod(pairs, len(durations))
    keys = (found[code_of].astype(np.int64) << 32) + durations[number_of]
    return _Segments(symbols, np.diff(np.searchsorted(starts, bounds)), keys)


def _segments(
    units: NDArray[np.int32], steps: NDArray[np.int32] | None, begins: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`UnitFile.segments` of all utterances: their starts, and their durations in steps.

    Args:
        units, steps: as `laid_out` gives them.
        begins: the starts of utterances.
    """
    new = np.ones(len(units), bool)
    np.not_equal(units[1:], units[:-1], out=new[1:])
    new[begins] = True
    starts = np.flatnonzero(new)
    if steps is None:
        return starts, np.diff(starts, append=len(units))
    return starts, np.add.reduceat(steps, starts, dtype=np.int64)


def _numbered(values: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Distinct values in ascending order, and the index of each value (N,) among them."""
    highest = int(values.max())
    if highest > 4 * len(values) + 1024:
        found, numbers = np.unique(values, return_inverse=True)
        return found, numbers.ravel().astype(np.int32)
    there = np.zeros(highest + 1, bool)  # a table takes a tenth of the time of a sort
    there[values] = True
    return np.flatnonzero(there), (np.cumsum(there, dtype=np.int32) - 1)[values]


def _seconds(symbols: Mapping[str, Sized], durations_s: Mapping[str, float]) -> NDArray[np.float64]:
    """Seconds of each utterance (n,); InputError where there is no duration or no symbol."""
    check_same_ids(list(symbols), list(durations_s), "units", "durations")
    seconds = np.array([durations_s[name] for name in symbols], np.float64)
    if len(seconds) == 0 or not any(len(line) for line in symbols.values()):
        raise InputError("no unit, so the bit rate is undefined", remedy="encode some speech")
    if not (np.isfinite(seconds) & (seconds > 0)).all():
        raise InputError(
            "a duration is not a positive number of seconds", remedy="import the corpus again"
        )
    return seconds


def _column_sums(table: scipy.sparse.csr_array) -> NDArray[np.float64]:
    """Sums over utterances (V,), in blocks, since scipy copies what it sums."""
    total = np.zeros(table.shape[1])
    for first in range(0, table.shape[0], _ROWS_AT_ONCE):
        total += table[first : first + _ROWS_AT_ONCE].sum(axis=0)
    return total


def _sums_by(groups: NDArray[np.int64]) -> scipy.sparse.csr_array:
    """The matrix (V, groups) by which counts (R, V) are multiplied to sum those of a group (V,)."""
    found, group = np.unique(groups, return_inverse=True)
    ones = np.ones(len(groups))
    return scipy.sparse.csr_array(
        (ones, (np.arange(len(groups)), group.ravel())), shape=(len(groups), len(found))
    )
