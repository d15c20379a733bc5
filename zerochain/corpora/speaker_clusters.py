"""Who speaks, where nobody noted it: utterances whose voices are alike get one speaker.

A voice vector is made of each utterance: means and deviations of its MFCCs over its louder frames,
or the vector of a speaker encoder. Vectors are clustered by Ward's criterion, and the number of
clusters has the highest silhouette (Rousseeuw, J. Comput. Appl. Math. 20, 1987): how much nearer an
utterance is to its own cluster than to the next, 0 for no difference, 1 for a perfect one. A single
voice can be divided too, and the fewer its utterances, the better: so there is one speaker unless
the silhouette is higher than that of one voice, normally distributed with the same covariance
(after the gap statistic of Tibshirani, Walther and Hastie, J. R. Stat. Soc. B 63, 2001), and at
least `LEAST_SILHOUETTE`. An utterance counts as one speaker's, even
if two talk in it; a voice that was recorded in two places may become two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain import audio
from zerochain.errors import InputError, counted
from zerochain.formats.corpus import Utterance
from zerochain.progress import track

Vectors = Callable[[Iterable[audio.Waveform]], NDArray[np.float32]]
"""Waveforms → voice vectors (n, E)."""
LEAST_SILHOUETTE = 0.1
"""Below it, a division into several speakers isn't worth believing."""
_DRAWS, _MOST_DRAWN = 19, 200
"""Draws of a single voice, whose median counts, and vectors per draw at most."""
_CLEAR = 0.2
_MOST = 8
"""Speakers that are looked for, at most, unless a number is given."""
_LONG_S = 1.5
"""Utterances from this length on are clustered; others join the nearest cluster."""
_LOUDER = 0.4
"""Fraction of an utterance's frames, the quietest, that count for nothing: pauses and noise."""


@dataclass(frozen=True)
class Voices:
    """Utterances with their speakers, and how sure that is, in words."""

    utterances: tuple[Utterance, ...]
    note: str
    is_clear: bool


def clustered(
    recordings: Path,
    utterances: tuple[Utterance, ...],
    *,
    n_speakers: int | None = None,
    vectors: Vectors | None = None,
) -> Voices:
    """The utterances with speakers, spk1, spk2, …: the one who speaks longest first.

    Channels that were divided keep their own speakers.

    Args:
        recordings: the folder of the recordings.
        utterances: their speakers are not known.
        n_speakers: how many there are; None counts them.
        vectors: of voices; None takes MFCC statistics.

    Raises:
        InputError: speakers are known already, or there are fewer utterances than speakers.
    """
    if any(u.speaker is not None for u in utterances):
        raise InputError(
            "speakers='cluster' is given, but channel='each' makes each channel a speaker",
            remedy="leave out one of them",
        )
    if n_speakers is not None and n_speakers > len(utterances):
        raise InputError(
            f"{n_speakers} speakers are asked for, but there are only "
            f"{counted(len(utterances), 'utterance')}",
            remedy="ask for fewer",
        )
    of_voices = (vectors or mfcc_statistics)(_waves(recordings, utterances))
    lengths = np.array([(u.end or 0.0) - (u.start or 0.0) for u in utterances])
    labels, silhouette = divided(of_voices, lengths, n_speakers)
    seconds = np.bincount(labels, weights=lengths)
    place = {int(label): i + 1 for i, label in enumerate(np.argsort(-seconds, kind="stable"))}
    named = tuple(
        replace(u, speaker=f"spk{place[int(label)]}")
        for u, label in zip(utterances, labels, strict=True)
    )
    return Voices(named, *_note(len(seconds), silhouette, n_speakers is not None))


def _note(n: int, silhouette: float | None, given: bool) -> tuple[str, bool]:
    """How sure a division into n speakers is, in words, and whether it is clear."""
    if given and n == 1:
        return "1, as asked for", True
    if silhouette is None:
        return f"{n}; there are too few utterances to compare voices", False
    figure = f"(silhouette {silhouette:.2f}: 0 is no difference, 1 a perfect one)"
    if n == 1:
        return (
            f"one; one voice could be divided as well as this {figure}: if there are several, give "
            "n_speakers= or speaker_from=",
            False,
        )
    found = f"{n}{', as asked for' if given else ''}"
    if silhouette >= _CLEAR:
        return f"{found}; the division is clear {figure}", True
    return f"{found}; the division is doubtful {figure}: listen to some utterances of each", False


