"""Run benchmarks, and record what they print in benchmarks/results/NAME.txt: `make benchmark`.

    python benchmarks/record.py                             # all but BY_NAME, with their defaults
    python benchmarks/record.py kmeans --points 20000       # one, with options of its own
    python benchmarks/record.py --as kmeans-small kmeans --points 20000

A record begins with the command, the date, the machine and the versions. A benchmark that fails
leaves its earlier record as it was.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from measuring import ROOT

HERE = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"measuring", "record"}
BY_NAME = {"voice_activity", "vqvae_quality"}
"""Run only when they are named: they take a corpus, without which their records would lack most."""
PACKAGES = (
    *("numpy", "scipy", "scikit-learn", "librosa", "numba", "soundfile", "pyarrow", "torch"),
    *("fastabx", "faiss-cpu"),
)
FAST_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Instructions of the CPU on which speed depends."""


def names():
    """The benchmarks that there are."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_BENCHMARKS)


def machine():
    """CPU with its cores and instructions, memory, and GPU where there is one."""
    found = {"model name": platform.processor() or platform.machine(), "flags": ""}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        pairs = (line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        found |= {key.strip(): value.strip() for key, value in pairs}
    flags = [flag for flag in FAST_FLAGS if flag in found["flags"].split()]
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    words = [found["model name"], f"cores: {os.cpu_count()}", *flags, f"{gigabytes:.0f} GB"]
    return ", ".join([*words, *gpus()])


def gpus():
    """The names of the GPUs."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return listed.strip().splitlines()


def versions():
    """Python, this build of zerochain, and the packages it is compared with or made of."""
    found = [f"Python {platform.python_version()}", f"zerochain {version('zerochain')}{commit()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def commit():
    """The commit of this checkout; nothing outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" ({done.stdout.strip()})"


def record(name, options, out):
    """Run a benchmark, show what it prints, and write the record; whether it succeeded."""
    words = ["benchmarks/" + name + ".py", *options]
    head = [f"$ python {' '.join(words)}", f"{datetime.date.today()}, {machine()}", versions(), ""]
    print("\n".join(head), flush=True)
    lines = []
    # Unbuffered, so that each row is seen when it is done.
    with subprocess.Popen(
        [sys.executable, "-u", *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip() + "\n")
    if process.returncode:
        print(f"{name}: exit code {process.returncode}; {out} is left as it was", file=sys.stderr)
        return False
    out.parent.mkdir(exist_ok=True)
    out.write_text("\n".join(head) + "\n" + "".join(lines), encoding="utf-8")
    return True


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=f"Benchmarks: {', '.join(names())}"
    )
    parser.add_argument("--as", dest="stem", help="the record's name.  [default: the benchmark's]")
    parser.add_argument("name", nargs="?", choices=names(), metavar="NAME")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the benchmark")
    given = parser.parse_args()
    done = [
        record(name, given.options, HERE / "results" / f"{given.stem or name}.txt")
        for name in ([given.name] if given.name else sorted(set(names()) - BY_NAME))
    ]
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
