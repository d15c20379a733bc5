"""Which tokens ABX compares, and how the cells are averaged: the protocols.

Tokens with the same labels form a group; a cell is a choice of groups for A, B and X. Two errors
are comparable only under the same protocol: the span of tokens (a triphone, or its centre phone),
the context (the same neighbours, or any), random draws, the direction of DTW, the order of
averaging. `triphone` takes all tokens; `zs2019` and `zs2021` are those of the ZeroSpeech challenges
(the latter also Libri-Light's, Kahn et al. 2020); `phone` is `zs2021` in any context; `discophon`
is DiscoPhon's: all tokens of a triphone, and 5 speakers of X.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted
from zerochain.metrics.items import FrameRule

Mode = Literal["within", "across"]
Levels = tuple[tuple[str, ...], ...]
COLLAPSE_2021: Levels = (("previous", "next", "speaker_x"), ("speaker",), ("phone_a", "phone_b"))
"""Mean over contexts and X's speakers, then A's speakers, then ordered pairs of phones."""
COLLAPSE_2019: Levels = (("previous", "next"), ("speaker", "speaker_x"), ("phone_a", "phone_b"))
"""Mean over contexts, then ordered pairs of speakers, then ordered pairs of phones."""


@dataclass(frozen=True)
class Conditions:
    """Which labels A, B and X share.

    `on`: A and X have the same value, B another. `by`: all three have the same. `across`: A and B
    have the same, X another, for each of these labels; without any, A and X are two tokens of one
    group.
    """

    on: str
    by: tuple[str, ...] = ()
    across: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """All choices that two ABX errors must share to be comparable."""

    name: str
    span: Literal["triphone", "phone"]
    """What is cut from gold phones as a token: a whole triphone, or only its centre phone."""
    context: Literal["within", "any"]
    """Whether A, B and X have the same neighbours."""
    direction: Literal["xa", "ax"] = "xa"
    """DTW(X, A) or DTW(A, X): they differ where paths tie."""
    collapse: Levels = COLLAPSE_2021
    """The columns to average over, level after level."""
    max_tokens: int | None = None
    """Tokens kept of each (context, speaker, phone), drawn at random; None keeps all."""
    max_speakers: int | None = None
    """Speakers of X kept for each group of A, drawn at random; None keeps all."""
    frames: FrameRule = "middle"
    """Which frames belong to a token."""
    modes: tuple[Mode, ...] = ("within", "across")
    """The modes that the protocol defines."""

    def conditions(self, mode: Mode) -> Conditions:
        """Within or across speakers, in the protocol's context.

        Raises:
            InputError: the protocol does not define this mode.
        """
        if mode not in self.modes:
            raise InputError(
                f"protocol {self.name!r} is not defined {mode} speakers",
                remedy=f"score {' or '.join(self.modes)} speakers, or choose another protocol",
            )
        neighbours = ("previous", "next") if self.context == "within" else ()
        if mode == "within":
            return Conditions("phone", (*neighbours, "speaker"))
        return Conditions("phone", neighbours, ("speaker",))


TRIPHONE = Protocol("triphone", span="triphone", context="within")
PHONE = Protocol("phone", span="phone", context="any", max_tokens=10, max_speakers=5)
ZS2019 = Protocol(
    "zs2019",
    span="triphone",
    context="within",
    direction="ax",
    collapse=COLLAPSE_2019,
    frames="fraction",
    modes=("across",),
)
ZS2021 = replace(TRIPHONE, name="zs2021", max_tokens=10, max_speakers=5)
DISCOPHON = replace(TRIPHONE, name="discophon", max_speakers=5)
PROTOCOLS = {protocol.name: protocol for protocol in (TRIPHONE, PHONE, ZS2019, ZS2021, DISCOPHON)}
Most = int | Literal["all"]
"""The most that is drawn at random, or no draw."""


def variant(
    protocol: Protocol,
    *,
    context: Literal["within", "any"] | None = None,
    reference_slicing: bool = False,
    max_tokens: Most | None = None,
    max_speakers: Most | None = None,
) -> Protocol:
    """A protocol with other choices, which become part of its name; None is the protocol's own.

    Args:
        context: "any" also makes single phones the tokens, without their neighbours.
        reference_slicing: tokens lose their last frame, as in Libri-Light's own code.
        max_tokens, max_speakers: how many are drawn at random, or all.

    Raises:
        InputError: the protocol has no such variant.
    """
    if context is not None and context != protocol.context:
        if protocol.frames == "fraction":
            raise InputError(
                f"protocol {protocol.name!r} is only defined within context",
                remedy="leave the context out, or choose protocol zs2021",
            )
        span: Literal["triphone", "phone"] = "phone" if context == "any" else "triphone"
        name = f"{protocol.name} {context} context"
        protocol = replace(protocol, name=name, context=context, span=span)
    if reference_slicing:
        if protocol.frames != "middle":
            raise InputError(
                f"protocol {protocol.name!r} defines another slicing of tokens",
                remedy="leave the reference slicing out, or choose protocol zs2021",
            )
        name = f"{protocol.name}, reference slicing"
        protocol = replace(protocol, name=name, frames="middle-less-one")
    return _limited(protocol, max_tokens, max_speakers)


def _limited(protocol: Protocol, tokens: Most | None, speakers: Most | None) -> Protocol:
    """A protocol with other random draws; None is its own."""
    given = [("tokens", tokens, protocol.max_tokens), ("speakers", speakers, protocol.max_speakers)]
    asked = {what: None if most == "all" else most for what, most, _ in given if most is not None}
    low = [f"max_{what}={n}" for what, n in asked.items() if n is not None and n < 1]
    if low:
        raise InputError(f"{low[0]} must be ≥ 1 or 'all'")
    other = [f", {most} {what}" for what, most, own in given if asked.get(what, own) != own]
    return replace(
        protocol,
        name=protocol.name + "".join(other),
        max_tokens=asked.get("tokens", protocol.max_tokens),
        max_speakers=asked.get("speakers", protocol.max_speakers),
    )


Ints = NDArray[np.int64]
Labels = Mapping[str, Sequence[str]]
"""Column → the label of every item."""


class NoCellsError(InputError):
    """No A, B and X can be chosen, so ABX is undefined (and not 0)."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Groups of tokens with the same labels (G of them), and cells (C of them).

    The items of group g are order[bounds[g] : bounds[g + 1]].
    """

    conditions: Conditions
    order: Ints
    bounds: Ints
    codes: dict[str, Ints]
    """Column → each group's index into the column's names (G,)."""
    names: dict[str, list[str]]
    by: Ints
    """Groups with the same `by` labels have the same number (G,)."""
    across: Ints
    """Likewise for the `across` labels (G,)."""
    cells: Ints
    """The groups of A, B and X, (C, 3); cells that share distances are neighbours."""
    n_triples: Ints

    @property
    def sizes(self) -> Ints:
        return np.diff(self.bounds)


def plan(
    labels: Labels,
    conditions: Conditions,
    *,
    max_tokens: int | None = None,
    max_x: int | None = None,
    seed: int = 0,
) -> Plan:
    """Group the items and enumerate the cells.

    Args:
        max_tokens: tokens kept of each group, drawn at random.
        max_x: groups of X kept for each group of A, drawn at random; only with `across`.

    Raises:
        NoCellsError: there is no cell.
        InputError: a condition that is no label, or is given twice.
    """
    columns = [*conditions.by, *conditions.across, conditions.on]
    _check(columns, labels)
    rng = np.random.default_rng(seed)
    n_items = len(labels[conditions.on])
    names = {column: sorted(set(labels[column])) for column in columns}
    codes = [_codes(labels[column], names[column]) for column in columns]
    n_by, n_across = len(conditions.by), len(conditions.across)
    order, groups, bounds = _grouped(np.stack(codes, axis=1), max_tokens, rng)
    by, across = (_rows(part) for part in np.split(groups[:, :-1], [n_by], axis=1))
    few = max_x if n_across else None
    cells = _cells(groups, n_by, by, across, np.diff(bounds), few, rng)
    if len(cells) == 0:
        raise _no_cells(conditions, n_items, names)
    n_a, n_b, n_x = np.diff(bounds)[cells].T
    return Plan(
        conditions=conditions,
        order=order,
        bounds=bounds,
        codes=dict(zip(columns, groups.T, strict=True)),
        names=names,
        by=by,
        across=across,
        cells=cells,
        n_triples=n_a * n_b * (n_x - (cells[:, 0] == cells[:, 2])),
    )


def _check(columns: Sequence[str], labels: Labels) -> None:
    unknown = [column for column in columns if column not in labels]
    if unknown or len(set(columns)) < len(columns):
        raise InputError(
            f"the items have no label {unknown[0]!r}; they have {', '.join(labels)}"
            if unknown
            else f"a label is given twice in on, by and across: {', '.join(columns)}",
            remedy="name each label once, out of those that the items have",
        )


def _codes(labels: Sequence[str], names: Sequence[str]) -> Ints:
    code = {name: i for i, name in enumerate(names)}
    return np.array([code[label] for label in labels], np.int64)


def _rows(columns: Ints) -> Ints:
    """The number of each row among the distinct rows; 0 for all where there is no column."""
    if columns.shape[1] == 0:
        return np.zeros(len(columns), np.int64)
    return np.unique(columns, axis=0, return_inverse=True)[1].ravel()


def _grouped(
    keys: Ints, max_tokens: int | None, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Items by group, in their order within it; the groups' keys (G, …); the groups' bounds."""
    groups, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.ravel()
    kept = np.arange(len(keys))
    if max_tokens is not None:
        shuffled = rng.permutation(len(keys))
        shuffled = shuffled[np.argsort(group[shuffled], kind="stable")]
        rank = np.arange(len(keys)) - np.searchsorted(group[shuffled], group[shuffled])
        kept = np.sort(shuffled[rank < max_tokens])
    order = kept[np.argsort(group[kept], kind="stable")]
    bounds = np.searchsorted(group[order], np.arange(len(groups) + 1))
    return order, groups, bounds


