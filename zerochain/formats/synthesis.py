"""`synthesis.json`, in a folder of wavs: what spoke them, from which units, in which voice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zerochain.errors import InputError, listed
from zerochain.formats.identity import check_ids, file_id
from zerochain.formats.tables import read_json

KIND = "synthesis"
MARKER = "synthesis.json"
_NEEDED = ("inverter_id", "units_id", "corpus_id", "voice", "sample_rate", "ids", "method")


@dataclass(frozen=True)
class Synthesis:
    """A folder of resynthesised speech, one `<id>.wav` an utterance."""

    inverter_id: str
    units_id: str
    corpus_id: str
    voice: str
    sample_rate: int
    ids: tuple[str, ...]
    method: str
    folder: Path

    @property
    def id(self) -> str:
        """SHA-256 of synthesis.json."""
        return file_id(self.folder / MARKER)

    def audio_path(self, name: str) -> Path:
        """The sound file of an utterance."""
        return self.folder / f"{name}.wav"


def read_synthesis(folder: Path) -> Synthesis:
    """Read what a folder of resynthesised speech says of itself.

    Raises:
        InputError: no such folder, an unknown version, a missing key, an id that leaves the
            folder, or an utterance without its wav.
    """
    header = read_json(folder / MARKER, KIND, *_NEEDED)
    ids = tuple(str(name) for name in header["ids"])
    check_ids(ids, folder / MARKER, "ids")
    synthesis = Synthesis(
        inverter_id=str(header["inverter_id"]),
        units_id=str(header["units_id"]),
        corpus_id=str(header["corpus_id"]),
        voice=str(header["voice"]),
        sample_rate=int(header["sample_rate"]),
        ids=ids,
        method=str(header["method"]),
        folder=folder,
    )
    lost = [name for name in ids if not synthesis.audio_path(name).is_file()]
    if lost:
        raise InputError(
            f"{len(lost)} of {len(ids)} wavs are missing: {listed(lost)}",
            path=folder,
            cause="files were moved or deleted",
            remedy="synthesise again",
        )
    return synthesis
