"""Voices' recordings and units as training an inverter sees them.

A voice's utterances on one time axis, from which training cuts its segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import same_name
from zerochain.formats.units import UnitFile
from zerochain.inversion.spectrogram import SpectrogramOptions, hop_of
from zerochain.modules.code2spec import REACH
from zerochain.progress import track
from zerochain.training.split import validation_ids


@dataclass(frozen=True, eq=False)
class Timeline:
    """Units and voices (N,) of all frames and their samples, with gaps between utterances.

    A gap holds nothing. It is as long as the network's reach and the transform's half window, so
    that a segment that holds an utterance's edge sees there what synthesis will see.
    """

    units: NDArray[np.int64]
    voices: NDArray[np.int64]
    wave: Waveform
    """(N · hop + n_fft,): frame i is centred at sample i · hop + n_fft / 2."""
    options: SpectrogramOptions
    nothing: int

    @classmethod
    def of(
        cls,
        units: Sequence[NDArray[np.int32]],
        waves: Sequence[Waveform],
        options: SpectrogramOptions,
        nothing: int,
        voices: Sequence[int] | None = None,
    ) -> Timeline:
        """Lay utterances one after the other.

        Args:
            units: of each utterance, one a frame (T,).
            waves: of each utterance, at most T · hop samples; the rest is silence.
            nothing: the unit that stands for gaps.
            voices: the number of who speaks each utterance; None if it is always the same.
        """
        gap = max(REACH, -(-options.n_fft // (2 * options.hop)))
        n_frames = gap + sum(len(u) + gap for u in units)
        codes, speakers = np.full(n_frames, nothing, np.int64), np.zeros(n_frames, np.int64)
        wave = np.zeros(n_frames * options.hop + options.n_fft, np.float32)
        begin = gap
        for code, samples, voice in zip(units, waves, voices or [0] * len(units), strict=True):
            codes[begin : begin + len(code)] = code
            speakers[begin : begin + len(code)] = voice
            first = begin * options.hop + options.n_fft // 2
            kept = samples[: len(code) * options.hop]
            wave[first : first + len(kept)] = kept
            begin += len(code) + gap
        return cls(codes, speakers, wave, options, nothing)

    def __len__(self) -> int:
        return len(self.units)

    def segments(self, starts: Sequence[int], n_frames: int) -> dict[str, Tensor]:
        """Units and voices (B, n_frames), samples (B, (n_frames - 1) · hop + n_fft) from starts."""
        hop, n_samples = self.options.hop, (n_frames - 1) * self.options.hop + self.options.n_fft
        parts: dict[str, list[NDArray[Any]]] = {
            "units": [self.units[s : s + n_frames] for s in starts],
            "voices": [self.voices[s : s + n_frames] for s in starts],
            "waves": [self.wave[s * hop : s * hop + n_samples] for s in starts],
        }
        return {name: torch.from_numpy(np.stack(part)) for name, part in parts.items()}

    def random_segments(self, n: int, n_frames: int, seed: Sequence[int]) -> dict[str, Tensor]:
        """Segments from random starts: the same for the same seed, whatever came before."""
        n_frames = min(n_frames, len(self))
        rng = np.random.default_rng(seed)
        return self.segments(rng.integers(0, len(self) - n_frames + 1, n).tolist(), n_frames)

    def all_segments(self, n: int, n_frames: int) -> Iterator[dict[str, Tensor]]:
        """The whole timeline once, in batches of at most `n` segments; the rest ends it."""
        n_frames = min(n_frames, len(self))
        starts = list(range(0, len(self) - n_frames + 1, n_frames))
        for i in range(0, len(starts), n):
            yield self.segments(starts[i : i + n], n_frames)
        rest = starts[-1] + n_frames
        if rest < len(self):
            yield self.segments([rest], len(self) - rest)


FRAME_MS = 10.0
SEGMENTS_A_BATCH, LONG_SEGMENT = 8, 512
_SAMPLE_S = 5.0
_SLACK_STEPS = 1  # the last unit may reach beyond the recording's end


@dataclass(frozen=True, eq=False)
class VoiceData:
    """Recordings and units for training and validation, and the moments of the spectra."""

    train: Timeline
    valid: Timeline
    mean: Tensor
    deviation: Tensor

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
            frames: units of each utterance, one a frame.
            waves: samples of each utterance.
            voices: the number of who speaks each utterance.

        Raises:
            InputError: fewer than two utterances.
        """
        held_out = validation_ids(list(frames))
        sides = ([i for i in frames if i not in held_out], [i for i in frames if i in held_out])
        train, valid = (
            Timeline.of(
                [frames[i] for i in ids],
                [waves[i] for i in ids],
                options,
                n_units,
                [voices[i] for i in ids],
            )
            for ids in sides
        )
        return cls(train, valid, *_moments(train))


