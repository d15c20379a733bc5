"""What the table of a finished run leaves out: DiscoPhon's scores, and differences on equal cells.

    python evaluation/discovery/beside.py runs/discovery --corpus mboshi --gold mboshi \
        --split test --shift-ms -60 --out evaluation/discovery/beside-mboshi.csv
    python evaluation/discovery/beside.py runs/discovery --corpus english --gold timit \
        --protocol phone --out evaluation/discovery/beside-english.csv

A row for each of the run's unit files: ABX by identity, PNMI, phone error rate and R-value by
DiscoPhon's protocol; and for each --first (part of a unit file's name) how much lower its ABX
error across speakers is than the row's, with the 95 % interval of the difference. Without
--protocol triphone, as for a corpus with too few of them, there is no ABX by identity either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.formats.text_files import write_csv
from zerochain.metrics.abx_plan import PROTOCOLS
from zerochain.scoring.abx import score_abx
from zerochain.scoring.abx_tables import compare_abx
from zerochain.scoring.quality import score_quality

QUALITY = {"pnmi": "PNMI", "phone_error_rate_%": "PER, %", "mapped_r_value_%": "R-value, %"}


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--corpus", required=True, help="The name of the run's corpus.")
@click.option("--gold", required=True, help="The folder of its recordings with phones.")
@click.option("--split")
@click.option("--shift-ms", type=float, default=0.0)
@click.option("--protocol", "protocols", multiple=True, default=("phone", "triphone"))
@click.option("--first", multiple=True, default=("vqvae-256-4t-auto/p0", "vqvae-256-4t-auto/p1"))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    run: Path,
    corpus: str,
    gold: str,
    split: str | None,
    shift_ms: float,
    protocols: tuple[str, ...],
    first: tuple[str, ...],
    out: Path,
) -> None:
    """Score the units of one corpus of a RUN of the tradeoff pipeline."""
    place = run / "units" / corpus
    names = sorted(f"{path.parent.name}/{path.stem}" for path in place.glob("*/*.parquet"))
    where: dict[str, Any] = {"corpus": run / "corpora" / gold, "split": split, "shift_ms": shift_ms}
    rows: dict[str, list[object]] = {}
    for name in names:
        scored = score_quality(place / f"{name}.parquet", **where, protocol="discophon").scores
        found = {score.metric: score.value for score in scored}
        whole = "triphone" in protocols
        rows[name] = [_identity(place / f"{name}.parquet", **where) if whole else ""]
        rows[name] += [round(found[key], 3) for key in QUALITY]
        for protocol in protocols:
            score_abx(
                place / f"{name}.parquet",
                **where,
                model=run / "models" / corpus / name.split("/", maxsplit=1)[0],
                mode="across",
                protocol=PROTOCOLS[protocol],
                tables=_tables(run, corpus, name, protocol),
            )
    header = ["units", "ABX by identity, %", *QUALITY.values()]
    for one in first:
        for protocol in protocols:
            header.append(f"{protocol}s: {one} lower by")
            for name in names:
                own, other = (_tables(run, corpus, n, protocol) for n in (one, name))
                rows[name].append("" if one == name else _lower(own, other))
    write_csv(out, header, [[name, *row] for name, row in rows.items()])


def _tables(run: Path, corpus: str, name: str, protocol: str) -> Path:
    return run / "beside" / corpus / name / protocol


def _identity(units: Path, **where: Any) -> float:
    """DiscoPhon's ABX error: the mean of within and across speakers, in triphones."""
    within, across, *_ = score_abx(units, **where, protocol=PROTOCOLS["discophon"]).scores
    return round((within.value + across.value) / 2, 1)


def _lower(first: Path, second: Path) -> str:
    """How much lower the first's error is, in points."""
    (one,), _ = compare_abx(first, second)
    if one.interval is None:
        return number(-one.difference)
    low, high = one.interval
    return f"{number(-one.difference)} [{number(-high)} to {number(-low)}]"


def number(points: float) -> str:
    """With a minus sign: what begins with a hyphen is a formula to spreadsheets."""
    return f"{points:.1f}".replace("-", "−")


if __name__ == "__main__":
    main()
