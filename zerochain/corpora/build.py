"""The last step of every import: decode all recordings, say what is wrong, write the corpus."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

import zerochain
from zerochain import audio
from zerochain.cores import cores
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_folder, check_replaceable
from zerochain.formats.corpus import MARKER, Corpus, Utterance, fill_corpus, read_corpus
from zerochain.formats.phones import Phones
from zerochain.progress import track

UNKNOWN = math.nan
"""The duration of an utterance that nobody has measured yet."""
_SILENT = 1e-3
_FULL_SCALE, _CLIPPED_SHARE = 0.999, 1e-3
_SHORT_S = 0.1
NOISE_S = 0.1
"""So much noise at full scale deserves a word."""
_NOISE_WINDOW, _NOISE_RMS, _NOISE_CORRELATION = 400, 0.4, 0.3
"""Speech as loud as that has neighbouring samples that are alike; random ones have an RMS of 0.58
and no correlation."""
_TOLERANCE_S = 0.1
_SHOWN = 50


class CorpusWarning(UserWarning):
    """An import succeeded, but something about the recordings deserves a look."""


class Bad(NamedTuple):
    """A file that can't be used, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Measured:
    """A recording that could be decoded: its header, its length at 16 kHz, what is odd about it."""

    header: audio.AudioInfo
    duration: float
    oddities: tuple[str, ...]


Align = Callable[[Mapping[str, float], frozenset[str]], tuple[Phones, list[Bad]]]
"""(durations by id, ids without an utterance that may be aligned) → phones, unusable files."""


def build_corpus(
    out: Path,
    draft: Corpus,
    *,
    bad: Sequence[Bad] = (),
    align: Align | None = None,
    unlisted: frozenset[str] = frozenset(),
    skip_bad: bool = False,
    copy: bool = False,
    jobs: int | None = None,
) -> Corpus:
    """Decode every utterance of a draft and write the corpus that remains.

    Args:
        out: the corpus's folder.
        draft: the corpus to be, its durations those that a table claims, or `UNKNOWN`.
        bad: files already known to be unusable.
        align: reads the gold phones once the durations are known.
        unlisted: ids of recordings that are there but not in the draft.
        skip_bad: leave out what can't be used, and say so in the record, instead of refusing.
        copy: write 16 kHz mono FLAC into `out`/audio instead of referring to the originals.
        jobs: threads; the number of cores by default.

    Raises:
        InputError: unusable files (all of them listed), or nothing usable.
    """
    root = Path(draft.audio_root)
    check_replaceable(out.resolve(), MARKER)
    if root.resolve().is_relative_to(out.resolve()):
        raise InputError(
            f"the recordings lie in {root}, inside the corpus to be written",
            path=out,
            cause="writing it would replace the folder, recordings and all",
            remedy="choose another --out",
        )
    found = list(_decode_all(draft, jobs or cores()))
    pairs = list(zip(draft.utterances, found, strict=True))
    good = [(u, m) for u, m in pairs if isinstance(m, Measured)]
    bad = [*bad, *(m for _, m in pairs if isinstance(m, Bad))]
    utterances = tuple(replace(u, duration=m.duration) for u, m in good)
    phones = None
    if align is not None:
        lost = frozenset(u.id for u, m in pairs if isinstance(m, Bad))
        phones, misaligned = align({u.id: u.duration for u in utterances}, lost | unlisted)
        bad += misaligned
    bad = sorted(set(bad))
    _refuse(bad, len(utterances), root, skip_bad)
    record = {**_record(good, bad), **draft.record}
    if phones is not None:
        record["without_alignment"] = len(utterances) - len(phones.by_id)
    corpus = replace(draft, utterances=utterances, record=record)
    written = _write(out, corpus, phones, copy, root)
    for line in findings(written):
        warnings.warn(line, CorpusWarning, stacklevel=3)
    return written


def findings(corpus: Corpus) -> list[str]:
    """What an import noticed about its recordings, a line each, for people."""
    record = corpus.record
    lines = [
        _some(record.get("skipped", []), "skipped", "file", "reason"),
        _some(record.get("noticed", []), "noticed", "id", "what"),
    ]
    counts = {
        "unlisted": "recordings in the folder are not in the table",
        "hidden": "hidden files were passed over",
        "without_alignment": "utterances have no alignment",
    }
    lines += [f"{record[key]} {text}" for key, text in counts.items() if record.get(key)]
    return [line for line in lines if line]


def measure(path: Path, utterance: Utterance) -> Measured | Bad:
    """Decode an utterance; its claimed duration, if any, is compared with the real one."""
    try:
        header = audio.info(path)
        wave = audio.read(path, **utterance.part._asdict())
    except InputError as error:
        return Bad(utterance.audio, error.found)
    duration = len(wave) / audio.SAMPLE_RATE
    return Measured(header, duration, tuple(_oddities(wave, header, utterance.duration)))