def _cells(
    groups: Ints,
    n_by: int,
    by: Ints,
    across: Ints,
    sizes: Ints,
    max_x: int | None,
    rng: np.random.Generator,
) -> Ints:
    """Groups of A, B and X, sorted so that cells that share distances are neighbours.

    A and B are joined on `by` and `across`, A and X on `by` and `on`: then each A meets every B
    and every X. Cells of the same unordered pair of `across` labels come together, since the
    distances of (A, X) and (X, A) are the same numbers.
    """
    on = groups[:, -1:]
    a, b = _joined(np.stack([by, across], axis=1), on)
    if groups.shape[1] == n_by + 1:  # no label is across: X is another token of A's group
        a, b = a[sizes[a] > 1], b[sizes[a] > 1]
        x = a
    else:
        near, far = _joined(np.column_stack([by, on]), groups[:, n_by:-1])
        if max_x is not None:
            near, far = _few(near, far, max_x, rng)
        first, last = np.searchsorted(near, a), np.searchsorted(near, a, side="right")
        a, b = np.repeat(a, last - first), np.repeat(b, last - first)
        x = far[_ranges(first, last - first)]
    low, high = np.minimum(across[a], across[x]), np.maximum(across[a], across[x])
    order = np.lexsort((b, a, x, high, low, by[a]))
    return np.stack([a, b, x], axis=1)[order]


