"""A corpus with changed recordings in which the same is said, to see whether units change too.

Noise, pitch, speed or reverberation, of an amount, with ids, speakers, splits and texts kept. Each
utterance has its own random generator, seeded by its id, so that it is changed in the same way
whichever split it is part of.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args
from zlib import crc32

import numpy as np
import scipy

from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_folder, check_replaceable
from zerochain.formats.corpus import MARKER, Corpus, Utterance, fill_corpus, read_corpus
from zerochain.formats.inside import resolved
from zerochain.formats.phones import PHONES_FILE, Phone, Phones, read_phones
from zerochain.kernels import allow_kernels_of
from zerochain.progress import track

Kind = Literal["noise", "pitch", "speed", "reverberation"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_AMOUNTS: dict[Kind, tuple[float, float, float, str]] = {
    "noise": (10.0, -20.0, 60.0, "dB of speech over pink noise"),
    "pitch": (2.0, 0.1, 12.0, "semitones"),
    "speed": (1.15, 1.01, 2.0, "times"),
    "reverberation": (0.5, 0.05, 3.0, "s"),
}
"""Kind → default amount, minimum, maximum, and its unit."""
_WET_DB = 0.0  # of the reverberation, relative to the direct sound


@dataclass(frozen=True)
class Change:
    """A kind of change and how much of it; a corpus's record keeps it."""

    kind: Kind
    amount: float

    @classmethod
    def of(cls, kind: Kind, amount: float | None = None) -> Change:
        """A change by an amount, or by the default amount.

        Raises:
            InputError: an amount out of range.
        """
        usual, least, most, what = _AMOUNTS[kind]
        asked = usual if amount is None else amount
        if not least <= asked <= most:
            raise InputError(f"{asked:g} {what} asked for", remedy=f"ask for {least:g} to {most:g}")
        return cls(kind, asked)

    def __str__(self) -> str:
        match self.kind:
            case "noise":
                return f"pink noise, SNR {self.amount:g} dB"
            case "pitch":
                return f"{self.amount:g} semitones up or down"
            case "speed":
                return f"{self.amount:g} times as fast or as slow"
            case "reverberation":
                return f"a room with RT60 {self.amount:g} s"

    def apply(self, wave: audio.Waveform, rng: np.random.Generator) -> audio.Waveform:
        """A changed recording at 16 kHz; up or down, faster or slower is drawn at random.

        All changes except speed keep its length and timing.
        """
        up = bool(rng.integers(2))
        match self.kind:
            case "noise":
                changed = wave + _pink(wave, self.amount, rng)
            case "pitch":
                changed = _shifted(wave, self.amount if up else -self.amount)
            case "speed":
                changed = _stretched(wave, self.amount if up else 1 / self.amount)
            case "reverberation":
                changed = _in_a_room(wave, self.amount, rng)
        return np.asarray(changed, np.float32)

    def time_scale(self, rng: np.random.Generator) -> float:
        """How much longer `apply` makes a recording with a generator in the same state."""
        if self.kind != "speed":
            return 1.0
        return 1 / self.amount if rng.integers(2) else self.amount


def _pink(wave: audio.Waveform, snr_db: float, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Noise whose power falls with frequency, at this SNR over the whole recording."""
    spectrum = np.fft.rfft(rng.standard_normal(len(wave)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, len(wave)) if len(wave) > 1 else rng.standard_normal(1)
    level = np.sqrt(np.mean(wave**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return np.asarray(noise * level)


def _shifted(wave: audio.Waveform, semitones: float) -> np.ndarray[Any, Any]:
    return np.asarray(
        _librosa_effects().pitch_shift(_long_enough(wave), sr=audio.SAMPLE_RATE, n_steps=semitones)
    )[: len(wave)]


def _stretched(wave: audio.Waveform, rate: float) -> np.ndarray[Any, Any]:
    """The recording at `rate` times its speed and the same pitch."""
    n = max(1, round(len(wave) / rate))
    return np.asarray(_librosa_effects().time_stretch(_long_enough(wave), rate=rate))[:n]


def _librosa_effects() -> Any:
    allow_kernels_of("librosa")
    import librosa.effects  # a second, and two of the four changes do without it

    return librosa.effects


def _long_enough(wave: audio.Waveform) -> audio.Waveform:
    """At least as long as the phase vocoder's window."""
    return np.pad(wave, (0, max(0, 2048 - len(wave))))


def _in_a_room(
    wave: audio.Waveform, rt60_s: float, rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Direct sound plus equally loud noise that decays by 60 dB in `rt60_s`, at the same level."""
    time = np.arange(round(rt60_s * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60_s)
    tail[0] = 0.0
    tail *= 10 ** (_WET_DB / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    reverberant = scipy.signal.fftconvolve(wave, tail)[: len(wave)]
    power = np.mean(reverberant**2)
    return np.asarray(reverberant * np.sqrt(np.mean(wave**2) / power) if power > 0 else reverberant)


def change_corpus(
    corpus: Path, out: Path, change: Change, *, split: str | None = None, seed: int = 0
) -> Corpus:
    """Write a corpus with the same ids, every recording changed, as 16 kHz FLAC in `out`/audio.

    Its record says what was changed in which corpus. Gold phones come along, at their new times.

    Args:
        split: only this split.

    Raises:
        InputError: no such corpus or split, a recording that can't be read, or `out` is
            a folder that zerochain didn't make, or the corpus itself.
    """
    whole = read_corpus(corpus)
    part = whole.select(split=split)
    if any(resolved(path).is_relative_to(resolved(out)) for path in (corpus, _root(whole))):
        raise InputError(
            "would replace the corpus or its recordings", path=out, remedy="choose another path"
        )
    check_replaceable(resolved(out), MARKER)
    record = {"change": asdict(change), "of_corpus": whole.id, "seed": seed}
    with atomic_folder(out, MARKER) as temporary:
        recordings = zip(part.utterances, part.waves(), strict=True)
        made = [
            _changed(u, wave, change, _generator(seed, u.id), temporary)
            for u, wave in track(recordings, "Changing recordings", len(part.utterances))
        ]
        fill_corpus(
            temporary,
            replace(
                whole,
                name=f"{whole.name}, {change}",
                utterances=tuple(made),
                audio_root="audio",
                record=record,
                folder=None,
            ),
            _phones(whole, part, change, seed),
        )
    return read_corpus(out)


def _root(corpus: Corpus) -> Path:
    return corpus.home / corpus.audio_root  # which is the latter where that is absolute


def _generator(seed: int, name: str) -> np.random.Generator:
    """An utterance's own generator, whichever split it is changed with."""
    return np.random.default_rng([seed, crc32(name.encode())])


def _changed(
    utterance: Utterance,
    wave: audio.Waveform,
    change: Change,
    rng: np.random.Generator,
    folder: Path,
) -> Utterance:
    changed = change.apply(wave, rng)
    name = f"{utterance.id}.flac"
    path = folder / "audio" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(audio.encoded(path, changed))
    duration = len(changed) / audio.SAMPLE_RATE
    return replace(utterance, audio=name, start=None, end=None, channel=None, duration=duration)


def _phones(whole: Corpus, part: Corpus, change: Change, seed: int) -> Phones | None:
    path = whole.home / PHONES_FILE
    if not path.is_file():
        return None
    phones = read_phones(path)
    scales = {name: change.time_scale(_generator(seed, name)) for name in part.ids}
    scaled = {
        name: [Phone(p.onset * scales[name], p.offset * scales[name], p.phone) for p in line]
        for name, line in phones.by_id.items()
        if name in scales
    }
    return Phones(scaled, phones.source)
