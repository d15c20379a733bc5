"""Tables 2–5 of Tjandra et al. 2019 with a sweep's systems of the same kind beside them."""

from __future__ import annotations

from collections.abc import Sequence

from zerochain.report.published import PaperRow, tjandra2019
from zerochain.report.score_tables import number
from zerochain.report.sweep import System, markdown_table

_METHODS = {3: ("kmeans", "K-Means"), 4: ("gmm", "GMM"), 5: ("vqvae", "VQ-VAE")}
_NOTE = """\
In the shape of Tables 2–5 of Tjandra et al., "VQVAE unsupervised unit discovery and multi-scale
Code2Spec inverter for Zerospeech Challenge 2019". The published numbers are of the challenge's
English, with other training and test speech, other phones and another scorer: read them in trend,
not point by point. ABX across speakers in %{protocol}; bit rates count every unit, as the challenge
does; units without a penalty only. The paper's GMM is scored by its posteriors.
"""
Key = tuple[int | None, int | None]


def paper_tables(systems: Sequence[System], protocol: str) -> str:
    """Markdown: features, K-Means, GMM and VQ-VAE, K × stride; a table each and a corpus each.

    Args:
        systems: of any kind; those that the paper has no like of are left out.
        protocol: whose ABX errors stand in the tables.
    """
    parts = ["# Beside the paper's tables\n", _NOTE.format(protocol=f" ({protocol})")]
    for corpus in dict.fromkeys(system.corpus for system in systems):
        there = [system for system in systems if system.corpus == corpus]
        parts.append(f"## {corpus}\n")
        parts.append(f"Table 2, features\n\n{_features(there, protocol)}")
        for table, (method, name) in _METHODS.items():
            ours = [s for s in there if s.method == method and not s.penalty]
            if ours:
                parts.append(f"Table {table}, {name}\n\n{_sizes(table, ours, protocol)}")
    return "\n".join(parts)


def _features(systems: Sequence[System], protocol: str) -> str:
    rows = [
        [f"{row.system}, published", number(row.abx), number(row.bitrate)]
        for row in tjandra2019()
        if row.table == 2
    ]
    rows += [
        [system.variant, _text(system.value(f"abx_across_% {protocol}")), "–"]
        for system in systems
        if system.kind == "features"
    ]
    return markdown_table(["features", "ABX", "bit/s"], rows, 1)


def _sizes(table: int, systems: Sequence[System], protocol: str) -> str:
    published = {(row.n_units, row.stride): row for row in tjandra2019() if row.table == table}
    variants: dict[str, dict[Key, System]] = {}
    for system in systems:
        name = system.variant + (" posteriors" if system.kind == "posteriors" else "")
        variants.setdefault(name, {})[system.n_units, system.stride] = system
    keys = {*published, *(key for ours in variants.values() for key in ours)}
    heads = ["K", "stride"]
    for name in ("published", *variants):
        heads += [f"{name}: ABX", "bit/s"]
    rows = []
    for key in sorted(keys, key=lambda key: (key[0] or 0, key[1] or 0)):
        cells = [str(key[0]), str(key[1]), *_published(published.get(key))]
        for ours in variants.values():
            cells += _ours(ours.get(key), protocol)
        rows.append(cells)
    return markdown_table(heads, rows, 0)


def _published(row: PaperRow | None) -> list[str]:
    return ["", ""] if row is None else [number(row.abx), number(row.bitrate)]


def _ours(system: System | None, protocol: str) -> list[str]:
    if system is None:
        return ["", ""]
    return [_text(system.value(f"abx_across_% {protocol}")), _text(system.value("bitrate_bit/s"))]


def _text(value: float | None) -> str:
    return "–" if value is None else number(value)
