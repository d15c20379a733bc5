"""Features of a corpus: `frames.npy` (memory-mapped), `index.parquet` and `features.json`.

The frames of all utterances lie end to end in one float32 array (N, D); the index gives each
utterance's first frame and their number. The header holds the checksums of both other files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from zerochain.errors import InputError, counted, listed, speech_time
from zerochain.formats.arrays import BrokenArrayError, mapped
from zerochain.formats.atomic import atomic_folder, one_version
from zerochain.formats.description import Description, FileKind, flat
from zerochain.formats.headers import Header, read_header, write_json
from zerochain.formats.identity import check_ids, check_same_ids, file_id, short
from zerochain.formats.tables import read_table, write_table

KIND = "features"
MARKER = "features.json"
_INDEX, _FRAMES = "index.parquet", "frames.npy"
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("speaker", pa.string()),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("n_frames", pa.int64(), nullable=False),
    ]
)


class FeaturesHeader(Header):
    """What features.json holds."""

    model_config = ConfigDict(extra="forbid")

    extractor: str
    options: dict[str, Any]
    step_ms: float = Field(gt=0)
    corpus_id: str
    frames_sha256: str
    """Of the numbers, without the header of frames.npy."""
    index_sha256: str | None = None
    """Of index.parquet; older versions wrote none."""


class _IndexHeader(Header):
    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, eq=False)
class Features:
    """Frames of many utterances, one after the other: (N, D) float32, memory-mapped or not.

    `features[id]` is a view of one utterance's frames, (T, D).
    """

    frames: NDArray[np.float32]
    index: Mapping[str, tuple[int, int]]
    """id → (first frame, number of frames), in the order of the frames."""
    speakers: Mapping[str, str | None]
    extractor: str
    """"mfcc", "log-mel" or the name of whatever else made them."""
    options: Mapping[str, Any]
    step_ms: float
    corpus_id: str = ""
    id: str = ""

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        offset, n_frames = self.index[name]
        return self.frames[offset : offset + n_frames]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def ids(self) -> list[str]:
        return list(self.index)

    @property
    def dim(self) -> int:
        return int(self.frames.shape[1])

    def restrict(self, ids: Sequence[str]) -> Features:
        """The features of these utterances, in the order given; the frames stay shared.

        Raises:
            InputError: an id has no features; the message lists them.
        """
        check_same_ids(ids, self.index, "utterances asked for", "features")
        return replace(
            self,
            index={name: self.index[name] for name in ids},
            speakers={name: self.speakers[name] for name in ids},
        )

    def check_durations(self, durations_s: Mapping[str, float], where: str) -> None:
        """Raise InputError unless the features are as long as the recordings of the same ids.

        Two steps and a frame or two of slack, as for units.
        """
        step_s = self.step_ms / 1000
        off = {
            name: (n_frames * step_s, durations_s[name])
            for name, (_, n_frames) in self.index.items()
            if name in durations_s
            and abs(n_frames * step_s - durations_s[name]) > 2 * step_s + 0.03
        }
        if off:
            name, (seconds, duration_s) = next(iter(off.items()))
            raise InputError(
                f"features of another length than their recordings in the {where}: {len(off)} of "
                f"{counted(len(self), 'utterance')}, {listed(list(off))} "
                f"({name!r}: {seconds:.2f} s of features, {duration_s:.2f} s of sound)",
                cause=f"the step is not {self.step_ms:g} ms, or another corpus has the same ids",
                remedy="extract or import the features of this corpus, with their right step",
            )

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[np.float32]],
        *,
        speakers: Mapping[str, str | None] | None = None,
        extractor: str = "array",
        options: Mapping[str, Any] | None = None,
        step_ms: float = 10.0,
    ) -> Features:
        """Features in memory from one (T, D) array per utterance.

        Raises:
            InputError: no array, no frame in one, not two-dimensional, unequal D, or NaN.
        """
        if not arrays:
            raise InputError("there are no features", remedy="give at least one utterance")
        index, offset = {}, 0
        dim = _dim(next(iter(arrays.values())))
        for name, array in arrays.items():
            check_frames(array, dim, name)
            index[name] = (offset, len(array))
            offset += len(array)
        return cls(
            frames=np.concatenate([np.asarray(a, np.float32) for a in arrays.values()]),
            index=index,
            speakers=dict(speakers or dict.fromkeys(arrays)),
            extractor=extractor,
            options=dict(options or {}),
            step_ms=step_ms,
        )


def check_frames(array: NDArray[np.float32], dim: int, name: str) -> None:
    """Refuse what can't be the frames of an utterance.

    Raises:
        InputError: not (T, dim) with T ≥ 1, or NaN or infinity in it.
    """
    if array.ndim != 2 or array.shape[1] != dim or array.size == 0:
        raise InputError(
            f"utterance {name!r} has features of shape {array.shape}, not (T ≥ 1, {max(dim, 1)})",
            cause="features of different extractors were mixed, or the recording is empty",
            remedy="extract all of them again with the same options",
        )
    if not np.isfinite(array).all():
        raise InputError(
            f"utterance {name!r} has {int((~np.isfinite(array)).sum()):,} NaN or infinite values",
            cause="the recording holds NaN, or features were normalised by a zero deviation",
            remedy="remove the recording or fix it",
        )


class FeaturesWriter:
    """Appends utterances to a features folder that `write_features` puts in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ids: list[str] = []
        self._speakers: list[str | None] = []
        self._lengths: list[int] = []
        self._digest = hashlib.sha256()
        self._stream: BinaryIO = (folder / _FRAMES).open("wb")
        self._dim: int | None = None
        self._stream.write(_npy_header(0, 0))

    def add(self, name: str, frames: NDArray[np.float32], speaker: str | None = None) -> None:
        """Append one utterance's (T, D) frames."""
        self._dim = self._dim or _dim(frames)
        frames = np.asarray(frames, np.float32)
        check_frames(frames, self._dim, name)
        data = frames.tobytes()
        self._stream.write(data)
        self._digest.update(data)
        self._ids.append(name)
        self._speakers.append(speaker)
        self._lengths.append(len(frames))

    def close(
        self, extractor: str, options: Mapping[str, Any], step_ms: float, corpus: str
    ) -> None:
        """Write the index and the header; `corpus` is the corpus's id."""
        if not self._ids:
            raise InputError("there are no features", remedy="give at least one utterance")
        self._stream.seek(0)
        lengths = np.array(self._lengths, np.int64)
        self._stream.write(_npy_header(int(lengths.sum()), self._dim or 0))
        self._stream.close()
        check_ids(self._ids, self._folder)
        columns = [self._ids, self._speakers, np.cumsum(lengths) - lengths, lengths]
        table = pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), schema=_SCHEMA)
        write_table(self._folder / _INDEX, KIND, table, {})
        header = {
            "extractor": extractor,
            "options": dict(options),
            "step_ms": step_ms,
            "corpus_id": corpus,
            "frames_sha256": self._digest.hexdigest(),
            "index_sha256": file_id(self._folder / _INDEX),
        }
        write_json(self._folder / MARKER, KIND, header)

    def abort(self) -> None:
        self._stream.close()


