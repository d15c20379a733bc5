"""What inverters are trained on: the units and recordings of voices, checked to belong together.

`Material` is what every inverter needs; `VoiceData` is the recordings and units of those that
predict spectrograms. Their utterances stand one after the other with padding between them
(`timeline`), from which training takes random crops.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.errors import InputError, listed
from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.corpus import Corpus, CorpusWarning, read_corpus
from zerochain.formats.identity import check_same_ids, same_name
from zerochain.formats.units import UnitFile, read_units
from zerochain.inversion.phase import SpectrogramOptions, hop_of
from zerochain.inversion.voices import Voice, read_contours, reference_vectors, statistics_of
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.modules.code2spec import REACH
from zerochain.progress import track
from zerochain.training.crops import Batch, Crops, bounds_of
from zerochain.training.recipe import validation_ids

FRAME_MS = 10.0
CROPS_PER_BATCH, LONG_CROP = 8, 512
"""Of everything once, as for validation."""
_SAMPLE_S = 5.0
_SLACK_STEPS = 1  # the last unit may reach beyond the recording's end


@dataclass(frozen=True, eq=False)
class Material:
    """Units, recordings and pitch of the voices that an inverter is trained on.

    Attributes:
        corpus: the voices' utterances.
        corpus_id: of the whole corpus that they are from.
        names: of the voices, in the order of their numbers.
        numbers: utterance → its voice's number.
        encoder: by whose vectors the voices are known; None: they are numbers alone.

    Recordings are read when what they are needed for is, so that settings that don't fit together
    are refused before.
    """

    units: UnitFile
    corpus: Corpus
    corpus_id: str
    names: tuple[str, ...]
    numbers: Mapping[str, int]
    encoder: SpeakerEncoder | None

    @classmethod
    def read(
        cls,
        units: Path,
        corpus: Path,
        voices: Sequence[str] | None,
        speakers: Path | None,
        split: str | None,
        device: str,
    ) -> Material:
        """Read and check them; the arguments are those of `train_inverter`.

        Raises:
            InputError: no such voice, units of another corpus, or a speaker encoder for one voice.
        """
        unit_file, whole = read_units(units), read_corpus(corpus)
        names = chosen_voices(whole, voices)
        check_several(names, speakers)
        part = spoken_by(whole, names, split)
        what = f"voice {names[0]}" if len(names) == 1 else f"{len(names)} voices"
        check_same_ids(part.ids, unit_file.ids, what, f"unit file {units}")
        if note := whole.note_on(unit_file.corpus_id, "units"):
            warnings.warn(note, CorpusWarning, stacklevel=3)
        return cls(
            units=unit_file,
            corpus=part,
            corpus_id=whole.id,
            names=names,
            numbers={u.id: names.index(str(u.speaker)) for u in part.utterances},
            encoder=None if speakers is None else SpeakerEncoder.load(speakers, device),
        )

    @cached_property
    def contours(self) -> Mapping[str, Contour]:
        """Utterance → F0 in Hz (T,) every 5 ms, 0 where unvoiced."""
        return read_contours(self.corpus)

    @cached_property
    def statistics(self) -> Sequence[F0Statistics]:
        """Of the F0 of each voice."""
        return statistics_of(self.contours, self.numbers, len(self.names))

    @cached_property
    def references(self) -> NDArray[np.float32] | None:
        """The speaker encoder's vector of each voice, (n_voices, E); None without one."""
        if self.encoder is None:
            return None
        return reference_vectors(self.corpus, self.names, self.encoder)

    @property
    def n_reference(self) -> int:
        """E; 0 where voices are numbers alone."""
        return 0 if self.encoder is None else self.encoder.dim

    @property
    def speaker_encoder_id(self) -> str:
        """Of its bundle; "" without one."""
        return "" if self.encoder is None else self.encoder.id

    @property
    def trained_on(self) -> dict[str, str]:
        """Name → id of what a bundle is trained on."""
        known = {"speakers": self.speaker_encoder_id} if self.speaker_encoder_id else {}
        return {"units": self.units.id, "corpus": self.corpus_id, **known}

    @property
    def fields(self) -> dict[str, Any]:
        """What a bundle of an inverter keeps of it."""
        return {
            "unit_model": self.units.model_id,
            "n_units": self.units.n_units,
            "step_ms": self.units.step_ms,
            "voices": self.names,
            "speaker_encoder_id": self.speaker_encoder_id,
            "trained_on": self.trained_on,
        }

    @property
    def report(self) -> dict[str, Any]:
        """How much it is."""
        return {
            "n_utterances": len(self.corpus.utterances),
            "minutes": self.corpus.duration / 60,
        }

    def voice(self, number: int) -> Voice:
        """One of the voices."""
        return Voice(self.names[number], number, self.statistics[number])

    def recordings(self) -> Iterator[tuple[str, NDArray[np.int32], Waveform]]:
        """Id, the unit of each step, and samples of each utterance, one after the other."""
        waves = zip(self.corpus.utterances, self.corpus.waves(), strict=True)
        for u, wave in track(waves, "Reading recordings", len(self.corpus.utterances)):
            yield u.id, self.units.steps(u.id), wave

    def sample(self) -> tuple[NDArray[np.int32], str]:
        """Units of an utterance that training never saw, at most 5 s (N,), and its voice."""
        name = min(validation_ids(self.corpus.ids))
        n_steps = max(1, round(_SAMPLE_S * 1000 / self.units.step_ms))
        return self.units.steps(name)[:n_steps], self.names[self.numbers[name]]


