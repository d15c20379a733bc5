"""`synthesis.json`, in a folder of wavs: the inverter, units and voice that made them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pydantic import ConfigDict, Field

from zerochain.errors import InputError, counted, listed
from zerochain.formats.description import FIRST, Description, FileKind
from zerochain.formats.headers import Header, read_header, write_json
from zerochain.formats.identity import check_ids, file_id, short
from zerochain.formats.units import TRANSLATED

KIND = "synthesis"
MARKER = "synthesis.json"
EACH_ITS_OWN = "each its own"
"""The voice of speech in which each utterance has that of its recording."""


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    inverter_id: str
    method: str
    units_id: str
    unit_method: str
    corpus_id: str
    voice: str
    sample_rate: int = Field(ge=1, le=10_000_000)
    step_ms: float = Field(gt=0)
    ids: list[str] = Field(min_length=1)
    speaker_encoder_id: str | None = None


@dataclass(frozen=True)
class Synthesis:
    """A folder of resynthesised speech, one `<id>.wav` per utterance."""

    inverter_id: str
    method: str
    """The kind of inverter: "code2spec", …"""
    units_id: str
    unit_method: str
    """How the units were made, in a few words for people."""
    corpus_id: str
    voice: str
    sample_rate: int
    step_ms: float
    """Of one unit; a wav lasts a whole number of them."""
    ids: tuple[str, ...]
    folder: Path
    speaker_encoder_id: str | None = None
    """Of the speaker encoder that the inverter is conditioned on; no score may rest on it."""

    @property
    def id(self) -> str:
        """SHA-256 of synthesis.json."""
        return file_id(self.folder / MARKER)

    @property
    def is_translation(self) -> bool:
        """Whether the wavs translate the recordings of the same ids."""
        return self.unit_method.startswith(TRANSLATED)

    def audio_path(self, name: str) -> Path:
        """The sound file of an utterance."""
        return self.folder / f"{name}.wav"


def write_synthesis(synthesis: Synthesis) -> None:
    """Write synthesis.json into the folder that holds the wavs."""
    header = asdict(synthesis)
    del header["folder"]
    write_json(synthesis.folder / MARKER, KIND, header)


def read_synthesis(folder: Path) -> Synthesis:
    """Read the header of a folder of resynthesised speech.

    Raises:
        InputError: no such folder, an unknown version, a missing key, an id that leaves the
            folder, or an utterance without its wav.
    """
    header = read_header(folder / MARKER, KIND, _Header)
    ids = tuple(header.ids)
    check_ids(ids, folder / MARKER, "ids")
    own = {field.name for field in fields(Synthesis)}
    synthesis = Synthesis(folder=folder, **{**header.model_dump(include=own), "ids": ids})
    lost = [name for name in ids if not synthesis.audio_path(name).is_file()]
    if lost:
        raise InputError(
            f"{len(lost)} of {counted(len(ids), 'wav')} missing: {listed(lost)}",
            path=folder,
            cause="files were moved or deleted",
            remedy="synthesise again",
        )
    return synthesis


def _describe(synthesis: Synthesis) -> Description:
    return Description(
        "resynthesised speech",
        {
            "voice": synthesis.voice,
            "method": synthesis.method,
            "inverter": short(synthesis.inverter_id),
            "units": short(synthesis.units_id),
            "corpus": short(synthesis.corpus_id),
            "speaker encoder": short(synthesis.speaker_encoder_id or ""),
            "wavs": f"{len(synthesis.ids)} at {synthesis.sample_rate} Hz: "
            f"{listed(list(synthesis.ids), FIRST)}",
        },
    )


FILE_KIND: FileKind[Synthesis] = FileKind(KIND, MARKER, read_synthesis, _describe)