@contextmanager
def write_features(
    folder: Path, *, extractor: str, options: Mapping[str, Any], step_ms: float, corpus_id: str
) -> Iterator[FeaturesWriter]:
    """Write a features folder atomically, one utterance in memory at a time.

    Raises:
        InputError: as `check_frames`; a duplicate id; no utterance; the disk is full.
    """
    with atomic_folder(folder, MARKER) as temporary:
        writer = FeaturesWriter(temporary)
        try:
            yield writer
            writer.close(extractor, options, step_ms, corpus_id)
        finally:
            writer.abort()


def read_features(folder: Path, *, verified: bool = True) -> Features:
    """Open features; the frames stay on disk until they are used.

    All of them are read once, to compare their checksum.

    Args:
        verified: False leaves that pass out, for who needs few of the frames, soon: a changed
            frame is not noticed.

    Raises:
        InputError: not features, an unknown version, a duplicate id, an index that doesn't fit
            the frames, NaN in them, or frames other than their checksum's.
    """
    return one_version(folder, lambda: _read(folder, verified))


def read_features_header(folder: Path) -> tuple[FeaturesHeader, str]:
    """The header of features, and their id; the frames aren't read.

    Raises:
        InputError: not features, damaged, or of an unknown version.
    """

    def read() -> tuple[FeaturesHeader, str]:
        header = read_header(folder / MARKER, KIND, FeaturesHeader)
        _read_index(folder, header)
        return header, _id(folder)

    return one_version(folder, read)


