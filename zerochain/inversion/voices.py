"""Voices: by name, or any voice from a recording of it.

A network knows a voice by its number, or by a speaker encoder's vector of its recordings
(x-vectors as in Jia et al. 2018), which works for voices that are unseen in training. Pitch is
converted between voices by the mean and deviation of each one's log F0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.audio import Waveform
from zerochain.errors import InputError, counted, listed
from zerochain.features.extraction import extracted
from zerochain.features.f0 import Contour, F0Options, F0Statistics
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import same_name
from zerochain.listeners.speaker_encoder import SpeakerEncoder, mean_voice, unusable
from zerochain.progress import track

Vector = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice that an inverter is to speak in."""

    name: str
    speaker: int | Vector
    """What networks are conditioned on: its number, or a speaker encoder's vector (E,)."""
    statistics: F0Statistics
    """Of its log F0."""

    def tensor(self, device: torch.device) -> Tensor:
        """A batch of one, as `VoiceEmbedding` takes it."""
        if isinstance(self.speaker, int):
            return torch.tensor([self.speaker], device=device)
        return torch.from_numpy(self.speaker.astype(np.float32))[None].to(device)


def voice_number(voices: Sequence[str], name: str | None) -> int:
    """The number of a voice; None is the only one.

    Raises:
        InputError: it isn't known, or none is named and there are several.
    """
    if name is None and len(voices) == 1:
        return 0
    if name in voices:
        return list(voices).index(str(name))
    alike = [number for number, voice in enumerate(voices) if same_name(voice, name)]
    if alike:
        return alike[0]
    raise InputError(
        f"the inverter has {len(voices)} voices, and none was chosen"
        if name is None
        else f"the inverter has no voice {name!r}",
        remedy=f"choose one of its voices with voice=: {listed(list(voices))}",
    )


def check_n_reference(n_reference: int) -> None:
    """Raise InputError unless voices can be given by vectors, of `n_reference` dimensions."""
    if n_reference == 0:
        raise InputError(
            "the inverter knows its voices by name, not from recordings",
            cause="it was trained without a speaker encoder",
            remedy="choose a voice by name, or train with speakers=BUNDLE",
        )


def check_vector(vector: Vector, n_reference: int) -> None:
    """Raise InputError unless this is a vector (n_reference,) of a speaker encoder."""
    check_n_reference(n_reference)
    if vector.shape != (n_reference,) or not np.isfinite(vector).all():
        raise InputError(
            f"a voice's vector has shape {vector.shape} or NaN in it; {n_reference} numbers are "
            "expected",
            cause="it comes from another speaker encoder",
            remedy="use the speaker encoder that the inverter was trained with",
        )


F0 = F0Options()
_ENOUGH_S = 600.0  # of a voice: more changes no statistic


def read_contours(corpus: Corpus) -> dict[str, Contour]:
    """F0 of each recording, Hz (T,) every 5 ms, 0 where unvoiced."""
    with extracted(corpus, F0) as features:
        return {name: np.array(features[name][:, 0]) for name in features.ids}


def statistics_of(
    contours: Mapping[str, Contour], voices: Mapping[str, int], n_voices: int
) -> list[F0Statistics]:
    """Each voice's log F0, from the contours of its utterances.

    A voice that is never voiced, whispered or silent, gets `F0Statistics`'s defaults.
    """
    return [
        F0Statistics.of(f0 for name, f0 in contours.items() if voices[name] == number)
        for number in range(n_voices)
    ]


def reference_vectors(
    corpus: Corpus, voices: Sequence[str], encoder: SpeakerEncoder
) -> NDArray[np.float32]:
    """A speaker encoder's vector of each voice, from at most ten minutes of it: (n_voices, E).

    Raises:
        InputError: a voice has no recording that the encoder can use.
    """
    vectors = []
    for voice in track(voices, "Voices' vectors"):
        waves = dict(_recordings(corpus, voice))
        usable = [wave for wave in waves.values() if unusable(wave) is None]
        if not usable:
            name, wave = next(iter(waves.items()))
            raise InputError(
                f"none of the recordings of voice {voice!r} can be used to find its vector "
                f"({counted(len(waves), 'recording')}; {name!r}: {unusable(wave)})",
                cause="they are silent, or shorter than half a second",
                remedy="leave the voice out, or train without speakers=",
            )
        vectors.append(mean_voice(encoder.embed_many(usable)))
    return np.stack(vectors)


def _recordings(corpus: Corpus, voice: str) -> Iterator[tuple[str, Waveform]]:
    """Ids and samples of a voice's recordings, in the corpus's order, until they are enough."""
    chosen, total_s = [], 0.0
    for u in corpus.select(speaker=voice).utterances:
        chosen.append(u)
        total_s += u.duration
        if total_s >= _ENOUGH_S:
            break
    yield from zip([u.id for u in chosen], corpus.waves(chosen), strict=True)
