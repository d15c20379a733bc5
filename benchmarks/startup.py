"""Start-up time of commands, in wall-clock seconds: the goal for --help is 0.15.

python benchmarks/startup.py [--runs 7]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "zerochain --help": ["-m", "zerochain", "--help"],
    "zerochain score abx --help": ["-m", "zerochain", "score", "abx", "--help"],
    "python -c 'import torch'": ["-c", "import torch"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    for name, options in COMMANDS.items():
        seconds = []
        for _ in range(runs):
            begun = time.perf_counter()
            subprocess.run([sys.executable, *options], check=True, capture_output=True)
            seconds.append(time.perf_counter() - begun)
        print(f"{name:<28} median {statistics.median(seconds):.2f} s, best {min(seconds):.2f} s")


if __name__ == "__main__":
    main()
