"""What a bundle keeps of each of its voices: F0 statistics, and what a speaker encoder hears."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.features.f0 import F0Statistics, track_f0
from zerochain.features.speaker_encoder import SpeakerEncoder, mean_voice, unusable
from zerochain.formats.corpus import Corpus
from zerochain.progress import track

_ENOUGH_S = 600.0  # of a voice: more changes no statistic


def f0_statistics(corpus: Corpus, voices: Sequence[str], device: str = "cpu") -> list[F0Statistics]:
    """Each voice's log F0 over at most ten minutes of its recordings.

    A voice that is never voiced, whispered or silent, gets `F0Statistics`'s defaults.
    """
    found = []
    for voice in track(voices, "Voices' F0"):
        contours = (track_f0(wave, device=device) for _, wave in _recordings(corpus, voice))
        found.append(F0Statistics.of(contours))
    return found


def reference_vectors(
    corpus: Corpus, voices: Sequence[str], encoder: SpeakerEncoder
) -> NDArray[np.float32]:
    """What a speaker encoder hears in each voice, over at most ten minutes: (n_voices, E).

    Raises:
        InputError: a voice has no recording that the encoder can use.
    """
    vectors = []
    for voice in track(voices, "Voices' vectors"):
        waves = dict(_recordings(corpus, voice))
        heard = [wave for wave in waves.values() if unusable(wave) is None]
        if not heard:
            name, wave = next(iter(waves.items()))
            raise InputError(
                f"none of the {len(waves)} recordings of voice {voice!r} tells how it sounds "
                f"({name!r}: {unusable(wave)})",
                cause="they are silent, or shorter than half a second",
                remedy="leave the voice out, or train without --speakers",
            )
        vectors.append(mean_voice(encoder.embed_many(heard)))
    return np.stack(vectors)


def _recordings(corpus: Corpus, voice: str) -> Iterator[tuple[str, Waveform]]:
    """Ids and samples of a voice's recordings, in the corpus's order, until they are enough."""
    total_s = 0.0
    for u in corpus.select(speaker=voice).utterances:
        yield u.id, audio.read(corpus.audio_path(u), start=u.start, end=u.end)
        total_s += u.duration
        if total_s >= _ENOUGH_S:
            return