def _id(folder: Path) -> str:
    return file_id(folder / MARKER, folder / _INDEX)


def _read_index(folder: Path, header: FeaturesHeader) -> pa.Table:
    table, _, identity = read_table(folder / _INDEX, KIND, _SCHEMA, _IndexHeader)
    if header.index_sha256 not in (None, identity):
        raise InputError(
            f"is not the index that {MARKER} was written with",
            path=folder / _INDEX,
            cause="files of two extractions were mixed",
            remedy="extract the features again",
        )
    return table


def _read(folder: Path, verified: bool) -> Features:
    header = read_header(folder / MARKER, KIND, FeaturesHeader)
    table = _read_index(folder, header)
    path = folder / _FRAMES
    try:
        frames = mapped(path)
    except BrokenArrayError as error:
        raise InputError(
            f"can't be memory-mapped ({error})",
            path=path,
            cause="it was cut short while it was copied",
            remedy="extract the features again",
        ) from error
    ids, speakers, offsets, counts = (table[name].to_pylist() for name in _SCHEMA.names)
    check_ids(ids, folder / _INDEX)
    _check_index(offsets, counts, frames, folder)
    features = Features(
        frames=frames,
        index=dict(zip(ids, zip(offsets, counts, strict=True), strict=True)),
        speakers=dict(zip(ids, speakers, strict=True)),
        extractor=header.extractor,
        options=header.options,
        step_ms=header.step_ms,
        corpus_id=header.corpus_id,
        id=_id(folder),
    )
    if not verified:
        return features
    digest = hashlib.sha256()
    for name in features.ids:  # one pass over what may be gigabytes
        block = np.ascontiguousarray(features[name])
        check_frames(block, features.dim, name)
        digest.update(block.data)
    if digest.hexdigest() != header.frames_sha256:
        raise InputError(
            f"are not the frames that {MARKER} was written with: their checksum does not match",
            path=path,
            cause="the file was damaged while it was copied, or is another extraction's",
            remedy="copy the features again, or extract them again",
        )
    return features


def _check_index(
    offsets: list[int], counts: list[int], frames: NDArray[np.float32], folder: Path
) -> None:
    expected = [0, *accumulate(counts)]  # Python's integers don't wrap around
    if (
        not counts
        or min(counts) < 1
        or frames.ndim != 2
        or frames.dtype != np.float32
        or offsets != expected[:-1]
        or expected[-1] != len(frames)
    ):
        raise InputError(
            f"index.parquet covers {expected[-1]} frames in {len(counts)} utterances, frames.npy "
            f"holds {frames.dtype} of shape {frames.shape}",
            path=folder,
            cause="files of two extractions were mixed, or made by another program",
            remedy="extract the features again",
        )


def _dim(array: NDArray[np.float32]) -> int:
    return int(array.shape[-1]) if array.ndim else 0


def _npy_header(n_frames: int, dim: int) -> bytes:
    """A version 1.0 .npy header of 128 bytes, whatever the shape, so that it can be rewritten."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({n_frames}, {dim}), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def _describe(features: Features) -> Description:
    n_frames = sum(count for _, count in features.index.values())
    return Description(
        "features",
        {
            "extractor": features.extractor,
            "options": ", ".join(f"{key} {value}" for key, value in flat(features.options)),
            "utterances": f"{len(features)}",
            "frames": f"{n_frames} of {counted(features.dim, 'number')}, one every "
            f"{features.step_ms:g} ms ({speech_time(n_frames * features.step_ms / 1000)})",
            "corpus": short(features.corpus_id),
            "id": short(features.id),
        },
    )


FILE_KIND: FileKind[Features] = FileKind(KIND, MARKER, read_features, _describe)
