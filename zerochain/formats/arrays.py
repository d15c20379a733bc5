"""Arrays on disk: numpy's own format, read without trusting it, and sequences in table columns.

A damaged or hostile .npy header can claim any shape or hold Python objects; here the header is
compared with the bytes that are there, and nothing is unpickled. `Sequences` keeps the integers of
many utterances in one array, which takes about a hundred bytes per utterance less than a dict of
arrays.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

_MOST_BYTES = 1 << 28
"""At most, of one array of an archive: a few bytes can claim to hold terabytes."""
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
    """An array on disk can't be read; the message says why in a few words."""


@contextmanager
def _as_broken() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise BrokenArrayError(str(error).partition("\n")[0] or type(error).__name__) from error


def mapped(path: Path) -> NDArray[Any]:
    """A .npy file, memory-mapped.

    Raises:
        BrokenArrayError: missing, cut short, not a .npy file, or of Python objects.
    """
    with _as_broken():
        return npy.open_memmap(path, mode="r")


def from_archive(content: bytes, name: str) -> NDArray[Any]:
    """An array of an .npz archive.

    Raises:
        BrokenArrayError: no such archive or array, damaged, or larger than 256 MiB.
    """
    with _as_broken(), zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.file_size > _MOST_BYTES:
            raise ValueError(f"{name} claims to have {member.file_size} bytes")
        return _parsed(archive.read(member))


def _parsed(content: bytes) -> NDArray[Any]:
    """The array in the bytes of a .npy file, if there are as many as its header says."""
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    data = content[stream.tell() :]
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"holds {dtype} of shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{dtype} of shape {shape} does not take {len(data)} bytes")
    values: NDArray[Any] = np.frombuffer(data, dtype)
    return values.reshape(shape[::-1]).T if fortran_order else values.reshape(shape)


LIST = pa.list_(pa.int32())


class Sequences(Mapping[str, NDArray[np.int32]]):
    """Utterance id → its integers (N,), a view of one array of all of them.

    Args:
        ids: of the utterances.
        values: the integers of all of them.
        starts, lengths: where those of each utterance begin, and how many there are (n,).
    """

    def __init__(
        self,
        ids: Sequence[str],
        values: NDArray[np.int32],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        self._rows = {name: row for row, name in enumerate(ids)}
        self._values, self._starts, self.lengths = values, starts, lengths

    @classmethod
    def of(cls, numbers: Mapping[str, NDArray[np.int32]]) -> Sequences:
        """The numbers of any mapping, end to end."""
        if isinstance(numbers, cls):
            return numbers
        lengths = np.fromiter(map(len, numbers.values()), np.int64, len(numbers))
        values = np.concatenate(list(numbers.values())) if numbers else np.zeros(0, np.int32)
        return cls(list(numbers), values, np.cumsum(lengths) - lengths, lengths)

    @classmethod
    def of_column(cls, ids: Sequence[str], column: pa.ChunkedArray) -> Sequences:
        """The numbers of a table's column of lists, without copying them where that is possible.

        Raises:
            ValueError: one of them is null.
        """
        lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        flat = lists.flatten()
        if flat.null_count:
            raise ValueError("a number is null")
        lengths = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
        values = np.zeros(0, np.int32)
        if len(flat):  # to_numpy() gives a read-only array
            buffer, begin = flat.buffers()[1], flat.offset * values.itemsize
            values = np.frombuffer(buffer, np.int32, len(flat), begin)
        if not values.flags.writeable:
            values = values.copy()
        return cls(ids, values, np.cumsum(lengths) - lengths, lengths)

    def __getitem__(self, name: str) -> NDArray[np.int32]:
        row = self._rows[name]
        start = int(self._starts[row])
        return self._values[start : start + int(self.lengths[row])]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    @property
    def ids(self) -> list[str]:
        return list(self._rows)

    def restrict(self, names: Sequence[str]) -> Sequences:
        """Those of these utterances, in the order given; the numbers stay shared."""
        rows = np.array([self._rows[name] for name in names], np.int64)
        return Sequences(names, self._values, self._starts[rows], self.lengths[rows])

    def end_to_end(self) -> NDArray[np.int32]:
        """The numbers of all utterances, one after the other (N,)."""
        follow = np.cumsum(self.lengths) - self.lengths
        if np.array_equal(self._starts, follow) and len(self._values) == self.lengths.sum():
            return self._values
        return np.concatenate([self._values[:0], *self.values()])

    def column(self) -> pa.Array:
        """A column of lists for a table."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        if offsets[-1] >= 2**31:
            return pa.array(self.values(), LIST)
        values = pa.array(self.end_to_end(), pa.int32())
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=LIST)

    def extremes(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The minimum and maximum of each utterance (n,), (n,); none may be empty."""
        values = self.end_to_end()
        begins = np.cumsum(self.lengths) - self.lengths
        return np.minimum.reduceat(values, begins), np.maximum.reduceat(values, begins)


class Appended:
    """Collects utterances' integers as they are made, end to end.

    An array for each utterance would stay between the large blocks that the next one is computed
    in, and keep the allocator from giving those back.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._values, self._lengths = array("i"), array("q")

    def add(self, name: str, numbers: NDArray[np.int32]) -> None:
        """Append the integers of one utterance (N,)."""
        self._ids.append(name)
        self._values.frombytes(np.asarray(numbers, np.int32).tobytes())
        self._lengths.append(len(numbers))

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def sequences(self) -> Sequences:
        """The integers of all utterances; nothing can be added while it is in use."""
        lengths = np.array(self._lengths, np.int64)
        values = np.frombuffer(self._values, np.int32) if self._values else np.zeros(0, np.int32)
        return Sequences(self._ids, values, np.cumsum(lengths) - lengths, lengths)
