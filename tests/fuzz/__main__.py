"""Read files that were damaged at random, and see that nothing but an InputError comes of it.

    python tests/fuzz -n 10000               # of every reader
    python tests/fuzz -n 1 --first 4711 units   # the one file that failed

Each group of readers has a process of its own, with a limit on its memory: one that crashes is
counted, and the rest goes on behind the file that crashed it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
EXTRA_GB = 2  # of addresses, beyond what the imports take
sys.path[:0] = [str(HERE), str(HERE.parent)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=200, help="damaged files of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--worker", type=Path)
    parser.add_argument("readers", nargs="*", help="all by default")
    given = parser.parse_args()
    from fuzzing import fuzzed
    from samples import GROUPS, READERS

    if given.worker:
        from harness import run

        chosen = [READERS[name] for name in given.readers]
        run(chosen, given.n, given.seed, given.first, given.worker, EXTRA_GB)
        return
    names = given.readers or list(READERS)
    failures: list[str] = []
    click.echo(f"{'reader':24} {'read':>8} {'refused':>8} {'failed':>8}")
    for group in GROUPS.values():
        for row in fuzzed([n for n in group if n in names], given.n, given.seed, given.first):
            click.echo(
                f"{row['reader']:24} {row['read']:8} {row['refused']:8} {len(row['failures']):8}"
            )
            failures += row["failures"]
    click.echo("\n".join(failures))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
