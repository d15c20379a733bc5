"""Speech through all it takes: a recording in another voice or language, units in many voices.

Stages meet in files; inside this process they meet in arrays. One recording is read once, and so is
each model.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zerochain import audio
from zerochain.corpora.measuring import SILENT, of_channels
from zerochain.corpora.sounds import channel_of
from zerochain.discovery.model import UnitModel
from zerochain.discovery.stage import (
    Needed,
    encode,
    features_in_memory,
    load_unit_model,
    needed_options,
)
from zerochain.errors import InputError, listed
from zerochain.features.extraction import options_of
from zerochain.features.f0 import F0Statistics
from zerochain.formats.atomic import scratch
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance, write_corpus
from zerochain.formats.features import Features
from zerochain.formats.identity import check_ids, check_same_ids, short
from zerochain.formats.units import UnitFile, read_units
from zerochain.inversion.inverter import Inverter
from zerochain.inversion.speaking import Pitch, Speaking, load_inverter, ready, speech, synthesize
from zerochain.inversion.voices import F0
from zerochain.progress import track
from zerochain.translation.data import SourceKind, too_long
from zerochain.translation.stage import translate_in_memory
from zerochain.translation.translator import Search, Translator

_NAME = "recording"  # of the one utterance, and of its speaker


@dataclass(frozen=True)
class Conversion:
    """What a conversion made, and how fast."""

    duration_s: float
    """Of the speech that was made."""
    seconds: float
    """That it took, with reading the models."""
    is_silent: bool
    """The recording is silent, so what is spoken is hallucinated."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of speech."""
        return self.seconds / self.duration_s


def convert(
    inverter: Path,
    unit_model: Path,
    recording: Path,
    out: Path,
    speaking: Speaking | None = None,
    *,
    channel: str = "mix",
    device: str = "cpu",
) -> Conversion:
    """Speak a recording's units with an inverter, into the WAV `out`.

    The same samples as `encode` and `synthesize` make of a corpus of that recording, without files
    between.

    Args:
        inverter: its bundle.
        unit_model: the bundle of the unit model whose units it speaks.
        recording: of anybody, in any format that can be read.
        speaking: the voice, and how it speaks. A neural inverter takes the recording's own pitch,
            whatever `pitch_of` is.
        channel: of the recording: mix, left, right or a number counted from 1.

    Raises:
        ModelMismatchError: the inverter was trained on units of another unit model.
        InputError: as `synthesize`; a recording that can't be read; `out` is no WAV.
    """
    _check_name(out)
    begun, speaking = time.monotonic(), speaking or Speaking()
    model, fitted = load_inverter(inverter, device), load_unit_model(unit_model, device)
    model, voice = ready(
        model, replace(speaking, pitch_of=None), device, has_recordings=model.has_pitch
    )
    wave = _read(recording, channel)
    units = _encoded(fitted, unit_model, wave, device)
    units.check_model(model.unit_model, "inverter")
    pitch = _pitch(wave) if model.has_pitch else None
    chunks = speech(model, units.steps(_NAME), voice, speaking, pitch, _NAME)
    duration_s = _written(out, chunks)
    is_silent = float(np.abs(wave).max()) < SILENT
    return Conversion(duration_s, time.monotonic() - begun, is_silent)


@dataclass(frozen=True)
class Translation:
    """What a translation made, and how fast."""

    source_s: float
    """Duration of the recording."""
    duration_s: float
    """Of the speech that was made."""
    seconds: Mapping[str, float]
    """Stage → what it took, with reading its models."""
    n_units: int
    """That are spoken."""
    is_silent: bool
    """The recording is silent, so its translation is hallucinated."""
    is_cut: bool
    """It was cut at the length limit: decoding did not come to an end."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of the recording."""
        return sum(self.seconds.values()) / self.source_s


def translate(
    translator: Path,
    inverter: Path,
    recording: Path,
    out: Path,
    speaking: Speaking | None = None,
    *,
    source_model: Path | None = None,
    search: Search | None = None,
    channel: str = "mix",
    device: str = "cpu",
) -> Translation:
    """Speak the translation of a recording with an inverter, into the WAV `out`.

    The same units and samples as the commands make of a corpus of that recording, without files
    between.

    Args:
        translator: its bundle.
        inverter: the bundle of an inverter of the translator's target units, trained with
            durations.
        recording: of anybody, in any format that can be read.
        speaking: the voice, and how it speaks; durations are always predicted.
        source_model: the bundle of the unit model whose units the translator takes, where it
            takes units.
        search: how units are decoded.
        channel: of the recording: mix, left, right or a number counted from 1.

    Raises:
        ModelMismatchError: the inverter or the source model is of other units than the
            translator.
        InputError: no source model where one is needed or the reverse; a recording that can't be
            read or is too long; `out` is no WAV.
    """
    _check_name(out)
    speaking = speaking or Speaking()
    speaking = replace(speaking, manner=replace(speaking.manner, durations="predicted"))
    seconds: dict[str, float] = {}
    with _timed(seconds, "encoding"):
        model = Translator.load(translator, device)
        _check_source(model.source, translator, source_model)
        wave = _read(recording, channel)
        source_s = len(wave) / audio.SAMPLE_RATE
        _check_length(source_s, model.longest_s, recording)
        if source_model is not None:
            unit_model = load_unit_model(source_model, device)
            given: Features | UnitFile = _encoded(unit_model, source_model, wave, device)
        else:
            options = options_of(model.source.name, model.source.options, translator)
            given = _features(wave, options, device)
    with _timed(seconds, "translating"):
        done = translate_in_memory(model, given, search=search)
        units = done.unit_file.units[_NAME]
    with _timed(seconds, "speaking"):
        speaker = load_inverter(inverter, device)
        _check_units(speaker, model)
        speaker, voice = ready(speaker, speaking, device)
        duration_s = _written(out, speech(speaker, units, voice, speaking))
    return Translation(
        source_s,
        duration_s,
        seconds,
        n_units=len(units),
        is_silent=bool(done.silent),
        is_cut=bool(done.cut),
    )