def _joined(keys: Ints, differing: Ints) -> tuple[Ints, Ints]:
    """All ordered pairs of rows with equal keys and no equal `differing`, sorted by the first."""
    key = _rows(keys)
    by_key = np.argsort(key, kind="stable")
    first = np.searchsorted(key[by_key], key)
    count = np.searchsorted(key[by_key], key, side="right") - first
    left = np.repeat(np.arange(len(keys)), count)
    right = by_key[_ranges(first, count)]
    kept = (differing[left] != differing[right]).all(axis=1)
    return left[kept], right[kept]


def _ranges(first: Ints, count: Ints) -> Ints:
    """first[0], first[0] + 1, … (count[0] of them), first[1], …"""
    ends = np.cumsum(count)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + count, count)


def _few(left: Ints, right: Ints, limit: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """At most `limit` random partners of each `left`; still sorted by `left`."""
    shuffled = np.lexsort((rng.random(len(left)), left))
    rank = np.arange(len(left)) - np.searchsorted(left[shuffled], left[shuffled])
    kept = np.sort(shuffled[rank < limit])
    return left[kept], right[kept]


def _no_cells(conditions: Conditions, n_items: int, names: dict[str, list[str]]) -> NoCellsError:
    on, across = conditions.on, " and ".join(conditions.across)
    shared = " and ".join(conditions.by) or "anything"
    single = [column for column in conditions.across if len(names[column]) < 2]
    if len(names[on]) < 2:
        cause = f"there is only one {on}, but A and B must differ in it"
    elif single:
        cause = f"there is only one {single[0]}, but X must have another than A and B"
    elif across:
        cause = f"no {on} occurs for two values of {across} with the same {shared} and another {on}"
    else:
        cause = f"no {on} occurs twice with the same {shared} and another {on}"
    counts = ", ".join(f"{column}: {len(found)}" for column, found in names.items())
    return NoCellsError(
        f"ABX is undefined: {counted(n_items, 'item')} (values of {counts}) give no A, B and X",
        cause=cause,
        remedy="score more speech, another mode, or phones in any context: protocol='phone'",
    )
