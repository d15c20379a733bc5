"""Speech through all it takes: a recording in another voice or language, units in many voices."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from zerochain import audio
from zerochain.corpora.build import CorpusWarning
from zerochain.corpora.channels import channel_of
from zerochain.corpora.measuring import of_channels
from zerochain.discovery.stage import encode
from zerochain.errors import InputError, listed
from zerochain.features.extraction import extract, options_of
from zerochain.formats.atomic import atomic_file, scratch
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus, Utterance, read_corpus, write_corpus
from zerochain.formats.identity import check_ids, check_same_ids, short
from zerochain.formats.units import UnitFile, read_units
from zerochain.inversion.speaking import Speaking, load_inverter, synthesize
from zerochain.inversion.waveform import NeuralInverter
from zerochain.progress import track
from zerochain.translation.source import SourceKind, too_long
from zerochain.translation.stage import translate as translate_files
from zerochain.translation.translator import Search, Translator

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
    channel: str = "mix",
    device: str = "cpu",
) -> Conversion:
    """Speak what is said in a recording with an inverter, into the WAV `out`.

    Args:
        inverter: its bundle.
        unit_model: the bundle of the unit model whose units it speaks.
        recording: of anybody, in any format that can be read.
        speaking: who is to speak, and how. A neural inverter takes the recording's own pitch,
            whatever `pitch_of` says.
        channel: of the recording: mix, left, right or a number counted from 1.

    Raises:
        ModelMismatchError: the inverter was trained on units of another unit model.
        InputError: as `synthesize`; a recording that can't be read; `out` is no WAV.
    """
    _check_name(out)
    begun, speaking = time.monotonic(), speaking or Speaking()
    neural = isinstance(load_inverter(inverter, device), NeuralInverter)
    with scratch() as place:
        corpus, units, wavs = (Path(place, name) for name in ("corpus", "units.parquet", "wavs"))
        _write_corpus(corpus, recording, channel)
        encode(unit_model, corpus, units, device=device)
        speaking = replace(speaking, pitch_of=corpus if neural else None)
        synthesize(inverter, units, wavs, speaking, device=device)
        duration_s = _handed_over(wavs, out)
    return Conversion(duration_s, time.monotonic() - begun)


@dataclass(frozen=True)
class Translation:
    """What a translation came to."""

    heard_s: float
    """Of the recording."""
    duration_s: float
    """Of the speech that was made."""
    seconds: Mapping[str, float]
    """Stage → what it took, with reading its models."""
    n_units: int
    """That are spoken."""
    is_still: bool
    """Nothing is to be heard in the recording: what was said is made up."""
    is_cut: bool
    """It was cut at the length limit, so likely a runaway."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of the recording."""
        return sum(self.seconds.values()) / self.heard_s


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

    Args:
        translator: its bundle.
        inverter: the bundle of an inverter of the translator's target units, trained with
            durations.
        recording: of anybody, in any format that can be read.
        speaking: who is to speak, and how; durations are always predicted.
        source_model: the bundle of the unit model whose units the translator listens to, where
            it listens to units.
        search: how units are found.
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
    known = Translator.load(translator)
    source = known.source
    _check_source(source, translator, source_model)
    seconds: dict[str, float] = {}
    with scratch() as place:
        corpus, heard, units, wavs = (Path(place, n) for n in ("corpus", "heard", "units", "wavs"))
        with _timed(seconds, "listening"):
            heard_s = _write_corpus(corpus, recording, channel)
            _check_length(heard_s, known.longest_s, recording)
            if source_model is not None:
                encode(source_model, corpus, heard, device=device)
            else:
                options = options_of(source.name, source.options, translator)
                extract(read_corpus(corpus), options, heard, device=device, jobs=1)
        with _timed(seconds, "translating"):
            done = translate_files(translator, heard, units, search=search, device=device)
        with _timed(seconds, "speaking"):
            synthesize(inverter, units, wavs, speaking, device=device)
        duration_s = _handed_over(wavs, out)
    n_units = len(done.unit_file.units[_NAME])
    return Translation(heard_s, duration_s, seconds, n_units, bool(done.silent), bool(done.cut))


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
    """Speak units in several voices and encode what is heard, to `out`/<voice>.parquet each.

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
            remedy="train an inverter of several voices: --all-voices, or --voice more than once",
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
    """Write a corpus of what a voice spoke; its name is the voice's."""
    utterances = tuple(
        Utterance(name, f"{name}.wav", audio.info(wavs / f"{name}.wav").duration_s, speaker=voice)
        for name in names
    )
    write_corpus(folder, Corpus(voice, utterances, audio_root=str(wavs.absolute())))


def _check_length(heard_s: float, longest_s: float, recording: Path) -> None:
    if too_long({_NAME: heard_s}, longest_s):
        raise InputError(
            f"lasts {heard_s:.1f} s, and the translator takes {longest_s:g} s at most",
            path=recording,
            remedy="cut it at pauses, or train a translator with a larger --longest",
        )


def _check_source(source: SourceKind, translator: Path, source_model: Path | None) -> None:
    """Refuse a unit model that the translator doesn't need, or that there is none."""
    if source.is_units and source_model is None:
        raise InputError(
            f"the translator takes units of unit model {short(source.name)}",
            path=translator,
            remedy="give that unit model with --source-model",
        )
    if not source.is_units and source_model is not None:
        raise InputError(
            f"the translator takes {source}, not units",
            path=translator,
            remedy="leave --source-model out",
        )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - begun


def _check_name(out: Path) -> None:
    if out.suffix.lower() != ".wav":
        raise InputError("is not called .wav", path=out, remedy="name it so: speech is written so")


def _handed_over(wavs: Path, out: Path) -> float:
    """Copy what was spoken to where it was asked for, and return how many seconds it lasts."""
    made = wavs / f"{_NAME}.wav"
    with atomic_file(out) as temporary:
        shutil.copyfile(made, temporary)
    return audio.info(made).duration_s


def _write_corpus(folder: Path, recording: Path, channel: str) -> float:
    """Write a corpus of one recording, and return how many seconds it lasts."""
    n_samples, part = 0, audio.Part(channel=channel_of(channel))
    for block in audio.blocks(recording, [part]):
        if block.error is not None:
            raise block.error
        n_samples += len(block.wave)
        for what in of_channels(block.levels) if block.levels else ():
            warnings.warn(f"{recording}: {what}", CorpusWarning, stacklevel=3)
    duration_s = n_samples / audio.SAMPLE_RATE
    utterance = Utterance(_NAME, recording.name, duration_s, speaker=_NAME, channel=part.channel)
    root = str(recording.absolute().parent)
    write_corpus(folder, Corpus(_NAME, (utterance,), audio_root=root))
    return duration_s
