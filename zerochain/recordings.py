"""One recording through a unit model and an inverter: its words in another voice or manner."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from zerochain import audio
from zerochain.discovery.stage import encode
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.inversion.neural import NeuralInverter
from zerochain.inversion.speaking import Speaking, load_inverter, synthesize

_NAME = "recording"  # of the one utterance, and of whoever speaks in it


@dataclass(frozen=True)
class Conversion:
    """What a conversion came to."""

    duration_s: float
    """Of the speech that was made."""
    seconds: float
    """That it took, with reading the models."""

    @property
    def real_time_factor(self) -> float:
        return self.seconds / self.duration_s


def convert(
    inverter: Path,
    unit_model: Path,
    recording: Path,
    out: Path,
    speaking: Speaking | None = None,
    *,
    device: str = "cpu",
) -> Conversion:
    """Speak what is said in a recording with an inverter, into the WAV `out`.

    Args:
        inverter: its bundle.
        unit_model: the bundle of the unit model whose units it speaks.
        recording: of anybody, in any format that can be read.
        speaking: who is to speak, and how. A neural inverter takes the recording's own pitch,
            whatever `pitch_of` says.

    Raises:
        ModelMismatchError: the inverter was trained on units of another unit model.
        InputError: as `synthesize`; a recording that can't be read; `out` is no WAV.
    """
    if out.suffix.lower() != ".wav":
        raise InputError("is not called .wav", path=out, remedy="name it so: speech is written so")
    begun, speaking = time.monotonic(), speaking or Speaking()
    neural = isinstance(load_inverter(inverter, device), NeuralInverter)
    with tempfile.TemporaryDirectory(prefix="zerochain-") as place:
        corpus, units, wavs = (Path(place, name) for name in ("corpus", "units.parquet", "wavs"))
        _write_corpus(corpus, recording)
        encode(unit_model, corpus, units, device=device)
        speaking = replace(speaking, pitch_of=corpus if neural else None)
        synthesize(inverter, units, wavs, speaking, device=device)
        made = wavs / f"{_NAME}.wav"
        duration_s = audio.info(made).duration_s
        with atomic_file(out) as temporary:
            shutil.copyfile(made, temporary)
    return Conversion(duration_s, time.monotonic() - begun)


def _write_corpus(folder: Path, recording: Path) -> None:
    duration_s = len(audio.read(recording)) / audio.SAMPLE_RATE
    utterance = Utterance(_NAME, recording.name, duration_s, speaker=_NAME)
    root = str(recording.absolute().parent)
    write_corpus(folder, Corpus(_NAME, (utterance,), audio_root=root))