def _oddities(wave: audio.Waveform, header: audio.AudioInfo, claimed: float) -> Iterable[str]:
    duration, level = len(wave) / audio.SAMPLE_RATE, np.abs(wave)
    if level.max() < _SILENT:
        yield "silent (never above -60 dB)"
    clipped = float(np.mean(level >= _FULL_SCALE))
    noisy_s, begin_s = full_scale_noise(wave)
    if noisy_s >= NOISE_S:
        yield (
            f"{noisy_s:.2f} s of noise at full scale, from {begin_s:.2f} s on: a byte may be lost "
            "there, so that the samples that follow are out of step"
        )
    elif clipped > _CLIPPED_SHARE:
        yield f"clipped ({clipped:.1%} of the samples at full scale)"
    if duration < _SHORT_S:
        yield f"shorter than {_SHORT_S} s"
    if header.sample_rate < audio.SAMPLE_RATE:
        yield f"recorded at {header.sample_rate} Hz, so nothing above {header.sample_rate // 2} Hz"
    if abs(duration - claimed) > _TOLERANCE_S:  # never so where none is claimed: NaN
        yield f"lasts {duration:.3f} s, the table says {claimed:.3f} s"


def full_scale_noise(wave: audio.Waveform) -> tuple[float, float]:
    """How many seconds are noise at full scale, and when it begins."""
    n = len(wave) // _NOISE_WINDOW
    windows = wave[: n * _NOISE_WINDOW].reshape(n, _NOISE_WINDOW)
    power = np.mean(windows**2, axis=1)
    alike = np.mean(windows[:, 1:] * windows[:, :-1], axis=1)
    noisy = (power > _NOISE_RMS**2) & (np.abs(alike) < _NOISE_CORRELATION * power)
    window_s = _NOISE_WINDOW / audio.SAMPLE_RATE
    return float(noisy.sum() * window_s), float(noisy.argmax() * window_s) if n else 0.0


def _decode_all(draft: Corpus, jobs: int) -> Iterable[Measured | Bad]:
    work = (joblib.delayed(measure)(draft.audio_path(u), u) for u in draft.utterances)
    results = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(work)
    return track(results, "Decoding", len(draft.utterances))


def _refuse(bad: list[Bad], n_good: int, root: Path, skip_bad: bool) -> None:
    if bad and not skip_bad:
        lines = [f"\n    {b.file}: {b.reason}" for b in bad[:_SHOWN]]
        more = f"\n    and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise InputError(
            f"{len(bad)} files can't be used:{''.join(lines)}{more}",
            path=root,
            remedy="mend or remove them, or leave them out with --skip-bad",
        )
    if n_good == 0:
        raise InputError("holds no usable recording", path=root, remedy="check the folder")


def _record(good: list[tuple[Utterance, Measured]], bad: list[Bad]) -> dict[str, Any]:
    headers = {u.audio: m.header for u, m in good}.values()
    rates = Counter(header.sample_rate for header in headers)
    channels = Counter(header.n_channels for header in headers)
    return {
        "zerochain": zerochain.__version__,
        "sample_rates": {str(rate): rates[rate] for rate in sorted(rates)},
        "channels": {str(n): channels[n] for n in sorted(channels)},
        "skipped": [b._asdict() for b in bad],
        "noticed": [{"id": u.id, "what": what} for u, m in good for what in m.oddities],
    }


def _write(out: Path, corpus: Corpus, phones: Phones | None, copy: bool, root: Path) -> Corpus:
    with atomic_folder(out, MARKER) as temporary:
        if copy:
            copies = track(corpus.utterances, "Copying")
            corpus = replace(
                corpus,
                utterances=tuple(_copied(u, root / u.audio, temporary) for u in copies),
                audio_root="audio",
            )
        fill_corpus(temporary, corpus, phones)
    return read_corpus(out)


def _copied(utterance: Utterance, source: Path, folder: Path) -> Utterance:
    name = f"{utterance.id}.flac"
    path = folder / "audio" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = audio.read(source, **utterance.part._asdict())
    path.write_bytes(audio.encoded(path, wave))
    return replace(utterance, audio=name, start=None, end=None, channel=None)


def _some(entries: list[dict[str, str]], verb: str, subject: str, what: str) -> str:
    shown = [f"\n  {entry.get(subject)}: {entry.get(what)}" for entry in entries[:10]]
    more = f"\n  and {len(entries) - 10} more" if len(entries) > 10 else ""
    return f"{verb} {len(entries)}:{''.join(shown)}{more}" if entries else ""
