"""Features of a whole corpus, extracted in parallel into a features folder.

MFCC, log-mel (`spectral.py`), F0 (`f0.py`), tone, alone or beside MFCCs (`tone.py`) or a layer of a
self-supervised model (`ssl.py`): the options say which. Recordings are read in shards of
about a minute, in the order of the corpus.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

from zerochain import audio
from zerochain.errors import InputError
from zerochain.features.f0 import F0Extractor, F0Options
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.features.ssl import SslExtractor, SslOptions
from zerochain.features.tone import ToneExtractor, ToneOptions
from zerochain.formats.atomic import scratch
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.features import Features, read_features, write_features
from zerochain.machine import cores
from zerochain.progress import track

_SHARD_S = 60.0  # seconds of speech that a process takes at a time
_FILE_S = 600.0  # … and of one recording, which a second process would decode again up to there
_WORTH_A_PROCESS_S = 900.0  # a process starts in the time that so much speech takes

_DRIFT_S = 0.1  # decoders of MP3 disagree about its ends by half of this

Segment = tuple[Path, audio.Part, float]
Options = SpectralOptions | F0Options | ToneOptions | SslOptions
"""What can be extracted from recordings."""


def extract(
    corpus: Corpus,
    options: Options,
    out: Path,
    *,
    device: str = "cpu",
    jobs: int | None = None,
) -> Features:
    """Write the features of every utterance to the folder `out`.

    Args:
        corpus: what to read.
        options: what to extract.
        out: a features folder (formats.features), made anew.
        device: "cpu" or "cuda".
        jobs: processes at most, or threads that read recordings while one network or one GPU
            computes; None takes the cores. A process is started for every 15 minutes of speech:
            with less it would take longer to start than to extract.

    Raises:
        InputError: the folder of recordings is gone, a recording can't be read or has changed since
            the import, or the disk is full; `out` is left as it was.
    """
    corpus.check_recordings()
    shards, root = _shards(corpus), corpus.home / corpus.audio_root
    most = max(1, int(corpus.duration / _WORTH_A_PROCESS_S))
    # Paths and times of one shard after the other: those of a large corpus take more than its ids.
    parts = (_segments(corpus.utterances[s.start : s.stop], root) for s in shards)
    if device == "cpu" and not isinstance(options, SslOptions):
        parallel = Parallel(n_jobs=min(jobs or cores(), most), return_as="generator")
        results = parallel(delayed(_extract_shard)(part, options) for part in parts)
    else:
        n_threads = jobs or min(cores(), most)
        results = map(_extractor(options, device), _read_ahead(parts, n_threads))
    writer = write_features(
        out,
        extractor=options.kind,
        options=options.model_dump(),
        step_ms=options.step_ms,
        corpus_id=corpus.id,
    )
    utterances = iter(corpus.utterances)
    with writer as features:
        for arrays in track(results, f"Extracting {options.kind}", total=len(shards)):
            for array in arrays:
                utterance = next(utterances)
                features.add(utterance.id, array, utterance.speaker)
    return read_features(out)


@contextmanager
def extracted(
    corpus: Corpus,
    options: Options,
    *,
    device: str = "cpu",
    jobs: int | None = None,
) -> Iterator[Features]:
    """Features of a corpus for as long as they are needed, on the disk rather than in memory."""
    with scratch() as folder:
        yield extract(corpus, options, Path(folder) / "features", device=device, jobs=jobs)


def extracted_from(
    waves: Mapping[str, audio.Waveform],
    options: Options,
    *,
    speakers: Mapping[str, str | None] | None = None,
    device: str = "cpu",
) -> Features:
    """Features in memory of waveforms at hand, mono at 16 kHz: those that `extract` writes.

    Args:
        waves: utterance → samples (n,).
        speakers: of the same utterances, where they are known.

    Raises:
        InputError: as the extractor: no samples, or NaN.
    """
    if device == "cpu" and not isinstance(options, SslOptions):
        arrays = _on_one_thread(list(waves.values()), options)
    else:
        arrays = _extractor(options, device)(list(waves.values()))
    return Features.from_arrays(
        dict(zip(waves, arrays, strict=True)),
        speakers=speakers,
        extractor=options.kind,
        options=options.model_dump(),
        step_ms=options.step_ms,
    )


def options_of(extractor: str, options: Mapping[str, Any], model: Path) -> Options:
    """What to extract from recordings for a model, given the kind of features it was fitted on.

    Raises:
        InputError: zerochain didn't extract those, or they are of a checkpoint that is no longer
            there or no longer the same.
    """
    match extractor:
        case "mfcc" | "log-mel":
            return SpectralOptions(**options)
        case "f0":
            return F0Options(**options)
        case "mfcc+tone" | "tone":
            return ToneOptions(**options)
        case "ssl":
            checkpoint = SslOptions(**options)
            checkpoint.check_unchanged()
            return checkpoint
        case "adapted":
            raise InputError(
                "was fitted on adapted features, which can't be extracted here",
                path=model,
                cause="they come of another unit model, by 'zerochain extract --adapt MODEL'",
                remedy="give it adapted features of a corpus",
            )
        case other:
            raise InputError(
                f"was fitted on features of kind {other!r}, which can't be extracted",
                path=model,
                cause="the features were imported",
                remedy="give it the same kind of features of a corpus",
            )


def _shards(corpus: Corpus) -> list[range]:
    """The utterances of each shard, by their places in the corpus."""
    begins: list[int] = []
    seconds, recording = math.inf, None
    for place, u in enumerate(corpus.utterances):
        if seconds >= (_FILE_S if u.audio == recording else _SHARD_S):
            begins.append(place)
            seconds = 0.0
        seconds, recording = seconds + u.duration, u.audio
    ends = [*begins[1:], len(corpus.utterances)]
    return [range(*places) for places in zip(begins, ends, strict=True)]


def _segments(utterances: Sequence[Utterance], root: Path) -> list[Segment]:
    return [(root / u.audio, u.part, u.duration) for u in utterances]


def _extractor(
    options: Options, device: str
) -> SpectralExtractor | F0Extractor | ToneExtractor | SslExtractor:
    match options:
        case SpectralOptions():
            return SpectralExtractor(options, device)
        case F0Options():
            return F0Extractor(options, device)
        case ToneOptions():
            return ToneExtractor(options, device)
        case SslOptions():
            return SslExtractor(options, device)


def _read_ahead(shards: Iterable[list[Segment]], n_threads: int) -> Iterator[list[audio.Waveform]]:
    """Waves of each shard; threads read as many shards ahead as there are threads."""
    ahead: deque[Future[list[audio.Waveform]]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        for shard in shards:
            ahead.append(pool.submit(_read_shard, shard))
            if len(ahead) > n_threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _read_shard(shard: list[Segment]) -> list[audio.Waveform]:
    """The samples of segments; neighbours in one recording are decoded in one pass."""
    return [
        wave
        for path, segments in groupby(shard, key=itemgetter(0))
        for wave in _read(path, list(segments))
    ]


def _read(path: Path, segments: list[Segment]) -> Iterator[audio.Waveform]:
    waves = audio.read_parts(path, [part for _, part, _ in segments])
    for (_, _, duration), wave in zip(segments, waves, strict=True):
        found = len(wave) / audio.SAMPLE_RATE
        if abs(found - duration) > _DRIFT_S:
            raise InputError(
                f"lasts {found:.2f} s, but {duration:.2f} s when it was imported",
                path=path,
                cause="the recording was edited or replaced",
                remedy="import the corpus again",
            )
        yield wave


def _extract_shard(shard: list[Segment], options: Options) -> list[NDArray[np.float32]]:
    return _on_one_thread(_read_shard(shard), options)


def _on_one_thread(waves: Sequence[audio.Waveform], options: Options) -> list[NDArray[np.float32]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the processes share the cores
    try:
        return _extractor(options, "cpu")(waves)
    finally:
        torch.set_num_threads(threads)
