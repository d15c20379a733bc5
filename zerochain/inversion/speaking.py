"""Synthesis: speak units in any voice, at any pitch and rate, with any inverter.

`synthesize` speaks a whole unit file; `speech` speaks one utterance with a model at hand. Voice
conversion after Polyak et al. (2021) is a recording's own units and pitch in another voice: pitch
is moved by the mean and deviation of log F0, exactly or through F0 units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.errors import InputError, ModelMismatchError
from zerochain.features.f0 import Contour, F0Statistics, track_f0
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.synthesis import MARKER, Synthesis, write_synthesis
from zerochain.formats.units import UnitFile, read_units, run_lengths
from zerochain.inversion.inverter import Inverter, NeuralInverter, SpectralInverter
from zerochain.inversion.pitch import F0Quantizer, resampled
from zerochain.inversion.prosody import whole_steps
from zerochain.inversion.voices import F0, Voice, read_contours
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.progress import track

if TYPE_CHECKING:
    from zerochain.inversion.phase import Phase


@dataclass(frozen=True)
class Manner:
    """Changes to how units are spoken; the default changes nothing."""

    semitones: float = 0.0
    """By how much the voice is raised."""
    flatten: bool = False
    """One pitch throughout: the voice's mean."""
    rate: float = 1.0
    """Above 1 is faster."""
    durations: Literal["given", "predicted"] = "given"
    """Whether units last as long as in their file, or, repeats merged, as the inverter predicts."""
    pitch: Literal["units", "exact"] = "units"
    """Whether a recording's pitch goes through F0 units, or is copied, moved to the voice."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: a rate that isn't positive, or more than five octaves.
        """
        if not 0 < self.rate < math.inf:
            raise InputError(f"rate={self.rate} is not positive", remedy="1.2 is faster")
        if not abs(self.semitones) <= 60:
            raise InputError(
                f"semitones={self.semitones} is more than five octaves", remedy="12 is an octave"
            )

    @property
    def changes_pitch(self) -> bool:
        return self.flatten or self.semitones != 0

    def of_pitch(self, f0: Contour, statistics: F0Statistics) -> Contour:
        """F0 in Hz (T,), 0 where unvoiced, changed as asked."""
        voiced = f0 > 0
        hz = np.where(voiced, math.exp(statistics.log_mean), 0) if self.flatten else f0
        return (hz * 2 ** (self.semitones / 12)).astype(np.float32)


def at_rate(steps: NDArray[np.int32], rate: float) -> NDArray[np.int32]:
    """The unit of each step, faster: every run of a unit is shortened, none to less than a step.

    Args:
        steps: (N,).
        rate: above 1 is faster.
    """
    if rate == 1:
        return steps
    units, durations = run_lengths(steps)
    return np.repeat(units, whole_steps(durations.astype(np.float64), len(steps) / rate))


def aligned(old: NDArray[np.int32], new: NDArray[np.int32]) -> NDArray[np.float64]:
    """For each of `new`'s steps, where in `old` it comes from, where runs were stretched.

    Both have the same runs: so a contour follows its units, however unevenly they were rounded.
    """
    _, before = run_lengths(old)
    _, after = run_lengths(new)
    starts = np.cumsum(before) - before
    place = np.arange(len(new)) - np.repeat(np.cumsum(after) - after, after)
    stretch = np.repeat(before / after, after)
    return np.asarray(np.repeat(starts, after) + place * stretch, np.float64)


