"""Damage files, read them, and count what comes of it: a value, an InputError, or a failure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import resource
import signal
import sys
import tempfile
import traceback
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from damage import damaged, edited

from zerochain.errors import InputError

CPU_S = 20.0
"""That reading one file may take: of the process, so that a busy machine fails nothing."""
MOST_MB = 500
"""By which reading any of them may make the process larger."""


class Reader(NamedTuple):
    """A kind of file, how to make a small one, and how to read it."""

    name: str
    make: Callable[[Path], None]
    """Write the files into an empty folder."""
    read: Callable[[Path], Any]
    """The public reader, given the folder."""
    suffixes: tuple[str, ...]
    """Of the files that are damaged."""
    exact: bool = False
    """Whether checksums cover every byte: what is read is then what was written, or nothing."""


class Counts(NamedTuple):
    read: int
    refused: int
    failures: list[str]


class _TookTooLongError(BaseException):
    pass


def fuzz(
    reader: Reader,
    first: int,
    n: int,
    seed: int,
    note: Callable[[int], None],
    extra_gb: int = 0,
) -> Counts:
    """Read `n` damaged files, from number `first` on; each depends on its number and the seed.

    Args:
        extra_gb: of addresses, that reading may take beyond what whole files and imports did, of
            which a torch with CUDA takes many; 0 sets no limit.
    """
    _limit_addresses(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "x")
        folder.mkdir()
        reader.make(folder)
        files = sorted(f for f in folder.rglob("*") if f.suffix in reader.suffixes and f.is_file())
        contents = {file: file.read_bytes() for file in files}
        whole = fingerprint(reader.read(folder))
        _limit_addresses(extra_gb)
        signal.signal(signal.SIGVTALRM, _too_long)
        n_read, n_refused, failures = 0, 0, []
        most = _megabytes() + MOST_MB
        for i in range(first, first + n):
            note(i)
            rng = np.random.default_rng([seed, zlib.crc32(reader.name.encode()), i])
            file = files[rng.integers(len(files))]
            by_hand = rng.random() < 0.4
            change = edited(contents[file], file.suffix, rng) if by_hand else None
            change = damaged(contents[file], rng) if change is None else change
            _replace(file, change)
            why = ""
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
                value = reader.read(folder)
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                n_read += 1
                if reader.exact and not by_hand and fingerprint(value) != whole:
                    why = "another value than was written, and nobody noticed"
            except InputError as error:
                n_refused += 1
                if not error.found:
                    why = "an error that says nothing"
            except _TookTooLongError:
                why = f"more than {CPU_S:g} CPU-s"
            except (Exception, SystemExit) as error:
                why = "".join(traceback.format_exception(error)[-4:])
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            if _megabytes() > most:
                why, most = f"{why} more than {MOST_MB} MB", _megabytes() + MOST_MB
            if why:
                failures.append(f"{reader.name} {i} ({file.name}): {why}")
            _replace(file, contents[file])
        return Counts(n_read, n_refused, failures)


def _replace(file: Path, content: bytes) -> None:
    """Write a file anew; where one is cut to nothing first, ext4 waits for the disk."""
    file.unlink()
    file.write_bytes(content)


def _too_long(*_: object) -> None:
    raise _TookTooLongError


def _limit_addresses(extra_gb: int) -> None:
    """Let the process grow by so much and no more; 0 takes the limit away."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + extra_gb * (1 << 30)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if extra_gb else hard, hard))


def _megabytes() -> float:
    """The most that this process ever had in memory."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def fingerprint(value: Any) -> str:
    """The same for the same value."""
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "to_pylist"):
        value = value.to_pylist()
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).data)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _add(digest, {f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    elif isinstance(value, Mapping):
        for key, one in value.items():
            digest.update(repr(key).encode())
            _add(digest, one)
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)}".encode())
        for one in value:
            _add(digest, one)
    else:
        digest.update(repr(value).encode("utf-8", "surrogatepass"))


def _mark(path: Path, name: str, i: int) -> None:
    path.write_text(f"{name} {i}")


def run(readers: list[Reader], n: int, seed: int, first: int, report: Path, extra_gb: int) -> None:
    """Fuzz readers one after the other and append to the report, one JSON line for each event."""
    with report.open("a") as stream:

        def say(**event: Any) -> None:
            stream.write(json.dumps(event) + "\n")
            stream.flush()

        for reader in readers:
            mark = partial(_mark, report.with_suffix(".at"), reader.name)
            counts = fuzz(reader, first, n, seed, mark, extra_gb)
            say(reader=reader.name, **counts._asdict())