def chosen_voices(corpus: Corpus, voices: Sequence[str] | None) -> tuple[str, ...]:
    """The voices asked for, each once; all if None; the only one there is if none is named.

    Raises:
        InputError: none was asked for and the corpus has several; one isn't there; or nobody
            knows who speaks.
    """
    known = corpus.speakers
    if not known:
        raise InputError(
            f"corpus {corpus.name!r} has no known speaker, so no voice to speak in",
            path=corpus.folder,
            remedy="import it again and say who speaks, with --speaker-from or a table",
        )
    if voices is None:
        return tuple(known)
    if not voices and len(known) != 1:
        raise InputError(
            f"corpus {corpus.name!r} has {len(known)} known speakers: {listed(known)}",
            remedy="choose the target voice with --voice SPEAKER, or all with --all-voices",
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
            remedy="choose more voices with --voice or --all-voices, or leave --speakers out",
        )


def sample_units(unit_file: UnitFile, corpus: Corpus) -> tuple[NDArray[np.int32], str]:
    """Of an utterance that training never saw: at most five seconds (N,), and who speaks."""
    name = min(validation_ids(corpus.ids))
    n_steps = max(1, round(_SAMPLE_S * 1000 / unit_file.step_ms))
    return unit_file.steps(name)[:n_steps], str(corpus.by_id[name].speaker)


def voice_data(
    unit_file: UnitFile, corpus: Corpus, options: SpectrogramOptions, voices: Sequence[str]
) -> VoiceData:
    """Recordings and units, checked to be of the same length.

    Raises:
        InputError: a recording and its units differ by more than a step.
    """
    step = hop_of(unit_file.step_ms)
    repeat, remainder = divmod(step, options.hop)
    if remainder or repeat == 0:
        raise InputError(
            f"a unit lasts {unit_file.step_ms:g} ms, which is no multiple of {FRAME_MS:g} ms",
            cause="the unit model's features have an unusual step",
            remedy="use features of --step-ms 10, or another stride",
        )
    frames: dict[str, NDArray[np.int32]] = {}
    waves: dict[str, Waveform] = {}
    recordings = zip(corpus.utterances, corpus.waves(), strict=True)
    for u, wave in track(recordings, "Reading recordings", len(corpus.utterances)):
        steps = unit_file.steps(u.id)
        if abs(len(steps) - len(wave) / step) > 1 + _SLACK_STEPS:
            raise InputError(
                f"utterance {u.id!r} has units for {unit_file.duration_s(u.id):.2f} s, "
                f"but its recording lasts {len(wave) / audio.SAMPLE_RATE:.2f} s",
                cause="the units are of another corpus or another cut of it",
                remedy="encode this corpus again",
            )
        frames[u.id], waves[u.id] = np.repeat(steps, repeat), wave
    numbers = {u.id: voices.index(str(u.speaker)) for u in corpus.utterances}
    return VoiceData.of(frames, waves, numbers, options, unit_file.n_units)


def unit_means(data: VoiceData, n_units: int) -> nn.Embedding:
    """The baseline that any inverter has to beat: each unit's mean normalised spectrum.

    Units that the voices never used, and nothing, get the mean of all frames: zero.
    """
    options = data.train.options
    sums = torch.zeros(n_units + 1, options.n_bins, dtype=torch.float64)
    counts = torch.zeros(n_units + 1, dtype=torch.float64)
    for units, target in _frames(data.train):
        sums.index_add_(0, units, ((target - data.mean) / data.deviation).double())
        counts += torch.bincount(units, minlength=n_units + 1)
    table = nn.Embedding(n_units + 1, options.n_bins)
    table.weight.data = (sums / counts.clamp(min=1)[:, None]).float()
    return table


def _moments(timeline: Timeline) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each bin of the scaled spectra, over all real frames."""
    n, total, square = 0, torch.zeros(1), torch.zeros(1)
    for _, target in _frames(timeline):
        wide = target.double()
        n, total = n + len(wide), total + wide.sum(dim=0)
        square = square + wide.square().sum(dim=0)
    mean = total / n
    deviation = (square / n - mean.square()).clamp(min=1e-8).sqrt()
    return mean.float(), deviation.float()


def _frames(timeline: Timeline) -> Iterator[tuple[Tensor, Tensor]]:
    """Units (n,) and scaled spectra (n, n_bins) of the real frames, block by block."""
    for batch in timeline.all_segments(SEGMENTS_A_BATCH, LONG_SEGMENT):
        real = batch["units"] != timeline.nothing
        if real.any():
            magnitude = timeline.options.magnitude(batch["waves"])
            yield batch["units"][real], timeline.options.scaled(magnitude[real])