def moved(
    f0: Contour,
    step_ms: float,
    speaker: F0Statistics,
    voice: Voice,
    quantizer: F0Quantizer | None,
    places_ms: NDArray[np.float64],
) -> Contour:
    """A recording's F0 in another voice, at given times.

    Args:
        f0: Hz (T,) of the recording, 0 where unvoiced.
        step_ms: of a frame of it.
        speaker: statistics of its speaker.
        quantizer: F0 goes through its units; None: it is copied.
        places_ms: (N,) ascending times in the recording.

    Returns:
        Hz (N,), 0 where unvoiced.
    """
    if quantizer is None:
        here = voice.statistics.restored(speaker.normalised(f0), f0 > 0)
    else:
        n_frames = math.ceil(len(f0) * step_ms / quantizer.step_ms)
        fine = resampled(f0, step_ms, quantizer.step_ms, n_frames)
        units = quantizer.units(fine, speaker)
        here, step_ms = quantizer.contour(units, voice.statistics, n_frames), quantizer.step_ms
    frames = np.minimum((places_ms / step_ms).round().astype(np.int64), len(here) - 1)
    return np.asarray(here[frames], np.float32)


@dataclass(frozen=True)
class Speaking:
    """The voice, and how it speaks.

    Attributes:
        voice: None if the inverter has only one.
        like, speakers: a recording of the voice to take instead, and the bundle of the speaker
            encoder that the inverter was trained with.
        pitch_of: the corpus of recordings whose pitch is taken, with the units' ids; None: the
            inverter chooses a pitch that fits the units.
        phase: of an inverter that predicts spectrograms; None takes its own.
        seed: of random phases or noise.
    """

    voice: str | None = None
    like: Path | None = None
    speakers: Path | None = None
    pitch_of: Path | None = None
    manner: Manner = field(default_factory=Manner)
    phase: Phase | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Pitch:
    """F0 of recordings, and of their speakers."""

    contours: Mapping[str, Contour]
    """Utterance → Hz (T,) every 5 ms, 0 where unvoiced."""
    speakers: Mapping[str, F0Statistics]
    """Utterance → its speaker's."""


INVERTERS = (SpectralInverter, NeuralInverter)
"""Every kind of them: what `Inverter.load` knows is what was imported."""


def load_inverter(folder: Path, device: str = "cpu") -> Inverter:
    """An inverter of any kind.

    Raises:
        InputError: not a bundle of an inverter.
    """
    return Inverter.load(folder, device)


def synthesize(
    inverter: Path, units: Path, out: Path, speaking: Speaking | None = None, *, device: str = "cpu"
) -> list[str]:
    """Speak every utterance of a unit file into `out`/<id>.wav, beside a synthesis.json.

    Returns:
        The ids.

    Raises:
        ModelMismatchError: the units are of another unit model than the inverter's, or the
            speaker encoder is another one.
        InputError: no such voice; a pitch for an inverter that has none of its own; recordings
            without the units' ids.
    """
    speaking = speaking or Speaking()
    model, unit_file = load_inverter(inverter, device), read_units(units)
    unit_file.check_model(model.unit_model, "inverter")
    model, voice = ready(model, speaking, device)
    pitch = None if speaking.pitch_of is None else _pitch(speaking.pitch_of, unit_file)
    with atomic_folder(out, MARKER) as folder:
        for name in track(unit_file.ids, "Synthesising"):
            chunks = speech(model, unit_file.steps(name), voice, speaking, pitch, name)
            audio.write_chunks(folder / f"{name}.wav", chunks)
        synthesis = Synthesis(
            inverter_id=model.id,
            method=model.method,
            units_id=unit_file.id,
            unit_method=unit_file.method,
            corpus_id=unit_file.corpus_id,
            voice=voice.name,
            sample_rate=audio.SAMPLE_RATE,
            step_ms=unit_file.step_ms,
            ids=tuple(unit_file.ids),
            folder=folder,
            speaker_encoder_id=model.speaker_encoder_id or None,
        )
        write_synthesis(synthesis)
    return unit_file.ids