def respeak(
    inverter: Path,
    unit_model: Path,
    units: Path,
    out: Path,
    voices: Sequence[str] = (),
    *,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, UnitFile]:
    """Speak units in several voices and encode the speech, to `out`/<voice>.parquet each.

    What differs between the files differs by voice alone: a normaliser of units learns from them.

    Args:
        inverter: its bundle, of several voices.
        unit_model: the bundle of the unit model whose units they are.
        voices: at least two; none are all that the inverter has.

    Returns:
        Voice → its units.

    Raises:
        ModelMismatchError: the units are not of the unit model, or not the inverter's.
        InputError: fewer than two voices, one that the inverter lacks, or one twice.
    """
    read_units(units).check_model(bundle_id(unit_model), "unit model")
    known = load_inverter(inverter, device).voices
    chosen = list(voices or known)
    check_same_ids(chosen, known, "voices asked for", f"inverter {inverter}")
    check_ids(chosen, inverter, "voices")
    if len(chosen) < 2:
        raise InputError(
            f"{listed(chosen)} is the only voice",
            path=inverter,
            remedy="train an inverter of several voices: all, or several by name",
        )
    made = {}
    for voice in track(chosen, "Speaking"):
        with scratch() as place:
            wavs, corpus = Path(place, "wavs"), Path(place, "corpus")
            names = synthesize(inverter, units, wavs, Speaking(voice, seed=seed), device=device)
            _write_spoken(corpus, wavs, names, voice)
            file = out / f"{voice}.parquet"
            made[voice] = encode(unit_model, corpus, file, device=device, jobs=1)
    return made


def _write_spoken(folder: Path, wavs: Path, names: Sequence[str], voice: str) -> None:
    """Write a corpus of synthesised speech; its name is the voice's."""
    utterances = tuple(
        Utterance(name, f"{name}.wav", audio.info(wavs / f"{name}.wav").duration_s, speaker=voice)
        for name in names
    )
    write_corpus(folder, Corpus(voice, utterances, audio_root=str(wavs.absolute())))


def _check_length(source_s: float, longest_s: float, recording: Path) -> None:
    if too_long({_NAME: source_s}, longest_s):
        raise InputError(
            f"lasts {source_s:.1f} s, and the translator takes {longest_s:g} s at most",
            path=recording,
            remedy="cut it at pauses, or train a translator that takes more: "
            "'zerochain translate train … --longest SECONDS'",
        )


def _check_source(source: SourceKind, translator: Path, source_model: Path | None) -> None:
    """Refuse a unit model that the translator doesn't need, or that there is none."""
    if source.is_units and source_model is None:
        raise InputError(
            f"the translator takes units of unit model {short(source.name)}",
            path=translator,
            remedy="give that unit model with source_model=",
        )
    if not source.is_units and source_model is not None:
        raise InputError(
            f"the translator takes {source}, not units",
            path=translator,
            remedy="leave source_model= out",
        )


def _check_units(inverter: Inverter, translator: Translator) -> None:
    made = UnitFile({}, inverter.n_units, translator.step_ms, translator.unit_model, "translated")
    made.check_model(inverter.unit_model, "inverter")


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - begun


def _check_name(out: Path) -> None:
    if out.suffix.lower() != ".wav":
        raise InputError(
            "is not called .wav", path=out, remedy="name it so: speech is written as WAV"
        )


def _read(recording: Path, channel: str) -> audio.Waveform:
    """The samples of a recording, mono at 16 kHz; warns of channels that shouldn't be mixed."""
    part = audio.Part(channel=channel_of(channel))
    waves = []
    for block in audio.blocks(recording, [part]):
        if block.error is not None:
            raise block.error
        waves.append(block.wave)
        for what in of_channels(block.levels) if block.levels else ():
            warnings.warn(f"{recording}: {what}", CorpusWarning, stacklevel=3)
    return np.concatenate(waves)


def _encoded(model: UnitModel, folder: Path, wave: audio.Waveform, device: str) -> UnitFile:
    """The units of one recording."""
    options = needed_options(model, folder)
    return model.encode(_features(wave, options, device))


def _features(wave: audio.Waveform, options: Needed, device: str) -> Features:
    return features_in_memory({_NAME: wave}, options, speakers={_NAME: _NAME}, device=device)


def _pitch(wave: audio.Waveform) -> Pitch:
    """F0 of the recording, and its statistics as its speaker's."""
    contour = _features(wave, F0, "cpu")[_NAME][:, 0]
    return Pitch({_NAME: contour}, {_NAME: F0Statistics.of([contour])})


def _written(out: Path, chunks: Iterable[audio.Waveform]) -> float:
    """Write a WAV, and return how many seconds it lasts."""
    n_samples = 0

    def counted_chunks() -> Iterator[audio.Waveform]:
        nonlocal n_samples
        for chunk in chunks:
            n_samples += len(chunk)
            yield chunk

    audio.write_chunks(out, counted_chunks())
    return n_samples / audio.SAMPLE_RATE
