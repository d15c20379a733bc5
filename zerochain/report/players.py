"""What there is to hear of an utterance: the recording, and every resynthesis and conversion.

Each sound has a small mel spectrogram; those of one utterance share both axes, so that eyes can
compare them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import stft

from zerochain import audio
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.synthesis import Synthesis
from zerochain.modules.mel import mel_filters
from zerochain.report.run import Run

LONGEST_S = 10.0
_WINDOW, _HOP, _FFT, _N_MELS = 400, 160, 512, 80
_RANGE_DB, _FLOOR_DB = 65.0, -200.0
_LEVELS = 32  # 2 dB each: no eye sees finer, and PNG makes little of them
_NOTHING = _LEVELS  # the palette's entry for where a sound has ended


@dataclass(frozen=True)
class Player:
    """A sound to play and to see."""

    what: str
    """ "original", "resynthesis", or whose words in whose voice."""
    by: str
    """The speaker, or the inverter that spoke."""
    uri: str
    """Of a FLAC file, as data."""
    picture: str
    """Of a PNG file, as data: 10 ms a column, mel bands up to 8 kHz."""

    @property
    def caption(self) -> str:
        return f"{self.what}, {self.by}"

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        return len(self.uri) + len(self.picture)


def players(
    run: Run, corpus: Corpus, utterance: Utterance, recorded: audio.Waveform
) -> list[Player]:
    """The recording's start, then resyntheses in the speaker's voice, then conversions.

    Raises:
        InputError: a wav that can't be read.
    """
    there = [
        s
        for s in run.syntheses
        if utterance.id in s.ids and s.corpus_id == corpus.id and not s.is_translation
    ]
    there.sort(key=lambda s: s.voice != utterance.speaker)
    sounds = [("original", utterance.speaker or "unknown speaker", recorded)]
    sounds += [
        (_what(utterance, s), _inverter(run, s), start(s.audio_path(utterance.id))) for s in there
    ]
    return played(sounds)


Sound = tuple[str, str, audio.Waveform]
"""What it is, by whom, and its samples at 16 kHz."""


def played(sounds: Sequence[Sound]) -> list[Player]:
    """Players of sounds that are to be compared."""
    n_samples = max(len(wave) for *_, wave in sounds)
    return [
        Player(
            what,
            by,
            _data("audio/flac", audio.encoded(Path("sound.flac"), wave)),
            _data("image/png", mel_picture(wave, n_samples)),
        )
        for what, by, wave in sounds
    ]


def start(path: Path) -> audio.Waveform:
    """A sound file's samples, at most LONGEST_S seconds of them."""
    end = LONGEST_S if audio.info(path).duration_s > LONGEST_S else None
    return audio.read(path, end=end)


def mel_picture(wave: audio.Waveform, n_samples: int) -> bytes:
    """A mel spectrogram as a PNG file: 65 dB below the sound's own loudest moment.

    Args:
        wave: (n,), at 16 kHz.
        n_samples: what the picture's width stands for; it is clear beyond the sound's end.
    """
    from matplotlib import colormaps
    from PIL import Image

    padded = np.pad(wave, (0, max(0, _WINDOW - len(wave))))
    overlap = _WINDOW - _HOP
    spectrum = stft(padded, nperseg=_WINDOW, noverlap=overlap, nfft=_FFT, padded=False)[2]
    power = np.abs(spectrum.T) ** 2 @ mel_filters(_FFT, _N_MELS)
    level = 10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10)))
    shades = shade(level, _LEVELS)
    whole = np.full((1 + n_samples // _HOP, _N_MELS), _NOTHING, np.uint8)
    whole[: len(shades)] = shades[: len(whole)]
    image = Image.fromarray(np.ascontiguousarray(whole.T[::-1]))
    colours = colormaps["magma"](np.linspace(0, 1, _LEVELS), bytes=True)[:, :3]
    image.putpalette([*colours.ravel().tolist(), 0, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=_NOTHING, optimize=True)
    return buffer.getvalue()


def shade(level: NDArray[np.floating], n: int) -> NDArray[np.uint8]:
    """Levels in dB as shades 0 … n - 1, the last the loudest; silence is all 0."""
    top = max(float(level.max()), _FLOOR_DB + _RANGE_DB)
    shades = np.rint((1 + (level - top) / _RANGE_DB) * (n - 1))
    return np.asarray(np.clip(shades, 0, n - 1), np.uint8)


def _what(utterance: Utterance, synthesis: Synthesis) -> str:
    if utterance.speaker is None:
        return f"in {synthesis.voice}’s voice"
    if utterance.speaker == synthesis.voice:
        return "resynthesis"
    return f"{utterance.speaker}’s words in {synthesis.voice}’s voice"


def _inverter(run: Run, synthesis: Synthesis) -> str:
    """What spoke; with its folder where others are of the same method."""
    alike = [s.folder for s in _alike(run, synthesis)]
    folder = synthesis.folder
    is_named_alone = [f.name for f in alike].count(folder.name) == 1
    if len(alike) == 1 or (is_named_alone and folder.name == synthesis.method):
        return synthesis.method
    return f"{synthesis.method} ({folder.name if is_named_alone else run.shown(folder)})"


def _alike(run: Run, synthesis: Synthesis) -> Iterator[Synthesis]:
    for other in run.syntheses:
        if (other.method, other.corpus_id) == (synthesis.method, synthesis.corpus_id):
            yield other


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