def chosen_voices(corpus: Corpus, voices: Sequence[str] | None) -> tuple[str, ...]:
    """The voices asked for, each once; all if None; the only one there is if none is named.

    Raises:
        InputError: none was asked for and the corpus has several; one isn't there; or the
            corpus has no known speakers.
    """
    known = corpus.speakers
    if not known:
        raise InputError(
            f"corpus {corpus.name!r} has no known speaker, so no voice to train",
            path=corpus.folder,
            remedy="import it again with its speakers ('zerochain import folder … "
            "--speaker-from', or a table)",
        )
    if voices is None:
        return tuple(known)
    if not voices and len(known) != 1:
        raise InputError(
            f"corpus {corpus.name!r} has {len(known)} known speakers: {listed(known)}",
            remedy="choose the target voice with voices=SPEAKER, or all of them",
        )
    voices = [next((name for name in known if same_name(name, v)), v) for v in voices]
    unknown = sorted(set(voices) - set(known))
    if unknown:
        raise InputError(
            f"corpus {corpus.name!r} has no speaker {listed(unknown)}; speakers: {listed(known)}",
            remedy="choose one of those",
        )
    return tuple(sorted(set(voices))) or tuple(known)


def spoken_by(corpus: Corpus, voices: Sequence[str], split: str | None) -> Corpus:
    """The utterances of these voices in a split.

    Raises:
        InputError: a voice has none; the message lists splits and speakers.
    """
    ids = [i for v in voices for i in corpus.select(split=split, speaker=v).ids]
    return corpus.restrict(ids)


def check_several(voices: Sequence[str], speakers: Path | None) -> None:
    """Raise InputError if a speaker encoder is given to tell a single voice apart."""
    if speakers is not None and len(voices) == 1:
        raise InputError(
            f"voice {voices[0]!r} alone needs no speaker encoder to tell voices apart",
            remedy="choose more voices, or leave speakers= out",
        )


@dataclass(frozen=True, eq=False)
class VoiceData:
    """Recordings and units for training and validation, and the moments of the spectra."""

    train: Crops
    """As `timeline` makes them."""
    valid: Crops
    options: SpectrogramOptions
    padding_unit: int
    mean: Tensor
    deviation: Tensor
    """(n_bins,) of the scaled spectra of `train`."""

    def batches(self, crops: Crops) -> Iterator[Batch]:
        """Everything once, in long crops."""
        yield from crops.all(CROPS_PER_BATCH, LONG_CROP)

    def is_speech(self, batch: Batch) -> Tensor:
        """Which frames (B, T) are no padding."""
        return batch["units"] != self.padding_unit

    def scaled(self, batch: Batch) -> Tensor:
        """The true scaled spectra, (B, T, n_bins)."""
        return self.options.scaled(self.options.magnitude_of_frames(batch["samples"]))

    @classmethod
    def of(
        cls,
        frames: Mapping[str, NDArray[np.int32]],
        waves: Mapping[str, Waveform],
        voices: Mapping[str, int],
        options: SpectrogramOptions,
        n_units: int,
    ) -> VoiceData:
        """Hold some utterances out, and measure the spectra of the others.

        Args:
            frames: units of each utterance, one per frame.
            waves: samples of each utterance.
            voices: the number of each utterance's voice.

        Raises:
            InputError: fewer than two utterances.
        """
        held_out = validation_ids(list(frames))
        sides = ([i for i in frames if i not in held_out], [i for i in frames if i in held_out])
        train, valid = (
            timeline(
                [frames[i] for i in ids],
                [waves[i] for i in ids],
                options,
                n_units,
                [voices[i] for i in ids],
            )
            for ids in sides
        )
        moments = _moments(train, options, n_units)
        return cls(train, valid, options, n_units, *moments)


