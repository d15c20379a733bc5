"""What a bundle keeps of each of its voices: F0 statistics, and what a speaker encoder hears."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.features.extraction import extracted
from zerochain.features.f0 import Contour, F0Options, F0Statistics
from zerochain.features.speaker_encoder import SpeakerEncoder, mean_voice, unusable
from zerochain.formats.corpus import Corpus
from zerochain.progress import track

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
    chosen, total_s = [], 0.0
    for u in corpus.select(speaker=voice).utterances:
        chosen.append(u)
        total_s += u.duration
        if total_s >= _ENOUGH_S:
            break
    yield from zip([u.id for u in chosen], corpus.waves(chosen), strict=True)
