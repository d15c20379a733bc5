"""Cross-validated retrieval: each pair is tested once, by a translator not trained on it.

    python folds.py --folds 5 --out runs/folds --set source=recordings/gd --set target=…

Runs `zerochain run s2st` once per fold, into OUT/fold-0, OUT/fold-1, … (finished steps are kept),
and ranks the targets of a fold by their similarity to each translation.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from zerochain.formats.corpus import read_corpus
from zerochain.formats.pairs import read_pairs
from zerochain.formats.text_files import write_csv
from zerochain.formats.units import read_units
from zerochain.metrics.retrieval import (
    Found,
    Ranking,
    Retrieval,
    edit_similarity,
    pooled_retrieval,
)
from zerochain.metrics.translation import as_characters
from zerochain.scoring.common import scored_pairs
from zerochain.scoring.translation import join

WITHOUT_SYNTHESIS = ("inverter=null", "recogniser=null")
"""Retrieval compares units. Later settings override these."""


def main() -> None:
    """Run the folds, write retrieval.csv and retrieval.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of folds and trainings")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    runs = [given.out / f"fold-{fold}" for fold in range(given.folds)]
    for fold, run in enumerate(runs):
        settings = [
            *WITHOUT_SYNTHESIS,
            f"folds={given.folds}",
            f"fold={fold}",
            f"seed={given.seed}",
        ]
        translate(run, [*settings, *given.settings], given.cores)
    systems = sorted(path.stem for path in (runs[0] / "translations").glob("*.parquet"))
    report(given.out, {system: retrieved(runs, system, given.seed) for system in systems})


def translate(run: Path, settings: list[str], cores: int) -> None:
    """One fold."""
    options = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-P", "-m", "zerochain", "run", "s2st", "--out", str(run)]
    subprocess.run([*command, "--cores", str(cores), *options], check=True)


def retrieved(runs: list[Path], system: str, seed: int) -> Retrieval:
    """A system's retrieval over all folds."""
    return pooled_retrieval([ranking(run, system) for run in runs], seed=seed)


def ranking(run: Path, system: str) -> Ranking:
    """Similarities of a fold's translations with its targets, and which target is correct."""
    made = read_units(run / "translations" / f"{system}.parquet")
    spoken = read_units(run / "units" / "target.parquet")
    source = read_corpus(run / "parallel" / "source")
    wanted = scored_pairs(read_pairs(run / "parallel" / "pairs.parquet"), made.ids, source, "test")
    parallel = join(made, spoken, wanted, None)
    similarity = edit_similarity(
        [as_characters(units) for units in parallel.outputs.values()],
        [as_characters(units) for units in parallel.targets.values()],
    )
    return Ranking(similarity, parallel.right())


def report(out: Path, found: dict[str, Retrieval]) -> None:
    """Write the table, and print it."""
    header = [
        "system",
        "n",
        "candidates",
        "MRR",
        "chance",
        "p",
        "recall@1 %",
        "chance",
        "recall@10 %",
        "chance",
    ]
    rows = [
        [
            system,
            str(one.mrr.n),
            str(one.n_candidates),
            *cells(one.mrr, 3),
            f"{one.p_value:.3f}",
            *cells(one.recall[1], 1),
            *cells(one.recall[10], 1),
        ]
        for system, one in found.items()
    ]
    write_csv(out / "retrieval.csv", header, rows)
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    (out / "retrieval.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def cells(found: Found, digits: int) -> list[str]:
    """A measure with its interval, and chance."""
    value = f"{found.value:.{digits}f}"
    if found.interval is not None:
        low, high = found.interval
        value += f" ({low:.{digits}f}–{high:.{digits}f})"
    return [value, f"{found.chance:.{digits}f}"]


if __name__ == "__main__":
    main()