def timeline(
    units: Sequence[NDArray[np.int32]],
    waves: Sequence[Waveform],
    options: SpectrogramOptions,
    padding_unit: int,
    voices: Sequence[int] | None = None,
) -> Crops:
    """Utterances one after the other, with padding between them, as one long one.

    A crop then needs no padding of its own, whatever the lengths of utterances are. Padding is as
    long as the network's reach and the transform's half window, so that a crop that holds an
    utterance's edge sees there what synthesis will see.

    Args:
        units: of each utterance, one per frame (T,).
        waves: of each utterance, at most T · hop samples; the rest is silence.
        padding_unit: the unit between utterances.
        voices: the number of each utterance's voice; None if it is always the same.

    Returns:
        "units" and "voices" (N,) of all frames, and "samples" (N, n_fft) around their centres, as
        a view of the waveform.
    """
    gap = max(REACH, -(-options.n_fft // (2 * options.hop)))
    n_frames = gap + sum(len(u) + gap for u in units)
    codes, speakers = np.full(n_frames, padding_unit, np.int64), np.zeros(n_frames, np.int64)
    # Frame i is centred at sample i · hop + n_fft / 2.
    wave = np.zeros(n_frames * options.hop + options.n_fft, np.float32)
    begin = gap
    for code, samples, voice in zip(units, waves, voices or [0] * len(units), strict=True):
        codes[begin : begin + len(code)] = code
        speakers[begin : begin + len(code)] = voice
        first = begin * options.hop + options.n_fft // 2
        kept = samples[: len(code) * options.hop]
        wave[first : first + len(kept)] = kept
        begin += len(code) + gap
    around = sliding_window_view(wave, options.n_fft)[:: options.hop][:n_frames]
    arrays: dict[str, NDArray[Any]] = {"units": codes, "voices": speakers, "samples": around}
    return Crops(arrays, bounds_of([n_frames]), padding={"units": padding_unit})


def voice_data(material: Material, options: SpectrogramOptions) -> VoiceData:
    """Recordings and units, checked to be of the same length.

    Raises:
        InputError: a recording and its units differ by more than a step.
    """
    units, step = material.units, hop_of(material.units.step_ms)
    repeat, remainder = divmod(step, options.hop)
    if remainder or repeat == 0:
        raise InputError(
            f"a unit lasts {units.step_ms:g} ms, which is not a multiple of {FRAME_MS:g} ms",
            cause="the unit model's features have an unusual step",
            remedy="use features with a step of 10 ms, or another stride",
        )
    frames: dict[str, NDArray[np.int32]] = {}
    waves: dict[str, Waveform] = {}
    for name, steps, wave in material.recordings():
        if abs(len(steps) - len(wave) / step) > 1 + _SLACK_STEPS:
            raise InputError(
                f"utterance {name!r} has units for {units.duration_s(name):.2f} s, "
                f"but its recording lasts {len(wave) / audio.SAMPLE_RATE:.2f} s",
                cause="the units are of another corpus or another cut of it",
                remedy="encode this corpus again",
            )
        frames[name], waves[name] = np.repeat(steps, repeat), wave
    return VoiceData.of(frames, waves, material.numbers, options, units.n_units)


def unit_means(data: VoiceData, n_units: int) -> Tensor:
    """Each unit's mean normalised spectrum, (n_units + 1, n_bins).

    Units that the voices never used, and padding, get the mean of all frames: zero.
    """
    sums = torch.zeros(n_units + 1, data.options.n_bins, dtype=torch.float64)
    counts = torch.zeros(n_units + 1, dtype=torch.float64)
    for units, target in _frames(data.train, data.options, n_units):
        sums.index_add_(0, units, ((target - data.mean) / data.deviation).double())
        counts += torch.bincount(units, minlength=n_units + 1)
    return (sums / counts.clamp(min=1)[:, None]).float()


def _moments(crops: Crops, options: SpectrogramOptions, padding_unit: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each bin of the scaled spectra, over all but padding."""
    n, total, square = 0, torch.zeros(1), torch.zeros(1)
    for _, target in _frames(crops, options, padding_unit):
        wide = target.double()
        n, total = n + len(wide), total + wide.sum(dim=0)
        square = square + wide.square().sum(dim=0)
    mean = total / n
    deviation = (square / n - mean.square()).clamp(min=1e-8).sqrt()
    return mean.float(), deviation.float()


def _frames(
    crops: Crops, options: SpectrogramOptions, padding_unit: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Units (n,) and scaled spectra (n, n_bins) of all frames but padding, block by block."""
    for batch in crops.all(CROPS_PER_BATCH, LONG_CROP):
        real = batch["units"] != padding_unit
        if real.any():
            spectra = options.scaled(options.magnitude_of_frames(batch["samples"][real]))
            yield batch["units"][real], spectra
