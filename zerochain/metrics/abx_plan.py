"""Which tokens ABX compares: groups, cells and the order of the work; a protocol's choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.metrics.items import Item

T = TypeVar("T", str, tuple[str, str])
Mode = Literal["within", "across"]
Ints = NDArray[np.int64]
COLLAPSE_2021 = (("context", "speaker_x"), ("speaker",), ("phone_a", "phone_b"))
"""Mean over contexts and X's speakers, then A's speakers, then (ordered) phone pairs."""


class NoCellsError(InputError):
    """No A, B and X can be chosen, so ABX is undefined (it isn't 0)."""


@dataclass(frozen=True)
class Protocol:
    """The choices that make two ABX errors comparable, or not."""

    name: str
    span: Literal["triphone", "phone"]
    """What a token is: a whole triphone, or its centre phone alone."""
    context: Literal["within", "any"]
    """Whether A, B and X have the same neighbours."""
    direction: Literal["xa", "ax"] = "xa"
    """DTW(X, A) or DTW(A, X): they differ where paths tie."""
    collapse: tuple[tuple[str, ...], ...] = COLLAPSE_2021
    """The columns averaged away, level after level."""
    max_tokens: int | None = None
    """Tokens kept of each (context, speaker, phone), drawn at random; None keeps all."""
    max_speakers: int | None = None
    """Speakers of X kept for each group of A, drawn at random; None keeps all."""


TRIPHONE = Protocol("triphone", span="triphone", context="within")
PHONE = Protocol("phone", span="phone", context="any", max_tokens=10, max_speakers=5)
PROTOCOLS = {protocol.name: protocol for protocol in (TRIPHONE, PHONE)}


@dataclass(frozen=True, eq=False)
class Plan:
    """Groups of tokens that share context, speaker and phone (G of them), and cells (C).

    Group g's items are order[bounds[g] : bounds[g + 1]].
    """

    order: Ints
    bounds: Ints
    context: Ints
    speaker: Ints
    phone: Ints
    contexts: list[tuple[str, str]]
    speakers: list[str]
    phones: list[str]
    cells: Ints
    """The groups of A, B and X, (C, 3); cells that share distances stand together."""
    n_triples: Ints

    @property
    def sizes(self) -> Ints:
        return np.diff(self.bounds)


def plan(items: list[Item], mode: Mode, protocol: Protocol, seed: int = 0) -> Plan:
    """Group the items and enumerate the cells.

    Within: A, B and X of one speaker, A and X different tokens. Across: A and B of one speaker,
    X of another.

    Raises:
        NoCellsError: there is no cell.
    """
    rng = np.random.default_rng(seed)
    within_context = protocol.context == "within"
    contexts, context = _codes(
        [(i.previous, i.next) if within_context else ("", "") for i in items]
    )
    speakers, speaker = _codes([item.speaker for item in items])
    phones, phone = _codes([item.phone for item in items])
    keys = np.stack([context, speaker, phone], axis=1)
    order, groups, bounds = _grouped(keys, protocol.max_tokens, rng)
    cells = _cells(groups, np.diff(bounds), mode, protocol.max_speakers, rng)
    if len(cells) == 0:
        raise _no_cells(mode, len(items), len(phones), len(speakers), len(contexts))
    n_a, n_b, n_x = np.diff(bounds)[cells].T
    return Plan(
        order=order,
        bounds=bounds,
        context=groups[:, 0],
        speaker=groups[:, 1],
        phone=groups[:, 2],
        contexts=contexts,
        speakers=speakers,
        phones=phones,
        cells=cells,
        n_triples=n_a * n_b * (n_x - (cells[:, 0] == cells[:, 2])),
    )


def _codes(labels: list[T]) -> tuple[list[T], Ints]:
    names = sorted(set(labels))
    code = {name: i for i, name in enumerate(names)}
    return names, np.array([code[label] for label in labels], np.int64)


def _grouped(
    keys: Ints, max_tokens: int | None, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Items sorted by group (kept in order within), the groups' keys (G, 3) and their bounds."""
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
    groups: Ints, sizes: Ints, mode: Mode, max_speakers: int | None, rng: np.random.Generator
) -> Ints:
    """Groups of A, B and X, sorted so that cells that share distances stand together."""
    context, speaker = groups[:, 0], groups[:, 1]
    a, b = _joined(groups[:, :2], groups[:, 2])
    if mode == "within":
        a, b = a[sizes[a] > 1], b[sizes[a] > 1]
        x = a
    else:
        near, far = _joined(groups[:, [0, 2]], speaker)
        if max_speakers is not None:
            near, far = _few(near, far, max_speakers, rng)
        first, last = np.searchsorted(near, a), np.searchsorted(near, a, side="right")
        a, b = np.repeat(a, last - first), np.repeat(b, last - first)
        x = far[_ranges(first, last - first)]
    low, high = np.minimum(speaker[a], speaker[x]), np.maximum(speaker[a], speaker[x])
    order = np.lexsort((b, a, x, high, low, context[a]))
    return np.stack([a, b, x], axis=1)[order]


def _joined(keys: Ints, differing: Ints) -> tuple[Ints, Ints]:
    """All ordered pairs of rows with equal keys and different `differing`, sorted by the first."""
    _, key = np.unique(keys, axis=0, return_inverse=True)
    key = key.ravel()
    by_key = np.argsort(key, kind="stable")
    first = np.searchsorted(key[by_key], key)
    count = np.searchsorted(key[by_key], key, side="right") - first
    left = np.repeat(np.arange(len(keys)), count)
    right = by_key[_ranges(first, count)]
    kept = differing[left] != differing[right]
    return left[kept], right[kept]


def _ranges(first: Ints, count: Ints) -> Ints:
    """first[0], first[0] + 1, … (count[0] of them), first[1], …"""
    ends = np.cumsum(count)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + count, count)


def _few(left: Ints, right: Ints, limit: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """At most `limit` random partners of each left; still sorted by left."""
    shuffled = np.lexsort((rng.random(len(left)), left))
    rank = np.arange(len(left)) - np.searchsorted(left[shuffled], left[shuffled])
    kept = np.sort(shuffled[rank < limit])
    return left[kept], right[kept]


def _no_cells(
    mode: Mode, n_items: int, n_phones: int, n_speakers: int, n_contexts: int
) -> NoCellsError:
    if n_phones < 2:
        cause = "there is one phone only, and A and B have to differ"
    elif mode == "across" and n_speakers < 2:
        cause = "there is one speaker only, and X has to be another's than A and B"
    elif mode == "across":
        cause = "no two speakers share a context in which one of them has two phones"
    else:
        cause = "no speaker has a phone twice in a context that holds another phone too"
    return NoCellsError(
        f"ABX {mode} speakers is undefined: {n_items} items of {n_phones} phones, {n_speakers} "
        f"speakers and {n_contexts} contexts give no A, B and X",
        cause=cause,
        remedy="score more speech, another --mode, or --protocol phone (any context)",
    )