def ready(
    model: Inverter, speaking: Speaking, device: str, *, has_recordings: bool = False
) -> tuple[Inverter, Voice]:
    """An inverter that can speak as asked, and its voice.

    Args:
        has_recordings: pitch is taken from recordings, whatever `speaking.pitch_of` is.

    Raises:
        InputError, ModelMismatchError: as `synthesize`.
    """
    takes_pitch = has_recordings or speaking.pitch_of is not None
    if takes_pitch or speaking.manner.changes_pitch or speaking.manner.pitch == "exact":
        model.check_pitch()
    if speaking.manner.pitch == "exact" and not takes_pitch:
        raise InputError(
            "there is no pitch to copy exactly: the inverter predicts one that fits the units",
            remedy="give the recordings with pitch_of=, or leave pitch='exact' out",
        )
    if speaking.phase is not None:
        model = model.with_phase(speaking.phase)
    return model, _voice(model, speaking, device)


def speech(
    model: Inverter,
    steps: NDArray[np.int32],
    voice: Voice,
    speaking: Speaking,
    pitch: Pitch | None = None,
    name: str = "",
) -> Iterator[Waveform]:
    """One utterance, in chunks.

    Args:
        steps: the unit of each step (N,), as its file has them.
        pitch: where it is taken from recordings.
        name: of the utterance among them.
    """
    manner, given = speaking.manner, steps
    if manner.durations == "predicted":
        units, _ = run_lengths(steps)
        steps = np.repeat(units, model.durations(units, voice))
    # Frames are stretched rather than steps, of which few units have more than one.
    frames = np.repeat(steps, model.frames_per_step)
    spoken = at_rate(frames, manner.rate)
    if not model.has_pitch:
        return model.stream(spoken, voice, seed=speaking.seed)
    if pitch is None:
        places = aligned(frames, spoken).round().astype(np.int64)
        f0 = model.f0_of(steps, voice)[np.minimum(places, len(frames) - 1)]
    else:
        f0 = moved(
            pitch.contours[name],
            F0.step_ms,
            pitch.speakers[name],
            voice,
            model.pitch_quantizer if manner.pitch == "units" else None,
            aligned(np.repeat(given, model.frames_per_step), spoken) * model.frame_ms,
        )
    return model.stream(spoken, voice, manner.of_pitch(f0, voice.statistics), speaking.seed)


def _voice(model: Inverter, speaking: Speaking, device: str) -> Voice:
    like, speakers = speaking.like, speaking.speakers
    if like is None and speakers is None:
        return model.voice(speaking.voice)
    if like is None or speakers is None or speaking.voice is not None:
        raise InputError(
            "like= requires speakers=, and excludes voice=",
            remedy="give like=RECORDING and speakers=BUNDLE, or voice=NAME",
        )
    model.check_n_reference()
    encoder = SpeakerEncoder.load(speakers, device)
    if encoder.id != model.speaker_encoder_id:
        raise ModelMismatchError(
            f"the speaker encoder is {short(encoder.id)}, but the inverter was trained "
            f"with {short(model.speaker_encoder_id)}",
            cause="the encoder was trained again, or is another one",
            remedy="give the one that the inverter was trained with",
        )
    wave = audio.read(like)
    vector = encoder.embed(wave, like)
    return Voice(f"like {like.name}", vector, F0Statistics.of([track_f0(wave, F0)]))


def _pitch(corpus: Path, unit_file: UnitFile) -> Pitch:
    """F0 of the recordings of a unit file; a speaker's statistics are of all recordings there."""
    whole = read_corpus(corpus)
    check_same_ids(unit_file.ids, whole.ids, "unit file", f"corpus {whole.name}")
    speakers = {u.id: u.speaker for u in whole.utterances}
    wanted = {speakers[name] for name in unit_file.ids}
    part = whole.restrict(
        [i for i, s in speakers.items() if s in wanted and (s is not None or i in unit_file.units)]
    )
    unit_file.check_durations({u.id: u.duration for u in part.utterances}, f"corpus {whole.name}")
    contours = read_contours(part)
    statistics = {
        speaker: F0Statistics.of(contours[i] for i in part.ids if speakers[i] == speaker)
        for speaker in wanted
        if speaker is not None
    }
    return Pitch(
        contours,
        {
            name: F0Statistics.of([contours[name]]) if speaker is None else statistics[speaker]
            for name in unit_file.ids
            for speaker in [speakers[name]]
        },
    )