def divided(
    vectors: NDArray[np.float32], lengths: NDArray[np.float64], n_speakers: int | None = None
) -> tuple[NDArray[np.int64], float | None]:
    """Which speaker each utterance is of.

    Args:
        vectors: of the voices, (n, E).
        lengths: of the utterances in seconds, (n,).
        n_speakers: how many there are; None takes the number with the highest silhouette, or one
            where one voice would be divided as well.

    Returns:
        Labels from 0 on, (n,), and the silhouette of the best division into several, None where
        there are fewer than three utterances to compare.
    """
    long_ones = lengths >= _LONG_S
    if long_ones.sum() < max(3, n_speakers or 0):
        long_ones = np.ones(len(lengths), bool)
    scale = vectors[long_ones].std(axis=0)
    x = (vectors - vectors[long_ones].mean(axis=0)) / np.where(scale > 0, scale, 1)
    compared = x[long_ones]
    one = np.zeros(len(vectors), np.int64)
    if len(compared) < 3:
        return (one if n_speakers in {None, 1} else np.arange(len(vectors)) % n_speakers), None
    if n_speakers in {None, 1}:
        counts = range(2, min(_MOST, len(compared) - 1) + 1)
    else:
        counts = range(n_speakers, n_speakers + 1)
    best, labels = _best_division(compared, counts)
    if n_speakers == 1 or (n_speakers is None and best < _of_one_voice(compared)):
        return one, best
    centres = np.stack([compared[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    distances = np.square(x[:, None] - centres).sum(axis=2)
    everyone = distances.argmin(axis=1).astype(np.int64)
    everyone[long_ones] = labels
    return everyone, best


def _best_division(x: NDArray[np.float32], counts: range) -> tuple[float, NDArray[np.int64]]:
    """The highest silhouette of the divisions into so many clusters, and its labels.

    Of a single count the labels are its own, whatever the silhouette.
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # slow, and few imports need them
    from sklearn.metrics import silhouette_score

    tree = linkage(x, "ward")
    best, labels = -1.0, np.zeros(len(x), np.int64)
    for n in counts:
        found = fcluster(tree, n, "maxclust") - 1
        if 1 < len(set(found)) < len(x):
            score = float(silhouette_score(x, found))
            if score > best:
                best, labels = score, found.astype(np.int64)
        elif len(counts) == 1:
            labels = found.astype(np.int64)
    return best, labels


def _of_one_voice(x: NDArray[np.float32]) -> float:
    """The silhouette that a division into several speakers has to reach, of vectors x (n, E)."""
    rng = np.random.default_rng(0)
    centred = x - x.mean(axis=0)
    n = min(len(x), _MOST_DRAWN)
    counts = range(2, min(_MOST, n - 1) + 1)
    found = []
    for _ in range(_DRAWS):
        # Sums of all vectors with normal weights: their covariance is that of the vectors.
        weights = rng.standard_normal((n, len(x))) / np.sqrt(len(x) - 1)
        found.append(_best_division((weights @ centred).astype(np.float32), counts)[0])
    return max(LEAST_SILHOUETTE, float(np.median(found)))


def _waves(recordings: Path, utterances: Sequence[Utterance]) -> Iterator[audio.Waveform]:
    def read() -> Iterator[audio.Waveform]:
        for name, group in groupby(utterances, key=lambda u: u.audio):
            yield from audio.read_parts(recordings / name, [u.part for u in group])

    yield from track(read(), "Comparing voices", len(utterances))


def mfcc_statistics(waves: Iterable[audio.Waveform]) -> NDArray[np.float32]:
    """Means and standard deviations of 19 MFCCs over the louder frames of each wave, (n, 38)."""
    from zerochain.features.spectral import SpectralExtractor, SpectralOptions  # torch is slow

    extractor = SpectralExtractor(SpectralOptions(n_mfcc=20, n_mels=40, n_deltas=0))
    rows = []
    for wave in waves:
        frames = extractor([wave])[0]
        loud = frames[frames[:, 0] >= np.quantile(frames[:, 0], _LOUDER), 1:]
        rows.append(np.concatenate([loud.mean(axis=0), loud.std(axis=0)]))
    return np.asarray(rows, np.float32)
