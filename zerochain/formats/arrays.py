"""numpy's own format, read without believing a word of it."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_MOST_BYTES = 1 << 28
"""That one array of an archive may have: a few bytes can claim to hold terabytes."""
_BROKEN = (
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,  # an encrypted archive, an unknown compression, too many levels
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class BrokenArrayError(ValueError):
    """What is wrong with an array on disk, in a few words."""


@contextmanager
def _as_broken() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise BrokenArrayError(str(error).partition("\n")[0] or type(error).__name__) from error


def mapped(path: Path) -> NDArray[Any]:
    """A .npy file, memory-mapped.

    Raises:
        BrokenArrayError: missing, cut short, no such file, or of Python objects.
    """
    with _as_broken():
        return npy.open_memmap(path, mode="r")


def from_archive(content: bytes, name: str) -> NDArray[Any]:
    """An array of an .npz archive.

    Raises:
        BrokenArrayError: no such archive or array, damaged, or of more bytes than it should have.
    """
    with _as_broken(), zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.file_size > _MOST_BYTES:
            raise ValueError(f"{name} claims to have {member.file_size} bytes")
        return _parsed(archive.read(member))


def _parsed(content: bytes) -> NDArray[Any]:
    """The array in the bytes of a .npy file, whose header is held against their number."""
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    data = content[stream.tell() :]
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"holds {dtype} of shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{dtype} of shape {shape} has not {len(data)} bytes")
    values: NDArray[Any] = np.frombuffer(data, dtype)
    return values.reshape(shape[::-1]).T if fortran_order else values.reshape(shape)
